"""General block transfer: a piece of any APDU, whatever its service (Green Book 9.4.6.13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from gateway.dlms.axdr.octets import OctetReader, counted, unsigned
from gateway.errors import UsageError

WINDOW_LIMIT: Final = 63
"""Blocks in one window: block-control has 6 bits for it."""
BLOCK_HEAD_OCTETS: Final = 9
"""The most that stands before the data of a block in one APDU of up to 65535 octets."""

_LAST: Final = 0x80
_STREAMING: Final = 0x40


@dataclass(frozen=True, slots=True)
class GeneralBlockTransfer:
    """Block ``number`` of its sender (from 1), who has all blocks up to ``number_ack`` in turn.

    ``last``: the sender has no more to send. ``streaming``: the next block follows without an
    acknowledgement. ``window``: how many blocks in a row the sender is ready to receive. Blocks
    without data only acknowledge.
    """

    TAG: ClassVar[int] = 0xE0
    last: bool
    streaming: bool
    window: int
    number: int
    number_ack: int
    data: bytes = field(repr=False)  # may be part of a key

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        if not 0 <= self.window <= WINDOW_LIMIT:
            raise UsageError(f"a window of {self.window} blocks is not in 0..{WINDOW_LIMIT}")
        control = self.window | (_LAST if self.last else 0) | (_STREAMING if self.streaming else 0)
        number = unsigned(self.number, 2, "block number")
        acknowledged = unsigned(self.number_ack, 2, "acknowledged block number")
        return bytes((self.TAG, control)) + number + acknowledged + counted(self.data)


def read_block_transfer(reader: OctetReader) -> GeneralBlockTransfer:
    """Read what stands behind tag 0xE0."""
    control = reader.u8("block-control")
    number = reader.unsigned(2, "block-number")
    acknowledged = reader.unsigned(2, "block-number-ack")
    data = reader.counted("block-data")
    reader.end()
    return GeneralBlockTransfer(
        last=bool(control & _LAST),
        streaming=bool(control & _STREAMING),
        window=control & WINDOW_LIMIT,
        number=number,
        number_ack=acknowledged,
        data=data,
    )
