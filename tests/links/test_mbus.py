"""Wired M-Bus long frames: cut and checked, joined in their order, bounded."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA
from gateway.dlms.mbus import Assembly, LongFrame, is_long_frame, read_frame
from gateway.errors import DecodeError, LimitExceeded, RemoteProtocolError

LIMITS = Limits()


def frame_octets(data: bytes, *, ci: int = 0x10, saps: bytes = b"\x01\x67") -> bytes:
    content = b"\x53\xff" + bytes([ci]) + saps + data
    length = bytes([len(content)])
    return b"\x68" + length * 2 + b"\x68" + content + bytes([sum(content) & 0xFF]) + b"\x16"


def part(number: int, data: bytes = b"x", *, last: bool = False) -> LongFrame:
    return LongFrame(0x53, 0xFF, number, last, 1, 0x67, data)


@given(data=st.binary(max_size=250), ci=st.integers(0, 0x1F), junk=st.binary(max_size=8))
def test_a_frame_is_read_whole_octet_by_octet_and_with_octets_behind(
    data: bytes, ci: int, junk: bytes
) -> None:
    octets = frame_octets(data, ci=ci)
    for have in range(len(octets)):
        assert read_frame(octets[:have]) is NEED_DATA
    expected = LongFrame(0x53, 0xFF, ci & 0x0F, ci >= 0x10, 1, 0x67, data)
    assert read_frame(octets + junk) == (expected, len(octets))
    assert read_frame(junk + octets, len(junk)) == (expected, len(junk) + len(octets))
    assert is_long_frame(octets)


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"\x10" + frame_octets(b"ab")[1:], "68 L L 68"),
        (frame_octets(b"ab")[:2] + b"\x08" + frame_octets(b"ab")[3:], "lengths differ"),
        (bytes.fromhex("68040468 53FF1001 6716"), "too short"),
        (frame_octets(b"ab")[:-2] + b"\x00\x16", "checksum"),
        (frame_octets(b"ab")[:-1] + b"\x17", "stop octet"),
        (frame_octets(b"ab", ci=0x72), "CI field 0x72"),
    ],
)
def test_what_is_no_frame_says_why(octets: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        read_frame(octets)


@given(st.binary(max_size=60))
def test_any_octets_end_in_a_frame_a_wait_or_a_typed_error(octets: bytes) -> None:
    with suppress(RemoteProtocolError):
        read_frame(octets)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 9))
def test_parts_in_order_make_the_apdu_also_past_the_sixteenth(apdu: bytes, size: int) -> None:
    pieces = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    assembly = Assembly(LIMITS)
    for number, piece in enumerate(pieces[:-1]):
        assert assembly.add(part(number & 15, piece)) is None
        assert assembly.begun
    assert assembly.add(part((len(pieces) - 1) & 15, pieces[-1], last=True)) == apdu
    assert not assembly.begun


def test_a_first_part_begins_anew_where_the_end_of_the_one_before_was_missed() -> None:
    assembly = Assembly(LIMITS)
    assembly.add(part(0, b"lost"))
    assembly.add(part(0, b"ab"))
    assert assembly.add(part(1, b"c", last=True)) == b"abc"


@pytest.mark.parametrize("number", [0, 2, 15])
def test_a_part_out_of_turn_is_refused_and_forgets_what_was_begun(number: int) -> None:
    assembly = Assembly(LIMITS)
    if number:
        assembly.add(part(0))
        with pytest.raises(DecodeError, match=f"part {number} came where part 1 belongs"):
            assembly.add(part(number))
    else:
        with pytest.raises(DecodeError, match="part 1 came where part 0 belongs"):
            assembly.add(part(1))
    assert not assembly.begun


def test_an_endless_apdu_is_bounded() -> None:
    assembly = Assembly(replace(LIMITS, apdu_octets=100))
    for number in range(100):
        assembly.add(part(number & 15))
    with pytest.raises(LimitExceeded, match="passes 100 octets"):
        assembly.add(part(100 & 15))
    assert not assembly.begun
