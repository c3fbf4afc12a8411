"""A session with an emulated meter: repeats, goodbye, refusals in procedures, notifications."""

import asyncio
from collections.abc import Callable, Generator

import pytest

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import Answer, Get, Request
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.hdlc import HdlcAddress, HdlcLink
from gateway.dlms.link import Link, Role
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import NoAnswer, PeerRefused
from gateway.model import Obis
from gateway.service.simulation import run_simulated
from gateway.session import Session, Timing, session
from tests.emulator.rig import NOW_S, Rig, meter_scenario
from tests.service.world import StationTransport

WIRES = ["tcp", "hdlc+tcp"]
TIMING = Timing(answer_s=5, repeats=2, request_s=60, goodbye_s=3)
CLOCK = Get(8, Obis.parse("0-0:1.0.0*255"), 2)
DEVICE_NAME = Get(1, Obis.parse("0-0:42.0.0*255"), 2)
ENERGY = Get(3, Obis.parse("1-0:1.8.0*255"), 2)


class Wire(StationTransport):
    """Keeps what was sent; answers of some sendings get lost."""

    def __init__(self, wire: str, faults: str = "", lost: Callable[[int], bool] | None = None):
        self.rig = Rig(meter_scenario(faults, wire=wire))
        super().__init__([self.rig], lambda: NOW_S, lambda: False)
        self._loses = lost or (lambda _: False)
        self.sent: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self.sent.append(data)
        await super().send(data)
        if self._loses(len(self.sent)):
            self._answers = []


def connection(wire: str) -> ClientConnection:
    link: Link = WrapperLink(Role.CLIENT, client_wport=16, server_wport=1)
    if wire != "tcp":
        link = HdlcLink(Role.CLIENT, client=HdlcAddress(16), server=HdlcAddress(1, 17, length=2))
    return ClientConnection(link, ClientSettings(random_bytes=bytes))


def is_goodbye(wire: str, frame: bytes) -> bool:
    """RLRQ behind a wrapper header, or DISC with the poll bit."""
    return frame[8] == 0x62 if wire == "tcp" else frame[6] == 0x53


def test_silence_is_answered_by_repeats_and_then_left() -> None:
    wire = Wire("hdlc+tcp", "faults.silent = true")

    async def scene() -> float:
        opened = Session(connection("hdlc+tcp"), wire, TIMING)
        with pytest.raises(NoAnswer, match="nothing for 5 s"):
            await opened.open()
        return asyncio.get_running_loop().time()

    assert run_simulated(scene()) == pytest.approx(3 * 5, abs=0.5)
    assert wire.sent == [wire.sent[0]] * 3


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_lost_answer_is_asked_for_again_and_nothing_is_missed(lost: int) -> None:
    wire = Wire("hdlc+tcp", lost=lambda number: number == lost)

    async def scene() -> list[bytes]:
        async with session(connection("hdlc+tcp"), wire, TIMING) as opened:
            return [(await opened.request(asked)).data for asked in (DEVICE_NAME, CLOCK)]

    name, clock = run_simulated(scene())
    assert name.endswith(b"EMUEM1")
    assert clock[:2] == b"\x09\x0c"
    assert len(wire.sent) > 5


@pytest.mark.parametrize("lost", [(2, 3), (3, 4)])
def test_repeats_are_counted_anew_for_each_answer(lost: tuple[int, ...]) -> None:
    wire = Wire("hdlc+tcp", lost=lambda number: number in lost)

    async def scene() -> bytes:
        async with session(connection("hdlc+tcp"), wire, TIMING) as opened:
            return (await opened.request(DEVICE_NAME)).data

    assert run_simulated(scene()).endswith(b"EMUEM1")


def test_repeats_are_counted_anew_for_each_request_of_a_procedure() -> None:
    wire = Wire("hdlc+tcp", lost=lambda number: number % 2 == 1)

    def procedure() -> Generator[Request, Answer, int]:
        answers = 0
        while answers < 5:
            yield CLOCK
            answers += 1
        return answers

    async def scene() -> int:
        async with session(connection("hdlc+tcp"), wire, TIMING) as opened:
            return await opened.run(procedure())

    assert run_simulated(scene()) == 5


@pytest.mark.parametrize("wire_kind", WIRES)
@pytest.mark.parametrize("error", [None, ValueError, PeerRefused])
def test_goodbye_is_said_whatever_happened(wire_kind: str, error: type[Exception] | None) -> None:
    wire = Wire(wire_kind)

    async def scene() -> None:
        async with session(connection(wire_kind), wire, TIMING) as opened:
            if error is ValueError:
                raise ValueError
            await opened.request(ENERGY if error is PeerRefused else CLOCK)

    if error is None:
        run_simulated(scene())
    else:
        with pytest.raises(error):
            run_simulated(scene())
    assert [is_goodbye(wire_kind, frame) for frame in wire.sent[-1:]] == [True]
    assert not any(is_goodbye(wire_kind, frame) for frame in wire.sent[:-1])


@pytest.mark.parametrize("wire_kind", WIRES)
def test_a_meter_that_fell_silent_is_not_waited_for_long_at_goodbye(wire_kind: str) -> None:
    wire = Wire(wire_kind, lost=lambda number: number > 3)

    async def scene() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        opened = Session(connection(wire_kind), wire, TIMING)
        await opened.open()
        await opened.request(CLOCK)
        started = loop.time()
        wire._loses = lambda _: True
        with pytest.raises(NoAnswer):
            await opened.request(CLOCK)
        silent_s, started = loop.time() - started, loop.time()
        await opened.close()
        return silent_s, loop.time() - started

    silent_s, goodbye_s = run_simulated(scene())
    tries = 1 if wire_kind == "tcp" else 3
    assert silent_s == pytest.approx(5 * tries, abs=0.5)
    # Over the wrapper a request that is still open leaves nothing to release: the socket closes.
    assert goodbye_s == pytest.approx(0 if wire_kind == "tcp" else TIMING.goodbye_s, abs=0.1)
    assert is_goodbye(wire_kind, wire.sent[-1]) == (wire_kind != "tcp")


def test_a_procedure_is_thrown_the_meters_refusals_and_goes_on() -> None:
    def procedure() -> Generator[Request, Answer, tuple[str, bytes]]:
        try:
            yield ENERGY
        except PeerRefused as refusal:
            answer = yield DEVICE_NAME
            return refusal.reason, answer.data
        raise AssertionError("the public client may not read this")

    async def scene() -> tuple[str, bytes]:
        async with session(connection("tcp"), Wire("tcp"), TIMING) as opened:
            return await opened.run(procedure())

    reason, name = run_simulated(scene())
    assert reason == "read-write-denied"
    assert name.endswith(b"EMUEM1")


@pytest.mark.parametrize("asked", [ENERGY, CLOCK])
def test_a_procedure_that_does_not_mind_is_ended_by_its_error(asked: Get) -> None:
    ended: list[str] = []
    wire = Wire("tcp", lost=lambda number: number > 1)

    def procedure() -> Generator[Request, Answer, None]:
        try:
            yield asked
        finally:
            ended.append("closed")

    async def scene() -> None:
        async with session(connection("tcp"), wire, TIMING) as opened:
            if asked is ENERGY:
                wire._loses = lambda _: False
            await opened.run(procedure())

    with pytest.raises(PeerRefused if asked is ENERGY else NoAnswer):
        run_simulated(scene())
    assert ended == ["closed"]
