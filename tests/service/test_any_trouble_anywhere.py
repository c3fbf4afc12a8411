"""Whatever befalls whichever answer: nothing is lost, doubled or invented, and the wire is free.

One meter, one visit after the other; one trouble at one answer of the run. What came before is
stored, what did not come is read again, and the time that it costs is bounded.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.config import Clocks, Reading
from gateway.service.supervisor import Service
from hil_tests.emulator.fleet import truth_of
from hil_tests.emulator.scenario import Scenario, parse_scenario
from hil_tests.emulator.trouble import RATES
from hil_tests.simulated.substation import Substation
from hil_tests.simulated.wire import SimulatedLine

START = "2026-05-03T10:20:00+05:30"
METER = """
seed = 1
start = {start}
installed = 2026-04-20

{bus}
[[meter]]
serial = "SM1"
model = "single_phase"
encoding = "integer"
wire = "{wire}"
address = 17
{more}
trouble.{kind} = 1000
trouble.only_at = {answer}
faults.clock_offset_s = 300
"""
BUS = '[[bus]]\nname = "bus0"\nbaud = 9600\n'
ONLY_ON_A_LINE = {"octet_lost", "octet_changed", "noise"}
ONLY_OVER_TCP = {"reset", "half_open"}
ANSWERS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 120)
"""Openings, associations, columns, blocks of buffers, the clock's setting, goodbyes."""
LOST_AT_MOST_S = 900


def scenario(wire: str, kind: str, answer: int) -> Scenario:
    on_bus = wire == "bus"
    return parse_scenario(
        METER.format(
            start=START,
            wire=wire,
            kind=kind,
            answer=answer,
            bus=BUS if on_bus else "",
            more='bus = "bus0"\nturnaround_ms = 20' if on_bus else "",
        )
    )


def cases() -> Iterator[tuple[str, str]]:
    for kind in RATES:
        if kind not in ONLY_OVER_TCP:
            yield "bus", kind
        if kind not in ONLY_ON_A_LINE:
            yield "tcp", kind


@pytest.mark.parametrize(("wire", "kind"), list(cases()))
@pytest.mark.parametrize("answer", ANSWERS)
def test_any_trouble_at_any_answer_costs_no_row_and_little_time(
    tmp_path: Path, wire: str, kind: str, answer: int
) -> None:
    station = Substation(
        tmp_path,
        scenario(wire, kind, answer),
        {"SM1": "is15959_part2_single_phase"},
        reading=Reading(daily_days=3, block_days=1),
        clocks=Clocks(set=True),
    )
    (line,) = station.lines.values()
    seen: list[int] = []

    async def play(station: Substation, _: Service) -> None:
        await asyncio.sleep(LOST_AT_MOST_S)
        seen.extend(held_of(station))
        await nobody_speaks(line)

    service = station.run(play)
    troubled = station.meters["SM1"].station.misfortunes
    assert troubled.happened in ({kind: 1}, {}), "at most one, of its kind"
    assert troubled.happened or answer > 50
    rows = stored(station)
    assert [time_s for time_s, _ in rows] == sorted({time_s for time_s, _ in rows})
    assert set(seen) <= {time_s for time_s, _ in rows}
    truth = truth_of(station.scenario, station.scenario.meters[0])
    assert all(wh == truth.block_at(time_s).shown.import_wh for time_s, wh in rows)
    (loop,) = service.wires
    assert loop.figures.conflicts == 0


def held_of(station: Substation) -> list[int]:
    """Blocks of the last day that the meter holds by now, but the youngest."""
    now_s = station.now_s()
    times = station.meters["SM1"].meter.held_times("1.0.99.1.0.255")
    return [time_s for time_s in times if now_s - 86_000 < time_s < now_s - 900]


async def nobody_speaks(line: SimulatedLine) -> None:
    """The wire is not held for ever: within a minute no octet goes over it for some seconds."""
    for _ in range(12):
        before = line.octets
        await asyncio.sleep(5)
        if line.octets == before:
            return
    raise AssertionError("the wire is busy all the time")


def stored(station: Substation) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(station.database)) as database:
        return database.execute(
            "SELECT CAST(strftime('%s', time_utc) AS INTEGER), wh_import FROM v_block_load"
            " ORDER BY 1"
        ).fetchall()
