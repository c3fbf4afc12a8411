"""What has to be done now and then: trimming, and alarms that come long before trouble."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.errors import StoreError
from gateway.service.clock import Clock
from gateway.store.counters import CounterStore
from gateway.store.readings import ReadingsStore
from gateway.store.retention import Budget
from gateway.store.thread import StoreDoor

log = structlog.get_logger()

_PERIOD_S: Final = 3600


@dataclass(frozen=True, kw_only=True)
class Housekeeping:
    """Keeps the stores within their bounds."""

    readings: StoreDoor[ReadingsStore]
    counters: StoreDoor[CounterStore]
    clock: Clock
    budget: Budget

    async def run(self) -> None:
        """Once an hour, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            await self.run_once()

    async def run_once(self) -> None:
        """Trim, and warn of counters that run out."""
        now_s = self.clock.now_us() // 1_000_000
        try:
            trimmed = await self.readings.run(ReadingsStore.trim, now_s, self.budget)
            spent = await self.counters.run(CounterStore.nearly_exhausted)
        except StoreError as error:
            log.error("housekeeping failed", error=str(error))
            return
        log.info("trimmed", by_age=trimmed.by_age, by_size=trimmed.by_size)
        if trimmed.over_budget:
            log.error("readings.db is over its budget and nothing more may go: unsent rows fill it")
        for meter, client_sap, following in spent:
            log.error(
                "invocation counter runs out: change the key",
                meter=meter,
                client_sap=client_sap,
                next=following,
            )
