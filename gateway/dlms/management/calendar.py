"""Activity calendar (class 20): the passive part is written, activated, and read back as active.

Shapes: Blue Book 4.5.5. A day's switches name a script of the meter's tariffication script table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.association.requests import Action
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import CalendarAttribute, CalendarMethod, ClassId
from gateway.dlms.cosem_time import CosemDateTime
from gateway.dlms.management.steps import (
    SENDINGS,
    History,
    Job,
    Mark,
    Outcome,
    PutOff,
    Result,
    StepKind,
    refused,
    sendings,
)
from gateway.dlms.management.writing import Write, is_so, write_all
from gateway.dlms.reading import Procedure, read_data
from gateway.errors import PeerRefused, UsageError
from gateway.model import CaptureObject, Obis

ACTIVATION: Final = "calendar activation"
_MINUTES: Final = 24 * 60
_MAX_NAME_OCTETS: Final = 32
_IN_FORCE_AFTER_S: Final = 60
"""A meter looks at its activation time once a minute."""
_INTEGER_0: Final = axdr.encode(Data(Tag.INTEGER, 0))


@dataclass(frozen=True, slots=True)
class Season:
    """Begins each year on a day of a month, and says which week profile holds from then."""

    name: str
    month: int
    day: int
    week: str


@dataclass(frozen=True, slots=True)
class Week:
    """Day profiles by number, Monday first."""

    name: str
    days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """Switches of one day: (minute of the day, script selector), the first at midnight."""

    number: int
    switches: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A whole calendar; raises UsageError where its parts do not fit together."""

    name: str
    seasons: tuple[Season, ...]
    weeks: tuple[Week, ...]
    days: tuple[Day, ...]

    def __post_init__(self) -> None:
        faults = [*self._name_faults(), *self._week_faults(), *self._day_faults()]
        if faults:
            raise UsageError(f"calendar {self.name!r}: {'; '.join(faults)}")

    def _name_faults(self) -> list[str]:
        names = [self.name, *(s.name for s in self.seasons), *(w.name for w in self.weeks)]
        long = [n for n in names if not (n.isascii() and 1 <= len(n) <= _MAX_NAME_OCTETS)]
        faults = [f"name {name!r} is not 1 to {_MAX_NAME_OCTETS} ASCII octets" for name in long]
        weeks = {week.name for week in self.weeks}
        if not self.seasons or not self.weeks or not self.days:
            faults.append("seasons, weeks and days are needed")
        for season in self.seasons:
            if season.week not in weeks:
                faults.append(f"season {season.name!r} names no week profile: {season.week!r}")
            if not (1 <= season.month <= 12 and 1 <= season.day <= 31):
                faults.append(f"season {season.name!r} begins on no day of a month")
        return faults

    def _week_faults(self) -> list[str]:
        known = {day.number for day in self.days}
        return [
            f"week {week.name!r} needs seven of the day profiles {sorted(known)}"
            for week in self.weeks
            if len(week.days) != 7 or not known.issuperset(week.days)
        ]

    def _day_faults(self) -> list[str]:
        faults = []
        for day in self.days:
            minutes = [minute for minute, _ in day.switches]
            rises = minutes == sorted(set(minutes)) and minutes[:1] == [0]
            if not (0 <= day.number <= 0xFF and rises and minutes[-1] < _MINUTES):
                faults.append(f"day {day.number} needs switches that rise from minute 0")
            if any(not 1 <= selector <= 0xFFFF for _, selector in day.switches):
                faults.append(f"day {day.number} selects a script outside 1..65535")
        return faults


def calendar_parts(calendar: Calendar, script: Obis) -> tuple[Data, Data, Data, Data]:
    """Name, season profile, week profile table and day profile table as COSEM data."""
    seasons = (
        _structure(
            _octets(season.name.encode()),
            _octets(bytes([0xFF, 0xFF, season.month, season.day, 0xFF, 0, 0, 0, 0, 0x80, 0, 0xFF])),
            _octets(season.week.encode()),
        )
        for season in calendar.seasons
    )
    weeks = (
        _structure(
            _octets(week.name.encode()), *(Data(Tag.UNSIGNED, number) for number in week.days)
        )
        for week in calendar.weeks
    )
    days = (_day(day, script) for day in calendar.days)
    return _octets(calendar.name.encode()), _array(seasons), _array(weeks), _array(days)


def _day(day: Day, script: Obis) -> Data:
    switches = (
        _structure(
            _octets(bytes([minute // 60, minute % 60, 0, 0])),
            _octets(script.octets),
            Data(Tag.LONG_UNSIGNED, selector),
        )
        for minute, selector in day.switches
    )
    return _structure(Data(Tag.UNSIGNED, day.number), _array(switches))


def _octets(octets: bytes) -> Data:
    return Data(Tag.OCTET_STRING, octets)


def _structure(*members: Data) -> Data:
    return Data(Tag.STRUCTURE, members)


def _array(members: object) -> Data:
    return Data(Tag.ARRAY, tuple(members))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarPlan:
    """Which calendar goes where, and when it takes over.

    ``at``: None activates now. ``in_s``: seconds from now to ``at``.
    """

    object: Obis
    script: Obis
    calendar: Calendar
    at: CosemDateTime | None = None
    in_s: int = 0


def change_calendar(plan: CalendarPlan, history: History = ()) -> Job:
    """Write the passive calendar, activate it, prove that it is the active one."""
    parts = calendar_parts(plan.calendar, plan.script)
    active = _writes(plan.object, CalendarAttribute.NAME_ACTIVE, parts)
    sent = sendings(history, ACTIVATION)
    try:
        is_active = yield from _all_so(active)
    except PeerRefused as refusal:
        return refused("active calendar", refusal)
    if is_active:
        kind = StepKind.AFTER if sent else StepKind.PRESENT
        yield Mark(kind, ACTIVATION, "active")
        return Result(Outcome.DONE if sent else Outcome.ALREADY_SO)
    written = yield from write_all(
        _writes(plan.object, CalendarAttribute.NAME_PASSIVE, parts), history
    )
    if written.outcome not in (Outcome.DONE, Outcome.ALREADY_SO):
        return written
    if plan.at is None:
        return (yield from _activate_now(plan.object, active, len(sent)))
    return (yield from _activate_later(plan, plan.at, history))


def _activate_now(calendar: Obis, active: Sequence[Write], sent: int) -> Job:
    if sent >= SENDINGS:
        return Result(Outcome.REFUSED, f"{ACTIVATION}: asked {sent} times, never done")
    yield Mark(StepKind.SENDING, ACTIVATION)
    method = CalendarMethod.ACTIVATE_PASSIVE
    try:
        yield Action(ClassId.ACTIVITY_CALENDAR, calendar, method, _INTEGER_0)
    except PeerRefused as refusal:
        yield Mark(StepKind.AFTER, ACTIVATION, str(refusal))
        return refused(ACTIVATION, refusal)
    is_active = yield from _all_so(active)
    yield Mark(StepKind.AFTER, ACTIVATION, "active" if is_active else "another one is active")
    if is_active:
        return Result(Outcome.DONE)
    return Result(Outcome.DIFFERS, f"{ACTIVATION}: the meter took it and another one is active")


def _activate_later(plan: CalendarPlan, at: CosemDateTime, history: History) -> Job:
    target = CaptureObject(ClassId.ACTIVITY_CALENDAR, plan.object, CalendarAttribute.ACTIVATE_TIME)
    if plan.in_s < -2 * _IN_FORCE_AFTER_S and sendings(history, ACTIVATION):
        yield Mark(StepKind.AFTER, ACTIVATION, "the time is past and another one is active")
        return Result(Outcome.DIFFERS, f"{ACTIVATION}: its time is past, another one is active")
    timed = yield from write_all([Write(name=ACTIVATION, target=target, wanted=at)], history)
    if timed.outcome not in (Outcome.DONE, Outcome.ALREADY_SO):
        return timed
    return PutOff(max(0, plan.in_s) + _IN_FORCE_AFTER_S, "the calendar waits for its time")


def _writes(calendar: Obis, first: int, parts: Sequence[Data]) -> list[Write]:
    names = ("name", "seasons", "weeks", "days")
    return [
        Write(
            name=f"calendar {name}",
            target=CaptureObject(ClassId.ACTIVITY_CALENDAR, calendar, first + offset),
            wanted=part,
        )
        for offset, (name, part) in enumerate(zip(names, parts, strict=True))
    ]


def _all_so(writes: Sequence[Write]) -> Procedure[bool]:
    for write in writes:
        target = write.target
        present = yield from read_data(target.class_id, target.obis, target.attribute)
        if not is_so(present, write.wanted):
            return False
    return True
