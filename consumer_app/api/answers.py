"""From computed figures to the API's shapes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from consumer_app.api.schemas import (
    BlockOut,
    ConnectionOut,
    DayOut,
    EventOut,
    EventsOut,
    InstallationOut,
    LatestOut,
    LoadOut,
    RegisterNowOut,
    RegisterOut,
    ValueOut,
)
from consumer_app.connection_view import DayLoad, RegisterNow
from consumer_app.consumption import WH_IMPORT, DayUnits, RegisterReading
from consumer_app.database.events import StoredEvent
from consumer_app.database.queries import StoredRow
from consumer_app.load import Block, shown_values, supply_connected
from consumer_app.site_time import local_time
from gateway.model import Account, ConnectionNo, TimeQuality

_CALENDAR = range(253_370_764_800)
"""UTC seconds that a calendar has in any zone: 1970 to the end of 9998."""


def plain(value: Decimal) -> str:
    """All digits, no exponent."""
    return format(value, "f")


def _maybe(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def time_text(at_s: int, zone: ZoneInfo) -> str:
    """ISO 8601 with the site's offset."""
    return local_time(at_s, zone).isoformat()


def connection_out(account: Account, zone: ZoneInfo) -> ConnectionOut:
    """A connection and its meters."""
    return ConnectionOut(
        connection=account.connection,
        name=account.name,
        sanctioned_load_w=account.sanctioned_load_w,
        phases=account.phases,
        category=account.category,
        installations=[
            InstallationOut(
                meter=one.meter,
                valid_from=time_text(one.valid_from_s, zone),
                valid_to=None if one.valid_to_s is None else time_text(one.valid_to_s, zone),
            )
            for one in account.installations
        ],
    )


def register_out(reading: RegisterReading | None, zone: ZoneInfo) -> RegisterOut | None:
    """A register with its evidence."""
    if reading is None:
        return None
    row, evidence = reading.row, reading.row.evidence
    title = evidence.server_system_title
    return RegisterOut(
        meter=row.meter,
        obis=str(WH_IMPORT),
        wh=plain(reading.wh),
        at=time_text(row.captured_at_s, zone),
        time_quality=row.time_quality,
        received_at=time_text(evidence.received_at_us // 1_000_000, zone),
        raw=None if row.raw is None else b64encode(row.raw).decode(),
        row_digest=row.digest.hex(),
        capture_list=row.capture_list.digest.hex(),
        server_system_title=None if title is None else title.hex(),
        invocation_counter=evidence.invocation_counter,
    )


def day_out(day: DayUnits, zone: ZoneInfo) -> DayOut:
    """One day."""
    return DayOut(
        date=day.day.isoformat(),
        meter=day.meter,
        units_wh=_maybe(day.units_wh),
        gap=day.gap,
        opening=register_out(day.opening, zone),
        closing=register_out(day.closing, zone),
    )


def _block_out(block: Block, zone: ZoneInfo) -> BlockOut:
    return BlockOut(
        start=time_text(block.start_s, zone),
        end=time_text(block.end_s, zone),
        wh=_maybe(block.wh),
        v=[_maybe(value) for value in block.volts],
        a=[_maybe(value) for value in block.amperes],
        gap=block.gap,
    )


def load_out(number: ConnectionNo, load: DayLoad, zone: ZoneInfo) -> LoadOut:
    """The blocks of a day."""
    return LoadOut(
        connection=number,
        date=load.day.isoformat(),
        zone=zone.key,
        period_s=load.period_s,
        blocks=[_block_out(block, zone) for block in load.blocks],
    )


def latest_out(
    number: ConnectionNo, row: StoredRow | None, zone: ZoneInfo, now_s: int
) -> LatestOut:
    """The newest snapshot."""
    if row is None:
        return LatestOut(number, None, None, None, None, [])
    return LatestOut(
        connection=number,
        meter=row.meter,
        at=time_text(row.captured_at_s, zone),
        age_s=max(0, now_s - row.captured_at_s),
        supply_connected=supply_connected(row),
        values=[
            ValueOut(one.quantity, str(one.obis), plain(one.value), one.unit)
            for one in shown_values(row)
        ],
    )


def register_now_out(
    number: ConnectionNo, now: RegisterNow, zone: ZoneInfo, now_s: int
) -> RegisterNowOut:
    """The newest register."""
    reading = now.reading
    return RegisterNowOut(
        connection=number,
        register=register_out(reading, zone),
        age_s=None if reading is None else max(0, now_s - reading.row.captured_at_s),
        units_today_wh=_maybe(now.units_today_wh),
    )


def _event_out(event: StoredEvent, zone: ZoneInfo) -> EventOut:
    believed = event.time_quality is not TimeQuality.INVALID and event.at_s in _CALENDAR
    return EventOut(
        meter=event.meter,
        name=event.kind.name,
        phase=event.kind.phase,
        log=event.kind.log,
        code=event.kind.code,
        at=time_text(event.at_s, zone) if believed else None,
        time_quality=event.time_quality,
        timed_by="meter" if event.timed_by_meter else "gateway",
        first_received_at=time_text(event.first_received_at_us // 1_000_000, zone),
        sources=list(event.sources),
    )


def events_out(
    number: ConnectionNo, events: Sequence[StoredEvent], most: int, zone: ZoneInfo
) -> EventsOut:
    """A page of events; ``events`` holds one more than ``most`` where another page follows."""
    shown = events[:most]
    more = len(events) > most
    return EventsOut(
        connection=number,
        zone=zone.key,
        events=[_event_out(event, zone) for event in shown],
        next=f"{shown[-1].placed_at_s}.{shown[-1].number}" if more else None,
    )
