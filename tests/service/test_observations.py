"""What the gateway itself saw or did at a meter is told to the backend, once a day."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import Clocks, Reading
from gateway.events import EventSource
from gateway.model import TimeQuality
from hil_tests.emulator.household import DAY_S
from tests.service.world import World


def told(world: World) -> list[str]:
    """Names of the events that are no meter's, as the backend has them."""
    return [
        event.kind.name
        for message in world.backend.events.values()
        for event in message.events
        if event.source is EventSource.DERIVED and not event.raw
    ]


def test_a_counter_that_was_behind_is_told_once_a_day(tmp_path: Path) -> None:
    world = World(tmp_path, wire="hdlc+tcp")
    world.run(600)
    assert told(world) == []
    received = world.rig.meter.last_received

    def other_reader() -> None:
        received["meter_reader"] += 500

    world.run(3 * 3600, (10, other_reader), (4000, other_reader), (8000, other_reader))
    assert told(world) == ["gateway_raised_invocation_counter"]


@pytest.mark.parametrize(
    ("offset_s", "name"), [(400, "gateway_set_clock"), (4000, "clock_too_far_off_to_set")]
)
def test_a_clock_that_was_set_or_is_too_far_off_is_told(
    tmp_path: Path, offset_s: int, name: str
) -> None:
    faults = f"faults.clock_offset_s = {offset_s}"
    world = World(tmp_path, faults=faults, clocks=Clocks(set=True))
    world.run(3 * 3600)
    assert told(world) == [name]


def test_rows_that_are_missing_for_good_are_told(tmp_path: Path) -> None:
    reading = Reading(daily_days=3, block_days=3)
    world = World(tmp_path, faults="faults.rows_lost_every = 7", reading=reading)
    world.run(600)
    world.run(2.5 * DAY_S)
    assert set(told(world)) == {"rows_never_captured"}


def test_another_meter_in_a_meters_place_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, serial="EM2")
    world.run(1200)
    assert told(world) == ["another_meter_answers"]


@pytest.mark.parametrize("synchronised", [True, False])
def test_what_is_told_has_the_hosts_time_and_how_far_that_can_be_trusted(
    tmp_path: Path, synchronised: bool
) -> None:
    world = World(tmp_path, serial="EM2", synchronised=synchronised)
    world.run(600)
    (event,) = [event for message in world.backend.events.values() for event in message.events]
    assert not event.timed_by_meter
    right = TimeQuality.OK if synchronised else TimeQuality.UNSYNCHRONISED
    assert event.time_quality is right
    assert event == replace(event, raw=b"")
