"""gateway jobs: queued for the service, or carried out at once; exit codes that scripts trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from gateway.model import Obis
from hil_tests.emulator.image import make_image
from tests.cli.bench import PROFILES, Laptop

PERIOD = Obis.parse("1-0:0.8.0*255")
SITE = """
[gateway]
id = "gw-1"
[stores]
readings = "readings.db"
counters = "counters.db"
witness = "witness.json"
keystore = "keystore.json"
kek_file = "kek"
[[wire]]
name = "w1"
url = "tcp://192.0.2.1:4059"
[[wire.meter]]
serial = "M1"
profile = "is15959_part2_single_phase"
"""
CALENDAR = """
name = "TOD26"
season = [{ name = "S1", from = "04-01", week = "W1" }]
week = [{ name = "W1", days = [1, 1, 1, 1, 1, 1, 1] }]
day = [{ number = 1, switches = [["00:00", 1], ["06:00", 2]] }]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    return path


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, ["jobs", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


def document(*words: str | Path) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def at_once(laptop: Laptop, serial: str, *words: str | Path, **other: Any) -> Result:
    meter = laptop.bench[serial]
    return laptop.run(
        "jobs",
        "run",
        *words,
        "--url",
        meter.url,
        "--profile",
        PROFILES[meter.scenario.model],
        "--keys",
        other.get("keys", meter.keys_file),
        "--state",
        laptop.state,
        "--timeout",
        "2",
        "--json",
    )


def test_a_job_is_queued_listed_shown_and_cancelled(site):
    queued = document("run", "load_limit", "limit_w=5000", "--meter", "M1", "--config", site)
    assert queued["parameters"] == {"limit_w": 5000}
    assert (queued["state"], queued["outcome"]) == ("queued", None)
    document("run", "rotate_secrets", "secrets=guek,gak", "--meter", "M1", "--site", site)
    listed = document("list", "--config", site)["jobs"]
    assert [one["kind"] for one in listed] == ["load_limit", "rotate_secrets"]
    cancelled = document("cancel", str(queued["id"]), "--config", site, "--by", "anita")
    assert (cancelled["outcome"], cancelled["reason"]) == ("cancelled", "by anita")
    assert run("cancel", str(queued["id"]), "--config", site).exit_code == 2
    shown = document("show", str(queued["id"]), "--config", site)
    assert [one["step"] for one in shown["steps"]] == ["closed"]
    assert len(document("list", "--config", site)["jobs"]) == 1
    assert len(document("list", "--all", "--config", site)["jobs"]) == 2
    assert "load_limit" in run("show", str(queued["id"]), "--config", site).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("load_limit", "--meter", "M1"), "limit_w is wrong"),
        (("load_limit", "limit_w=5kW", "--meter", "M1"), "a whole number is wanted"),
        (("load_limit", "limit_w=0", "--meter", "M1"), "0 W is not 1 to"),
        (("load_limit", "limit_w=1", "limit_w=2", "--meter", "M1"), "each name once"),
        (("demand_period", "period_s=901", "--meter", "M1"), "one of 900, 1800, 3600"),
        (("esw_filter", "bits=3-", "--meter", "M1"), "written 3,4,81-87"),
        (("esw_filter", "bits=200", "--meter", "M1"), "do not stand in"),
        (("payment_mode", "mode=free", "--meter", "M1"), "one of postpaid, prepaid"),
        (("prepaid_mirrors", "balance_paise=100", "--meter", "M1"), "rupees or paise"),
        (("display_message", f"text={'x' * 200}", "--meter", "M1"), "at most 128"),
        (("activity_calendar", "calendar=/none", "--meter", "M1"), "cannot be read"),
        (("rotate_secrets", "secrets=master", "--meter", "M1"), "not 'master'"),
        (("open_relay", "--meter", "M1"), "no kind of job"),
        (("load_limit", "limit_w=5000", "--meter", "M9"), "has no meter M9"),
        (("load_limit", "limit_w=5000"), "--meter"),
    ],
)
def test_what_cannot_be_is_told_to_the_one_who_asks_and_not_queued(site, words, told):
    result = run("run", *words, "--config", site)
    assert result.exit_code == 2
    assert told in result.stderr
    assert document("list", "--all", "--config", site)["jobs"] == []


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
def test_a_setting_is_made_at_once_from_a_laptop_and_its_audit_is_kept(laptop, bench, serial):
    configuration = bench[serial].meter.configuration
    period_s = 1800 if configuration.value(PERIOD).value != 1800 else 3600
    result = at_once(laptop, serial, "demand_period", f"period_s={period_s}", "--meter", serial)
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert (done["outcome"], done["meter"]) == ("done", serial)
    assert configuration.value(PERIOD).value == period_s
    assert [one["step"] for one in done["steps"]][-3:] == ["sending", "after", "closed"]
    again = at_once(laptop, serial, "demand_period", f"period_s={period_s}")
    assert json.loads(again.stdout)["outcome"] == "already_so"
    listed = document("list", "--all", "--state", laptop.state)["jobs"]
    assert [one["outcome"] for one in listed] == ["done", "already_so"]


def test_a_calendar_and_an_image_are_brought_at_once(laptop, bench, tmp_path):
    calendar = tmp_path / "calendar.toml"
    calendar.write_text(CALENDAR)
    result = at_once(laptop, "WRAPPER", "activity_calendar", f"calendar={calendar}")
    assert json.loads(result.stdout)["outcome"] == "done", result.output
    assert bench["WRAPPER"].meter.configuration.active_calendar == b"TOD26"
    image = tmp_path / "image.bin"
    image.write_bytes(make_image("EMU-1.0", 900))
    words = (f"file={image}", "identifier=EMU1", "version=EMU-1.0")
    same = at_once(laptop, "WRAPPER", "firmware_image", *words)
    assert json.loads(same.stdout)["outcome"] == "already_so", same.output


def test_the_meters_no_another_meter_a_wrong_key_and_silence_have_their_exit_codes(laptop, bench):
    words = ("demand_period", "period_s=900", "--meter", "SOMEBODY")
    other = at_once(laptop, "WRAPPER", *words)
    assert other.exit_code == 1
    assert "answers where the job is for SOMEBODY" in json.loads(other.stdout)["reason"]
    expected = at_once(
        laptop, "WRAPPER", "metering_mode", "mode=import_export", "expect_mode=import_export"
    )
    assert expected.exit_code == 1
    keys = laptop.changed_keys("WRAPPER", guek="00" * 16)
    wrong = at_once(laptop, "WRAPPER", "demand_period", "period_s=3600", keys=keys)
    assert wrong.exit_code == 4
    silent = at_once(laptop, "SILENT", "demand_period", "period_s=900")
    assert silent.exit_code == 3
    assert json.loads(silent.stdout)["outcome"] == "cancelled"


def test_secrets_are_not_changed_from_a_laptop_and_nothing_is_done_later(laptop):
    assert at_once(laptop, "WRAPPER", "rotate_secrets").exit_code == 2
    later = at_once(laptop, "WRAPPER", "activity_calendar", "calendar=x", "at=2026-06-01T00:00")
    assert later.exit_code == 2


def test_keys_rotate_is_the_same_job_under_its_own_name(site):
    words = ["keys", "rotate", "M1", "--config", str(site), "--secrets", "guek", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    (listed,) = document("list", "--config", site)["jobs"]
    assert (listed["kind"], listed["parameters"]) == ("rotate_secrets", {"secrets": "guek"})


def test_a_place_for_the_jobs_is_needed_and_only_one(site, tmp_path):
    assert run("list", "--state", tmp_path / "none").exit_code == 2
    assert run("list", "--state", tmp_path, "--config", site).exit_code == 2
    assert run("show", "9", "--config", site).exit_code == 2
