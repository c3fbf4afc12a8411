"""General blocks put together as they were recorded: both directions, acknowledgements, repeats."""

from __future__ import annotations

from gateway.dlms.apdu import GeneralBlockTransfer
from gateway.dlms.inspection.framing import Described
from gateway.dlms.limits import Limits
from gateway.errors import LimitExceeded


class GeneralBlocks:
    """The transfer under way, and the one before: a block that is recorded twice is taken once.

    Only a first block begins anew, as an answer may be asked for twice.
    A transfer does not say where it begins: who acknowledged before it sent data begins behind 1.
    So what seems complete is kept until it was ``understood``.
    """

    def __init__(self, limits: Limits) -> None:
        self._limit_octets = limits.transfer_octets
        self._held: dict[int, bytes] = {}
        self._before: dict[int, bytes] = {}
        self._first = 0
        self._last: int | None = None
        self._octets = 0

    def take(self, block: GeneralBlockTransfer) -> tuple[int, bytes] | None:
        """Number of the first block and the octets of all, where none is missing between.

        Raises LimitExceeded.
        """
        number, data = block.number, block.data
        if not data or self._held.get(number) == data:
            return None
        if not self._held and self._before.get(number) == data:
            return None
        if number in self._held:
            # Another block of the same number: another transfer.
            self._begin_anew({})
        self._held[number] = data
        self._octets += len(data)
        if self._octets > self._limit_octets:
            raise LimitExceeded(f"block transfer beyond {self._limit_octets} octets")
        self._first = min(number, self._first or number)
        if block.last:
            self._last = number
        if self._last is None or len(self._held) != self._last - self._first + 1:
            return None
        numbers = range(self._first, self._last + 1)
        return numbers[0], b"".join(self._held[at] for at in numbers)

    def understood(self) -> None:
        """What ``take`` gave last was an APDU: the transfer is over."""
        del self._held[self._first]
        self._begin_anew(self._held)

    def _begin_anew(self, before: dict[int, bytes]) -> None:
        self._before, self._held = before, {}
        self._first, self._last, self._octets = 0, None, 0


def describe_block(block: GeneralBlockTransfer) -> Described:
    """Fields of one block."""
    return {
        "apdu": "general-block-transfer",
        "last": block.last,
        "streaming": block.streaming,
        "window": block.window,
        "block_number": block.number,
        "block_number_ack": block.number_ack,
        "data_octets": len(block.data),
        "data_hex": block.data.hex().upper(),
    }
