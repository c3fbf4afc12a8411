"""Meters that take no ranges, give few rows at once, have holes, or change their period."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import Clocks, Reading
from gateway.model import MeterId, ProfileKind, TimeQuality
from gateway.profile import Access
from hil_tests.emulator.household import DAY_S
from tests.emulator.rig import NOW_S, Rig
from tests.service.world import START_S, World

BLOCK, DAILY = ProfileKind.BLOCK_LOAD, ProfileKind.DAILY_LOAD
WIRES = ["tcp", "hdlc+tcp"]
EM1 = MeterId("EM1")


def whole(world: World) -> None:
    """Every row of the horizon is stored, none twice, and holds the meter's truth."""
    now_s = world.now_s - 120
    first = now_s - DAY_S + 3600
    wanted = {row.captured_at_s for row in world.rig.truth.block_rows(now_s)}
    stored = world.stored[BLOCK]
    assert {t for t in wanted if t >= first} <= set(stored)
    rows = world.backend.rows("block_load")
    assert len(rows) == len(set(rows)) == len(stored)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("more", ["", "\nfaults.unsorted_rows = true"])
def test_a_meter_that_refuses_ranges_is_read_by_entry_from_then_on(
    tmp_path: Path, wire: str, more: str
) -> None:
    world = World(tmp_path, faults="faults.range_refused = true" + more, wire=wire)
    service = world.run(600)
    whole(world)
    state = service.wires[0]._states[EM1]
    assert state.of(BLOCK).access is Access.ENTRY
    assert service.wires[0].figures.failures == 0
    before = len(world.stored[BLOCK])
    world.run(3 * 1800)
    assert len(world.stored[BLOCK]) == before + 3


@pytest.mark.parametrize("wire", WIRES)
def test_a_meter_that_cannot_give_many_rows_at_once_is_asked_for_fewer(
    tmp_path: Path, wire: str
) -> None:
    world = World(tmp_path, faults="faults.rows_at_once = 20", wire=wire)
    service = world.run(600)
    whole(world)
    state = service.wires[0]._states[EM1]
    assert 8 <= state.of(BLOCK).slice_rows <= 20
    assert service.wires[0].figures.failures == 0


def test_rows_that_a_meter_never_captured_are_gaps_after_two_days_and_not_asked_for_again(
    tmp_path: Path,
) -> None:
    reading = Reading(daily_days=3, block_days=3)
    world = World(tmp_path, faults="faults.rows_lost_every = 7", reading=reading)
    service = world.run(600)
    assert service.wires[0].figures.rows_never_captured == 0
    service = world.run(3 * DAY_S)
    assert service.wires[0].figures.rows_never_captured >= 48 // 7
    # No row that the meter has was given up.
    world.run(600)
    stored = set(world.stored[BLOCK])
    held = {t for t in stored if t // 1800 % 7}
    assert held == stored
    times = range(min(stored), max(stored) + 1, 1800)
    assert {t for t in times if t not in stored} == {t for t in times if t // 1800 % 7 == 0}


def test_a_meter_whose_period_is_changed_is_read_by_the_old_one_up_to_then(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.run(600)
    before = set(world.stored[BLOCK])
    rig = world.rig
    changed = replace(rig.scenario, capture_period_s=900)
    world.rig = Rig(changed, now_s=world.now_s)
    for _ in range(10_000):
        # The meter's own counter never falls.
        next(world.rig.keys.counters)
    service = world.run(2 * 3600)
    after = [t for t in world.stored[BLOCK] if t not in before]
    steps = {b - a for a, b in itertools.pairwise(after)}
    assert steps == {900}
    assert min(after) > max(before)
    periods = service.wires[0]._states[EM1].of(BLOCK).periods
    assert periods is not None
    assert (periods.period_s, [p.period_s for p in periods.earlier]) == (900, [1800])


def drifting(tmp_path: Path, offset_s: int, **clocks: object) -> World:
    world = World(tmp_path, faults=f"faults.clock_offset_s = {offset_s}")
    world.clocks = Clocks(set=True, **clocks)  # type: ignore[arg-type]
    return world


def test_a_drifted_clock_is_set_once_and_the_rows_of_its_doubt_stay_marked(tmp_path: Path) -> None:
    world = drifting(tmp_path, 400)
    service = world.run(3 * 3600)
    assert service.wires[0].figures.clocks_set == 1
    assert world.rig.meter.time.offset_s in range(-2, 3)
    (set_at,) = world.notes_of("SELECT at_us / 1000000, before_s, after_s, outcome FROM clock_sets")
    assert set_at[1:] == (400, 0, "set")
    qualities = {
        (batch_row.captured_at_s, batch_row.time_quality)
        for message in world.backend.messages.values()
        if message.batch.profile is BLOCK
        for batch_row in message.batch.rows
    }
    marked = {t for t, quality in qualities if quality is TimeQuality.DRIFTED}
    assert marked
    assert all(t <= set_at[0] + 400 for t in marked)
    assert all(q is TimeQuality.OK for t, q in qualities if t > set_at[0] + 400)


def test_a_clock_is_left_alone_where_the_site_does_not_say_so(tmp_path: Path) -> None:
    world = World(tmp_path, faults="faults.clock_offset_s = 400")
    service = world.run(3 * 3600)
    assert service.wires[0].figures.clocks_set == 0
    assert world.rig.meter.time.offset_s == 400


def test_a_clock_that_is_far_off_is_told_and_not_set(tmp_path: Path) -> None:
    world = drifting(tmp_path, 4000)
    service = world.run(3600)
    assert service.wires[0].figures.clocks_set == 0
    assert service.wires[0].figures.clocks_too_far > 0
    assert world.rig.meter.time.offset_s == 4000


def test_a_host_that_is_not_synchronised_sets_no_clock(tmp_path: Path) -> None:
    world = drifting(tmp_path, 400)
    world.synchronised = False
    service = world.run(3 * 3600)
    assert service.wires[0].figures.clocks_set == 0
    assert world.rig.meter.time.offset_s == 400


@pytest.mark.parametrize("offset_s", [3 * 3600, -3 * 3600])
def test_rows_are_expected_by_the_meters_own_time(tmp_path: Path, offset_s: int) -> None:
    world = World(tmp_path, faults=f"faults.clock_offset_s = {offset_s}")
    service = world.run(DAY_S)
    assert service.wires[0].figures.rows_never_captured == 0
    newest = max(world.stored[BLOCK])
    assert abs(newest - (world.now_s + offset_s)) <= 1800 + 900
    assert START_S > NOW_S - 1
