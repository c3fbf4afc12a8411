"""Event logs of a meter: each row once, in its log, and at the backend by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model import MeterId
from hil_tests.emulator.household import DAY_S
from hil_tests.emulator.incidents import Incident
from tests.service.world import START_S, World

EM1 = MeterId("EM1")


def expected(world: World) -> list[tuple[str, str, int, str]]:
    names = {
        7: ("over_voltage", "occurred"),
        8: ("over_voltage", "ended"),
        101: ("power_failure", "occurred"),
        102: ("power_failure", "ended"),
        151: ("clock_set", "occurred"),
        201: ("magnetic_influence", "occurred"),
        202: ("magnetic_influence", "ended"),
        251: ("meter_cover_open", "occurred"),
        301: ("load_disconnected", "occurred"),
        302: ("load_disconnected", "ended"),
    }
    rows = world.rig.meter.incidents.all_rows()
    return sorted((*names[row.code], row.at_s, "log") for _, row in rows)


def happens(world: World, incident: Incident, *, ended: bool = False):
    def happen() -> None:
        world.rig.now_s = world.clock.now_us() // 1_000_000
        world.rig.meter.happen(incident, ended=ended)

    return happen


@pytest.mark.parametrize("faults", ["", "faults.unsorted_rows = true"])
def test_every_event_of_every_log_is_stored_once_and_told_by_name(
    tmp_path: Path, faults: str
) -> None:
    world = World(tmp_path, faults=faults)
    meter = world.rig.meter
    for number in range(60):
        world.rig.now_s = START_S - 100_000 + 1000 * number
        meter.happen(Incident.OVER_VOLTAGE, ended=bool(number % 2))
    ringed = {row.at_s for _, row in meter.incidents.all_rows()[:10]}
    service = world.run(
        4 * 3600,
        (4000, happens(world, Incident.MAGNET)),
        (4000.2, happens(world, Incident.COVER_OPEN)),
        (4001, happens(world, Incident.MAGNET, ended=True)),
        (9000, happens(world, Incident.POWER_CUT)),
        (9500, happens(world, Incident.POWER_CUT, ended=True)),
    )
    wanted = [one for one in expected(world) if one[2] not in ringed]
    assert world.backend.named_events() == wanted
    assert len(wanted) == 50 + 5
    assert len(world.backend.rows("events")) == len(wanted)
    assert service.wires[0].figures.duplicates == 0
    assert service.wires[0].figures.conflicts == 0
    assert (world.depth.live, world.depth.refused) == (0, 0)
    for message in world.backend.events.values():
        for one in message.events:
            assert one.raw[:2] in (b"\x02\x02", b"\x02\x08"), "the row as the meter sent it"


def test_a_restart_reads_no_log_again_and_loses_no_event(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.rig.meter.happen(Incident.POWER_CUT)
    world.rig.meter.happen(Incident.POWER_CUT, ended=True)
    world.run(600)
    world.run(600)
    world.rig.now_s = world.now_s
    world.rig.meter.happen(Incident.MAGNET)
    world.run(DAY_S / 4)
    assert world.backend.named_events() == expected(world)
    assert len(world.backend.events) == 2


def test_an_event_of_last_week_is_told_at_once_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.rig.now_s = START_S - 7 * DAY_S
    world.rig.meter.happen(Incident.MAGNET)
    world.run(50)
    assert world.backend.named_events() == expected(world)


def test_an_unknown_code_keeps_its_number(tmp_path: Path) -> None:
    world = World(tmp_path)
    logs = world.rig.meter.incidents._logs
    world.rig.meter.happen(Incident.CLOCK_SET)
    logs["transaction"][0] = logs["transaction"][0]._replace(code=199)
    world.run(600)
    ((_, message),) = world.backend.events.items()
    kind = message.events[0].kind
    assert (kind.name, kind.code, kind.log) == ("code_199", 199, "transaction")
