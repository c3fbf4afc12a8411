"""The paced line under a clock that the test owns: nothing here waits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.errors import UsageError
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.pacing import CHUNK_OCTETS, NS_PER_S, Line, WireStats
from hil_tests.emulator.station import Spoiler
from hil_tests.emulator.wires import Bus

MS = 1_000_000


@dataclass
class FakeClock:
    """Time passes only by being waited for, and always a little too much."""

    now: int = 0
    oversleep: Callable[[], int] = lambda: 0
    waits: int = 0

    def now_ns(self) -> int:
        return self.now

    async def sleep_until(self, due_ns: int) -> None:
        self.waits += 1
        if due_ns > self.now:
            self.now = due_ns + self.oversleep()


@dataclass
class FakeStation:
    """Answers what it is addressed by."""

    name: bytes
    answer: bytes
    turnaround_ms: int = 0
    heard: list[bytes] = field(default_factory=list)

    def receive(self, data: bytes) -> bytes:
        self.heard.append(data)
        return self.answer if data.startswith(self.name) else b""


class Whole(Spoiler):
    """Nothing befalls an answer."""

    def __init__(self) -> None:
        super().__init__(Faults(), "whole")


def make_bus(clock: FakeClock, *stations: FakeStation, baud: int = 9600):
    written: list[tuple[int, bytes]] = []
    bus = Bus(
        [(station, Whole()) for station in stations],  # type: ignore[misc]
        baud,
        clock,
        lambda chunk: written.append((clock.now, chunk)),
    )
    return bus, written


def test_960_octets_take_a_second_at_9600_baud():
    line = Line(9600)
    assert line.duration_ns(960) == NS_PER_S
    assert line.occupy(5, 960) == 5 + NS_PER_S


def test_octets_wait_for_the_line_to_be_free():
    line = Line(9600)
    line.occupy(0, 960)
    assert line.occupy(NS_PER_S // 2, 960) == 2 * NS_PER_S
    assert line.occupy(10 * NS_PER_S, 960) == 11 * NS_PER_S


def test_an_odd_rate_does_not_drift():
    line = Line(9600)
    for _ in range(1_000_000):
        due = line.occupy(0, 1)
    assert due == 1_000_000 * 10 * NS_PER_S // 9600


def test_chunks_are_small_complete_and_in_time():
    line = Line(9600)
    data = bytes(range(256))
    chunks = list(line.chunks(0, data))
    assert b"".join(chunk for _, chunk in chunks) == data
    assert all(len(chunk) <= CHUNK_OCTETS for _, chunk in chunks)
    sent = 0
    for due, chunk in chunks:
        sent += len(chunk)
        assert due == line.duration_ns(sent)


def test_a_line_without_speed_is_refused():
    with pytest.raises(UsageError, match="0 baud"):
        Line(0)


def test_a_question_is_heard_when_it_is_through_and_answered_after_the_turnaround():
    clock = FakeClock()
    station = FakeStation(b"A", bytes(96), turnaround_ms=20)
    bus, written = make_bus(clock, station)
    asyncio.run(bus.hear(b"A" * 48))
    assert station.heard == [b"A" * 48]
    # 48 octets in: 50 ms; turnaround: 20 ms; then 16 octets each 16.67 ms.
    assert written[0][0] == 70 * MS + 16 * 10 * NS_PER_S // 9600
    assert written[-1][0] == 170 * MS
    assert b"".join(chunk for _, chunk in written) == bytes(96)


def test_only_the_addressed_meter_speaks_and_all_hear():
    clock = FakeClock()
    stations = [FakeStation(name, name * 3) for name in (b"A", b"B", b"C")]
    bus, written = make_bus(clock, *stations)
    asyncio.run(bus.hear(b"Bhello"))
    assert b"".join(chunk for _, chunk in written) == b"BBB"
    assert [station.heard for station in stations] == [[b"Bhello"]] * 3


def test_sleeping_too_long_does_not_slow_the_line_down():
    clock = FakeClock(oversleep=lambda: 3 * MS)
    bus, written = make_bus(clock, FakeStation(b"A", bytes(9600)))
    asyncio.run(bus.hear(b"A"))
    # 9601 octets at 960 a second: the last chunk is late by one oversleep, not by 600 of them.
    due = 9601 * 10 * NS_PER_S // 9600
    assert due <= written[-1][0] <= due + 3 * MS


def test_session_time_is_wire_time_and_turnarounds_whatever_the_scheduler_does():
    rng = random.Random(1)
    clock = FakeClock(oversleep=lambda: rng.randrange(2 * MS))
    bus, _ = make_bus(clock, FakeStation(b"A", bytes(130), turnaround_ms=20))

    async def session() -> None:
        for _ in range(50):
            await bus.hear(b"A" * 30)

    asyncio.run(session())
    stats = bus.stats
    assert (stats.octets_in, stats.octets_out, stats.turnarounds) == (1500, 6500, 50)
    ideal = stats.wire_ns(9600)
    assert ideal == 8000 * 10 * NS_PER_S // 9600 + 50 * 20 * MS
    # The reader asks again when it has the answer: one oversleep a round at most is lost.
    assert ideal <= clock.now <= ideal + 50 * 2 * MS


def test_stats_of_an_idle_wire_are_nothing():
    assert WireStats().wire_ns(9600) == 0
