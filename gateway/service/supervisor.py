"""The service: every part built or handed in, every loop a task with a name.

All that touches the world is in ``Parts``, so that the whole service runs in a simulation.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from gateway.config import Clocks, Meter, Site, Wire
from gateway.dlms.meter_time import ClockPolicy
from gateway.errors import ConfigError, GatewayError
from gateway.files import read_private
from gateway.keys import Keystore
from gateway.model import Secret
from gateway.poller import Poller
from gateway.profile import (
    AUTO,
    GENERIC_BASE,
    FirmwareProfile,
    check_matches,
    load_profile,
    load_profiles,
)
from gateway.service.clock import Clock, SystemClock
from gateway.service.coverage import CoverageWatch
from gateway.service.housekeeping import Housekeeping
from gateway.service.identity import Identities
from gateway.service.meter_state import Cadences
from gateway.service.reading import ReadingLoop
from gateway.service.sessions import MeterAccess, SessionMaker, timing_of
from gateway.service.uplink import UplinkLoop
from gateway.store.counters import CounterStore
from gateway.store.readings import ReadingsStore
from gateway.store.retention import Budget
from gateway.store.stream import STREAM
from gateway.store.thread import StoreDoor, StoreThread
from gateway.store.witness import Witness
from gateway.transport import Transport, open_transport
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
_MIB: Final = 1 << 20
_DAY_S: Final = 86_400
UplinkMaker = Callable[[PresenceMaker], Uplink]


@dataclass(kw_only=True)
class Parts:
    """Everything the service uses that is not its own logic."""

    readings: StoreDoor[ReadingsStore]
    counters: StoreDoor[CounterStore]
    keystore: Keystore
    profiles: Mapping[str, FirmwareProfile]
    clock: Clock
    make_uplink: UplinkMaker | None
    open_transport: Callable[[TransportUrl], Transport] = open_transport
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    jitter: Callable[[], float] = field(default_factory=lambda: random.SystemRandom().random)

    async def close(self) -> None:
        """Close the stores."""
        await self.readings.close()
        await self.counters.close()


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
    return Parts(
        readings=readings,
        counters=counters,
        keystore=keystore,
        profiles=profiles,
        clock=clock,
        make_uplink=None if site.uplink is None else mqtt_maker(site),
    )


def site_profiles(site: Site) -> dict[str, FirmwareProfile]:
    """The firmware profiles that the site's meters need. Raises ConfigError."""
    names = {meter.profile for _, meter in site.meters}
    if AUTO not in names:
        return {name: load_profile(name, site.profiles) for name in sorted(names)}
    # Any of them may turn out to be a meter's: those of the site before those of their name here.
    found = load_profiles()
    if site.profiles is not None:
        found |= load_profiles(site.profiles)
    check_matches(found.values())
    return found


def check_site(site: Site, file: str) -> list[str]:
    """What ``load_site`` cannot see: profiles, associations, keys. Remarks that are no errors.

    Raises ConfigError for a profile or association that is not there.
    """
    profiles = site_profiles(site)
    remarks: list[str] = []
    for wire, meter in site.meters:
        profile = profiles[_named(meter)]
        if meter.association not in profile.associations:
            raise ConfigError(
                file,
                f"wire {wire.name}, meter {meter.serial}: association",
                meter.association,
                f"one of {', '.join(sorted(profile.associations))}",
            )
    if site.uplink is None:
        remarks.append("no [uplink]: readings are kept here and sent nowhere")
    if not site.stores.keystore.exists():
        remarks.append("the keystore does not exist yet: gateway keys import makes it")
    return remarks


def _named(meter: Meter) -> str:
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
        self.wires = [self._reading_loop(wire) for wire in site.wires]
        self.coverage = CoverageWatch(
            readings=parts.readings,
            clock=parts.clock,
            # A day of the service level is the meters'; all of a site are in one zone.
            zone_s=60 * max((p.time.zone_minutes for p in parts.profiles.values()), default=0),
            targets=site.coverage,
            expected={loop.poller.name: loop.rows_per_day for loop in self.wires},
        )

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
            for loop in self.wires:
                name = f"wire.{loop.poller.name}"
                tasks.create_task(_kept_up(f"{name}.poller", loop.poller.run), name=name)
                tasks.create_task(_kept_up(name, loop.run), name=f"{name}.reading")
            if make is not None:
                kept_up = _kept_up("uplink", partial(self._run_uplink, make))
                tasks.create_task(kept_up, name="uplink")
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
            more_figures=self.coverage.figures,
        )

    def _reading_loop(self, wire: Wire) -> ReadingLoop:
        parts, reading = self._parts, self._site.reading
        cadences = Cadences(
            instantaneous_s=reading.instantaneous_s,
            nameplate_s=reading.nameplate_s,
            daily_days=reading.daily_days,
            block_days=wire.block_days or reading.block_days,
            drift_limit_s=reading.drift_limit_s,
            verify_capture_list_s=reading.verify_capture_list_s,
            clocks=_clock_policy(self._site.clocks),
        )
        return ReadingLoop(
            meters=tuple(self._accesses(wire)),
            associations={meter.serial: meter.association for meter in wire.meters},
            poller=Poller(wire.name, lambda: parts.open_transport(wire.url)),
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

    def _accesses(self, wire: Wire) -> Iterator[MeterAccess]:
        """The meters that can be read; one without keys is told and costs the others nothing."""
        for meter in wire.meters:
            try:
                yield self._access(wire, meter)
            except GatewayError as error:
                log.error("meter cannot be read", meter=meter.serial, error=str(error))

    def _access(self, wire: Wire, meter: Meter) -> MeterAccess:
        profile = self._parts.profiles[_named(meter)]
        return MeterAccess(
            meter=meter.serial,
            profile=profile,
            keys=self._parts.keystore.get(meter.keys_of),
            kind=wire.url.kind,
            server_lower=wire.server_of(meter),
            timing=timing_of(profile, wire.url.kind),
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
