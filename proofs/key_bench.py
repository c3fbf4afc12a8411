"""One emulated meter whose secrets are rotated by gateways that are cut off on the way.

A cut ends a gateway there and then: nothing more of it reaches the disk or the wire. Steps are
before and after each access to the stores, before and after each frame leaves, and when an answer
has come; beside them a frame or an answer may get lost while the gateway lives on.
"""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from gateway.dlms.classes import SERIAL_NUMBER, VALUE, ClassId
from gateway.dlms.management.steps import Outcome
from gateway.dlms.reading import read_data
from gateway.errors import GatewayError
from gateway.keys import Keystore, MeterKeys, Role, create_kek
from gateway.model import MeterId, Secret
from gateway.poller import Poller
from gateway.profile import load_profile
from gateway.service.clock import LoopClock
from gateway.service.job_kinds import JobKind
from gateway.service.jobs import US_PER_S, JobLoop, JobRunner
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.service.simulation import run_simulated
from gateway.session import Timing
from gateway.store.counters import CounterStore
from gateway.store.jobs import JobStore, NewJob
from gateway.store.thread import Closable, InlineStore
from gateway.store.witness import Witness
from gateway.url import TransportKind
from hil_tests.emulator import keys as emulator
from hil_tests.emulator.fleet import make_meter
from hil_tests.emulator.household import DAY_S
from hil_tests.emulator.nameplate import MANUFACTURER
from hil_tests.emulator.scenario import parse_scenario
from hil_tests.emulator.station import Station
from hil_tests.joined import JoinedTransport

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Closable)

METER: Final = MeterId("KEYS1")
PROFILE: Final = load_profile("is15959_part2_single_phase")
SECRETS: Final = ("lls_password", "hls_secret", "hls_secret_firmware", "guek", "gak")
ASSOCIATIONS: Final = ("meter_reader", "utility_settings", "firmware")
VARIANTS: Final = tuple(
    (wire, fault)
    for wire in ("tcp", "hdlc+tcp")
    for fault in ("", "faults.new_keys_at_once = true", "faults.forgets_counters = true")
)
"""Meters differ in their link, in when a new key holds, and in what becomes of their counters."""
_TIMING: Final = Timing(answer_s=5, repeats=1, request_s=30, goodbye_s=2)
_PATIENCE_S: Final = 2 * DAY_S
_LOOK_S: Final = 5


class Cut(BaseException):
    """The gateway ends here."""


@dataclass
class Scissors:
    """Counts the steps of a gateway, and ends it at one of them; lets one frame get lost."""

    cut_at: int | None = None
    lose_at: int | None = None
    steps: int = 0
    frames: int = 0
    dead: bool = False

    def step(self) -> None:
        """One step; from the cut on none is taken any more."""
        if not self.dead:
            self.steps += 1
            self.dead = self.steps == self.cut_at
        if self.dead:
            raise Cut

    def loses(self) -> bool:
        """Whether this frame or answer gets lost."""
        self.frames += 1
        return self.frames == self.lose_at


class CutStore(InlineStore[S]):
    """A store's door with a step on either side of it."""

    def __init__(self, store: S, scissors: Scissors) -> None:
        super().__init__(store)
        self._scissors = scissors

    async def run(
        self, function: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call now, between two steps."""
        self._scissors.step()
        result = await super().run(function, *args, **kwargs)
        self._scissors.step()
        return result


class CutTransport(JoinedTransport):
    """A wire with a step before and after each frame, and one when an answer is there."""

    def __init__(self, exchange: Callable[[bytes], Iterable[bytes]], scissors: Scissors) -> None:
        super().__init__(exchange)
        self._scissors = scissors

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        self._scissors.step()
        if not self._scissors.loses():
            await super().send(data)
        self._scissors.step()

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        answer = await super().receive(timeout_s)
        self._scissors.step()
        if self._scissors.loses():
            return await self.receive(timeout_s)
        return answer


class WatchedKeystore(Keystore):
    """Lets the proof know each secret that was drawn, to look for it everywhere."""

    drawn: list[bytes]

    def propose(self, meter: MeterId, role: Role, secret: Secret) -> None:
        """As the keystore does."""
        self.drawn.append(secret.reveal())
        super().propose(meter, role, secret)


@dataclass
class Bench:
    """One emulated meter, and what the gateways before it have left in ``folder``."""

    folder: Path
    variant: tuple[str, str]
    seed: int
    now_us: int = 0
    wire: bytearray = field(default_factory=bytearray)
    drawn: list[bytes] = field(default_factory=list)
    attempts: int = 0

    def __post_init__(self) -> None:
        wire, fault = self.variant
        scenario = parse_scenario(
            f'seed = {self.seed}\n[[meter]]\nserial = "{METER}"\nmodel = "single_phase"\n'
            f'encoding = "integer"\nwire = "{wire}"\n{fault}\n'
        )
        entry = scenario.meters[0]
        self.now_us = (scenario.installed_s + 40 * DAY_S) * US_PER_S
        self.randomness = random.Random(self.seed)
        self.keys = _fresh_keys(self.randomness)
        self.initial = [getattr(self.keys, name).reveal() for name in SECRETS]
        self.meter = make_meter(scenario, entry, self.keys, lambda: self.now_us // US_PER_S)
        self.station = Station(entry, self.keys, self.meter)
        self.kind = TransportKind.TCP if wire == "tcp" else TransportKind.HDLC_TCP

    def exchange(self, octets: bytes) -> Iterator[bytes]:
        """What the meter answers; all octets of both sides are kept."""
        answer = self.station.receive(octets)
        self.wire += octets + answer
        if answer:
            yield answer

    def prepare(self) -> None:
        """The keystore with the meter's secrets, and the job that rotates them all."""
        create_kek(self.folder / "kek", self.randomness.randbytes)
        held = {name: getattr(self.keys, name) for name in (*SECRETS, "master")}
        self.keystore().import_keys(METER, MeterKeys(**held))
        jobs = JobStore.open(self.folder / "jobs.db")
        new = NewJob(
            meter=METER,
            kind=JobKind.ROTATE_SECRETS,
            parameters={},
            asked_by="proof",
            not_before_us=self.now_us,
            not_after_us=self.now_us + _PATIENCE_S * US_PER_S,
        )
        jobs.add(new, self.now_us)
        jobs.close()
        self.counters().close()

    def keystore(self) -> WatchedKeystore:
        """As a new process opens it."""
        opened = WatchedKeystore.open(
            self.folder / "keystore.json",
            self.folder / "kek",
            random_bytes=self.randomness.randbytes,
        )
        assert isinstance(opened, WatchedKeystore)
        opened.drawn = self.drawn
        return opened

    def counters(self) -> CounterStore:
        """As a new process opens them."""
        return CounterStore.open(
            self.folder / "counters.db",
            gateway_id="proof",
            witness=Witness(self.folder / "witness.json"),
            random_bytes=self.randomness.randbytes,
        )

    def access(self, keystore: Keystore) -> MeterAccess:
        """The meter under the keys that are held."""
        return MeterAccess(
            meter=METER,
            profile=PROFILE,
            keys=keystore.get(METER),
            kind=self.kind,
            server_lower=None if self.kind is TransportKind.TCP else 17,
            timing=_TIMING,
        )

    # -- one life of a gateway -------------------------------------------------------------------

    def live(self, scissors: Scissors) -> None:
        """Run a gateway until its jobs are closed, it is cut, or two days are over."""
        counters, jobs = self.counters(), JobStore.open(self.folder / "jobs.db")
        try:
            run_simulated(self._live(scissors, counters, jobs))
        except Cut:
            pass
        finally:
            jobs.close()
            counters.close()

    async def _live(self, scissors: Scissors, counters: CounterStore, jobs: JobStore) -> None:
        clock = LoopClock(self.now_us)
        keystore = self.keystore()

        def exchange(octets: bytes) -> Iterable[bytes]:
            self.now_us = clock.now_us()
            return list(self.exchange(octets))

        door = CutStore(jobs, scissors)
        runner = JobRunner(
            sessions=SessionMaker(CutStore(counters, scissors), clock),
            jobs=door,
            clock=clock,
            random_bytes=self.randomness.randbytes,
            keystore=keystore,
        )
        poller = Poller("wire", lambda: CutTransport(exchange, scissors))
        loop = JobLoop(
            runner=runner, wires={METER: (poller, self.access(keystore))}, jobs=door, clock=clock
        )
        runner.renewed = loop.renew
        await _first_of(poller.run(), loop.run(), self._watch(jobs))
        self.now_us = clock.now_us()

    @staticmethod
    async def _watch(jobs: JobStore) -> None:
        """Until no job is open, or the patience is over."""
        for _ in range(_PATIENCE_S // _LOOK_S):
            await asyncio.sleep(_LOOK_S)
            if not jobs.listed():
                return

    # -- what is left ----------------------------------------------------------------------------

    def reachable(self) -> bool:
        """Whether the meter opens each association under the keys that are held."""
        return run_simulated(self._reachable())

    async def _reachable(self) -> bool:
        counters = self.counters()
        sessions = SessionMaker(InlineStore(counters), LoopClock(self.now_us))
        access, transport = self.access(self.keystore()), JoinedTransport(self.exchange)
        try:
            for association in ASSOCIATIONS:
                opened = await sessions.associate(access, association, transport)
                await opened.run(read_data(ClassId.DATA, SERIAL_NUMBER, VALUE))
                await sessions.leave(access, association, opened)
        except GatewayError:
            return False
        finally:
            counters.close()
        return True

    def judge(self, logs: str) -> dict[str, int]:
        """What must be zero after a run, and how often the job was begun."""
        keystore = self.keystore()
        held = keystore.get(METER)
        store = JobStore.open(self.folder / "jobs.db")
        jobs = store.listed(all_jobs=True)
        self.attempts = sum(step.step == "begun" for job in jobs for step in store.steps(job.id))
        store.close()
        return {
            "unreachable": int(not self.reachable()),
            "in_doubt": len(keystore.pending()),
            "not_done": sum(job.outcome is not Outcome.DONE for job in jobs),
            "not_changed": sum(
                held.require(Role(name)).reveal() in self.initial
                or held.require(Role(name)) != getattr(self.keys, name)
                for name in SECRETS
            ),
            "counters_refused": self.meter.counters_refused,
            "leaks": len(self._leaks(logs)),
        }

    def _leaks(self, logs: str) -> set[str]:
        """Places where a secret stands: files, logs, and (but for the LLS password) the wire."""
        places = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        places["logs"] = logs.encode()
        found = set()
        for secret in {*self.initial, *self.drawn, self.keys.master.reveal()}:
            for form in forms(secret):
                found |= {name for name, octets in places.items() if form in octets}
            is_password = secret.isascii() and secret.isalnum()
            if not is_password and secret in self.wire:
                found.add("wire")
        return found


async def _first_of(*runs: Coroutine[Any, Any, None]) -> None:
    """Until the first ends; the others are cancelled, and nothing of them is left."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one


def forms(secret: bytes) -> Iterator[bytes]:
    """A secret as it could stand somewhere: raw, in hexadecimal, in base64 at any offset."""
    yield secret
    for text in (secret.hex(), secret.hex(" ")):
        yield text.encode()
        yield text.upper().encode()
    for offset in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            # Characters that neighbours take part in are left out.
            encoded = encode(bytes(offset) + secret).rstrip(b"=")
            yield encoded[(offset * 8 + 5) // 6 : len(encoded) - 1]


def _fresh_keys(randomness: random.Random) -> emulator.MeterKeys:
    drawn = {name: Secret(randomness.randbytes(16)) for name in (*SECRETS[1:], "master")}
    return emulator.MeterKeys(
        lls_password=Secret(randomness.randbytes(8).hex().encode()),
        hls_secret=drawn["hls_secret"],
        hls_secret_firmware=drawn["hls_secret_firmware"],
        guek=drawn["guek"],
        gak=drawn["gak"],
        master=drawn["master"],
        server_title=emulator.server_title(MANUFACTURER, METER),
        counters=count(1),
    )
