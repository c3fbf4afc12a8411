import json
import sqlite3
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.errors import StoreError, UsageError
from gateway.model import (
    Batch,
    CaptureList,
    CaptureObject,
    Instant,
    MeterId,
    Obis,
    ProfileKind,
    TimeQuality,
    row_digest,
)
from gateway.store.outbox import NewMessage
from gateway.store.values import values_from_json, values_to_json
from gateway.uplink.outbox import Lane

M1 = MeterId("M1")
DAILY_LOAD = ProfileKind.DAILY_LOAD


def test_new_rows_go_into_the_file_and_into_messages_of_bounded_size(site, batch, body):
    store = site.readings(rows_per_message=2)
    result = store.add_batch(batch((30, 3), (10, 1), (20, 2)), body, Lane.LIVE)
    assert (result.new_rows, result.duplicates, result.conflicts) == (3, 0, 0)
    assert store.captured_times(M1, DAILY_LOAD, 0, 99) == [10, 20, 30]
    entries = store.outbox.pending(Lane.LIVE, 0, 10)
    assert [entry.sequence for entry in entries] == list(result.sequences) == [1, 2]
    assert [entry.body for entry in entries] == [
        b'{"M1 daily_load 10:1,20:2"}',
        b'{"M1 daily_load 30:3"}',
    ]
    first = entries[0]
    assert (first.kind, first.subject, first.profile) == ("readings", "M1", DAILY_LOAD)
    assert first.epoch == store.stream.epoch
    assert len(bytes.fromhex(first.epoch)) == 8


def test_a_row_that_is_there_already_is_neither_stored_nor_sent_again(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1), (20, 2)), body, Lane.LIVE)
    result = store.add_batch(batch((10, 1), (20, 2), (30, 3), (30, 3)), body, Lane.LIVE)
    assert (result.new_rows, result.duplicates, result.conflicts) == (1, 3, 0)
    bodies = [entry.body for entry in store.outbox.pending(Lane.LIVE, 0, 10)]
    assert bodies[1:] == [b'{"M1 daily_load 30:3"}']
    nothing = store.add_batch(batch((10, 1)), body, Lane.LIVE)
    assert nothing.sequences == ()
    assert store.outbox.depth().live == 2


def test_another_content_at_the_same_time_is_a_conflict_that_is_stored_and_sent(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1), (20, 2)), body, Lane.LIVE)
    result = store.add_batch(batch((10, 99)), body, Lane.LIVE)
    assert (result.new_rows, result.conflicts) == (1, 1)
    assert store.outbox.pending(Lane.LIVE, 1, 1)[0].body == b'{"M1 daily_load 10:99"}'
    assert store.coverage(0, 99)[0].times == 2
    assert store.coverage(0, 99)[0].conflicts == 1
    both = batch((40, 1), (40, 2))
    assert store.add_batch(both, body, Lane.LIVE).conflicts == 1
    assert store.coverage(0, 99)[0].conflicts == 2


@pytest.mark.parametrize(
    "special", [{"quality": TimeQuality.INVALID}, {"profile": ProfileKind.EVENTS}]
)
def test_where_a_time_is_no_identity_nothing_conflicts(site, batch, body, special):
    store = site.readings()
    result = store.add_batch(batch((10, 1), (10, 2), **special), body, Lane.LIVE)
    assert (result.new_rows, result.conflicts) == (2, 0)


def test_times_of_a_meter_without_a_clock_are_not_taken_for_captures(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    store.add_batch(batch((900, 2), quality=TimeQuality.INVALID), body, Lane.LIVE)
    store.add_batch(batch((500, 3), quality=TimeQuality.DRIFTED), body, Lane.LIVE)
    assert store.last_captured(M1, DAILY_LOAD) == 500
    assert store.last_captured(M1, DAILY_LOAD, not_after_s=499) == 10
    assert store.captured_times(M1, DAILY_LOAD, 0, 999) == [10, 500]
    assert store.latest_row(M1, DAILY_LOAD).captured_at_s == 500


def test_questions_about_an_unknown_meter_have_an_empty_answer(site):
    store = site.readings()
    assert store.last_captured(M1, DAILY_LOAD) is None
    assert store.captured_times(M1, DAILY_LOAD, 0, 99) == []
    assert store.capture_list(M1, DAILY_LOAD) is None
    assert store.latest_row(M1, DAILY_LOAD) is None
    assert store.trimmed_through(M1, DAILY_LOAD) is None
    assert store.coverage(0, 99) == []


def test_a_failing_encoder_leaves_nothing_behind(site, batch, body):
    store = site.readings(rows_per_message=1)
    calls: list[Batch] = []

    def fail_second(one: Batch) -> bytes:
        calls.append(one)
        if len(calls) == 2:
            raise UsageError("cannot be written")
        encoded: bytes = body(one)
        return encoded

    with pytest.raises(UsageError, match="cannot be written"):
        store.add_batch(batch((10, 1), (20, 2)), fail_second, Lane.LIVE)
    assert store.outbox.depth().live == 0
    assert store.captured_times(M1, DAILY_LOAD, 0, 99) == []
    assert store.capture_list(M1, DAILY_LOAD) is None
    assert store.add_batch(batch((10, 1)), body, Lane.LIVE).sequences == (1,)


def test_a_row_that_does_not_fit_its_columns_is_refused(site, batch, body):
    store = site.readings()
    wrong = batch((10, 1))
    wrong = replace(wrong, rows=(replace(wrong.rows[0], values=(None,)),))
    with pytest.raises(UsageError, match="3 values"):
        store.add_batch(wrong, body, Lane.LIVE)


def test_numbers_are_never_used_again_even_when_the_newest_message_was_deleted(site, batch, body):
    store = site.readings()
    for time_s in (10, 20, 30):
        store.add_batch(batch((time_s, 1)), body, Lane.LIVE)
    store.outbox.commit(store.stream.epoch, [(1, 3)], [], 1)
    epoch = store.stream.epoch
    site.close()
    store = site.readings()
    assert store.stream.epoch != epoch, "an epoch is one opening of the file"
    assert store.stream.newest_sequence == 3
    assert store.add_batch(batch((40, 1)), body, Lane.LIVE).sequences == (4,)


def test_columns_seen_last_come_back_as_they_were(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    first = store.capture_list(M1, DAILY_LOAD)
    assert first == batch((10, 1)).capture_list
    # the same columns, another number type: the digest stays, the raw octets read differently
    other = CaptureList(tuple(replace(c, type_name="float32") for c in first.columns))
    store.add_batch(batch((20, 1), captures=other), body, Lane.LIVE)
    assert store.capture_list(M1, DAILY_LOAD) == other
    rescaled = CaptureList((first.columns[0], *(replace(c, scaler=3) for c in first.columns[1:])))
    store.add_batch(batch((30, 1), captures=rescaled), body, Lane.LIVE)
    assert store.capture_list(M1, DAILY_LOAD) == rescaled
    assert store.latest_row(M1, DAILY_LOAD).capture_list == rescaled


def test_evidence_stands_beside_each_row(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1), received_at_us=77, quality=TimeQuality.DERIVED), body, Lane.LIVE)
    site.close()
    with sqlite3.connect(site.readings_path) as connection:
        row = connection.execute(
            "SELECT raw, received_at_us, server_system_title, invocation_counter, time_quality,"
            " digest FROM readings"
        ).fetchone()
    connection.close()
    digest = row_digest(batch().capture_list.digest, b"10:1")
    assert row == (b"10:1", 77, b"SMG\1\2\3\4\5", 7, "derived", digest)


def test_other_messages_share_the_numbers(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    number = store.add_message(NewMessage("result", "cis-7", Lane.LIVE, b"{}"), 5)
    assert number == 2
    entry = store.outbox.pending(Lane.LIVE, 1, 1)[0]
    assert (entry.kind, entry.subject, entry.profile, entry.body) == (
        "result",
        "cis-7",
        None,
        b"{}",
    )


def test_values_are_stored_exactly_and_never_as_floats():
    values = (
        Decimal(4684814),
        Decimal("46848140E-1"),
        Decimal("229.99"),
        Decimal("5E+3"),
        Decimal("-0.951"),
        Decimal(2**63),
        Decimal("NaN"),
        True,
        None,
        b"\x0c\x07",
        Instant(None, "2024-**-01"),
        "क",
    )
    text = values_to_json(values)
    assert text == (
        '[4684814,"4684814.0","229.99",5000,"-0.951","9223372036854775808","NaN",true,null,'
        '"0x0c07","2024-**-01","क"]'
    )
    assert json.loads(text, parse_float=pytest.fail) == list(values_from_json(text))


def test_a_file_of_another_gateway_is_not_taken(site):
    site.readings()
    site.close()
    with pytest.raises(StoreError, match="belongs to gateway gw-1, not gw-2"):
        site.readings(gateway_id="gw-2")


def test_names_of_objects_can_change(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    energy = CaptureObject(3, Obis.parse("1-0:1.8.0*255"), 2)
    store.name_objects({energy: "energy"})
    store.name_objects({energy: "Energy import"})
    site.close()
    connection = sqlite3.connect(site.readings_path)
    names = {row[0] for row in connection.execute("SELECT name FROM v_readings")}
    connection.close()
    assert names == {"0-0:1.0.0*255", "Energy import", "1-0:9.8.0*255"}
