"""Octets to frames: any chunking, any noise."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.hdlc.frame import encode_frame
from gateway.dlms.hdlc.stream import FrameStream
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA
from gateway.errors import LimitExceeded
from tests.links import line

CASES = line.capture("hdlc_stream_cases")
EXPECTED: list[dict[str, Any]] = [CASES["expected"][f"frame_{n}"] for n in range(10)]
SMALL = encode_frame(b"\x21\x03", 0x73)
LARGE = encode_frame(b"\x21\x03", 0x30, b"\xe6\xe7\x00" + bytes(range(0x40, 0xC0)))
PUSHES = [
    "aidon_no_1phase_hdlc",
    "aidon_se_3phase_hdlc",
    "kaifa_ma304h3e_hdlc",
    "kamstrup_omnipower_hdlc",
]


@pytest.mark.parametrize("number", range(10))
def test_captured_streams_give_the_frames_their_source_states(number: int) -> None:
    wanted = [bytes.fromhex(f["payload_hex"]) for f in EXPECTED[number].get("frames", [])]
    assert len(wanted) == EXPECTED[number]["frames_found"]
    for chunks in line.chunkings(line.octets(CASES["frames_hex"][number])):
        assert [frame.information for frame in line.frames_of(chunks)] == wanted


@pytest.mark.parametrize("name", PUSHES)
def test_a_captured_push_is_found_in_any_chunking_with_junk_around(name: str) -> None:
    (text,) = line.capture(name)["frames_hex"]
    whole = line.octets(text)
    wanted = line.frames_of([whole])
    assert len(wanted) == 1
    assert wanted[0].information.startswith(b"\xe6\xe7\x00")
    for chunks in line.chunkings(whole):
        assert line.frames_of(chunks) == wanted
    for junk in (b"\x00\xff", b"\x7e", b"\x7e\xa0", b"\x7e\xa7\xff\x03\x21", whole[1:40]):
        assert line.frames_of([junk + whole + junk]) == wanted


SPOILT = [
    ("header check", LARGE[:6] + b"\x00" + LARGE[7:]),
    ("frame check", LARGE[:-3] + b"\x00\x00\x7e"),
    ("closing flag", LARGE[:-1] + b"\x00"),
    ("length", LARGE[:2] + b"\x20" + LARGE[3:]),
    ("cut short", LARGE[:30]),
    ("an octet too many", LARGE[:30] + b"\x7e" + LARGE[30:]),
]


@pytest.mark.parametrize(("what", "octets"), SPOILT)
def test_a_spoilt_frame_is_skipped_and_those_after_it_are_found(what: str, octets: bytes) -> None:
    good = line.frames_of([SMALL, LARGE])
    for chunks in line.chunkings(octets + SMALL + LARGE + SMALL + LARGE):
        assert line.frames_of(chunks) == good + good


def test_a_frame_inside_what_a_false_start_claims_is_found_once_the_claim_fails() -> None:
    inside = encode_frame(b"\x21\x03", 0x30, b"\x00" * 20 + LARGE + b"\x00" * 60)
    spoilt = inside[:-2] + b"\x00\x7e"
    assert line.frames_of([spoilt]) == line.frames_of([LARGE])


def test_silence_ends_the_wait_for_the_rest_of_a_frame() -> None:
    stream = FrameStream(Limits())
    stream.receive(LARGE[:40] + SMALL)
    assert stream.next_frame() is NEED_DATA
    stream.note_silence()
    assert [stream.next_frame(), stream.next_frame()] == [*line.frames_of([SMALL]), NEED_DATA]
    assert (stream.discarded_frames, stream.discarded_octets) == (1, 39)


def test_silence_is_remembered_when_the_next_frame_comes_before_anybody_looks() -> None:
    stream = FrameStream(Limits())
    stream.receive(SMALL + LARGE[:40])
    assert stream.next_frame() is not NEED_DATA
    stream.note_silence()
    stream.receive(SMALL)
    assert [stream.next_frame()] == line.frames_of([SMALL])


def test_silence_after_a_flag_keeps_it_for_the_next_frame() -> None:
    stream = FrameStream(Limits())
    stream.receive(SMALL)
    assert stream.next_frame() is not NEED_DATA
    stream.note_silence()
    assert stream.next_frame() is NEED_DATA
    for octet in SMALL[1:]:  # shares the closing flag of the frame before
        stream.receive(bytes([octet]))
        found = stream.next_frame()
    assert found is not NEED_DATA


def test_what_was_thrown_away_is_counted_the_same_in_any_chunking() -> None:
    octets = b"abc" + LARGE + b"\x00\x00" + SMALL[:-2] + b"\x00\x7e" + SMALL
    for chunks in line.chunkings(octets):
        stream = FrameStream(Limits())
        for chunk in chunks:
            stream.receive(chunk)
            while stream.next_frame() is not NEED_DATA:
                pass
        assert (stream.discarded_octets, stream.discarded_frames) == (3 + 2 + 7, 1)


def test_endless_garbage_is_given_up_and_a_good_frame_forgives() -> None:
    limits = Limits(garbage_octets=100)
    assert len(line.frames_of([b"\x00" * 100, SMALL, b"\x00" * 100, SMALL], limits)) == 2
    for size in (1, 101):
        with pytest.raises(LimitExceeded, match="at most 100"):
            line.frames_of([b"\x00" * size] * 101, limits)


def test_held_back_octets_stay_below_one_frame_whatever_comes() -> None:
    stream = FrameStream(Limits(garbage_octets=10**9))
    start = encode_frame(b"\x21\x03", 0x30, bytes(2030))[:20]
    for _ in range(2000):
        stream.receive(start)
        assert stream.next_frame() is NEED_DATA
        assert len(stream._octets) - stream._position <= 2047 + 2


pieces = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([SMALL, LARGE, SMALL[1:], LARGE[:-4], LARGE[:9], b"\x7e", b"\x7e\xa0\x10"]),
)


@given(pieces=st.lists(pieces, max_size=12), cuts=st.lists(st.integers(0, 900), max_size=12))
def test_the_same_octets_give_the_same_frames_in_any_chunking(
    pieces: list[bytes], cuts: list[int]
) -> None:
    octets = b"".join(pieces)
    places = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    chunks = [octets[a:b] for a, b in pairwise(places)]
    assert line.frames_of(chunks) == line.frames_of([octets])
