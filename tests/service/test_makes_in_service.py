"""The service and its meters' makes: found by what they say, told when it changes, read rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import Reading
from gateway.errors import ConfigErrors
from gateway.model import ProfileKind
from gateway.profile import AUTO
from gateway.service.parts import site_profiles
from gateway.service.supervisor import Service
from tests.service.world import World

SINGLE = "is15959_part2_single_phase"
SHORT = Reading(daily_days=2, block_days=1)
CHANGED = "meter is not what it was: another meter, or new firmware"


def run(world: World, seconds: float = 600) -> tuple[Service, list[Any]]:
    with capture_logs() as logs:
        service = world.run(seconds)
    return service, list(logs)


def events(logs: list[Any]) -> list[str]:
    return [entry["event"] for entry in logs]


def test_a_meter_that_nobody_named_a_profile_for_is_asked_and_read(tmp_path: Path) -> None:
    world = World(tmp_path, profile=AUTO, reading=SHORT)
    service, logs = run(world)
    [chosen] = [entry for entry in logs if entry["event"] == "profile chosen"]
    assert (chosen["meter"], chosen["profile"]) == ("EM1", SINGLE)
    named = World(tmp_path / "named", reading=SHORT)
    named.directory.mkdir()
    named.run(600)
    for kind in ("daily_load", "block_load", "nameplate"):
        assert len(world.backend.rows(kind)) == len(named.backend.rows(kind)) > 0
    assert service.wires[0].rows_per_day()["EM1", ProfileKind.BLOCK_LOAD] == 48  # type: ignore[index]


def test_a_meter_is_asked_once_in_a_run_and_silently_again_in_the_next(tmp_path: Path) -> None:
    world = World(tmp_path, profile=AUTO, reading=SHORT)
    _, logs = run(world, 7200)
    assert events(logs).count("profile chosen") == 1
    _, logs = run(world)
    assert not {"profile chosen", CHANGED} & set(events(logs))


def test_new_firmware_under_the_same_profile_is_told_at_the_next_run(tmp_path: Path) -> None:
    world = World(tmp_path, profile=AUTO, reading=SHORT)
    run(world)
    world.become('firmware = "EMU-2.0"')
    _, logs = run(world)
    [told] = [entry for entry in logs if entry["event"] == CHANGED]
    assert (told["log_level"], told["profile"]) == ("warning", SINGLE)
    assert "EMU-2.0" in told["says"]
    assert "EMU-1.0" in told["said"]
    _, logs = run(world)
    assert CHANGED not in events(logs), "told once"


def test_new_firmware_with_a_profile_of_its_own_is_an_error_told_and_read_by_that(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "new_firmware.toml").write_text(
        f'inherit = "{SINGLE}_start_stamp"\ndescription = "d"\n'
        '[match]\nmeter_type = [6]\ncategory = ["D1"]\nfirmware = ["EMU-2.*"]\n'
    )
    world = World(tmp_path, profile=AUTO, profiles=folder, reading=SHORT)
    run(world)
    rows = {row[0] for row in world.backend.rows("block_load")}
    world.become('firmware = "EMU-2.1"\nfaults.stamp_at_start = true')
    _, logs = run(world, 7200)
    [told] = [entry for entry in logs if entry["event"] == CHANGED]
    assert (told["log_level"], told["profile"]) == ("error", "new_firmware")
    assert told["profile_before"] == SINGLE
    later = {row[0] for row in world.backend.rows("block_load")} - rows
    assert later
    assert min(later) > max(rows), "the times go on where they were: no row is an interval early"


def test_a_meter_that_no_profile_fits_is_told_and_not_read(tmp_path: Path) -> None:
    world = World(tmp_path, profile=AUTO, reading=SHORT)
    world.become('model = "part1_single_phase"')
    service, logs = run(world)
    told = [entry for entry in logs if entry["event"] == "meter not read"]
    assert {entry["kind"] for entry in told} == {"NoProfileFits"}
    assert "category 'D'" in told[0]["error"]
    assert world.backend.messages == {}
    expected = service.wires[0].rows_per_day()
    assert expected, "its rows are missed all the same"


@pytest.mark.parametrize("has_keys", [True, False])
def test_a_meter_with_keys_is_never_taken_for_one_that_does_not_cipher(
    tmp_path: Path, has_keys: bool
) -> None:
    """Whoever stands between could say so, and then write registers of its own."""
    world = World(tmp_path, profile=AUTO, reading=SHORT)
    if not has_keys:
        world.keys_changed = lambda keys: replace(keys, guek=None, gak=None)
    world.become('model = "part1_three_phase"\nciphering = "none"')
    run(world)
    assert bool(world.backend.messages) is not has_keys


def test_a_wrong_key_under_auto_is_told_as_such(tmp_path: Path) -> None:
    world = World(tmp_path, profile=AUTO, reading=SHORT, faults="faults.refuse_with = 13")
    _, logs = run(world)
    told = [entry for entry in logs if entry["event"] == "meter not read"]
    assert "authentication-failure" in told[0]["error"]


@pytest.mark.parametrize(
    ("profile", "faults"),
    [
        (f"{SINGLE}_start_stamp", "faults.stamp_at_start = true"),
        (f"{SINGLE}_by_entry", "faults.range_refused = true"),
        (f"{SINGLE}_local_range", "faults.range_without_deviation = true"),
        (f"{SINGLE}_zone_only", "faults.stated_deviation_minutes = 0"),
        (f"{SINGLE}_blue_book_time", "faults.stated_deviation_minutes = -330"),
        (f"{SINGLE}_short_scalers", "faults.short_scaler_profiles = true"),
        (f"{SINGLE}_no_release", "faults.release_unanswered = true"),
        (f"{SINGLE}_unlisted_column", "faults.unlisted_column = true"),
    ],
)
def test_each_deviation_gives_the_rows_of_a_meter_without_it(
    tmp_path: Path, profile: str, faults: str
) -> None:
    plain = World(tmp_path / "plain", reading=SHORT)
    other = World(tmp_path / "other", reading=SHORT, profile=profile, faults=faults)
    stored = []
    for world in (plain, other):
        world.directory.mkdir()
        service = world.run(4000)
        assert service.wires[0].figures.failures == 0
        stored.append(values_of(world))
    if profile.endswith("_by_entry"):
        # Counted from the newest, so a row or two more than were missing.
        stored[1] = {key: value for key, value in stored[1].items() if key in stored[0]}
    assert stored[0] == stored[1]
    assert len(stored[0]) >= 48 + 2


def values_of(world: World) -> dict[tuple[str, int, str], Any]:
    """Imported energy by set, capture time and logical name."""
    found = {}
    for message in world.backend.messages.values():
        batch = message.batch
        for index, column in enumerate(batch.capture_list.columns):
            name = column.source.obis.dotted
            if batch.profile is not ProfileKind.INSTANTANEOUS and name in (
                "1.0.1.8.0.255",
                "1.0.1.29.0.255",
            ):
                for row in batch.rows:
                    found[batch.profile.value, row.captured_at_s, name] = row.values[index]
    return found


def test_auto_in_a_site_checks_that_no_two_of_its_profiles_claim_one_meter(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "greedy.toml").write_text(
        'inherit = "is15959_part2"\ndescription = "d"\n[match]\nmeter_type = [6]\n'
    )
    world = World(tmp_path, profile=AUTO, profiles=folder)
    with pytest.raises(ConfigErrors, match="overlaps"):
        site_profiles(world.site())
    assert site_profiles(World(tmp_path, profiles=folder).site()).keys() == {SINGLE}
