"""One visit to one meter: what was planned, read within one session and stored with its evidence.

Each answer is stored before the next is asked for, so a session that breaks loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from gateway.dlms.reading import read_capture_list, read_capture_period
from gateway.errors import PeerRefused, RemoteProtocolError
from gateway.model import CaptureList, ProfileKind, TimeQuality
from gateway.profile import ProfileGeneric
from gateway.service.buffer_reading import BufferReading, MeterSession
from gateway.service.meter_clock import MeterClock
from gateway.service.meter_state import Cadences, Task
from gateway.service.same_meter import AnotherMeter, check_serial
from gateway.store.readings import ReadingsStore

log = structlog.get_logger()


@dataclass(kw_only=True)
class Visit:
    """Reads the tasks of one meter within one open session."""

    meter: MeterSession
    meter_clock: MeterClock
    cadences: Cadences
    _verified: dict[str, CaptureList] = field(default_factory=dict)
    """Columns that this session has read."""

    async def run(self, tasks: list[Task]) -> None:
        """Read and store each task. Raises what ends a session, and what a store raises.

        What is wrong with one buffer alone (refused, not to be converted) costs the others
        nothing: it is told, counted, and tried again later.
        """
        await self._check_meter()
        quality = await self.meter_clock.check(self.meter.session)
        for task in tasks:
            try:
                await self._read(task, quality)
            except (PeerRefused, RemoteProtocolError) as error:
                if not self.meter.session.usable or isinstance(error, AnotherMeter):
                    raise
                self.meter.figures.failures += 1
                buffer = self.meter.state.of(task.label)
                buffer.resting_s, buffer.verified_s = self.meter.now_s(), None
                log.warning(
                    "buffer not read",
                    meter=self.meter.access.meter,
                    profile=task.label,
                    kind=type(error).__name__,
                    error=str(error),
                )

    async def _check_meter(self) -> None:
        """Raise AnotherMeter where another one stands: meters may share keys, or have none.

        Asked once of each system title that shows its keys, else in every session.
        """
        title, _ = self.meter.session.received
        if title is not None and title == self.meter.state.known_title:
            return
        if await check_serial(self.meter.session, self.meter.access.meter):
            self.meter.state.known_title = title

    async def _read(self, task: Task, quality: TimeQuality) -> None:
        generic = self.meter.access.profile.profile_generic(task.kind, task.log)
        reading = BufferReading(
            meter=self.meter,
            generic=generic,
            captures=await self._capture_list(generic),
            quality=quality,
        )
        await reading.run(task)

    async def _capture_list(self, generic: ProfileGeneric) -> CaptureList:
        """The columns in force, read from the meter anew where money hangs on them.

        For registers and blocks in every session, for the rest once a day: a meter that was
        given another column list or scaler would otherwise be read wrongly until then.
        """
        kind, label = generic.kind, generic.label
        state = self.meter.state.of(label)
        if label in self._verified:
            return self._verified[label]
        meter = self.meter.access.meter
        known = await self.meter.readings.run(ReadingsStore.capture_list, meter, label)
        verified_s = state.verified_s
        fresh = (
            verified_s is not None
            and 0 <= self.meter.now_s() - verified_s < self.cadences.verify_capture_list_s
        )
        billed = kind.is_register_row or kind is ProfileKind.BLOCK_LOAD
        if known is not None and fresh and not billed:
            return known
        read = await self.meter.session.run(read_capture_list(generic.obis, generic.scaler_profile))
        if known is not None and known.digest != read.digest:
            self.meter.figures.capture_lists_changed += 1
            log.error(
                "capture list changed: rows from now on are kept under the new one",
                meter=meter,
                profile=label,
                before=known.digest.hex(),
                after=read.digest.hex(),
            )
        if generic.cadence_s is not None:
            read_period = read_capture_period(generic.obis, generic.cadence_s)
            period_s = await self.meter.session.run(read_period)
            state.periods = await self.meter.readings.run(
                lambda store: store.notes.note_period(meter, kind, period_s)
            )
        state.verified_s = self.meter.now_s()
        self._verified[label] = read
        return read
