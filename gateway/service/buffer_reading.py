"""One profile buffer of one meter: asked for by range or by entry, each portion stored at once.

A session that breaks loses nothing of what came before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from gateway.dlms.classes import SERIAL_NUMBER, ClassId, ProfileAttribute
from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.limits import Limits
from gateway.dlms.plan import DAY_S, Cadence, Span, spans
from gateway.dlms.reading import Buffer, range_of, read_buffer, read_data
from gateway.dlms.selective_access import EntryDescriptor, SelectiveAccess
from gateway.dlms.values import to_rows
from gateway.errors import LinkLost, NoAnswer, PeerRefused
from gateway.model import Batch, CaptureList, Evidence, ProfileKind, Row, TimeQuality
from gateway.profile import Access, ProfileGeneric, Quirk
from gateway.service.clock import Clock
from gateway.service.core_settings import stamped_before_s, time_rules
from gateway.service.events import event_messages, new_entries
from gateway.service.meter_state import (
    FEWEST_ROWS,
    BufferState,
    MeterState,
    ReadingFigures,
    Task,
    cadence_of,
)
from gateway.service.observations import Observation, Observe
from gateway.service.same_meter import AnotherMeter
from gateway.service.sessions import MeterAccess
from gateway.session import Session
from gateway.store.notes import GapReason
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
_TOO_MUCH: Final = frozenset(
    {
        "data-block-unavailable",
        "long-get-aborted",
        "no-long-get-in-progress",
        "other-reason",
    }
)
"""Data-access-results by which meters refuse an answer that is too long for them."""
_BUSY: Final = "temporary-failure"
"""By this one they refuse anything, for now."""


@dataclass(kw_only=True)
class MeterSession:
    """An open session with a meter, and where what it says belongs."""

    access: MeterAccess
    state: MeterState
    session: Session
    readings: StoreDoor[ReadingsStore]
    clock: Clock
    figures: ReadingFigures
    stored: Callable[[Lane, int], None]
    """Told of each message: its lane and sequence number."""
    remember: Callable[[], Awaitable[None]]
    """Makes the meter's own counter durable."""
    observe: Observe

    def now_s(self) -> int:
        """UTC seconds."""
        return self.clock.now_us() // 1_000_000


@dataclass(kw_only=True)
class BufferReading:
    """Reads one buffer within one session, in one portion or several."""

    meter: MeterSession
    generic: ProfileGeneric
    captures: CaptureList
    quality: TimeQuality
    """How far the meter's clock can be trusted now."""
    _seen: set[int] = field(default_factory=set)
    """Capture times that came."""

    @property
    def _state(self) -> BufferState:
        return self.meter.state.of(self.generic.label)

    @property
    def _rules(self) -> TimeRules:
        return time_rules(self.meter.access.profile)

    @property
    def _cadence(self) -> Cadence:
        return cadence_of(self.meter.access.profile, self.generic, self.meter.state)

    @property
    def _stamped_before_s(self) -> int:
        return stamped_before_s(self.generic, self._cadence.period_s)

    async def run(self, task: Task) -> None:
        """Read what is wanted and store it; then judge what was wanted and did not come."""
        if task.log:
            await self._log()
            return
        wanted: Sequence[int] = task.times
        by_range = (self._state.access or self.generic.access) is Access.RANGE
        if task.span is not None:
            wanted = self._cadence.times(task.span.from_s, task.span.to_s)
        if task.span is not None and by_range:
            by_range = await self._by_range(wanted)
        if not wanted:
            await self._take(None, 0)
        elif task.span is None or not by_range:
            await self._by_entry(wanted)
        await self._settle(wanted)

    async def _by_range(self, wanted: Sequence[int]) -> bool:
        """Rows by their time, as many at once as the meter can give; False: it takes no ranges.

        Whoever refuses many rows is asked for fewer; whoever refuses a few is asked by entry from
        then on, if it does that.
        """
        cadence = self._cadence
        deviation = Quirk.RANGE_WITHOUT_DEVIATION not in self.meter.access.profile.quirks
        waiting = spans(wanted, cadence, slice_rows=self._state.slice_rows)
        while waiting:
            span = waiting.pop(0)
            rows = len(cadence.times(span.from_s, span.to_s))
            selected = range_of(
                span.earlier(self._stamped_before_s),
                self._rules,
                without_deviation=not deviation,
            )
            try:
                await self._take(selected, rows)
            except PeerRefused as refusal:
                if not self.meter.session.usable:
                    raise
                if rows > FEWEST_ROWS and refusal.reason in _TOO_MUCH:
                    self._state.broke_off(rows, refused=True)
                    times = cadence.times(span.from_s, span.to_s)
                    waiting[:0] = spans(times, cadence, slice_rows=self._state.slice_rows)
                    continue
                if self._seen or refusal.reason == _BUSY or not await self._takes_entries():
                    raise
                log.warning(
                    "ranges are refused: rows are asked for by entry",
                    meter=self.meter.access.meter,
                    profile=self.generic.label,
                    reason=refusal.reason,
                )
                self._state.access = Access.ENTRY
                return False
        return True

    async def _takes_entries(self) -> bool:
        first = EntryDescriptor(1, 1)
        limits = Limits(array_elements=_SNAPSHOT_ELEMENTS)
        try:
            await self.meter.session.run(
                read_buffer(self.generic.obis, first, limits, ignore_trailing=True)
            )
        except PeerRefused:
            return False
        return True

    async def _by_entry(self, wanted: Sequence[int]) -> None:
        """The newest rows, back to the oldest that is wanted.

        Entries mostly stand in the order of time, so that one older than all that is wanted ends
        the search; in a ring that begins anywhere it goes on to the first entry.
        """
        last = await self._entries_in_use()
        rows = len(wanted)
        if self.generic.cadence_s is not None:
            meters_now_s = self.meter.now_s() + self.meter.state.drift_s
            rows = (meters_now_s - wanted[0]) // self._cadence.period_s + 2
        last_entry_s: int | None = None
        while last >= 1:
            first = max(1, last - min(rows, self._state.slice_rows) + 1)
            times = await self._take(EntryDescriptor(first, last), last - first + 1)
            if first == 1 or self._seen.issuperset(wanted):
                return
            if times:
                last_entry_s = times[-1] if last_entry_s is None else last_entry_s
                done = times[0] <= wanted[0] and times == sorted(times)
                if done and not await self._is_ring(last_entry_s):
                    return
            last, rows = first - 1, self._state.slice_rows

    async def _entries_in_use(self) -> int:
        profile, attribute = self.generic.obis, ProfileAttribute.ENTRIES_IN_USE
        data = await self.meter.session.run(read_data(ClassId.PROFILE_GENERIC, profile, attribute))
        return data.value if isinstance(data.value, int) else 0

    async def _is_ring(self, last_entry_s: int) -> bool:
        """Whether the first entry is newer than the last one."""
        return any(time_s > last_entry_s for time_s in await self._take(EntryDescriptor(1, 1), 1))

    async def _take(self, selected: SelectiveAccess | None, rows_asked: int) -> list[int]:
        """Read one portion and store it; the capture times that came, in the order they came."""
        # A ring buffer may repeat rows; a meter that sends far more than asked fills no disk.
        limits = Limits(array_elements=_ROWS_TOO_MANY * rows_asked + _SNAPSHOT_ELEMENTS)
        trailing = Quirk.TRAILING_OCTETS in self.meter.access.profile.quirks
        try:
            buffer = await self.meter.session.run(
                read_buffer(self.generic.obis, selected, limits, ignore_trailing=trailing)
            )
        except (NoAnswer, LinkLost):
            # A slow meter on a slow line: so many rows may never come whole.
            self._state.broke_off(rows_asked)
            raise
        self._state.gave(rows_asked)
        return await self._keep(buffer)

    async def _log(self) -> None:
        """The rows of an event log that are not stored yet.

        That there are none is written down the first time only: seven logs an hour that say
        nothing are not worth the disk's time, and a restart looks again.
        """
        meter = self.meter
        found = await new_entries(
            meter.session, meter.readings, meter.access, self.generic, self.captures, meter.now_s()
        )
        self._state.last_read_s = meter.now_s()
        label, serial = self.generic.label, meter.access.meter
        if found.rows or not await meter.readings.run(ReadingsStore.last_received_s, serial, label):
            await self._keep(found)

    async def _keep(self, buffer: Buffer) -> list[int]:
        """Store what came; the capture times, in the order they came."""
        now_us = self.meter.clock.now_us()
        rows, typed = to_rows(
            buffer.rows,
            self.captures,
            self._rules,
            period_s=self._cadence.period_s,
            received_at_s=now_us // 1_000_000,
            stamped_before_s=self._stamped_before_s,
            unscaled=self.generic.unlisted,
        )
        if self.generic.kind is ProfileKind.NAMEPLATE:
            _check_nameplate(self.meter.access, rows, typed)
        rows = await self._marked(rows)
        evidence = Evidence(now_us, buffer.server_system_title, buffer.invocation_counter)
        await self.meter.remember()
        await self._store(rows, typed, evidence)
        self._state.last_read_s = now_us // 1_000_000
        times = [r.captured_at_s for r in rows if r.time_quality is not TimeQuality.INVALID]
        self._seen.update(times)
        return times

    async def _marked(self, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        """Rows whose own time is in order carry the doubt about the clock, then and now."""
        if not rows:
            return rows
        oldest_s, meter = min(row.captured_at_s for row in rows), self.meter.access.meter
        doubts = await self.meter.readings.run(lambda store: store.notes.doubts(meter, oldest_s))
        return tuple(_with_doubt(row, self.quality, doubts) for row in rows)

    async def _settle(self, wanted: Sequence[int]) -> None:
        """What was asked for and did not come is asked again another day, then taken for a gap."""
        now_s = self.meter.now_s()
        # A row this young may still come: a meter's clock may be a little behind.
        absent = [t for t in wanted if t not in self._seen and t <= now_s - _YOUNG_S]
        certain = self.quality is TimeQuality.OK
        given_up = self._state.note_asked(absent, now_s, certain=certain)
        if not given_up:
            return
        meter, kind = self.meter.access.meter, self.generic.kind
        cadence = self._cadence
        found = spans(given_up, cadence, slice_rows=None)
        if self.generic.cadence_s is None:
            found = [Span(time_s, time_s) for time_s in given_up]
        now_us = self.meter.clock.now_us()
        new = await self.meter.readings.run(
            lambda store: store.notes.declare_gaps(meter, kind, found, now_us)
        )
        self._state.gaps = None
        if new.get(GapReason.NOT_CAPTURED):
            self.meter.figures.rows_never_captured += len(given_up)
            log.error(
                "the meter has no rows where it should have",
                meter=meter,
                profile=self.generic.label,
                rows=len(given_up),
                first_s=given_up[0],
            )
            await self.meter.observe(meter, Observation.ROWS_MISSING)

    async def _store(
        self,
        rows: tuple[Row, ...],
        captures: CaptureList,
        evidence: Evidence,
    ) -> None:
        old_s = self.meter.now_s() - _LIVE_WITHIN_S
        for lane, part in (
            (Lane.LIVE, tuple(row for row in rows if row.captured_at_s >= old_s)),
            (Lane.BACKLOG, tuple(row for row in rows if row.captured_at_s < old_s)),
        ):
            if not part and (rows or lane is Lane.BACKLOG):
                # No row at all is noted too: the buffer was read, and holds nothing new.
                continue
            if self.generic.kind.is_register_row:
                # What bills are made of goes first, however old.
                lane = Lane.LIVE
            batch = Batch(
                self.meter.access.meter,
                self.generic.kind,
                captures,
                part,
                evidence,
                self.generic.log,
            )
            added = await self.meter.readings.run(
                ReadingsStore.add_batch,
                batch,
                encode_readings,
                lane,
                partial(event_messages, self.meter.access.profile),
            )
            self.meter.figures.rows += added.new_rows
            self.meter.figures.duplicates += added.duplicates
            self.meter.figures.conflicts += added.conflicts
            if added.conflicts:
                log.error(
                    "rows differ at the same time",
                    meter=self.meter.access.meter,
                    rows=added.conflicts,
                )
            for sequence in added.sequences:
                self.meter.stored(lane, sequence)
            for sequence in added.notes:
                self.meter.stored(Lane.LIVE, sequence)


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


def _with_doubt(row: Row, quality: TimeQuality, doubts: Iterable[Span]) -> Row:
    """A row whose own time is in order carries the doubt about the clock."""
    if quality is TimeQuality.OK:
        doubtful = any(doubt.from_s < row.captured_at_s <= doubt.to_s for doubt in doubts)
        quality = TimeQuality.DRIFTED if doubtful else quality
    if row.time_quality is TimeQuality.OK and quality is not TimeQuality.OK:
        return replace(row, time_quality=quality)
    return row
