"""Several meters behind one serial server: one wire, one owner, silence where it is needed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import Get
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.hdlc import HdlcAddress, HdlcLink
from gateway.dlms.link import Role
from gateway.errors import LinkLost, NoAnswer, WireGone
from gateway.model import Obis
from gateway.poller import Poller
from gateway.service.simulation import run_simulated
from gateway.session import Timing, session
from gateway.transport.paced import PacedTransport
from gateway.transport.port import Transport
from gateway.transport.tcp import TcpTransport
from hil_tests.emulator.fleet import Fleet
from hil_tests.emulator.scenario import parse_scenario
from tests.cli.bench import NOW_S
from tests.emulator.test_fleet import NoWaiting

DEVICE_NAME = Get(1, Obis.parse("0-0:42.0.0*255"), 2)
TIMING = Timing(answer_s=0.3, repeats=1, goodbye_s=0.1)
SCENARIO = """
seed = 7
installed = 2026-03-01
[[bus]]
name = "lane"
end = "tcp"
""" + "".join(
    f"""
[[meter]]
serial = "M{address}"
model = "single_phase"
encoding = "integer"
wire = "bus"
bus = "lane"
address = {address}
"""
    for address in (17, 18, 19)
)


@dataclass
class Lane:
    """A poller that owns the wire of three meters, and what happened on it."""

    fleet: Fleet
    poller: Poller
    sent_at: list[float] = field(default_factory=list)

    @property
    def server(self) -> Any:
        return self.fleet._buses["lane"]

    async def name_of(self, address: int, turnaround_s: float = 0) -> bytes:
        async def job(transport: Transport) -> bytes:
            link = HdlcLink(
                Role.CLIENT, client=HdlcAddress(16), server=HdlcAddress(1, address, length=2)
            )
            connection = ClientConnection(link, ClientSettings(random_bytes=bytes))
            if turnaround_s:
                transport = PacedTransport(transport, turnaround_s)
            async with session(connection, transport, TIMING) as opened:
                return (await opened.request(DEVICE_NAME)).data

        name: bytes = await self.poller.submit(job)
        return name


@asynccontextmanager
async def lane(directory: Path, *, gap_s: float = 0) -> AsyncIterator[Lane]:
    scenario = parse_scenario(SCENARIO)
    async with Fleet(scenario, directory, wire_clock=NoWaiting(), now_s=lambda: NOW_S) as fleet:
        port = int(fleet.meters["M17"].url.split(":")[2].split("?")[0])
        poller = Poller("lane", lambda: TcpTransport("127.0.0.1", port), gap_s=gap_s)
        running = asyncio.create_task(poller.run())
        try:
            async with asyncio.timeout(30):
                yield Lane(fleet, poller)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def on_lane(tmp_path: Path, body: Callable[[Lane], Awaitable[None]], **words: float) -> None:
    async def scene() -> None:
        async with lane(tmp_path, **words) as opened:
            await body(opened)

    asyncio.run(scene())


def test_each_meter_answers_for_itself_over_one_connection(tmp_path: Path) -> None:
    async def body(opened: Lane) -> None:
        names = await asyncio.gather(*(opened.name_of(address) for address in (19, 17, 18)))
        assert [name[-3:] for name in names] == [b"M19", b"M17", b"M18"]
        assert opened.server.connections == 1

    on_lane(tmp_path, body)


def test_a_connection_that_leads_nowhere_is_left_after_one_silence(tmp_path: Path) -> None:
    async def body(opened: Lane) -> None:
        first = asyncio.create_task(opened.name_of(17))
        second = asyncio.create_task(opened.name_of(18))
        await first
        opened.server.go_deaf()
        third = asyncio.create_task(opened.name_of(19))
        with pytest.raises(NoAnswer) as caught:
            await second
        assert not isinstance(caught.value, LinkLost)
        assert opened.poller.absence is None, "somebody accepted the connection"
        assert (await third)[-3:] == b"M19"
        assert opened.server.connections == 2

    on_lane(tmp_path, body)


def test_a_meter_that_is_not_there_costs_the_others_its_silence_and_no_more(
    tmp_path: Path,
) -> None:
    async def body(opened: Lane) -> None:
        dead, alive = await asyncio.gather(
            opened.name_of(99), opened.name_of(18), return_exceptions=True
        )
        assert isinstance(dead, NoAnswer)
        assert isinstance(alive, bytes)

    on_lane(tmp_path, body)


def test_between_two_meters_the_wire_is_silent_for_the_gap(tmp_path: Path) -> None:
    async def body(opened: Lane) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(opened.name_of(address) for address in (17, 18, 19)))
        assert loop.time() - begun >= 0.4

    on_lane(tmp_path, body, gap_s=0.2)


def test_a_serial_server_that_is_away_is_the_wires_fault(tmp_path: Path) -> None:
    async def body(opened: Lane) -> None:
        await opened.server.stop()
        with pytest.raises(LinkLost):
            await opened.name_of(17)
        assert isinstance(opened.poller.absence, LinkLost)

    on_lane(tmp_path, body)


class Recorder(Transport):
    """Answers each sending 10 ms later; tells when it was sent to."""

    def __init__(self) -> None:
        self.sent_at: list[float] = []

    async def connect(self) -> None: ...

    async def receive(self, timeout_s: float) -> bytes:
        await asyncio.sleep(0.01)
        return b"answer"

    async def send(self, data: bytes) -> None:
        self.sent_at.append(asyncio.get_running_loop().time())

    async def flush(self) -> int:
        return 0

    async def close(self) -> None: ...


@pytest.mark.parametrize("way", ["receive", "converse"])
def test_a_meter_gets_its_silence_before_it_is_spoken_to_again(way: str) -> None:
    async def scene() -> list[float]:
        inner = Recorder()
        wire = PacedTransport(inner, 0.05)
        await wire.connect()
        await wire.send(b"ask")
        if way == "receive":
            for _ in range(3):
                await wire.receive(1)
                await wire.send(b"ask")
        else:
            answers = iter([b"ask", b"ask", b"ask", None])
            await wire.converse(lambda _: next(answers), 1)
        return inner.sent_at

    times = run_simulated(scene())
    assert times[0] == 0, "a meter that said nothing needs no silence"
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == pytest.approx([0.06] * 3)


def test_a_device_that_vanishes_within_a_job_is_the_wires_fault() -> None:
    async def scene() -> Poller:
        poller = Poller("bus", Recorder)
        running = asyncio.create_task(poller.run())

        async def vanish(transport: Transport) -> None:
            raise WireGone("the device vanished")

        async def hang_up(transport: Transport) -> None:
            raise LinkLost("the meter ended the session")

        with pytest.raises(LinkLost):
            await poller.submit(hang_up)
        assert poller.absence is None, "that was the meter"
        with pytest.raises(WireGone):
            await poller.submit(vanish)
        running.cancel()
        return poller

    assert isinstance(run_simulated(scene()).absence, WireGone)
