"""An emulated meter's clock (class 8): ahead or behind, lost, and set again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.dlms.apdu.results import ActionResult, DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import CLOCK, ClassId, ClockMethod
from gateway.dlms.cosem_time import CosemDateTime, TimeRules, resolve
from gateway.errors import DecodeError
from hil_tests.emulator import octets
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.objects import CosemObject, constant

_SHIFT_MOST_S: Final = 900


class MeterClock:
    """True time, and what the meter takes for it; ``at_s`` is its time at the last request."""

    def __init__(
        self, rules: TimeRules, faults: Faults, now_s: Callable[[], int], *, sane_from_s: int
    ) -> None:
        self._rules = rules
        self._now_s = now_s
        self._sane_from_s = sane_from_s
        self._started_s = now_s()
        self.offset_s = faults.clock_offset_s
        """How far it is ahead."""
        self._lost = faults.clock_at_1970
        self.at_s = self._started_s + self.offset_s

    def now_s(self) -> int:
        """The meter's time now."""
        return self._now_s() + self.offset_s

    def look(self) -> None:
        """Let ``at_s`` be now: a request or an incident begins."""
        self.at_s = self.now_s()

    def shown_s(self) -> int:
        """What its clock shows; its buffers go on as before when the clock is lost."""
        return self.at_s - self._started_s if self._lost else self.at_s

    def shown(self) -> Data:
        """The date-time that it showed at the last request or incident."""
        return octets.date_time(self.shown_s(), self._rules)

    def object(self) -> CosemObject:
        """The clock as associations see it."""
        never = octets.octet_string(octets.NOT_SPECIFIED)
        zone = self._rules.zone_minutes * self._rules.deviation_sign
        return CosemObject(
            class_id=ClassId.CLOCK,
            obis=CLOCK,
            attributes={
                2: self.shown,
                3: constant(Data(Tag.LONG, zone)),
                4: lambda: octets.unsigned(int(self._lost)),
                5: constant(never),
                6: constant(never),
                7: constant(octets.integer(0)),
                8: constant(octets.boolean(False)),
                9: constant(octets.enum(1)),
            },
            setters={2: self._set},
            methods={ClockMethod.SHIFT_TIME: self._shift},
            public=True,
        )

    def _set(self, data: Data) -> None:
        if data.tag not in {Tag.OCTET_STRING, Tag.DATE_TIME} or not isinstance(data.value, bytes):
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
        try:
            wanted = resolve(CosemDateTime.from_octets(data.value), self._rules).utc_s
        except DecodeError:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED) from None
        if wanted is None or wanted < self._sane_from_s:
            raise AccessRefused(DataAccessResult.OTHER_REASON)
        self._lost = False
        self.offset_s += wanted - self.at_s

    def _shift(self, data: Data | None) -> None:
        if data is None or data.tag != Tag.LONG or not isinstance(data.value, int):
            raise AccessRefused(ActionResult.TYPE_UNMATCHED)
        if abs(data.value) > _SHIFT_MOST_S:
            raise AccessRefused(ActionResult.OTHER_REASON)
        self.offset_s += data.value
