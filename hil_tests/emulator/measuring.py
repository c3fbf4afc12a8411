"""The measuring part of an emulated meter: registers (class 3) and demands (class 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache, partial
from typing import Final

from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import BILLING_DATE, ClassId
from gateway.dlms.cosem_time import TimeRules
from gateway.model import Obis
from hil_tests.emulator import octets
from hil_tests.emulator.catalogue import (
    BLOCK_LOAD,
    BLOCK_MEASURES,
    INSTANTANEOUS,
    MEASURES,
    Model,
    Moment,
)
from hil_tests.emulator.encodings import FORMATS, Encoding, NumberFormat, Quantity
from hil_tests.emulator.household import QUARTER_S, Demand, Household
from hil_tests.emulator.objects import CosemObject, constant, register
from hil_tests.emulator.truth import block_ends, shifted

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ENERGIES: Final = (
    Quantity.ACTIVE_ENERGY,
    Quantity.APPARENT_ENERGY,
    Quantity.REACTIVE_ENERGY,
)
_DATE_FORMAT: Final = NumberFormat(Tag.OCTET_STRING, 0, 255)
"""scaler_unit of a register that holds a date: no scaler, no unit."""

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
        self._moment = lru_cache(8)(self._measure)
        self._demand = lru_cache(8)(self._highest_demand)

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
        wanted = {
            source.obis.dotted
            for source in (*INSTANTANEOUS[model], *BLOCK_LOAD[model])
            if source.class_id == ClassId.REGISTER
        }
        for name in MEASURES.keys() & wanted:
            scaler = octets.scaler_unit(self._formats[MEASURES[name].quantity])
            yield register(name, partial(self._register_now, name, at_s), scaler)
        for name in BLOCK_MEASURES.keys() & wanted:
            scaler = octets.scaler_unit(self._formats[BLOCK_MEASURES[name].quantity])
            yield register(name, partial(self._block_now, name, at_s), scaler)
        if BILLING_DATE.dotted in wanted:
            scaler = octets.scaler_unit(_DATE_FORMAT)
            yield register(BILLING_DATE.dotted, partial(self._billing_date, at_s), scaler)
        yield self._demand_register("1.0.1.6.0.255", Quantity.ACTIVE_DEMAND, at_s)
        yield self._demand_register("1.0.9.6.0.255", Quantity.APPARENT_DEMAND, at_s)

    def _register_now(self, name: str, at_s: Clock) -> Data:
        return self.register_data(name, at_s())

    def _block_now(self, name: str, at_s: Clock) -> Data:
        return self.block_data(name, block_ends(self._household, at_s(), self._period_s)[-1])

    def _billing_date(self, at_s: Clock) -> Data:
        return octets.date_time(self._month_start_s(at_s()), self._rules)

    def _demand_register(self, name: str, quantity: Quantity, at_s: Clock) -> CosemObject:
        number = self._formats[quantity]
        apparent = quantity is Quantity.APPARENT_DEMAND

        def highest() -> Demand:
            now_s = at_s()
            return self._demand(self._month_start_s(now_s), now_s - now_s % QUARTER_S, apparent)

        def captured() -> Data:
            when_s = highest().at_s
            if not when_s:
                return octets.octet_string(octets.NOT_SPECIFIED)
            return octets.date_time(when_s, self._rules)

        return CosemObject(
            class_id=ClassId.EXTENDED_REGISTER,
            obis=Obis.parse(name),
            attributes={
                2: lambda: Data(number.tag, number.number(Fraction(highest().power))),
                3: constant(octets.scaler_unit(number)),
                4: constant(octets.NULL),
                5: captured,
            },
        )

    def _measure(self, at_s: int) -> Moment:
        quarter, phases = self._household.quarter_at(at_s)
        on_minutes = (at_s - self._household.installed_s) // 60
        return Moment(at_s, self._household.register_at(at_s), quarter, phases, on_minutes)

    def _highest_demand(self, from_s: int, to_s: int, apparent: bool) -> Demand:
        return self._household.maximum_demand(from_s, to_s, apparent=apparent)

    def _month_start_s(self, at_s: int) -> int:
        zone = timedelta(minutes=self._rules.zone_minutes)
        local = _EPOCH + timedelta(seconds=at_s) + zone
        first = local.replace(day=1, hour=0, minute=0, second=0) - zone
        return (first - _EPOCH) // timedelta(seconds=1)
