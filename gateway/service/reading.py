"""The reading loop of one wire: what is missing of each meter, read and stored with its evidence.

What to ask is decided by the pure plan; how, by the profile; this file carries it out, stores each
answer before it asks for the next, and lets one meter's trouble cost the others nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from gateway.dlms.plan import DAY_S
from gateway.errors import (
    GatewayError,
    NoAnswer,
    PeerRefused,
    Preempted,
    SecurityError,
    StoreError,
)
from gateway.keys import MeterKeys
from gateway.model import MeterId, ProfileKind
from gateway.poller import Poller, Priority
from gateway.service.agenda import Agenda
from gateway.service.buffer_reading import MeterSession
from gateway.service.clock import Clock
from gateway.service.identity import Identities
from gateway.service.meter_clock import MeterClock
from gateway.service.meter_state import (
    Cadences,
    MeterState,
    ReadingFigures,
    Task,
    cadence_of,
)
from gateway.service.observations import Observation, Observe, unobserved
from gateway.service.same_meter import AnotherMeter
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.service.visit import Visit
from gateway.service.wire_watch import WireWatch
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor
from gateway.transport.port import Transport
from gateway.uplink.outbox import Lane

log = structlog.get_logger()

_BACKOFF_FIRST_S: Final = 15
_BACKOFF_MAX_S: Final = 300
"""A dead meter is tried again every 5 minutes, so it costs the others almost nothing."""
_BACKOFF_HOPELESS_S: Final = 3600
"""Wrong key, refused association: waiting does not mend it, a person does."""
_SPREAD_S: Final = 20


@dataclass(kw_only=True)
class ReadingLoop:
    """Reads the meters of one wire through its poller."""

    meters: tuple[MeterAccess, ...]
    poller: Poller
    sessions: SessionMaker
    readings: StoreDoor[ReadingsStore]
    clock: Clock
    cadences: Cadences
    stored: Callable[[Lane, int], None]
    """Told of each message: its lane and sequence number."""
    associations: Mapping[MeterId, str]
    observe: Observe = unobserved
    jitter: Callable[[], float]
    """Numbers in [0, 1): meters that are due at one instant are not all asked in one second."""
    watch: WireWatch
    present: Callable[[], Awaitable[None]] | None = None
    """Awaited before each round, on a wire that only the meter can open."""
    identities: Identities | None = None
    """Who finds the profiles of meters that nobody named one for."""
    identified: Callable[[MeterAccess], None] = lambda _: None
    """Told of each meter that said what it is."""
    pause_s: int = 30
    figures: ReadingFigures = field(default_factory=ReadingFigures)
    renewed: dict[MeterId, MeterKeys] = field(default_factory=dict)
    """Keys that were changed since the start."""

    def __post_init__(self) -> None:
        self._states = {access.meter: MeterState() for access in self.meters}
        self._called = asyncio.Event()
        self._agenda = Agenda(self.readings, self.clock, self.cadences)
        self._accesses = {access.meter: access for access in self.meters}

    def rows_per_day(self) -> dict[tuple[MeterId, str], int]:
        """How many rows a day has of each meter and profile that captures by the clock."""
        return {
            (access.meter, generic.kind): DAY_S
            // cadence_of(access.profile, generic, self._states[access.meter]).period_s
            for access in self._accesses.values()
            for generic in access.profile.profile_generics
            if generic.kind in (ProfileKind.DAILY_LOAD, ProfileKind.BLOCK_LOAD)
        }

    async def run(self) -> None:
        """Read what is due, again and again, until cancelled."""
        while True:
            if self.present is not None:
                await self.present()
            await self.run_once()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wire_rests_s() or self.pause_s):
                    await self._called.wait()
            self._called.clear()

    def called(self) -> None:
        """The meters of this wire are there, just now: who was silent is asked again at once."""
        for state in self._states.values():
            if state.was_silent:
                state.not_before = 0.0
        self._called.set()

    async def run_once(self) -> None:
        """One round over the wire's meters; errors of a meter are counted, never raised."""
        for meter, state in self._states.items():
            access = self._accesses[meter]
            # Waiting goes by the loop's clock: the wall clock may be set while we wait.
            if asyncio.get_running_loop().time() < state.not_before:
                continue
            if self._wire_rests_s():
                return
            try:
                access = await self._known(access)
                tasks = await self._agenda.tasks(access, state)
                if tasks:
                    rows = self.figures.rows
                    await self._visit(access, state, tasks)
                    state.fruitless = 0 if self.figures.rows > rows else state.fruitless + 1
                state.failures, state.was_silent = 0, False
                self._wait(state, await self._agenda.next_look_s(access, state) - self._now_s())
            except Preempted:
                # What came before is stored; the rest is due in the next round.
                self.figures.preempted += 1
            except StoreError as error:
                # Our own disk, not the meter: nothing was acknowledged, it is read again.
                self.figures.failures += 1
                log.error("reading not stored", meter=access.meter, error=str(error))
            except GatewayError as error:
                self.watch.note(self.poller.absence, asyncio.get_running_loop().time())
                if isinstance(error, AnotherMeter):
                    await self.observe(access.meter, Observation.ANOTHER_METER)
                if self.poller.absence is None:
                    self._back_off(access, state, error)
                else:
                    # The wire, not the meter: it is asked as soon as the wire is there again.
                    self.figures.failures += 1
            except Exception as error:
                # A bug of ours that one meter brings out must not stop the others' reading.
                log.exception("reading failed", meter=access.meter)
                self._back_off(access, state, error)

    def _wire_rests_s(self) -> float:
        """For how long nobody is asked, as the wire itself is not there; 0 where it is."""
        return self.watch.rest_s(asyncio.get_running_loop().time())

    def _wait(self, state: MeterState, seconds: int) -> None:
        spread_s = self.jitter() * _SPREAD_S
        state.not_before = asyncio.get_running_loop().time() + max(1, seconds) + spread_s

    def _back_off(self, access: MeterAccess, state: MeterState, error: Exception) -> None:
        self.figures.failures += 1
        state.failures += 1
        state.was_silent = isinstance(error, NoAnswer)
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(state.failures - 1, 8))
        refused = isinstance(error, PeerRefused) and state.failures > 3
        if isinstance(error, SecurityError) or refused:
            wait_s = _BACKOFF_HOPELESS_S
        self._wait(state, wait_s)
        log.warning(
            "meter not read",
            meter=access.meter,
            wire=self.poller.name,
            kind=type(error).__name__,
            error=str(error),
            again_in_s=wait_s,
        )

    def _now_s(self) -> int:
        return self.clock.now_us() // 1_000_000

    async def _known(self, access: MeterAccess) -> MeterAccess:
        """The access with the meter's own profile, which is asked for once in a run."""
        if access.auto and self.identities is not None:
            identify = self.identities.identify
            access = self._accesses[access.meter] = await self.poller.submit(
                lambda transport: identify(access, access.paced(transport)), Priority.ROUTINE
            )
            self.identified(access)
        return access

    # -- one visit ---------------------------------------------------------------------------

    async def _visit(self, access: MeterAccess, state: MeterState, tasks: list[Task]) -> None:
        association = self.associations.get(access.meter, "meter_reader")
        if state.failures:
            # It may not be there at all: one call tells, and costs its neighbours little.
            access = replace(access, timing=replace(access.timing, opening_repeats=0))
        clock = MeterClock(
            access=access,
            state=state,
            readings=self.readings,
            clock=self.clock,
            cadences=self.cadences,
            figures=self.figures,
            observe=self.observe,
        )

        async def job(transport: Transport) -> None:
            present = self._present(access)
            self.watch.note(None, asyncio.get_running_loop().time())
            await transport.flush()
            opened = await self.sessions.associate(
                present, association, transport, make_room=self._make_room
            )
            try:
                self.figures.sessions += 1
                meter = MeterSession(
                    access=present,
                    state=state,
                    session=opened,
                    readings=self.readings,
                    clock=self.clock,
                    figures=self.figures,
                    stored=self.stored,
                    remember=partial(self.sessions.remember, present, association, opened),
                    observe=self.observe,
                )
                visit = Visit(meter=meter, meter_clock=clock, cadences=self.cadences)
                await visit.run(tasks)
            finally:
                await self.sessions.leave(present, association, opened)

        await self.poller.submit(job, Priority.ROUTINE)
        if await clock.may_be_set():
            await self.poller.submit(partial(self._set_clock, access, clock), Priority.ROUTINE)

    def _present(self, access: MeterAccess) -> MeterAccess:
        """Asked when its turn on the wire has come: keys may have changed while it waited."""
        return replace(access, keys=self.renewed.get(access.meter, access.keys))

    def _make_room(self) -> bool:
        return self.poller.urgent

    async def _set_clock(
        self, access: MeterAccess, clock: MeterClock, transport: Transport
    ) -> None:
        association = access.profile.time.set_with
        access = self._present(access)
        await transport.flush()
        opened = await self.sessions.associate(
            access, association, transport, make_room=self._make_room
        )
        try:
            await clock.set(opened)
        finally:
            await self.sessions.leave(access, association, opened)
