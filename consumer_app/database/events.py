"""Events in and out: told by push and by log, stored once with everybody who told them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import LiteralString, NamedTuple

from consumer_app.database.connect import Connection
from consumer_app.database.readings import mark_answered, numbers_of_meters, numbers_of_streams
from gateway.events import EventKind, EventPhase, EventSource, MeterEvent
from gateway.model import Installation, TimeQuality
from gateway.uplink.events import EventsMessage

_END_OF_TIME_S = 2**62

_EVENT: LiteralString = """
    insert into events (meter_no, name, phase, at_s, distinct_by, log, code, time_quality,
                        timed_by, placed_at_s, first_received_at_us)
    values (%s, %s, %s, %s, %s, %s, %s, %s::time_quality, %s, %s, %s) on conflict do nothing
"""
_REPORT: LiteralString = """
    insert into event_reports (event_no, source, digest, raw, received_at_us,
                               server_system_title, invocation_counter, stream_no, sequence,
                               ingested_at_s)
    select event_no, %s, %s, %s, %s, %s, %s, %s, %s, %s from events
    where meter_no = %s and name = %s and phase = %s and at_s = %s and distinct_by = %s
    on conflict do nothing
"""


def write_events(connection: Connection, messages: Sequence[EventsMessage], *, now_s: int) -> int:
    """Store events and mark their messages as answered; how many events were new. Idempotent."""
    meters = numbers_of_meters(connection, {m.meter for m in messages}, now_s)
    streams = numbers_of_streams(
        connection, {(m.header.gateway, m.header.stream, m.header.epoch) for m in messages}
    )
    told = sorted(
        (
            (_key(meters[message.meter], event), message, event)
            for message in messages
            for event in message.events
        ),
        # in key order, so that two writers never wait for each other in a circle
        key=lambda entry: entry[0],
    )
    new = 0
    for key, message, event in told:
        kind, evidence, header = event.kind, event.evidence, message.header
        new += connection.execute(
            _EVENT,
            (
                *key,
                kind.log,
                kind.code,
                event.time_quality.value,
                "meter" if event.timed_by_meter else "gateway",
                _placed_at_s(event),
                evidence.received_at_us,
            ),
        ).rowcount
        connection.execute(
            _REPORT,
            (
                event.source.value,
                _digest(event.raw),
                event.raw,
                evidence.received_at_us,
                evidence.server_system_title,
                evidence.invocation_counter,
                streams[header.gateway, header.stream, header.epoch],
                header.sequence,
                now_s,
                *key,
            ),
        )
    mark_answered(connection, [message.header for message in messages])
    return new


class StoredEvent(NamedTuple):
    """An event as it was committed; ``number`` orders those of one second."""

    number: int
    meter: str
    kind: EventKind
    at_s: int
    placed_at_s: int
    time_quality: TimeQuality
    timed_by_meter: bool
    first_received_at_us: int
    sources: tuple[EventSource, ...]


Place = tuple[int, int]
"""Where in a list by time: ``placed_at_s`` and ``number`` of an event."""

_EVENTS: LiteralString = """
    select e.event_no, m.meter, e.name, e.phase, e.log, e.code, e.at_s, e.placed_at_s,
           e.time_quality::text, e.timed_by = 'meter', e.first_received_at_us,
           (select array_agg(distinct r.source order by r.source)
            from event_reports r where r.event_no = e.event_no)
    from events e join meters m using (meter_no)
    join unnest(%(meters)s::text[], %(from_s)s::bigint[], %(to_s)s::bigint[])
         as i (meter, from_s, to_s)
      on i.meter = m.meter and e.placed_at_s >= i.from_s and e.placed_at_s < i.to_s
    where (e.placed_at_s, e.event_no) < (%(before_s)s, %(before_no)s)
      and (%(names)s::text[] is null or e.name = any(%(names)s))
    order by e.placed_at_s desc, e.event_no desc limit %(most)s
"""


def events_of(
    connection: Connection,
    installations: Iterable[Installation],
    *,
    most: int,
    before: Place | None = None,
    names: Sequence[str] | None = None,
) -> list[StoredEvent]:
    """The newest ``most`` events of meters while they were installed, newest first.

    ``before`` leaves out that place and all that is newer; ``names`` all other names.
    """
    places = list(installations)
    before_s, before_no = before or (_END_OF_TIME_S, 0)
    rows = connection.execute(
        _EVENTS,
        {
            "meters": [one.meter for one in places],
            "from_s": [one.valid_from_s for one in places],
            "to_s": [_END_OF_TIME_S if o.valid_to_s is None else o.valid_to_s for o in places],
            "before_s": before_s,
            "before_no": before_no,
            "names": None if names is None else list(names),
            "most": most,
        },
    )
    return [
        StoredEvent(
            number,
            meter,
            EventKind(name, EventPhase(phase), log, code),
            at_s,
            placed_at_s,
            TimeQuality(quality),
            by_meter,
            received_at_us,
            tuple(EventSource(source) for source in sources or ()),
        )
        for (
            number,
            meter,
            name,
            phase,
            log,
            code,
            at_s,
            placed_at_s,
            quality,
            by_meter,
            received_at_us,
            sources,
        ) in rows
    ]


def _key(meter_no: int, event: MeterEvent) -> tuple[int, str, str, int, bytes]:
    """What makes it the same event."""
    identified = event.timed_by_meter and event.time_quality is not TimeQuality.INVALID
    distinct_by = b"" if identified else _digest(event.raw)
    return meter_no, event.kind.name, event.kind.phase.value, event.at_s, distinct_by


def _placed_at_s(event: MeterEvent) -> int:
    if event.time_quality is TimeQuality.INVALID:
        return event.evidence.received_at_us // 1_000_000
    return event.at_s


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:16]
