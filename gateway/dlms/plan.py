"""What is still missing of a meter's profile buffer, and in which spans to ask for it.

Pure: capture times in, spans out. A capture is expected at every multiple of the capture period in
the meter's local time (Blue Book class 7, capture_period); what the store holds is subtracted; what
the meter was asked for already and did not have is not asked for again until ``asked`` forgets it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """When a profile captures: every ``period_s``, aligned to local midnight.

    ``settle_s`` is how long after a capture time the meter may still be writing the row.
    """

    period_s: int
    zone_s: int
    settle_s: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.period_s <= DAY_S or DAY_S % self.period_s:
            raise UsageError(f"a capture period of {self.period_s} s does not divide the day")

    def last_at(self, now_s: int) -> int:
        """The newest capture time whose row can be read at ``now_s``."""
        local = now_s - self.settle_s + self.zone_s
        return local - local % self.period_s - self.zone_s

    def next_at(self, now_s: int) -> int:
        """When the next row can be read, seen from ``now_s``."""
        return self.last_at(now_s) + self.period_s + self.settle_s

    def times(self, from_s: int, to_s: int) -> range:
        """All capture times in ``from_s`` .. ``to_s`` inclusive."""
        first = from_s + -(from_s + self.zone_s) % self.period_s
        return range(first, to_s + 1, self.period_s)


def missing(
    *,
    cadence: Cadence,
    horizon_s: int,
    now_s: int,
    captured: Collection[int],
    asked: Collection[int] = (),
    slice_rows: int = SLICE_ROWS,
) -> list[Span]:
    """Spans to read, newest first, so that today is there before the backlog is.

    ``horizon_s`` is how far back rows are wanted; ``captured`` and ``asked`` are capture times in
    UTC epoch seconds. Each span holds at most ``slice_rows`` capture times.
    """
    last = cadence.last_at(now_s)
    wanted = [
        time
        for time in cadence.times(last - horizon_s, last)
        if time not in captured and time not in asked
    ]
    return sorted(_slices(_runs(wanted, cadence.period_s), slice_rows), reverse=True)


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


def stored_period_s(captured: Iterable[int], *, default_s: int) -> int:
    """The capture period that stored times (UTC seconds) show, at least ``default_s``.

    For a meter that has not said its period yet: asking it for every capture that its profile
    would have, and it has not, costs a request for each. A guess that is too long is put right
    when the meter says its own.
    """
    steps = (later - earlier for earlier, later in pairwise(sorted(set(captured))))
    step = min(steps, default=default_s)
    return step if step > default_s and step <= DAY_S and DAY_S % step == 0 else default_s


def _runs(times: Iterable[int], period_s: int) -> Iterator[list[int]]:
    run: list[int] = []
    for time in times:
        if run and time - run[-1] != period_s:
            yield run
            run = []
        run.append(time)
    if run:
        yield run


def _slices(runs: Iterable[list[int]], slice_rows: int) -> Iterator[Span]:
    for run in runs:
        for start in range(0, len(run), slice_rows):
            piece = run[start : start + slice_rows]
            yield Span(piece[0], piece[-1])
