"""The whole gateway service in a simulated world: meters, wires, stores, broker and backend.

Nothing here waits: the loop's clock jumps. Meters are the emulator's, stores are real files behind
inline doors, the broker is in memory, and the backend commits what it took, as the real one does.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config import Clocks, Gateway, Meter, PushListener, Reading, Site, Stores, Wire
from gateway.config import Uplink as UplinkTable
from gateway.config.words import BackendKey
from gateway.errors import GatewayError
from gateway.keys import Keystore, MeterKeys, create_kek
from gateway.model import MeterId, ProfileKind
from gateway.profile import FirmwareProfile
from gateway.service.clock import LoopClock
from gateway.service.parts import Parts, site_profiles
from gateway.service.simulation import run_simulated
from gateway.service.supervisor import Service
from gateway.store.counters import CounterStore
from gateway.store.jobs import JobStore
from gateway.store.readings import ReadingsStore
from gateway.store.thread import InlineStore
from gateway.store.witness import Witness
from gateway.transport.listener import Admit
from gateway.uplink import topics
from gateway.uplink.command import Commit, ranges_of, sign_command
from gateway.uplink.events import EventsMessage, decode_events
from gateway.uplink.loopback import LoopbackBroker
from gateway.uplink.message import ReadingsMessage, decode_header, decode_readings
from gateway.uplink.notices import Result, decode_result
from gateway.uplink.port import PresenceMaker, Publication, Uplink
from gateway.uplink.signature import SigningKey
from gateway.uplink.topics import Kind
from gateway.url import TransportUrl, parse_url
from hil_tests.emulator.household import DAY_S
from hil_tests.joined import JoinedTransport
from tests.emulator.rig import INSTALLED_S, SERVER_TITLE, Rig, meter_scenario

GATEWAY = "gw-test"
START_S = INSTALLED_S + 45 * DAY_S + 50_000
__all__ = [
    "GATEWAY",
    "START_S",
    "Backend",
    "StationTransport",
    "World",
    "run_simulated",
    "until",
]


async def until(condition: Callable[[], bool]) -> None:
    """Return when something that real wires bring about has come about."""
    while not condition():  # noqa: ASYNC110 nobody tells; the caller bounds the time
        await asyncio.sleep(0.005)


class StationTransport(JoinedTransport):
    """A transport with emulated meters on its other end; silence takes simulated time."""

    def __init__(self, rigs: list[Rig], now_s: Callable[[], int], lost: Callable[[], bool]) -> None:
        def exchange(data: bytes) -> list[bytes]:
            for rig in rigs:
                rig.now_s = now_s()
            return [piece for rig in rigs for piece in rig.exchange(data)]

        super().__init__(exchange, lost)


@dataclass
class Backend:
    """Takes readings and commits them, signed; can be away, and can refuse."""

    broker: LoopbackBroker
    key: SigningKey
    away: bool = False
    refuse: Callable[[ReadingsMessage], str | None] = lambda _: None
    messages: dict[tuple[str, int], ReadingsMessage] = field(default_factory=dict)
    times_taken: dict[tuple[str, int], int] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    events: dict[tuple[str, int], EventsMessage] = field(default_factory=dict)
    events_at: dict[tuple[str, int], float] = field(default_factory=dict)
    """When each came first, by the loop's clock."""

    def named_events(self) -> list[tuple[str, str, int, str]]:
        """(name, phase, time, source) of every event taken, sorted."""
        return sorted(
            (one.kind.name, one.kind.phase.value, one.at_s, one.source.value)
            for message in self.events.values()
            for one in message.events
        )

    async def run(self) -> None:
        link = self.broker.uplink("backend", subscriptions=topics.from_all_gateways())
        await link.connect()
        async for received in link.messages():
            topic = topics.parse(received.topic)
            if self.away or topic.kind not in (Kind.READINGS, Kind.EVENTS, Kind.RESULT):
                continue
            header = decode_header(received.payload)
            where = (header.epoch, header.sequence)
            refused: str | None = None
            if topic.kind is Kind.RESULT:
                self.results.append(decode_result(received.payload, topic)[1])
            if topic.kind is Kind.EVENTS:
                self.events_at.setdefault(where, asyncio.get_running_loop().time())
                self.events[where] = decode_events(received.payload, topic)
            if topic.kind is Kind.READINGS:
                message = decode_readings(received.payload, topic)
                refused = self.refuse(message)
                if refused is None:
                    self.messages[where] = message
            self.times_taken[where] = self.times_taken.get(where, 0) + 1
            commit = Commit(
                issuer="backend",
                gateway=GATEWAY,
                issued_at_s=0,
                stream=header.stream,
                epoch=header.epoch,
                committed=() if refused else ranges_of([header.sequence]),
                refused=((header.sequence, refused),) if refused else (),
            )
            with suppress(GatewayError):
                await link.publish(
                    topics.plain(GATEWAY, Kind.COMMIT), sign_command(commit, self.key)
                )

    def rows(self, profile: str, meter: str = "EM1") -> list[tuple[int, str]]:
        """(capture time, digest) of every row taken, in the order of their messages."""
        return [
            (row.captured_at_s, digest.hex())
            for _, message in sorted(self.messages.items())
            if message.batch.profile.value == profile and message.batch.meter == meter
            for row, digest in zip(message.batch.rows, message.digests, strict=True)
        ]


class LoopbackPort:
    """A port that a test calls in at."""

    def __init__(self) -> None:
        self.turned_away = 0
        self._admit: Admit | None = None

    async def open(self, admit: Admit) -> None:
        self._admit = admit

    async def close(self) -> None:
        self._admit = None

    def call(self, frame: bytes, sender: str = "127.0.0.1") -> bool:
        """Octets of a new connection; whether the gateway would hear more of them."""
        assert self._admit is not None, "nobody listens"
        hear = self._admit(sender)
        return hear is not None and hear(frame)


@dataclass
class World:
    """One gateway with one wire, in a directory; run it, look at it, change it, run it again."""

    directory: Path
    faults: str = ""
    wire: str = "tcp"
    reading: Reading = field(default_factory=lambda: Reading(daily_days=3, block_days=1))
    now_s: int = START_S
    synchronised: bool = True
    keys_changed: Callable[[MeterKeys], MeterKeys] = lambda keys: keys
    serial: str = "EM1"
    server: int | None = None
    max_octets: int | None = None
    clocks: Clocks = field(default_factory=Clocks)
    push: PushListener | None = None
    profile: str = "is15959_part2_single_phase"
    profiles: Path | None = None
    """Folder of the site's own profiles."""

    def __post_init__(self) -> None:
        self.rig = Rig(meter_scenario(self.faults, wire=self.wire), now_s=self.now_s)
        self.broker = LoopbackBroker()
        self.key = SigningKey.generate("backend-1")
        self.backend = Backend(self.broker, self.key)
        self.port = LoopbackPort()
        self.loaded: dict[str, FirmwareProfile] = {}
        """In place of what is on disk, by name."""
        self.wire_lost = False
        self.randomness = random.Random(1)
        self.logs: list[str] = []

    def become(self, text: str) -> None:
        """The same meter from now on with other faults or firmware (TOML lines)."""
        keys, counters = self.rig.keys, dict(self.rig.meter.last_received)
        self.rig = Rig(meter_scenario(text, wire=self.wire), now_s=self.now_s)
        self.rig.keys = keys
        self.rig.meter.last_received.update(counters)
        self.rig.station = type(self.rig.station)(self.rig.scenario, keys, self.rig.meter)

    # -- parts ---------------------------------------------------------------------------

    def site(self) -> Site:
        url = "tcp://127.0.0.1:4059" if self.wire == "tcp" else "hdlc+tcp://127.0.0.1:4001"
        server = self.server if self.server is not None else (None if self.wire == "tcp" else 17)
        meter = Meter(serial=MeterId(self.serial), profile=self.profile, server=server)
        here = self.directory
        return Site(
            gateway=Gateway(id=GATEWAY),
            stores=Stores(
                readings=here / "readings.db",
                counters=here / "counters.db",
                witness=here / "witness.json",
                keystore=here / "keystore.json",
                kek_file=here / "kek",
            ),
            uplink=UplinkTable(
                host="127.0.0.1",
                backend_keys=(BackendKey(id="backend-1", public_key=self.key.public_octets),),
            ),
            reading=self.reading,
            clocks=self.clocks,
            push=self.push,
            profiles=self.profiles,
            wires=(Wire(name="wire", url=parse_url(url), meters=(meter,)),),
        )

    def parts(self, clock: LoopClock) -> Parts:
        site = self.site()
        stores = site.stores
        if not stores.kek_file.exists():
            create_kek(stores.kek_file)
        keystore = Keystore.open(stores.keystore, stores.kek_file)
        mine = self.rig.keys
        if MeterId(self.serial) not in keystore.meters():
            keystore.import_keys(
                MeterId(self.serial),
                self.keys_changed(
                    MeterKeys(
                        lls_password=mine.lls_password,
                        hls_secret=mine.hls_secret,
                        guek=mine.guek,
                        gak=mine.gak,
                        hls_secret_firmware=mine.hls_secret_firmware,
                        master=mine.master,
                        server_system_title=SERVER_TITLE,
                    )
                ),
            )
        witness = Witness(stores.witness)
        readings = ReadingsStore.open(
            stores.readings,
            gateway_id=GATEWAY,
            witness=witness,
            random_bytes=self.randomness.randbytes,
            now_us=clock.now_us(),
            max_octets=self.max_octets,
        )
        counters = CounterStore.open(
            stores.counters,
            gateway_id=GATEWAY,
            witness=witness,
            random_bytes=self.randomness.randbytes,
        )
        self.store = readings
        jobs = JobStore.open(stores.jobs_file)
        return Parts(
            jobs=InlineStore(jobs),
            readings=InlineStore(readings),
            counters=InlineStore(counters),
            keystore=keystore,
            profiles=site_profiles(site) | self.loaded,
            clock=clock,
            make_uplink=self._uplink,
            open_transport=self._transport,
            open_ports=lambda _: [self.port],
            random_bytes=self.randomness.randbytes,
            jitter=self.randomness.random,
        )

    def _uplink(self, presence: PresenceMaker) -> Uplink:
        return self.broker.uplink(
            GATEWAY,
            subscriptions=[topics.plain(GATEWAY, kind) for kind in (Kind.COMMIT, Kind.ACCOUNT)],
            presence=presence,
        )

    def _transport(self, url: TransportUrl) -> StationTransport:
        return StationTransport(
            [self.rig], lambda: self.clock.now_us() // 1_000_000, lambda: self.wire_lost
        )

    def tell_newest(self, epoch: str, newest: int) -> None:
        """The backend says how far it has seen an epoch."""
        commit = Commit(
            issuer="backend",
            gateway=GATEWAY,
            issued_at_s=0,
            stream="readings",
            epoch=epoch,
            newest=newest,
        )
        self.broker.deliver(
            Publication(topics.plain(GATEWAY, Kind.COMMIT), sign_command(commit, self.key))
        )

    def notes_of(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds in the closed readings.db."""
        with closing(sqlite3.connect(self.directory / "readings.db")) as database:
            return database.execute(sql).fetchall()

    # -- running -------------------------------------------------------------------------

    def run(self, seconds: float, *events: tuple[float, Callable[[], object]]) -> Service:
        """Run the service for so many simulated seconds; ``events`` happen at their time."""
        return run_simulated(self._run(seconds, events))

    async def _run(
        self, seconds: float, events: tuple[tuple[float, Callable[[], object]], ...]
    ) -> Service:
        clock = self.clock = LoopClock(self.now_s * 1_000_000, synchronised=self.synchronised)
        clock.now_us()
        parts = self.parts(clock)
        service = self.service = Service(self.site(), parts)
        backend = asyncio.create_task(self.backend.run())
        running = asyncio.create_task(service.run())
        done_s = 0.0
        for at_s, event in sorted(events, key=lambda pair: pair[0]):
            await asyncio.sleep(at_s - done_s)
            done_s = at_s
            event()
        await asyncio.sleep(seconds - done_s)
        for task in (running, backend):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.now_s = clock.now_us() // 1_000_000
        self.depth = self.store.outbox.depth()
        self.stored = {
            kind: self.store.captured_times(MeterId("EM1"), kind, 0, 1 << 40)
            for kind in ProfileKind
        }
        self.pushes = self.store.pushes.kept(MeterId("EM1"))
        self.account_of = self.store.registry.connection_of(MeterId("EM1"), self.now_s)
        self.titles = await parts.counters.run(CounterStore.client_title, 32)
        await parts.close()
        return service
