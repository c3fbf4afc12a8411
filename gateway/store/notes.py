"""What the reading plan must not forget over a restart: gaps, capture periods, meters' clocks.

Times are UTC epoch seconds. A gap is a span of capture times that a meter was asked for on two days
and did not have; a doubt is a span in which a meter's clock was not right, so that rows captured
in it are marked whenever they are read.
"""

# ruff: noqa: S608 - the texts are put together from constants of this file only

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.dlms.plan import DAY_S, EarlierPeriod, Span
from gateway.model import MeterId, ProfileKind
from gateway.store.database import Database
from gateway.store.schema import PROFILE_IDS
from gateway.store.sources import Sources

_OPEN_END_S: Final = 2**62
_METER: Final = "(SELECT id FROM meters WHERE meter = ?1)"


class GapReason(StrEnum):
    """Why there is no row."""

    BEFORE_FIRST_ROW = "before_first_row"
    """Older than all that the meter has: it was not there yet, or its ring went on over it."""
    NOT_CAPTURED = "not_captured"
    """Between rows that it has: it was without power, or its clock jumped."""


@dataclass(frozen=True, slots=True)
class Periods:
    """The capture period that a meter stated last, and those that were before it."""

    period_s: int
    earlier: tuple[EarlierPeriod, ...] = ()


@dataclass(frozen=True, slots=True)
class ClockDay:
    """How far a meter's clock was from the host's on one UTC day; ahead is positive."""

    day_s: int
    checks: int
    least_s: int
    most_s: int
    last_s: int


class Notes:
    """Part of readings.db, used behind its door."""

    def __init__(self, database: Database, sources: Sources) -> None:
        self._database = database
        self._sources = sources

    # -- gaps ----------------------------------------------------------------------------

    def gaps(self, meter: MeterId, profile: ProfileKind) -> list[Span]:
        """Spans without rows, rising."""
        rows = self._database.rows(
            f"SELECT from_s, to_s FROM gaps WHERE meter_id = {_METER} AND profile_id = ?2"
            " ORDER BY from_s",
            [meter, PROFILE_IDS[profile]],
        )
        return [Span(from_s, to_s) for from_s, to_s in rows]

    def declare_gaps(
        self, meter: MeterId, profile: ProfileKind, found: Iterable[Span], now_us: int
    ) -> dict[GapReason, int]:
        """Note spans that the meter has no rows for; how many of each reason are new."""
        meter_id, profile_id = self._sources.meter_id(meter), PROFILE_IDS[profile]
        first_s = self._database.value(
            "SELECT min(captured_at_s) FROM readings WHERE meter_id = ? AND profile_id = ?"
            " AND time_quality <> 'invalid'",
            [meter_id, profile_id],
        )
        counts: dict[GapReason, int] = {}
        with self._database.transaction() as connection:
            for span in found:
                early = first_s is None or span.to_s < first_s
                reason = GapReason.BEFORE_FIRST_ROW if early else GapReason.NOT_CAPTURED
                done = connection.execute(
                    "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (meter_id, profile_id, span.from_s, span.to_s, reason.value, now_us),
                )
                counts[reason] = counts.get(reason, 0) + done.rowcount
        return counts

    # -- capture periods -----------------------------------------------------------------

    def periods(self, meter: MeterId, profile: ProfileKind) -> Periods | None:
        """What the meter said of its capture period, None before it said anything."""
        rows = self._database.rows(
            f"SELECT until_s, period_s FROM capture_periods WHERE meter_id = {_METER}"
            " AND profile_id = ?2 ORDER BY until_s",
            [meter, PROFILE_IDS[profile]],
        )
        if not rows:
            return None
        *earlier, (_, period_s) = rows
        return Periods(period_s, tuple(EarlierPeriod(*one) for one in earlier))

    def note_period(self, meter: MeterId, profile: ProfileKind, period_s: int) -> Periods:
        """The meter states this period now.

        A new one holds from the newest row stored on: what is older was captured by the old one.
        """
        known = self.periods(meter, profile)
        if known is not None and known.period_s == period_s:
            return known
        meter_id, profile_id = self._sources.meter_id(meter), PROFILE_IDS[profile]
        newest_s = self._database.value(
            "SELECT max(captured_at_s) FROM readings WHERE meter_id = ? AND profile_id = ?"
            " AND time_quality <> 'invalid'",
            [meter_id, profile_id],
        )
        key = (meter_id, profile_id)
        with self._database.transaction() as connection:
            if known is not None and newest_s is not None:
                connection.execute(
                    "UPDATE OR REPLACE capture_periods SET until_s = ?"
                    " WHERE meter_id = ? AND profile_id = ? AND until_s = ?",
                    (newest_s, *key, _OPEN_END_S),
                )
            connection.execute(
                "INSERT OR REPLACE INTO capture_periods VALUES (?, ?, ?, ?)",
                (*key, _OPEN_END_S, period_s),
            )
        return self.periods(meter, profile) or Periods(period_s)

    # -- clocks --------------------------------------------------------------------------

    def note_clock(self, meter: MeterId, now_s: int, drift_s: int | None, *, right: bool) -> None:
        """A meter's clock was compared with the host's; ``drift_s`` None: it shows no time.

        A clock that is wrong is in doubt since it was last seen right; one that is right again
        ends the doubt now, or where its wrong stamps ended if it was ahead.
        """
        meter_id = self._sources.meter_id(meter)
        with self._database.transaction() as connection:
            if drift_s is not None:
                connection.execute(
                    "INSERT INTO clock_days VALUES (?1, ?2, 1, ?3, ?3, ?3)"
                    " ON CONFLICT DO UPDATE SET checks = checks + 1,"
                    " least_s = min(least_s, ?3), most_s = max(most_s, ?3), last_s = ?3",
                    (meter_id, now_s - now_s % DAY_S, drift_s),
                )
            if right:
                connection.execute(
                    "UPDATE clock_doubts SET to_s = max(?, worst_s)"
                    " WHERE meter_id = ? AND to_s = ?",
                    (now_s, meter_id, _OPEN_END_S),
                )
                connection.execute(
                    "INSERT INTO clock_right VALUES (?1, ?2)"
                    " ON CONFLICT DO UPDATE SET at_s = excluded.at_s",
                    (meter_id, now_s),
                )
                return
            since_s = self._database.value(
                "SELECT at_s FROM clock_right WHERE meter_id = ?", [meter_id]
            )
            stamps_s = now_s + max(0, drift_s or 0)
            connection.execute(
                "INSERT INTO clock_doubts VALUES (?, ?, ?, ?) ON CONFLICT (meter_id, to_s)"
                " DO UPDATE SET worst_s = max(worst_s, excluded.worst_s)",
                (meter_id, since_s if since_s is not None else 0, _OPEN_END_S, stamps_s),
            )

    def doubts(self, meter: MeterId, from_s: int) -> list[Span]:
        """Spans after ``from_s`` in which the meter's clock was not right; an open one is endless.

        Capture times in them are marked.
        """
        rows = self._database.rows(
            f"SELECT from_s, to_s FROM clock_doubts WHERE meter_id = {_METER} AND to_s >= ?2"
            " ORDER BY from_s",
            [meter, from_s],
        )
        return [Span(begin_s, end_s) for begin_s, end_s in rows]

    def clock_days(self, meter: MeterId) -> list[ClockDay]:
        """What was seen of the meter's clock, by day, rising."""
        rows = self._database.rows(
            "SELECT day_s, checks, least_s, most_s, last_s FROM clock_days"
            f" WHERE meter_id = {_METER} ORDER BY day_s",
            [meter],
        )
        return [ClockDay(*row) for row in rows]

    def note_clock_set(
        self, meter: MeterId, now_us: int, before_s: int, after_s: int | None, outcome: str
    ) -> None:
        """The clock was set, or it was tried: drift before, drift as read back (None: not)."""
        meter_id = self._sources.meter_id(meter)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO clock_sets VALUES (?, ?, ?, ?, ?)",
                (meter_id, now_us, before_s, after_s, outcome),
            )

    def last_clock_set_s(self, meter: MeterId) -> int | None:
        """When the clock was last set or tried to be set, UTC seconds."""
        found: int | None = self._database.value(
            f"SELECT max(at_us) / 1000000 FROM clock_sets WHERE meter_id = {_METER}", [meter]
        )
        return found
