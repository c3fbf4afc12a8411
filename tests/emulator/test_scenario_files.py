"""Scenario files: what is read, and what is said of mistakes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.errors import ConfigError
from hil_tests.emulator import cli
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.scenario import WireKind, load_scenario, parse_scenario

FOLDER = Path(__file__).resolve().parents[2] / "hil_tests/scenarios"
METER = '[[meter]]\nserial = "EM1"\nmodel = "single_phase"\nencoding = "integer"\n'
WRAPPER = METER + 'wire = "tcp"\n'


def test_the_demonstration_has_twelve_ciphered_meters_on_three_framings():
    scenario = load_scenario(FOLDER / "demo.toml")
    wires = Counter(meter.wire for meter in scenario.meters)
    assert wires == {WireKind.WRAPPER: 4, WireKind.HDLC_TCP: 2, WireKind.BUS: 6}
    assert scenario.buses[0].baud == 9600
    assert {meter.ciphering for meter in scenario.meters} == {"both"}
    assert {meter.encoding for meter in scenario.meters} == {"integer", "float32"}
    assert scenario.start_s is None


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_scenario_in_the_folder_loads(path):
    assert load_scenario(path).meters


def test_a_fixed_start_is_an_instant_and_installation_a_local_midnight():
    scenario = parse_scenario(
        f"seed = 1\ninstalled = 2026-03-01\nstart = 2026-05-01T12:00:00+05:30\n{WRAPPER}"
    )
    assert scenario.installed_s == 1_772_303_400
    assert scenario.start_s == 1_777_617_000


def test_faults_are_off_unless_named():
    plain, broken = (
        parse_scenario(f"seed = 1\n{WRAPPER}{faults}").meters[0].faults
        for faults in ("", "faults.silent = true\nfaults.drop_every = 5\n")
    )
    assert plain == Faults()
    assert broken == Faults(silent=True, drop_every=5)


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        (WRAPPER, "seed", "required"),
        ("seed = 1\n", "meter", "at least one"),
        (f"seed = -1\n{WRAPPER}", "seed", "0 to"),
        (f"seed = true\n{WRAPPER}", "seed", "0 to"),
        (f"sead = 1\n{WRAPPER}", "seed", "required"),
        (f"seed = 1\nspeed = 9\n{WRAPPER}", "speed", "unknown key; did you mean seed"),
        (f"seed = 1\nstart = 2026-05-01T12:00:00\n{WRAPPER}", "start", "with offset"),
        (f"seed = 1\nstart = 2026-01-01T12:00:00Z\n{WRAPPER}", "start", "later than installed"),
        (f"seed = 1\ninstalled = 5\n{WRAPPER}", "installed", "a date"),
        ("seed = 1\nmeter = 5\n", "meter", "tables"),
        (f"seed = 1\n{METER}", "meter[0].wire", "required"),
        (f'seed = 1\n{METER}wire = "usb"\n', "meter[0].wire", "tcp or udp or hdlc+tcp or"),
        (f'seed = 1\n{METER}wire = "bus"\n', "meter[0].bus", "where wire"),
        (f'seed = 1\n{WRAPPER}bus = "x"\n', "meter[0].bus", "nowhere else"),
        (f"seed = 1\n{WRAPPER}capture_period_s = 600\n", "meter[0].capture_period_s", "900 or"),
        (f"seed = 1\n{WRAPPER}address = 127\n", "meter[0].address", "16 to 126"),
        (f"seed = 1\n{WRAPPER}window = 8\n", "meter[0].window", "1 to 7"),
        (f"seed = 1\n{WRAPPER}exports = 1\n", "meter[0].exports", "true or false"),
        (f"seed = 1\n{WRAPPER}faults.quiet = true\n", "meter[0].faults.quiet", "unknown"),
        (f"seed = 1\n{WRAPPER}faults.silent = 1\n", "meter[0].faults.silent", "true or"),
        (f"seed = 1\n{WRAPPER}faults.drop_every = true\n", "meter[0].faults.drop_every", "whole"),
        (f"seed = 1\n{WRAPPER}{WRAPPER}", "meter.serial", "once"),
        (f"seed = 1\n{WRAPPER.replace('EM1', 'EM/../1')}", "meter[0].serial", "letters"),
        (f'seed = 1\n[[bus]]\nname = "a"\nbaud = 5\n{WRAPPER}', "bus[0].baud", "9600"),
        ("seed = ", "(file)", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_what_is_allowed(text, key, allowed):
    with pytest.raises(ConfigError) as caught:
        parse_scenario(text)
    assert caught.value.key == key
    assert allowed in caught.value.allowed


def test_two_meters_of_one_bus_need_two_addresses():
    bus = 'seed = 1\n[[bus]]\nname = "a"\n'
    first = METER + 'wire = "bus"\nbus = "a"\n'
    second = first.replace("EM1", "EM2")
    with pytest.raises(ConfigError, match=r"meter\.address"):
        parse_scenario(bus + first + second)
    assert len(parse_scenario(bus + first + second + "address = 18\n").meters) == 2


def test_a_file_that_is_not_there_is_an_error_of_the_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_scenario(tmp_path / "none.toml")


def test_the_truth_command_states_days_and_rows_as_exact_strings():
    arguments = ["truth", str(FOLDER / "smoke.toml"), "--json", "--blocks"]
    result = CliRunner().invoke(cli.group, arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    assert [meter["serial"] for meter in document["meters"]] == [
        "SM1000001",
        "SM2000001",
        "SM3000001",
    ]
    meter = document["meters"][0]
    assert len(meter["daily_rows"]) == 62
    assert len(meter["block_rows"]) == 35 * 48
    day, (opening, closing) = meter["days"][-1], meter["daily_rows"][-2:]
    assert day["date"] == "2026-04-30"
    assert day["exact"]["import_wh"] == (
        closing["exact"]["import_wh"] - opening["exact"]["import_wh"]
    )
    assert int(day["shown"]["import_wh"]) == (
        int(closing["shown"]["import_wh"]) - int(opening["shown"]["import_wh"])
    )


def test_the_truth_is_a_table_for_people_without_json():
    result = CliRunner().invoke(cli.group, ["truth", str(FOLDER / "smoke.toml")])
    assert result.exit_code == 0
    assert result.output.splitlines()[0].startswith("SM1000001  2026-03-01  ")
