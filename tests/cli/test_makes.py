"""Each shipped profile reads the meters that it is for; and each is found without being named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.profile import Quirk, load_profile, load_profile_file, load_profiles
from gateway.profile.canonical import canonical
from tests.cli.bench import Bench, Laptop
from tests.cli.makes import MAKES, SCENARIO, SINGLE, THREE, Make, buffer, check_reading, named

BY_SERIAL = {make.serial: make for make in MAKES}
EVERY = pytest.mark.parametrize("make", MAKES, ids=lambda make: make.serial)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """In place of the bench of the other commands' tests: a meter of each make."""
    running = Bench(tmp_path_factory.mktemp("makes"), SCENARIO)
    running.start()
    yield running
    running.stop()


def test_every_whole_profile_has_its_meter() -> None:
    whole = {name for name, profile in load_profiles().items() if profile.phases is not None}
    assert {make.profile for make in MAKES} == whole


@EVERY
def test_a_meter_read_with_its_profile_shows_what_was_used(
    bench: Bench, laptop: Laptop, make: Make
) -> None:
    check_reading(bench, laptop, make, make.profile)


# -- each quirk is needed: without it the meter is not read, or not rightly --------------------


@pytest.mark.parametrize(
    "serial", ["UNLISTED", "ZONE", "BLUE", "START", "LOCAL", "ENTRY", "BARE", "TRAIL"]
)
def test_without_its_quirk_a_meter_is_not_read_rightly(
    bench: Bench, laptop: Laptop, serial: str
) -> None:
    make = BY_SERIAL[serial]
    plain = SINGLE if make.is_ciphered else "is15959_part1_single_phase"
    if serial == "UNLISTED":
        result = laptop.read(serial, "--set", "billing", "--json", profile=plain)
        assert result.exit_code == 1
        assert "a number without its register's scaler" in result.stderr
        return
    with pytest.raises(AssertionError):
        check_reading(bench, laptop, make, plain)


def test_a_column_without_a_readable_scaler_stays_octets_and_costs_the_others_nothing(
    laptop: Laptop,
) -> None:
    make = BY_SERIAL["UNLISTED"]
    found = buffer(laptop, make, "billing", make.profile)
    row = named(found)[-1]
    assert row["1.0.84.6.0.255"] is None
    assert found["rows"][-1]["raw"].endswith("0f64")
    assert row["1.0.1.8.0.255"] > 0


def test_prepaid_mirrors_are_read_where_the_profile_has_them(laptop: Laptop) -> None:
    make = BY_SERIAL["PREPAID"]
    display = load_profile(make.profile).display
    assert display is not None
    [balance] = [entry for entry in display.objects if entry.name == "balance"]
    words = ("--obis", str(balance.obis))
    at_home = laptop.document("SINGLE", "--obis", "0-0:94.96.24*255")["value"]
    assert laptop.document("PREPAID", *words, profile=make.profile)["value"] == at_home
    assert laptop.read("PREPAID", "--obis", "0-0:94.96.24*255").exit_code == 1


def test_a_meter_behind_transformers_says_its_ratios_and_has_no_relay(laptop: Laptop) -> None:
    profile = load_profile("is15959_part3")
    assert profile.relay is None
    assert profile.transformer is not None
    make = BY_SERIAL["CT"]
    [row] = named(buffer(laptop, make, "nameplate", make.profile))
    ratios = (profile.transformer.current_ratio, profile.transformer.voltage_ratio)
    assert [row[ratio.dotted] for ratio in ratios if ratio] == [40, 1]
    assert laptop.read("CT", "--obis", "0-0:96.3.10*255", profile=make.profile).exit_code == 1


# -- auto --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serial", "profile"),
    [("SINGLE", SINGLE), ("THREE", THREE), ("CT", "is15959_part3"), ("START", SINGLE)],
)
def test_auto_takes_the_one_profile_that_fits_what_the_meter_says(
    laptop: Laptop, serial: str, profile: str
) -> None:
    found = laptop.document(serial, "--set", "daily", profile="auto")
    assert found["profile"] == profile


def test_auto_finds_a_meter_that_does_not_cipher(laptop: Laptop) -> None:
    keys = laptop.changed_keys("OLD3", guek=None, gak=None)
    found = laptop.document("OLD3", "--set", "daily", profile="auto", keys=keys)
    assert found["profile"] == "is15959_part1_three_phase"


def test_auto_believes_nothing_plain_of_a_meter_that_has_keys(laptop: Laptop) -> None:
    result = laptop.read("OLD3", "--set", "daily", profile="auto")
    assert result.exit_code == 1
    assert "as it has keys nothing plain is believed; name its profile" in result.stderr


def test_auto_without_a_match_says_what_was_read_and_what_was_near(laptop: Laptop) -> None:
    keys = laptop.changed_keys("OLD1", guek=None, gak=None)
    result = laptop.read("OLD1", "--set", "daily", profile="auto", keys=keys)
    assert result.exit_code == 2
    assert result.stderr.startswith("NoProfileFits: no one profile fits a meter that says")
    assert "manufacturer 'Emulated Meters'" in result.stderr
    assert "meter_type 1" in result.stderr
    assert "is15959_part1_three_phase (category is A or B)" in result.stderr


def test_auto_does_not_guess_where_the_meter_keeps_its_nameplate_to_itself(laptop: Laptop) -> None:
    """Without keys there is the public client only, and that may not read the nameplate."""
    result = laptop.read("SINGLE", "--set", "daily", profile="auto", keys=None)
    assert result.exit_code == 2
    assert f"{SINGLE} (meter_type was not told; category was not told)" in result.stderr


def test_a_wrong_password_under_auto_is_no_unknown_make(laptop: Laptop) -> None:
    keys = laptop.changed_keys("SINGLE", lls_password="not the password")
    result = laptop.read("SINGLE", "--set", "daily", profile="auto", keys=keys)
    assert result.exit_code == 1
    assert "authentication-failure" in result.stderr


# -- scan --write-profile ----------------------------------------------------------------------


def scanned(laptop: Laptop, make: Make, file: Path) -> Any:
    meter = laptop.bench[make.serial]
    profile = "is15959_part2"
    if not make.is_ciphered:
        profile = make.profile if "bare" in make.profile else "is15959_part1"
    return laptop.run(
        *("scan", meter.url, "--keys", meter.keys_file, "--state", laptop.state),
        *("--timeout", "5", "--profile", profile, "--write-profile", file),
    )


@EVERY
def test_a_profile_written_by_scan_reads_the_same_meter(
    bench: Bench, laptop: Laptop, make: Make, tmp_path: Path
) -> None:
    file = tmp_path / "new_make.toml"
    result = scanned(laptop, make, file)
    assert result.exit_code == 0, result.output
    text = file.read_text()
    assert canonical(text, file.name) == text
    profile = load_profile_file(file)
    assert set(profile.quirks) == set(load_profile(make.profile).quirks) - NOT_SEEN
    check_reading(bench, laptop, make, str(file))


NOT_SEEN = {Quirk.NO_RELEASE}
"""How a meter takes a release cannot be told from what it shows."""


@pytest.mark.parametrize("serial", ["SINGLE", "CT", "FLOAT", "EXPORT", "UNLISTED", "BLUE", "ENTRY"])
def test_what_scan_writes_is_on_the_nearest_profile_and_little_else(
    laptop: Laptop, tmp_path: Path, serial: str
) -> None:
    make = BY_SERIAL[serial]
    file = tmp_path / "new_make.toml"
    scanned(laptop, make, file)
    profile = load_profile_file(file)
    assert profile.inherits[0] == make.profile
    assert "[quirks]" not in file.read_text(), "the base has given the reason"
    assert profile.match is not None
    assert profile.match.firmware == ("EMU-1.0",)
    labels = {capture.profile for capture in profile.captures}
    assert {"nameplate", "instantaneous", "block_load", "daily_load", "billing"} <= labels


def test_scan_writes_over_no_file_and_under_no_name_that_is_none(
    laptop: Laptop, tmp_path: Path
) -> None:
    file = tmp_path / "there.toml"
    file.write_text("mine")
    for path in (file, tmp_path / "No Name.toml", tmp_path / "profile.txt"):
        result = scanned(laptop, BY_SERIAL["SINGLE"], path)
        assert result.exit_code == 2, result.output
    assert file.read_text() == "mine"


def test_scan_names_the_quirk_that_a_meter_needs_to_be_understood(laptop: Laptop) -> None:
    meter = laptop.bench["BARE"]
    result = laptop.run(
        *("scan", meter.url, "--keys", meter.keys_file, "--state", laptop.state),
        *("--timeout", "5", "--profile", "is15959_part1", "--json"),
    )
    assert result.exit_code == 1
    for one in json.loads(result.stdout)["associations"]:
        assert one["outcome"] == "not understood"
        assert "the quirk missing_user_information" in one["detail"]


def test_scan_writes_nothing_where_only_the_public_client_got_in(
    laptop: Laptop, tmp_path: Path
) -> None:
    file = tmp_path / "new_make.toml"
    meter = laptop.bench["SINGLE"]
    result = laptop.run(
        *("scan", meter.url, "--state", laptop.state, "--timeout", "5", "--write-profile", file)
    )
    assert result.exit_code == 2
    assert "give a --keys file" in result.stderr
    assert "not tried" in result.stdout
    assert not file.exists()
