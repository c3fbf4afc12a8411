"""One visit to one meter: what was planned, read within one session and stored with its evidence.

Each answer is stored before the next is asked for, so a session that breaks loses nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from gateway.dlms.classes import SERIAL_NUMBER, ClassId, ProfileAttribute
from gateway.dlms.cosem_time import CosemDateTime, TimeRules, resolve
from gateway.dlms.limits import Limits
from gateway.dlms.plan import DAY_S, Cadence, Span
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
from gateway.errors import MeterChanged, PeerRefused, RemoteProtocolError
from gateway.model import (
    Batch,
    CaptureList,
    Evidence,
    ProfileKind,
    Row,
    TimeQuality,
)
from gateway.poller import Session
from gateway.profile import Access, FirmwareProfile, ProfileGeneric, Quirk
from gateway.service.clock import Clock
from gateway.service.sessions import MeterAccess, time_rules
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor
from gateway.uplink.message import encode_readings
from gateway.uplink.outbox import Lane

log = structlog.get_logger()

_LIVE_WITHIN_S: Final = 2 * DAY_S
"""Rows older than this are backlog: they go up behind what is new."""
_SNAPSHOT_ELEMENTS: Final = 256
"""Rows, or columns of a row, that no nameplate or set of present values comes near."""
_ROWS_TOO_MANY: Final = 4
_YOUNG_S: Final = 3600
"""Rows younger than this are asked for again and again until the meter has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadences:
    """How often each set is read, and how far back rows are wanted."""

    instantaneous_s: int = 900
    nameplate_s: int = 30 * DAY_S
    daily_days: int = 35
    block_days: int = 35
    drift_limit_s: int = 120
    verify_capture_list_s: int = DAY_S


class AnotherMeter(MeterChanged):
    """Another meter answers than the configured one: nothing it says is stored."""


@dataclass(slots=True)
class MeterState:
    """What the loop knows of one meter beyond the store; lost at a restart without harm."""

    failures: int = 0
    not_before: float = 0.0
    """By the event loop's clock."""
    asked: dict[ProfileKind, dict[int, int]] = field(default_factory=dict)
    verified_s: dict[ProfileKind, int] = field(default_factory=dict)
    last_read_s: dict[ProfileKind, int] = field(default_factory=dict)
    period_s: dict[ProfileKind, int] = field(default_factory=dict)
    """Capture periods as the meter itself states them."""
    resting: dict[ProfileKind, int] = field(default_factory=dict)
    """Buffers that could not be read, and when that was."""


@dataclass(frozen=True, slots=True)
class Task:
    """One buffer to read: whole, or the part of it in ``span``, or its newest rows.

    Those are as many as ``times``, the capture times that are hoped for.
    """

    kind: ProfileKind
    span: Span | None = None
    times: tuple[int, ...] = ()


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
class Visit:
    """Reads the tasks of one meter within one open session."""

    access: MeterAccess
    state: MeterState
    session: Session
    readings: StoreDoor[ReadingsStore]
    clock: Clock
    cadences: Cadences
    figures: ReadingFigures
    stored: Callable[[Lane, int], None]
    remember: Callable[[], Awaitable[None]]
    """Makes the meter's own counter durable."""
    _verified: dict[ProfileKind, CaptureList] = field(default_factory=dict)
    """Columns that this session has read."""

    async def run(self, tasks: list[Task]) -> None:
        """Read and store each task. Raises what ends a session, and what a store raises.

        What is wrong with one buffer alone (refused, not to be converted) costs the others
        nothing: it is told, counted, and tried again later.
        """
        quality = await self._time_quality()
        for task in tasks:
            try:
                await self._read(task, quality)
            except (PeerRefused, RemoteProtocolError) as error:
                if not self.session.usable or isinstance(error, AnotherMeter):
                    raise
                self.figures.failures += 1
                self.state.resting[task.kind] = self._now_s()
                self.state.verified_s.pop(task.kind, None)
                log.warning(
                    "buffer not read",
                    meter=self.access.meter,
                    profile=task.kind.value,
                    kind=type(error).__name__,
                    error=str(error),
                )

    def _now_s(self) -> int:
        return self.clock.now_us() // 1_000_000

    async def _time_quality(self) -> TimeQuality:
        """How far the meter's clock can be trusted now."""
        if not self.clock.synchronised():
            return TimeQuality.UNSYNCHRONISED
        rules = time_rules(self.access.profile)
        try:
            clock: CosemDateTime = await self.session.run(read_clock())
        except PeerRefused:
            return TimeQuality.UNVERIFIED
        instant = resolve(clock, rules)
        if instant.utc_s is None or instant.quality is not TimeQuality.OK:
            log.warning("meter clock is not valid", meter=self.access.meter, clock=instant.local)
            return TimeQuality.DRIFTED
        drift_s = instant.utc_s - self._now_s()
        limit_s = self.cadences.drift_limit_s
        if abs(drift_s) > limit_s:
            log.warning("meter clock has drifted", meter=self.access.meter, drift_s=drift_s)
            return TimeQuality.DRIFTED
        return TimeQuality.OK

    async def _read(self, task: Task, quality: TimeQuality) -> None:
        generic = self.access.profile.profile_generic(task.kind)
        captures = await self._capture_list(generic)
        rules = time_rules(self.access.profile)
        buffer = await self._buffer(generic, task, rules)
        now_us = self.clock.now_us()
        rows, typed = to_rows(
            buffer.rows,
            captures,
            rules,
            period_s=cadence_of(self.access.profile, generic, self.state).period_s,
            received_at_s=now_us // 1_000_000,
        )
        if task.kind is ProfileKind.NAMEPLATE:
            _check_nameplate(self.access, rows, typed)
        rows = tuple(_marked(row, quality) for row in rows)
        evidence = Evidence(now_us, buffer.server_system_title, buffer.invocation_counter)
        await self.remember()
        await self._store(task, rows, typed, evidence)
        now_s = now_us // 1_000_000
        self.state.last_read_s[task.kind] = now_s
        times: Iterable[int] = task.times
        if task.span is not None:
            cadence = cadence_of(self.access.profile, generic, self.state)
            times = cadence.times(task.span.from_s, task.span.to_s)
        # A row this young may still come: a meter's clock may be a little behind.
        settled = {time_s: now_s for time_s in times if time_s <= now_s - _YOUNG_S}
        self.state.asked.setdefault(task.kind, {}).update(settled)

    async def _store(
        self,
        task: Task,
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
            batch = Batch(self.access.meter, task.kind, captures, part, evidence)
            added = await self.readings.run(ReadingsStore.add_batch, batch, encode_readings, lane)
            self.figures.rows += added.new_rows
            self.figures.duplicates += added.duplicates
            self.figures.conflicts += added.conflicts
            if added.conflicts:
                log.error(
                    "rows differ at the same time", meter=self.access.meter, rows=added.conflicts
                )
            for sequence in added.sequences:
                self.stored(lane, sequence)

    async def _capture_list(self, generic: ProfileGeneric) -> CaptureList:
        """The columns in force, read from the meter anew where money hangs on them.

        For registers and blocks in every session, for the rest once a day: a meter that was
        given another column list or scaler would otherwise be read wrongly until then.
        """
        kind = generic.kind
        if kind in self._verified:
            return self._verified[kind]
        known = await self.readings.run(ReadingsStore.capture_list, self.access.meter, kind)
        verified_s = self.state.verified_s.get(kind)
        fresh = (
            verified_s is not None
            and 0 <= self._now_s() - verified_s < self.cadences.verify_capture_list_s
        )
        billed = kind.is_register_row or kind is ProfileKind.BLOCK_LOAD
        if known is not None and fresh and not billed:
            return known
        read = await self.session.run(read_capture_list(generic.obis, generic.scaler_profile))
        if known is not None and known.digest != read.digest:
            self.figures.capture_lists_changed += 1
            log.error(
                "capture list changed: rows from now on are kept under the new one",
                meter=self.access.meter,
                profile=kind.value,
                before=known.digest.hex(),
                after=read.digest.hex(),
            )
        if generic.cadence_s is not None:
            self.state.period_s[kind] = await self._capture_period(generic)
        self.state.verified_s[kind] = self._now_s()
        self._verified[kind] = read
        return read

    async def _capture_period(self, generic: ProfileGeneric) -> int:
        """The period the meter itself states; the profile's where it states none that can be."""
        default_s = generic.cadence_s or DAY_S
        try:
            data = await self.session.run(
                read_data(ClassId.PROFILE_GENERIC, generic.obis, ProfileAttribute.CAPTURE_PERIOD)
            )
        except PeerRefused:
            return default_s
        stated_s = data.value
        if isinstance(stated_s, int) and 0 < stated_s <= DAY_S and DAY_S % stated_s == 0:
            return stated_s
        return default_s

    async def _buffer(
        self,
        generic: ProfileGeneric,
        task: Task,
        rules: TimeRules,
    ) -> Buffer:
        trailing = Quirk.TRAILING_OCTETS in self.access.profile.quirks
        span, rows = task.span, len(task.times)
        if span is None:
            limits = Limits(array_elements=_ROWS_TOO_MANY * rows + _SNAPSHOT_ELEMENTS)
            newest = await self._newest(generic, rows) if rows else None
            return await self.session.run(
                read_buffer(generic.obis, newest, limits, ignore_trailing=trailing)
            )
        cadence = cadence_of(self.access.profile, generic, self.state)
        selected: SelectiveAccess = range_of(
            span,
            rules,
            without_deviation=Quirk.RANGE_WITHOUT_DEVIATION in self.access.profile.quirks,
        )
        rows = len(cadence.times(span.from_s, span.to_s))
        if generic.access is Access.ENTRY:
            rows = (self._now_s() - span.from_s) // cadence.period_s + 2
            selected = await self._newest(generic, rows)
        # A ring buffer may repeat rows; a meter that sends far more than asked fills no disk.
        limits = Limits(array_elements=_ROWS_TOO_MANY * rows + _SNAPSHOT_ELEMENTS)
        return await self.session.run(
            read_buffer(generic.obis, selected, limits, ignore_trailing=trailing)
        )

    async def _newest(self, generic: ProfileGeneric, rows: int) -> SelectiveAccess:
        """The newest entries of a buffer that cannot be asked by time."""
        data = await self.session.run(
            read_data(ClassId.PROFILE_GENERIC, generic.obis, ProfileAttribute.ENTRIES_IN_USE)
        )
        return newest_entries(data.value if isinstance(data.value, int) else 0, rows)


def cadence_of(profile: FirmwareProfile, generic: ProfileGeneric, state: MeterState) -> Cadence:
    """When a meter captures: as it said itself, else as its profile says."""
    return Cadence(
        period_s=state.period_s.get(generic.kind) or generic.cadence_s or DAY_S,
        zone_s=profile.time.zone_minutes * 60,
    )


def _check_nameplate(access: MeterAccess, rows: tuple[Row, ...], captures: CaptureList) -> None:
    """Raise AnotherMeter when another meter than the configured one answers here."""
    for index, column in enumerate(captures.columns):
        if column.source.obis != SERIAL_NUMBER:
            continue
        for row in rows:
            if row.values[index] != access.meter:
                raise AnotherMeter(
                    f"meter {row.values[index]!s} answers where {access.meter} is configured"
                )


def _marked(row: Row, quality: TimeQuality) -> Row:
    """A row whose own time is in order carries the doubt about the clock."""
    if row.time_quality is TimeQuality.OK and quality is not TimeQuality.OK:
        return replace(row, time_quality=quality)
    return row
