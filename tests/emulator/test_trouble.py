"""Trouble comes at its stated rate, the same in every run, and is of the kind it is called."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from gateway.dlms.association.requests import Get
from gateway.dlms.link import NEED_DATA
from gateway.errors import LinkLost, NoAnswer
from gateway.model import Obis
from gateway.service.simulation import run_simulated
from hil_tests.emulator.station import Spoiler
from hil_tests.emulator.trouble import RATES, Misfortunes, Sending, Trouble, TroubledStation
from hil_tests.emulator.wires import TcpWire
from hil_tests.simulated.wire import SimulatedLine, SimulatedWire
from tests.emulator.rig import Rig, meter_scenario

ANSWER = bytes(range(40))


@dataclass
class Meter:
    """Answers everything, after its turnaround; knows how often it was made anew."""

    turnaround_ms: int = 20
    heard: list[bytes] = field(default_factory=list)

    def receive(self, data: bytes) -> bytes:
        self.heard.append(data)
        return ANSWER


class Bench:
    """A troubled meter and its time."""

    def __init__(self, trouble: Trouble, name: str = "M1") -> None:
        self.now_s = 0
        self.made: list[Meter] = []
        self.other_readers = 0
        self.misfortunes = Misfortunes(trouble, name, lambda: self.now_s, self._see_other_reader)
        self.station = TroubledStation(self._make, self.misfortunes)

    def _make(self) -> Meter:
        self.made.append(Meter())
        return self.made[-1]

    def _see_other_reader(self) -> None:
        self.other_readers += 1

    def answers(self, count: int) -> list[Sending]:
        return [self.station.receive(b"?") for _ in range(count)]


def always(kind: str) -> Trouble:
    return replace(Trouble(), **{kind: 1000})


def test_without_trouble_a_meter_answers_as_it_is() -> None:
    bench = Bench(Trouble())
    assert bench.answers(500) == [Sending(ANSWER)] * 500
    assert bench.misfortunes.happened == {}


@pytest.mark.parametrize("kind", RATES)
def test_each_kind_comes_at_its_rate_and_the_same_in_every_run(kind: str) -> None:
    trouble = replace(Trouble(cut_s=0, held_s=0), **{kind: 100})
    runs = [Bench(trouble) for _ in range(2)]
    answers = [bench.answers(2000) for bench in runs]
    assert answers[0] == answers[1]
    assert 140 <= runs[0].misfortunes.happened[kind] <= 260
    assert Bench(trouble, "M2").answers(200) != answers[0][:200] or kind == "counter_jump"


def test_what_becomes_of_an_answer_is_what_the_trouble_is_called() -> None:
    assert len(Bench(always("octet_lost")).answers(1)[0].octets) == len(ANSWER) - 1
    (changed,) = Bench(always("octet_changed")).answers(1)
    assert sum(a != b for a, b in zip(changed.octets, ANSWER, strict=True)) == 1
    (noisy,) = Bench(always("noise")).answers(1)
    assert noisy.octets.endswith(ANSWER)
    assert len(noisy.octets) > len(ANSWER)
    assert Bench(always("answer_lost")).answers(1) == [Sending()]
    assert Bench(always("answer_late")).answers(1) == [Sending(ANSWER, late_ms=4000)]
    (reset,) = Bench(always("reset")).answers(1)
    assert reset.resets
    assert ANSWER.startswith(reset.octets)
    bench = Bench(always("counter_jump"))
    assert bench.answers(1) == [Sending(ANSWER)]
    assert bench.other_readers == 1


@pytest.mark.parametrize(("kind", "lasts_s"), [("power_cut", 20), ("half_open", 120)])
def test_a_meter_without_power_is_silent_and_has_forgotten_its_association(
    kind: str, lasts_s: int
) -> None:
    bench = Bench(always(kind))
    assert bench.answers(1) == [Sending(forgets=True)]
    assert len(bench.made) == 2
    bench.now_s = lasts_s - 1
    bench.answers(3)
    assert bench.made[-1].heard == []
    bench.now_s = lasts_s
    bench.answers(1)
    assert len(bench.made) == 3


def test_a_meter_out_of_reach_is_silent_for_that_time_only() -> None:
    bench = Bench(Trouble(silent_from_s=100, silent_to_s=200))
    for now_s, octets in ((99, ANSWER), (100, b""), (199, b""), (200, ANSWER)):
        bench.now_s = now_s
        assert bench.answers(1)[0].octets == octets


def on_line(trouble: Trouble, baud: int | None) -> SimulatedLine:
    return SimulatedLine([Bench(trouble).station], baud)


async def exchange(line: SimulatedLine, timeout_s: float = 5) -> tuple[bytes, float]:
    wire = SimulatedWire(line)
    await wire.connect()
    await wire.send(bytes(96))
    received = await wire.receive(timeout_s)
    return received, asyncio.get_running_loop().time()


def test_octets_and_turnarounds_take_their_time_on_a_line() -> None:
    line = on_line(Trouble(), 9600)
    received, at_s = run_simulated(exchange(line))
    assert received == ANSWER
    assert round(at_s * 1000) == round((96 + 40) * 10 / 9.6 + 20)
    assert round(line.busy_s * 1000) == round(at_s * 1000)


def test_an_answer_that_is_late_is_heard_by_whoever_opens_the_line_next() -> None:
    line = on_line(always("answer_late"), 9600)

    async def scene() -> tuple[bytes, int]:
        with pytest.raises(NoAnswer):
            await exchange(line, 2)
        later = SimulatedWire(line)
        await later.connect()
        heard = await later.receive(10)
        assert await later.flush() == 0
        return heard, round(line.waited_s)

    assert run_simulated(scene()) == (ANSWER, 2)


def test_what_came_before_a_request_is_dropped_where_that_is_asked_for() -> None:
    line = on_line(always("answer_late"), 9600)

    async def scene() -> int:
        with pytest.raises(NoAnswer):
            await exchange(line, 2)
        await asyncio.sleep(10)
        return await SimulatedWire(line).flush()

    assert run_simulated(scene()) == len(ANSWER)


def test_a_connection_that_was_reset_is_lost_and_a_new_one_works() -> None:
    line = on_line(replace(Trouble(), reset=1000), None)

    async def scene() -> None:
        wire = SimulatedWire(line)
        await wire.connect()
        await wire.send(b"?")
        with suppress(LinkLost):
            # Nothing of the answer may have come through.
            assert ANSWER.startswith(await wire.receive(5))
        with pytest.raises(LinkLost):
            await wire.send(b"?")
        await wire.connect()
        await wire.send(b"?")

    run_simulated(scene())


@pytest.mark.parametrize("kind", ["power_cut", "half_open", "reset"])
def test_on_a_real_wire_a_meter_forgets_its_association_too(kind: str) -> None:
    rig = Rig(meter_scenario())
    client = rig.client("public")
    client.open()
    misfortunes = Misfortunes(always(kind), "EM1", lambda: rig.now_s, lambda: None)
    spoiler = Spoiler(rig.scenario.faults, "EM1", misfortunes)
    client.connection.send(Get(1, Obis.parse("0-0:42.0.0*255"), 2))
    request = client.connection.data_to_send()
    sending = spoiler.answer(rig.station, request)
    assert sending.forgets
    assert spoiler.pieces(sending.octets) == ([sending.octets] if sending.octets else [])
    rig.now_s += 1_000
    assert rig.station.receive(request)[8:9] in (b"", b"\xd8"), "not associated any more"


def test_a_reader_over_a_real_connection_sees_the_reset() -> None:
    async def scene() -> bool:
        rig = Rig(meter_scenario())
        misfortunes = Misfortunes(always("reset"), "EM1", lambda: rig.now_s, lambda: None)
        wire = TcpWire(lambda: rig.station, Spoiler(rig.scenario.faults, "EM1", misfortunes))
        await wire.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        connection = rig.client("public").connection
        connection.open()
        assert connection.next_event() is NEED_DATA
        writer.write(connection.data_to_send())
        try:
            return await asyncio.wait_for(reader.read(), 10) != ANSWER
        except ConnectionResetError:
            return True
        finally:
            writer.close()
            await wire.stop()

    assert asyncio.run(scene())
