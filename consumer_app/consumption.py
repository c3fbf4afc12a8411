"""What the readings say about a connection: units of days, load of a day, latest values.

Pure: stored rows in, exact figures out. A figure is the difference of two registers that were
read, or it is a gap with its reason; nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from consumer_app.database.queries import StoredRow
from consumer_app.site_time import day_after, midnight_s
from gateway.model import Installation, MeterId, Obis

WH_IMPORT = Obis.parse("1-0:1.8.0*255")
UNIT_WH = 30  # Blue Book, class 3, scaler_unit


class Gap(StrEnum):
    """Why a figure is not known."""

    DAY_NOT_OVER = "day_not_over"
    NO_METER = "no_meter"
    METER_CHANGED = "meter_changed"
    OPENING_MISSING = "opening_reading_missing"
    CLOSING_MISSING = "closing_reading_missing"
    BOTH_MISSING = "both_readings_missing"
    READINGS_DIFFER = "readings_differ"
    REGISTER_WENT_BACK = "register_went_back"


@dataclass(frozen=True, slots=True)
class RegisterReading:
    """A cumulative energy register (Wh) with the row that states it."""

    wh: Decimal
    row: StoredRow


@dataclass(frozen=True, slots=True)
class DayUnits:
    """Energy of one local day: ``units_wh`` or ``gap``, never both, never neither."""

    day: date
    meter: MeterId | None
    opening: RegisterReading | None
    closing: RegisterReading | None
    units_wh: Decimal | None
    gap: Gap | None


def column_value(row: StoredRow, obis: Obis, attribute: int = 2) -> Decimal | None:
    """The number in that column of the row; None if there is none."""
    for column, value in zip(row.capture_list.columns, row.values, strict=False):
        source = column.source
        if source.obis == obis and source.attribute == attribute and isinstance(value, Decimal):
            return value
    return None


def import_register(row: StoredRow) -> Decimal | None:
    """Cumulative import energy in Wh; None if the row has none or its unit is another."""
    for column, value in zip(row.capture_list.columns, row.values, strict=False):
        if (
            column.source.obis == WH_IMPORT
            and column.source.attribute == 2
            and column.unit == UNIT_WH
            and isinstance(value, Decimal)
        ):
            return value
    return None


def installed_through(
    installations: Iterable[Installation], first_s: int, last_s: int
) -> MeterId | Gap:
    """The one meter that stood there from ``first_s`` to ``last_s``, or why there is none."""
    touching = [
        one
        for one in installations
        if one.valid_from_s < last_s and (one.valid_to_s is None or one.valid_to_s > first_s)
    ]
    if not touching:
        return Gap.NO_METER
    whole = [
        one
        for one in touching
        if one.valid_from_s <= first_s and (one.valid_to_s is None or one.valid_to_s >= last_s)
    ]
    return whole[0].meter if whole else Gap.METER_CHANGED


def units_of_days(
    days: Sequence[date],
    installations: Sequence[Installation],
    rows: Iterable[StoredRow],
    *,
    zone: ZoneInfo,
    now_s: int,
) -> list[DayUnits]:
    """Units of each day from the registers at its two midnights.

    ``rows`` are daily rows of all meters installed in that time, in any order.
    """
    registers: dict[tuple[MeterId, int], list[RegisterReading]] = {}
    for row in rows:
        wh = import_register(row)
        if wh is not None:
            registers.setdefault((row.meter, row.captured_at_s), []).append(
                RegisterReading(wh, row)
            )
    return [_units_of_day(day, installations, registers, zone, now_s) for day in days]


def _units_of_day(
    day: date,
    installations: Sequence[Installation],
    registers: dict[tuple[MeterId, int], list[RegisterReading]],
    zone: ZoneInfo,
    now_s: int,
) -> DayUnits:
    first_s = midnight_s(day, zone)
    last_s = midnight_s(day_after(day), zone)
    meter = installed_through(installations, first_s, last_s)
    if isinstance(meter, Gap):
        return DayUnits(day, None, None, None, None, meter)
    openings = registers.get((meter, first_s), [])
    closings = registers.get((meter, last_s), [])
    opening = openings[0] if openings else None
    closing = closings[0] if closings else None
    gap = _gap_between(openings, closings, over=last_s <= now_s)
    if gap is not None or opening is None or closing is None:
        return DayUnits(day, meter, opening, closing, None, gap)
    return DayUnits(day, meter, opening, closing, closing.wh - opening.wh, None)


def _gap_between(
    openings: Sequence[RegisterReading], closings: Sequence[RegisterReading], *, over: bool
) -> Gap | None:
    if not over:
        return Gap.DAY_NOT_OVER
    if not openings and not closings:
        return Gap.BOTH_MISSING
    if not openings:
        return Gap.OPENING_MISSING
    if not closings:
        return Gap.CLOSING_MISSING
    if len({one.wh for one in openings}) > 1 or len({one.wh for one in closings}) > 1:
        return Gap.READINGS_DIFFER
    if closings[0].wh < openings[0].wh:
        return Gap.REGISTER_WENT_BACK
    return None


def newest_register(candidates: Iterable[Sequence[StoredRow]]) -> RegisterReading | None:
    """The newest register among the newest rows of several profiles; None where rows differ."""
    found: list[RegisterReading] = []
    for rows in candidates:
        readings = [
            RegisterReading(wh, row) for row in rows if (wh := import_register(row)) is not None
        ]
        if readings and len({one.wh for one in readings}) == 1:
            found.append(readings[0])
    return max(found, key=lambda one: one.row.captured_at_s, default=None)


def units_since(opening: RegisterReading | None, now: RegisterReading | None) -> Decimal | None:
    """Energy between two registers of one meter, None where it cannot be stated."""
    if opening is None or now is None or opening.row.meter != now.row.meter:
        return None
    if now.row.captured_at_s < opening.row.captured_at_s or now.wh < opening.wh:
        return None
    return now.wh - opening.wh
