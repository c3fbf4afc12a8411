"""The measuring part of an emulated meter: registers (class 3) and demands (class 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache, partial
from typing import Final

from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import BILLING_DATE, ClassId
from gateway.dlms.cosem_time import TimeRules
from gateway.model import CaptureObject, Obis
from hil_tests.emulator import octets
from hil_tests.emulator.catalogue import (
    BILLING,
    BLOCK_LOAD,
    BLOCK_MEASURES,
    EVENT_LOGS,
    INSTANTANEOUS,
    MEASURES,
    PERIOD_MEASURES,
    UNLISTED,
    Model,
    Moment,
)
from hil_tests.emulator.encodings import FORMATS, Encoding, NumberFormat, Quantity
from hil_tests.emulator.household import QUARTER_S, Demand, Household
from hil_tests.emulator.objects import CosemObject, constant, register
from hil_tests.emulator.truth import block_ends, month_start, shifted

_ENERGIES: Final = (
    Quantity.ACTIVE_ENERGY,
    Quantity.APPARENT_ENERGY,
    Quantity.REACTIVE_ENERGY,
)
_DATE_FORMAT: Final = NumberFormat(Tag.OCTET_STRING, 0, 255)
"""scaler_unit of a register that holds a date: no scaler, no unit."""

_DEMANDS: Final = {1: Quantity.ACTIVE_DEMAND, 9: Quantity.APPARENT_DEMAND}
"""By value group C."""
_CAPTURE_TIME: Final = 5
"""Attribute of an extended register (class 4)."""

Clock = Callable[[], int]
"""The instant of the request that is being answered, UTC epoch seconds."""


class Measuring:
    """A household's figures in one meter's number formats."""

    def __init__(
        self,
        household: Household,
        encoding: Encoding,
        rules: TimeRules,
        *,
        capture_period_s: int,
        energy_scaler_shift: int,
    ) -> None:
        self._household = household
        self._rules = rules
        self._period_s = capture_period_s
        self._formats = {
            quantity: shifted(number, energy_scaler_shift if quantity in _ENERGIES else 0)
            for quantity, number in FORMATS[encoding].items()
        }
        self._moment = lru_cache(64)(self._measure)
        self._demand = lru_cache(64)(self._highest_demand)

    def register_data(self, name: str, at_s: int) -> Data:
        """State of a register at an instant."""
        measure = MEASURES[name]
        number = self._formats[measure.quantity]
        return Data(number.tag, number.number(measure.value(self._moment(at_s))))

    def block_data(self, name: str, end_s: int) -> Data:
        """A register of the capture interval that ends at ``end_s``."""
        measure = BLOCK_MEASURES[name]
        number = self._formats[measure.quantity]
        interval = self._household.interval(end_s, self._period_s)
        return Data(number.tag, number.number(measure.value(interval)))

    def objects(self, model: Model, at_s: Clock) -> Iterator[CosemObject]:
        """All registers of a model."""
        logs = EVENT_LOGS[model]["voltage"]
        captured = (*INSTANTANEOUS[model], *BLOCK_LOAD[model], *BILLING[model], *logs)
        wanted = {s.obis.dotted for s in captured if s.class_id == ClassId.REGISTER}
        for name in MEASURES.keys() & wanted:
            scaler = octets.scaler_unit(self._formats[MEASURES[name].quantity])
            yield register(name, partial(self._register_now, name, at_s), scaler)
        for name in BLOCK_MEASURES.keys() & wanted:
            scaler = octets.scaler_unit(self._formats[BLOCK_MEASURES[name].quantity])
            yield register(name, partial(self._block_now, name, at_s), scaler)
        for name, measure in PERIOD_MEASURES.items():
            scaler = octets.scaler_unit(self._formats[measure.quantity])
            yield register(name, partial(self._period_now, name, at_s), scaler)
        yield register(
            BILLING_DATE.dotted,
            partial(self._billing_date, at_s),
            octets.scaler_unit(_DATE_FORMAT),
        )
        demands = {s.obis for s in captured if s.class_id == ClassId.EXTENDED_REGISTER}
        for obis in sorted(demands):
            yield self._demand_object(obis, at_s)

    def billing_data(self, column: CaptureObject, at_s: int) -> Data:
        """A column of the billing row that closes the month before ``at_s``."""
        if column.obis == BILLING_DATE:
            return octets.date_time(at_s, self._rules)
        if column == UNLISTED:
            number = self._formats[Quantity.POWER_FACTOR]
            return Data(number.tag, number.number(Fraction(1)))
        opened_s = max(self._month_start_s(at_s - 1), self._household.installed_s)
        if column.class_id == ClassId.EXTENDED_REGISTER:
            return self._demand_data(column.obis, column.attribute, opened_s, at_s)
        if column.obis.dotted in PERIOD_MEASURES:
            return self._period_data(column.obis.dotted, opened_s, at_s)
        return self.register_data(column.obis.dotted, at_s)

    def _period_data(self, name: str, opened_s: int, closed_s: int) -> Data:
        measure = PERIOD_MEASURES[name]
        number = self._formats[measure.quantity]
        value = measure.value(self._moment(opened_s), self._moment(closed_s))
        return Data(number.tag, number.number(value))

    def _period_now(self, name: str, at_s: Clock) -> Data:
        opened_s = max(self._month_start_s(at_s()), self._household.installed_s)
        return self._period_data(name, opened_s, at_s())

    def _demand_data(self, obis: Obis, attribute: int, opened_s: int, closed_s: int) -> Data:
        """Value or capture time of a period's maximum demand, in all or in one of the zones."""
        quantity = _DEMANDS[obis.octets[2]]
        zone = obis.octets[4]
        apparent = quantity is Quantity.APPARENT_DEMAND
        highest = self._demand(opened_s, closed_s, apparent) if zone <= 1 else Demand(0, 0)
        if attribute == _CAPTURE_TIME:
            if not highest.at_s:
                return octets.octet_string(octets.NOT_SPECIFIED)
            return octets.date_time(highest.at_s, self._rules)
        number = self._formats[quantity]
        return Data(number.tag, number.number(Fraction(highest.power)))

    def _register_now(self, name: str, at_s: Clock) -> Data:
        return self.register_data(name, at_s())

    def _block_now(self, name: str, at_s: Clock) -> Data:
        return self.block_data(name, block_ends(self._household, at_s(), self._period_s)[-1])

    def _billing_date(self, at_s: Clock) -> Data:
        return octets.date_time(self._month_start_s(at_s()), self._rules)

    def _demand_object(self, obis: Obis, at_s: Clock) -> CosemObject:
        scaler = octets.scaler_unit(self._formats[_DEMANDS[obis.octets[2]]])

        def present(attribute: int) -> Data:
            now_s = at_s()
            opened_s = self._month_start_s(now_s)
            return self._demand_data(obis, attribute, opened_s, now_s - now_s % QUARTER_S)

        return CosemObject(
            class_id=ClassId.EXTENDED_REGISTER,
            obis=obis,
            attributes={
                2: partial(present, 2),
                3: constant(scaler),
                4: constant(octets.NULL),
                _CAPTURE_TIME: partial(present, _CAPTURE_TIME),
            },
        )

    def _measure(self, at_s: int) -> Moment:
        quarter, phases = self._household.quarter_at(at_s)
        on_minutes = (at_s - self._household.installed_s) // 60
        return Moment(at_s, self._household.register_at(at_s), quarter, phases, on_minutes)

    def _highest_demand(self, from_s: int, to_s: int, apparent: bool) -> Demand:
        return self._household.maximum_demand(from_s, to_s, apparent=apparent)

    def _month_start_s(self, at_s: int) -> int:
        return month_start(at_s, self._rules.zone_minutes * 60)
