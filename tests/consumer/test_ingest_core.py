"""Deliveries become rows exactly once, and every sender that can be named gets an answer."""

import json
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumer_app.database.connect import Database
from consumer_app.database.migrate import migrate, migrations
from consumer_app.database.queries import rows_between
from consumer_app.database.readings import answered_ranges
from consumer_app.database.values import values_from_json, values_to_json
from consumer_app.ingest.core import ingest_messages
from gateway.errors import NoAnswer, StoreError
from gateway.model import MeterId, ProfileKind, TimeQuality
from gateway.uplink.port import Received
from tests.consumer.seeds import (
    BLOCK,
    DAILY,
    DAY_S,
    EPOCH,
    GATEWAY,
    METER,
    MIDNIGHT_S,
    batch,
    block_row,
    daily,
    daily_row,
    delivery,
    row,
)

NOW_S = MIDNIGHT_S + 10 * DAY_S


def count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        return int(connection.execute(f"select count(*) from {table}").fetchall()[0][0])


def ranges(database: Database, epoch: str = EPOCH) -> list[tuple[int, int]]:
    with database.transaction() as connection:
        return answered_ranges(connection, GATEWAY, "readings", epoch)


def test_rows_come_back_with_every_digit_and_their_evidence(database: Database) -> None:
    sent = batch(ProfileKind.DAILY_LOAD, DAILY, [daily_row(MIDNIGHT_S, "4684814.25")])
    outcome = ingest_messages(database, [delivery(1, sent)], now_s=NOW_S)
    assert outcome.written == (1, 0, 0)
    with database.transaction() as connection:
        (found,) = rows_between(connection, METER, ProfileKind.DAILY_LOAD, MIDNIGHT_S, MIDNIGHT_S)
    assert found.values == sent.rows[0].values
    assert found.raw == sent.rows[0].raw
    assert found.capture_list == sent.capture_list
    assert found.evidence == sent.evidence
    assert found.time_quality is TimeQuality.OK


@pytest.mark.parametrize("quality", TimeQuality)
def test_every_time_quality_is_kept(database: Database, quality: TimeQuality) -> None:
    row = daily_row(MIDNIGHT_S, "4684814.25", quality)
    assert ingest_messages(database, [daily(1, row)], now_s=NOW_S).written == (1, 0, 0)
    with database.transaction() as connection:
        kept = connection.execute("select time_quality::text from readings").fetchall()
    assert kept == [(quality.value,)]


def test_registers_are_numbers_for_plain_sql(database: Database, database_url: str) -> None:
    ingest_messages(database, [daily(1, daily_row(MIDNIGHT_S, "4684814.250"))], now_s=NOW_S)
    with psycopg.connect(database_url) as oracle:
        found = oracle.execute(
            "select m.meter, r.profile::text, (r.values->>1)::numeric * 2 from readings r"
            " join meters m using (meter_no)"
        ).fetchall()
    assert found == [("SA1231166", "daily_load", Decimal("9369628.500"))]


def test_delivering_twice_changes_nothing_and_is_answered_again(database: Database) -> None:
    sent = [daily(n, daily_row(MIDNIGHT_S + n * DAY_S, str(1000 * n))) for n in (1, 2, 3)]
    first = ingest_messages(database, sent, now_s=NOW_S)
    second = ingest_messages(database, [*sent, *reversed(sent)], now_s=NOW_S)
    assert (first.written.new_rows, second.written.new_rows) == (3, 0)
    assert count(database, "readings") == 3
    assert ranges(database) == [(1, 3)]
    assert [answer.header.sequence for answer in second.answers] == [1, 2, 3, 3, 2, 1]
    assert not any(answer.refused for answer in second.answers)


def test_the_same_row_under_another_number_is_not_stored_again(database: Database) -> None:
    same = daily_row(MIDNIGHT_S, "1000")
    ingest_messages(database, [daily(1, same), daily(2, same)], now_s=NOW_S)
    ingest_messages(
        database,
        [delivery(1, batch(ProfileKind.DAILY_LOAD, DAILY, [same]), epoch="f" * 16)],
        now_s=NOW_S,
    )
    assert count(database, "readings") == 1
    assert ranges(database) == [(1, 2)]
    assert ranges(database, "f" * 16) == [(1, 1)]


def test_another_row_under_a_number_already_answered_is_stored_all_the_same(
    database: Database,
) -> None:
    ingest_messages(database, [daily(1, daily_row(MIDNIGHT_S, "1000"))], now_s=NOW_S)
    ingest_messages(database, [daily(1, daily_row(MIDNIGHT_S + DAY_S, "2000"))], now_s=NOW_S)
    assert count(database, "readings") == 2


def test_messages_out_of_order_leave_holes_until_they_come(database: Database) -> None:
    for number, expected in ((5, [(5, 5)]), (2, [(2, 2), (5, 5)]), (3, [(2, 3), (5, 5)])):
        ingest_messages(
            database, [daily(number, daily_row(MIDNIGHT_S + number * DAY_S, "1"))], now_s=NOW_S
        )
        assert ranges(database) == expected


def test_rows_that_differ_at_one_time_are_both_kept_and_flagged(database: Database) -> None:
    ingest_messages(database, [daily(1, daily_row(MIDNIGHT_S, "1000"))], now_s=NOW_S)
    outcome = ingest_messages(database, [daily(2, daily_row(MIDNIGHT_S, "1010"))], now_s=NOW_S)
    assert outcome.written == (1, 0, 1)
    assert [answer.refused for answer in outcome.answers] == [None]
    assert count(database, "readings") == 2
    assert count(database, "conflicts") == 1
    again = ingest_messages(database, [daily(2, daily_row(MIDNIGHT_S, "1010"))], now_s=NOW_S)
    assert again.written == (0, 1, 0)


def test_a_conflict_inside_one_message_is_flagged(database: Database) -> None:
    both = [daily_row(MIDNIGHT_S, "1000"), daily_row(MIDNIGHT_S, "1010")]
    assert ingest_messages(database, [daily(1, *both)], now_s=NOW_S).written == (2, 0, 1)


def test_events_and_unset_clocks_may_share_a_second(database: Database) -> None:
    unset = [
        daily_row(0, "1000", TimeQuality.INVALID),
        daily_row(0, "1010", TimeQuality.INVALID),
    ]
    events = batch(ProfileKind.EVENTS, DAILY, [daily_row(5, "1"), daily_row(5, "2")])
    outcome = ingest_messages(database, [daily(1, *unset), delivery(2, events)], now_s=NOW_S)
    assert outcome.written == (4, 0, 0)


def test_an_unknown_meter_is_stored_for_the_day_it_becomes_known(database: Database) -> None:
    sent = daily(1, daily_row(MIDNIGHT_S, "1"), meter=MeterId("नया/+#"))
    assert ingest_messages(database, [sent], now_s=NOW_S).answers[0].refused is None
    assert count(database, "meters") == 1


def poison(sequence: int, **changes: object) -> Received:
    good = daily(sequence, daily_row(MIDNIGHT_S, "1"))
    body = json.loads(good.payload) | changes
    return Received(good.topic, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": "smg.readings/2"}, "schema"),
        ({"rows": []}, "no rows"),
        ({"rows": "many"}, "array"),
        ({"meter": "SB0000001"}, "topic"),
        ({"capture_list": "00" * 16}, "digest"),
    ],
)
def test_a_poison_message_with_a_number_is_refused_by_it(
    database: Database, changes: dict[str, object], reason: str
) -> None:
    good = daily(7, daily_row(MIDNIGHT_S, "1"))
    outcome = ingest_messages(database, [poison(8, **changes), good], now_s=NOW_S)
    answers = {answer.header.sequence: answer.refused for answer in outcome.answers}
    assert answers[7] is None
    assert reason in str(answers[8])
    assert ranges(database) == [(7, 8)]
    assert count(database, "refused_messages") == 1
    ingest_messages(database, [poison(8, **changes)], now_s=NOW_S)
    assert count(database, "refused_messages") == 1


def test_text_that_postgresql_cannot_hold_is_stored_all_the_same(database: Database) -> None:
    texts = ("ACME\0\0\0", "\ud800", None, None)
    padded = batch(
        ProfileKind.NAMEPLATE, DAILY, [row(MIDNIGHT_S, ("ACME\0\0\0", None, None, None))]
    )
    good = daily(2, daily_row(MIDNIGHT_S, "1"))
    outcome = ingest_messages(database, [delivery(1, padded), good], now_s=NOW_S)
    assert [answer.refused for answer in outcome.answers] == [None, None]
    assert ranges(database) == [(1, 2)]
    assert count(database, "readings") == 2
    assert values_from_json(values_to_json(texts)) == texts


@pytest.mark.parametrize(
    "bad",
    [
        Received("smg/1/gw-kanpur-1/readings/SA1231166/daily_load", b"\xff\x00 not JSON"),
        Received("smg/1/gw-kanpur-1/readings/SA1231166/daily_load", b'{"gateway": 1}'),
        Received("elsewhere/1", b"{}"),
        poison(3, gateway="gw-another"),
    ],
)
def test_a_delivery_that_names_no_sender_is_reported_and_answered_to_nobody(
    database: Database, bad: Received
) -> None:
    outcome = ingest_messages(database, [bad, daily(1, daily_row(MIDNIGHT_S, "1"))], now_s=NOW_S)
    assert [one.topic for one in outcome.unidentified] == [bad.topic]
    assert [answer.header.sequence for answer in outcome.answers] == [1]


def test_a_database_that_is_away_answers_nobody(database_url: str) -> None:
    nowhere = psycopg.conninfo.make_conninfo(database_url, host="/nonexistent")
    with (
        Database(nowhere, connections=1, wait_s=0.2) as database,
        pytest.raises(NoAnswer, match="does not answer"),
    ):
        ingest_messages(database, [daily(1, daily_row(MIDNIGHT_S, "1"))], now_s=NOW_S)


def test_a_database_without_tables_refuses_no_message(database_url: str) -> None:
    with Database(database_url) as database, pytest.raises(StoreError):
        ingest_messages(database, [daily(1, daily_row(MIDNIGHT_S, "1"))], now_s=NOW_S)


def test_migrating_twice_applies_each_step_once(database_url: str) -> None:
    with Database(database_url) as database:
        assert migrate(database, now_s=1) == tuple(step.name for step in migrations())
        assert migrate(database, now_s=2) == ()


def test_a_database_newer_than_the_program_is_left_alone(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("insert into migrations values (9999, '9999_future.sql', 0)")
    with pytest.raises(StoreError, match="9999"):
        migrate(database, now_s=1)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    order=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    cuts=st.sets(st.integers(1, 29)),
)
def test_any_order_repetition_and_grouping_gives_the_same_rows(
    database: Database, order: list[int], cuts: set[int]
) -> None:
    with database.transaction() as connection:
        connection.execute("truncate readings, streams, conflicts")
    groups: list[list[Received]] = [[]]
    for place, number in enumerate(order):
        if place in cuts:
            groups.append([])
        rows = [block_row(MIDNIGHT_S + number * 1800, str(number)), block_row(MIDNIGHT_S, "0")]
        groups[-1].append(delivery(number, batch(ProfileKind.BLOCK_LOAD, BLOCK, rows)))
    answered = [
        answer.header.sequence
        for group in groups
        for answer in ingest_messages(database, group, now_s=NOW_S).answers
    ]
    assert answered == order
    assert count(database, "readings") == len(set(order)) + 1
    covered = {n for first, last in ranges(database) for n in range(first, last + 1)}
    assert covered == set(order)
    assert count(database, "conflicts") == 0
