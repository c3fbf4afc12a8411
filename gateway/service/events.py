"""From what a meter's logs and messages hold to named events, ready to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from gateway.dlms.log_reading import read_fill, read_new_entries
from gateway.dlms.reading import Buffer
from gateway.dlms.rows import RawRow
from gateway.dlms.values import to_rows
from gateway.events import EventKind, EventPhase, EventSource, MeterEvent
from gateway.model import Batch, CaptureList, MeterId, ProfileKind, Row, row_digest
from gateway.profile import FirmwareProfile, ProfileGeneric, Quirk, event_of_code
from gateway.service.core_settings import time_rules
from gateway.service.sessions import MeterAccess
from gateway.session import Session
from gateway.store.outbox import NewMessage
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor
from gateway.uplink.events import event_bodies
from gateway.uplink.outbox import Lane
from gateway.uplink.topics import Kind

EVENT_CODE: Final = "event_code"
"""What firmware profiles call the column of a log that holds the code."""
_UNREADABLE: Final = "code_unreadable"
_CODES: Final = range(0x1_0000)


def event_messages(profile: FirmwareProfile, batch: Batch) -> Sequence[NewMessage]:
    """Messages with the named events of a log's rows; none for any other buffer."""
    if batch.profile is not ProfileKind.EVENTS:
        return ()
    events = (
        MeterEvent(
            kind=event_of_row(profile, batch.log, batch.capture_list, row),
            at_s=row.captured_at_s,
            time_quality=row.time_quality,
            timed_by_meter=True,
            source=EventSource.LOG,
            raw=row.raw,
            evidence=batch.evidence,
        )
        for row in batch.rows
    )
    return messages_of(batch.meter, events)


async def new_entries(
    session: Session,
    readings: StoreDoor[ReadingsStore],
    access: MeterAccess,
    generic: ProfileGeneric,
    captures: CaptureList,
    now_s: int,
) -> Buffer:
    """The rows of an event log that are not stored yet, read within a session."""
    fill = await session.run(read_fill(generic.obis))
    if not fill.entries_in_use:
        return Buffer((), None, None)
    known = await readings.run(ReadingsStore.digests, access.meter, generic.label)
    trimmed_s = await readings.run(ReadingsStore.trimmed_through, access.meter, generic.label)
    rules = time_rules(access.profile)

    def time_of(raw: RawRow) -> int:
        rows, _ = to_rows((raw,), captures, rules, period_s=0, received_at_s=now_s)
        return rows[0].captured_at_s

    def is_known(raw: RawRow) -> bool:
        forgotten = trimmed_s is not None and time_of(raw) <= trimmed_s
        return forgotten or row_digest(captures.digest, raw.raw) in known

    found = await session.run(
        read_new_entries(
            generic.obis,
            fill,
            is_known=is_known,
            time_of=time_of,
            ignore_trailing=Quirk.TRAILING_OCTETS in access.profile.quirks,
        )
    )
    return replace(found, rows=tuple(row for row in found.rows if not is_known(row)))


def messages_of(meter: MeterId, events: Iterable[MeterEvent]) -> Sequence[NewMessage]:
    """Messages that carry events; always in the live lane."""
    return [
        NewMessage(Kind.EVENTS.value, meter, Lane.LIVE, body)
        for body in event_bodies(meter, list(events))
    ]


def event_of_row(profile: FirmwareProfile, log: str, captures: CaptureList, row: Row) -> EventKind:
    """The event that a row of a log is; one whose code is no number says so."""
    generic = profile.profile_generic(ProfileKind.EVENTS, log)
    codes = {column.obis for column in generic.columns if column.name == EVENT_CODE}
    for column, value in zip(captures.columns, row.values, strict=True):
        if column.source.obis in codes and isinstance(value, Decimal) and value in _CODES:
            return event_of_code(profile, log, int(value))
    return EventKind(_UNREADABLE, EventPhase.OCCURRED, log, None)
