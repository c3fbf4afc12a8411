"""The service: every part built or handed in, every loop a task with a name.

All that touches the world is in ``Parts``, so that the whole service runs in a simulation.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import ChainMap
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from gateway.config import CallingMeter, Clocks, Listener, Meter, Site, Wire
from gateway.config import PushListener as PushSettings
from gateway.dlms.meter_time import ClockPolicy
from gateway.errors import ConfigError, GatewayError
from gateway.files import read_private
from gateway.keys import Keystore
from gateway.model import MeterId, Secret
from gateway.poller import Poller
from gateway.profile import (
    AUTO,
    GENERIC_BASE,
    FirmwareProfile,
    check_matches,
    load_profile,
    load_profiles,
)
from gateway.service.callers import CallDesk, CallerLine, name_asker
from gateway.service.clock import Clock, SystemClock
from gateway.service.coverage import CoverageWatch
from gateway.service.housekeeping import Housekeeping
from gateway.service.identity import Identities
from gateway.service.jobs import JobLoop, JobRunner
from gateway.service.meter_state import Cadences
from gateway.service.push import PushListener, open_ports
from gateway.service.pushed import PushKeeper
from gateway.service.reading import ReadingLoop
from gateway.service.sessions import MeterAccess, SessionMaker, timing_of
from gateway.service.uplink import UplinkLoop
from gateway.service.wire_watch import WireWatch
from gateway.store.counters import CounterStore
from gateway.store.jobs import JobStore
from gateway.store.readings import ReadingsStore
from gateway.store.retention import Budget
from gateway.store.stream import STREAM
from gateway.store.thread import StoreDoor, StoreThread
from gateway.store.witness import Witness
from gateway.transport import OpeningPace, Transport, open_transport
from gateway.transport.listener import PushPort
from gateway.uplink import topics
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.notices import Birth, StreamPosition, presence
from gateway.uplink.outbox import Lane, PumpSettings
from gateway.uplink.port import Presence, PresenceMaker, TlsFiles, Uplink
from gateway.uplink.settings import MqttSettings, MqttVersion
from gateway.uplink.signature import TrustedKey, VerifyingKeys
from gateway.uplink.topics import Kind
from gateway.url import TransportUrl

log = structlog.get_logger()

_RESTART_S: Final = 5
_DEVICE_RESTS_S: Final = (0.3, 5)
"""How long a device that is gone is not looked for, at first and later: looking costs nothing."""
_HOST_RESTS_S: Final = (15, 300)
"""The same for a host on the network."""
_MIB: Final = 1 << 20
_DAY_S: Final = 86_400
UplinkMaker = Callable[[PresenceMaker], Uplink]


@dataclass(kw_only=True)
class Parts:
    """Everything the service uses that is not its own logic."""

    readings: StoreDoor[ReadingsStore]
    counters: StoreDoor[CounterStore]
    jobs: StoreDoor[JobStore]
    keystore: Keystore
    profiles: Mapping[str, FirmwareProfile]
    clock: Clock
    make_uplink: UplinkMaker | None
    open_transport: Callable[[TransportUrl], Transport] = open_transport
    open_ports: Callable[[PushSettings], Sequence[PushPort]] = open_ports
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    jitter: Callable[[], float] = field(default_factory=lambda: random.SystemRandom().random)

    async def close(self) -> None:
        """Close the stores."""
        await self.readings.close()
        await self.counters.close()
        await self.jobs.close()


async def open_parts(site: Site, profiles: Mapping[str, FirmwareProfile]) -> Parts:
    """The real parts of a site. Raises ConfigError, StoreError."""
    clock = SystemClock(trusted=site.gateway.trust_host_clock)
    stores = site.stores
    witness = Witness(stores.witness)
    keystore = Keystore.open(stores.keystore, stores.kek_file)
    counters = await StoreThread.open(
        lambda: CounterStore.open(
            stores.counters,
            gateway_id=site.gateway.id,
            witness=witness,
            random_bytes=secrets.token_bytes,
        ),
        name="counters",
    )
    readings = await StoreThread.open(
        lambda: ReadingsStore.open(
            stores.readings,
            gateway_id=site.gateway.id,
            witness=witness,
            random_bytes=secrets.token_bytes,
            now_us=clock.now_us(),
            zone_minutes=site.gateway.zone_minutes,
            # A hard bound above the budget that trimming keeps, whatever meters send.
            max_octets=stores.max_mib * _MIB * 5 // 4,
        ),
        name="readings",
    )
    jobs = await StoreThread.open(lambda: JobStore.open(stores.jobs_file), name="jobs")
    return Parts(
        readings=readings,
        counters=counters,
        jobs=jobs,
        keystore=keystore,
        profiles=profiles,
        clock=clock,
        make_uplink=None if site.uplink is None else mqtt_maker(site),
        open_transport=partial(open_transport, pace=OpeningPace(site.reading.connections_per_s)),
    )


def site_profiles(site: Site) -> dict[str, FirmwareProfile]:
    """The firmware profiles that the site's meters need. Raises ConfigError."""
    names = {meter.profile for _, meter in site.meters}
    names |= {listener.profile for listener in site.listeners}
    if AUTO not in names:
        return {name: load_profile(name, site.profiles) for name in sorted(names)}
    # Any of them may turn out to be a meter's: those of the site before those of their name here.
    found = load_profiles()
    if site.profiles is not None:
        found |= load_profiles(site.profiles)
    check_matches(found.values())
    return found


def named_profile(meter: Meter) -> str:
    """The profile that a meter is first talked to with."""
    return GENERIC_BASE if meter.profile == AUTO else meter.profile


def mqtt_maker(site: Site) -> UplinkMaker:
    """How to make the uplink of a site that has one."""
    uplink = site.uplink
    if uplink is None:
        raise ConfigError("site", "uplink", None, "is needed")
    password: Secret | None = None
    if uplink.password_file is not None:
        password = Secret(read_private(uplink.password_file, max_octets=1 << 10).strip())
    tls = uplink.tls
    settings = MqttSettings(
        host=uplink.host,
        port=uplink.port,
        client_id=uplink.client_id or site.gateway.id,
        tls=None if tls is None else TlsFiles(tls.ca_file, tls.certificate_file, tls.key_file),
        username=uplink.username,
        password=password,
        version=MqttVersion(uplink.mqtt_version),
        subscriptions=tuple(
            topics.plain(site.gateway.id, kind) for kind in (Kind.COMMIT, Kind.ACCOUNT)
        ),
        window=uplink.window,
    )
    jitter = random.SystemRandom().random
    return lambda maker: MqttUplink(settings, jitter=jitter, presence=maker)


class Service:
    """One gateway: its wires are read, its outbox is emptied, its stores are kept in bounds."""

    def __init__(self, site: Site, parts: Parts, *, software: str = "smart-meter-gateway") -> None:
        self._site = site
        self._parts = parts
        self._software = software
        self._generation = 0
        self._position = StreamPosition(stream=STREAM, epoch="0" * 16, sequence=0)
        self.uplink: UplinkLoop | None = None
        self.sessions = SessionMaker(parts.counters, parts.clock, random_bytes=parts.random_bytes)
        self.wires = [self._wire_loop(wire) for wire in site.wires]
        self.desks: list[CallDesk] = []
        self.wires += [loop for listener in site.listeners for loop in self._desk(listener)]
        self.jobs = self._job_loop()
        self.coverage = CoverageWatch(
            readings=parts.readings,
            clock=parts.clock,
            # A day of the service level is the meters'; all of a site are in one zone.
            zone_s=60 * max((p.time.zone_minutes for p in parts.profiles.values()), default=0),
            targets=site.coverage,
            expected={loop.poller.name: loop.rows_per_day for loop in self.wires},
        )

        self.push = None if site.push is None else self._push_listener(site.push)
        more = {} if self.push is None else self.push.figures
        self._figures: Mapping[str, int] = ChainMap(self.coverage.figures, more)

    async def run(self) -> None:
        """Run until cancelled; the stores are closed by whoever opened them."""
        await self._begin()
        make = self._parts.make_uplink
        if make is not None:
            # The first one here: files that cannot be used end the start and name themselves.
            self.uplink = self._uplink_loop(make(self._presence))
        site = self._site.stores
        house = Housekeeping(
            readings=self._parts.readings,
            counters=self._parts.counters,
            clock=self._parts.clock,
            budget=Budget(
                max_octets=site.max_mib * _MIB,
                bulk_age_s=site.bulk_days * _DAY_S,
                record_age_s=site.record_days * _DAY_S,
            ),
        )
        async with asyncio.TaskGroup() as tasks:
            for desk in self.desks:
                name = f"listener.{desk.name}"
                tasks.create_task(_kept_up(name, desk.run), name=name)
            for loop in self.wires:
                name = f"wire.{loop.poller.name}"
                tasks.create_task(_kept_up(f"{name}.poller", loop.poller.run), name=name)
                tasks.create_task(_kept_up(name, loop.run), name=f"{name}.reading")
            if make is not None:
                kept_up = _kept_up("uplink", partial(self._run_uplink, make))
                tasks.create_task(kept_up, name="uplink")
            if self.push is not None:
                tasks.create_task(_kept_up("push", self.push.run), name="push")
            tasks.create_task(_kept_up("jobs", self.jobs.run), name="jobs")
            tasks.create_task(_kept_up("housekeeping", house.run), name="housekeeping")
            tasks.create_task(_kept_up("coverage", self.coverage.run), name="coverage")

    async def _run_uplink(self, make: UplinkMaker) -> None:
        """Run the loop; one that failed is replaced whole: nothing of it is carried on."""
        try:
            if self.uplink is not None:
                await self.uplink.run()
        except Exception:
            self.uplink = self._uplink_loop(make(self._presence))
            raise

    async def _begin(self) -> None:
        """What the stores say at the start: alarms, a restored file's new titles, names."""
        readings, counters = self._parts.readings, self._parts.counters
        report = await readings.run(lambda store: store.report)
        if report.quarantined is not None:
            log.error("readings.db was damaged and put aside", report=str(report))
        if report.restored:
            log.error("readings.db was restored: new epoch, new system titles")
            await counters.run(CounterStore.renew_titles)
        names = {
            column.source: column.name
            for profile in self._parts.profiles.values()
            for generic in profile.profile_generics
            for column in generic.columns
        }
        await readings.run(ReadingsStore.name_objects, names)
        await self._note_position()

    async def _note_position(self) -> None:
        epoch, newest = await self._parts.readings.run(
            lambda store: (store.stream.epoch, store.stream.newest_sequence)
        )
        self._position = StreamPosition(stream=STREAM, epoch=epoch, sequence=newest)

    def _presence(self) -> Presence:
        now_us = self._parts.clock.now_us()
        # Rises with every connection, also across restarts, as long as the clock does.
        self._generation = max(self._generation + 1, now_us // 1000)
        return presence(
            Birth(
                gateway=self._site.gateway.id,
                generation=self._generation,
                at_s=now_us // 1_000_000,
                software=self._software,
                streams=[self._position],
            )
        )

    def _uplink_loop(self, uplink: Uplink) -> UplinkLoop:
        settings = self._site.uplink
        if settings is None:
            raise ConfigError("site", "uplink", None, "is needed")
        return UplinkLoop(
            gateway=self._site.gateway.id,
            uplink=uplink,
            readings=self._parts.readings,
            counters=self._parts.counters,
            keys=VerifyingKeys(
                {k.id: TrustedKey(k.issuer, k.public_key) for k in settings.backend_keys}
            ),
            clock=self._parts.clock,
            jitter=self._parts.jitter,
            settings=PumpSettings(window=max(2, settings.window)),
            more_figures=self._figures,
        )

    def _wire_loop(self, wire: Wire) -> ReadingLoop:
        poller = Poller(
            wire.name, lambda: self._parts.open_transport(wire.url), gap_s=wire.gap_ms / 1000
        )
        rests_s = _DEVICE_RESTS_S if wire.url.kind.is_device else _HOST_RESTS_S
        return self._reading_loop(wire, wire.meters, poller, rests_s)

    def _desk(self, listener: Listener) -> Iterator[ReadingLoop]:
        """The loops of the meters that dial in to a listener, and the desk that takes the calls."""
        profile = self._parts.profiles[listener.profile]
        lines = [CallerLine(meter) for meter in listener.meters]
        ask_name = name_asker(listener, profile, self._parts.random_bytes)
        self.desks.append(CallDesk(listener, lines, ask_name))
        for line in lines:
            poller = Poller(line.known.serial, line.transport)
            loop = self._reading_loop(listener, (line.known,), poller, _DEVICE_RESTS_S)
            loop.present, line.on_call = line.present, loop.called
            yield loop

    def _reading_loop(
        self,
        place: Wire | Listener,
        meters: Sequence[Meter],
        poller: Poller,
        rests_s: tuple[float, float],
    ) -> ReadingLoop:
        parts, reading = self._parts, self._site.reading
        cadences = Cadences(
            instantaneous_s=reading.instantaneous_s,
            nameplate_s=reading.nameplate_s,
            events_s=reading.events_s,
            daily_days=reading.daily_days,
            block_days=place.block_days or reading.block_days,
            drift_limit_s=reading.drift_limit_s,
            verify_capture_list_s=reading.verify_capture_list_s,
            clocks=_clock_policy(self._site.clocks),
        )
        return ReadingLoop(
            meters=tuple(self._accesses(place, meters)),
            associations={meter.serial: meter.association for meter in meters},
            poller=poller,
            watch=WireWatch(wire=poller.name, rests_s=rests_s, jitter=parts.jitter),
            sessions=self.sessions,
            readings=parts.readings,
            clock=parts.clock,
            cadences=cadences,
            stored=self._stored,
            jitter=parts.jitter,
            identities=Identities(
                profiles=parts.profiles, sessions=self.sessions, readings=parts.readings
            ),
        )

    def _push_listener(self, settings: PushSettings) -> PushListener:
        parts = self._parts
        at: dict[str, list[MeterId]] = {}
        for place, meter in self._site.meters:
            # A meter that dials in pushes from where it calls, not from where it is awaited.
            host = str(meter.address) if isinstance(meter, CallingMeter) else place.url.host
            at.setdefault(host, []).append(meter.serial)
        return PushListener(
            settings=settings,
            ports=parts.open_ports(settings),
            accesses={access.meter: access for loop in self.wires for access in loop.meters},
            addresses=lambda sender: at.get(sender, []),
            sessions=self.sessions,
            counters=parts.counters,
            keeper=PushKeeper(readings=parts.readings, clock=parts.clock, stored=self._stored),
            clock=parts.clock,
        )

    def _job_loop(self) -> JobLoop:
        parts = self._parts
        runner = JobRunner(
            sessions=self.sessions,
            jobs=parts.jobs,
            clock=parts.clock,
            random_bytes=parts.random_bytes,
            keystore=parts.keystore,
            renewed=self._renew_keys,
        )
        wires = {
            access.meter: (loop.poller, access) for loop in self.wires for access in loop.meters
        }
        return JobLoop(runner=runner, wires=wires, jobs=parts.jobs, clock=parts.clock)

    def _renew_keys(self, access: MeterAccess) -> None:
        """Keys of a meter were changed: whoever talks to it next takes the new ones."""
        self.jobs.renew(access)
        for loop in self.wires:
            if loop.poller is self.jobs.wires[access.meter][0]:
                loop.renewed[access.meter] = access.keys

    def _accesses(self, place: Wire | Listener, meters: Sequence[Meter]) -> Iterator[MeterAccess]:
        """The meters that can be read; one without keys is told and costs the others nothing."""
        for meter in meters:
            try:
                yield self._access(place, meter)
            except GatewayError as error:
                log.error("meter cannot be read", meter=meter.serial, error=str(error))

    def _access(self, place: Wire | Listener, meter: Meter) -> MeterAccess:
        profile = self._parts.profiles[named_profile(meter)]
        return MeterAccess(
            meter=meter.serial,
            profile=profile,
            keys=self._parts.keystore.get(meter.keys_of),
            kind=place.url.kind,
            server_lower=place.server_of(meter),
            timing=timing_of(profile, place.url.kind),
            turnaround_s=_turnaround_ms(profile, meter) / 1000,
            auto=meter.profile == AUTO,
        )

    def _stored(self, lane: Lane, sequence: int) -> None:
        self._position = StreamPosition(
            stream=STREAM, epoch=self._position.epoch, sequence=sequence
        )
        if self.uplink is not None:
            self.uplink.stored(lane)


def _clock_policy(clocks: Clocks) -> ClockPolicy | None:
    if not clocks.set:
        return None
    return ClockPolicy(
        above_s=clocks.above_s,
        most_s=clocks.most_s,
        margin_s=clocks.margin_s,
        crossing=clocks.crossing,
    )


def _turnaround_ms(profile: FirmwareProfile, meter: Meter) -> int:
    return profile.link.turnaround_ms if meter.turnaround_ms is None else meter.turnaround_ms


async def _kept_up(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop again after an error: one loop's trouble is never the others'."""
    while True:
        try:
            await run()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody asked this loop to end: something inside it was cancelled.
            log.error("loop was cancelled from within", loop=name)
        except GatewayError as error:
            log.error("loop ended", loop=name, kind=type(error).__name__, error=str(error))
        except Exception:
            # A bug of ours in one loop must not stop the reading of all others.
            log.exception("loop failed", loop=name)
        await asyncio.sleep(_RESTART_S)
