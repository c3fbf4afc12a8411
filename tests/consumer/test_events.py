"""One event however often and by whom it was told; the consumer sees the own ones, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient

from consumer_app.database.accounts import put_account
from consumer_app.database.connect import Database
from consumer_app.database.events import StoredEvent, events_of
from consumer_app.database.readings import answered_ranges
from consumer_app.ingest.core import Outcome, ingest_messages
from gateway.events import EventKind, EventPhase, EventSource, MeterEvent
from gateway.model import ConnectionNo, Evidence, Installation, MeterId, TimeQuality
from gateway.uplink import topics
from gateway.uplink.events import encode_events
from gateway.uplink.message import Header, with_header
from gateway.uplink.port import Received
from tests.consumer.seeds import (
    ACCESS_CODE,
    CONNECTION,
    EPOCH,
    GATEWAY,
    METER,
    MIDNIGHT_S,
    NOW_S,
    account,
)

API = f"/api/v1/connections/{CONNECTION}/events"
FAILURE = EventKind("power_failure", EventPhase.OCCURRED, "power", 101)
RESTORED = EventKind("power_failure", EventPhase.ENDED, "power", 102)
PUSH, LOG = EventSource.PUSH, EventSource.LOG


def event(
    at_s: int = MIDNIGHT_S,
    kind: EventKind = FAILURE,
    source: EventSource = PUSH,
    raw: bytes = b"\2\4",
    quality: TimeQuality = TimeQuality.OK,
    by_meter: bool = True,
) -> MeterEvent:
    evidence = Evidence(min(at_s or MIDNIGHT_S, NOW_S) * 1_000_000 + 5, b"SA1\0\0\0\0\1", 4711)
    return MeterEvent(kind, at_s, quality, by_meter, source, raw, evidence)


def told(sequence: int, *events: MeterEvent, meter: MeterId = METER) -> Received:
    header = Header(GATEWAY, "readings", EPOCH, sequence)
    return Received(
        topics.events(GATEWAY, meter), with_header(encode_events(meter, events), header)
    )


def ingest(database: Database, *deliveries: Received) -> Outcome:
    return ingest_messages(database, deliveries, now_s=NOW_S)


def stored(database: Database, *places: Installation) -> Sequence[StoredEvent]:
    everywhere = Installation(CONNECTION, METER, 0)
    with database.transaction() as connection:
        return events_of(connection, places or (everywhere,), most=1000)


def test_a_pushed_event_and_its_row_of_the_log_are_one_with_both_sources(
    database: Database,
) -> None:
    row = event(source=LOG, raw=b"\2\2")
    orders = itertools.permutations([told(1, event()), told(2, row), told(3, event(), row)])
    for order in orders:
        for delivery in order:
            ingest(database, delivery)
        (one,) = stored(database)
        assert (one.kind, one.at_s, one.sources) == (FAILURE, MIDNIGHT_S, (LOG, PUSH))
    with database.transaction() as connection:
        raws = connection.execute("select source, raw from event_reports order by 1").fetchall()
        assert raws == [("log", b"\2\2"), ("push", b"\2\4")]
        assert answered_ranges(connection, GATEWAY, "readings", EPOCH) == [(1, 3)]


def test_new_events_are_counted_once_and_every_message_is_answered(database: Database) -> None:
    first = ingest(database, told(1, event(), event(kind=RESTORED)), told(2, event()))
    assert first.new_events == 2
    assert [(answer.header.sequence, answer.refused) for answer in first.answers] == [
        (1, None),
        (2, None),
    ]
    assert ingest(database, told(1, event(), event(kind=RESTORED))).new_events == 0


def test_another_second_phase_name_or_meter_is_another_event(database: Database) -> None:
    other = EventKind("over_voltage", EventPhase.OCCURRED, "voltage", 7)
    ingest(
        database,
        told(1, event(), event(MIDNIGHT_S + 1), event(kind=RESTORED), event(kind=other)),
        told(2, event(), meter=MeterId("SA9")),
    )
    assert len(stored(database)) == 4
    assert len(stored(database, Installation(CONNECTION, MeterId("SA9"), 0))) == 1


@pytest.mark.parametrize(
    ("quality", "by_meter", "count"),
    [(TimeQuality.OK, True, 1), (TimeQuality.INVALID, True, 2), (TimeQuality.OK, False, 2)],
)
def test_a_time_that_is_no_identity_joins_nothing(
    database: Database, quality: TimeQuality, by_meter: bool, count: int
) -> None:
    at_s = 0 if quality is TimeQuality.INVALID else MIDNIGHT_S
    events = [
        event(at_s, raw=bytes([number]), quality=quality, by_meter=by_meter) for number in (1, 2)
    ]
    ingest(database, told(1, *events))
    assert len(stored(database)) == count
    assert {one.placed_at_s for one in stored(database)} == {MIDNIGHT_S}


def test_a_message_that_cannot_be_read_is_refused_by_number(database: Database) -> None:
    good = told(7, event())
    outcome = ingest(database, Received(good.topic, good.payload.replace(b'"push"', b'"none"')))
    assert [(one.header.sequence, bool(one.refused)) for one in outcome.answers] == [(7, True)]
    assert stored(database) == []


def test_an_event_belongs_to_whoever_had_the_meter_then(database: Database) -> None:
    ingest(database, told(1, event(100), event(200), event(300)))
    here = Installation(CONNECTION, METER, 100, 300)
    assert [one.at_s for one in stored(database, here)] == [200, 100]


@pytest.fixture
def bearer(client: TestClient) -> dict[str, str]:
    answer = client.post("/api/v1/sign-in", json={"connection": CONNECTION, "code": ACCESS_CODE})
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_the_pages_of_events_hold_each_event_once_newest_first(
    client: TestClient, bearer: dict[str, str], database: Database
) -> None:
    events = [event(MIDNIGHT_S - number // 2 * 60, raw=bytes([number])) for number in range(20)]
    events += [event(0, kind=RESTORED, quality=TimeQuality.INVALID)]
    ingest(database, told(90, *events))
    seen, before, pages = [], "", 0
    while pages < 9:
        answer = client.get(f"{API}?limit=4{before}", headers=bearer).json()
        seen += answer["events"]
        pages += 1
        if answer["next"] is None:
            break
        before = f"&before={answer['next']}"
    assert (pages, len(seen)) == (3, 11)
    moments = [one["at"] or one["first_received_at"] for one in seen]
    assert moments == sorted(moments, reverse=True)
    believed = next(one for one in seen if one["at"])
    assert believed == {
        "meter": "SA1231166",
        "name": "power_failure",
        "phase": "occurred",
        "log": "power",
        "code": 101,
        "at": "2026-09-17T00:00:00+05:30",
        "time_quality": "ok",
        "timed_by": "meter",
        "first_received_at": "2026-09-17T00:00:00+05:30",
        "sources": ["push"],
    }
    assert [one["code"] for one in seen if one["at"] is None] == [102]


def test_a_time_beyond_every_calendar_is_not_shown_as_one(
    client: TestClient, bearer: dict[str, str], database: Database
) -> None:
    ingest(database, told(90, event(2**40)))
    (one,) = client.get(API, headers=bearer).json()["events"]
    assert one["at"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "before=x", "before=1"])
def test_what_is_no_page_is_a_problem(
    client: TestClient, bearer: dict[str, str], query: str
) -> None:
    assert client.get(f"{API}?{query}", headers=bearer).status_code in (400, 422)


def test_nobody_sees_another_ones_events(
    client: TestClient, bearer: dict[str, str], database: Database
) -> None:
    with database.transaction() as connection:
        other = account("4509999999", [("SA9", 0, None)], "A Neighbour")
        put_account(connection, other, GATEWAY, now_s=0)
    ingest(database, told(90, event(), meter=MeterId("SA9")))
    assert client.get(API, headers=bearer).json()["events"] == []
    neighbour = API.replace(CONNECTION, ConnectionNo("4509999999"))
    assert client.get(neighbour, headers=bearer).status_code == 404
    assert client.get(API).status_code == 401
