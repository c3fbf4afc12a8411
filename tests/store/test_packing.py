"""Messages bounded by octets: rows that are too many for one message go into several."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.model import (
    Batch,
    CaptureList,
    CaptureObject,
    Column,
    Evidence,
    MeterId,
    Obis,
    ProfileKind,
    Row,
)
from gateway.store.outbox import NewMessage
from gateway.store.packing import packed
from gateway.store.readings import ReadingsStore
from gateway.uplink.message import Header, decode_readings, encode_readings, with_header
from gateway.uplink.outbox import Lane
from gateway.uplink.wire import MAX_BODY_OCTETS, MAX_MESSAGE_OCTETS, MessageTooLarge

M1 = MeterId("M1")
BLOCK = ProfileKind.BLOCK_LOAD
CAPTURES = CaptureList((Column(CaptureObject(1, Obis.parse("0-0:96.1.0*255"), 2)),))
LONGEST = Header("g" * 64, "s" * 64, "0" * 16, 2**63 - 1)


def text_batch(*lengths: int) -> Batch:
    rows = tuple(
        Row(900 * (place + 1), ("x" * length,), b"\x02\x01%d" % place)
        for place, length in enumerate(lengths)
    )
    return Batch(M1, BLOCK, CAPTURES, rows, Evidence(1))


def times_sent(store: ReadingsStore) -> list[list[int]]:
    bodies = [entry.body for entry in store.outbox.pending(Lane.LIVE, 0, 100)]
    messages = [decode_readings(with_header(body, LONGEST)) for body in bodies]
    return [[row.captured_at_s for row in message.batch.rows] for message in messages]


def test_rows_too_large_for_one_message_go_into_several_in_their_order(site):
    store = site.readings()
    result = store.add_batch(text_batch(*[12_000] * 48), encode_readings, Lane.LIVE)
    assert (result.new_rows, result.sequences) == (48, (1, 2))
    assert times_sent(store) == [
        [900 * place for place in range(1, 25)],
        [900 * place for place in range(25, 49)],
    ]


def test_a_row_too_large_for_any_message_is_stored_and_put_aside_once_and_blocks_nobody(site):
    store = site.readings()
    batch = text_batch(10, MAX_MESSAGE_OCTETS, 10)
    result = store.add_batch(batch, encode_readings, Lane.LIVE)
    assert (result.new_rows, result.sequences) == (3, (1, 3))
    assert store.captured_times(M1, BLOCK, 0, 9999) == [900, 1800, 2700]
    assert times_sent(store) == [[900], [2700]]
    assert (store.outbox.depth().live, store.outbox.depth().refused) == (2, 1)
    again = store.add_batch(batch, encode_readings, Lane.LIVE)
    assert (again.new_rows, again.duplicates, again.sequences) == (0, 3, ())
    assert store.outbox.depth().refused == 1
    path = site.readings_path
    site.close()
    reason, time_s = read_refused(path)
    assert str(MAX_BODY_OCTETS) in reason
    assert time_s == 1800


def read_refused(path: Path) -> tuple[str, int]:
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT f.reason, r.captured_at_s FROM v_refused f JOIN readings r USING (sequence)"
    ).fetchall()
    connection.close()
    assert len(found) == 1
    return str(found[0][0]), int(found[0][1])


def test_the_longest_header_fits_in_front_of_the_longest_body():
    def body_of(length: int) -> bytes:
        return encode_readings(text_batch(length))

    spare = MAX_BODY_OCTETS - len(body_of(1))
    longest = body_of(1 + spare)
    assert len(longest) == MAX_BODY_OCTETS
    message = with_header(longest, LONGEST)
    assert len(message) <= MAX_MESSAGE_OCTETS
    assert decode_readings(message).header == LONGEST
    with pytest.raises(MessageTooLarge):
        body_of(2 + spare)


def test_a_number_put_aside_is_put_aside_once(site):
    store = site.readings()
    number = store.add_message(NewMessage("result", "cis-7", Lane.LIVE, b"{}"), 5)
    with store._database.transaction():
        moved = [store.outbox.refuse(number, "no", 6), store.outbox.refuse(number, "no", 7)]
    assert moved == [1, 0]
    assert store.outbox.depth().refused == 1


def test_any_other_error_of_the_encoder_is_its_callers(site):
    def broken(batch: Batch) -> bytes:
        raise UsageError("cannot be written")

    store = site.readings()
    with pytest.raises(UsageError, match="cannot be written"):
        store.add_batch(text_batch(1), broken, Lane.LIVE)
    assert store.captured_times(M1, BLOCK, 0, 9999) == []


@given(
    lengths=st.lists(st.integers(0, 20), max_size=30),
    most=st.integers(1, 7),
    limit=st.integers(0, 40),
)
def test_every_row_is_in_one_message_or_told_too_large_alone(lengths, most, limit):
    def encode(batch: Batch) -> bytes:
        body = b"".join(b"x" * len(str(row.values[0])) for row in batch.rows)
        if len(body) > limit:
            raise MessageTooLarge(f"{len(body)} octets")
        return body

    rows = [(row, b"") for row in text_batch(*lengths).rows]
    messages = list(packed(text_batch(*lengths), rows, most, encode))
    assert [row for message in messages for row in message.rows] == rows
    for message in messages:
        assert 1 <= len(message.rows) <= most
        sizes = [len(str(row.values[0])) for row, _ in message.rows]
        if message.too_large:
            assert len(sizes) == 1
            assert sizes[0] > limit
        else:
            assert len(message.body) == sum(sizes) <= limit
