"""One connection's figures, fetched and computed: the same for the API and the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from consumer_app.consumption import (
    DayUnits,
    RegisterReading,
    newest_register,
    units_of_days,
    units_since,
)
from consumer_app.database.connect import Connection
from consumer_app.database.events import Place, StoredEvent, events_of
from consumer_app.database.queries import StoredRow, latest_rows, rows_between
from consumer_app.load import Block, block_period_s, load_of_day
from consumer_app.site_time import day_after, local_day, midnight_s
from gateway.model import Account, Installation, ProfileKind

_CLOCK_TOLERANCE_S = 300
"""A meter's clock may be ahead of ours by this much and still give the newest reading."""

_PERIOD_SEARCH_DAYS = 7


@dataclass(frozen=True, slots=True)
class DayLoad:
    """Blocks of a day; no period and no blocks where none was ever read around that day."""

    day: date
    period_s: int | None
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class RegisterNow:
    """The newest register reading and what was used since midnight, where that is known."""

    reading: RegisterReading | None
    units_today_wh: Decimal | None


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """Reads one account's figures over one database connection, as of ``now_s``."""

    connection: Connection
    account: Account
    zone: ZoneInfo
    now_s: int

    def units(self, first: date, last: date) -> list[DayUnits]:
        """Units of each day from ``first`` to ``last``, both included."""
        days = [day_after(first, step) for step in range((last - first).days + 1)]
        rows = self._rows(ProfileKind.DAILY_LOAD, first, day_after(last))
        return units_of_days(
            days, self.account.installations, rows, zone=self.zone, now_s=self.now_s
        )

    def load(self, day: date) -> DayLoad:
        """Block load of one day."""
        rows = self._rows(ProfileKind.BLOCK_LOAD, day, day_after(day))
        period_s = block_period_s(row.captured_at_s for row in rows)
        if period_s is None:
            around = self._rows(
                ProfileKind.BLOCK_LOAD, day_after(day, -_PERIOD_SEARCH_DAYS), day_after(day, 2)
            )
            period_s = block_period_s(row.captured_at_s for row in around)
        if period_s is None:
            return DayLoad(day, None, ())
        blocks = load_of_day(day, rows, zone=self.zone, period_s=period_s, now_s=self.now_s)
        return DayLoad(day, period_s, tuple(blocks))

    def snapshot(self) -> StoredRow | None:
        """The newest set of instantaneous values of the meter that stands there now."""
        return next(iter(self._latest(ProfileKind.INSTANTANEOUS)), None)

    def register(self) -> RegisterNow:
        """The newest register, from a snapshot or a midnight row, whichever is newer."""
        reading = newest_register(
            self._latest(kind) for kind in (ProfileKind.INSTANTANEOUS, ProfileKind.DAILY_LOAD)
        )
        today = local_day(self.now_s, self.zone)
        opening = self.units(today, today)[0].opening
        return RegisterNow(reading, units_since(opening, reading))

    def events(
        self, most: int, *, before: Place | None = None, names: Sequence[str] | None = None
    ) -> list[StoredEvent]:
        """The newest events of the meters while they stood here, newest first."""
        places = self.account.installations
        return events_of(self.connection, places, most=most, before=before, names=names)

    def _installed(self, first_s: int, last_s: int) -> Iterable[tuple[Installation, int, int]]:
        for one in self.account.installations:
            from_s = max(first_s, one.valid_from_s)
            to_s = last_s if one.valid_to_s is None else min(last_s, one.valid_to_s)
            if from_s <= to_s:
                yield one, from_s, to_s

    def _rows(self, kind: ProfileKind, first: date, last: date) -> list[StoredRow]:
        first_s, last_s = midnight_s(first, self.zone), midnight_s(last, self.zone)
        return [
            row
            for one, from_s, to_s in self._installed(first_s, last_s)
            for row in rows_between(self.connection, one.meter, kind, from_s, to_s)
        ]

    def _latest(self, kind: ProfileKind) -> list[StoredRow]:
        last_s = self.now_s + _CLOCK_TOLERANCE_S
        for one, from_s, to_s in self._installed(self.now_s, last_s):
            del from_s
            return latest_rows(self.connection, one.meter, kind, one.valid_from_s, to_s)
        return []
