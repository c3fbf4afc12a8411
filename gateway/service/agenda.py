"""What is due at a meter now: registers first, then what is young, the backlog last.

The pure plan says what is missing; the store says what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms.plan import DAY_S, Span, missing, month_starts, spans
from gateway.model import MeterId, ProfileKind
from gateway.profile import Access, FirmwareProfile
from gateway.service.clock import Clock
from gateway.service.meter_state import (
    BufferState,
    Cadences,
    MeterState,
    Task,
    cadence_of,
)
from gateway.service.sessions import MeterAccess
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor

_REST_S: Final = 900
"""A buffer that is refused or cannot be read is tried again after this."""
_LOOK_AGAIN_S: Final = 60
"""A row that is due and not there yet is looked for again after this, then after twice as long."""
_LOOK_AGAIN_MAX_S: Final = 900


@dataclass(frozen=True, slots=True)
class Agenda:
    """Says what to read of a meter, and when to look again."""

    readings: StoreDoor[ReadingsStore]
    clock: Clock
    cadences: Cadences

    def _now_s(self) -> int:
        return self.clock.now_us() // 1_000_000

    async def tasks(self, access: MeterAccess, state: MeterState) -> list[Task]:
        """Registers, today's blocks, what closed a month, events, present values, the backlog."""
        cadences = self.cadences
        daily = await self._history(
            access, state, ProfileKind.DAILY_LOAD, cadences.daily_days * DAY_S
        )
        blocks = await self._history(
            access, state, ProfileKind.BLOCK_LOAD, cadences.block_days * DAY_S
        )
        tasks: list[Task] = []
        if await self._snapshot_due(access, state, ProfileKind.NAMEPLATE, cadences.nameplate_s):
            # Who answers comes before what it says.
            tasks.append(Task(ProfileKind.NAMEPLATE))
        tasks += daily
        tasks += blocks[:1]
        tasks += await self._billing(access, state)
        tasks += await self._events(access, state)
        if await self._snapshot_due(
            access, state, ProfileKind.INSTANTANEOUS, cadences.instantaneous_s
        ):
            tasks.append(Task(ProfileKind.INSTANTANEOUS))
        return tasks + blocks[1:]

    async def next_look_s(self, access: MeterAccess, state: MeterState) -> int:
        """When the next row can be there; soon again where a young one is still missing."""
        now_s = self._now_s()
        if await self.tasks(access, state):
            return now_s + min(_LOOK_AGAIN_MAX_S, _LOOK_AGAIN_S << min(state.fruitless, 8))
        again = [(ProfileKind.INSTANTANEOUS.value, self.cadences.instantaneous_s)]
        again += [(label, self.cadences.events_s) for label in _logs(access.profile).values()]
        due_s = []
        for label, period_s in again:
            last_s = state.of(label).last_read_s
            due_s.append((now_s if last_s is None else last_s) + period_s)
        for kind in (ProfileKind.DAILY_LOAD, ProfileKind.BLOCK_LOAD):
            if _has(access.profile, kind):
                generic = access.profile.profile_generic(kind)
                cadence = cadence_of(access.profile, generic, state)
                due_s.append(cadence.next_at(now_s + state.drift_s) - state.drift_s)
        return max(now_s + 1, min(due_s))

    async def _snapshot_due(
        self, access: MeterAccess, state: MeterState, kind: ProfileKind, period_s: int
    ) -> bool:
        return _has(access.profile, kind) and await self._is_old(access, state, kind, period_s)

    async def _events(self, access: MeterAccess, state: MeterState) -> list[Task]:
        """The event logs whose turn it is."""
        period_s = self.cadences.events_s
        return [
            Task(ProfileKind.EVENTS, log=log)
            for log, label in _logs(access.profile).items()
            if await self._is_old(access, state, label, period_s)
        ]

    async def _is_old(
        self, access: MeterAccess, state: MeterState, label: str, period_s: int
    ) -> bool:
        """Whether a buffer was read so long ago that it is to be read again."""
        if self._rests(state, label):
            return False
        last_s = state.of(label).last_read_s
        if last_s is None:
            last_s = await self.readings.run(ReadingsStore.last_received_s, access.meter, label)
        # A time in the future was noted by a clock that ran ahead: it says nothing.
        return last_s is None or not 0 <= self._now_s() - last_s < period_s

    def _rests(self, state: MeterState, label: str) -> bool:
        """Whether a buffer that could not be read is left alone for a while."""
        since_s = state.of(label).resting_s
        return since_s is not None and 0 <= self._now_s() - since_s < _REST_S

    async def _history(
        self, access: MeterAccess, state: MeterState, kind: ProfileKind, horizon_s: int
    ) -> list[Task]:
        """Rows that are missing, newest first: in spans, or at once where the meter takes none."""
        if not _has(access.profile, kind) or self._rests(state, kind):
            return []
        generic, buffer = access.profile.profile_generic(kind), state.of(kind)
        meter = access.meter
        gaps = await self._gaps(meter, buffer, kind)
        # A row is there when it is time by the meter's clock.
        now_s = self._now_s() + state.drift_s
        cadence = cadence_of(access.profile, generic, state)
        captured = await self.readings.run(
            ReadingsStore.captured_times, meter, kind, now_s - horizon_s - DAY_S, now_s
        )
        trimmed = await self.readings.run(ReadingsStore.trimmed_through, meter, kind)
        if trimmed is not None:
            horizon_s = max(0, min(horizon_s, cadence.last_at(now_s) - trimmed - 1))
        times = missing(
            cadence=cadence,
            horizon_s=horizon_s,
            now_s=now_s,
            captured=frozenset(captured),
            asked=buffer.asked_lately(self._now_s()).keys(),
            gaps=gaps,
        )
        if not times:
            return []
        if (buffer.access or generic.access) is Access.ENTRY:
            return [Task(kind, times=tuple(times))]
        return [Task(kind, span) for span in spans(times, cadence, slice_rows=buffer.slice_rows)]

    async def _billing(self, access: MeterAccess, state: MeterState) -> list[Task]:
        """Rows that the meter made when it closed a month.

        The newest so many are read at once, the first time all: what is older than a stored row
        and not there, the meter has not.
        """
        kind = ProfileKind.BILLING
        if not _has(access.profile, kind) or self._rests(state, kind):
            return []
        now_s = self._now_s()
        zone_s = access.profile.time.zone_minutes * 60
        depth = access.profile.profile_generic(kind).depth_rows or 1
        wanted = month_starts(now_s=now_s, zone_s=zone_s, count=depth)
        captured = await self.readings.run(
            ReadingsStore.captured_times, access.meter, kind, wanted[0], now_s
        )
        buffer = state.of(kind)
        known = {gap.from_s for gap in await self._gaps(access.meter, buffer, kind)}
        known.update(buffer.asked_lately(now_s))
        newest_s = max(captured, default=0)
        missing_s = tuple(t for t in wanted if t > newest_s and t not in known)
        return [Task(kind, times=missing_s)] if missing_s else []

    async def _gaps(self, meter: MeterId, buffer: BufferState, kind: ProfileKind) -> list[Span]:
        """Where the meter has no rows.

        Read from the store once, with what the meter said of its capture period.
        """
        if buffer.gaps is None:
            gaps, periods = await self.readings.run(
                lambda store: (store.notes.gaps(meter, kind), store.notes.periods(meter, kind))
            )
            buffer.gaps, buffer.periods = gaps, periods or buffer.periods
            return gaps
        return buffer.gaps


def _logs(profile: FirmwareProfile) -> dict[str, str]:
    """Event logs of a profile, with the names of their buffers."""
    generics = profile.profile_generics
    return {one.log: one.label for one in generics if one.kind is ProfileKind.EVENTS}


def _has(profile: FirmwareProfile, kind: ProfileKind) -> bool:
    return any(generic.kind is kind for generic in profile.profile_generics)
