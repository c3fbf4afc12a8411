"""The client station against a scripted meter, octet by octet."""

from collections.abc import Callable

import pytest

from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.hdlc.frame import Reject, encode_reject
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, LinkClosed, LinkOpened
from gateway.errors import (
    DecodeError,
    LimitExceeded,
    LocalProtocolError,
    PeerRefused,
    RemoteProtocolError,
    UsageError,
)
from tests.links import line
from tests.links.line import TO_CLIENT, TO_SERVER, client_link, connected_client, drain, feed, frame

OPENING = [
    line.octets(text) for text in line.capture("hdlc_association_public_client")["frames_hex"]
]
REQUEST = b"\xe6\xe6\x00"
ANSWER = b"\xe6\xe7\x00"
UA, DM = frame(TO_CLIENT, 0x73), frame(TO_CLIENT, 0x1F)


def test_the_captured_opening_of_a_session_is_spoken_to_the_octet() -> None:
    for cut in (len, lambda _: 1):  # whole, byte by byte
        link = client_link()
        link.connect()
        assert link.data_to_send() == OPENING[0]
        size = cut(OPENING[1])
        assert feed(link, *[OPENING[1][i : i + size] for i in range(0, 33, size)]) == [LinkOpened()]
        assert link.parameters == HdlcParameters()
        link.send_apdu(OPENING[2][12:-3])
        assert link.data_to_send() == OPENING[2]
        size = cut(OPENING[3])
        chunks = [OPENING[3][i : i + size] for i in range(0, 58, size)]
        assert feed(link, *chunks) == [ApduReceived(OPENING[3][12:-3])]
        assert link.data_to_send() == b""


def test_wishes_are_proposed_and_the_smaller_of_both_holds() -> None:
    link = client_link(parameters=HdlcParameters(512, 2030))
    link.connect()
    assert link.data_to_send() == frame(TO_SERVER, 0x93, HdlcParameters(512, 2030).encode())
    assert feed(link, frame(TO_CLIENT, 0x73, HdlcParameters(248, 64).encode())) == [LinkOpened()]
    assert link.parameters == HdlcParameters(64, 248)


def test_a_meter_that_answers_without_parameters_means_the_standards() -> None:
    link = client_link(parameters=HdlcParameters.both_ways(2030))
    link.connect()
    feed(link, UA)
    assert link.parameters == HdlcParameters()


def test_a_long_request_goes_segment_by_segment_as_the_meter_acknowledges() -> None:
    link = connected_client()
    apdu = bytes(range(250)) + bytes(20)
    link.send_apdu(apdu)
    whole = REQUEST + apdu
    assert link.data_to_send() == frame(TO_SERVER, 0x10, whole[:128], segmented=True)
    assert feed(link, frame(TO_CLIENT, 0x31)) == []
    assert link.data_to_send() == frame(TO_SERVER, 0x12, whole[128:256], segmented=True)
    assert feed(link, frame(TO_CLIENT, 0x51)) == []
    assert link.data_to_send() == frame(TO_SERVER, 0x14, whole[256:])
    answer = frame(TO_CLIENT, 0x70, ANSWER + b"ok")
    assert feed(link, answer) == [ApduReceived(b"ok")]


def test_a_long_answer_is_asked_for_segment_by_segment() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    link.data_to_send()
    assert feed(link, frame(TO_CLIENT, 0x30, ANSWER + b"abc", segmented=True)) == []
    assert link.data_to_send() == frame(TO_SERVER, 0x31)
    assert feed(link, frame(TO_CLIENT, 0x32, b"def", segmented=True)) == []
    assert link.data_to_send() == frame(TO_SERVER, 0x51)
    assert feed(link, frame(TO_CLIENT, 0x34, b"ghi")) == [ApduReceived(b"abcdefghi")]
    assert link.data_to_send() == b""
    link.send_apdu(b"!")
    assert link.data_to_send() == frame(TO_SERVER, 0x72, REQUEST + b"!")


def test_a_doubled_llc_header_is_taken_for_one() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    assert feed(link, frame(TO_CLIENT, 0x30, ANSWER * 2 + b"a")) == [ApduReceived(b"a")]


def test_after_a_time_out_the_same_frame_goes_again_and_one_answer_counts() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    sent = link.data_to_send()
    assert link.retransmit()
    assert link.data_to_send() == sent
    answer = frame(TO_CLIENT, 0x30, ANSWER + b"a")
    assert feed(link, answer + answer) == [ApduReceived(b"a")]
    assert link.data_to_send() == b""
    assert not link.retransmit()


def test_repeated_acknowledgements_do_not_double_the_segments() -> None:
    link = connected_client()
    link.send_apdu(bytes(300))
    link.data_to_send()
    assert feed(link, frame(TO_CLIENT, 0x31) * 2) == []
    assert len(line.frames_of([link.data_to_send()])) == 1


@pytest.mark.parametrize("control", [0x31, 0x35], ids=["RR", "RNR"])
def test_a_meter_that_is_not_ready_is_asked_again(control: int) -> None:
    link = connected_client()
    link.send_apdu(b"?")
    link.data_to_send()
    for _ in range(3):
        assert feed(link, frame(TO_CLIENT, control)) == []
        assert link.data_to_send() == frame(TO_SERVER, 0x11)
    assert feed(link, frame(TO_CLIENT, 0x30, ANSWER + b"a")) == [ApduReceived(b"a")]


def test_a_busy_meter_holds_the_next_segment_back() -> None:
    link = connected_client()
    link.send_apdu(bytes(200))
    link.data_to_send()
    feed(link, frame(TO_CLIENT, 0x35))
    assert link.data_to_send() == frame(TO_SERVER, 0x11)
    feed(link, frame(TO_CLIENT, 0x31))
    assert link.data_to_send() == frame(TO_SERVER, 0x12, bytes(75))


@pytest.mark.parametrize("control", [0x31, 0x35], ids=["RR", "RNR"])
def test_a_meter_that_is_never_ready_ends_in_a_limit(control: int) -> None:
    link = connected_client(limits=Limits(fruitless_frames=10))
    link.send_apdu(b"?")
    feed(link, *[frame(TO_CLIENT, control)] * 11)  # the first one acknowledges the request
    with pytest.raises(LimitExceeded, match="without progress"):
        feed(link, frame(TO_CLIENT, control))


def test_segments_that_go_forward_are_never_too_many() -> None:
    link = connected_client(limits=Limits(fruitless_frames=2))
    link.send_apdu(bytes(2000))
    for number in range(1, 16):
        assert feed(link, frame(TO_CLIENT, 0x11 | number % 8 << 5)) == []
    parts = [frame(TO_CLIENT, 0x10 | n % 8 << 1, ANSWER + b"a", segmented=True) for n in range(9)]
    assert feed(link, *parts) == []


def test_pushes_reach_the_application_in_any_state_and_in_segments() -> None:
    link = client_link()
    push = frame(TO_CLIENT, 0x13, ANSWER + b"\x0f1")
    parts = frame(TO_CLIENT, 0x13, ANSWER + b"\x0f", segmented=True) + frame(TO_CLIENT, 0x13, b"2")
    assert feed(link, push) == [ApduReceived(b"\x0f1")]
    link.connect()
    assert feed(link, push, UA, parts) == [
        ApduReceived(b"\x0f1"),
        LinkOpened(),
        ApduReceived(b"\x0f2"),
    ]


def test_disconnecting_is_asked_confirmed_and_can_be_undone() -> None:
    for confirmation in (UA, DM):
        link = connected_client()
        link.disconnect()
        assert link.data_to_send() == frame(TO_SERVER, 0x53)
        late = frame(TO_CLIENT, 0x30, ANSWER + b"late")
        assert feed(link, late + confirmation) == [LinkClosed("disconnected")]
        link.connect()
        assert feed(link, UA) == [LinkOpened()]


def test_a_meter_in_disconnected_mode_refuses_and_may_be_asked_again() -> None:
    link = client_link()
    link.connect()
    with pytest.raises(PeerRefused, match="HDLC refused: disconnected mode"):
        feed(link, DM)
    assert drain(link) == []
    link.connect()
    assert feed(link, UA) == [LinkOpened()]
    link.send_apdu(b"?")
    with pytest.raises(PeerRefused, match="disconnected mode"):
        feed(link, DM)


def test_a_frame_reject_names_its_reason_and_ends_the_link_for_good() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    field = encode_reject(0x10, 0, 0, Reject.INFORMATION_TOO_LONG)
    with pytest.raises(RemoteProtocolError, match="information too long"):
        feed(link, frame(TO_CLIENT, 0x97, field))
    assert link.data_to_send() == b""
    assert not link.retransmit()
    link.receive_data(UA)
    with pytest.raises(RemoteProtocolError, match="information too long"):
        link.next_event()
    with pytest.raises(LocalProtocolError, match="while error"):
        link.connect()


I_FRAME = ANSWER + b"a"
BREACHES = [
    ("N(S) ahead", frame(TO_CLIENT, 0x32, I_FRAME), "N.S. = 1, expected 0"),
    ("N(R) frozen", frame(TO_CLIENT, 0x10, I_FRAME), "N.R. = 0, expected 1.*tolerate_frozen"),
    ("N(R) ahead", frame(TO_CLIENT, 0x51), "N.R. = 2, expected 0 to 1"),
    ("no LLC", frame(TO_CLIENT, 0x30, b"\x61\x00"), "LLC header e6 e7 00 expected, found 61 00"),
    ("LLC of a client", frame(TO_CLIENT, 0x30, REQUEST), "LLC header"),
    ("nothing inside", frame(TO_CLIENT, 0x30), "found nothing"),
    ("a command", frame(TO_CLIENT, 0x93), "93 is no response"),
    ("unknown control", frame(TO_CLIENT, 0x1D), "1d is no response"),
]


@pytest.mark.parametrize(("what", "octets", "said"), BREACHES)
def test_a_breach_of_the_protocol_is_named(what: str, octets: bytes, said: str) -> None:
    link = connected_client()
    link.send_apdu(b"?")
    with pytest.raises(RemoteProtocolError, match=said):
        feed(link, octets)


def test_an_answer_without_a_question_is_a_breach() -> None:
    with pytest.raises(RemoteProtocolError, match="without being asked, while idle"):
        feed(connected_client(), frame(TO_CLIENT, 0x10, I_FRAME))


def test_broken_parameters_in_ua_are_a_breach() -> None:
    link = client_link()
    link.connect()
    with pytest.raises(DecodeError, match="81 80"):
        feed(link, frame(TO_CLIENT, 0x73, b"\x00"))


def test_a_meter_whose_receive_number_never_counts_can_be_borne() -> None:
    link = connected_client(tolerate_frozen_receive_sequence=True)
    for number in range(20):
        link.send_apdu(bytes(150))
        link.data_to_send()
        feed(link, frame(TO_CLIENT, 0x11))
        link.data_to_send()
        control = 0x10 | number % 8 << 1
        assert feed(link, frame(TO_CLIENT, control, I_FRAME)) == [ApduReceived(b"a")]


def test_an_answer_that_never_ends_passes_the_apdu_limit() -> None:
    link = connected_client(limits=Limits(apdu_octets=400))
    link.send_apdu(b"?")
    part = ANSWER + bytes(125)
    parts = [frame(TO_CLIENT, 0x30 | n << 1, part, segmented=True) for n in range(4)]
    assert feed(link, *parts[:3]) == []
    with pytest.raises(LimitExceeded, match="400"):
        feed(link, parts[3])


def test_noise_while_waiting_is_no_event() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    sent = link.data_to_send()
    answer = frame(TO_CLIENT, 0x30, I_FRAME)
    assert feed(link, b"\x00\x7e\xff", answer[:-2] + b"\x00\x7e", answer[:-6]) == []
    assert link.retransmit()
    assert link.data_to_send() == sent
    assert feed(link, answer) == [ApduReceived(b"a")]
    assert link.discarded_frames == 2
    assert link.discarded_octets == 2 + len(answer) - 2 + len(answer) - 6 - 1


def test_a_time_out_ends_the_wait_for_a_frame_that_was_cut_short() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    answer = frame(TO_CLIENT, 0x30, I_FRAME)
    cut = frame(TO_CLIENT, 0x30, ANSWER + bytes(100))[:-20]
    assert feed(link, cut) == []
    assert link.retransmit()
    assert feed(link, answer) == [ApduReceived(b"a")]


FOREIGN = [
    frame(b"\x23\x02\x23", 0x30, I_FRAME),  # for another client
    frame(b"\x21\x02\x25", 0x30, I_FRAME),  # from another meter
    frame(TO_SERVER, 0x10, REQUEST + b"?"),  # our own, echoed by the adapter
    frame(b"\xff\x02\x23", 0x97),  # for all
]


def test_frames_of_other_stations_are_counted_and_passed_over() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    link.data_to_send()
    assert feed(link, *FOREIGN) == []
    assert link.foreign_frames == len(FOREIGN)
    assert link.data_to_send() == b""
    assert feed(link, frame(TO_CLIENT, 0x30, I_FRAME)) == [ApduReceived(b"a")]


def test_late_answers_of_an_earlier_connection_are_passed_over() -> None:
    link = client_link()
    late = frame(TO_CLIENT, 0x54, I_FRAME) + frame(TO_CLIENT, 0x71) + DM
    assert feed(link, late + UA) == []
    link.connect()
    assert feed(link, frame(TO_CLIENT, 0x54, I_FRAME) + frame(TO_CLIENT, 0x71) + UA + UA) == [
        LinkOpened()
    ]


def test_the_end_of_the_stream_is_told_once_after_what_came_before_it() -> None:
    link = connected_client()
    link.send_apdu(b"?")
    cut = frame(TO_CLIENT, 0x30, ANSWER + bytes(100))[:-20]
    link.receive_data(cut + frame(TO_CLIENT, 0x30, I_FRAME) + b"\x7e\xa0")
    link.receive_data(b"")
    assert drain(link) == [ApduReceived(b"a"), LinkClosed("end of stream")]
    assert feed(link, UA, b"") == []
    with pytest.raises(LocalProtocolError, match="while ended"):
        link.connect()


def test_a_stream_that_ends_unused_says_nothing() -> None:
    assert feed(client_link(), b"") == []


def test_steps_out_of_turn_are_refused_by_name() -> None:
    link = client_link()
    assert link.next_event() is NEED_DATA
    assert not link.retransmit()
    with pytest.raises(LocalProtocolError, match="apdu_given is not allowed while disconnected"):
        link.send_apdu(b"?")
    with pytest.raises(LocalProtocolError, match="disc_sent"):
        link.disconnect()
    link.connect()
    with pytest.raises(LocalProtocolError, match="snrm_sent is not allowed while connecting"):
        link.connect()
    feed(link, UA)
    link.send_apdu(b"?")
    with pytest.raises(LocalProtocolError, match="while awaiting"):
        link.send_apdu(b"?")


def test_a_client_needs_an_address() -> None:
    with pytest.raises(UsageError, match="address"):
        client_link(client=None)


@pytest.mark.parametrize("begin", [client_link, line.server_link])
def test_a_peer_whose_receive_number_never_counts_is_sent_no_windows(
    begin: Callable[..., HdlcLink],
) -> None:
    with pytest.raises(UsageError, match="window of 2 frames to a peer whose"):
        begin(parameters=HdlcParameters(128, 128, 2, 1), tolerate_frozen_receive_sequence=True)
    begin(parameters=HdlcParameters(128, 128, 1, 7), tolerate_frozen_receive_sequence=True)


def test_a_client_knows_its_own_sap() -> None:
    assert client_link(client=HdlcAddress(48)).client_sap == 48
