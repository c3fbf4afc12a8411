"""An emulated meter's object model, single-phase D1 or three-phase whole-current D2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.dlms.apdu.results import ActionResult, DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.association.settings import Authentication
from gateway.dlms.axdr import Data
from gateway.dlms.classes import CLOCK_TIME, ClassId
from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.selective_access import SelectiveAccess
from gateway.model import CaptureObject, Obis
from hil_tests.emulator import catalogue, octets
from hil_tests.emulator.buffers import Buffer, Capture
from hil_tests.emulator.catalogue import Model
from hil_tests.emulator.clock import MeterClock
from hil_tests.emulator.configuration import Configuration
from hil_tests.emulator.control import LoadSwitch
from hil_tests.emulator.encodings import Encoding
from hil_tests.emulator.event_logs import log_captures
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.household import DAY_S, Household
from hil_tests.emulator.image import FIRST_VERSION, ImageStore
from hil_tests.emulator.incidents import Incident, Incidents
from hil_tests.emulator.keys import MeterKeys
from hil_tests.emulator.measuring import Measuring
from hil_tests.emulator.nameplate import (
    MAKER,
    MANUFACTURER,
    at_94_91,
    count_objects,
    nameplate_columns,
    nameplate_objects,
)
from hil_tests.emulator.objects import (
    METER_READER,
    PUBLIC,
    CosemObject,
    by_key,
    constant,
    data_object,
    decoded,
)
from hil_tests.emulator.push_setups import SetupObjects
from hil_tests.emulator.secrets import secret_setter, transfer_keys
from hil_tests.emulator.system import (
    BY_NAME,
    association_objects,
    counter_objects,
    naming_objects,
    resolve_current,
    security_objects,
)
from hil_tests.emulator.truth import (
    BILLING_ROWS,
    BLOCK_DAYS,
    DAILY_ROWS,
    block_ends,
    midnights,
    month_starts,
)

_FIFO: Final = 1
_STATUS_WORD: Final = "0.0.94.91.18.255"
_NOTHING: Final = CaptureObject(0, Obis(bytes(6)), 0)
"""sort_object of a profile that is not sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSettings:
    """What makes one meter; ``policy`` is the security policy that its setup objects state."""

    serial: str
    model: Model
    encoding: Encoding
    capture_period_s: int = 1800
    policy: int = 3
    mechanisms: Mapping[str, Authentication]
    maker: str = MAKER
    firmware: str = FIRST_VERSION
    ciphered: bool = True
    faults: Faults = field(default_factory=Faults)

    @property
    def device_name(self) -> bytes:
        """Logical device name: manufacturer code and serial number, 16 octets at most."""
        return (MANUFACTURER + self.serial).encode("ascii")[:16]


class Meter:
    """Implements MeterObjects. All values of one request are of one instant."""

    def __init__(
        self,
        settings: MeterSettings,
        household: Household,
        *,
        keys: MeterKeys,
        rules: TimeRules,
        now_s: Callable[[], int],
    ) -> None:
        self.settings = settings
        self.household = household
        self.keys = keys
        self.last_received = dict.fromkeys(BY_NAME, -1)
        """Highest invocation counter received, by association."""
        self.counters_refused = 0
        """APDUs that were refused because their invocation counter did not rise."""
        self.incidents = Incidents(ring=settings.faults.unsorted_rows)
        self.switch = LoadSwitch(settings.model, settings.encoding, moved=self._switched)
        self.push_setups = SetupObjects()
        self.powered = True
        self.configuration = Configuration(settings.capture_period_s, rules)
        self.image = ImageStore(settings.faults, settings.firmware)
        self._rules = _stated(rules, settings.faults.stated_deviation_minutes)
        self.time = MeterClock(
            self._rules, settings.faults, now_s, sane_from_s=household.installed_s
        )
        self._gets = 0
        self._measuring = Measuring(
            household,
            settings.encoding,
            self._rules,
            capture_period_s=settings.capture_period_s,
            energy_scaler_shift=settings.faults.energy_scaler_shift,
        )
        self._buffers: dict[Obis, Buffer] = {}
        self._objects: Mapping[tuple[int, Obis], CosemObject] = by_key(
            self._make_objects(keys.server_title)
        )
        self._names = {obis for _, obis in self._objects}

    def held_times(self, profile: str) -> list[int]:
        """Capture times that a profile's buffer holds now, each once, rising; for the oracle."""
        self.time.look()
        return self._buffers[Obis.parse(profile)].held_times()

    def get(
        self,
        association: str,
        class_id: int,
        obis: Obis,
        attribute: int,
        access: SelectiveAccess | None,
    ) -> bytes:
        """A-XDR of one attribute; raise AccessRefused."""
        self.time.look()
        target = self._find(association, class_id, obis)
        if class_id == ClassId.CLOCK and self.settings.faults.clock_refused:
            raise AccessRefused(DataAccessResult.READ_WRITE_DENIED)
        self._gets += 1
        if self.settings.faults.busy_every and self._gets % self.settings.faults.busy_every == 0:
            raise AccessRefused(DataAccessResult.TEMPORARY_FAILURE)
        if access is None:
            return target.get(association, attribute)
        buffer = self._buffers.get(target.obis)
        if class_id != ClassId.PROFILE_GENERIC or attribute != 2 or buffer is None:
            raise AccessRefused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        if not target.access(association, attribute):
            raise AccessRefused(DataAccessResult.READ_WRITE_DENIED)
        return buffer.read(access)

    def set(self, association: str, class_id: int, obis: Obis, attribute: int, data: bytes) -> None:
        """Write one attribute from A-XDR; raise AccessRefused."""
        self.time.look()
        target = self._find(association, class_id, obis)
        target.set(association, attribute, decoded(data, DataAccessResult.TYPE_UNMATCHED))

    def action(
        self, association: str, class_id: int, obis: Obis, method: int, data: bytes | None
    ) -> bytes | None:
        """Invoke a method; raise AccessRefused."""
        self.time.look()
        target = self._find(association, class_id, obis)
        given = None if data is None else decoded(data, ActionResult.TYPE_UNMATCHED)
        target.invoke(association, method, given)
        return None

    # -- incidents ---------------------------------------------------------------------------

    def happen(self, incident: Incident, *, ended: bool = False) -> None:
        """Let something happen to it now. Without supply it answers nobody."""
        self.time.look()
        if incident is Incident.POWER_CUT and ended:
            self.powered = True
        self.incidents.happen(incident, self.time.shown_s(), ended=ended)
        if incident is Incident.POWER_CUT:
            self.powered = ended

    def _switched(self, connected: bool) -> None:
        self.incidents.happen(Incident.LOAD_DISCONNECTED, self.time.shown_s(), ended=connected)

    def is_away(self) -> bool:
        """Let what is scheduled happen; whether the meter restarts and answers nothing."""
        now_s = self.time.now_s()
        if self.configuration.tick(now_s):
            with suppress(AccessRefused):
                self.image.activate()
        return self.image.tick(now_s)

    def _transfer_keys(self, data: Data | None) -> None:
        before = self.keys.guek
        transfer_keys(self.keys, data)
        if self.settings.faults.forgets_counters and self.keys.guek != before:
            self.last_received.update(dict.fromkeys(self.last_received, -1))

    def _find(self, association: str, class_id: int, obis: Obis) -> CosemObject:
        obis = resolve_current(association, class_id, obis)
        found = self._objects.get((class_id, obis))
        if found is not None:
            return found
        if obis in self._names:
            raise AccessRefused(DataAccessResult.OBJECT_CLASS_INCONSISTENT)
        raise AccessRefused(DataAccessResult.OBJECT_UNDEFINED)

    # -- time --------------------------------------------------------------------------------

    def clock(self) -> Data:
        """The date-time that its clock showed at the last request or incident."""
        return self.time.shown()

    # -- objects -----------------------------------------------------------------------------

    def _make_objects(self, server_title: bytes) -> Iterator[CosemObject]:
        settings = self.settings
        yield from naming_objects(settings.device_name)
        yield from counter_objects(self.last_received)
        yield from security_objects(server_title, settings.policy, self._transfer_keys)
        yield from association_objects(
            self._listed,
            settings.mechanisms,
            lambda name: settings.ciphered and name != PUBLIC,
            partial(secret_setter, self.keys),
        )
        yield self.time.object()
        if settings.model.has_switch:
            yield from self.switch.objects()
        yield from self.push_setups.objects()
        moved = settings.faults.prepaid_at_94_91
        for item in self.configuration.objects():
            yield at_94_91(item) if moved else item
        yield self.image.object()
        yield from nameplate_objects(
            settings.model,
            serial=settings.serial,
            device_id=MANUFACTURER + settings.serial,
            maker=settings.maker,
            firmware=lambda: self.image.version,
        )
        yield from count_objects(settings.encoding, lambda: self.incidents.tampers)
        yield data_object(_STATUS_WORD, self.incidents.status_word)
        yield from self._measuring.objects(settings.model, lambda: self.time.at_s)
        yield from self._profiles()

    def _listed(self) -> Iterable[CosemObject]:
        return self._objects.values()

    # -- profiles ----------------------------------------------------------------------------

    def _profiles(self) -> Iterator[CosemObject]:
        settings, model = self.settings, self.settings.model
        faults, period_s = settings.faults, settings.capture_period_s
        snapshot = catalogue.INSTANTANEOUS[model]
        daily = catalogue.DAILY_LOAD
        if faults.export_columns_first:
            daily = catalogue.DAILY_LOAD_EXPORT_FIRST
        block = catalogue.BLOCK_LOAD[model]
        if faults.extra_column:
            block += catalogue.METER_HEALTH
        yield self._profile("0.0.94.91.10.255", self._snapshot(nameplate_columns(model)))
        yield self._profile("1.0.94.91.0.255", self._snapshot(snapshot))
        yield self._profile(
            "1.0.99.1.0.255",
            self._history(
                block,
                lambda: block_ends(self.household, self.time.at_s, period_s),
                lambda column, at_s: self._measuring.block_data(column.obis.dotted, at_s),
                period_s,
                BLOCK_DAYS * DAY_S // period_s,
                stamped_before_s=period_s if faults.stamp_at_start else 0,
            ),
        )
        yield self._profile(
            "1.0.99.2.0.255",
            self._history(
                daily,
                lambda: midnights(self.household, self.time.at_s, DAILY_ROWS),
                lambda column, at_s: self._measuring.register_data(column.obis.dotted, at_s),
                DAY_S,
                DAILY_ROWS,
            ),
        )
        billing = catalogue.BILLING[model]
        if faults.unlisted_column:
            billing += (catalogue.UNLISTED,)
        yield self._profile(
            "1.0.98.1.0.255",
            self._history(
                billing,
                lambda: month_starts(self.household, self.time.at_s, BILLING_ROWS),
                self._measuring.billing_data,
                0,
                BILLING_ROWS,
            ),
        )
        for name, log in log_captures(model, self.incidents, self._measuring, self._rules):
            yield self._profile(name, log)
        for name, columns in (
            ("1.0.94.91.3.255", snapshot),
            ("1.0.94.91.4.255", block),
            ("1.0.94.91.5.255", daily),
            ("1.0.94.91.6.255", billing),
            ("1.0.94.91.7.255", catalogue.EVENT_LOGS[model]["voltage"]),
        ):
            every = 2 if faults.short_scaler_profiles else 1
            yield self._profile(name, self._snapshot(catalogue.scaler_columns(columns)[::every]))

    def _snapshot(self, columns: tuple[CaptureObject, ...]) -> Capture:
        """A profile of one row: the present state of its objects."""
        return Capture(columns, lambda: (self.time.at_s,), lambda _: self._cells(columns), 0, 1)

    def _cells(self, columns: tuple[CaptureObject, ...]) -> tuple[bytes, ...]:
        return tuple(
            self._objects[column.class_id, column.obis].get(METER_READER, column.attribute)
            for column in columns
        )

    def _history(
        self,
        columns: tuple[CaptureObject, ...],
        times: Callable[[], Sequence[int]],
        value: Callable[[CaptureObject, int], Data],
        period_s: int,
        depth: int,
        *,
        stamped_before_s: int = 0,
    ) -> Capture:
        """A profile of past rows; ``value`` gives a column's state at a capture time."""

        def stamp(at_s: int) -> int:
            return at_s - stamped_before_s

        def cell(column: CaptureObject, at_s: int) -> bytes:
            if column == CLOCK_TIME:
                return octets.encode(octets.date_time(stamp(at_s), self._rules))
            if column.class_id == ClassId.DATA:
                return self._objects[column.class_id, column.obis].get(METER_READER, 2)
            return octets.encode(value(column, at_s))

        def cells(at_s: int) -> tuple[bytes, ...]:
            return tuple(cell(column, at_s) for column in columns)

        return Capture(columns, times, cells, period_s, depth, stamp)

    def _profile(self, name: str, capture: Capture) -> CosemObject:
        obis = Obis.parse(name)
        buffer = self._buffers[obis] = Buffer(capture, self._rules, self.settings.faults)
        sorted_by = CLOCK_TIME if CLOCK_TIME in capture.columns else _NOTHING
        definitions = octets.array(map(octets.capture_definition, capture.columns))
        return CosemObject(
            class_id=ClassId.PROFILE_GENERIC,
            obis=obis,
            version=1,
            attributes={
                2: lambda: buffer.read(None),
                3: constant(definitions),
                4: constant(octets.double_long_unsigned(capture.period_s)),
                5: constant(octets.enum(_FIFO)),
                6: constant(octets.capture_definition(sorted_by)),
                7: lambda: octets.double_long_unsigned(buffer.entries_in_use()),
                8: constant(octets.double_long_unsigned(capture.depth)),
            },
        )


def _stated(rules: TimeRules, minutes: int | None) -> TimeRules:
    """Rules of a meter whose times state a deviation of their own, and whose zone always holds."""
    if minutes is None:
        return rules
    sign = rules.deviation_sign
    return octets.StatedRules(rules.zone_minutes, sign, use_deviation=False, stated_minutes=minutes)
