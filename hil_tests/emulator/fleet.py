"""All meters of a scenario, running: what the command and the tests start."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from gateway.dlms.cosem_time import TimeRules
from gateway.errors import UsageError
from hil_tests.emulator.datagram_wire import UdpWire
from hil_tests.emulator.household import DAY_S, Household, HouseholdSettings
from hil_tests.emulator.keys import MeterKeys, keys_for, server_title, write_private
from hil_tests.emulator.meter import Meter, MeterSettings
from hil_tests.emulator.nameplate import MANUFACTURER
from hil_tests.emulator.optical_head import OpticalWire
from hil_tests.emulator.pacing import NS_PER_S, WireStats
from hil_tests.emulator.push import Pusher, push_source
from hil_tests.emulator.scenario import BusEnd, Ciphering, MeterScenario, Scenario, WireKind
from hil_tests.emulator.station import POLICIES, Spoiler, Station, mechanisms
from hil_tests.emulator.trouble import Misfortunes
from hil_tests.emulator.truth import Truth
from hil_tests.emulator.wires import (
    LOOPBACK,
    CallingWire,
    MonotonicClock,
    PtyWire,
    SerialServerWire,
    TcpWire,
    WireClock,
)

FLEET_FILE: Final = "fleet.json"
STATS_FILE: Final = "stats.json"
COUNTERS_FILE: Final = "counters.json"
_OTHER_READERS_LEAD: Final = 5_000
"""Invocation counters that another reader uses up."""


def household_of(scenario: Scenario, meter: MeterScenario) -> Household:
    """The household behind a meter: it follows from seed and serial number alone."""
    return Household(
        HouseholdSettings(
            seed=scenario.seed,
            name=meter.serial,
            phases=meter.model.phases,
            exports=meter.exports,
            zone_s=scenario.zone_minutes * 60,
            installed_s=scenario.installed_s,
        )
    )


def truth_of(scenario: Scenario, meter: MeterScenario) -> Truth:
    """The oracle of a meter's registers."""
    return Truth(
        household_of(scenario, meter),
        meter.encoding,
        capture_period_s=meter.capture_period_s,
        energy_scaler_shift=meter.faults.energy_scaler_shift,
    )


def make_meter(
    scenario: Scenario, entry: MeterScenario, keys: MeterKeys, now_s: Callable[[], int]
) -> Meter:
    """The meter of an entry, with its household's history, at the end of no wire yet."""
    settings = MeterSettings(
        serial=entry.serial,
        model=entry.model,
        encoding=entry.encoding,
        maker=entry.maker,
        firmware=entry.firmware,
        capture_period_s=entry.capture_period_s,
        policy=int(POLICIES[entry.ciphering]) >> 4,
        mechanisms=mechanisms(entry),
        ciphered=entry.ciphering is not Ciphering.NONE,
        faults=entry.faults,
    )
    return Meter(
        settings,
        household_of(scenario, entry),
        keys=keys,
        rules=TimeRules(scenario.zone_minutes, scenario.deviation_sign),
        now_s=now_s,
    )


def misfortunes_of(entry: MeterScenario, meter: Meter, now_s: Callable[[], int]) -> Misfortunes:
    """What befalls a meter, as its entry says."""

    def see_other_reader() -> None:
        for name, counter in meter.last_received.items():
            meter.last_received[name] = max(counter, 0) + _OTHER_READERS_LEAD

    return Misfortunes(entry.trouble, entry.serial, now_s, see_other_reader)


def meter_clock(scenario: Scenario) -> Callable[[], int]:
    """UTC epoch seconds as the scenario has them: the host's, or counted on from its start."""
    if scenario.start_s is None:
        return lambda: time.time_ns() // NS_PER_S
    begun_ns, start_s = time.monotonic_ns(), scenario.start_s
    return lambda: start_s + (time.monotonic_ns() - begun_ns) // NS_PER_S


@dataclass(frozen=True, slots=True)
class Running:
    """A meter that answers."""

    scenario: MeterScenario
    meter: Meter
    url: str
    keys_file: Path


class Fleet:
    """Async context manager: every meter of a scenario on its wire, in one run directory.

    The directory gets the keys (mode 0600), the bus devices and ``fleet.json``.
    """

    def __init__(
        self,
        scenario: Scenario,
        directory: Path,
        *,
        wire_clock: WireClock | None = None,
        now_s: Callable[[], int] | None = None,
    ) -> None:
        self.scenario = scenario
        self.directory = directory
        self.meters: dict[str, Running] = {}
        self.pushers: dict[str, Pusher] = {}
        """By serial number."""
        self.tasks: list[asyncio.Task[None]] = []
        """One for each bus and optical head; ends only with a defect."""
        self._clock = wire_clock or MonotonicClock()
        self._now_s = now_s or meter_clock(scenario)
        self._ports: dict[str, TcpWire | UdpWire | CallingWire] = {}
        self._buses: dict[str, PtyWire | SerialServerWire] = {}
        self._heads: dict[str, OpticalWire] = {}

    async def __aenter__(self) -> Self:
        if self._now_s() < self.scenario.installed_s + DAY_S:
            raise UsageError("the meters' clock stands before their installation: set start")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.write_stats()
        await self._stop()

    def stats(self) -> dict[str, WireStats]:
        """Octets and turnarounds by wire: a bus by its name, a meter of its own by its serial."""
        stats = {name: port.stats for name, port in self._ports.items()}
        stats |= {name: bus.stats for name, bus in self._buses.items()}
        return stats | {name: head.stats for name, head in self._heads.items()}

    def write_stats(self) -> None:
        """Write ``stats.json`` (octets and turnarounds by wire) and ``counters.json``.

        The latter has the invocation counters of each meter's clients: the highest received by
        association, and how many APDUs were refused because theirs did not rise.
        """
        wires = {name: asdict(stats) for name, stats in self.stats().items()}
        counters = {
            serial: {"highest": one.meter.last_received, "refused": one.meter.counters_refused}
            for serial, one in self.meters.items()
        }
        for name, document in ((STATS_FILE, wires), (COUNTERS_FILE, counters)):
            write_private(self.directory / name, json.dumps(document, indent=2) + "\n")

    async def _start(self) -> None:
        on_bus: dict[str, list[tuple[Station, Spoiler]]] = {}
        made: list[tuple[MeterScenario, Meter, Path]] = []
        for entry in self.scenario.meters:
            meter, keys_file, make_station = self._make(entry)
            made.append((entry, meter, keys_file))
            misfortunes = misfortunes_of(entry, meter, self._now_s)
            spoiler = Spoiler(entry.faults, entry.serial, misfortunes)
            if entry.wire is WireKind.BUS:
                on_bus.setdefault(entry.bus, []).append((make_station(), spoiler))
            else:
                await self._start_alone(entry, make_station, spoiler)
        for bus in self.scenario.buses:
            stations = on_bus.get(bus.name, [])
            line = self._buses[bus.name] = (
                SerialServerWire(bus.baud, stations, self._clock)
                if bus.end is BusEnd.SERIAL_SERVER
                else PtyWire(self.directory / bus.name, bus.baud, stations, self._clock)
            )
            self.tasks.append(await line.start())
        for entry, meter, keys_file in made:
            self.meters[entry.serial] = Running(entry, meter, self._url(entry), keys_file)
        write_private(self.directory / FLEET_FILE, json.dumps(self.document(), indent=2) + "\n")

    async def _start_alone(
        self, entry: MeterScenario, make_station: Callable[[], Station], spoiler: Spoiler
    ) -> None:
        """A meter that has its wire for itself."""
        if entry.wire is WireKind.OPTICAL:
            path = self.directory / entry.serial
            head = OpticalWire(path, make_station, spoiler, entry.faults, self._clock)
            self._heads[entry.serial] = head
            self.tasks.append(await head.start())
            return
        port: TcpWire | UdpWire | CallingWire
        if entry.wire is WireKind.UDP:
            port = UdpWire(LOOPBACK, make_station, spoiler, entry.port)
        elif entry.calls:
            host, _, number = entry.calls.rpartition(":")
            again_s = entry.calls_again_ms / 1000
            port = CallingWire(make_station, spoiler, (host, int(number)), again_s)
        else:
            port = TcpWire(make_station, spoiler, entry.port)
        self._ports[entry.serial] = port
        await port.start()

    def _url(self, entry: MeterScenario) -> str:
        """Where a meter answers."""
        server = f"server={entry.address}"
        if entry.wire is WireKind.BUS:
            return f"{self._buses[entry.bus].url}{server}"
        if entry.wire is WireKind.OPTICAL:
            return f"optical://{self._heads[entry.serial].device}?{server}"
        host = entry.calls.rpartition(":")[0] or LOOPBACK
        url = f"{entry.wire}://{host}:{self._ports[entry.serial].port}"
        has_lower = entry.wire is WireKind.HDLC_TCP and entry.address_octets > 1
        return f"{url}?{server}" if has_lower else url

    async def _stop(self) -> None:
        for wire in self._ports.values():
            await wire.stop()
        for pusher in self.pushers.values():
            await pusher.stop()
        for line in self._buses.values():
            await line.stop()
        for head in self._heads.values():
            await head.stop()

    def _make(self, entry: MeterScenario) -> tuple[Meter, Path, Callable[[], Station]]:
        keys_folder = self.directory / "keys"
        keys_folder.mkdir(mode=0o700, exist_ok=True)
        keys, keys_file = keys_for(keys_folder, entry.serial, MANUFACTURER)
        meter = make_meter(self.scenario, entry, keys, self._now_s)
        source = push_source(meter, keys, POLICIES[entry.ciphering])
        self.pushers[entry.serial] = Pusher(meter, source)
        return meter, keys_file, partial(Station, entry, keys, meter)

    def document(self) -> dict[str, Any]:
        """``fleet.json``: where each meter is and what it is; keys are only named."""
        return {
            "seed": self.scenario.seed,
            "zone_minutes": self.scenario.zone_minutes,
            "deviation_sign": self.scenario.deviation_sign,
            "buses": [
                {"name": name, "device": line.device, "baud": line.baud}
                for name, line in self._buses.items()
            ],
            "meters": [
                {
                    "serial": serial,
                    "url": running.url,
                    "wire": running.scenario.wire,
                    "bus": running.scenario.bus,
                    "port": self._ports[serial].port if serial in self._ports else None,
                    "address": running.scenario.address,
                    "address_octets": running.scenario.address_octets,
                    "model": running.scenario.model,
                    "encoding": running.scenario.encoding,
                    "capture_period_s": running.scenario.capture_period_s,
                    "turnaround_ms": running.scenario.turnaround_ms,
                    "ciphering": running.scenario.ciphering,
                    "settings_authentication": running.scenario.settings_authentication,
                    "keys_file": str(running.keys_file.absolute()),
                    "server_system_title": server_title(MANUFACTURER, serial).hex(),
                    "logical_device_name": running.meter.settings.device_name.decode("ascii"),
                }
                for serial, running in self.meters.items()
            ],
        }
