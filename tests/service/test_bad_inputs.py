"""Each kind of trouble: a clear message, nothing lost, and the service goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import Reading
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.values import read_capture_objects
from gateway.errors import DecodeError
from gateway.keys import MeterKeys
from gateway.model import Obis, ProfileKind, Secret, TimeQuality
from gateway.service.visit import Visit
from hil_tests.emulator.household import DAY_S
from tests.service.world import START_S, World

BLOCK, DAILY = ProfileKind.BLOCK_LOAD, ProfileKind.DAILY_LOAD
SHORT = Reading(daily_days=3, block_days=1)


def run(world: World, seconds: float, *events: Any) -> list[Any]:
    """Run, and give the logs."""
    with capture_logs() as logs:
        world.run(seconds, *events)
    return list(logs)


def said(logs: list[Any], event: str) -> Any:
    """The first log of this event; fails with all events when there is none."""
    found = [entry for entry in logs if entry["event"] == event]
    assert found, sorted({entry["event"] for entry in logs})
    return found[0]


def wrong(name: str) -> Any:
    def other(keys: MeterKeys) -> MeterKeys:
        changed: dict[str, Any] = {name: Secret(b"\x55" * 16)}
        return replace(keys, **changed)

    return other


@pytest.mark.parametrize("key", ["guek", "gak"])
def test_a_wrong_key_is_a_named_failure_that_is_not_retried_at_once(
    tmp_path: Path, key: str
) -> None:
    world = World(tmp_path, keys_changed=wrong(key))
    logs = run(world, 1200)
    entry = said(logs, "meter not read")
    assert "deciphering-error" in entry["error"] or "tag does not verify" in entry["error"]
    assert world.backend.rows("daily_load") == []
    tries = [e for e in logs if e["event"] == "meter not read"]
    assert len(tries) <= 6, "a wrong key is not hammered at the meter"


def test_a_wrong_password_is_told_by_the_standards_own_reason(tmp_path: Path) -> None:
    world = World(tmp_path, keys_changed=lambda keys: replace(keys, lls_password=Secret(b"no")))
    entry = said(run(world, 60), "meter not read")
    assert "rejected-permanent, authentication-failure" in entry["error"]


@pytest.mark.parametrize("wire", ["tcp", "hdlc+tcp"])
def test_a_silent_meter_is_told_and_backs_off(tmp_path: Path, wire: str) -> None:
    world = World(tmp_path, faults="faults.silent = true", wire=wire)
    logs = run(world, 3 * 3600)
    tries = [entry for entry in logs if entry["event"] == "meter not read"]
    assert tries[0]["kind"] == "NoAnswer"
    assert tries[-1]["again_in_s"] == 300
    assert 5 < len(tries) < 45


def test_a_wrong_address_looks_like_silence_and_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, wire="hdlc+tcp", server=99)
    assert said(run(world, 120), "meter not read")["kind"] == "NoAnswer"


def test_a_refused_association_is_named(tmp_path: Path) -> None:
    world = World(tmp_path, faults="faults.refuse_with = 2")
    entry = said(run(world, 60), "meter not read")
    assert "application-context-name-not-supported" in entry["error"]


def test_another_meter_at_this_address_is_not_stored_under_the_wrong_name(tmp_path: Path) -> None:
    world = World(tmp_path, serial="EM-OTHER")
    entry = said(run(world, 60), "meter not read")
    assert "EM1 answers where EM-OTHER is configured" in entry["error"]
    assert world.backend.messages == {}


def test_a_meter_clock_in_1970_is_marked_and_its_old_rows_are_kept(tmp_path: Path) -> None:
    world = World(tmp_path, faults="faults.clock_at_1970 = true", reading=SHORT)
    logs = run(world, 600)
    assert said(logs, "meter clock is not valid")["clock"].startswith("1970-01-01")
    rows = [
        row
        for message in world.backend.messages.values()
        if message.batch.profile in (DAILY, ProfileKind.INSTANTANEOUS)
        for row in message.batch.rows
    ]
    assert rows
    assert all(row.time_quality is not TimeQuality.OK for row in rows)


def test_a_meter_whose_clock_cannot_be_read_is_never_called_right(tmp_path: Path) -> None:
    world = World(tmp_path, faults="faults.clock_refused = true", reading=SHORT)
    world.run(600)
    qualities = {
        row.time_quality
        for message in world.backend.messages.values()
        if message.batch.profile in (DAILY, ProfileKind.INSTANTANEOUS)
        for row in message.batch.rows
    }
    assert qualities == {TimeQuality.UNVERIFIED}


def test_duplicate_rows_are_stored_and_sent_once(tmp_path: Path) -> None:
    world = World(tmp_path, faults="faults.duplicate_rows = true", reading=SHORT)
    world.run(600)
    for profile in ("daily_load", "block_load"):
        rows = world.backend.rows(profile)
        assert len(rows) == len(set(rows)) > 0


def test_an_unsorted_ring_buffer_gives_the_same_rows(tmp_path: Path) -> None:
    plain = World(tmp_path / "plain", reading=SHORT)
    ring = World(tmp_path / "ring", faults="faults.unsorted_rows = true", reading=SHORT)
    for world in (plain, ring):
        world.directory.mkdir()
        world.run(600)
    for profile in ("daily_load", "block_load"):
        assert set(ring.backend.rows(profile)) == set(plain.backend.rows(profile)) != set()


def imported_wh(world: World) -> dict[int, Any]:
    """Import register of each daily row, by time, found by its logical name."""
    found = {}
    for message in world.backend.messages.values():
        batch = message.batch
        if batch.profile is not DAILY:
            continue
        names = [c.source.obis.dotted for c in batch.capture_list.columns]
        for row in batch.rows:
            found[row.captured_at_s] = row.values[names.index("1.0.1.8.0.255")]
    return found


@pytest.mark.parametrize(
    "fault", ["faults.export_columns_first = true", "faults.energy_scaler_shift = -1"]
)
def test_a_changed_column_list_or_scaler_is_told_and_no_register_is_read_wrongly(
    tmp_path: Path, fault: str
) -> None:
    world = World(tmp_path, reading=SHORT)
    world.run(600)
    world.become(fault)
    logs = run(world, 2 * DAY_S)
    entry = said(logs, "capture list changed: rows from now on are kept under the new one")
    assert entry["before"] != entry["after"]
    for time_s, value in imported_wh(world).items():
        truth = world.rig.truth.register_at(time_s)
        # Before the change the register stepped in 10 Wh, after it in the new scaler's steps.
        assert abs(value - truth.exact.import_wh) < 10
    assert len(imported_wh(world)) >= 4


def test_a_disk_that_is_full_refuses_rows_and_recovers_without_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path, reading=Reading(daily_days=30, block_days=30), max_octets=300_000)

    def make_room() -> None:
        world.store._database.rows("PRAGMA max_page_count = 100000")

    logs = run(world, 3 * 3600, (3600, make_room))
    assert "SQLITE_FULL" in said(logs, "reading not stored")["error"]
    times = world.stored[BLOCK]
    assert {t for t, _ in world.backend.rows("block_load")} == set(times)
    assert len(times) > 1400, "all was read in the end"
    assert world.depth.live == world.depth.backlog == 0


def test_a_broker_that_is_down_is_told_once_for_each_loss(tmp_path: Path) -> None:
    world = World(tmp_path, reading=SHORT)
    logs = run(world, 1200, (300, world.broker.stop), (600, world.broker.start))
    assert said(logs, "uplink is down")["error"] == "the broker stopped"
    assert len([e for e in logs if e["event"] == "uplink is up"]) == 2
    assert world.depth.live == 0


def test_noise_split_frames_and_lost_answers_on_the_wire_lose_nothing(tmp_path: Path) -> None:
    faults = "faults.noise_octets = 7\nfaults.split_octets = 5\nfaults.drop_every = 9"
    world = World(tmp_path, faults=faults, wire="hdlc+tcp", reading=SHORT)
    world.run(6 * 3600)
    assert len(world.backend.rows("daily_load")) >= 3
    assert len(world.backend.rows("block_load")) >= 48
    for kind in (DAILY, BLOCK):
        assert {t for t, _ in world.backend.rows(kind.value)} == set(world.stored[kind])


def refuse(world: World, logical_name: str) -> None:
    """The meter refuses every attribute of one object."""
    honest = world.rig.meter.get

    def get(association: str, class_id: int, obis: Obis, *rest: Any) -> bytes:
        if str(obis) == logical_name:
            raise AccessRefused(3)
        return honest(association, class_id, obis, *rest)

    world.rig.meter.get = get  # type: ignore[assignment,method-assign]  # a fault of this test alone


@pytest.mark.parametrize(
    ("logical_name", "profile"),
    [("0-0:94.91.10*255", "nameplate"), ("1-0:99.2.0*255", "daily_load")],
)
def test_one_refused_buffer_costs_the_others_nothing(
    tmp_path: Path, logical_name: str, profile: str
) -> None:
    world = World(tmp_path, reading=SHORT)
    refuse(world, logical_name)
    logs = run(world, 3600)
    assert said(logs, "buffer not read")["profile"] == profile
    assert len([e for e in logs if e["event"] == "buffer not read"]) <= 5
    assert len(world.backend.rows("block_load")) >= 48
    assert len(world.backend.rows("instantaneous")) >= 3
    others = {"nameplate", "daily_load", "block_load", "instantaneous"} - {profile}
    assert all(world.backend.rows(other) for other in others)


def test_a_bug_of_ours_in_one_visit_does_not_end_the_reading_of_a_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, reading=SHORT)
    honest, calls = Visit.run, []

    async def buggy(visit: Visit, tasks: Any) -> None:
        calls.append(1)
        if len(calls) <= 2:
            raise OverflowError("a bug")
        await honest(visit, tasks)

    monkeypatch.setattr(Visit, "run", buggy)
    logs = run(world, 3600)
    assert said(logs, "reading failed")["meter"] == "EM1"
    assert len(world.backend.rows("daily_load")) >= 3


def test_a_host_clock_that_ran_ahead_and_was_set_back_stops_no_reading(tmp_path: Path) -> None:
    world = World(tmp_path, reading=SHORT, now_s=START_S + 200 * DAY_S)
    world.run(600)
    world.now_s = START_S
    world.run(2 * 3600)
    now = {t for t, _ in world.backend.rows("instantaneous") if t < START_S + DAY_S}
    assert len(now) >= 6


def test_a_meter_without_keys_is_told_and_costs_the_others_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, reading=SHORT, keys_changed=lambda _: MeterKeys())
    logs = run(world, 60)
    assert any("guek" in str(e) or "key" in str(e) for e in logs), logs


def test_a_capture_object_of_other_types_is_refused_where_it_is_read() -> None:
    entry = Data(
        Tag.STRUCTURE,
        (
            Data(Tag.LONG64_UNSIGNED, 2**63),
            Data(Tag.OCTET_STRING, bytes(6)),
            Data(Tag.INTEGER, 2),
            Data(Tag.LONG_UNSIGNED, 0),
        ),
    )
    with pytest.raises(DecodeError, match="long-unsigned class"):
        read_capture_objects(Data(Tag.ARRAY, (entry,)))
