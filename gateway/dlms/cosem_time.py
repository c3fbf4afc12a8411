"""COSEM date-time, date and time: exact octets, and what instant they mean (Blue Book 4.1.6).

An instant never depends on the host's time zone: where the meter states no deviation, the zone
of its firmware profile holds. The sign of the deviation is the profile's too. The Blue Book
says local time + deviation = UTC, so India is -330; Indian meters are seen to send +330.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from datetime import date
from enum import IntFlag, StrEnum
from typing import Final

from gateway.errors import DecodeError, UsageError
from gateway.model import Instant, TimeQuality

NOT_SPECIFIED: Final = 0xFF
YEAR_NOT_SPECIFIED: Final = 0xFFFF
DEVIATION_NOT_SPECIFIED: Final = -0x8000
DEVIATION_LIMIT_MINUTES: Final = 840
"""No place on earth is further from UTC than 14 hours."""

SANE_FLOOR_S: Final = 1_262_304_000
"""2010-01-01T00:00:00Z: no smart meter of today captured anything before, so an earlier date is
a clock that lost its battery (1970 and 2000 are seen)."""

_DATE: Final = struct.Struct(">H3B")
_DEVIATION_AND_STATUS: Final = struct.Struct(">hB")
_TWO_DIGITS: Final = tuple(f"{number:02}" for number in range(60))
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DAY_S: Final = 86_400


class ClockStatus(IntFlag):
    """Bits of the clock status octet; 0xFF as a whole means not specified."""

    INVALID_VALUE = 0x01
    DOUBTFUL_VALUE = 0x02
    DIFFERENT_CLOCK_BASE = 0x04
    INVALID_CLOCK_STATUS = 0x08
    DAYLIGHT_SAVING_ACTIVE = 0x80


_BAD_STATUS: Final = int(ClockStatus.INVALID_VALUE | ClockStatus.INVALID_CLOCK_STATUS)
_NO_INSTANT: Final = Instant(None, "", TimeQuality.INVALID)


class ZeroDate(StrEnum):
    """What a date before ``SANE_FLOOR_S`` means; its quality is INVALID either way."""

    AS_SENT = "as_sent"
    """The instant it names, if it names one: evidence of a clock that was lost."""
    NOT_SPECIFIED = "not_specified"
    """No instant: the meter fills "never" with a zero date."""


@dataclass(frozen=True, slots=True)
class TimeRules:
    """How a meter model means its date-times.

    ``zone_minutes`` is local time minus UTC (India 330). ``deviation_sign`` is -1 where the
    meter sends the Blue Book's deviation (India -330), +1 where it sends +330.
    ``use_deviation`` False lets the zone hold always, for meters whose deviation is wrong.
    """

    zone_minutes: int
    deviation_sign: int = -1
    zero_date: ZeroDate = ZeroDate.AS_SENT
    use_deviation: bool = True

    def __post_init__(self) -> None:
        if abs(self.zone_minutes) > DEVIATION_LIMIT_MINUTES:
            raise UsageError(f"zone of {self.zone_minutes} minutes, allowed are -840..840")
        if self.deviation_sign not in (-1, 1):
            raise UsageError(f"deviation sign {self.deviation_sign}, allowed: -1, 1")


@dataclass(frozen=True, slots=True)
class CosemDate:
    """Five octets as they are; 0xFFFF and 0xFF are wild cards.

    Months 0xFD and 0xFE mean the daylight saving changes, days 0xFD and 0xFE the second last
    and last of the month, weekday 1 is Monday.
    """

    year: int = YEAR_NOT_SPECIFIED
    month: int = NOT_SPECIFIED
    day: int = NOT_SPECIFIED
    weekday: int = NOT_SPECIFIED

    @classmethod
    def from_octets(cls, octets: bytes) -> CosemDate:
        """Read 5 octets; raise DecodeError for another length."""
        _check_length("date", octets, 5)
        return cls(int.from_bytes(octets[:2], "big"), octets[2], octets[3], octets[4])

    def to_octets(self) -> bytes:
        """The 5 octets; raise UsageError where a field does not fit."""
        try:
            return _DATE.pack(self.year, self.month, self.day, self.weekday)
        except struct.error:
            raise UsageError(f"{self}: 2 octets for the year, 1 for each other field") from None

    @property
    def ordinal(self) -> int | None:
        """Proleptic Gregorian day number; None for wild cards and impossible dates."""
        try:
            return date(self.year, self.month, self.day).toordinal()
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class CosemTime:
    """Four octets as they are; 0xFF is a wild card."""

    hour: int = NOT_SPECIFIED
    minute: int = NOT_SPECIFIED
    second: int = NOT_SPECIFIED
    hundredths: int = NOT_SPECIFIED

    @classmethod
    def from_octets(cls, octets: bytes) -> CosemTime:
        """Read 4 octets; raise DecodeError for another length."""
        _check_length("time", octets, 4)
        return cls(*octets)

    def to_octets(self) -> bytes:
        """The 4 octets; raise UsageError where a field does not fit."""
        try:
            return bytes((self.hour, self.minute, self.second, self.hundredths))
        except ValueError:
            raise UsageError(f"{self}: 1 octet for each field") from None

    @property
    def second_of_day(self) -> int | None:
        """None where hour or minute is not specified or impossible.

        A second that is not specified counts as 0: captures lie on whole minutes.
        """
        return _second_of_day(self.hour, self.minute, self.second)


@dataclass(frozen=True, slots=True)
class CosemDateTime:
    """Twelve octets as they are: ``from_octets(x).to_octets() == x`` for any twelve.

    ``deviation_minutes`` is the signed field as sent, ``DEVIATION_NOT_SPECIFIED`` for 0x8000.
    """

    date: CosemDate
    time: CosemTime
    deviation_minutes: int = DEVIATION_NOT_SPECIFIED
    status: int = NOT_SPECIFIED

    @classmethod
    def from_octets(cls, octets: bytes) -> CosemDateTime:
        """Read 12 octets; raise DecodeError for another length."""
        _check_length("date-time", octets, 12)
        return cls(
            date=CosemDate.from_octets(octets[:5]),
            time=CosemTime.from_octets(octets[5:9]),
            deviation_minutes=int.from_bytes(octets[9:11], "big", signed=True),
            status=octets[11],
        )

    def to_octets(self) -> bytes:
        """The 12 octets; raise UsageError where a field does not fit."""
        try:
            end = _DEVIATION_AND_STATUS.pack(self.deviation_minutes, self.status)
        except struct.error:
            raise UsageError(f"{self}: 2 octets for the deviation, 1 for the status") from None
        return self.date.to_octets() + self.time.to_octets() + end

    @property
    def without_deviation(self) -> CosemDateTime:
        """The same local time, deviation and status not specified.

        For meters that refuse a range whose bounds state them.
        """
        return replace(self, deviation_minutes=DEVIATION_NOT_SPECIFIED, status=NOT_SPECIFIED)


def resolve(when: CosemDateTime, rules: TimeRules) -> Instant:
    """The instant that a meter's date-time means under its profile's rules.

    Never raises: a date that is not specified or cannot be has no instant, and quality INVALID.
    Quality is INVALID too where the clock status says so, where the deviation is beyond any
    zone (the profile's zone is used then), and before ``SANE_FLOOR_S``.
    """
    day = _Day(when.date, when.deviation_minutes, when.status, rules)
    return day.at(when.time.hour, when.time.minute, when.time.second)


class Resolver:
    """``resolve`` for the date-times of one buffer: what a day's rows share is worked out once."""

    def __init__(self, rules: TimeRules) -> None:
        self._rules = rules
        self._octets = b""
        self._day: _Day | None = None

    def __call__(self, octets: bytes) -> Instant:
        """The instant of 12 octets; raise DecodeError for another length."""
        of_day = octets[:5] + octets[9:]
        if self._day is None or of_day != self._octets:
            when = CosemDateTime.from_octets(octets)
            self._day = _Day(when.date, when.deviation_minutes, when.status, self._rules)
            self._octets = of_day
        return self._day.at(octets[5], octets[6], octets[7])


class _Day:
    """What a date, a deviation and a clock status mean together, whatever the time of day."""

    __slots__ = ("_midnight_s", "_offset", "_quality", "_rules", "_text")

    def __init__(
        self, day: CosemDate, deviation_minutes: int, status: int, rules: TimeRules
    ) -> None:
        offset_minutes, sane = _offset(deviation_minutes, rules)
        if status != NOT_SPECIFIED and status & _BAD_STATUS:
            sane = False
        ordinal = day.ordinal
        self._rules = rules
        self._quality = TimeQuality.OK if sane else TimeQuality.INVALID
        self._midnight_s = (
            None if ordinal is None else (ordinal - _EPOCH_ORDINAL) * _DAY_S - offset_minutes * 60
        )
        sign = "-" if offset_minutes < 0 else "+"
        hours, minutes = divmod(abs(offset_minutes), 60)
        self._text = f"{day.year:04}-{day.month:02}-{day.day:02}T"
        self._offset = f"{sign}{hours:02}:{minutes:02}"

    def at(self, hour: int, minute: int, second: int) -> Instant:
        second_of_day = _second_of_day(hour, minute, second)
        if self._midnight_s is None or second_of_day is None:
            return _NO_INSTANT
        utc_s = self._midnight_s + second_of_day
        quality = self._quality
        if utc_s < SANE_FLOOR_S:
            if self._rules.zero_date is ZeroDate.NOT_SPECIFIED:
                return _NO_INSTANT
            quality = TimeQuality.INVALID
        if second == NOT_SPECIFIED:
            second = 0
        time = f"{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}"
        local = f"{self._text}{time}{self._offset}"
        return Instant(utc_s, local, quality)


def from_utc(utc_s: int, rules: TimeRules) -> CosemDateTime:
    """The date-time by which a meter of these rules names an instant (UTC epoch seconds).

    The deviation is stated, the clock status is 0; ``without_deviation`` takes both away.
    Raises UsageError outside the years 1 to 9999.
    """
    days, second_of_day = divmod(utc_s + rules.zone_minutes * 60, _DAY_S)
    try:
        day = date.fromordinal(days + _EPOCH_ORDINAL)
    except (ValueError, OverflowError):
        raise UsageError(f"{utc_s} s is outside the years 1 to 9999") from None
    minute_of_day, second = divmod(second_of_day, 60)
    hour, minute = divmod(minute_of_day, 60)
    return CosemDateTime(
        date=CosemDate(day.year, day.month, day.day, day.isoweekday()),
        time=CosemTime(hour, minute, second, 0),
        deviation_minutes=rules.deviation_sign * rules.zone_minutes,
        status=0,
    )


def _offset(deviation_minutes: int, rules: TimeRules) -> tuple[int, bool]:
    """(local time minus UTC in minutes, whether the deviation can be)."""
    if deviation_minutes == DEVIATION_NOT_SPECIFIED or not rules.use_deviation:
        return rules.zone_minutes, True
    if abs(deviation_minutes) > DEVIATION_LIMIT_MINUTES:
        return rules.zone_minutes, False
    return rules.deviation_sign * deviation_minutes, True


def _second_of_day(hour: int, minute: int, second: int) -> int | None:
    if second == NOT_SPECIFIED:
        second = 0
    if hour > 23 or minute > 59 or second > 59:
        return None
    return hour * 3600 + minute * 60 + second


def _check_length(what: str, octets: bytes, length: int) -> None:
    if len(octets) != length:
        raise DecodeError(f"a COSEM {what} has {length} octets, not {len(octets)}")
