"""The service: every part built or handed in, every loop a task with a name.

All that touches the world is in ``Parts``, so that the whole service runs in a simulation.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog

from gateway.config import CallingMeter, Site
from gateway.config import PushListener as PushSettings
from gateway.errors import ConfigError, GatewayError
from gateway.model import MeterId
from gateway.service.coverage import CoverageWatch
from gateway.service.housekeeping import Housekeeping
from gateway.service.jobs import JobLoop, JobRunner
from gateway.service.observer import Observer
from gateway.service.parts import Parts, UplinkMaker
from gateway.service.push import PushListener
from gateway.service.pushed import PushKeeper
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.service.uplink import UplinkLoop
from gateway.service.wiring import Wiring
from gateway.store.counters import CounterStore
from gateway.store.readings import ReadingsStore
from gateway.store.retention import Budget
from gateway.store.stream import STREAM
from gateway.uplink.notices import Birth, StreamPosition, presence
from gateway.uplink.outbox import Lane, PumpSettings
from gateway.uplink.port import Presence, Uplink
from gateway.uplink.signature import TrustedKey, VerifyingKeys

log = structlog.get_logger()

_RESTART_S: Final = 5
_MIB: Final = 1 << 20
_DAY_S: Final = 86_400


class Service:
    """One gateway: its wires are read, its outbox is emptied, its stores are kept in bounds."""

    def __init__(self, site: Site, parts: Parts, *, software: str = "smart-meter-gateway") -> None:
        self._site = site
        self._parts = parts
        self._software = software
        self._generation = 0
        self._position = StreamPosition(stream=STREAM, epoch="0" * 16, sequence=0)
        self.uplink: UplinkLoop | None = None
        observer = Observer(readings=parts.readings, clock=parts.clock, stored=self._stored)
        self.sessions = SessionMaker(
            parts.counters, parts.clock, random_bytes=parts.random_bytes, observe=observer.tell
        )
        wiring = Wiring(site, parts, self.sessions, self._stored, self._identified, observer.tell)
        self.wires, self.desks = wiring.loops, wiring.desks
        self._accesses = {access.meter: access for loop in self.wires for access in loop.meters}
        self.jobs = self._job_loop()
        self.coverage = CoverageWatch(
            readings=parts.readings,
            clock=parts.clock,
            # A day of the service level is the meters'; all of a site are in one zone.
            zone_s=60 * max((p.time.zone_minutes for p in parts.profiles.values()), default=0),
            targets=site.coverage,
            expected={loop.poller.name: loop.rows_per_day for loop in self.wires},
        )

        self.push = None if site.push is None else self._push_listener(site.push)
        more = {} if self.push is None else self.push.figures
        self._figures: Mapping[str, int] = ChainMap(self.coverage.figures, more)

    async def run(self) -> None:
        """Run until cancelled; the stores are closed by whoever opened them."""
        await self._begin()
        make = self._parts.make_uplink
        if make is not None:
            # The first one here: files that cannot be used end the start and name themselves.
            self.uplink = self._uplink_loop(make(self._presence))
        site = self._site.stores
        house = Housekeeping(
            readings=self._parts.readings,
            counters=self._parts.counters,
            clock=self._parts.clock,
            budget=Budget(
                max_octets=site.max_mib * _MIB,
                bulk_age_s=site.bulk_days * _DAY_S,
                record_age_s=site.record_days * _DAY_S,
            ),
        )
        async with asyncio.TaskGroup() as tasks:
            for desk in self.desks:
                name = f"listener.{desk.name}"
                tasks.create_task(_kept_up(name, desk.run), name=name)
            for loop in self.wires:
                name = f"wire.{loop.poller.name}"
                tasks.create_task(_kept_up(f"{name}.poller", loop.poller.run), name=name)
                tasks.create_task(_kept_up(name, loop.run), name=f"{name}.reading")
            if make is not None:
                kept_up = _kept_up("uplink", partial(self._run_uplink, make))
                tasks.create_task(kept_up, name="uplink")
            if self.push is not None:
                tasks.create_task(_kept_up("push", self.push.run), name="push")
            tasks.create_task(_kept_up("jobs", self.jobs.run), name="jobs")
            tasks.create_task(_kept_up("housekeeping", house.run), name="housekeeping")
            tasks.create_task(_kept_up("coverage", self.coverage.run), name="coverage")

    async def _run_uplink(self, make: UplinkMaker) -> None:
        """Run the loop; one that failed is replaced whole: nothing of it is carried on."""
        try:
            if self.uplink is not None:
                await self.uplink.run()
        except Exception:
            self.uplink = self._uplink_loop(make(self._presence))
            raise

    async def _begin(self) -> None:
        """What the stores say at the start: alarms, a restored file's new titles, names."""
        readings, counters = self._parts.readings, self._parts.counters
        report = await readings.run(lambda store: store.report)
        if report.quarantined is not None:
            log.error("readings.db was damaged and put aside", report=str(report))
        if report.restored:
            log.error("readings.db was restored: new epoch, new system titles")
            await counters.run(CounterStore.renew_titles)
        names = {
            column.source: column.name
            for profile in self._parts.profiles.values()
            for generic in profile.profile_generics
            for column in generic.columns
        }
        await readings.run(ReadingsStore.name_objects, names)
        await self._note_position()

    async def _note_position(self) -> None:
        epoch, newest = await self._parts.readings.run(
            lambda store: (store.stream.epoch, store.stream.newest_sequence)
        )
        self._position = StreamPosition(stream=STREAM, epoch=epoch, sequence=newest)

    def _presence(self) -> Presence:
        now_us = self._parts.clock.now_us()
        # Rises with every connection, also across restarts, as long as the clock does.
        self._generation = max(self._generation + 1, now_us // 1000)
        return presence(
            Birth(
                gateway=self._site.gateway.id,
                generation=self._generation,
                at_s=now_us // 1_000_000,
                software=self._software,
                streams=[self._position],
            )
        )

    def _uplink_loop(self, uplink: Uplink) -> UplinkLoop:
        settings = self._site.uplink
        if settings is None:
            raise ConfigError("site", "uplink", None, "is needed")
        return UplinkLoop(
            gateway=self._site.gateway.id,
            uplink=uplink,
            readings=self._parts.readings,
            counters=self._parts.counters,
            keys=VerifyingKeys(
                {k.id: TrustedKey(k.issuer, k.public_key) for k in settings.backend_keys}
            ),
            clock=self._parts.clock,
            jitter=self._parts.jitter,
            settings=PumpSettings(window=max(2, settings.window)),
            more_figures=self._figures,
        )

    def _push_listener(self, settings: PushSettings) -> PushListener:
        parts = self._parts
        at: dict[str, list[MeterId]] = {}
        for place, meter in self._site.meters:
            # A meter that dials in pushes from where it calls, not from where it is awaited.
            host = str(meter.address) if isinstance(meter, CallingMeter) else place.url.host
            at.setdefault(host, []).append(meter.serial)
        return PushListener(
            settings=settings,
            ports=parts.open_ports(settings),
            accesses=self._accesses,
            addresses=lambda sender: at.get(sender, []),
            sessions=self.sessions,
            counters=parts.counters,
            keeper=PushKeeper(readings=parts.readings, clock=parts.clock, stored=self._stored),
            clock=parts.clock,
        )

    def _job_loop(self) -> JobLoop:
        parts = self._parts
        runner = JobRunner(
            sessions=self.sessions,
            jobs=parts.jobs,
            clock=parts.clock,
            random_bytes=parts.random_bytes,
            keystore=parts.keystore,
            renewed=self._renew_keys,
        )
        wires = {
            access.meter: (loop.poller, access) for loop in self.wires for access in loop.meters
        }
        return JobLoop(runner=runner, wires=wires, jobs=parts.jobs, clock=parts.clock)

    def _identified(self, access: MeterAccess) -> None:
        """A meter said what it is: pushes and jobs go by its own profile from now on."""
        keys = self._accesses[access.meter].keys
        self._accesses[access.meter] = replace(access, keys=keys)
        self.jobs.identified(access)

    def _renew_keys(self, access: MeterAccess) -> None:
        """Keys of a meter were changed: whoever talks to it next takes the new ones."""
        known = self._accesses[access.meter]
        self._accesses[access.meter] = replace(known, keys=access.keys)
        self.jobs.renew(access)
        for loop in self.wires:
            if loop.poller is self.jobs.wires[access.meter][0]:
                loop.renewed[access.meter] = access.keys

    def _stored(self, lane: Lane, sequence: int) -> None:
        self._position = StreamPosition(
            stream=STREAM, epoch=self._position.epoch, sequence=sequence
        )
        if self.uplink is not None:
            self.uplink.stored(lane)


async def _kept_up(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop again after an error: one loop's trouble is never the others'."""
    while True:
        try:
            await run()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody asked this loop to end: something inside it was cancelled.
            log.error("loop was cancelled from within", loop=name)
        except GatewayError as error:
            log.error("loop ended", loop=name, kind=type(error).__name__, error=str(error))
        except Exception:
            # A bug of ours in one loop must not stop the reading of all others.
            log.exception("loop failed", loop=name)
        await asyncio.sleep(_RESTART_S)
