"""The load of a day from block rows, and the values a snapshot shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from consumer_app.consumption import column_value
from consumer_app.database.queries import StoredRow
from consumer_app.site_time import day_after, midnight_s
from gateway.model import Obis, unit_name

BLOCK_PERIODS_S = (900, 1800, 3600)
"""Capture periods that IS 15959-2 meters are set to."""

_BLOCK_WH = Obis.parse("1-0:1.29.0*255")
_BLOCK_VOLTAGE = Obis.parse("1-0:12.27.0*255")
_BLOCK_CURRENT = Obis.parse("1-0:11.27.0*255")
_PHASE_VOLTAGES = tuple(Obis.parse(f"1-0:{c}.27.0*255") for c in (32, 52, 72))
_PHASE_CURRENTS = tuple(Obis.parse(f"1-0:{c}.27.0*255") for c in (31, 51, 71))


class BlockGap(StrEnum):
    """Why the energy of a block is not known."""

    NOT_OVER = "not_over"
    NOT_READ = "not_read"
    READINGS_DIFFER = "readings_differ"


@dataclass(frozen=True, slots=True)
class Block:
    """One capture period: energy in Wh and mean V and A, one figure a phase (R, Y, B).

    ``wh`` or ``gap``, never both, never neither.
    """

    start_s: int
    end_s: int
    wh: Decimal | None
    volts: tuple[Decimal | None, ...] = ()
    amperes: tuple[Decimal | None, ...] = ()
    gap: BlockGap | None = None

    @property
    def mean_w(self) -> Decimal | None:
        """Mean power over the block, exact to 28 digits."""
        return None if self.wh is None else self.wh * 3600 / (self.end_s - self.start_s)


def block_period_s(stamps: Iterable[int]) -> int | None:
    """The capture period: the shortest step between stamps; None if it is no known period."""
    ordered = sorted(set(stamps))
    steps = {later - earlier for earlier, later in pairwise(ordered)} & set(BLOCK_PERIODS_S)
    return min(steps, default=None)


def load_of_day(
    day: date, rows: Sequence[StoredRow], *, zone: ZoneInfo, period_s: int, now_s: int
) -> list[Block]:
    """All blocks of the day in order, those not read included.

    A row is stamped at the end of its block, so the first block of a day is stamped one period
    after midnight and the last one at the next midnight.
    """
    first_s = midnight_s(day, zone)
    last_s = midnight_s(day_after(day), zone)
    by_stamp: dict[int, list[StoredRow]] = {}
    for row in rows:
        by_stamp.setdefault(row.captured_at_s, []).append(row)
    return [
        _block(end_s - period_s, end_s, by_stamp.get(end_s, ()), now_s)
        for end_s in range(first_s + period_s, last_s + 1, period_s)
    ]


def _block(start_s: int, end_s: int, rows: Sequence[StoredRow], now_s: int) -> Block:
    energies = {wh for row in rows if (wh := column_value(row, _BLOCK_WH)) is not None}
    if len(energies) > 1:
        return Block(start_s, end_s, None, gap=BlockGap.READINGS_DIFFER)
    if not energies:
        gap = BlockGap.NOT_READ if end_s <= now_s else BlockGap.NOT_OVER
        return Block(start_s, end_s, None, gap=gap)
    row = rows[0]
    return Block(
        start_s,
        end_s,
        energies.pop(),
        _by_phase(row, _BLOCK_VOLTAGE, _PHASE_VOLTAGES),
        _by_phase(row, _BLOCK_CURRENT, _PHASE_CURRENTS),
    )


def _by_phase(row: StoredRow, single: Obis, phases: Sequence[Obis]) -> tuple[Decimal | None, ...]:
    one = column_value(row, single)
    if one is not None:
        return (one,)
    three = tuple(column_value(row, obis) for obis in phases)
    return three if any(value is not None for value in three) else ()


class Quantity(StrEnum):
    """What a snapshot's value is, in words that a page can translate."""

    VOLTAGE = "voltage"
    VOLTAGE_R = "voltage_r"
    VOLTAGE_Y = "voltage_y"
    VOLTAGE_B = "voltage_b"
    CURRENT = "current"
    CURRENT_R = "current_r"
    CURRENT_Y = "current_y"
    CURRENT_B = "current_b"
    NEUTRAL_CURRENT = "neutral_current"
    POWER = "power"
    APPARENT_POWER = "apparent_power"
    POWER_FACTOR = "power_factor"
    FREQUENCY = "frequency"
    MAXIMUM_DEMAND = "maximum_demand"
    ENERGY_IMPORT = "energy_import"
    ENERGY_EXPORT = "energy_export"


class Shown(NamedTuple):
    """A value of a snapshot: quantity, number, unit symbol ("" where it has none)."""

    quantity: Quantity
    obis: Obis
    value: Decimal
    unit: str


_QUANTITIES: dict[Obis, Quantity] = {
    Obis.parse(text): quantity
    for text, quantity in (
        ("1-0:12.7.0*255", Quantity.VOLTAGE),
        ("1-0:32.7.0*255", Quantity.VOLTAGE_R),
        ("1-0:52.7.0*255", Quantity.VOLTAGE_Y),
        ("1-0:72.7.0*255", Quantity.VOLTAGE_B),
        ("1-0:11.7.0*255", Quantity.CURRENT),
        ("1-0:31.7.0*255", Quantity.CURRENT_R),
        ("1-0:51.7.0*255", Quantity.CURRENT_Y),
        ("1-0:71.7.0*255", Quantity.CURRENT_B),
        ("1-0:91.7.0*255", Quantity.NEUTRAL_CURRENT),
        ("1-0:1.7.0*255", Quantity.POWER),
        ("1-0:9.7.0*255", Quantity.APPARENT_POWER),
        ("1-0:13.7.0*255", Quantity.POWER_FACTOR),
        ("1-0:14.7.0*255", Quantity.FREQUENCY),
        ("1-0:1.6.0*255", Quantity.MAXIMUM_DEMAND),
        ("1-0:1.8.0*255", Quantity.ENERGY_IMPORT),
        ("1-0:2.8.0*255", Quantity.ENERGY_EXPORT),
    )
}
_ORDER = {quantity: place for place, quantity in enumerate(Quantity)}
_OUTPUT_STATE = Obis.parse("0-0:96.3.10*255")


def shown_values(row: StoredRow) -> list[Shown]:
    """The numbers of a snapshot that a consumer can use, in a fixed order."""
    shown = [
        Shown(
            _QUANTITIES[column.source.obis],
            column.source.obis,
            value,
            unit_name(column.unit),
        )
        for column, value in zip(row.capture_list.columns, row.values, strict=False)
        if column.source.obis in _QUANTITIES
        and column.source.attribute == 2
        and isinstance(value, Decimal)
    ]
    return sorted(shown, key=lambda one: _ORDER[one.quantity])


def supply_connected(row: StoredRow) -> bool | None:
    """The load switch's output state (class 70 attribute 2); None if the snapshot has none."""
    for column, value in zip(row.capture_list.columns, row.values, strict=False):
        source = column.source
        if source.obis == _OUTPUT_STATE and source.attribute == 2 and isinstance(value, bool):
            return value
    return None
