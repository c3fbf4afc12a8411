"""Meters that dial in: who is believed, who is turned away, and what a call is worth."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import CallingMeter, Listener, ListenerTls, Site
from gateway.errors import ConfigError, LinkLost, NoAnswer, UsageError
from gateway.model import MeterId, ProfileKind
from gateway.poller import Poller
from gateway.profile import load_profile
from gateway.service.callers import CallDesk, CallerLine, NobodyCalled, name_asker
from gateway.service.clock import LoopClock
from gateway.service.supervisor import Service
from gateway.transport import Transport
from gateway.transport.called import CalledTransport
from gateway.url import parse_url
from hil_tests.certificates import Authority
from hil_tests.emulator.station import Station
from hil_tests.emulator.wires import CallingWire
from tests.emulator.rig import Rig, meter_scenario
from tests.service.world import World, until
from tests.transport.test_transport_faults import found_dead_after_s

LOCAL = (ip_network("127.0.0.0/8"),)
PROFILE = "is15959_part2_single_phase"
BLOCKS = 48


def calling(serial: str = "EM1", **words: Any) -> CallingMeter:
    words = words or {"device_name": f"EMU{serial}"}
    return CallingMeter(serial=MeterId(serial), profile=PROFILE, **words)


def listener(*meters: CallingMeter, url: str = "tcp://127.0.0.1:0", **words: Any) -> Listener:
    made: dict[str, Any] = {"networks": LOCAL, "identify_s": 5} | words
    place = replace(parse_url(url.replace(":0", ":1")), port=0)
    return Listener(name="calls", url=place, meters=meters, **made)


class Desk:
    """A desk that listens, and what it said."""

    def __init__(self, words: Listener, name: str | None = None) -> None:
        self.lines = [CallerLine(meter) for meter in words.meters]
        self.asked = 0

        async def ask(transport: Transport) -> str:
            self.asked += 1
            if name is None:
                await transport.receive(60)
            return name or ""

        real = name_asker(words, load_profile("is15959_part2"), bytes)
        self.desk = CallDesk(words, self.lines, real if name == "(ask)" else ask)


@asynccontextmanager
async def desk_of(words: Listener, name: str | None = None) -> AsyncIterator[Desk]:
    made = Desk(words, name)
    running = asyncio.create_task(made.desk.run())
    try:
        async with asyncio.timeout(30):
            await made.desk.listening.wait()
            yield made
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


Body = Callable[[Desk], Awaitable[None]]


def at_desk(words: Listener, name: str | None, body: Body) -> list[Any]:
    """Play a scene at a desk; what was logged."""

    async def scene() -> None:
        async with desk_of(words, name) as made:
            await body(made)

    with capture_logs() as logs:
        asyncio.run(scene())
    return logs


async def call(desk: Desk, **tls: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", desk.desk.port, **tls)


async def is_hung_up(caller: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bool:
    with suppress(ConnectionError):
        await caller[0].read()
    caller[1].close()
    return caller[0].at_eof() or caller[0].exception() is not None


def asked_without_keys(rig: Rig) -> bool:
    """Whether no client that has keys ever sent this meter anything."""
    return max(rig.meter.last_received.values()) < 0


def told(logs: list[Any]) -> list[str]:
    return [entry["why"] for entry in logs if entry["event"] == "caller turned away"]


# -- who is believed ------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["tcp", "hdlc+tcp"])
def test_a_meter_is_known_by_the_name_that_its_public_association_shows(wire: str) -> None:
    server = "?server=17" if wire == "hdlc+tcp" else ""
    words = listener(calling("EM2"), calling(), url=f"{wire}://127.0.0.1:0{server}")
    rig = Rig(meter_scenario(wire=wire))

    async def body(desk: Desk) -> None:
        meter = CallingWire(lambda: rig.station, rig.spoiler, ("127.0.0.1", desk.desk.port), 60)
        await meter.start()
        await desk.lines[1].present()
        await desk.lines[1].transport().connect()
        with pytest.raises(NobodyCalled):
            desk.lines[0].transport()
        await meter.stop()

    logs = at_desk(words, "(ask)", body)
    assert [entry["meter"] for entry in logs if entry["event"] == "meter called"] == ["EM1"]
    assert asked_without_keys(rig)


def test_a_meter_without_a_name_is_known_by_its_address_and_asked_nothing() -> None:
    async def body(desk: Desk) -> None:
        _, writer = await call(desk)
        await desk.lines[0].present()
        assert desk.asked == 0
        writer.close()

    at_desk(listener(calling(address=ip_address("127.0.0.1"))), None, body)


def test_the_right_name_from_the_wrong_address_is_nobody() -> None:
    async def body(desk: Desk) -> None:
        assert await is_hung_up(await call(desk))

    known = calling(device_name="EMUEM1", address=ip_address("127.0.0.99"))
    logs = at_desk(listener(known), "EMUEM1", body)
    assert told(logs) == ["not known here: device name 'EMUEM1'"]


def test_an_unknown_caller_is_told_once_and_hung_up_each_time() -> None:
    async def body(desk: Desk) -> None:
        for _ in range(3):
            assert await is_hung_up(await call(desk))
        assert desk.desk.refused == 3

    logs = at_desk(listener(calling()), "STRANGER", body)
    assert told(logs) == ["not known here: device name 'STRANGER'"]


def test_a_caller_that_says_another_name_each_time_does_not_fill_the_log() -> None:
    async def body(desk: Desk) -> None:
        for number in range(40):
            desk.desk._tell(ip_address("10.0.0.1"), f"not known here: {number}")
        for number in range(3000):
            desk.desk._tell(ip_address(number), "not known here")
        assert len(desk.desk._told) <= 1000

    logs = at_desk(listener(calling()), "EMUEM1", body)
    assert sum(why != "not known here" for why in told(logs)) == 16


# -- bounds ---------------------------------------------------------------------------------------


def test_a_caller_from_elsewhere_is_turned_away_unheard() -> None:
    async def body(desk: Desk) -> None:
        assert await is_hung_up(await call(desk))
        assert desk.asked == 0

    words = listener(calling(), networks=(ip_network("10.20.0.0/16"),))
    assert told(at_desk(words, "EMUEM1", body)) == ["not in an allowed network"]


def test_a_caller_that_says_nothing_is_hung_up_in_time() -> None:
    async def body(desk: Desk) -> None:
        assert await is_hung_up(await call(desk))

    logs = at_desk(listener(calling(), identify_s=1), None, body)
    assert told(logs) == ["did not say who it is within 1 s"]


def test_garbage_is_no_name() -> None:
    async def body(desk: Desk) -> None:
        caller = await call(desk)
        await caller[0].readexactly(8)
        caller[1].write(b"GET / HTTP/1.1\r\n\r\n")
        assert await is_hung_up(caller)

    (why,) = told(at_desk(listener(calling()), "(ask)", body))
    assert why.startswith("cannot be asked who it is: wrapper version")


def test_more_than_the_stated_number_of_callers_are_turned_away() -> None:
    async def body(desk: Desk) -> None:
        first = [await call(desk) for _ in range(2)]
        assert await is_hung_up(await call(desk))
        for _, writer in first:
            writer.close()

    words = listener(calling(), max_unidentified=2)
    assert "2 callers have not said yet who they are" in told(at_desk(words, None, body))


def test_a_meter_that_lost_its_supply_is_found_out_within_minutes() -> None:
    async def body(desk: Desk) -> None:
        _, writer = await call(desk)
        await desk.lines[0].present()
        held = desk.lines[0].transport()
        assert isinstance(held, CalledTransport)
        assert held._stream is not None
        assert found_dead_after_s(held._stream.get_extra_info("socket")) <= 180
        writer.close()

    at_desk(listener(calling()), "EMUEM1", body)


def test_a_place_that_was_left_is_free_again() -> None:
    async def body(desk: Desk) -> None:
        for _ in range(3):
            _, writer = await call(desk)
            await desk.lines[0].present()
            assert await is_hung_up(await call(desk)), "one place, and it is taken"
            ended = desk.lines[0].transport()
            writer.close()
            with pytest.raises(LinkLost):
                await ended.receive(10)

    words = listener(calling(), max_connections=1)
    assert told(at_desk(words, "EMUEM1", body)) == ["1 connections are open already"]


# -- a call and the next one ----------------------------------------------------------------------


def test_a_new_call_replaces_the_old_one() -> None:
    async def body(desk: Desk) -> None:
        old = await call(desk)
        await desk.lines[0].present()
        held = desk.lines[0].transport()
        waiting = asyncio.ensure_future(held.receive(60))
        new = await call(desk)
        assert await is_hung_up(old)
        with pytest.raises(LinkLost, match="closed by this side"):
            await waiting
        await desk.lines[0].transport().send(b"?")
        assert await new[0].readexactly(1) == b"?"
        new[1].close()

    at_desk(listener(calling()), "EMUEM1", body)


def test_a_meter_that_hung_up_is_not_there_until_it_calls_again() -> None:
    async def body(desk: Desk) -> None:
        line = desk.lines[0]
        for _ in range(2):
            _, writer = await call(desk)
            await line.present()
            held = line.transport()
            writer.close()
            with pytest.raises(LinkLost):
                await held.receive(10)
            with pytest.raises(NobodyCalled, match="EM1 has not called"):
                line.transport()

    at_desk(listener(calling()), "EMUEM1", body)


def test_when_the_desk_closes_every_call_ends() -> None:
    async def scene() -> None:
        async with desk_of(listener(calling()), "EMUEM1") as desk:
            caller = await call(desk)
            await desk.lines[0].present()
        assert await is_hung_up(caller)

    asyncio.run(scene())


def test_a_port_that_is_taken_is_named() -> None:
    async def body(desk: Desk) -> None:
        other = listener(calling())
        taken = replace(other, url=replace(other.url, port=desk.desk.port))
        with pytest.raises(UsageError, match=r"listener calls: tcp://127\.0\.0\.1.*in use"):
            await CallDesk(taken, [], lambda _: asyncio.sleep(0, "x")).run()

    at_desk(listener(calling()), "EMUEM1", body)


# -- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_certificate", [True, False])
def test_over_tls_a_caller_without_a_certificate_is_hung_up(
    tmp_path: Path, has_certificate: bool
) -> None:
    authority = Authority(tmp_path)
    ours, theirs = authority.issue("listener", server=True), authority.issue("meter")
    assert ours.certificate_file is not None
    assert ours.key_file is not None
    tls = ListenerTls(
        certificate_file=ours.certificate_file,
        key_file=ours.key_file,
        client_ca_file=authority.ca_file,
    )
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    if has_certificate:
        assert theirs.certificate_file is not None
        context.load_cert_chain(theirs.certificate_file, theirs.key_file)

    async def body(desk: Desk) -> None:
        caller = await call(desk, ssl=context, server_hostname="localhost")
        if has_certificate:
            await desk.lines[0].present()
            await desk.lines[0].transport().send(b"?")
            assert await caller[0].readexactly(1) == b"?"
            caller[1].close()
            return
        with suppress(ssl.SSLError):
            assert await is_hung_up(caller)
        assert desk.asked == 0

    logs = at_desk(listener(calling(), tls=tls), "EMUEM1", body)
    assert len(told(logs)) == (0 if has_certificate else 1)


def test_files_that_are_no_certificate_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("x")
    tls = ListenerTls(certificate_file=tmp_path / "x.pem", key_file=tmp_path / "x.key")
    with pytest.raises(ConfigError, match=r"x\.pem"):
        CallDesk(listener(calling(), tls=tls), [], lambda _: asyncio.sleep(0, "x"))


# -- the whole service ----------------------------------------------------------------------------


class CalledWorld(World):
    """A gateway that its meter dials; strangers dial, too."""

    def site(self) -> Site:
        return replace(super().site(), wires=(), listeners=(listener(calling(), profile=PROFILE),))

    async def play(self, during: Callable[[Service, CallingWire], Awaitable[None]]) -> None:
        clock = self.clock = LoopClock(self.now_s * 1_000_000, synchronised=True)
        parts = self.parts(clock)
        service = Service(self.site(), parts)
        running = asyncio.create_task(service.run())
        (desk,) = service.desks
        await desk.listening.wait()
        self.callers: list[CallingWire] = []
        try:
            async with asyncio.timeout(60):
                await during(service, await self.dial(self.rig, desk.port))
        finally:
            for meter in self.callers:
                await meter.stop()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await parts.close()

    async def dial(self, rig: Rig, port: int) -> CallingWire:
        def station() -> Station:
            return Station(rig.scenario, rig.keys, rig.meter)

        meter = CallingWire(station, rig.spoiler, ("127.0.0.1", port), 0.1)
        self.callers.append(meter)
        await meter.start()
        return meter

    async def read(self) -> None:
        kind = ProfileKind.BLOCK_LOAD
        await until(
            lambda: len(self.store.captured_times(MeterId("EM1"), kind, 0, 1 << 40)) >= BLOCKS
        )


def test_a_meter_that_dials_in_is_read_to_the_last_row(tmp_path: Path) -> None:
    world = CalledWorld(tmp_path)

    async def during(service: Service, meter: CallingWire) -> None:
        await world.read()
        await asyncio.sleep(0.1)
        assert meter.calls == 1, "the connection is kept when there is nothing to ask"
        assert service.wires[0].figures.failures == 0

    asyncio.run(world.play(during))


def test_a_stranger_is_never_read_and_costs_the_known_one_nothing(tmp_path: Path) -> None:
    world = CalledWorld(tmp_path)
    other = Rig(replace(meter_scenario(), serial="XX9"))

    async def during(service: Service, meter: CallingWire) -> None:
        stranger = await world.dial(other, service.desks[0].port)
        await world.read()
        await until(lambda: stranger.calls >= 2)

    with capture_logs() as logs:
        asyncio.run(world.play(during))
    assert told(logs) == ["not known here: device name 'EMUXX9'"]
    assert asked_without_keys(other)


def test_a_call_that_leads_nowhere_is_ended_and_the_next_one_is_read(tmp_path: Path) -> None:
    world = CalledWorld(tmp_path)

    async def during(service: Service, meter: CallingWire) -> None:
        await until(lambda: bool(service.wires[0].figures.sessions))
        for connection in tuple(meter._open):
            connection.abort()
        async with asyncio.timeout(10):
            await world.read()
        assert meter.calls == 2

    asyncio.run(world.play(during))


def test_a_call_that_nobody_needs_now_is_kept_for_the_next_job() -> None:
    async def body(desk: Desk) -> None:
        _, writer = await call(desk)
        line = desk.lines[0]
        await line.present()
        poller = Poller("EM1", line.transport)
        running = asyncio.create_task(poller.run())

        async def job(transport: Transport) -> Transport:
            return transport

        first = await poller.submit(job)
        while poller._transport is not None:  # noqa: ASYNC110 until the wire is let go
            await asyncio.sleep(0)
        assert first.is_open
        assert await poller.submit(job) is first
        running.cancel()
        writer.close()

    at_desk(listener(calling()), "EMUEM1", body)


def test_silence_on_a_call_hangs_up(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        caller = await call(desk)
        line = desk.lines[0]
        await line.present()
        poller = Poller("EM1", line.transport)
        running = asyncio.create_task(poller.run())

        async def job(transport: Transport) -> None:
            await transport.receive(0.05)

        with pytest.raises(NoAnswer):
            await poller.submit(job)
        assert await is_hung_up(caller)
        with pytest.raises(NobodyCalled):
            await poller.submit(job)
        assert isinstance(poller.absence, NobodyCalled)
        running.cancel()

    at_desk(listener(calling()), "EMUEM1", body)
