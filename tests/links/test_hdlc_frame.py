"""One HDLC frame, both ways, and every way in which octets are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.hdlc.frame import (
    Frame,
    FrameType,
    Reject,
    decode_frame,
    describe_reject,
    encode_frame,
    encode_reject,
)
from gateway.errors import DecodeError, LocalProtocolError
from tests.links import line

OPENING = [
    line.octets(text) for text in line.capture("hdlc_association_public_client")["frames_hex"]
]
SERVER, CLIENT = b"\x02\x23", b"\x21"

CAPTURED = [
    (OPENING[0], Frame(SERVER, CLIENT, 0x93, b"", segmented=False)),
    (OPENING[1], Frame(CLIENT, SERVER, 0x73, OPENING[1][9:-3], segmented=False)),
    (OPENING[2], Frame(SERVER, CLIENT, 0x10, OPENING[2][9:-3], segmented=False)),
    (OPENING[3], Frame(CLIENT, SERVER, 0x30, OPENING[3][9:-3], segmented=False)),
    (OPENING[4], Frame(b"\x21", b"\x03", 0x96, OPENING[4][8:-3], segmented=True)),
]


@pytest.mark.parametrize(("whole", "frame"), CAPTURED)
def test_captured_frames_are_read_and_written(whole: bytes, frame: Frame) -> None:
    assert decode_frame(whole) == frame
    addresses = frame.destination + frame.source
    assert encode_frame(addresses, frame.control, frame.information, frame.segmented) == whole


CONTROLS = [
    (0x10, FrameType.I, 0, 0),
    (0x96, FrameType.I, 3, 4),
    (0xFE, FrameType.I, 7, 7),
    (0x31, FrameType.RR, None, 1),
    (0xF5, FrameType.RNR, None, 7),
    (0x93, FrameType.SNRM, None, None),
    (0x53, FrameType.DISC, None, None),
    (0x73, FrameType.UA, None, None),
    (0x1F, FrameType.DM, None, None),
    (0x97, FrameType.FRMR, None, None),
    (0x13, FrameType.UI, None, None),
    (0x03, FrameType.UI, None, None),
    (0x19, FrameType.REJ, None, 0),
    (0x1D, None, None, None),  # SREJ
    (0xBF, None, None, None),  # XID
]


@pytest.mark.parametrize(("control", "kind", "send", "receive"), CONTROLS)
def test_a_control_field_names_its_frame(
    control: int, kind: FrameType | None, send: int | None, receive: int | None
) -> None:
    frame = Frame(SERVER, CLIENT, control, b"", segmented=False)
    assert frame.type is kind
    assert send is None or frame.send_sequence == send
    assert receive is None or frame.receive_sequence == receive
    assert frame.poll_final == bool(control & 0x10)


@given(
    addresses=st.sampled_from(["0223 21", "21 0223", "00020023 21", "03 21"]),
    control=st.integers(0, 255),
    information=st.binary(max_size=2030),
    segmented=st.booleans(),
)
def test_every_frame_survives_the_way_there_and_back(
    addresses: str, control: int, information: bytes, segmented: bool
) -> None:
    octets = bytes.fromhex(addresses)
    whole = encode_frame(octets, control, information, segmented)
    frame = decode_frame(whole)
    assert frame.destination + frame.source == octets
    assert frame[2:] == (control, information, segmented)
    assert whole == line.frame(octets, control, information, segmented=segmented)


BROKEN = [
    ("", "begins with flag"),
    ("00", "begins with flag"),
    ("7e", "cut short"),
    ("7e55", "format type 3"),
    ("7e9007", "format type 3"),
    ("7ea00802232193bd64", "cut short"),
    ("7ea00802232193bd647e7e", "after the HDLC frame"),
    ("7ea00802232193bd657e", "frame check"),
    ("7ea00802232193bd6400", "closing flag"),
    ("7ea00902232193bd647e", "too small"),
    ("7ea00a02232193bd657e", "header check"),
    ("7ea00002232193bd647e", "too small"),
    ("7ea01f21022373e6c68180", "header check"),
    ("7ea008020223930000", "3 octets"),
    ("7ea00802020202930000", "without an end"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_octets_that_are_no_frame_are_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        decode_frame(bytes.fromhex(text))


def test_every_flipped_bit_of_a_frame_is_noticed() -> None:
    whole = OPENING[3]
    for bit in range(len(whole) * 8):
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            decode_frame(bytes(spoilt))


def test_a_frame_past_the_length_field_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="2047"):
        encode_frame(b"\x00\x02\x00\x23\x21", 0x10, bytes(2036))


def test_a_reject_names_its_reasons() -> None:
    reason = Reject.INVALID_RECEIVE_SEQUENCE | Reject.UNDEFINED_CONTROL
    field = encode_reject(0x52, 2, 5, reason)
    assert field.hex() == "52a409"
    assert describe_reject(field) == (
        "undefined control, invalid receive sequence (control field 52)"
    )
    assert describe_reject(b"") == "no reason given"
