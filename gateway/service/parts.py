"""What the service uses that is not its own logic, and how the real ones are made."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.config import Meter, Site
from gateway.config import PushListener as PushSettings
from gateway.errors import ConfigError
from gateway.files import read_private
from gateway.keys import Keystore
from gateway.model import Secret
from gateway.profile import (
    AUTO,
    GENERIC_BASE,
    FirmwareProfile,
    check_matches,
    load_profile,
    load_profiles,
)
from gateway.service.clock import Clock, SystemClock
from gateway.service.push import open_ports
from gateway.store.counters import CounterStore
from gateway.store.jobs import JobStore
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor, StoreThread
from gateway.store.witness import Witness
from gateway.transport import OpeningPace, Transport, open_transport
from gateway.transport.listener import PushPort
from gateway.uplink import topics
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.port import PresenceMaker, TlsFiles, Uplink
from gateway.uplink.settings import MqttSettings, MqttVersion
from gateway.uplink.topics import Kind
from gateway.url import TransportUrl

UplinkMaker = Callable[[PresenceMaker], Uplink]
_MIB: Final = 1 << 20


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
