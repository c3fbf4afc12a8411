"""The reading loop of one wire: what is missing of each meter, read and stored with its evidence.

What to ask is decided by the pure plan; how, by the profile; this file carries it out, stores each
answer before it asks for the next, and lets one meter's trouble cost the others nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from gateway.dlms.classes import ClassId, ProfileAttribute
from gateway.dlms.cosem_time import CosemDateTime, TimeRules, resolve
from gateway.dlms.limits import Limits
from gateway.dlms.plan import DAY_S, Cadence, Span, missing
from gateway.dlms.reading import (
    Buffer,
    newest_entries,
    range_of,
    read_buffer,
    read_capture_list,
    read_clock,
    read_data,
)
from gateway.dlms.selective_access import SelectiveAccess
from gateway.dlms.values import to_rows
from gateway.errors import GatewayError, PeerRefused, StoreError
from gateway.model import (
    Batch,
    CaptureList,
    Evidence,
    MeterId,
    ProfileKind,
    Row,
    TimeQuality,
)
from gateway.poller import Poller, Priority, Session
from gateway.profile import Access, FirmwareProfile, ProfileGeneric, Quirk
from gateway.service.clock import Clock
from gateway.service.sessions import MeterAccess, SessionMaker, time_rules
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor
from gateway.transport.port import Transport
from gateway.uplink.message import encode_readings
from gateway.uplink.outbox import Lane

log = structlog.get_logger()

_BACKOFF_FIRST_S: Final = 15
_BACKOFF_MAX_S: Final = 300
"""A dead meter is tried again every 5 minutes, so it costs the others almost nothing."""
_BACKOFF_HOPELESS_S: Final = 3600
"""Wrong key, refused association: waiting does not mend it, a person does."""
_LIVE_WITHIN_S: Final = 2 * DAY_S
"""Rows older than this are backlog: they go up behind what is new."""
_ASKED_AGAIN_S: Final = DAY_S
"""A meter that did not have a row is asked for it again a day later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadences:
    """How often each set is read, and how far back rows are wanted."""

    instantaneous_s: int = 900
    nameplate_s: int = 30 * DAY_S
    daily_days: int = 35
    block_days: int = 35
    drift_limit_s: int = 120
    verify_capture_list_s: int = DAY_S


@dataclass(slots=True)
class _MeterState:
    """What the loop knows of one meter beyond the store; lost at a restart without harm."""

    failures: int = 0
    not_before_s: int = 0
    asked: dict[ProfileKind, dict[int, int]] = field(default_factory=dict)
    verified_s: dict[ProfileKind, int] = field(default_factory=dict)
    last_read_s: dict[ProfileKind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Task:
    kind: ProfileKind
    span: Span | None = None


@dataclass(slots=True)
class ReadingFigures:
    """Counts by what happened, for health and metrics."""

    sessions: int = 0
    failures: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    capture_lists_changed: int = 0


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
    pause_s: int = 30
    figures: ReadingFigures = field(default_factory=ReadingFigures)

    def __post_init__(self) -> None:
        self._states = {access.meter: _MeterState() for access in self.meters}

    async def run(self) -> None:
        """Read what is due, again and again, until cancelled."""
        while True:
            await self.run_once()
            await asyncio.sleep(self.pause_s)

    async def run_once(self) -> None:
        """One round over the wire's meters; errors of a meter are counted, never raised."""
        for access in self.meters:
            state = self._states[access.meter]
            now_s = self._now_s()
            if now_s < state.not_before_s:
                continue
            try:
                tasks = await self._due(access, state)
                if tasks:
                    await self._visit(access, state, tasks)
                state.failures = 0
            except StoreError as error:
                # Our own disk, not the meter: nothing was acknowledged, it is read again.
                self.figures.failures += 1
                log.error("reading not stored", meter=access.meter, error=str(error))
            except GatewayError as error:
                self._back_off(access, state, error)

    def _back_off(self, access: MeterAccess, state: _MeterState, error: GatewayError) -> None:
        self.figures.failures += 1
        state.failures += 1
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(state.failures - 1, 8))
        hopeless = error.exit_code == 4 or (isinstance(error, PeerRefused) and state.failures > 3)
        if hopeless:
            wait_s = _BACKOFF_HOPELESS_S
        state.not_before_s = self._now_s() + wait_s
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

    # -- what is due -------------------------------------------------------------------------

    async def _due(self, access: MeterAccess, state: _MeterState) -> list[_Task]:
        """Daily registers first, then today's blocks and present values, then the backlog."""
        cadences = self.cadences
        daily = await self._missing(
            access, state, ProfileKind.DAILY_LOAD, cadences.daily_days * DAY_S
        )
        blocks = await self._missing(
            access, state, ProfileKind.BLOCK_LOAD, cadences.block_days * DAY_S
        )
        tasks = [_Task(ProfileKind.DAILY_LOAD, span) for span in daily]
        tasks += [_Task(ProfileKind.BLOCK_LOAD, span) for span in blocks[:1]]
        for kind, period_s in (
            (ProfileKind.INSTANTANEOUS, cadences.instantaneous_s),
            (ProfileKind.NAMEPLATE, cadences.nameplate_s),
        ):
            if await self._snapshot_due(access, state, kind, period_s):
                tasks.append(_Task(kind))
        return tasks + [_Task(ProfileKind.BLOCK_LOAD, span) for span in blocks[1:]]

    async def _snapshot_due(
        self, access: MeterAccess, state: _MeterState, kind: ProfileKind, period_s: int
    ) -> bool:
        if not _has(access.profile, kind):
            return False
        last_s = state.last_read_s.get(kind)
        if last_s is None:
            row = await self.readings.run(ReadingsStore.latest_row, access.meter, kind)
            last_s = None if row is None else row.received_at_us // 1_000_000
        return last_s is None or self._now_s() - last_s >= period_s

    async def _missing(
        self, access: MeterAccess, state: _MeterState, kind: ProfileKind, horizon_s: int
    ) -> list[Span]:
        if not _has(access.profile, kind):
            return []
        generic = access.profile.profile_generic(kind)
        now_s = self._now_s()
        cadence = _cadence(access.profile, generic)
        captured = await self.readings.run(
            ReadingsStore.captured_times, access.meter, kind, now_s - horizon_s - DAY_S, now_s
        )
        trimmed = await self.readings.run(ReadingsStore.trimmed_through, access.meter, kind)
        if trimmed is not None:
            horizon_s = max(0, min(horizon_s, now_s - trimmed - 1))
        asked = state.asked.setdefault(kind, {})
        for time_s in [t for t, at_s in asked.items() if now_s - at_s >= _ASKED_AGAIN_S]:
            del asked[time_s]
        return missing(
            cadence=cadence,
            horizon_s=horizon_s,
            now_s=now_s,
            captured=frozenset(captured),
            asked=asked.keys(),
        )

    # -- one visit ---------------------------------------------------------------------------

    async def _visit(self, access: MeterAccess, state: _MeterState, tasks: list[_Task]) -> None:
        association = self.associations.get(access.meter, "meter_reader")

        async def job(transport: Transport) -> None:
            await transport.flush()
            opened = await self.sessions.prepare(access, association, transport)
            try:
                await opened.open()
                self.figures.sessions += 1
                quality = await self._time_quality(access, opened)
                for task in tasks:
                    await self._read(access, state, opened, task, quality)
            finally:
                await opened.close()
                await self.sessions.note(access, association, opened)

        await self.poller.submit(job, Priority.ROUTINE)

    async def _time_quality(self, access: MeterAccess, opened: Session) -> TimeQuality:
        """How far the meter's clock can be trusted now."""
        if not self.clock.synchronised():
            return TimeQuality.UNSYNCHRONISED
        rules = time_rules(access.profile)
        try:
            clock: CosemDateTime = await opened.run(read_clock())
        except PeerRefused:
            return TimeQuality.OK
        instant = resolve(clock, rules)
        if instant.utc_s is None or instant.quality is not TimeQuality.OK:
            log.warning("meter clock is not valid", meter=access.meter, clock=instant.local)
            return TimeQuality.DRIFTED
        drift_s = instant.utc_s - self._now_s()
        limit_s = self.cadences.drift_limit_s
        if abs(drift_s) > limit_s:
            log.warning("meter clock has drifted", meter=access.meter, drift_s=drift_s)
            return TimeQuality.DRIFTED
        return TimeQuality.OK

    async def _read(
        self,
        access: MeterAccess,
        state: _MeterState,
        opened: Session,
        task: _Task,
        quality: TimeQuality,
    ) -> None:
        generic = access.profile.profile_generic(task.kind)
        captures = await self._capture_list(access, state, opened, generic)
        rules = time_rules(access.profile)
        buffer = await self._buffer(access, opened, generic, task.span, rules)
        now_us = self.clock.now_us()
        rows, typed = to_rows(
            buffer.rows,
            captures,
            rules,
            period_s=generic.cadence_s or 0,
            received_at_s=now_us // 1_000_000,
        )
        rows = tuple(_marked(row, quality) for row in rows)
        evidence = Evidence(now_us, buffer.server_system_title, buffer.invocation_counter)
        await self._store(access, task, rows, typed, evidence)
        now_s = now_us // 1_000_000
        state.last_read_s[task.kind] = now_s
        if task.span is not None:
            cadence = _cadence(access.profile, generic)
            times = cadence.times(task.span.from_s, task.span.to_s)
            state.asked.setdefault(task.kind, {}).update(dict.fromkeys(times, now_s))

    async def _store(
        self,
        access: MeterAccess,
        task: _Task,
        rows: tuple[Row, ...],
        captures: CaptureList,
        evidence: Evidence,
    ) -> None:
        old_s = self._now_s() - _LIVE_WITHIN_S
        for lane, part in (
            (Lane.LIVE, tuple(row for row in rows if row.captured_at_s >= old_s)),
            (Lane.BACKLOG, tuple(row for row in rows if row.captured_at_s < old_s)),
        ):
            if not part:
                continue
            if task.kind.is_register_row:
                # What bills are made of goes first, however old.
                lane = Lane.LIVE
            batch = Batch(access.meter, task.kind, captures, part, evidence)
            added = await self.readings.run(ReadingsStore.add_batch, batch, encode_readings, lane)
            self.figures.rows += added.new_rows
            self.figures.duplicates += added.duplicates
            self.figures.conflicts += added.conflicts
            if added.conflicts:
                log.error("rows differ at the same time", meter=access.meter, rows=added.conflicts)
            for sequence in added.sequences:
                self.stored(lane, sequence)

    async def _capture_list(
        self,
        access: MeterAccess,
        state: _MeterState,
        opened: Session,
        generic: ProfileGeneric,
    ) -> CaptureList:
        """The columns in force, read from the meter anew where money hangs on them.

        For registers in every session, for the rest once a day: a meter that was given another
        column list or scaler would otherwise be read wrongly until somebody noticed.
        """
        kind = generic.kind
        known = await self.readings.run(ReadingsStore.capture_list, access.meter, kind)
        verified_s = state.verified_s.get(kind)
        fresh = (
            verified_s is not None
            and self._now_s() - verified_s < self.cadences.verify_capture_list_s
        )
        if known is not None and fresh and not kind.is_register_row:
            return known
        read = await opened.run(read_capture_list(generic.obis, generic.scaler_profile))
        if known is not None and known.digest != read.digest:
            self.figures.capture_lists_changed += 1
            log.error(
                "capture list changed: rows from now on are kept under the new one",
                meter=access.meter,
                profile=kind.value,
                before=known.digest.hex(),
                after=read.digest.hex(),
            )
        state.verified_s[kind] = self._now_s()
        return read

    async def _buffer(
        self,
        access: MeterAccess,
        opened: Session,
        generic: ProfileGeneric,
        span: Span | None,
        rules: TimeRules,
    ) -> Buffer:
        trailing = Quirk.TRAILING_OCTETS in access.profile.quirks
        if span is None:
            return await opened.run(
                read_buffer(generic.obis, None, Limits(), ignore_trailing=trailing)
            )
        selected: SelectiveAccess = range_of(
            span, rules, without_deviation=Quirk.RANGE_WITHOUT_DEVIATION in access.profile.quirks
        )
        if generic.access is Access.ENTRY:
            selected = await self._entries(opened, generic, span)
        return await opened.run(
            read_buffer(generic.obis, selected, Limits(), ignore_trailing=trailing)
        )

    async def _entries(
        self, opened: Session, generic: ProfileGeneric, span: Span
    ) -> SelectiveAccess:
        """The newest entries, enough of them to reach back to the span's start."""
        data = await opened.run(
            read_data(ClassId.PROFILE_GENERIC, generic.obis, ProfileAttribute.ENTRIES_IN_USE)
        )
        in_use = data.value if isinstance(data.value, int) else 0
        period_s = generic.cadence_s or DAY_S
        return newest_entries(in_use, (self._now_s() - span.from_s) // period_s + 2)


def _has(profile: FirmwareProfile, kind: ProfileKind) -> bool:
    return any(generic.kind is kind for generic in profile.profile_generics)


def _cadence(profile: FirmwareProfile, generic: ProfileGeneric) -> Cadence:
    return Cadence(period_s=generic.cadence_s or DAY_S, zone_s=profile.time.zone_minutes * 60)


def _marked(row: Row, quality: TimeQuality) -> Row:
    """A row whose own time is in order carries the doubt about the clock."""
    if row.time_quality is TimeQuality.OK and quality is not TimeQuality.OK:
        return replace(row, time_quality=quality)
    return row
