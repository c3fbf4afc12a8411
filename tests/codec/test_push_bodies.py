"""Pushed octets: cut whatever their chunks, read whatever their order, known by what they name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.push import PushStream, RateLimit, Senders, read_body, rows_of, status_word
from gateway.errors import DecodeError, LimitExceeded, RemoteProtocolError
from gateway.model import CaptureList, CaptureObject, Column, Obis

SETUP = Obis.parse("0-4:25.9.0*255")
LN = Data(Tag.OCTET_STRING, SETUP.octets)
ID = Data(Tag.VISIBLE_STRING, "SMGSA1231166")
ID_OCTETS = Data(Tag.OCTET_STRING, b"SMGSA1231166")
CLOCK = Data(Tag.OCTET_STRING, bytes.fromhex("07E90717030B0005FF014A00"))
NEVER = Data(Tag.OCTET_STRING, bytes.fromhex("FFFFFFFFFFFFFFFFFF014A00"))
WORD = Data(Tag.BIT_STRING, "0" * 85 + "1" + "0" * 42)
VALUES = (Data(Tag.LONG_UNSIGNED, 23456), Data(Tag.DOUBLE_LONG_UNSIGNED, 95))


def encoded(*fields: Data) -> bytes:
    return axdr.encode(Data(Tag.STRUCTURE, fields))


def frame(apdu: bytes, head: bytes = b"\0\1\0\1\0\x40") -> bytes:
    return head + len(apdu).to_bytes(2, "big") + apdu


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_frames_are_cut_the_same_in_any_chunks(apdus: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(map(frame, apdus))
    stream = PushStream(40)
    found: list[bytes] = []
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        found += stream.receive(octets[:size])
        octets = octets[size:]
    assert found == apdus
    assert stream._octets == b""


def test_a_frame_too_long_or_of_no_wrapper_ends_the_stream_at_its_head() -> None:
    with pytest.raises(LimitExceeded):
        list(PushStream(40).receive(frame(bytes(41))[:8]))
    with pytest.raises(RemoteProtocolError):
        list(PushStream(40).receive(b"\x7e\xa0\x00\x00\x00\x00\x00\x00"))
    held = PushStream(40)
    assert list(held.receive(frame(bytes(40))[:-1])) == []
    assert len(held._octets) == 47


@pytest.mark.parametrize(
    ("head", "setup", "device_id", "clock"),
    [
        ((ID, LN, CLOCK), SETUP, "SMGSA1231166", True),
        ((LN, ID, CLOCK), SETUP, "SMGSA1231166", True),
        ((LN, CLOCK), SETUP, None, True),
        ((LN,), SETUP, None, False),
        ((ID_OCTETS, LN, CLOCK), SETUP, "SMGSA1231166", True),
        ((ID, LN, NEVER), SETUP, "SMGSA1231166", True),
        ((), None, None, False),
    ],
)
def test_the_head_of_a_body_is_known_by_what_it_is(head, setup, device_id, clock) -> None:
    body = read_body(encoded(*head, *VALUES))
    assert (body.setup, body.device_id, body.clock is not None) == (setup, device_id, clock)
    assert [part.data for part in body.payload] == list(VALUES)
    assert b"".join(part.octets for part in body.payload) == b"".join(map(axdr.encode, VALUES))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x12\x00\x01",
        b"\x02\x02\x11",
        encoded(LN) + b"\x00",
        b"\x02\x84\xff\xff\xff\xff",
        b"\x02\x01" * 9 + b"\x02\x00",
    ],
)
def test_what_is_no_structure_is_no_body(octets: bytes) -> None:
    with pytest.raises((DecodeError, LimitExceeded)):
        read_body(octets)


@pytest.mark.parametrize(
    "payload",
    [
        (WORD,),
        (Data(Tag.STRUCTURE, (WORD,)),),
        (Data(Tag.ARRAY, (Data(Tag.STRUCTURE, (VALUES[0], WORD)),)),),
        (VALUES[0], WORD),
    ],
)
def test_a_status_word_is_found_flat_or_nested(payload: tuple[Data, ...]) -> None:
    assert status_word(read_body(encoded(ID, LN, CLOCK, *payload)).payload) == WORD.value


def test_a_body_without_a_long_bit_string_has_no_status_word() -> None:
    short = Data(Tag.BIT_STRING, "101")
    assert status_word(read_body(encoded(ID, LN, CLOCK, short)).payload) is None


def column(class_id: int, name: str, type_name: str) -> Column:
    return Column(CaptureObject(class_id, Obis.parse(name), 2), 0, 30, type_name)


CAPTURES = CaptureList(
    (
        column(8, "0-0:1.0.0*255", "octet-string"),
        column(3, "1-0:12.27.0*255", "long-unsigned"),
        column(3, "1-0:1.8.0*255", "double-long-unsigned"),
    )
)
ROW = encoded(CLOCK, *VALUES)


@pytest.mark.parametrize(
    "fields",
    [
        (ID, LN, CLOCK, *VALUES),
        (LN, CLOCK, *VALUES),
        (ID, LN, CLOCK, Data(Tag.STRUCTURE, VALUES)),
        (ID, LN, NEVER, Data(Tag.STRUCTURE, (CLOCK, *VALUES))),
        (ID, LN, NEVER, Data(Tag.ARRAY, (Data(Tag.STRUCTURE, (CLOCK, *VALUES)),))),
    ],
)
def test_a_pushed_row_has_the_octets_that_reading_gives(fields: tuple[Data, ...]) -> None:
    rows = rows_of(read_body(encoded(*fields)), CAPTURES)
    assert rows is not None
    assert [row.raw for row in rows] == [ROW]
    assert rows[0].values == (CLOCK.value, 23456, 95)


def test_several_rows_in_one_message_are_all_rows_or_none() -> None:
    row = Data(Tag.STRUCTURE, (CLOCK, *VALUES))
    bad = Data(Tag.STRUCTURE, (CLOCK, *VALUES, VALUES[0]))
    whole = read_body(encoded(ID, LN, CLOCK, Data(Tag.ARRAY, (row, row))))
    assert len(rows_of(whole, CAPTURES) or ()) == 2
    mixed = read_body(encoded(ID, LN, CLOCK, Data(Tag.ARRAY, (row, bad))))
    assert rows_of(mixed, CAPTURES) is None


@pytest.mark.parametrize(
    "fields",
    [
        (ID, LN, CLOCK, VALUES[0]),
        (ID, LN, CLOCK, *VALUES, VALUES[0], VALUES[0]),
        (ID, LN, CLOCK, *reversed(VALUES)),
        (ID, LN, CLOCK, VALUES[0], Data(Tag.FLOAT32, bytes(4))),
        (ID, LN, CLOCK, Data(Tag.ARRAY, VALUES)),
        (ID, LN, CLOCK, Data(Tag.ARRAY, ())),
        (ID, LN, CLOCK),
    ],
)
def test_what_does_not_agree_with_the_columns_is_no_row(fields: tuple[Data, ...]) -> None:
    assert rows_of(read_body(encoded(*fields)), CAPTURES) is None


def test_a_column_whose_type_was_never_seen_agrees_with_nothing() -> None:
    unseen = CaptureList((*CAPTURES.columns[:2], column(3, "1-0:1.8.0*255", "")))
    assert rows_of(read_body(encoded(ID, LN, CLOCK, *VALUES)), unseen) is None


def test_so_many_messages_a_minute_of_each_sender() -> None:
    limit = RateLimit(2, most_senders=2)
    assert [limit.allows("a", now_s) for now_s in (0, 59, 59, 60)] == [True, True, False, True]
    assert [limit.allows("b", 60) for _ in range(3)] == [True, True, False]
    assert limit.allows("c", 60), "the sender not heard for longest is forgotten"
    assert [limit.allows("b", 61), limit.allows("a", 61)] == [False, True]


def test_a_title_that_two_meters_claim_is_neither_ones() -> None:
    senders = Senders(["SA1", "SA2"], lambda address: ["SA1"] if address == "here" else [])
    assert senders.by_title(b"TITLE123", "here") == "SA1", "nobody else is there"
    assert senders.by_title(b"TITLE123", "there") is None
    senders.learn(b"TITLE123", "SA2")
    assert senders.by_title(b"TITLE123", "here") == "SA2"
    senders.learn(b"TITLE123", "SA1")
    assert senders.by_title(b"TITLE123", "here") is None
    senders.learn(b"TITLE999", "a stranger")
    assert not senders.knows(b"TITLE999")


def test_a_device_id_is_a_serial_number_alone_or_behind_three_letters() -> None:
    senders = Senders(["SA1231166"], lambda _: ["x", "y"])
    assert senders.by_device_id("SA1231166") == "SA1231166"
    assert senders.by_device_id("SMGSA1231166") == "SA1231166"
    assert senders.by_device_id("XSMGSA1231166") is None
    assert senders.by_address("anywhere") is None, "several meters stand there"
