"""What is still missing of a meter's profile buffer, and in which spans to ask for it.

Pure: capture times in, spans out. A capture is expected at every multiple of the capture period in
the meter's local time (Blue Book class 7, capture_period); what the store holds is subtracted; what
the meter was asked for already and did not have is not asked for again until ``asked`` forgets it,
and never again once it is known as a gap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.errors import UsageError

DAY_S: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SLICE_ROWS: Final = 400
"""Rows asked for in one request: a day of quarter hours four times over, well below what a
PDU-bounded block transfer carries, and small enough that a broken session loses little."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Capture times from ``from_s`` to ``to_s``, both inclusive, UTC epoch seconds."""

    from_s: int
    to_s: int

    def __post_init__(self) -> None:
        if self.from_s > self.to_s:
            raise UsageError(f"a span ends before it starts: {self.from_s} > {self.to_s}")

    def earlier(self, seconds: int) -> Span:
        """The same length of time, so many seconds before."""
        return Span(self.from_s - seconds, self.to_s - seconds)


@dataclass(frozen=True, slots=True)
class EarlierPeriod:
    """A capture period that was in force up to ``until_s`` (UTC seconds, inclusive)."""

    until_s: int
    period_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """When a profile captures: every ``period_s``, aligned to local midnight.

    ``settle_s`` is how long after a capture time the meter may still be writing the row.
    ``earlier`` are the periods before a meter was given this one, oldest first.
    """

    period_s: int
    zone_s: int
    settle_s: int = 60
    earlier: tuple[EarlierPeriod, ...] = ()

    def __post_init__(self) -> None:
        for period_s in (self.period_s, *(one.period_s for one in self.earlier)):
            if not can_be_a_period(period_s):
                raise UsageError(f"a capture period of {period_s} s does not divide the day")

    def last_at(self, now_s: int) -> int:
        """The newest capture time whose row can be read at ``now_s``."""
        local = now_s - self.settle_s + self.zone_s
        return local - local % self.period_s - self.zone_s

    def next_at(self, now_s: int) -> int:
        """When the next row can be read, seen from ``now_s``."""
        return self.last_at(now_s) + self.period_s + self.settle_s

    def times(self, from_s: int, to_s: int) -> Sequence[int]:
        """All capture times in ``from_s`` .. ``to_s`` inclusive, rising."""
        times: list[int] = []
        for one in self.earlier:
            if one.until_s >= from_s:
                times += self._grid(one.period_s, from_s, min(one.until_s, to_s))
                from_s = one.until_s + 1
        latest = self._grid(self.period_s, from_s, to_s)
        return [*times, *latest] if times else latest

    def _grid(self, period_s: int, from_s: int, to_s: int) -> range:
        first = from_s + -(from_s + self.zone_s) % period_s
        return range(first, to_s + 1, period_s)


def can_be_a_period(period_s: int) -> bool:
    """Whether a capture period divides the day, so that captures stay at the same times of day."""
    return 0 < period_s <= DAY_S and DAY_S % period_s == 0


def missing(
    *,
    cadence: Cadence,
    horizon_s: int,
    now_s: int,
    captured: Collection[int],
    asked: Collection[int] = (),
    gaps: Iterable[Span] = (),
) -> list[int]:
    """Capture times to ask for, rising.

    ``horizon_s`` is how far back rows are wanted; ``captured`` and ``asked`` are capture times in
    UTC epoch seconds, ``gaps`` spans in which the meter is known to have no rows.
    """
    last = cadence.last_at(now_s)
    known = sorted(gaps)
    begins = [gap.from_s for gap in known]

    def is_gap(time_s: int) -> bool:
        at = bisect_right(begins, time_s)
        return at > 0 and time_s <= known[at - 1].to_s

    return [
        time_s
        for time_s in cadence.times(last - horizon_s, last)
        if time_s not in captured and time_s not in asked and not is_gap(time_s)
    ]


def spans(
    times: Sequence[int], cadence: Cadence, *, slice_rows: int | None = SLICE_ROWS
) -> list[Span]:
    """Spans that cover just these capture times (rising), newest first.

    So today is there before the backlog is. Each span holds at most ``slice_rows`` of them.
    """
    if not times:
        return []
    wanted = frozenset(times)
    runs: list[list[int]] = []
    for time_s in cadence.times(times[0], times[-1]):
        if time_s not in wanted:
            runs.append([])
            continue
        if not runs or len(runs[-1]) == slice_rows:
            runs.append([])
        runs[-1].append(time_s)
    return [Span(run[0], run[-1]) for run in reversed(runs) if run]


def month_starts(*, now_s: int, zone_s: int, count: int, settle_s: int = 60) -> list[int]:
    """UTC seconds of the newest ``count`` local month starts whose rows can be read, oldest first.

    When a meter bills by itself (IS 15959: 00:00 on the 1st). ``settle_s`` as in ``Cadence``.
    """
    starts: list[int] = []
    at = datetime.fromtimestamp(now_s - settle_s + zone_s, UTC)
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while len(starts) < count:
        starts.append((first - _EPOCH) // timedelta(seconds=1) - zone_s)
        first = (first - timedelta(days=1)).replace(day=1)
    return starts[::-1]
