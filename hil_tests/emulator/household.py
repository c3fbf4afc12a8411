"""What a household draws: texture and truth from a seed, in whole watt-hours.

Pure and integer throughout: any quarter of an hour is computed from the seed and its number
alone, so two processes with one scenario agree on every register without talking. The shape
follows what Indian load surveys show: 2 to 12 Wh per quarter at rest, morning and evening peaks of
400 to 600 Wh, about 7.3 kWh a day and phase, 221 to 249 V.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_256
from itertools import accumulate
from math import isqrt
from typing import Final, NamedTuple

from gateway.errors import UsageError

QUARTER_S: Final = 900
DAY_S: Final = 86_400
QUARTERS: Final = DAY_S // QUARTER_S

_DAYS_KEPT: Final = 80
"""Days of texture in memory: the depth of the daily profile and some more."""
_DRAWS_PER_QUARTER: Final = 4
_HEADER_DRAWS: Final = 4
_SUN: Final = range(36, 64)
"""Quarters in which a roof feeds in: 09:00 to 16:00."""


class PhaseQuarter(NamedTuple):
    """A quarter of an hour on one phase; energies in Wh and VAh."""

    import_wh: int
    import_vah: int
    export_wh: int
    voltage_cv: int
    """Mean voltage in hundredths of a volt."""

    @property
    def current_ma(self) -> int:
        """Mean current in milliamperes, from apparent energy and voltage."""
        apparent_va = (self.import_vah + self.export_wh) * (3600 // QUARTER_S)
        return apparent_va * 100_000 // self.voltage_cv


class Energy(NamedTuple):
    """Energy of an interval, or a register's state: Wh, VAh and varh, whole numbers."""

    import_wh: int = 0
    import_vah: int = 0
    export_wh: int = 0
    export_vah: int = 0
    import_varh: int = 0
    """Reactive energy of quadrant I; the household has no other."""

    def plus(self, other: Energy) -> Energy:
        """Component-wise sum."""
        return Energy(
            self.import_wh + other.import_wh,
            self.import_vah + other.import_vah,
            self.export_wh + other.export_wh,
            self.export_vah + other.export_vah,
            self.import_varh + other.import_varh,
        )

    def share(self, part: int, whole: int) -> Energy:
        """The part of it that has passed after ``part`` of ``whole``, rounded down."""
        return Energy(*(value * part // whole for value in self))


class Demand(NamedTuple):
    """A maximum demand and the end of the quarter it was measured in."""

    power: int
    """W or VA, averaged over one quarter of an hour."""
    at_s: int


class Interval(NamedTuple):
    """One capture interval: total energy and the mean of each phase."""

    end_s: int
    energy: Energy
    phases: tuple[PhaseQuarter, ...]
    """Energies of the whole interval, voltage averaged over it."""
    quarters: int

    def current_ma(self, phase: int) -> int:
        """Mean current of a phase over the interval, in milliamperes."""
        return self.phases[phase].current_ma // self.quarters


@dataclass(frozen=True, slots=True)
class _Day:
    quarters: tuple[tuple[PhaseQuarter, ...], ...]
    energies: tuple[Energy, ...]
    opening: tuple[Energy, ...]
    """Energy of the day before each quarter; one entry more than quarters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseholdSettings:
    """What identifies a household.

    ``installed_s`` is the UTC second of the local midnight at which the registers stood at their
    opening values; nothing exists before it.
    """

    seed: int
    name: str
    phases: int = 1
    exports: bool = False
    zone_s: int
    installed_s: int

    def __post_init__(self) -> None:
        if self.phases not in {1, 3}:
            raise UsageError(f"a household has 1 or 3 phases, not {self.phases}")
        if (self.installed_s + self.zone_s) % DAY_S:
            raise UsageError("a household starts at a local midnight")


class Household:
    """Energy drawn by one connection, for any instant from its installation on."""

    def __init__(self, settings: HouseholdSettings) -> None:
        self.settings = settings
        self._day: Callable[[int], _Day] = lru_cache(maxsize=_DAYS_KEPT)(self._make_day)
        self._sums = [self._opening()]

    @property
    def installed_s(self) -> int:
        """First instant of its history, UTC epoch seconds."""
        return self.settings.installed_s

    def register_at(self, utc_s: int) -> Energy:
        """Registers at an instant; between quarter-hours the quarter counts as drawn evenly."""
        day, second = self._locate(utc_s)
        quarter, part = divmod(second, QUARTER_S)
        texture = self._day(day)
        passed = texture.energies[quarter].share(part, QUARTER_S)
        return self._before(day).plus(texture.opening[quarter]).plus(passed)

    def interval(self, end_s: int, period_s: int) -> Interval:
        """The capture interval that ends at ``end_s``; a whole number of quarter-hours."""
        if period_s <= 0 or period_s % QUARTER_S or (end_s - self.installed_s) % QUARTER_S:
            raise UsageError(f"no interval of {period_s} s ends at {end_s}")
        parts = [self.quarter_at(start) for start in range(end_s - period_s, end_s, QUARTER_S)]
        total = Energy()
        for energy, _ in parts:
            total = total.plus(energy)
        phases = tuple(
            PhaseQuarter(
                sum(phase.import_wh for phase in column),
                sum(phase.import_vah for phase in column),
                sum(phase.export_wh for phase in column),
                sum(phase.voltage_cv for phase in column) // len(column),
            )
            for column in zip(*(quarter for _, quarter in parts), strict=True)
        )
        return Interval(end_s, total, phases, len(parts))

    def quarter_at(self, utc_s: int) -> tuple[Energy, tuple[PhaseQuarter, ...]]:
        """Total and phases of the quarter of an hour that holds ``utc_s``."""
        day, second = self._locate(utc_s)
        texture = self._day(day)
        quarter = second // QUARTER_S
        return texture.energies[quarter], texture.quarters[quarter]

    def maximum_demand(self, from_s: int, to_s: int, *, apparent: bool = False) -> Demand:
        """Highest quarter-hour demand of the quarters that end in (``from_s``, ``to_s``]."""
        best = Demand(0, 0)
        start = max(from_s, self.installed_s)
        for begin in range(start, to_s - QUARTER_S + 1, QUARTER_S):
            energy, _ = self.quarter_at(begin)
            drawn = energy.import_vah if apparent else energy.import_wh
            power = drawn * (3600 // QUARTER_S)
            if power > best.power:
                best = Demand(power, begin + QUARTER_S)
        return best

    def _locate(self, utc_s: int) -> tuple[int, int]:
        if utc_s < self.installed_s:
            raise UsageError(f"{self.settings.name} was installed after {utc_s}")
        return divmod(utc_s - self.installed_s, DAY_S)

    def _before(self, day: int) -> Energy:
        """Registers at the midnight that begins ``day``; sums are kept, texture is not."""
        while len(self._sums) <= day:
            last = self._day(len(self._sums) - 1)
            self._sums.append(self._sums[-1].plus(last.opening[-1]))
        return self._sums[day]

    def _opening(self) -> Energy:
        energy, factor = self._draws("opening", 2)
        import_wh = 1_000_000 + _between(energy, 0, 999_999)
        import_vah = import_wh + import_wh * _between(factor, 30, 80) // 1000
        return Energy(import_wh, import_vah, 0, 0, isqrt(import_vah**2 - import_wh**2))

    def _make_day(self, day: int) -> _Day:
        columns = [self._phase_day(day, phase) for phase in range(self.settings.phases)]
        quarters = tuple(zip(*columns, strict=True))
        energies = tuple(_total(phases) for phases in quarters)
        opening = accumulate(energies, Energy.plus, initial=Energy())
        return _Day(quarters, energies, tuple(opening))

    def _phase_day(self, day: int, phase: int) -> list[PhaseQuarter]:
        draws = self._draws(f"{day}/{phase}", _HEADER_DRAWS + QUARTERS * _DRAWS_PER_QUARTER)
        energy, factor, voltage, sun = (
            draws[_HEADER_DRAWS + column :: _DRAWS_PER_QUARTER]
            for column in range(_DRAWS_PER_QUARTER)
        )
        column = []
        for quarter, (low, high) in enumerate(_levels(draws[:_HEADER_DRAWS])):
            import_wh = _between(energy[quarter], low, high)
            import_vah = -(-import_wh * 1000 // _between(factor[quarter], 880, 995))
            # The more is drawn, the lower the voltage at the end of the feeder.
            voltage_cv = _between(voltage[quarter], 23_400, 24_800) - 2 * import_wh
            shines = self.settings.exports and quarter in _SUN
            export_wh = _between(sun[quarter], 40, 260) if shines else 0
            column.append(PhaseQuarter(import_wh, import_vah, export_wh, voltage_cv))
        return column

    def _draws(self, what: str, count: int) -> tuple[int, ...]:
        """Numbers of 16 bits; a hash and not ``random``, whose streams no standard fixes."""
        key = f"{self.settings.seed}/{self.settings.name}/{what}".encode()
        return struct.unpack(f">{count}H", shake_256(key).digest(2 * count))


def _between(draw: int, low: int, high: int) -> int:
    """Map 16 bits evenly to ``low`` .. ``high`` inclusive."""
    return low + (draw * (high - low + 1) >> 16)


def _total(phases: tuple[PhaseQuarter, ...]) -> Energy:
    import_wh = sum(phase.import_wh for phase in phases)
    import_vah = sum(phase.import_vah for phase in phases)
    export_wh = sum(phase.export_wh for phase in phases)
    return Energy(import_wh, import_vah, export_wh, export_wh, isqrt(import_vah**2 - import_wh**2))


def _levels(header: tuple[int, ...]) -> list[tuple[int, int]]:
    """Lowest and highest Wh of each quarter: rest, and two peaks with their shoulders."""
    level = [(2, 12)] * QUARTERS
    morning, morning_length, evening, evening_length = header
    for begin, length in (
        (_between(morning, 24, 30), _between(morning_length, 3, 5)),
        (_between(evening, 74, 80), _between(evening_length, 7, 9)),
    ):
        level[begin - 1] = level[begin + length] = (100, 240)
        level[begin : begin + length] = [(400, 600)] * length
    return level
