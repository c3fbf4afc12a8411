"""An exchange that the site file does not know: no row of another meter becomes this one's."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import Reading
from tests.emulator.rig import Rig
from tests.service.world import World

SHORT = Reading(daily_days=2, block_days=1)
PLAIN = 'model = "part1_single_phase"\nciphering = "none"'


def exchanged(world: World) -> None:
    """Another household's meter at the same place, under the same keys."""
    before = world.rig
    world.rig = Rig(replace(before.scenario, serial="EM2"), now_s=world.now_s)
    world.rig.keys = before.keys
    world.rig.meter.last_received.update(before.meter.last_received)
    world.rig.station = type(before.station)(world.rig.scenario, before.keys, world.rig.meter)


def plain(world: World) -> World:
    world.become(PLAIN)
    return world


@pytest.mark.parametrize("ciphered", [True, False])
def test_after_a_restart_the_exchange_is_seen_before_anything_is_stored(
    tmp_path: Path, ciphered: bool
) -> None:
    profile = "is15959_part2_single_phase" if ciphered else "is15959_part1_single_phase"
    world = World(tmp_path, profile=profile, reading=SHORT, wire="hdlc+tcp")
    if not ciphered:
        plain(world)
    world.run(600)
    rows = world.backend.rows("block_load")
    assert rows
    exchanged(world)
    world.run(2 * 3600)
    assert world.backend.rows("block_load") == rows
    assert "another_meter_answers" in {name for name, *_ in world.backend.named_events()}


def test_a_meter_without_keys_is_asked_who_it_is_in_every_session(tmp_path: Path) -> None:
    world = plain(
        World(tmp_path, profile="is15959_part1_single_phase", reading=SHORT, wire="hdlc+tcp")
    )
    seen: list[int] = []

    def exchange() -> None:
        exchanged(world)
        seen.append(len(world.backend.rows("block_load")))

    world.run(4 * 3600, (3600, exchange))
    assert len(world.backend.rows("block_load")) == seen[0] > 0
