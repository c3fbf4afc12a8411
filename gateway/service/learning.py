"""What a meter of an unknown make shows of itself: a procedure that asks, and what it learnt.

Nothing is believed that was not seen: scalers come from the registers themselves, a way to select
rows counts as understood when it brings back a row that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.classes import CLOCK_TIME, SERIAL_NUMBER, VALUE, ClassId, ProfileAttribute
from gateway.dlms.cosem_time import DEVIATION_NOT_SPECIFIED, CosemDateTime, TimeRules, resolve
from gateway.dlms.limits import Limits
from gateway.dlms.plan import Span
from gateway.dlms.reading import (
    Buffer,
    ListedObject,
    Procedure,
    newest_entries,
    range_of,
    read_buffer,
    read_capture_list,
    read_clock,
    read_columns,
    read_data,
    read_object_list,
)
from gateway.dlms.rows import RawRow
from gateway.dlms.selective_access import SelectiveAccess
from gateway.errors import DecodeError, PeerRefused
from gateway.model import CaptureList, CaptureObject, Obis
from gateway.profile import Access

_WHOLE_ROWS_MOST: Final = 64
"""A buffer that is refused by entry is read whole up to so many rows."""
_SCALER_ATTRIBUTES: Final = {
    (ClassId.REGISTER, 3),
    (ClassId.EXTENDED_REGISTER, 3),
    (ClassId.DEMAND_REGISTER, 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntBuffer:
    """One buffer; None for what the meter did not tell."""

    captures: CaptureList
    """Scalers as the registers themselves have them."""
    period_s: int | None
    depth_rows: int | None
    row: RawRow | None
    """The newest row."""
    captured_at_s: int | None
    """What its clock says, UTC seconds."""
    access: Access | None
    """By which the row was found again; None where it was not tried."""
    range_without_deviation: bool = False
    trailing_octets: bool = False
    """Octets stood behind the whole value of the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """All of one meter, as one association shows it."""

    objects: tuple[ListedObject, ...]
    serial: str
    clock: CosemDateTime | None
    rules: TimeRules
    clock_s: int | None
    """The clock by these rules, UTC seconds."""
    buffers: Mapping[Obis, LearntBuffer]
    scaler_profiles: Mapping[Obis, frozenset[CaptureObject]]
    """Profiles that capture nothing but scalers, and whose."""
    remarks: tuple[str, ...]
    """What was refused or made no sense."""


def learn(zone_minutes: int, deviation_sign: int) -> Procedure[Learnt]:
    """Ask for all that a profile says; ``zone_minutes`` is where the meter stands.

    ``deviation_sign`` holds for a meter that states no deviation. Raises PeerRefused or DecodeError
    where not even the object list can be read.
    """
    objects = yield from read_object_list()
    remarks: list[str] = []
    clock: CosemDateTime | None = None
    try:
        clock = yield from read_clock()
    except (PeerRefused, DecodeError) as error:
        remarks.append(f"the clock was not read: {error}")
    rules = _rules(clock, zone_minutes, deviation_sign)
    buffers: dict[Obis, LearntBuffer] = {}
    scaler_profiles: dict[Obis, frozenset[CaptureObject]] = {}
    for listed in objects:
        if listed.class_id != ClassId.PROFILE_GENERIC:
            continue
        try:
            columns = yield from read_columns(listed.obis)
            if all((one.class_id, one.attribute) in _SCALER_ATTRIBUTES for one in columns):
                scaler_profiles[listed.obis] = frozenset(columns)
            else:
                buffers[listed.obis] = yield from _learn_buffer(listed.obis, rules)
        except (PeerRefused, DecodeError) as error:
            remarks.append(f"{listed.obis} was not read: {error}")
    return Learnt(
        objects=objects,
        serial=(yield from _read_serial()),
        clock=clock,
        rules=rules,
        clock_s=None if clock is None else resolve(clock, rules).utc_s,
        buffers=buffers,
        scaler_profiles=scaler_profiles,
        remarks=tuple(remarks),
    )


def _rules(clock: CosemDateTime | None, zone_minutes: int, deviation_sign: int) -> TimeRules:
    """How the meter means its times, by the deviation that its clock states."""
    stated = DEVIATION_NOT_SPECIFIED if clock is None else clock.deviation_minutes
    if stated == DEVIATION_NOT_SPECIFIED or zone_minutes == 0:
        return TimeRules(zone_minutes, deviation_sign)
    if abs(stated) != abs(zone_minutes):
        return TimeRules(zone_minutes, deviation_sign, use_deviation=False)
    return TimeRules(zone_minutes, 1 if stated == zone_minutes else -1)


def _read_serial() -> Procedure[str]:
    try:
        data = yield from read_data(ClassId.DATA, SERIAL_NUMBER, VALUE)
    except (PeerRefused, DecodeError):
        return ""
    value = data.value
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _learn_buffer(obis: Obis, rules: TimeRules) -> Procedure[LearntBuffer]:
    captures = yield from read_capture_list(obis, None)
    period_s = yield from _read_number(obis, ProfileAttribute.CAPTURE_PERIOD)
    depth_rows = yield from _read_number(obis, ProfileAttribute.PROFILE_ENTRIES)
    row, trailing = yield from _read_newest(obis)
    captured_at_s = None if row is None else _clock_of(row, captures, rules)
    access: Access | None = None
    bare = False
    if row is not None and period_s and captured_at_s is not None:
        access, bare = yield from _try_ranges(obis, row, captured_at_s, rules)
    return LearntBuffer(
        captures=captures,
        period_s=period_s,
        depth_rows=depth_rows,
        row=row,
        captured_at_s=captured_at_s,
        access=access,
        range_without_deviation=bare,
        trailing_octets=trailing,
    )


def _read_number(obis: Obis, attribute: ProfileAttribute) -> Procedure[int | None]:
    try:
        data = yield from read_data(ClassId.PROFILE_GENERIC, obis, attribute)
    except (PeerRefused, DecodeError):
        return None
    return data.value if isinstance(data.value, int) else None


def _read_newest(obis: Obis) -> Procedure[tuple[RawRow | None, bool]]:
    """The newest row where there is one, and whether octets stood behind it."""
    in_use = yield from _read_number(obis, ProfileAttribute.ENTRIES_IN_USE)
    if not in_use:
        return None, False
    entry: SelectiveAccess | None = newest_entries(in_use, 1) if in_use > 1 else None
    try:
        buffer, trailing = yield from _read_rows(obis, entry)
    except PeerRefused:
        if entry is None or in_use > _WHOLE_ROWS_MOST:
            return None, False
        buffer, trailing = yield from _read_rows(obis, None)
    return (buffer.rows[-1] if buffer.rows else None), trailing


def _read_rows(obis: Obis, access: SelectiveAccess | None) -> Procedure[tuple[Buffer, bool]]:
    """Rows, strictly first; and whether that was not enough."""
    try:
        return (yield from read_buffer(obis, access, Limits())), False
    except DecodeError:
        return (yield from read_buffer(obis, access, Limits(), ignore_trailing=True)), True


def _clock_of(row: RawRow, captures: CaptureList, rules: TimeRules) -> int | None:
    for column, value in zip(captures.columns, row.values, strict=False):
        if column.source == CLOCK_TIME and isinstance(value, bytes) and len(value) == 12:
            return resolve(CosemDateTime.from_octets(value), rules).utc_s
    return None


def _try_ranges(
    obis: Obis, row: RawRow, at_s: int, rules: TimeRules
) -> Procedure[tuple[Access, bool]]:
    """Whether a range brings the row back, and whether only local time alone does."""
    for bare in (False, True):
        wanted = range_of(Span(at_s, at_s), rules, without_deviation=bare)
        try:
            buffer, _ = yield from _read_rows(obis, wanted)
        except (PeerRefused, DecodeError):
            continue
        if any(found.raw == row.raw for found in buffer.rows):
            return Access.RANGE, bare
    return Access.ENTRY, False


def is_number(tag: int) -> bool:
    """Whether values of a type are scaled."""
    return tag in _NUMBERS


_NUMBERS: Final = frozenset(
    {
        axdr.Tag.DOUBLE_LONG,
        axdr.Tag.DOUBLE_LONG_UNSIGNED,
        axdr.Tag.INTEGER,
        axdr.Tag.LONG,
        axdr.Tag.UNSIGNED,
        axdr.Tag.LONG_UNSIGNED,
        axdr.Tag.LONG64,
        axdr.Tag.LONG64_UNSIGNED,
        axdr.Tag.FLOAT32,
        axdr.Tag.FLOAT64,
    }
)
