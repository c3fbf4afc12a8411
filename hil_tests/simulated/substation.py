"""The gateway's whole service beside a fleet of emulated meters, on one simulated clock.

Stores are real files behind inline doors, wires are paced, and nothing waits. What is left at the
end is judged from the file and from the meters' own truth, by whoever runs it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from gateway.config import Clocks, Gateway, Meter, Reading, Site, Stores, Wire
from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId
from gateway.profile import load_profile
from gateway.service.clock import LoopClock
from gateway.service.parts import Parts
from gateway.service.simulation import run_simulated
from gateway.service.supervisor import Service
from gateway.store.counters import CounterStore
from gateway.store.jobs import JobStore
from gateway.store.readings import ReadingsStore
from gateway.store.thread import InlineStore
from gateway.store.witness import Witness
from gateway.url import TransportUrl, parse_url
from hil_tests.emulator.fleet import make_meter, misfortunes_of
from hil_tests.emulator.keys import keys_for
from hil_tests.emulator.meter import Meter as EmulatedMeter
from hil_tests.emulator.nameplate import MANUFACTURER
from hil_tests.emulator.scenario import MeterScenario, Scenario, WireKind
from hil_tests.emulator.station import Station
from hil_tests.emulator.trouble import TroubledStation
from hil_tests.simulated.wire import SimulatedLine, SimulatedWire

GATEWAY: Final = "gw-simulated"


@dataclass(frozen=True, slots=True)
class SimulatedMeter:
    """A meter, what befell it, and the keys that both sides have."""

    entry: MeterScenario
    meter: EmulatedMeter
    station: TroubledStation
    keys_file: Path


@dataclass
class Substation:
    """One gateway with the meters of a scenario; ``run`` lets so many days pass.

    ``profiles`` names the firmware profile of each meter by its serial number.
    """

    directory: Path
    scenario: Scenario
    profiles: Mapping[str, str]
    reading: Reading = field(default_factory=Reading)
    clocks: Clocks = field(default_factory=Clocks)
    seed: int = 1

    def __post_init__(self) -> None:
        assert self.scenario.start_s is not None
        self._start_s = self.scenario.start_s
        self._random = random.Random(self.seed)
        self.clock = LoopClock(self._start_s * 1_000_000)
        self.meters: dict[str, SimulatedMeter] = {}
        self.lines: dict[str, SimulatedLine] = {}
        for entry in self.scenario.meters:
            self.meters[entry.serial] = self._meter(entry)
            name = _wire_name(entry)
            baud = next((bus.baud for bus in self.scenario.buses if bus.name == entry.bus), None)
            line = self.lines.setdefault(name, SimulatedLine([], baud))
            line.meters = [*line.meters, self.meters[entry.serial].station]

    @property
    def database(self) -> Path:
        """readings.db, to be looked at afterwards."""
        return self.directory / "readings.db"

    def now_s(self) -> int:
        """The simulated time, UTC seconds."""
        return self.clock.now_us() // 1_000_000

    def run(self, play: Callable[[Substation, Service], Awaitable[None]]) -> Service:
        """Run the service while ``play`` goes on; it may sleep and look."""
        return run_simulated(self._run(play))

    async def _run(self, play: Callable[[Substation, Service], Awaitable[None]]) -> Service:
        self.clock.now_us()
        parts = self._parts()
        service = Service(self._site(), parts)
        running = asyncio.create_task(service.run())
        try:
            await play(self, service)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await parts.close()
        return service

    def _meter(self, entry: MeterScenario) -> SimulatedMeter:
        folder = self.directory / "keys"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys, keys_file = keys_for(folder, entry.serial, MANUFACTURER)
        meter = make_meter(self.scenario, entry, keys, self._meters_now_s)
        station = TroubledStation(
            partial(Station, entry, keys, meter),
            misfortunes_of(entry, meter, self._meters_now_s),
        )
        return SimulatedMeter(entry, meter, station, keys_file)

    def _meters_now_s(self) -> int:
        try:
            return self.now_s()
        except RuntimeError:
            # Before the loop runs: meters are made at the start of the scenario.
            return self._start_s

    def _site(self) -> Site:
        here = self.directory
        wires: dict[str, list[MeterScenario]] = {}
        for entry in self.scenario.meters:
            wires.setdefault(_wire_name(entry), []).append(entry)
        return Site(
            gateway=Gateway(id=GATEWAY),
            stores=Stores(
                readings=self.database,
                counters=here / "counters.db",
                witness=here / "witness.json",
                keystore=here / "keystore.json",
                kek_file=here / "kek",
            ),
            reading=self.reading,
            clocks=self.clocks,
            wires=tuple(self._wire(name, entries) for name, entries in wires.items()),
        )

    def _wire(self, name: str, entries: list[MeterScenario]) -> Wire:
        baud = self.lines[name].baud
        kind = entries[0].wire
        url = {
            WireKind.BUS: f"serial:///dev/{name}?baud={baud}",
            WireKind.HDLC_TCP: f"hdlc+tcp://{name}:4001",
            WireKind.WRAPPER: f"tcp://{name}:4059",
        }[kind]
        return Wire(
            name=name,
            url=parse_url(url),
            meters=tuple(
                Meter(
                    serial=MeterId(entry.serial),
                    profile=self.profiles[entry.serial],
                    server=None if kind is WireKind.WRAPPER else entry.address,
                )
                for entry in entries
            ),
        )

    def _parts(self) -> Parts:
        stores = self._site().stores
        if not stores.kek_file.exists():
            create_kek(stores.kek_file)
        keystore = Keystore.open(stores.keystore, stores.kek_file)
        for serial, one in self.meters.items():
            keystore.import_keys(MeterId(serial), load_keys_file(one.keys_file))
        witness = Witness(stores.witness)
        randomness = self._random.randbytes
        readings = ReadingsStore.open(
            stores.readings,
            gateway_id=GATEWAY,
            witness=witness,
            random_bytes=randomness,
            now_us=self._start_s * 1_000_000,
        )
        counters = CounterStore.open(
            stores.counters, gateway_id=GATEWAY, witness=witness, random_bytes=randomness
        )
        return Parts(
            readings=InlineStore(readings),
            counters=InlineStore(counters),
            jobs=InlineStore(JobStore.open(stores.jobs_file)),
            keystore=keystore,
            profiles={name: load_profile(name) for name in set(self.profiles.values())},
            clock=self.clock,
            make_uplink=None,
            open_transport=self._open,
            random_bytes=randomness,
            jitter=self._random.random,
        )

    def _open(self, url: TransportUrl) -> SimulatedWire:
        name = url.host or Path(url.device).name
        return SimulatedWire(self.lines[name])


def _wire_name(entry: MeterScenario) -> str:
    """A bus by its name, a connection by its meter's: names of hosts have small letters."""
    return entry.bus or entry.serial.lower()
