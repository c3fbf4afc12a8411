"""What the emulated meters hold: columns of their profiles and how each figure arises.

Column lists follow object dumps of real smart meters of IS 15959-2: single-phase category D1 and
three-phase whole-current category D2. The standard fixes columns; number types are the encoding's.
Meters behind transformers (IS 15959-3) and the older meters of IS 15959-1 have the same registers
without a load switch; no dump of one was at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import isqrt
from typing import Final, Literal, NamedTuple

from gateway.dlms.classes import BILLING_DATE, scaler_source
from gateway.model import CaptureObject, Obis
from hil_tests.emulator.encodings import Quantity
from hil_tests.emulator.household import QUARTER_S, Energy, Interval, PhaseQuarter

PER_HOUR: Final = 3600 // QUARTER_S


class Model(StrEnum):
    """Meter models by standard and wiring."""

    SINGLE_PHASE = "single_phase"
    THREE_PHASE = "three_phase"
    CT_THREE_PHASE = "ct_three_phase"
    PART1_SINGLE_PHASE = "part1_single_phase"
    PART1_THREE_PHASE = "part1_three_phase"

    @property
    def phases(self) -> int:
        """Measured phases."""
        return 1 if self in (Model.SINGLE_PHASE, Model.PART1_SINGLE_PHASE) else 3

    @property
    def has_switch(self) -> bool:
        """Whether it can cut its load: whole-current smart meters only."""
        return self in (Model.SINGLE_PHASE, Model.THREE_PHASE)


class Moment(NamedTuple):
    """All that a meter measures at one instant."""

    at_s: int
    registers: Energy
    quarter: Energy
    phases: tuple[PhaseQuarter, ...]
    on_minutes: int


@dataclass(frozen=True, slots=True)
class Measure:
    """A register: its quantity, and its exact value in the quantity's unit (V, A, W, Wh ...)."""

    quantity: Quantity
    value: Callable[[Moment], Fraction]


@dataclass(frozen=True, slots=True)
class BlockMeasure:
    """A register of the capture interval."""

    quantity: Quantity
    value: Callable[[Interval], Fraction]


def _voltage(phase: int) -> Measure:
    return Measure(Quantity.VOLTAGE, lambda m: Fraction(m.phases[phase].voltage_cv, 100))


def _current(phase: int) -> Measure:
    return Measure(Quantity.CURRENT, lambda m: Fraction(m.phases[phase].current_ma, 1000))


def _power_factor(phase: int) -> Measure:
    def value(moment: Moment) -> Fraction:
        quarter = moment.phases[phase]
        return _factor(quarter.import_wh, quarter.import_vah)

    return Measure(Quantity.POWER_FACTOR, value)


def _factor(import_wh: int, import_vah: int) -> Fraction:
    """Power factor in thousandths, as meters resolve it; 1 when nothing flows."""
    return Fraction(import_wh * 1000 // import_vah, 1000) if import_vah else Fraction(1)


def _energy(quantity: Quantity, name: str) -> Measure:
    return Measure(quantity, lambda m: Fraction(getattr(m.registers, name)))


def _nothing(quantity: Quantity) -> Measure:
    return Measure(quantity, lambda _: Fraction(0))


# A little of the current returns through earth, so neutral is not phase to the last digit.
_NEUTRAL = Measure(Quantity.CURRENT, lambda m: Fraction(m.phases[0].current_ma * 997 // 1000, 1000))
_FREQUENCY = Measure(
    Quantity.FREQUENCY, lambda m: Fraction(4990 + m.phases[0].voltage_cv % 21, 100)
)

MEASURES: Final[dict[str, Measure]] = {
    "1.0.12.7.0.255": _voltage(0),
    "1.0.11.7.0.255": _current(0),
    "1.0.91.7.0.255": _NEUTRAL,
    "1.0.31.7.0.255": _current(0),
    "1.0.51.7.0.255": _current(1),
    "1.0.71.7.0.255": _current(2),
    "1.0.32.7.0.255": _voltage(0),
    "1.0.52.7.0.255": _voltage(1),
    "1.0.72.7.0.255": _voltage(2),
    "1.0.33.7.0.255": _power_factor(0),
    "1.0.53.7.0.255": _power_factor(1),
    "1.0.73.7.0.255": _power_factor(2),
    "1.0.13.7.0.255": Measure(
        Quantity.POWER_FACTOR, lambda m: _factor(m.quarter.import_wh, m.quarter.import_vah)
    ),
    "1.0.14.7.0.255": _FREQUENCY,
    "1.0.9.7.0.255": Measure(
        Quantity.APPARENT_POWER, lambda m: Fraction(m.quarter.import_vah * PER_HOUR)
    ),
    "1.0.1.7.0.255": Measure(
        Quantity.ACTIVE_POWER, lambda m: Fraction(m.quarter.import_wh * PER_HOUR)
    ),
    "1.0.3.7.0.255": Measure(
        Quantity.REACTIVE_POWER,
        lambda m: Fraction(isqrt(m.quarter.import_vah**2 - m.quarter.import_wh**2) * PER_HOUR),
    ),
    "1.0.1.8.0.255": _energy(Quantity.ACTIVE_ENERGY, "import_wh"),
    "1.0.9.8.0.255": _energy(Quantity.APPARENT_ENERGY, "import_vah"),
    "1.0.2.8.0.255": _energy(Quantity.ACTIVE_ENERGY, "export_wh"),
    "1.0.10.8.0.255": _energy(Quantity.APPARENT_ENERGY, "export_vah"),
    "1.0.5.8.0.255": _energy(Quantity.REACTIVE_ENERGY, "import_varh"),
    "1.0.6.8.0.255": _nothing(Quantity.REACTIVE_ENERGY),
    "1.0.7.8.0.255": _nothing(Quantity.REACTIVE_ENERGY),
    "1.0.8.8.0.255": _nothing(Quantity.REACTIVE_ENERGY),
    "0.0.94.91.14.255": Measure(Quantity.DURATION, lambda m: Fraction(m.on_minutes)),
    "0.0.94.91.8.255": _nothing(Quantity.DURATION),
    "1.0.94.91.14.255": _current(0),
    "1.0.81.7.1.255": Measure(Quantity.ANGLE, lambda _: Fraction(120)),
    "1.0.81.7.2.255": Measure(Quantity.ANGLE, lambda _: Fraction(240)),
    "1.0.81.7.12.255": Measure(Quantity.ANGLE, lambda _: Fraction(120)),
}
"""Registers (class 3) by logical name."""


_ZONES: Final = range(1, 9)
"""Time-of-use zones of billing; the emulated calendar has one, so the first takes everything."""
MEASURES.update(
    {
        f"1.0.{group}.8.{zone}.255": MEASURES[f"1.0.{group}.8.0.255"]
        if zone == 1
        else _nothing(MEASURES[f"1.0.{group}.8.0.255"].quantity)
        for group in (1, 9)
        for zone in _ZONES
    }
)


@dataclass(frozen=True, slots=True)
class PeriodMeasure:
    """A register of a billing period, from the moments that open and close it."""

    quantity: Quantity
    value: Callable[[Moment, Moment], Fraction]


PERIOD_MEASURES: Final[Mapping[str, PeriodMeasure]] = {
    "1.0.13.0.0.255": PeriodMeasure(
        Quantity.POWER_FACTOR,
        lambda opening, closing: _factor(
            closing.registers.import_wh - opening.registers.import_wh,
            closing.registers.import_vah - opening.registers.import_vah,
        ),
    ),
    "0.0.94.91.13.255": PeriodMeasure(
        Quantity.DURATION,
        lambda opening, closing: Fraction(closing.on_minutes - opening.on_minutes),
    ),
}
"""Registers (class 3) of the billing period by logical name."""


def _block_voltage(phase: int) -> BlockMeasure:
    return BlockMeasure(Quantity.BLOCK_VOLTAGE, lambda i: Fraction(i.phases[phase].voltage_cv, 100))


def _block_current(phase: int) -> BlockMeasure:
    return BlockMeasure(Quantity.CURRENT, lambda i: Fraction(i.current_ma(phase), 1000))


def _block_energy(quantity: Quantity, name: str) -> BlockMeasure:
    return BlockMeasure(quantity, lambda i: Fraction(getattr(i.energy, name)))


BLOCK_MEASURES: Final[Mapping[str, BlockMeasure]] = {
    "1.0.12.27.0.255": _block_voltage(0),
    "1.0.32.27.0.255": _block_voltage(0),
    "1.0.52.27.0.255": _block_voltage(1),
    "1.0.72.27.0.255": _block_voltage(2),
    "1.0.11.27.0.255": _block_current(0),
    "1.0.91.27.0.255": BlockMeasure(
        Quantity.CURRENT, lambda i: Fraction(i.current_ma(0) * 997 // 1000, 1000)
    ),
    "1.0.31.27.0.255": _block_current(0),
    "1.0.51.27.0.255": _block_current(1),
    "1.0.71.27.0.255": _block_current(2),
    "1.0.1.29.0.255": _block_energy(Quantity.BLOCK_ACTIVE_ENERGY, "import_wh"),
    "1.0.9.29.0.255": _block_energy(Quantity.BLOCK_APPARENT_ENERGY, "import_vah"),
    "1.0.2.29.0.255": _block_energy(Quantity.BLOCK_ACTIVE_ENERGY, "export_wh"),
    "1.0.10.29.0.255": _block_energy(Quantity.BLOCK_APPARENT_ENERGY, "export_vah"),
    "1.0.5.29.0.255": _block_energy(Quantity.BLOCK_REACTIVE_ENERGY, "import_varh"),
    "1.0.8.29.0.255": BlockMeasure(Quantity.BLOCK_REACTIVE_ENERGY, lambda _: Fraction(0)),
}
"""Registers (class 3) of the capture interval by logical name."""


def _columns(text: str) -> tuple[CaptureObject, ...]:
    """Words ``class/a.b.c.d.e.f/attribute``; the last group is always 255 and left out."""
    columns = []
    for word in text.split():
        class_id, name, attribute = word.split("/")
        columns.append(CaptureObject(int(class_id), Obis.parse(f"{name}.255"), int(attribute)))
    return tuple(columns)


NAMEPLATE: Final = _columns("""
    1/0.0.96.1.0/2 1/0.0.96.1.2/2 1/0.0.96.1.1/2 1/1.0.0.2.0/2
    1/0.0.94.91.9/2 1/0.0.94.91.11/2 1/0.0.94.91.12/2 1/0.0.96.1.4/2
""")
TRANSFORMER_RATIOS: Final = _columns("1/1.0.0.4.2/2 1/1.0.0.4.3/2")
"""Nameplate columns of meters behind transformers, after those that all have."""

_SWITCH: Final = _columns("70/0.0.96.3.10/2 71/0.0.17.0.0/3")
_PHASE_ANGLES: Final = _columns("3/1.0.81.7.1/2 3/1.0.81.7.2/2 3/1.0.81.7.12/2")


def _without_switch(columns: tuple[CaptureObject, ...]) -> tuple[CaptureObject, ...]:
    return tuple(column for column in columns if column not in _SWITCH)


INSTANTANEOUS: Final = {
    Model.SINGLE_PHASE: _columns("""
        8/0.0.1.0.0/2 3/1.0.12.7.0/2 3/1.0.11.7.0/2 3/1.0.91.7.0/2 3/1.0.13.7.0/2
        3/1.0.14.7.0/2 3/1.0.9.7.0/2 3/1.0.1.7.0/2 3/1.0.1.8.0/2 3/1.0.9.8.0/2
        4/1.0.1.6.0/2 4/1.0.1.6.0/5 4/1.0.9.6.0/2 4/1.0.9.6.0/5 3/0.0.94.91.14/2
        1/0.0.94.91.0/2 1/0.0.0.1.0/2 1/0.0.96.2.0/2 3/1.0.2.8.0/2 3/1.0.10.8.0/2
        70/0.0.96.3.10/2 71/0.0.17.0.0/3
    """),
    Model.THREE_PHASE: _columns("""
        8/0.0.1.0.0/2 3/1.0.31.7.0/2 3/1.0.51.7.0/2 3/1.0.71.7.0/2 3/1.0.32.7.0/2
        3/1.0.52.7.0/2 3/1.0.72.7.0/2 3/1.0.33.7.0/2 3/1.0.53.7.0/2 3/1.0.73.7.0/2
        3/1.0.13.7.0/2 3/1.0.14.7.0/2 3/1.0.9.7.0/2 3/1.0.1.7.0/2 3/1.0.3.7.0/2
        1/0.0.96.7.0/2 3/0.0.94.91.8/2 1/0.0.94.91.0/2 1/0.0.0.1.0/2 1/0.0.96.2.0/2
        3/0.0.0.1.2/2 3/1.0.1.8.0/2 3/1.0.2.8.0/2 3/1.0.9.8.0/2 3/1.0.10.8.0/2
        4/1.0.1.6.0/2 4/1.0.1.6.0/5 4/1.0.9.6.0/2 4/1.0.9.6.0/5 70/0.0.96.3.10/2
        71/0.0.17.0.0/3 3/1.0.5.8.0/2 3/1.0.6.8.0/2 3/1.0.7.8.0/2 3/1.0.8.8.0/2
    """),
}
INSTANTANEOUS.update(
    {
        Model.CT_THREE_PHASE: _without_switch(INSTANTANEOUS[Model.THREE_PHASE]) + _PHASE_ANGLES,
        Model.PART1_SINGLE_PHASE: _without_switch(INSTANTANEOUS[Model.SINGLE_PHASE]),
        Model.PART1_THREE_PHASE: _without_switch(INSTANTANEOUS[Model.THREE_PHASE]),
    }
)

BLOCK_LOAD: Final = {
    Model.SINGLE_PHASE: _columns("""
        8/0.0.1.0.0/2 3/1.0.12.27.0/2 3/1.0.1.29.0/2 3/1.0.9.29.0/2 3/1.0.2.29.0/2
        3/1.0.10.29.0/2 3/1.0.11.27.0/2 3/1.0.91.27.0/2
    """),
    Model.THREE_PHASE: _columns("""
        8/0.0.1.0.0/2 3/1.0.31.27.0/2 3/1.0.51.27.0/2 3/1.0.71.27.0/2 3/1.0.32.27.0/2
        3/1.0.52.27.0/2 3/1.0.72.27.0/2 3/1.0.1.29.0/2 3/1.0.9.29.0/2 3/1.0.2.29.0/2
        3/1.0.10.29.0/2 1/0.0.96.10.1/2 1/0.1.96.12.5/2
    """),
    Model.PART1_SINGLE_PHASE: _columns("""
        8/0.0.1.0.0/2 3/1.0.12.27.0/2 3/1.0.1.29.0/2 3/1.0.9.29.0/2
    """),
    Model.PART1_THREE_PHASE: _columns("""
        8/0.0.1.0.0/2 3/1.0.31.27.0/2 3/1.0.51.27.0/2 3/1.0.71.27.0/2 3/1.0.32.27.0/2
        3/1.0.52.27.0/2 3/1.0.72.27.0/2 3/1.0.1.29.0/2 3/1.0.5.29.0/2 3/1.0.8.29.0/2
        3/1.0.9.29.0/2
    """),
}
BLOCK_LOAD[Model.CT_THREE_PHASE] = BLOCK_LOAD[Model.THREE_PHASE]
METER_HEALTH: Final = _columns("1/0.0.96.10.1/2")

Log = Literal["voltage", "current", "power", "transaction", "other", "non_rollover", "control"]
LOG_NUMBERS: Final[Mapping[Log, int]] = {
    "voltage": 0,
    "current": 1,
    "power": 2,
    "transaction": 3,
    "other": 4,
    "non_rollover": 5,
    "control": 6,
}
"""Value group E of a log, and of the object that holds its newest code."""
_ELECTRICAL: Final = {
    1: """
        3/1.0.94.91.14/2 3/1.0.12.7.0/2 3/1.0.13.7.0/2 3/1.0.1.8.0/2 3/1.0.2.8.0/2
        1/0.0.94.91.0/2
    """,
    3: """
        3/1.0.31.7.0/2 3/1.0.51.7.0/2 3/1.0.71.7.0/2 3/1.0.32.7.0/2 3/1.0.52.7.0/2
        3/1.0.72.7.0/2 3/1.0.33.7.0/2 3/1.0.53.7.0/2 3/1.0.73.7.0/2 3/1.0.1.8.0/2
        3/1.0.2.8.0/2 1/0.0.94.91.0/2
    """,
}
EVENT_LOGS: Final = {
    model: {
        log: _columns(
            f"8/0.0.1.0.0/2 1/0.0.96.11.{number}/2"
            + (_ELECTRICAL[model.phases] if log in ("voltage", "current", "other") else "")
        )
        for log, number in LOG_NUMBERS.items()
    }
    for model in Model
}
"""Columns of the event logs: some hold the electrical state at the event."""

DAILY_LOAD: Final = _columns("""
    8/0.0.1.0.0/2 3/1.0.1.8.0/2 3/1.0.9.8.0/2 3/1.0.2.8.0/2 3/1.0.10.8.0/2
""")
DAILY_LOAD_EXPORT_FIRST: Final = DAILY_LOAD[:1] + DAILY_LOAD[3:] + DAILY_LOAD[1:3]


def _zoned(group: int) -> str:
    return " ".join(f"3/1.0.{group}.8.{zone}/2" for zone in (0, *_ZONES))


def _demands(group: int, zones: range) -> str:
    return " ".join(f"4/1.0.{group}.6.{zone}/{attribute}" for zone in zones for attribute in (2, 5))


_QUADRANTS: Final = "3/1.0.5.8.0/2 3/1.0.6.8.0/2 3/1.0.7.8.0/2 3/1.0.8.8.0/2"

BILLING: Final = {
    model: _columns(
        f"3/0.0.0.1.2/2 3/1.0.13.0.0/2 {_zoned(1)} {_zoned(9)} {_demands(1, zones)}"
        f" {_demands(9, zones)} 3/0.0.94.91.13/2 3/1.0.2.8.0/2 3/1.0.10.8.0/2 {more}"
    )
    for model in Model
    for zones, more in (((range(1), "") if model.phases == 1 else (range(9), _QUADRANTS)),)
}
"""The core that all makers share; some single-phase meters add columns of exported demand."""
UNLISTED: Final = _columns("3/1.0.84.6.0/2")[0]
"""Export power factor: a maker captures it with each bill, and no association shows the object."""


def scaler_columns(columns: tuple[CaptureObject, ...]) -> tuple[CaptureObject, ...]:
    """Attribute 3 of the same registers in the same order; clock, dates and Data left out."""
    left_out = (BILLING_DATE, UNLISTED.obis)
    scalers = (scaler_source(column) for column in columns if column.obis not in left_out)
    return tuple(source for source in scalers if source is not None)
