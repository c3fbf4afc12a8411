"""The fleet's judgement finds what is missing, doubled or wrong; its bus figures are measured."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.service.supervisor import Service
from hil_tests.emulator.fleet import truth_of
from hil_tests.emulator.household import DAY_S
from hil_tests.simulated.mixture import DEVIATIONS, METERS_PER_BUS, mixed, on_one_bus
from hil_tests.simulated.substation import Substation
from proofs.fleet import Judgement

START = "2026-05-03T10:20:00+05:30"


def test_a_mixture_has_all_kinds_and_is_the_same_for_the_same_seed() -> None:
    mixture = mixed(200, seed=1, start=START, days=7)
    meters = mixture.scenario.meters
    assert {meter.wire.value for meter in meters} == {"bus", "tcp", "hdlc+tcp"}
    assert {meter.model.phases for meter in meters} == {1, 3}
    assert len({meter.faults for meter in meters}) == len(set(DEVIATIONS))
    assert any(meter.trouble.silent_to_s for meter in meters)
    assert len(mixture.scenario.buses) == 200 * 3 // 5 // METERS_PER_BUS
    assert mixed(200, seed=1, start=START, days=7) == mixture
    assert mixed(200, seed=2, start=START, days=7) != mixture


def test_only_the_dead_meters_of_a_bus_are_dead() -> None:
    meters = on_one_bus(32, seed=1, start=START, dead=(5,)).scenario.meters
    assert [meter.faults.silent for meter in meters] == [n == 5 for n in range(32)]


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda rows: rows, (0, 0, 0)),
        (lambda rows: rows[1:], (1, 0, 0)),
        (lambda rows: [*rows, rows[0]], (0, 1, 0)),
        (lambda rows: [(rows[0][0], rows[0][1] + 1, *rows[0][2:]), *rows[1:]], (0, 0, 1)),
        (lambda rows: rows[:0], (5, 0, 0)),
    ],
)
def test_each_kind_of_difference_is_found(spoil, found) -> None:
    mixture = mixed(1, seed=1, start=START, days=1)
    truth = truth_of(mixture.scenario, mixture.scenario.meters[0])
    now_s = mixture.scenario.start_s or 0
    held = [row.captured_at_s for row in truth.daily_rows(now_s)][-5:]
    rows = [(time_s, *truth.register_at(time_s).shown) for time_s in held]
    judgement = Judgement()
    judgement.add("M1 daily_load", held, spoil(rows), truth.register_at)
    assert (judgement.missing, judgement.doubled, judgement.wrong) == found
    assert judgement.rows_expected == 5


def test_a_few_meters_with_trouble_are_read_whole(tmp_path: Path) -> None:
    mixture = mixed(5, seed=3, start=START, days=1)
    station = Substation(tmp_path, mixture.scenario, mixture.profiles, seed=3)
    wanted: dict[str, set[int]] = {}

    async def play(station: Substation, _: Service) -> None:
        await asyncio.sleep(6 * 3600)
        for serial, one in station.meters.items():
            wanted[serial] = set(one.meter.held_times("1.0.99.2.0.255"))
        await asyncio.sleep(1800)

    service = station.run(play)
    assert sum(loop.figures.sessions for loop in service.wires) >= 5
    assert all(times for times in wanted.values())
    since_s = (mixture.scenario.start_s or 0) - 30 * DAY_S
    with closing(sqlite3.connect(station.database)) as database:
        for serial, times in wanted.items():
            rows = database.execute(
                "SELECT CAST(strftime('%s', time_utc) AS INTEGER) FROM v_daily_load"
                " WHERE meter = ?",
                [serial],
            ).fetchall()
            assert {t for t in times if t > since_s} <= {t for (t,) in rows}
