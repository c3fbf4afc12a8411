"""What a utility may set at an emulated meter: values, activity calendar, activation schedule.

A value is taken in the type it has, and read back as it was written. Buffers go on capturing as
the scenario says: the capture period that is set here is remembered and shown, not lived by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gateway.dlms.apdu.results import ActionResult, DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import (
    VALUE,
    CalendarAttribute,
    CalendarMethod,
    ClassId,
    ScheduleAttribute,
)
from gateway.dlms.cosem_time import CosemDate, CosemDateTime, CosemTime, TimeRules, resolve
from gateway.model import Obis
from hil_tests.emulator import octets
from hil_tests.emulator.household import QUARTER_S
from hil_tests.emulator.objects import FIRMWARE, UTILITY_SETTINGS, CosemObject, Setter

PAYMENT_MODE: Final = Obis.parse("0.0.94.96.20.255")
_PERIODS_S: Final = (900, 1800, 3600)
_MESSAGE_OCTETS: Final = 128
_ACTIVE: Final = (
    CalendarAttribute.NAME_ACTIVE,
    CalendarAttribute.SEASONS_ACTIVE,
    CalendarAttribute.WEEKS_ACTIVE,
    CalendarAttribute.DAYS_ACTIVE,
)
_PASSIVE: Final = (
    CalendarAttribute.NAME_PASSIVE,
    CalendarAttribute.SEASONS_PASSIVE,
    CalendarAttribute.WEEKS_PASSIVE,
    CalendarAttribute.DAYS_PASSIVE,
)


class Configuration:
    """Values that stay when the meter loses its supply."""

    def __init__(self, capture_period_s: int, rules: TimeRules) -> None:
        self._rules = rules
        never = octets.octet_string(octets.NOT_SPECIFIED)
        self._values: dict[Obis, Data] = {
            Obis.parse(name): value
            for name, value in {
                "1.0.0.8.0.255": octets.long_unsigned(QUARTER_S),
                "1.0.0.8.4.255": octets.long_unsigned(capture_period_s),
                "0.0.94.96.19.255": octets.unsigned(0),
                "0.0.94.96.20.255": octets.unsigned(0),
                "0.0.94.96.21.255": Data(Tag.DOUBLE_LONG, 0),
                "0.0.94.96.22.255": never,
                "0.0.94.96.23.255": Data(Tag.DOUBLE_LONG, 0),
                "0.0.94.96.24.255": Data(Tag.DOUBLE_LONG, 0),
                "0.0.94.96.25.255": never,
                "0.0.94.91.26.255": Data(Tag.BIT_STRING, "0" * 128),
                "0.0.96.13.1.255": octets.visible_string(""),
            }.items()
        }
        empty = octets.array(())
        self._calendar: dict[int, Data] = {
            **dict.fromkeys((*_ACTIVE, *_PASSIVE), empty),
            CalendarAttribute.NAME_ACTIVE: octets.octet_string(b"EMU"),
            CalendarAttribute.NAME_PASSIVE: octets.octet_string(b""),
            CalendarAttribute.ACTIVATE_TIME: never,
        }
        self._schedule = empty
        self.writes = 0
        """Values and tables that were taken."""

    def objects(self) -> Iterator[CosemObject]:
        """All of them."""
        for obis in self._values:
            yield CosemObject(
                class_id=ClassId.DATA,
                obis=obis,
                attributes={VALUE: self._getter(self._values, obis)},
                setters={VALUE: self._value_setter(obis)},
            )
        attributes = sorted(self._calendar)
        yield CosemObject(
            class_id=ClassId.ACTIVITY_CALENDAR,
            obis=Obis.parse("0.0.13.0.0.255"),
            attributes={one: self._getter(self._calendar, one) for one in attributes},
            setters={one: self._calendar_setter(one) for one in attributes if one not in _ACTIVE},
            methods={CalendarMethod.ACTIVATE_PASSIVE: self._activate},
        )
        yield CosemObject(
            class_id=ClassId.SINGLE_ACTION_SCHEDULE,
            obis=Obis.parse("0.0.15.0.2.255"),
            attributes={ScheduleAttribute.EXECUTION_TIME: lambda: self._schedule},
            setters={ScheduleAttribute.EXECUTION_TIME: self._set_schedule},
            writers=frozenset({UTILITY_SETTINGS, FIRMWARE}),
        )

    def value(self, obis: Obis) -> Data:
        """What stands in a value object."""
        return self._values[obis]

    @property
    def active_calendar(self) -> bytes:
        """Name of the calendar in force."""
        name = self._calendar[CalendarAttribute.NAME_ACTIVE].value
        assert isinstance(name, bytes)
        return name

    def tick(self, now_s: int) -> bool:
        """Let times that have come take effect; whether the image activation's has."""
        when = self._calendar[CalendarAttribute.ACTIVATE_TIME].value
        if isinstance(when, bytes) and self._is_past(CosemDateTime.from_octets(when), now_s):
            self._take_over()
        match self._schedule.value:
            case (Data(value=(Data(value=bytes(time)), Data(value=bytes(date)))),):
                at = CosemDateTime(CosemDate.from_octets(date), CosemTime.from_octets(time))
                if self._is_past(at, now_s):
                    self._schedule = octets.array(())
                    return True
        return False

    def _is_past(self, when: CosemDateTime, now_s: int) -> bool:
        at_s = resolve(when, self._rules).utc_s
        return at_s is not None and at_s <= now_s

    @staticmethod
    def _getter(held: dict[Obis, Data] | dict[int, Data], key: Obis | int) -> Callable[[], Data]:
        return lambda: held[key]  # type: ignore[index]

    def _value_setter(self, obis: Obis) -> Setter:
        def take(data: Data) -> None:
            present = self._values[obis]
            if data.tag != present.tag:
                raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
            is_period = obis.dotted.startswith("1.0.0.8.")
            is_long = isinstance(data.value, str) and len(data.value) > _MESSAGE_OCTETS
            if (is_period and data.value not in _PERIODS_S) or is_long:
                raise AccessRefused(DataAccessResult.OTHER_REASON)
            self._values[obis] = data
            self.writes += 1

        return take

    def _calendar_setter(self, attribute: int) -> Setter:
        def take(data: Data) -> None:
            if data.tag != self._calendar[attribute].tag:
                raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
            self._calendar[attribute] = data
            self.writes += 1

        return take

    def _set_schedule(self, data: Data) -> None:
        if data.tag != Tag.ARRAY:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
        self._schedule = data

    def _activate(self, data: Data | None) -> None:
        if data is None or data.tag != Tag.INTEGER:
            raise AccessRefused(ActionResult.TYPE_UNMATCHED)
        if not self._calendar[CalendarAttribute.DAYS_PASSIVE].value:
            raise AccessRefused(ActionResult.OTHER_REASON)
        self._take_over()

    def _take_over(self) -> None:
        for active, passive in zip(_ACTIVE, _PASSIVE, strict=True):
            self._calendar[active] = self._calendar[passive]
        never = octets.octet_string(octets.NOT_SPECIFIED)
        self._calendar[CalendarAttribute.ACTIVATE_TIME] = never
