"""Whether the previous day's readings are there in time: the utility's service level, each morning.

``judge`` and ``due`` are pure. What is expected of a meter is one row for each capture of the day;
what is stored under another time, twice or in doubt fills no gap of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.config import CoverageTarget
from gateway.dlms.plan import DAY_S
from gateway.errors import StoreError
from gateway.model import MeterId
from gateway.service.clock import Clock
from gateway.store.readings import Coverage, ReadingsStore
from gateway.store.thread import StoreDoor

log = structlog.get_logger()

_PERIOD_S: Final = 300
_HOUR_S: Final = 3600

Expected = Mapping[tuple[MeterId, str], int]
"""How many rows of a day each meter and profile has."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the expected rows are there."""

    there: int
    expected: int

    @property
    def basis_points(self) -> int:
        """Hundredths of a percent, rounded down: 9999 is not all. Nothing expected is all."""
        return 10_000 * self.there // self.expected if self.expected else 10_000

    def reaches(self, percent: int) -> bool:
        """Whether it is at least so much; exact."""
        return 100 * self.there >= percent * self.expected


def judge(expected: Expected, stored: Iterable[Coverage]) -> Share:
    """The share of expected rows that are stored; more of one meter makes up for no other."""
    there = sum(min(one.times, expected.get((one.meter, one.profile), 0)) for one in stored)
    return Share(there, sum(expected.values()))


def last_midnight(now_s: int, zone_s: int) -> int:
    """UTC seconds of the local midnight that began the present day."""
    return now_s - (now_s + zone_s) % DAY_S


def due(
    now_s: int, midnight_s: int, targets: Iterable[CoverageTarget], judged: Iterable[CoverageTarget]
) -> list[CoverageTarget]:
    """Targets whose hour has come today and that were not judged yet, earliest first.

    Where several came since the last look (the service was down), only the latest can be judged:
    what was there at an earlier hour is not known any more.
    """
    come = [t for t in targets if midnight_s + t.within_hours * _HOUR_S <= now_s]
    done = set(judged)
    latest = max(come, key=lambda target: target.within_hours, default=None)
    return [] if latest is None or latest in done else [latest]


@dataclass(kw_only=True)
class CoverageWatch:
    """Judges each target once a day, for each wire and the site, and raises an alarm."""

    readings: StoreDoor[ReadingsStore]
    clock: Clock
    zone_s: int
    targets: Sequence[CoverageTarget]
    expected: Mapping[str, Callable[[], Expected]]
    """By wire: what its meters have a day."""
    figures: dict[str, int] = field(default_factory=dict)
    """For the health message; empty until the first judgement."""

    def __post_init__(self) -> None:
        self._midnight_s = -1
        self._judged: list[CoverageTarget] = []

    async def run(self) -> None:
        """Look every few minutes, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            await self.run_once()

    async def run_once(self) -> None:
        """Judge what is due. A clock that is not right judges nothing."""
        now_s = self.clock.now_us() // 1_000_000
        if not self.clock.synchronised():
            return
        midnight_s = last_midnight(now_s, self.zone_s)
        if midnight_s != self._midnight_s:
            self._midnight_s, self._judged = midnight_s, []
        for target in due(now_s, midnight_s, self.targets, self._judged):
            try:
                await self._judge(target, midnight_s)
            except StoreError as error:
                log.error("coverage not judged", error=str(error))
                return
            self._judged.append(target)

    async def _judge(self, target: CoverageTarget, midnight_s: int) -> None:
        """Rows of the previous day: its blocks, by their ends, and the midnight that closes it.

        Where blocks are stamped at their start the window is one block later, of the same length.
        """
        stored = await self.readings.run(
            lambda store: store.coverage(midnight_s - DAY_S + 1, midnight_s)
        )
        shares = {wire: judge(wanted(), stored) for wire, wanted in self.expected.items()}
        site = Share(
            sum(share.there for share in shares.values()),
            sum(share.expected for share in shares.values()),
        )
        self.figures["coverage_basis_points"] = site.basis_points
        self.figures["coverage_rows_missing"] = site.expected - site.there
        for name, share in (*shares.items(), ("site", site)):
            say, what = log.info, "coverage of yesterday"
            if not share.reaches(target.percent):
                say, what = log.error, "coverage of yesterday is below the service level"
            say(
                what,
                of=name,
                rows=share.there,
                expected=share.expected,
                basis_points=share.basis_points,
                percent_wanted=target.percent,
                within_hours=target.within_hours,
            )
