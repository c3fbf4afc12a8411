"""What the gateway itself saw or did at a meter, told to the backend as an event.

Each is told once a day and meter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.events import EventKind, EventPhase, EventSource, MeterEvent
from gateway.model import Evidence, MeterId, TimeQuality
from gateway.service.clock import Clock
from gateway.service.events import messages_of
from gateway.service.observations import Observation
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor
from gateway.uplink.outbox import Lane

log = structlog.get_logger()

_DAY_US: Final = 86_400 * 1_000_000


@dataclass(kw_only=True)
class Observer:
    """Keeps the events in the store, where the uplink finds them."""

    readings: StoreDoor[ReadingsStore]
    clock: Clock
    stored: Callable[[Lane, int], None]
    _told: dict[tuple[MeterId, Observation], int] = field(default_factory=dict)

    async def tell(self, meter: MeterId, what: Observation) -> None:
        """Tell it, unless this day's was told. Raises StoreError."""
        now_us = self.clock.now_us()
        day = now_us // _DAY_US
        if self._told.get((meter, what)) == day:
            return
        log.error("observed at a meter", meter=meter, what=what.value)
        right = self.clock.synchronised()
        event = MeterEvent(
            kind=EventKind(what.value, EventPhase.OCCURRED, "", None),
            at_s=now_us // 1_000_000,
            time_quality=TimeQuality.OK if right else TimeQuality.UNSYNCHRONISED,
            timed_by_meter=False,
            source=EventSource.DERIVED,
            raw=b"",
            evidence=Evidence(now_us, None, None),
        )
        for message in messages_of(meter, [event]):
            sequence = await self.readings.run(ReadingsStore.add_message, message, now_us)
            self.stored(message.lane, sequence)
        self._told[meter, what] = day
