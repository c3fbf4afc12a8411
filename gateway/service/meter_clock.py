"""A meter's clock beside the host's: compared in each session, kept by day, set where allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from gateway.dlms.cosem_time import CosemDateTime, resolve
from gateway.dlms.meter_time import ClockSetting, ClockStep, judge_clock, set_clock
from gateway.dlms.plan import DAY_S
from gateway.dlms.reading import read_clock
from gateway.errors import GatewayError, PeerRefused, Preempted
from gateway.model import TimeQuality
from gateway.service.clock import Clock
from gateway.service.core_settings import time_rules
from gateway.service.meter_state import Cadences, MeterState, ReadingFigures, cadence_of
from gateway.service.observations import Observation, Observe
from gateway.service.sessions import MeterAccess
from gateway.session import Session
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor

log = structlog.get_logger()

_TRIED_AGAIN_S: Final = DAY_S
"""A meter that refuses to be set, or whose clock does not stay, is not worn out."""
_PLAN_BY_DRIFT_S: Final = 40 * DAY_S
"""Rows are expected by the meter's own time, unless that is no time at all."""


@dataclass(kw_only=True)
class MeterClock:
    """One meter's clock."""

    access: MeterAccess
    state: MeterState
    readings: StoreDoor[ReadingsStore]
    clock: Clock
    cadences: Cadences
    figures: ReadingFigures
    observe: Observe

    async def check(self, session: Session) -> TimeQuality:
        """How far the meter's clock can be trusted now; what was seen of it is kept."""
        self.state.clock_due = False
        if not self.clock.synchronised():
            return TimeQuality.UNSYNCHRONISED
        try:
            shown: CosemDateTime = await session.run(read_clock())
        except PeerRefused:
            return TimeQuality.UNVERIFIED
        instant = resolve(shown, time_rules(self.access.profile))
        now_s, meter = self._now_s(), self.access.meter
        drift_s: int | None = None
        if instant.utc_s is None or instant.quality is not TimeQuality.OK:
            log.warning("meter clock is not valid", meter=meter, clock=instant.local)
            self.state.drift_s = 0
        else:
            drift_s = instant.utc_s - now_s
            self.state.drift_s = drift_s if abs(drift_s) < _PLAN_BY_DRIFT_S else 0
            self.state.clock_due = await self._is_due(drift_s, now_s)
        right = drift_s is not None and abs(drift_s) <= self.cadences.drift_limit_s
        if drift_s is not None and not right:
            log.warning("meter clock has drifted", meter=meter, drift_s=drift_s)
        await self.readings.run(
            lambda store: store.notes.note_clock(meter, now_s, drift_s, right=right)
        )
        return TimeQuality.OK if right else TimeQuality.DRIFTED

    async def _is_due(self, drift_s: int, now_s: int) -> bool:
        """Whether the clock is to be set right now."""
        policy, profile = self.cadences.clocks, self.access.profile
        if policy is None or profile.time.set_clock == "never":
            return False
        periods_s = [
            cadence_of(profile, generic, self.state).period_s
            for generic in profile.profile_generics
            if generic.cadence_s is not None
        ]
        step = judge_clock(
            drift_s,
            now_s=now_s,
            period_s=min(periods_s, default=DAY_S),
            zone_s=profile.time.zone_minutes * 60,
            policy=policy,
        )
        if step is ClockStep.TOO_FAR:
            self.figures.clocks_too_far += 1
            log.error("meter clock is too far off to set", meter=self.access.meter, drift_s=drift_s)
            await self.observe(self.access.meter, Observation.CLOCK_TOO_FAR)
        return step is ClockStep.SET

    async def may_be_set(self) -> bool:
        """Whether it is due, and was not tried lately."""
        if not self.state.clock_due:
            return False
        meter = self.access.meter
        last_s = await self.readings.run(lambda store: store.notes.last_clock_set_s(meter))
        return last_s is None or not 0 <= self._now_s() - last_s < _TRIED_AGAIN_S

    async def set(self, session: Session) -> None:
        """Set it within an association with the right to; what came of it is kept.

        Raises as ``Session.run``.
        """
        profile, before_s = self.access.profile, self.state.drift_s
        self.state.clock_due = False
        try:
            how = ClockSetting(profile.time.set_clock)
            before_s, after_s = await session.run(set_clock(how, self._now_s, time_rules(profile)))
        except Preempted:
            raise
        except GatewayError as error:
            await self._note(before_s, None, str(error))
            raise
        outcome = "read-back differs"
        if self.cadences.clocks is not None and abs(after_s) <= self.cadences.clocks.above_s:
            self.figures.clocks_set += 1
            outcome = "set"
            await self.observe(self.access.meter, Observation.CLOCK_SET)
        await self._note(before_s, after_s, outcome)

    async def _note(self, before_s: int, after_s: int | None, outcome: str) -> None:
        meter, now_us = self.access.meter, self.clock.now_us()
        log.warning(
            "meter clock set", meter=meter, before_s=before_s, after_s=after_s, outcome=outcome
        )
        await self.readings.run(
            lambda store: store.notes.note_clock_set(meter, now_us, before_s, after_s, outcome)
        )

    def _now_s(self) -> int:
        return self.clock.now_us() // 1_000_000
