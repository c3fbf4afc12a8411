"""A relay does not wait for a long reading: what is under way ends between two frames."""

import asyncio

import pytest

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import Get
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.hdlc import HdlcAddress, HdlcLink
from gateway.dlms.link import Link, Role
from gateway.dlms.reading import read_clock
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import Preempted
from gateway.model import Obis
from gateway.poller import Poller, Priority
from gateway.service.simulation import run_simulated
from gateway.session import Session
from gateway.transport.port import Transport
from tests.poller.test_session_with_meter import TIMING, Wire, is_goodbye

WIRES = ["tcp", "hdlc+tcp"]
AARQ = 0x60
OBJECTS = Get(15, Obis.parse("0-0:40.0.0*255"), 2)
"""Long enough for dozens of blocks of the smallest PDU."""


def connection(wire: str) -> ClientConnection:
    link: Link = WrapperLink(Role.CLIENT, client_wport=16, server_wport=1)
    if wire != "tcp":
        link = HdlcLink(Role.CLIENT, client=HdlcAddress(16), server=HdlcAddress(1, 17, length=2))
    return ClientConnection(link, ClientSettings(random_bytes=bytes, max_pdu_octets=64))


class CountedWire(Wire):
    """Tells when so many frames were sent."""

    def __init__(self, wire: str, frames: int) -> None:
        super().__init__(wire)
        self._frames = frames
        self.reached = asyncio.Event()

    async def send(self, data: bytes) -> None:
        await super().send(data)
        if len(self.sent) >= self._frames:
            self.reached.set()


class Bench:
    """A poller on a wire with one meter, and when what happened."""

    def __init__(self, wire: str, after_frames: int = 1) -> None:
        self.kind = wire
        self.wire = CountedWire(wire, after_frames)
        self.poller = Poller("wire", lambda: self.wire)
        self.told: list[str] = []

    async def read_all(self, transport: Transport) -> None:
        await transport.flush()
        session = Session(
            connection(self.kind), transport, TIMING, make_room=lambda: self.poller.urgent
        )
        try:
            await session.open()
            self.told.append("opened")
            await session.request(OBJECTS)
            self.told.append("read")
        finally:
            await session.close()
            self.told.append("left")

    async def drive(self, transport: Transport) -> None:
        await transport.flush()
        session = Session(connection(self.kind), transport, TIMING)
        await session.open()
        await session.run(read_clock())
        self.told.append("driven")
        await session.close()


def scene(wire: str, *, urgent: Priority, after_frames: int) -> tuple[Bench, list[object]]:
    async def play() -> tuple[Bench, list[object]]:
        bench = Bench(wire, after_frames)
        running = asyncio.create_task(bench.poller.run())
        reading = asyncio.create_task(bench.poller.submit(bench.read_all))
        await bench.wire.reached.wait()
        driven = bench.poller.submit(bench.drive, urgent)
        ended = await asyncio.gather(reading, driven, return_exceptions=True)
        running.cancel()
        return bench, list(ended)

    return run_simulated(play())


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("after_frames", [1, 2, 3, 9, 15])
def test_a_reading_makes_room_for_a_relay_wherever_it_is(wire: str, after_frames: int) -> None:
    bench, (reading, driven) = scene(wire, urgent=Priority.RELAY, after_frames=after_frames)
    assert isinstance(reading, Preempted)
    assert driven is None
    assert "read" not in bench.told
    assert bench.told[-1] == "driven"
    following = bench.wire.sent[after_frames]
    # Not one more frame of the reading: a connection is closed, a link on a bus is left.
    assert following[8] == AARQ if wire == "tcp" else is_goodbye(wire, following)


@pytest.mark.parametrize("wire", WIRES)
def test_anything_else_waits_until_the_reading_is_done(wire: str) -> None:
    bench, ended = scene(wire, urgent=Priority.ON_DEMAND, after_frames=5)
    assert ended == [None, None]
    assert bench.told == ["opened", "read", "left", "driven"]


def test_a_relay_is_not_interrupted_by_the_next_one() -> None:
    async def play() -> list[str]:
        bench = Bench("tcp")
        running = asyncio.create_task(bench.poller.run())
        first = asyncio.create_task(bench.poller.submit(bench.read_all, Priority.RELAY))
        await bench.wire.reached.wait()
        await asyncio.gather(first, bench.poller.submit(bench.drive, Priority.RELAY))
        running.cancel()
        return bench.told

    assert run_simulated(play()) == ["opened", "read", "left", "driven"]
