"""Windows above 1: sequences written out by hand, both stations, and what is refused."""

import itertools
from typing import Any

import pytest

from gateway.dlms.hdlc import HdlcLink, HdlcParameters
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, LinkClosed, LinkEvent, Role
from gateway.errors import LimitExceeded, RemoteProtocolError
from tests.links import line
from tests.links.hdlc_sequences import SEGMENT_OCTETS, SEQUENCES, Row, Sequence
from tests.links.line import (
    TO_CLIENT,
    TO_SERVER,
    client_link,
    connected_client,
    feed,
    frame,
    server_link,
)

ANSWER = b"\xe6\xe7\x00"


def opened(role: Role, window: int, **changes: Any) -> HdlcLink:
    return line.opened(role, HdlcParameters.both_ways(SEGMENT_OCTETS, window), **changes)


def turns(sequence: Sequence) -> list[tuple[Role | None, list[Row]]]:
    return [
        (sender, list(rows))
        for sender, rows in itertools.groupby(sequence.rows(), lambda row: row.sender)
    ]


def heard(rows: list[Row], singly: bool) -> list[bytes]:
    """What arrives of a transmission, whole or octet by octet."""
    whole = b"".join(row.octets * row.copies for row in rows)
    return [whole[at : at + 1] for at in range(len(whole))] if singly else [whole] * bool(whole)


def said(rows: list[Row]) -> bytes:
    return b"".join(row.octets for row in rows)


def played(role: Role) -> list[object]:
    return [
        pytest.param(sequence, id=f"{sequence.window}: {sequence.name}")
        for sequence in SEQUENCES
        if sequence.player in (None, role)
    ]


@pytest.mark.parametrize("singly", [False, True], ids=["whole", "octet by octet"])
@pytest.mark.parametrize("sequence", played(Role.CLIENT))
def test_the_client_keeps_to_the_sequence(sequence: Sequence, singly: bool) -> None:
    link = opened(Role.CLIENT, sequence.window)
    link.send_apdu(sequence.apdu("q"))
    events: list[LinkEvent] = []
    for sender, rows in turns(sequence):
        if sender is Role.CLIENT:
            assert link.data_to_send() == said(rows)
        elif sender is Role.SERVER:
            events += feed(link, *heard(rows, singly))
        else:
            assert link.data_to_send() == b""
            assert link.retransmit()
    assert events == [ApduReceived(sequence.apdu("a"))]
    assert link.data_to_send() == b""
    link.send_apdu(b"next")
    control = 0x10 | sequence.answer % 8 << 5 | sequence.request % 8 << 1
    assert link.data_to_send() == frame(TO_SERVER, control, b"\xe6\xe6\x00next")


@pytest.mark.parametrize("singly", [False, True], ids=["whole", "octet by octet"])
@pytest.mark.parametrize("sequence", played(Role.SERVER))
def test_the_server_keeps_to_the_sequence(sequence: Sequence, singly: bool) -> None:
    link = opened(Role.SERVER, sequence.window)
    requests: list[bytes] = []
    for sender, rows in turns(sequence):
        if sender is Role.SERVER:
            assert link.data_to_send() == said(rows)
        elif sender is Role.CLIENT:
            for chunk in heard(rows, singly):
                link.receive_data(chunk)
                while (event := link.next_event()) is not NEED_DATA:
                    assert isinstance(event, ApduReceived)
                    requests.append(event.apdu)
                    link.send_apdu(sequence.apdu("a"))
    assert requests == [sequence.apdu("q")]
    assert link.data_to_send() == b""


BREACHES = [
    ("N(R) beyond what was sent", frame(TO_CLIENT, 0x71), "N.R. = 3, expected 0 to 2"),
    ("RNR beyond what was sent", frame(TO_CLIENT, 0xF5), "N.R. = 7, expected 0 to 2"),
    ("REJ beyond what was sent", frame(TO_CLIENT, 0xB9), "N.R. = 5, expected 0 to 2"),
    ("an answer to half a request", frame(TO_CLIENT, 0x30, ANSWER), "without being asked, while s"),
    ("N(S) beyond the window", frame(TO_CLIENT, 0x54, ANSWER), "N.S. = 2, expected 0"),
]


@pytest.mark.parametrize(("what", "octets", "said"), BREACHES)
def test_a_breach_within_windows_is_named(what: str, octets: bytes, said: str) -> None:
    link = opened(Role.CLIENT, 2)
    link.send_apdu(bytes(3 * SEGMENT_OCTETS - 3))
    with pytest.raises(RemoteProtocolError, match=said):
        feed(link, octets)


def test_a_frame_out_of_sequence_gets_no_answer_while_nothing_is_asked() -> None:
    link = opened(Role.CLIENT, 7)
    link.send_apdu(b"?")
    assert feed(link, frame(TO_CLIENT, 0x30, ANSWER + b"a")) == [ApduReceived(b"a")]
    link.data_to_send()
    assert feed(link, frame(TO_CLIENT, 0x34, ANSWER + b"b")) == []
    assert link.data_to_send() == b""


def test_what_was_acknowledged_cannot_be_taken_back() -> None:
    link = opened(Role.CLIENT, 7)
    link.send_apdu(bytes(7 * SEGMENT_OCTETS - 3))
    feed(link, frame(TO_CLIENT, 0x91))
    with pytest.raises(RemoteProtocolError, match=r"N\(R\) = 3, expected 4 to 7"):
        feed(link, frame(TO_CLIENT, 0x71))


@pytest.mark.parametrize("control", [0x71, 0xF5, 0xB9], ids=["RR", "RNR", "REJ"])
def test_a_server_rejects_an_acknowledgement_of_what_it_did_not_send(control: int) -> None:
    link = opened(Role.SERVER, 2)
    feed(link, frame(TO_SERVER, 0x10, b"\xe6\xe6\x00?"))
    link.send_apdu(bytes(3 * SEGMENT_OCTETS - 3))
    link.data_to_send()
    (event,) = feed(link, frame(TO_SERVER, control))
    assert event == LinkClosed("frame rejected: invalid receive sequence")
    assert link.data_to_send() == frame(TO_CLIENT, 0x97, bytes((control, 0x24, 8)))


def test_a_new_request_in_the_middle_of_an_answer_is_rejected() -> None:
    link = opened(Role.SERVER, 7)
    feed(link, frame(TO_SERVER, 0x10, b"\xe6\xe6\x00?"))
    link.send_apdu(bytes(7 * SEGMENT_OCTETS - 3))
    (event,) = feed(link, frame(TO_SERVER, 0x72, b"\xe6\xe6\x00?"))
    assert isinstance(event, LinkClosed)


@pytest.mark.parametrize("control", [0x11, 0x15, 0x19], ids=["RR", "RNR", "REJ"])
def test_a_meter_that_takes_nothing_ends_in_a_limit(control: int) -> None:
    link = opened(Role.CLIENT, 7, limits=Limits(fruitless_frames=20))
    link.send_apdu(bytes(7 * SEGMENT_OCTETS - 3))
    sent = len(link.data_to_send())
    for _ in range(20):
        assert feed(link, frame(TO_CLIENT, control)) == []
        assert len(link.data_to_send()) <= sent
        link.retransmit()
        link.data_to_send()
    with pytest.raises(LimitExceeded, match="without progress"):
        feed(link, frame(TO_CLIENT, control))


@pytest.mark.parametrize("role", Role)
def test_at_window_1_a_frame_passes_the_turn_though_it_does_not_say_so(role: Role) -> None:
    link = opened(role, 1)
    if role is Role.CLIENT:
        link.send_apdu(b"?")
        link.data_to_send()
        feed(link, frame(TO_CLIENT, 0x20, ANSWER + bytes(13), segmented=True))
        assert link.data_to_send() == frame(TO_SERVER, 0x31)
    else:
        feed(link, frame(TO_SERVER, 0x00, b"\xe6\xe6\x00" + bytes(13), segmented=True))
        assert link.data_to_send() == frame(TO_CLIENT, 0x31)


def test_the_windows_and_fields_that_a_call_proposes_and_the_answer_lowers() -> None:
    link = client_link(parameters=HdlcParameters(2030, 2030, 7, 7))
    link.connect()
    proposal = bytes.fromhex("818014 050207ee 060207ee 070400000007 080400000007")
    assert link.data_to_send() == frame(TO_SERVER, 0x93, proposal)
    lowered = bytes.fromhex("818013 05020100 060140 070400000003 080400000002")
    feed(link, frame(TO_CLIENT, 0x73, lowered))
    # The meter sends 256 octets and 3 frames, and takes 64 octets and 2 frames.
    assert link.parameters == HdlcParameters(64, 256, 2, 3)
    link.send_apdu(bytes(200))
    first, second = b"\xe6\xe6\x00" + bytes(61), bytes(64)
    assert link.data_to_send() == frame(TO_SERVER, 0x00, first, segmented=True) + frame(
        TO_SERVER, 0x12, second, segmented=True
    )


def test_a_meter_that_answers_without_parameters_is_sent_one_frame_at_a_time() -> None:
    link = connected_client(parameters=HdlcParameters.both_ways(2030, 7))
    assert link.parameters == HdlcParameters(128, 128, 1, 1)
    link.send_apdu(bytes(300))
    assert link.data_to_send() == frame(
        TO_SERVER, 0x10, b"\xe6\xe6\x00" + bytes(125), segmented=True
    )


def test_a_client_that_calls_without_parameters_is_sent_one_frame_at_a_time() -> None:
    link = server_link(parameters=HdlcParameters.both_ways(2030, 7))
    feed(link, frame(TO_SERVER, 0x93))
    assert link.data_to_send() == frame(TO_CLIENT, 0x73, HdlcParameters().encode())
    feed(link, frame(TO_SERVER, 0x10, b"\xe6\xe6\x00?"))
    link.send_apdu(bytes(300))
    assert link.data_to_send() == frame(TO_CLIENT, 0x30, ANSWER + bytes(125), segmented=True)


@pytest.mark.parametrize("role", Role)
def test_a_doubled_llc_header_is_taken_for_one_in_either_direction(role: Role) -> None:
    """Seen in the AARE of an Indian meter: E6 E7 00 E6 E7 00."""
    link = opened(role, 7)
    if role is Role.CLIENT:
        link.send_apdu(b"?")
    to, llc = (TO_CLIENT, ANSWER) if role is Role.CLIENT else (TO_SERVER, b"\xe6\xe6\x00")
    acknowledged = 0x20 if role is Role.CLIENT else 0
    whole = llc * 2 + b"abcdefghijklmnop"
    first = frame(to, acknowledged, whole[:16], segmented=True)
    second = frame(to, acknowledged | 0x12, whole[16:])
    assert feed(link, first + second) == [ApduReceived(b"abcdefghijklmnop")]
    assert feed(link, frame(to, 0x13, llc * 2 + b"u")) == [ApduReceived(b"u")]
    assert feed(link, frame(to, 0x13, llc + b"u")) == [ApduReceived(b"u")]
