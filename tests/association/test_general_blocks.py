"""General block transfer within associations: agreed on, ciphered, over each link, both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dlms.apdu import (
    Conformance,
    DataNotification,
    EventNotification,
    GeneralBlockTransfer,
    GetResponseNormal,
    InvokeId,
    LongInvokeId,
    decode_apdu,
)
from gateway.dlms.association.requests import (
    Action,
    Answer,
    AssociationOpened,
    EventReport,
    Get,
    Notification,
    Refused,
    Set,
)
from gateway.dlms.association.settings import Authentication
from gateway.dlms.association.states import State
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA
from gateway.dlms.security import SecurityPolicy
from gateway.errors import (
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    SecurityError,
)
from tests.association.test_association_pair import (
    LINKS,
    LONG,
    LONG_VALUE,
    REGISTER,
    RELAY,
    SERVER_TITLE,
    Pair,
    settings,
)

HEAD = 8
"""Octets of the wrapper's header."""


def general_pair(
    link: str = "wrapper",
    policy: SecurityPolicy | None = None,
    windows: tuple[int | None, int | None] = (8, 8),
    authentication: Authentication = Authentication.LLS,
    chunk: int | None = None,
    limits: Limits | None = None,
) -> Pair:
    client, server = settings(authentication, policy)
    client = replace(client, general_block_window=windows[0], limits=limits or Limits())
    pair = Pair(link, client, replace(server, general_block_window=windows[1]), chunk)
    opened = pair.open()
    assert isinstance(opened, AssociationOpened)
    agreed = bool(opened.conformance & Conformance.GENERAL_BLOCK_TRANSFER)
    assert agreed is (None not in windows)
    return pair


def apdus(writes: list[bytes]) -> list[bytes]:
    """The APDUs in what one side wrote to a wrapper link."""
    found = []
    for written in writes:
        while written:
            end = HEAD + int.from_bytes(written[6:HEAD], "big")
            found.append(written[HEAD:end])
            written = written[end:]
    return found


def give(pair: Pair, octets: bytes) -> object:
    """What a client makes of an APDU of its server."""
    header = bytes.fromhex("0001 0001 0020") + len(octets).to_bytes(2, "big")
    pair.client.receive_data(header + octets)
    return pair.client.next_event()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH], ids=["plain", "ciphered"])
@pytest.mark.parametrize("windows", [(1, 1), (8, 3), (3, 63), (63, 8)])
@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "byte by byte"])
def test_long_answers_and_long_requests_go_through_whole(
    link: str, policy: SecurityPolicy | None, windows: tuple[int, int], chunk: int | None
) -> None:
    pair = general_pair(link, policy, windows, chunk=chunk)
    answer = pair.ask(Get(7, LONG, 2))
    assert isinstance(answer, Answer)
    assert answer.data == LONG_VALUE
    assert answer.server_system_title == (SERVER_TITLE if policy else None)
    assert isinstance(pair.ask(Set(3, REGISTER, 2, LONG_VALUE)), Answer)
    assert pair.objects.value == LONG_VALUE
    # A long request with a long answer, and a refusal of one, in one exchange each.
    assert isinstance(pair.ask(Action(70, RELAY, 2, LONG_VALUE)), Answer)
    assert pair.objects.actions == [(2, LONG_VALUE)]
    assert pair.ask(Set(3, LONG, 2, LONG_VALUE)) == Refused("SET", "read-write-denied")
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


def test_blocks_carry_one_ciphered_apdu_and_no_service_of_their_own() -> None:
    pair = general_pair(policy=SecurityPolicy.BOTH)
    before = len(pair.to_client)
    answer = pair.ask(Get(7, LONG, 2))
    whole = b""
    for octets in apdus(pair.to_client[before:]):
        block = decode_apdu(octets)
        assert isinstance(block, GeneralBlockTransfer)
        whole += block.data
    assert whole[0] == 0xCC
    assert isinstance(answer, Answer)
    # One APDU, so one counter: blocks spend none.
    assert answer.invocation_counter == 901


@pytest.mark.parametrize("windows", [(None, 8), (8, None), (None, None)])
def test_what_one_side_does_not_want_is_not_used(windows: tuple[int | None, int | None]) -> None:
    pair = general_pair(windows=windows)
    assert isinstance(pair.ask(Set(3, REGISTER, 2, LONG_VALUE)), Answer)
    answer = pair.ask(Get(7, LONG, 2))
    assert isinstance(answer, Answer)
    assert answer.data == LONG_VALUE
    sent = apdus(pair.to_client) + apdus(pair.to_server)
    assert not any(octets.startswith(b"\xe0") for octets in sent)
    pair.client.send(Get(3, REGISTER, 2))
    with pytest.raises(RemoteProtocolError, match="none were agreed on"):
        give(pair, GeneralBlockTransfer(True, False, 1, 1, 0, b"\x00").encode())


def test_short_requests_and_answers_stay_as_they_are() -> None:
    pair = general_pair()
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)
    assert apdus(pair.to_server)[1][:1] == b"\xc0"
    assert apdus(pair.to_client)[1][:1] == b"\xc4"


@pytest.mark.parametrize("link", LINKS)
def test_a_window_streams_where_the_link_carries_several_apdus_in_a_turn(link: str) -> None:
    pair = general_pair(link, windows=(63, 63))
    turns = len(pair.to_server)
    pair.ask(Get(7, LONG, 2))
    # 5124 octets in blocks of 503: one for the first, one turn for the other ten.
    asked = len(pair.to_server) - turns
    assert asked == 2 if link == "wrapper" else asked > 10


def start_of_blocks(pair: Pair) -> list[bytes]:
    """A long answer begun: the blocks of its first window, not yet given to the client."""
    pair.client.send(Get(7, LONG, 2))
    for _ in range(2):
        pair.server.receive_data(pair.client.data_to_send())
        while pair.server.next_event() is not NEED_DATA:
            pass
        blocks = apdus([pair.server.data_to_send()])
        if len(blocks) == 1:
            assert give(pair, blocks[0]) is NEED_DATA
    return blocks


def test_lost_blocks_are_asked_for_after_silence_and_the_answer_is_whole() -> None:
    pair = general_pair(policy=SecurityPolicy.BOTH)
    blocks = start_of_blocks(pair)
    for octets in (blocks[0], blocks[3], blocks[4]):
        assert give(pair, octets) is NEED_DATA
    assert pair.client.data_to_send() == b""
    assert pair.client.handle_timeout()
    answer = pair.run()
    assert isinstance(answer, Answer)
    assert answer.data == LONG_VALUE


def test_a_server_that_fell_silent_is_asked_a_bounded_number_of_times() -> None:
    pair = general_pair()
    start_of_blocks(pair)
    repeats = 0
    while pair.client.handle_timeout():
        repeats += 1
    assert repeats == Limits().block_repeats


def test_a_block_once_more_after_the_answer_is_passed_over() -> None:
    pair = general_pair(policy=SecurityPolicy.BOTH)
    pair.ask(Get(7, LONG, 2))
    for octets in apdus(pair.to_client)[1:]:
        assert give(pair, octets) is NEED_DATA
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


def test_the_whole_transfer_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="beyond 2000 octets"):
        general_pair(limits=Limits(transfer_octets=2000)).ask(Get(7, LONG, 2))


def test_blocks_that_come_while_leaving_end_the_session() -> None:
    pair = general_pair()
    pair.client.close()
    with pytest.raises(RemoteProtocolError, match="a general block came while RELEASING"):
        give(pair, GeneralBlockTransfer(True, False, 1, 1, 0, b"\x00").encode())


def test_an_apdu_longer_than_any_plain_one_fits_into_blocks() -> None:
    pair = general_pair(policy=SecurityPolicy.BOTH, windows=(63, 63))
    pair.objects.value = b"\x09\x83\x01\x11\x70" + bytes(70_000)
    answer = pair.ask(Get(3, REGISTER, 2))
    assert isinstance(answer, Answer)
    assert answer.data == pair.objects.value


@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH], ids=["plain", "ciphered"])
def test_blocks_within_blocks_end_the_session(policy: SecurityPolicy | None) -> None:
    pair = general_pair(policy=policy)
    pair.client.send(Get(3, REGISTER, 2))
    inner = GeneralBlockTransfer(True, False, 1, 1, 0, b"\xc4\x01\x41\x00\x11\x01").encode()
    with pytest.raises((RemoteProtocolError, SecurityError), match="GeneralBlockTransfer"):
        give(pair, GeneralBlockTransfer(True, False, 1, 1, 0, inner).encode())
    assert pair.client.state is State.ERROR


def test_plain_text_in_blocks_is_refused_where_protection_was_agreed_on() -> None:
    pair = general_pair(policy=SecurityPolicy.BOTH)
    pair.client.send(Get(3, REGISTER, 2))
    forged = GetResponseNormal(InvokeId(1), b"\x11\x01").encode()
    with pytest.raises(SecurityError, match="plain GetResponseNormal"):
        give(pair, GeneralBlockTransfer(True, False, 1, 1, 0, forged).encode())


def test_a_refusal_in_the_middle_ends_the_request_and_not_the_association() -> None:
    pair = general_pair()
    start_of_blocks(pair)
    refused = Refused("request", "service-not-allowed, operation-not-possible")
    assert give(pair, b"\xd8\x01\x01") == refused
    assert isinstance(pair.ask(Get(7, LONG, 2)), Answer)


def serve(pair: Pair, *octets: bytes) -> list[bytes]:
    """What the server answers to APDUs of a client, one after the other."""
    answers = []
    for one in octets:
        header = bytes.fromhex("0001 0020 0001") + len(one).to_bytes(2, "big")
        pair.server.receive_data(header + one)
        while pair.server.next_event() is not NEED_DATA:
            pass
        answers += apdus([pair.server.data_to_send()])
    return answers


@pytest.mark.parametrize(
    ("blocks", "answer"),
    [
        (["E0 81 0009 0000 01 C0"], "D8 01 03"),
        (["E0 81 0001 0007 01 C0"], "D8 01 03"),
        (["E0 81 0001 0000 01 FF"], "D8 02 02"),
        (["E0 81 0001 0000 07 E0 81 0001 0000 00"], "D8 02 02"),
        (["E0 01 0001 0000 01 C0", "E0 01 0001 0000 01 C1"], "D8 01 03"),
    ],
    ids=["far ahead", "acknowledges too much", "no APDU", "blocks in blocks", "changed"],
)
def test_a_server_says_no_to_blocks_that_do_not_belong(blocks: list[str], answer: str) -> None:
    pair = general_pair()
    assert serve(pair, *map(bytes.fromhex, blocks))[-1].hex(" ").upper() == answer
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


def test_a_server_takes_no_blocks_before_an_association_agreed_to_them() -> None:
    first = bytes.fromhex("E0 81 0001 0000 01 C0")
    assert serve(general_pair(windows=(8, None)), first) == [b"\xd8\x02\x02"]
    pair = general_pair()
    pair.client.close()
    pair.run()
    assert serve(pair, first) == [b"\xd8\x01\x01"]


# --- what comes unasked --------------------------------------------------------------------


@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH], ids=["plain", "ciphered"])
@pytest.mark.parametrize("octets", [10, 3000])
def test_a_notification_is_told_whole_or_in_blocks_that_nobody_acknowledges(
    policy: SecurityPolicy | None, octets: int
) -> None:
    pair = general_pair(policy=policy)
    body = b"\x09\x82" + octets.to_bytes(2, "big") + bytes(octets)
    pair.server.notify(DataNotification(LongInvokeId(7), b"", body))
    event = pair.run()
    assert isinstance(event, Notification)
    assert (event.long_invoke_id, event.data) == (7, body)
    assert event.server_system_title == (SERVER_TITLE if policy else None)
    assert pair.client.data_to_send() == b""
    pair.server.notify(EventNotification(b"", 3, REGISTER, 2, b"\x11\x05"))
    assert isinstance(pair.run(), EventReport)
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


def test_nothing_is_told_to_who_is_not_associated() -> None:
    pair = Pair("wrapper", *settings(Authentication.NONE, None))
    with pytest.raises(LocalProtocolError, match="nothing can be told while"):
        pair.server.notify(EventNotification(b"", 3, REGISTER, 2, b"\x11\x05"))


@pytest.mark.parametrize("window", [0, 64, -1])
def test_a_window_has_one_to_63_blocks(window: int) -> None:
    with pytest.raises(LocalProtocolError, match="1 to 63 blocks"):
        replace(settings(Authentication.NONE, None)[0], general_block_window=window)
