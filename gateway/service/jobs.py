"""Management jobs carried out: one attempt after another, each step durable before the next.

An attempt that breaks off is begun anew with what was noted: the job then reads what the meter
has, and goes on or ends. Rests between attempts grow, so a meter that does not answer, or a key
that it does not know, is not stormed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from gateway.dlms.management.steps import (
    History,
    Job,
    Mark,
    Outcome,
    Pause,
    PutOff,
    Result,
    is_open,
    until_halt,
)
from gateway.errors import (
    GatewayError,
    NoAnswer,
    PeerRefused,
    Preempted,
    RemoteProtocolError,
    SecurityError,
    StoreError,
    UsageError,
)
from gateway.keys import Keystore
from gateway.model import MeterId
from gateway.poller import Poller
from gateway.service.clock import Clock
from gateway.service.job_kinds import (
    JobKind,
    plan_job,
    priority_of,
    read_kind,
    rotated_secrets,
)
from gateway.service.rotation import Rotation
from gateway.service.same_meter import AnotherMeter, check_serial
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.session import Session
from gateway.store.jobs import JobRecord, JobStore, NewJob
from gateway.store.thread import StoreDoor
from gateway.transport.port import Transport

log = structlog.get_logger()

US_PER_S: Final = 1_000_000
_FIRST_REST_S: Final = 60
_LONGEST_REST_S: Final = 3600
_LOOK_S: Final = 30
"""Other processes put jobs in, so the file is looked at; it costs one short query."""
MAY_BEGIN_WITHIN_S: Final = 86_400
"""A job that could not begin within this is cancelled, unless it was asked otherwise."""
SETTLE: Final[Mapping[str, str]] = {"secrets": ""}
"""Parameters of a rotation that only settles what another one left."""


@dataclass(kw_only=True)
class JobRunner:
    """Carries out attempts; ``keystore`` is needed for secrets only.

    ``renewed`` is told of a meter's keys that hold from now on.
    """

    sessions: SessionMaker
    jobs: StoreDoor[JobStore]
    clock: Clock
    random_bytes: Callable[[int], bytes]
    keystore: Keystore | None = None
    renewed: Callable[[MeterAccess], None] = lambda _: None
    on_fault: Callable[[GatewayError], None] = lambda _: None
    """Told of what broke an attempt off."""
    checks_serial: bool = True
    """Refuse a meter whose serial number is not the job's."""

    async def attempt(
        self,
        record: JobRecord,
        access: MeterAccess,
        transport: Transport,
        *,
        make_room: Callable[[], bool] = bool,
    ) -> Result | PutOff:
        """One attempt; its end is in the audit when this returns. Raises StoreError only.

        ``make_room`` as in ``Session``; a change of secrets is not left half way.
        """
        job = record.id
        await self.jobs.run(JobStore.begin, job, self.clock.now_us())
        history = await self.jobs.run(JobStore.marks, job)
        try:
            ended = await self._ended(record, access, transport, history, make_room)
        except Preempted as error:
            ended = PutOff(0, str(error))
        except (UsageError, AnotherMeter) as error:
            ended = self._closed_by(error, record, await self.jobs.run(JobStore.marks, job))
        except (NoAnswer, PeerRefused, SecurityError, RemoteProtocolError) as error:
            self.on_fault(error)
            ended = PutOff(0, f"{type(error).__name__}: {error}", fault=True)
        return await self._end(record, ended)

    async def missed(self, record: JobRecord, reason: str) -> None:
        """An attempt did not come to its meter at all: the job rests as after a fault."""
        await self._end(record, PutOff(0, reason, fault=True))

    async def _end(self, record: JobRecord, ended: Result | PutOff) -> Result | PutOff:
        job = record.id
        if isinstance(ended, PutOff) and ended.fault:
            ended = await self._rest(record, ended)
        if isinstance(ended, PutOff):
            await self.jobs.run(JobStore.put_off, job, ended, self.clock.now_us())
        else:
            await self.jobs.run(JobStore.end, job, ended, self.clock.now_us())
        log.info("job", job=job, meter=record.meter, kind=record.kind, ended=str(ended))
        return ended

    def _closed_by(
        self, error: GatewayError, record: JobRecord, history: History
    ) -> Result | PutOff:
        if self._is_unsettled(record.meter):
            return PutOff(0, str(error), fault=True)
        doubt = is_open(history)
        return Result(Outcome.UNKNOWN if doubt else Outcome.REFUSED, str(error))

    async def _rest(self, record: JobRecord, ended: PutOff) -> Result | PutOff:
        """How long a faulty job rests; its end where it has no time left."""
        faults = await self.jobs.run(JobStore.faults, record.id)
        rest_s = min(_LONGEST_REST_S, _FIRST_REST_S * 2 ** min(faults, 6))
        is_late = self.clock.now_us() + rest_s * US_PER_S > record.not_after_us
        # A secret that the meter may have is asked for as long as it takes.
        if is_late and not self._is_unsettled(record.meter):
            return await self._given_up(record, f"no time left; last: {ended.reason}")
        return PutOff(rest_s, ended.reason, fault=True)

    async def give_up(self, record: JobRecord, reason: str) -> Result:
        """Close a job that nobody will attempt again."""
        ended = await self._given_up(record, reason)
        await self.jobs.run(JobStore.end, record.id, ended, self.clock.now_us())
        return ended

    async def _given_up(self, record: JobRecord, reason: str) -> Result:
        doubt = is_open(await self.jobs.run(JobStore.marks, record.id))
        return Result(Outcome.UNKNOWN if doubt else Outcome.CANCELLED, reason)

    def _is_unsettled(self, meter: MeterId) -> bool:
        return self.keystore is not None and self.keystore.proposed(meter) is not None

    async def _ended(
        self,
        record: JobRecord,
        access: MeterAccess,
        transport: Transport,
        history: History,
        make_room: Callable[[], bool],
    ) -> Result | PutOff:
        kind = read_kind(record.kind)
        unsettled = self._is_unsettled(record.meter)
        if self.clock.now_us() > record.not_after_us and not history and not unsettled:
            return Result(Outcome.CANCELLED, "it could not begin in time")
        if kind is JobKind.ROTATE_SECRETS:
            return await self._rotate(record, access, transport, history)
        now_s = self.clock.now_us() // US_PER_S
        plan = plan_job(kind, record.parameters, access.profile, now_s)
        await transport.flush()
        opened = await self.sessions.associate(
            access, plan.association, transport, make_room=make_room
        )
        try:
            return await self._run(record, plan.make(history), opened)
        finally:
            await self.sessions.leave(access, plan.association, opened)

    async def _run(self, record: JobRecord, job: Job, opened: Session) -> Result | PutOff:
        try:
            await self._check_serial(record, opened)
            while True:
                step = await opened.run(until_halt(job))
                match step:
                    case Mark():
                        await self._note(record, step)
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case _:
                        return step
        finally:
            job.close()

    async def _note(self, record: JobRecord, mark: Mark) -> None:
        await self.jobs.run(JobStore.mark, record.id, mark, self.clock.now_us())

    async def _check_serial(self, record: JobRecord, opened: Session) -> None:
        """Raise AnotherMeter where another one answers than the job is for."""
        if not self.checks_serial:
            return
        # Where it is not shown to this association its keys proved who it is.
        await check_serial(opened, record.meter, where=f"the job is for {record.meter}")

    async def _rotate(
        self, record: JobRecord, access: MeterAccess, transport: Transport, history: History
    ) -> Result | PutOff:
        keystore, management = self.keystore, access.profile.management
        if keystore is None or management is None:
            raise UsageError("secrets are changed by a site's service, which has their keystore")
        rotation = Rotation(
            access=access,
            management=management,
            keystore=keystore,
            sessions=self.sessions,
            transport=transport,
            random_bytes=self.random_bytes,
            check=partial(self._check_serial, record),
            note=partial(self._note, record),
            stored=lambda change: self.jobs.run(lambda _: change()),
            renewed=self.renewed,
        )
        if record.parameters == SETTLE:
            return await rotation.settle()
        return await rotation.run(rotated_secrets(access.profile, record.parameters), history)


@dataclass(kw_only=True)
class JobLoop:
    """Begins what is due, each on its meter's wire, in the order of the wire's priorities."""

    runner: JobRunner
    wires: dict[MeterId, tuple[Poller, MeterAccess]]
    jobs: StoreDoor[JobStore]
    clock: Clock
    _running: set[MeterId] = field(default_factory=set)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    """An attempt came to its end: perhaps the next one of its meter is due."""

    async def run(self) -> None:
        """Until cancelled."""
        await self.take_up()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._ended.clear()
                due = await self.jobs.run(JobStore.due, self.wires, self.clock.now_us())
                for record in due:
                    if record.meter not in self._running:
                        self._running.add(record.meter)
                        tasks.create_task(self._attempt(record), name=f"job.{record.id}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _LOOK_S)

    async def take_up(self) -> None:
        """A secret that is in doubt has a job that settles it, whatever became of the first one."""
        keystore = self.runner.keystore
        now_us = self.clock.now_us()
        for meter in keystore.pending() if keystore is not None else ():
            if meter not in self.wires:
                continue
            open_jobs = await self.jobs.run(partial(JobStore.listed, meter=meter))
            if any(one.kind == JobKind.ROTATE_SECRETS for one in open_jobs):
                continue
            job = NewJob(
                meter=meter,
                kind=JobKind.ROTATE_SECRETS,
                parameters=SETTLE,
                asked_by="service",
                not_before_us=now_us,
                not_after_us=now_us + MAY_BEGIN_WITHIN_S * US_PER_S,
            )
            await self.jobs.run(JobStore.add, job, now_us)

    def identified(self, access: MeterAccess) -> None:
        """A meter said what it is: jobs go by its own profile from now on."""
        poller, before = self.wires[access.meter]
        known = replace(before, profile=access.profile, auto=False)
        self.wires[access.meter] = (poller, known)

    def renew(self, access: MeterAccess) -> None:
        """Keys of a meter that hold from now on."""
        poller, _ = self.wires[access.meter]
        self.wires[access.meter] = (poller, access)

    async def _attempt(self, record: JobRecord) -> None:
        poller, _ = self.wires[record.meter]

        async def job(transport: Transport) -> Result | PutOff:
            # Looked up when its turn has come: keys may have changed while it waited.
            _, access = self.wires[record.meter]
            if access.auto:
                raise UsageError("the meter has not said yet what it is")
            return await self.runner.attempt(
                record, access, transport, make_room=lambda: poller.urgent
            )

        try:
            await poller.submit(job, priority_of(record.kind))
        except StoreError as error:
            # Our own disk: what was noted is all that holds, and the job is due again.
            log.error("job not kept", job=record.id, error=str(error))
        except GatewayError as error:
            await self.runner.missed(record, f"{type(error).__name__}: {error}")
        except Exception as error:
            log.exception("job failed", job=record.id)
            await self.runner.missed(record, f"{type(error).__name__}: see the log")
        finally:
            self._running.discard(record.meter)
            self._ended.set()
