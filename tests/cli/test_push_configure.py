"""gateway push configure: shown first, written where it differs, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId
from hil_tests.emulator.push_setups import PushSetup
from tests.cli.bench import PROFILES, Bench, Laptop

CHANGES = (
    "--destination",
    "[2001:db8::1]:4059",
    "--object",
    "1/0-0:94.91.18*255/2",
    "--window",
    "18:00-20:00",
    "--randomisation",
    "300",
    "--retries",
    "3",
    "--repetition-delay",
    "60",
)


def words(laptop: Laptop, serial: str, *more: str | Path) -> list[str | Path]:
    meter = laptop.bench[serial]
    return [
        *("push", "configure", meter.url),
        *("--profile", PROFILES[meter.scenario.model]),
        *("--keys", meter.keys_file),
        *("--state", laptop.state),
        *("--timeout", "5"),
        *more,
    ]


def document(laptop: Laptop, serial: str, *more: str) -> Any:
    result = laptop.run(*words(laptop, serial, "--json", *more))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def held(bench: Bench, serial: str, setup: PushSetup) -> tuple[str, int] | None:
    return bench[serial].meter.push_setups.destination(setup)


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
def test_a_setup_is_shown_written_and_read_back(bench: Bench, laptop: Laptop, serial: str) -> None:
    dry = document(laptop, serial, "--setup", "alert", *CHANGES, "--dry-run")
    assert (dry["dry_run"], dry["written"]) == (True, False)
    assert all(one["differs"] for one in dry["attributes"])
    assert held(bench, serial, PushSetup.ALERT) is None
    done = document(laptop, serial, "--setup", "alert", *CHANGES)
    now = {one["name"]: one["now"] for one in done["attributes"]}
    assert done["written"]
    assert now == {
        "objects": ["1/0-0:94.91.18*255/2"],
        "windows": ["18:00-20:00"],
        "randomisation_s": 300,
        "retries": 3,
        "repetition_delay_s": 60,
        "destination": "[2001:db8::1]:4059",
    }
    assert held(bench, serial, PushSetup.ALERT) == ("2001:db8::1", 4059)
    assert held(bench, serial, PushSetup.DAILY_LOAD) is None
    again = document(laptop, serial, "--setup", "0-4:25.9.0*255", *CHANGES)
    assert not again["written"]


def test_without_options_the_present_values_are_a_table(laptop: Laptop) -> None:
    result = laptop.run(*words(laptop, "HDLC", "--setup", "daily_load"))
    assert result.exit_code == 0, result.output
    assert "randomisation" in result.stdout
    assert "push setup 0-6:25.9.0*255" in result.stdout


def test_a_meter_of_a_site_is_written_with_the_sites_keys_and_counters(
    bench: Bench, laptop: Laptop, tmp_path: Path
) -> None:
    meter = bench["WRAPPER"]
    site = tmp_path / "site.toml"
    site.write_text(f"""
[gateway]
id = "gw"
[stores]
readings = "readings.db"
counters = "counters.db"
witness = "witness.json"
keystore = "keystore.json"
kek_file = "kek"
[[wire]]
name = "one"
url = "{meter.url}"
[[wire.meter]]
serial = "WRAPPER"
profile = "is15959_part2_single_phase"
""")
    create_kek(tmp_path / "kek")
    keystore = Keystore.open(tmp_path / "keystore.json", tmp_path / "kek")
    keystore.import_keys(MeterId("WRAPPER"), load_keys_file(meter.keys_file))
    command: list[str | Path] = [
        "push",
        "configure",
        "--config",
        site,
        "--meter",
        "WRAPPER",
        "--timeout",
        "5",
    ]
    result = laptop.run(*command, "--setup", "billing", "--destination", "192.0.2.1:4059", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["written"]
    assert held(bench, "WRAPPER", PushSetup.BILLING) == ("192.0.2.1", 4059)
    assert (tmp_path / "counters.db").exists()
    unknown = laptop.run(*command[:5], "NOBODY", "--setup", "billing")
    assert unknown.exit_code == 2


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--setup", "nothing"), 2),
        (("--setup", "alert", "--destination", "nowhere"), 2),
        (("--setup", "alert", "--always", "--window", "18:00-20:00"), 2),
        (("--setup", "alert", "--meter", "WRAPPER"), 2),
        (("--setup", "0-99:25.9.0*255"), 1),
        (("--setup", "alert", "--client", "mr", "--retries", "9"), 1),
    ],
)
def test_what_cannot_be_has_its_exit_code(laptop: Laptop, more: tuple[str, ...], code: int) -> None:
    result = laptop.run(*words(laptop, "WRAPPER", *more))
    assert result.exit_code == code, result.output
