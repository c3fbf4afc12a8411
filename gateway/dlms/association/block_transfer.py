"""General block transfer: one message exchange in blocks, from either side (Green Book 9.4.6.13).

Each side numbers all its blocks of an exchange from 1, those that only acknowledge included, and
keeps them until the exchange is over, so that any of them can be sent again. A block names the
highest one of the peer up to which nothing is missing, and how many may follow. Where blocks are
missing, the first gap alone is asked for. Time-outs are the client's: a server only answers.

A window of 0 is taken for 1: one block at a time is what every party can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms.apdu.block_transfer import BLOCK_HEAD_OCTETS, GeneralBlockTransfer
from gateway.dlms.limits import Limits
from gateway.errors import LimitExceeded, RemoteProtocolError

_ANY_PDU_OCTETS: Final = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTerms:
    """How one side takes part: blocks in a row that it takes and sends, and octets in each."""

    window: int
    data_octets: int
    limits: Limits

    @classmethod
    def of(cls, *, window: int, streams: bool, pdu_octets: int, limits: Limits) -> BlockTerms:
        """For a peer that receives APDUs of ``pdu_octets`` (0: any).

        A link that carries one APDU in a turn does not stream, whatever the window.
        """
        octets = max(1, (pdu_octets or _ANY_PDU_OCTETS) - BLOCK_HEAD_OCTETS)
        return cls(window=window if streams else 1, data_octets=octets, limits=limits)

    def carry(self, octets: int) -> bool:
        """Whether an APDU of so many octets leaves numbers for as many acknowledgements."""
        return octets <= self.data_octets * (self.limits.transfer_blocks // 2)


def unconfirmed(apdu: bytes, terms: BlockTerms) -> list[bytes]:
    """Blocks of what nobody acknowledges: all in a row, none of the peer's is awaited."""
    size = terms.data_octets
    starts = range(0, len(apdu), size)
    return [
        GeneralBlockTransfer(
            last=start == starts[-1],
            streaming=start != starts[-1],
            window=0,
            number=number,
            number_ack=0,
            data=apdu[start : start + size],
        ).encode()
        for number, start in enumerate(starts, 1)
    ]


class BlockReceiver:
    """Puts a peer's blocks in order, whatever loss, repetition and order they come in.

    ``in_turn`` is the block up to which none is missing.
    """

    def __init__(self, window: int, limits: Limits) -> None:
        self._window = window
        self._limits = limits
        self._held: dict[int, bytes] = {}
        self._octets = 0
        self._last: int | None = None
        self._highest = 0
        self._highest_empty = 0
        self._first_data: int | None = None
        self._allowed = window
        self.in_turn = 0
        self.acknowledgeable = 0
        """Turns of a request in blocks: each may have taken a number to be acknowledged with."""

    @property
    def begun(self) -> bool:
        """Whether something else than acknowledgements came."""
        return self._first_data is not None or self._last is not None

    @property
    def complete(self) -> bool:
        """Whether the last block and all before it are there."""
        return self.in_turn == self._last

    def whole(self) -> bytes:
        """The octets of all blocks, once complete."""
        return b"".join(self._held[number] for number in range(1, self.in_turn + 1))

    def holds(self, block: GeneralBlockTransfer) -> bool:
        """Whether the very same data are there under the same number."""
        return self._held.get(block.number) == block.data

    def wanted(self) -> int:
        """How many blocks behind ``in_turn`` to ask for: the first gap, or a window."""
        count = self._window
        if self._highest > self.in_turn:
            behind = range(self.in_turn + 1, self._highest + 1)
            count = next(number for number in behind if number in self._held) - behind.start
        self._allowed = max(self._allowed, max(self.in_turn, self.acknowledgeable) + count)
        return count

    def take(self, block: GeneralBlockTransfer) -> bool:
        """Keep a block; False for one that is there already.

        Raises RemoteProtocolError for a block that cannot belong here, LimitExceeded for too many
        octets or blocks.
        """
        number = block.number
        if number in self._held:
            if not self.holds(block) or (block.data and block.last is not (number == self._last)):
                raise RemoteProtocolError(f"block {number} came twice, and not alike")
            return False
        self._check_place(block)
        self._octets += len(block.data)
        if self._octets > self._limits.transfer_octets:
            raise LimitExceeded(f"block transfer beyond {self._limits.transfer_octets} octets")
        self._held[number] = block.data
        while self.in_turn + 1 in self._held:
            self.in_turn += 1
        return True

    def _check_place(self, block: GeneralBlockTransfer) -> None:
        number = block.number
        if number > self._limits.transfer_blocks:
            raise LimitExceeded(f"block transfer beyond {self._limits.transfer_blocks} blocks")
        if self._last is not None and number > self._last:
            raise RemoteProtocolError(f"block {number} came, and block {self._last} was the last")
        if not 0 < number <= self._allowed:
            raise RemoteProtocolError(
                f"block {number} came where blocks {self.in_turn + 1} to {self._allowed} belong"
            )
        self._highest = max(self._highest, number)
        # Some peers mark each acknowledgement as last: only behind data is an empty block an end.
        if block.last and (block.data or self._first_data):
            if self._highest > number:
                raise RemoteProtocolError(
                    f"block {number} says it is the last, and block {self._highest} came"
                )
            self._last = number
        elif block.data:
            self._first_data = min(number, self._first_data or number)
        else:
            self._highest_empty = max(self._highest_empty, number)
        if self._first_data is not None and self._highest_empty > self._first_data:
            raise RemoteProtocolError("an empty block that is not the last")


class _Transfer:
    """What both sides do alike: number, keep and repeat their blocks, and count what is futile."""

    _ACKNOWLEDGES_AS_LAST: bool

    def __init__(self, terms: BlockTerms) -> None:
        self._terms = terms
        self._receiver = BlockReceiver(terms.window, terms.limits)
        self._blocks: list[tuple[bytes, bool]] = []
        """Data of each own block, and whether it is the last."""
        self._acknowledged = 0
        self._asked: tuple[int, int] | None = None
        self._fruitless = 0
        self._repeats = 0
        self._latest: list[bytes] = []
        self.outgoing: list[bytes] = []
        """Encoded blocks to be sent now, in this order."""

    def holds(self, block: GeneralBlockTransfer) -> bool:
        """Whether this very block of the peer's came before."""
        return self._receiver.holds(block)

    def _load(self, apdu: bytes) -> None:
        size = self._terms.data_octets
        pieces = [apdu[at : at + size] for at in range(0, len(apdu), size)]
        self._blocks += [(piece, False) for piece in pieces[:-1]]
        self._blocks.append((pieces[-1], True))

    def _send_behind(self, number: int, window: int) -> None:
        """Queue the blocks behind one, as many as the peer takes at a time."""
        count = min(max(1, window), self._terms.window, len(self._blocks) - number)
        wanted = self._receiver.wanted()
        self.outgoing = []
        for at in range(number, number + count):
            data, last = self._blocks[at]
            block = GeneralBlockTransfer(
                last=last,
                streaming=at < number + count - 1,
                window=wanted,
                number=at + 1,
                number_ack=self._taken(),
                data=data,
            )
            self.outgoing.append(block.encode())
        self._latest = self.outgoing

    def _taken(self) -> int:
        """The peer's block up to which none is missing."""
        return self._receiver.in_turn

    def _ask(self) -> None:
        """Queue an acknowledgement that says what is wanted next."""
        if len(self._blocks) >= self._terms.limits.transfer_blocks:
            raise LimitExceeded(f"block transfer beyond {len(self._blocks)} blocks")
        self._asked = (self._receiver.in_turn, self._receiver.wanted())
        self._blocks.append((b"", self._ACKNOWLEDGES_AS_LAST))
        self._send_behind(len(self._blocks) - 1, 1)

    def _wants_else(self) -> bool:
        """Whether there is something else to ask for than was asked last."""
        return self._asked != (self._receiver.in_turn, self._receiver.wanted())

    def _check_acknowledged(self, block: GeneralBlockTransfer) -> None:
        if block.number_ack > len(self._blocks):
            raise RemoteProtocolError(
                f"block {block.number_ack} was acknowledged, sent were {len(self._blocks)}"
            )

    def _count(self, *, fruitful: bool) -> None:
        if fruitful:
            self._fruitless = self._repeats = 0
            return
        self._fruitless += 1
        if self._fruitless > self._terms.limits.fruitless_blocks:
            raise LimitExceeded(f"{self._fruitless} blocks in a row without progress")


class ClientTransfer(_Transfer):
    """One request and its answer, either or both in blocks.

    ``take`` gives the whole answer once it is there, and until then leaves in ``outgoing`` what is
    to be sent.
    """

    _ACKNOWLEDGES_AS_LAST = True

    def __init__(self, terms: BlockTerms) -> None:
        super().__init__(terms)
        self._request_blocks = 0
        self._peer_window = 1

    def begin(self, apdu: bytes) -> None:
        """Send a request in blocks: one, until the server said how many it takes."""
        self._load(apdu)
        self._request_blocks = len(self._blocks)
        self._go_on()

    def take(self, block: GeneralBlockTransfer) -> bytes | None:
        """Take the server's next block; raise RemoteProtocolError, LimitExceeded."""
        self.outgoing = []
        self._check_acknowledged(block)
        new = self._receiver.take(block)
        more = block.number_ack > self._acknowledged
        self._count(fruitful=more or (new and bool(block.data)))
        self._acknowledged = max(self._acknowledged, block.number_ack)
        if self._receiver.begun:
            return self._take_answer(block)
        if new and block.number_ack == self._acknowledged:
            self._peer_window = block.window
            self._go_on()
        return None

    def repeat(self) -> bool:
        """After silence: ask again for what is missing; False where that was done enough."""
        self.outgoing = []
        self._repeats += 1
        if self._repeats > self._terms.limits.block_repeats:
            return False
        if self._receiver.begun:
            self._ask()
        else:
            self._go_on()
        return True

    def _take_answer(self, block: GeneralBlockTransfer) -> bytes | None:
        if self._acknowledged < self._request_blocks:
            raise RemoteProtocolError(
                f"an answer came, and only {self._acknowledged} of {self._request_blocks} blocks "
                "of the request were taken"
            )
        if self._receiver.complete:
            return self._receiver.whole()
        if not block.streaming and self._wants_else():
            self._ask()
        return None

    def _go_on(self) -> None:
        self._receiver.acknowledgeable += 1
        if self._acknowledged < self._request_blocks:
            self._send_behind(self._acknowledged, self._peer_window)
        else:
            # The server has all of the request and no answer yet: it is asked for it.
            self._ask()


class ServerTransfer(_Transfer):
    """One request and its answer at the meter.

    ``take`` gives the whole request, ``answer`` begins to answer it. What comes twice is answered
    with the same octets again.
    """

    _ACKNOWLEDGES_AS_LAST = False

    def __init__(self, terms: BlockTerms) -> None:
        super().__init__(terms)
        self._answering = False
        self._peer_window = 1
        self._seen = (0, 0)
        """Number and acknowledgement of the client's latest block."""

    def is_over_with(self, block: GeneralBlockTransfer) -> bool:
        """Whether a block begins the client's next request: a first one, unlike the one held."""
        begins = block.number == 1 and bool(block.data)
        return self._answering and begins and not self.holds(block)

    def take(self, block: GeneralBlockTransfer) -> bytes | None:
        """The whole request once it is there; raise RemoteProtocolError, LimitExceeded."""
        self.outgoing = []
        self._check_acknowledged(block)
        if self._answering:
            self._take_acknowledgement(block)
            return None
        new = self._receiver.take(block)
        self._count(fruitful=new and bool(block.data))
        self._seen = max(self._seen, (block.number, block.number_ack))
        self._peer_window = block.window
        if self._receiver.complete:
            return self._receiver.whole()
        if not block.streaming:
            if self._wants_else():
                self._ask()
            else:
                self.outgoing = self._latest
        return None

    def answer(self, apdu: bytes) -> None:
        """Send the answer: as many blocks as the client takes, one where it did not say.

        A client that asked in a plain APDU did not.
        """
        self._answering = True
        first = len(self._blocks)
        self._load(apdu)
        self._send_behind(first, self._peer_window)

    def _taken(self) -> int:
        # While it answers, the client's blocks only acknowledge: the latest is what counts.
        return self._seen[0] if self._answering else self._receiver.in_turn

    def _take_acknowledgement(self, block: GeneralBlockTransfer) -> None:
        number, acknowledged = self._seen
        of_request = bool(block.data) and self.holds(block)
        again = of_request or self._seen == (block.number, block.number_ack)
        self._count(fruitful=not again and block.number_ack > acknowledged)
        if again:
            # It was sent twice, or our answer to it was lost.
            self.outgoing = [] if block.streaming else self._latest
        elif block.number > number or block.number_ack > acknowledged:
            self._seen = (max(number, block.number), block.number_ack)
            self._send_behind(block.number_ack, block.window)
        # Else it was overtaken on its way.
