"""What a meter's registers hold, straight from the household: the oracle of every comparison.

Nothing here touches DLMS. ``shown`` values are what the meter's number format can express,
since a register in steps of 10 Wh cannot be read to the watt-hour by anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final, NamedTuple

from hil_tests.emulator.encodings import FORMATS, Encoding, NumberFormat, Quantity
from hil_tests.emulator.household import DAY_S, Energy, Household

BLOCK_DAYS: Final = 35
DAILY_ROWS: Final = 70
BILLING_ROWS: Final = 13


class Shown(NamedTuple):
    """Four energy figures as the meter's number format states them, in Wh and VAh."""

    import_wh: Decimal
    import_vah: Decimal
    export_wh: Decimal
    export_vah: Decimal


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One row of the block or daily profile."""

    captured_at_s: int
    exact: Energy
    shown: Shown


class Truth:
    """The history of one household as its meter keeps it.

    ``register_format`` and ``block_format`` are the number formats of active energy; apparent
    energy differs from it in its unit alone.
    """

    def __init__(
        self,
        household: Household,
        encoding: Encoding,
        *,
        capture_period_s: int,
        energy_scaler_shift: int = 0,
    ) -> None:
        formats = FORMATS[encoding]
        self._household = household
        self._period_s = capture_period_s
        self._register = shifted(formats[Quantity.ACTIVE_ENERGY], energy_scaler_shift)
        self._block = formats[Quantity.BLOCK_ACTIVE_ENERGY]

    def register_at(self, utc_s: int) -> TruthRow:
        """Cumulative registers at an instant."""
        energy = self._household.register_at(utc_s)
        return TruthRow(utc_s, energy, _shown(energy, self._register))

    def daily_rows(self, now_s: int) -> Iterator[TruthRow]:
        """The daily profile at ``now_s``, oldest first: registers at local midnights."""
        for at_s in midnights(self._household, now_s, DAILY_ROWS):
            yield self.register_at(at_s)

    def billing_rows(self, now_s: int) -> Iterator[TruthRow]:
        """The billing profile at ``now_s``, oldest first: registers at local month starts."""
        for at_s in month_starts(self._household, now_s, BILLING_ROWS):
            yield self.register_at(at_s)

    def block_rows(self, now_s: int) -> Iterator[TruthRow]:
        """The block load profile at ``now_s``, oldest first, stamped with the interval's end."""
        for end_s in block_ends(self._household, now_s, self._period_s):
            yield self.block_at(end_s)

    def block_at(self, end_s: int) -> TruthRow:
        """The block that ends then; UsageError where none does or the meter did not stand yet."""
        energy = self._household.interval(end_s, self._period_s).energy
        return TruthRow(end_s, energy, _shown(energy, self._block))

    def days(self, now_s: int) -> Iterator[tuple[str, Shown, Energy]]:
        """Each whole local day in the daily profile: its ISO date, units shown and exact."""
        rows = list(self.daily_rows(now_s))
        for opening, closing in pairwise(rows):
            shown = Shown(*(b - a for a, b in zip(opening.shown, closing.shown, strict=True)))
            exact = Energy(*(b - a for a, b in zip(opening.exact, closing.exact, strict=True)))
            zone_s = self._household.settings.zone_s
            yield local_date(opening.captured_at_s, zone_s), shown, exact


def midnights(household: Household, now_s: int, depth: int) -> range:
    """UTC seconds of the last ``depth`` local midnights that a meter has captured."""
    return _captures(household, now_s, DAY_S, depth, first_s=household.installed_s)


def month_starts(household: Household, now_s: int, depth: int) -> list[int]:
    """UTC seconds of the last ``depth`` local month starts that a meter has captured."""
    zone_s = household.settings.zone_s
    starts: list[int] = []
    start_s = month_start(now_s, zone_s)
    while start_s >= household.installed_s and len(starts) < depth:
        starts.append(start_s)
        start_s = month_start(start_s - 1, zone_s)
    return starts[::-1]


def month_start(utc_s: int, zone_s: int) -> int:
    """UTC seconds of the local month's first instant."""
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=utc_s + zone_s)
    first = local.replace(day=1, hour=0, minute=0, second=0)
    return round(first.timestamp()) - zone_s


def block_ends(household: Household, now_s: int, period_s: int) -> range:
    """UTC seconds of the block ends that a meter still holds."""
    depth = BLOCK_DAYS * DAY_S // period_s
    return _captures(household, now_s, period_s, depth, first_s=household.installed_s + period_s)


def local_date(utc_s: int, zone_s: int) -> str:
    """ISO date in the meter's zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=utc_s + zone_s)).date().isoformat()


def shifted(number: NumberFormat, shift: int) -> NumberFormat:
    """The same format with its scaler moved."""
    return NumberFormat(number.tag, number.scaler + shift, number.unit)


def _captures(
    household: Household, now_s: int, period_s: int, depth: int, *, first_s: int
) -> range:
    count = (now_s - household.installed_s) // period_s
    last_s = household.installed_s + count * period_s
    return range(max(first_s, last_s - (depth - 1) * period_s), last_s + 1, period_s)


def _shown(energy: Energy, number: NumberFormat) -> Shown:
    return Shown(*(number.shown(Fraction(value)) for value in energy[:4]))
