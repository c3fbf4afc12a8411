"""General block transfer: what a bad wire does to it, and what either side refuses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.apdu import GeneralBlockTransfer, InvokeId, SetRequestNormal, decode_apdu
from gateway.dlms.association.block_transfer import (
    BlockReceiver,
    BlockTerms,
    ClientTransfer,
    ServerTransfer,
    unconfirmed,
)
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.limits import Limits
from gateway.errors import LimitExceeded, RemoteProtocolError
from gateway.model import Obis

LIMITS = Limits()


def terms(window: int = 5, octets: int = 4, limits: Limits = LIMITS) -> BlockTerms:
    return BlockTerms(window=window, data_octets=octets, limits=limits)


def block(
    number: int, data: bytes = b"", ack: int = 0, *, last: bool = False, streaming: bool = False
) -> GeneralBlockTransfer:
    return GeneralBlockTransfer(last, streaming, 5, number, ack, data)


def read(octets: bytes) -> GeneralBlockTransfer:
    found = decode_apdu(octets)
    assert isinstance(found, GeneralBlockTransfer)
    return found


# --- a bad wire ----------------------------------------------------------------------------


@dataclass
class Wire:
    """What becomes of each block, by its number of sending: each harm is done once.

    ``drop`` loses it, ``double`` delivers it twice, ``delay`` holds it back until so many others
    of its direction have passed, or nothing else is on its way.
    """

    drop: frozenset[int] = frozenset()
    double: frozenset[int] = frozenset()
    delay: dict[int, int] = field(default_factory=dict)
    sent: int = 0

    def __post_init__(self) -> None:
        self.queues: dict[str, deque[bytes]] = {"client": deque(), "server": deque()}
        self.held: list[list[object]] = []

    def carry(self, to: str, octets: list[bytes]) -> None:
        for one in octets:
            number, self.sent = self.sent, self.sent + 1
            if number in self.drop:
                continue
            for _ in range(2 if number in self.double else 1):
                if number in self.delay:
                    self.held.append([self.delay[number], to, one])
                else:
                    self.queues[to].append(one)
            for entry in self.held:
                entry[0] = int(entry[0]) - 1  # type: ignore[call-overload]
            self._let_go(0)

    def _let_go(self, count: int) -> None:
        for entry in [entry for entry in self.held if int(entry[0]) <= count]:  # type: ignore[call-overload]
            self.held.remove(entry)
            self.queues[str(entry[1])].append(entry[2])  # type: ignore[arg-type]

    def next(self) -> tuple[str, bytes] | None:
        for to in ("server", "client"):
            if self.queues[to]:
                return to, self.queues[to].popleft()
        if self.held:
            self._let_go(10**6)
            return self.next()
        return None


class Meter:
    """The server's side as an association drives it: each request is served once."""

    def __init__(self, answer: bytes, of: BlockTerms) -> None:
        self._answer = answer
        self.transfer = ServerTransfer(of)
        self.requests: list[bytes] = []

    def ask(self, request: bytes) -> list[bytes]:
        self.requests.append(request)
        self.transfer.answer(self._answer)
        return self.transfer.outgoing

    def take(self, octets: bytes) -> list[bytes]:
        request = self.transfer.take(read(octets))
        return self.transfer.outgoing if request is None else self.ask(request)


def exchange(
    request: bytes, answer: bytes, client_of: BlockTerms, server_of: BlockTerms, wire: Wire
) -> tuple[bytes | None, list[bytes], int]:
    """The answer as the client got it (None: it gave up), requests served, blocks on the wire."""
    client, meter = ClientTransfer(client_of), Meter(answer, server_of)
    if len(request) > client_of.data_octets:
        client.begin(request)
        wire.carry("server", client.outgoing)
    else:
        wire.carry("client", meter.ask(request))
    for _ in range(200_000):
        arrived = wire.next()
        if arrived is None:
            if not client.repeat():
                return None, meter.requests, wire.sent
            wire.carry("server", client.outgoing)
        elif arrived[0] == "server":
            wire.carry("client", meter.take(arrived[1]))
        else:
            whole = client.take(read(arrived[1]))
            if whole is not None:
                return whole, meter.requests, wire.sent
            wire.carry("server", client.outgoing)
    raise AssertionError("no end")


lengths = st.one_of(st.integers(1, 300), st.integers(1, 65_536))
harms = st.frozensets(st.integers(0, 60), max_size=6)
delays = st.dictionaries(st.integers(0, 60), st.integers(1, 9), max_size=4)


def patterned(length: int, salt: int) -> bytes:
    """Octets in which a block in the wrong place shows."""
    return bytes((at * 7 + (at >> 8) * 13 + salt) & 0xFF for at in range(length))


# Acknowledgements that were lost leave numbers which nobody asked for.
@example(79, 1, 1, (7, 7), frozenset([49, 42]), frozenset(), {})
@example(37, 1, 1, (4, 4), frozenset([38, 53, 1, 34, 49]), frozenset(), {})
# A request that is whole, and its client that does not know it, because the answer was lost.
@example(309, 1, 14, (11, 11), frozenset([14, 27]), frozenset(), {})
@given(
    request=st.integers(1, 400),
    answer=lengths,
    octets=st.integers(1, 600),
    windows=st.tuples(st.integers(1, 63), st.integers(1, 63)),
    drop=harms,
    double=harms,
    delay=delays,
)
def test_any_payload_arrives_whole_whatever_the_wire_loses_doubles_or_reorders(
    request: int,
    answer: int,
    octets: int,
    windows: tuple[int, int],
    drop: frozenset[int],
    double: frozenset[int],
    delay: dict[int, int],
) -> None:
    # Beyond 2000 blocks a larger payload proves nothing new and only takes time.
    answer = min(answer, 2000 * octets)
    asked, told = patterned(request, 1), patterned(answer, 2)
    client_of, server_of = (terms(window, octets) for window in windows)
    harmed = Wire(drop, double, delay)
    got, served, sent = exchange(asked, told, client_of, server_of, harmed)
    assert got == told
    assert served == [asked]
    _, _, undisturbed = exchange(asked, told, client_of, server_of, Wire())
    # A harm costs a window once more and what asks for it, and a lost end of a window a time-out.
    harms_done = len(drop) + len(double) + len(delay)
    assert sent <= undisturbed + harms_done * 2 * (max(windows) + 2)


@pytest.mark.parametrize("answer", [1, 4, 5, 20, 4 * 63, 65_536])
@pytest.mark.parametrize("window", [1, 2, 63])
def test_an_undisturbed_answer_takes_each_block_once_and_one_turn_for_each_window(
    answer: int, window: int
) -> None:
    octets = 64 if answer > 1000 else 4
    told = patterned(answer, 3)
    got, _, sent = exchange(b"get", told, terms(window, octets), terms(63, octets), Wire())
    blocks = -(-answer // octets)
    # The first block comes alone: a plain request does not say how many the client takes.
    turns = -(-(blocks - 1) // window)
    assert (got, sent) == (told, blocks + turns)


def test_a_server_may_send_fewer_blocks_in_a_row_than_the_client_takes() -> None:
    told = patterned(40, 3)
    got, _, sent = exchange(b"get", told, terms(63), terms(3), Wire())
    assert (got, sent) == (told, 10 + 3)


@pytest.mark.parametrize("window", [1, 4])
def test_a_wire_that_carries_nothing_any_more_is_given_up(window: int) -> None:
    dead = Wire(drop=frozenset(range(4, 10_000)))
    got, _, sent = exchange(b"get", patterned(400, 1), terms(window), terms(window), dead)
    assert got is None
    assert sent <= 4 + 2 * window + LIMITS.block_repeats * 2


# --- octets by hand ------------------------------------------------------------------------


def test_the_octets_of_a_stream_with_a_lost_block() -> None:
    """Window 3, four octets a block: 14 octets in four blocks, of which the third is lost."""
    client = ClientTransfer(terms(3))
    meter = Meter(bytes(range(14)), terms(3))
    # Last no, streaming no, window 3; block 1, none acknowledged; 4 octets.
    assert meter.ask(b"") == [bytes.fromhex("E0 03 0001 0000 04 00010203")]
    assert client.take(read(meter.transfer.outgoing[0])) is None
    # The client has nothing to send: last; it takes 3; its own block 1, the meter's 1 is there.
    assert client.outgoing == [bytes.fromhex("E0 83 0001 0001 00")]
    stream = meter.take(client.outgoing[0])
    assert stream == [
        bytes.fromhex("E0 43 0002 0001 04 04050607"),
        bytes.fromhex("E0 43 0003 0001 04 08090A0B"),
        # The end of a window does not stream, and here it is the last block too.
        bytes.fromhex("E0 83 0004 0001 02 0C0D"),
    ]
    assert client.take(read(stream[0])) is None
    assert client.outgoing == []
    assert client.take(read(stream[2])) is None
    # Block 2 is the last without a gap, and the gap behind it is one block wide.
    assert client.outgoing == [bytes.fromhex("E0 81 0002 0002 00")]
    assert meter.take(client.outgoing[0]) == [bytes.fromhex("E0 03 0003 0002 04 08090A0B")]
    assert client.take(read(meter.transfer.outgoing[0])) == bytes(range(14))
    # An answer that is whole is not acknowledged.
    assert client.outgoing == []


def test_the_octets_of_a_long_request_and_its_short_answer() -> None:
    client = ClientTransfer(terms(2))
    meter = Meter(b"\xc5\x01\xc1\x00", terms(2))
    client.begin(bytes(range(10)))
    assert client.outgoing == [bytes.fromhex("E0 02 0001 0000 04 00010203")]
    # The meter has more to send, so it is not at its last block, and takes 2.
    assert meter.take(client.outgoing[0]) == [bytes.fromhex("E0 02 0001 0001 00")]
    assert client.take(read(meter.transfer.outgoing[0])) is None
    assert client.outgoing == [
        bytes.fromhex("E0 42 0002 0001 04 04050607"),
        bytes.fromhex("E0 82 0003 0001 02 0809"),
    ]
    assert meter.take(client.outgoing[0]) == []
    # Who was asked in blocks answers in blocks; its acknowledgement was its block 1.
    assert meter.take(client.outgoing[1]) == [bytes.fromhex("E0 82 0002 0003 04 C501C100")]
    assert meter.requests == [bytes(range(10))]
    assert client.take(read(meter.transfer.outgoing[0])) == b"\xc5\x01\xc1\x00"


def test_a_request_block_that_comes_twice_is_answered_with_the_same_octets() -> None:
    meter = Meter(b"yes", terms(2))
    first, second = block(1, b"abcd"), block(2, b"ef", last=True)
    acknowledged = meter.take(first.encode())
    assert meter.take(first.encode()) == acknowledged
    answered = meter.take(second.encode())
    assert meter.take(second.encode()) == answered
    assert meter.take(first.encode()) == answered
    assert meter.take(block(1, b"abcd", streaming=True).encode()) == []
    assert meter.requests == [b"abcdef"]
    assert not meter.transfer.is_over_with(first)
    assert not meter.transfer.is_over_with(second)
    assert meter.transfer.is_over_with(block(1, b"other"))


def test_an_acknowledgement_that_comes_twice_or_too_late_moves_nothing() -> None:
    client = ClientTransfer(terms(2))
    client.begin(b"abcdefghijklmnop")
    client.take(block(2, ack=2))
    assert [read(octets).number for octets in client.outgoing] == [3, 4]
    for late in (block(2, ack=2), block(1, ack=1)):
        assert client.take(late) is None
        assert client.outgoing == []
    meter = ServerTransfer(terms(2))
    meter.answer(b"abcdefghijklmnopqrst")
    meter.take(block(1, ack=1, last=True))
    meter.take(block(2, ack=3, last=True))
    sent = meter.outgoing
    assert [read(octets).number for octets in sent] == [4, 5]
    meter.take(block(1, ack=1, last=True))
    assert meter.outgoing == []
    # Sent again, it is answered again: the blocks may have been what was lost.
    meter.take(block(2, ack=3, last=True))
    assert meter.outgoing == sent


def test_the_end_of_a_window_that_comes_twice_asks_for_nothing_twice() -> None:
    client = ClientTransfer(terms(2))
    end = block(1, b"a")
    client.take(end)
    assert len(client.outgoing) == 1
    client.take(end)
    assert client.outgoing == []


def test_a_window_of_none_is_taken_for_one() -> None:
    client = ClientTransfer(terms(2))
    client.begin(b"abcdef")
    client.take(GeneralBlockTransfer(False, False, 0, 1, 1, b""))
    assert [read(octets).number for octets in client.outgoing] == [2]


def test_blocks_that_nobody_acknowledges_follow_each_other() -> None:
    assert unconfirmed(bytes(range(10)), terms(1)) == [
        bytes.fromhex("E0 40 0001 0000 04 00010203"),
        bytes.fromhex("E0 40 0002 0000 04 04050607"),
        bytes.fromhex("E0 80 0003 0000 02 0809"),
    ]


def test_acknowledgements_marked_as_last_are_no_answer() -> None:
    client = ClientTransfer(terms(2))
    client.begin(b"abcdef")
    assert client.take(block(1, ack=1, last=True)) is None
    assert [read(octets).data for octets in client.outgoing] == [b"ef"]
    assert client.take(block(2, b"done", ack=2, last=True)) == b"done"


GURUX_BLOCKS = [
    "e0010001000021c101c100010000010000ff0200093c000102030405060708090a0b0c0d0e0f1011",
    "e001000200002112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132",
    "e0810003ffff09333435363738393a3b",
]
"""A SET of 60 octets as gurux-dlms cuts it for 40-octet PDUs; its last block acknowledges 65535."""


def test_blocks_as_gurux_dlms_cuts_them_are_put_together() -> None:
    receiver = BlockReceiver(3, LIMITS)
    for text in GURUX_BLOCKS:
        found = read(bytes.fromhex(text))
        assert found.encode().hex() == text
        receiver.take(found)
    data = axdr.encode(Data(Tag.OCTET_STRING, bytes(range(60))))
    clock = Obis.parse("0-0:1.0.0*255")
    assert receiver.whole() == SetRequestNormal(InvokeId(1), 1, clock, 2, data).encode()


# --- what does not belong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([block(0, b"a")], "block 0 came where blocks 1 to 5 belong"),
        ([block(6, b"a")], "block 6 came where blocks 1 to 5 belong"),
        ([block(1, b"a", last=True), block(2, b"b")], "block 1 was the last"),
        ([block(3, b"a"), block(2, b"b", last=True)], "says it is the last, and block 3 came"),
        ([block(2, b"a"), block(2, b"b")], "block 2 came twice, and not alike"),
        ([block(2, b"a"), block(2, b"a", last=True)], "block 2 came twice, and not alike"),
        ([block(1, b"a"), block(2)], "an empty block that is not the last"),
        ([block(2), block(1, b"a")], "an empty block that is not the last"),
    ],
)
def test_a_block_that_cannot_belong_is_refused(
    blocks: list[GeneralBlockTransfer], said: str
) -> None:
    receiver = BlockReceiver(5, LIMITS)
    for one in blocks[:-1]:
        receiver.take(one)
    with pytest.raises(RemoteProtocolError, match=said):
        receiver.take(blocks[-1])


def test_an_empty_last_block_ends_what_came_before() -> None:
    receiver = BlockReceiver(5, LIMITS)
    receiver.take(block(1, b"abc"))
    receiver.take(block(2, last=True))
    assert receiver.complete
    assert receiver.whole() == b"abc"


def test_octets_and_blocks_are_bounded() -> None:
    receiver = BlockReceiver(5, Limits(transfer_octets=10, transfer_blocks=3))
    receiver.take(block(1, bytes(6)))
    with pytest.raises(LimitExceeded, match="beyond 10 octets"):
        receiver.take(block(2, bytes(5)))
    with pytest.raises(LimitExceeded, match="beyond 3 blocks"):
        receiver.take(block(4, b"a"))


def take_all(
    take: Callable[[GeneralBlockTransfer], object], blocks: Iterable[GeneralBlockTransfer]
) -> None:
    for one in blocks:
        take(one)


def test_a_meter_that_only_ever_acknowledges_comes_to_an_end() -> None:
    client = ClientTransfer(terms(2))
    client.begin(b"abcdef")
    with pytest.raises(LimitExceeded, match="without progress"):
        take_all(client.take, (block(number, ack=2) for number in range(1, 1000)))


def test_a_meter_that_repeats_one_block_comes_to_an_end() -> None:
    client = ClientTransfer(terms(2))
    with pytest.raises(LimitExceeded, match="without progress"):
        take_all(client.take, (block(1, b"a") for _ in range(1000)))


def test_a_client_that_takes_no_block_of_the_answer_comes_to_an_end() -> None:
    meter = ServerTransfer(terms(2))
    meter.answer(b"yes")
    with pytest.raises(LimitExceeded, match="without progress"):
        take_all(meter.take, (block(number, last=True) for number in range(1, 1000)))


def test_more_than_was_sent_cannot_be_acknowledged() -> None:
    client = ClientTransfer(terms(2))
    client.begin(b"abcdef")
    with pytest.raises(RemoteProtocolError, match="block 3 was acknowledged, sent were 2"):
        client.take(block(1, ack=3))


def test_an_answer_before_the_whole_request_is_refused() -> None:
    client = ClientTransfer(terms(2))
    client.begin(b"abcdefghijkl")
    with pytest.raises(RemoteProtocolError, match="only 1 of 3 blocks of the request were taken"):
        client.take(block(1, b"early", ack=1, last=True))


def test_no_number_is_left_to_acknowledge_with_beyond_the_limit() -> None:
    client = ClientTransfer(terms(2, limits=Limits(transfer_blocks=2)))
    client.begin(b"abcdef")
    client.take(block(1, ack=1))
    with pytest.raises(LimitExceeded, match="beyond 2 blocks"):
        client.take(block(2, ack=2))


def test_the_numbers_of_a_transfer_do_not_start_over() -> None:
    assert terms(octets=4).carry(4 * 32_767)
    assert not terms(octets=4).carry(4 * 32_767 + 1)


def test_a_link_of_one_apdu_in_a_turn_does_not_stream() -> None:
    still = BlockTerms.of(window=20, streams=False, pdu_octets=512, limits=LIMITS)
    assert (still.window, still.data_octets) == (1, 503)
    streaming = BlockTerms.of(window=20, streams=True, pdu_octets=0, limits=LIMITS)
    assert (streaming.window, streaming.data_octets) == (20, 65_526)
