"""The server station against a scripted client."""

import pytest

from gateway.dlms.hdlc import HdlcAddress, HdlcParameters
from gateway.dlms.link import ApduReceived, LinkClosed, LinkOpened
from gateway.errors import DecodeError, LocalProtocolError
from tests.links.line import (
    SERVER,
    TO_CLIENT,
    TO_SERVER,
    connected_server,
    feed,
    frame,
    server_link,
)

REQUEST = b"\xe6\xe6\x00"
ANSWER = b"\xe6\xe7\x00"
SNRM, DISC = frame(TO_SERVER, 0x93), frame(TO_SERVER, 0x53)
UA, DM = frame(TO_CLIENT, 0x73), frame(TO_CLIENT, 0x1F)
OTHER_TO_SERVER, TO_OTHER = b"\x02\x23\x61", b"\x61\x02\x23"
ASK = frame(TO_SERVER, 0x10, REQUEST + b"?")


def test_a_call_is_answered_with_the_smaller_of_both_wishes() -> None:
    link = server_link(parameters=HdlcParameters(256, 512))
    assert feed(link, frame(TO_SERVER, 0x93, HdlcParameters(1024, 200, 7, 7).encode())) == [
        LinkOpened()
    ]
    assert link.data_to_send() == frame(TO_CLIENT, 0x73, HdlcParameters(200, 512).encode())


def test_a_call_without_parameters_means_the_standards() -> None:
    link = server_link(parameters=HdlcParameters.both_ways(2030))
    feed(link, SNRM)
    assert link.data_to_send() == frame(TO_CLIENT, 0x73, HdlcParameters().encode())


def test_an_unconnected_server_answers_disconnected_mode() -> None:
    for octets in (ASK, frame(TO_SERVER, 0x11), DISC, frame(TO_SERVER, 0x19)):
        link = server_link()
        assert feed(link, octets) == []
        assert link.data_to_send() == DM


def test_a_request_is_delivered_and_the_answer_goes_segment_by_segment() -> None:
    link = connected_server()
    assert feed(link, ASK) == [ApduReceived(b"?")]
    apdu = bytes(range(250)) + bytes(20)
    link.send_apdu(apdu)
    whole = ANSWER + apdu
    assert link.data_to_send() == frame(TO_CLIENT, 0x30, whole[:128], segmented=True)
    assert feed(link, frame(TO_SERVER, 0x31)) == []
    assert link.data_to_send() == frame(TO_CLIENT, 0x32, whole[128:256], segmented=True)
    assert feed(link, frame(TO_SERVER, 0x51)) == []
    assert link.data_to_send() == frame(TO_CLIENT, 0x34, whole[256:])
    assert feed(link, frame(TO_SERVER, 0x72, REQUEST + b"!")) == [ApduReceived(b"!")]


def test_a_request_in_segments_is_acknowledged_one_by_one() -> None:
    link = connected_server()
    first = frame(TO_SERVER, 0x10, REQUEST + b"ab", segmented=True)
    assert feed(link, first) == []
    assert link.data_to_send() == frame(TO_CLIENT, 0x31)
    assert feed(link, first) == []  # the acknowledgement was lost
    assert link.data_to_send() == frame(TO_CLIENT, 0x31)
    assert feed(link, frame(TO_SERVER, 0x12, b"cd")) == [ApduReceived(b"abcd")]
    assert link.data_to_send() == b""


def test_a_repeated_request_is_answered_again_but_delivered_once() -> None:
    link = connected_server()
    for number in range(10):
        ask = frame(TO_SERVER, 0x10 | number % 8 * 0x22, REQUEST + b"?")
        assert feed(link, ask) == [ApduReceived(b"?")]
        assert feed(link, ask) == []
        assert link.data_to_send() == b""  # the application has not answered yet
        link.send_apdu(b"a")
        answer = link.data_to_send()
        assert feed(link, ask) == []
        assert link.data_to_send() == answer


def test_a_poll_for_a_lost_segment_sends_it_again() -> None:
    link = connected_server()
    feed(link, ASK)
    link.send_apdu(bytes(200))
    link.data_to_send()
    feed(link, frame(TO_SERVER, 0x31))
    second = link.data_to_send()
    assert feed(link, frame(TO_SERVER, 0x31)) == []
    assert link.data_to_send() == second


def test_signs_of_life_are_answered() -> None:
    link = connected_server()
    for control in (0x11, 0x15):
        assert feed(link, frame(TO_SERVER, control)) == []
        assert link.data_to_send() == frame(TO_CLIENT, 0x11)


def test_a_call_while_connected_begins_afresh() -> None:
    link = connected_server()
    feed(link, ASK)
    link.send_apdu(bytes(200))
    feed(link, frame(TO_SERVER, 0x32, REQUEST + b"half", segmented=True))
    feed(link, frame(TO_SERVER, 0x13, REQUEST + b"half", segmented=True))
    link.data_to_send()
    assert feed(link, SNRM) == [LinkOpened()]
    assert link.data_to_send() == frame(TO_CLIENT, 0x73, HdlcParameters().encode())
    assert feed(link, frame(TO_SERVER, 0x13, REQUEST + b"u")) == [ApduReceived(b"u")]
    assert feed(link, ASK) == [ApduReceived(b"?")]


def test_right_after_a_call_nothing_is_repeated() -> None:
    link = connected_server()
    feed(link, ASK)
    link.send_apdu(b"a")
    feed(link, SNRM)
    link.data_to_send()
    assert feed(link, frame(TO_SERVER, 0x1E, REQUEST + b"late")) == []
    assert link.data_to_send() == b""


def test_a_request_out_of_sequence_is_answered_with_the_number_expected() -> None:
    link = connected_server()
    assert feed(link, frame(TO_SERVER, 0x14, REQUEST + b"?")) == []
    assert link.data_to_send() == frame(TO_CLIENT, 0x11)


REJECTS = [
    ("N(R) of nothing", frame(TO_SERVER, 0x70, REQUEST + b"?"), "700008", "invalid receive seq"),
    ("poll from nowhere", frame(TO_SERVER, 0x71), "710008", "invalid receive seq"),
    ("poll for nothing", frame(TO_SERVER, 0xF1), "f10008", "invalid receive seq"),
    ("unknown control", frame(TO_SERVER, 0x1D), "1d0001", "undefined control"),
]


@pytest.mark.parametrize(("what", "octets", "field", "said"), REJECTS)
def test_what_repetition_cannot_mend_is_rejected(
    what: str, octets: bytes, field: str, said: str
) -> None:
    link = connected_server()
    (event,) = feed(link, octets)
    assert isinstance(event, LinkClosed)
    assert said in event.reason
    assert link.data_to_send() == frame(TO_CLIENT, 0x97, bytes.fromhex(field))
    assert feed(link, ASK) == []
    assert link.data_to_send() == DM
    assert feed(link, SNRM) == [LinkOpened()]


def test_hanging_up_is_confirmed_in_any_state() -> None:
    link = connected_server()
    assert feed(link, DISC) == [LinkClosed("disconnected")]
    assert link.data_to_send() == UA
    feed(link, SNRM + ASK)
    link.send_apdu(bytes(500))
    link.data_to_send()
    assert feed(link, DISC) == [LinkClosed("disconnected")]
    assert link.data_to_send() == UA


def test_another_client_is_refused_until_it_calls_itself() -> None:
    link = connected_server()
    assert link.client_sap == 16
    assert feed(link, frame(OTHER_TO_SERVER, 0x10, REQUEST + b"?")) == []
    assert link.data_to_send() == frame(TO_OTHER, 0x1F)
    assert feed(link, frame(OTHER_TO_SERVER, 0x93)) == [LinkOpened()]
    assert link.client_sap == 48
    link.data_to_send()
    assert feed(link, ASK) == []
    assert link.data_to_send() == DM


NOT_FOR_US = [
    ("other meter", frame(b"\x02\x25\x21", 0x93)),
    ("other logical device", frame(b"\x04\x23\x21", 0x93)),
    ("one octet", frame(b"\x03\x21", 0x93)),
    ("all, one octet", frame(b"\xff\x21", 0x93)),
    ("all physical devices", frame(b"\x02\xff\x21", 0x93)),
    ("all", frame(b"\xfe\xff\x21", 0x93)),
    ("an answer of another meter", frame(TO_CLIENT, 0x73)),
]


@pytest.mark.parametrize(("what", "octets"), NOT_FOR_US)
def test_only_frames_for_this_meter_are_answered(what: str, octets: bytes) -> None:
    link = server_link()
    assert feed(link, octets) == []
    assert link.data_to_send() == b""
    assert link.foreign_frames == 1


def test_a_server_of_one_client_ignores_others() -> None:
    link = server_link(client=HdlcAddress(48))
    assert feed(link, SNRM) == []
    assert link.data_to_send() == b""
    assert feed(link, frame(OTHER_TO_SERVER, 0x93)) == [LinkOpened()]


def test_responses_sent_to_a_server_are_no_commands() -> None:
    link = connected_server()
    for control in (0x73, 0x1F, 0x97):
        assert feed(link, frame(TO_SERVER, control)) == []
    assert link.data_to_send() == b""


def test_an_unconfirmed_request_is_delivered_without_an_answer() -> None:
    link = connected_server()
    assert feed(link, frame(TO_SERVER, 0x13, REQUEST + b"u")) == [ApduReceived(b"u")]
    assert link.data_to_send() == b""
    with pytest.raises(LocalProtocolError, match="while idle"):
        link.send_apdu(b"a")


def test_broken_parameters_in_a_call_are_a_breach() -> None:
    with pytest.raises(DecodeError):
        feed(server_link(), frame(TO_SERVER, 0x93, b"\x81\x80\x03\x05\x01\x00"))


def test_a_server_neither_calls_nor_hangs_up_nor_repeats_by_itself() -> None:
    link = connected_server()
    with pytest.raises(LocalProtocolError, match="its client does"):
        link.connect()
    with pytest.raises(LocalProtocolError, match="its client does"):
        link.disconnect()
    assert not link.retransmit()


def test_the_end_of_the_stream_closes_a_server() -> None:
    assert feed(connected_server(), b"") == [LinkClosed("end of stream")]
    link = server_link()
    assert link.client_sap is None
    assert feed(link, b"") == []
    assert SERVER.lower == 17
