"""Sessions with larger information fields and windows: read whole, and what they cost on a line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.dlms import reading
from gateway.dlms.hdlc import HdlcLink, HdlcParameters
from gateway.dlms.link import Link
from gateway.dlms.plan import Span
from gateway.dlms.reading import Buffer
from gateway.profile import Quirk, load_profile
from gateway.service.core_settings import make_link
from gateway.service.simulation import run_simulated
from gateway.session import Timing, session
from gateway.transport.port import Transport
from gateway.transport.tcp import TcpTransport
from gateway.url import TransportKind
from hil_tests.emulator.pacing import NS_PER_S
from hil_tests.emulator.station import Station
from hil_tests.emulator.wires import LOOPBACK, Bus, TcpWire
from tests.emulator.rig import NOW_S, RULES, Rig, meter_scenario
from tests.emulator.test_sessions import (
    BLOCK,
    DAILY,
    DAY_S,
    LIMITS,
    MIDNIGHT,
    expected,
    plain,
    read,
)
from tests.service.world import StationTransport

BAUD = 9600
TURNAROUND_MS = 20
METER_READER = 32
DAY = reading.range_of(Span(MIDNIGHT - DAY_S + 1, MIDNIGHT), RULES)
TIMING = Timing(answer_s=30, repeats=0)


def rig_with(octets: int, window: int, more: str = "") -> Rig:
    text = f"information_octets = {octets}\nwindow = {window}\nturnaround_ms = {TURNAROUND_MS}"
    return Rig(meter_scenario(f"{text}\n{more}", wire="hdlc+tcp"))


def link_of(octets: int, window: int, *quirks: Quirk) -> Link:
    """The gateway's link to the rig's meter, as a profile with these words makes it."""
    profile = load_profile("is15959_part2_single_phase")
    profile = replace(
        profile,
        link=replace(profile.link, info_field_octets=octets, window=window),
        quirks=dict.fromkeys(quirks, "a reason"),
    )
    return make_link(profile, TransportKind.HDLC_TCP, METER_READER, 17)


async def read_day(rig: Rig, link: Link, transport: Transport) -> Buffer:
    """Associate, read a day of block load, hang up."""
    connection = rig.client("meter_reader", link=link).connection
    await transport.connect()
    async with session(connection, transport, TIMING) as opened:
        return await opened.run(reading.read_buffer(BLOCK, DAY, LIMITS))


@pytest.mark.parametrize(("octets", "window"), [(2030, 7), (128, 7), (2030, 1), (16, 7), (100, 2)])
def test_a_meter_is_read_whole_at_any_field_and_window(octets: int, window: int) -> None:
    rig = rig_with(octets, window)
    link = link_of(octets, window)
    client = rig.client("meter_reader", link=link)
    client.open()
    assert isinstance(link, HdlcLink)
    assert link.parameters == HdlcParameters.both_ways(octets, window)
    assert plain(read(client, DAILY)) == expected(rig, DAILY)
    assert plain(read(client, BLOCK)) == expected(rig, BLOCK)
    client.close()


def test_a_meter_that_agrees_to_less_is_read_whole_too() -> None:
    rig = rig_with(200, 3)
    link = link_of(2030, 7)
    client = rig.client("meter_reader", link=link)
    client.open()
    assert isinstance(link, HdlcLink)
    assert link.parameters == HdlcParameters.both_ways(200, 3)
    assert plain(read(client, BLOCK)) == expected(rig, BLOCK)
    client.close()


@pytest.mark.parametrize("fault", ["drop_every = 3", "noise_octets = 9", "split_octets = 1"])
def test_faults_of_the_wire_cost_no_row_and_double_none(fault: str) -> None:
    rig = rig_with(64, 7, f"faults.{fault}")
    client = rig.client("meter_reader", link=link_of(64, 7))
    client.open()
    assert plain(read(client, BLOCK)) == expected(rig, BLOCK)
    client.close()


def test_one_spoilt_frame_of_a_window_costs_its_tail_and_no_row() -> None:
    rig = rig_with(64, 7)
    client = rig.client("meter_reader", link=link_of(64, 7))
    exchange, heard = client.exchange, [0]

    def spoil(octets: bytes) -> Iterator[bytes]:
        for piece in exchange(octets):
            heard[0] += 1
            at = heard[0] % 7 * 70 % len(piece)
            yield piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :] if heard[0] % 3 else piece

    client.open()
    client.exchange = spoil
    assert plain(read(client, BLOCK, DAY)) == [
        row for row in expected(rig, BLOCK) if MIDNIGHT - DAY_S < row[0] <= MIDNIGHT
    ]
    client.close()


def test_over_hdlc_on_tcp_a_day_is_read_whole_with_the_largest_window_and_field() -> None:
    rig = rig_with(2030, 7)

    async def scene() -> tuple[Buffer, TcpWire]:
        wire = TcpWire(lambda: Station(rig.scenario, rig.keys, rig.meter), rig.spoiler)
        await wire.start()
        transport = TcpTransport(LOOPBACK, wire.port)
        try:
            return await read_day(rig, link_of(2030, 7), transport), wire
        finally:
            await transport.close()
            await wire.stop()

    buffer, wire = asyncio.run(scene())
    assert len(buffer.rows) == 48
    # SNRM, AARQ, the request with its blocks, DISC: no turnaround is spent on segments.
    assert wire.stats.turnarounds <= 7


def test_a_meter_whose_receive_number_never_counts_is_sent_no_windows() -> None:
    link = link_of(2030, 7, Quirk.FROZEN_RECEIVE_SEQUENCE)
    assert isinstance(link, HdlcLink)
    assert link.parameters == HdlcParameters(2030, 2030, window_transmit=1, window_receive=7)


class LoopClock:
    """The running loop's time, which is simulated."""

    def now_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * NS_PER_S)

    async def sleep_until(self, due_ns: int) -> None:
        await asyncio.sleep(max(0, due_ns - self.now_ns()) / NS_PER_S)


class PacedTransport(StationTransport):
    """The rig's meter alone on a line of 9600 baud."""

    def __init__(self, rig: Rig) -> None:
        super().__init__([rig], lambda: NOW_S, lambda: False)
        self.bus = Bus([(rig.station, rig.spoiler)], BAUD, LoopClock(), self._arrive)

    def _arrive(self, chunk: bytes) -> None:
        self._answers.append(chunk)

    async def send(self, data: bytes) -> None:
        await self.bus.hear(data)

    async def receive(self, timeout_s: float) -> bytes:
        return self._answers.pop(0) if self._answers else await super().receive(timeout_s)


def line_s(octets: int, window: int) -> tuple[float, int]:
    """Seconds of a session on the paced line, and its turnarounds."""
    rig = rig_with(octets, window)
    transport = PacedTransport(rig)

    async def scene() -> float:
        buffer = await read_day(rig, link_of(octets, window), transport)
        assert len(buffer.rows) == 48
        return asyncio.get_running_loop().time()

    elapsed_s = run_simulated(scene())
    assert elapsed_s == pytest.approx(transport.bus.stats.wire_ns(BAUD) / NS_PER_S, rel=0.005)
    return elapsed_s, transport.bus.stats.turnarounds


def test_on_a_slow_line_windows_save_turnarounds_and_larger_fields_octets_too() -> None:
    one_by_one, many = line_s(128, 1)
    in_windows, fewer = line_s(128, 7)
    large, least = line_s(2030, 1)
    assert many > 2 * fewer
    assert fewer > least
    assert in_windows < 0.9 * one_by_one
    assert large < 0.94 * in_windows
