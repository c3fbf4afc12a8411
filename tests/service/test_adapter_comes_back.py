"""A USB adapter that is unplugged in mid-session and comes back under another name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from gateway.config import Site, Wire
from gateway.errors import NoAnswer, WireGone
from gateway.model import MeterId, ProfileKind
from gateway.poller import Poller
from gateway.service.clock import LoopClock
from gateway.service.meter_state import MeterState, Task
from gateway.service.reading import ReadingLoop
from gateway.service.simulation import run_simulated
from gateway.service.supervisor import Service
from gateway.service.wire_watch import WireWatch
from gateway.transport import Transport, open_transport
from gateway.url import TransportUrl, parse_url
from hil_tests.emulator.wires import PtyWire
from tests.emulator.test_fleet import NoWaiting
from tests.service.world import World, until

CHUNKS_BEFORE = 60
"""So much of the meter's answers came before the adapter goes: some rows, not all."""
BLOCKS = 48


class PullingClock(NoWaiting):
    """Calls once, when so many chunks have crossed the line."""

    def __init__(self, chunks: int, pull: Callable[[], None]) -> None:
        self._left = chunks
        self._pull = pull

    async def sleep_until(self, due_ns: int) -> None:
        await super().sleep_until(due_ns)
        self._left -= 1
        if self._left == 0:
            self._pull()


class UsbWorld(World):
    """A gateway whose wire is a link to a pseudo terminal, which is replaced by another one."""

    devices: list[str]

    @property
    def link(self) -> Path:
        return self.directory / "by-id"

    def site(self) -> Site:
        site = super().site()
        (meter,) = site.wires[0].meters
        meter = replace(meter, server=17)
        url = parse_url(f"serial://{self.link}")
        return replace(site, wires=(Wire(name="bus", url=url, meters=(meter,)),))

    def _transport(self, url: TransportUrl) -> Transport:  # type: ignore[override]
        return open_transport(url)

    async def plug_in(self, clock: NoWaiting) -> PtyWire:
        wire = PtyWire(self.link, 9600, [(self.rig.station, self.rig.spoiler)], clock)
        await wire.start()
        self.devices.append(str(self.link.readlink()))
        return wire

    async def play(self) -> int:
        """Read until every block is there; how many rows came before the adapter went."""
        self.devices = []
        pulled = asyncio.Event()
        first = await self.plug_in(PullingClock(CHUNKS_BEFORE, pulled.set))
        clock = self.clock = LoopClock(self.now_s * 1_000_000, synchronised=True)
        parts = self.parts(clock)
        running = asyncio.create_task(Service(self.site(), parts).run())
        try:
            async with asyncio.timeout(60):
                await pulled.wait()
                await first.stop()
                before = self.blocks()
                await asyncio.sleep(0.7)
                # The kernel gives the node, which nobody holds, to another device.
                taken = os.openpty()
                second = await self.plug_in(NoWaiting())
                await until(lambda: self.blocks() >= BLOCKS)
            assert self.clock.now_us() < (self.now_s + 15) * 1_000_000, "it took its time"
            await second.stop()
            for fd in taken:
                os.close(fd)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await parts.close()
        return before

    def blocks(self) -> int:
        kind = ProfileKind.BLOCK_LOAD
        return len(self.store.captured_times(MeterId("EM1"), kind, 0, 1 << 40))


def test_reading_goes_on_by_itself_under_the_new_name(tmp_path: Path) -> None:
    world = UsbWorld(tmp_path, wire="hdlc+tcp")
    with capture_logs() as logs:
        before = asyncio.run(world.play())
    assert before < BLOCKS
    assert len(set(world.devices)) == 2, "it came back under the same name"
    said = [entry["event"] for entry in logs if "wire" in entry]
    assert said == ["wire is not there", "wire is back"]


class Round(ReadingLoop):
    """A loop whose meters are always due, and whose wire is not there."""

    visited: ClassVar[list[str]] = []

    async def _known(self, access: Any) -> Any:
        return access

    async def _visit(self, access: Any, state: MeterState, tasks: list[Task]) -> None:
        self.visited.append(access.meter)
        self.poller.absence = WireGone("gone")
        raise self.poller.absence


def test_of_many_meters_on_a_wire_that_is_gone_one_is_tried_in_a_round() -> None:
    unused: Any = None
    watch = WireWatch(wire="bus", rests_s=(0.3, 5), jitter=lambda: 0)
    loop = Round(
        meters=tuple(SimpleNamespace(meter=name) for name in "ABC"),  # type: ignore[misc]
        poller=Poller("bus", lambda: unused),
        watch=watch,
        sessions=unused,
        readings=unused,
        clock=unused,
        cadences=unused,
        stored=unused,
        associations={},
        jitter=lambda: 0,
    )

    async def nameplate(*_: object) -> list[Task]:
        return [Task(ProfileKind.NAMEPLATE)]

    loop._agenda = SimpleNamespace(tasks=nameplate)  # type: ignore[assignment]

    async def scene() -> None:
        for _ in range(3):
            await loop.run_once()
        await asyncio.sleep(0.3)
        await loop.run_once()

    with capture_logs() as logs:
        run_simulated(scene())
    assert Round.visited == ["A", "A"], "and none is blamed: it is tried again when the wire is"
    assert [entry["event"] for entry in logs] == ["wire is not there"]


@pytest.mark.parametrize(("longest_s", "waits"), [(5, 5), (300, 300)])
def test_a_wire_is_tried_again_with_growing_patience(longest_s: float, waits: float) -> None:
    watch = WireWatch(wire="w", rests_s=(0.3, longest_s), jitter=lambda: 0)
    now, rests = 100.0, []
    with capture_logs() as logs:
        for _ in range(14):
            watch.note(WireGone("gone"), now)
            rests.append(watch.rest_s(now))
            now += rests[-1]
        assert watch.rest_s(now) == 0
        watch.note(None, now)
        watch.note(None, now)
    assert rests[:3] == pytest.approx([0.3, 0.6, 1.2])
    assert rests[-1] == waits
    assert [entry["event"] for entry in logs] == ["wire is not there", "wire is back"]
    assert logs[1]["attempts"] == 14


def test_wires_that_went_together_do_not_come_back_in_one_instant() -> None:
    rests, shares = [], iter((0.0, 0.5, 0.9))
    for _ in range(3):
        watch = WireWatch(wire="w", rests_s=(4, 300), jitter=lambda: next(shares))
        watch.note(NoAnswer("no connection"), 0.0)
        rests.append(watch.rest_s(0.0))
    assert rests == [4.0, 4.5, 4.9]
