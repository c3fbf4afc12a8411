"""From words and a profile to jobs: each kind with its units, and what is refused at once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.dlms.association.requests import Get
from gateway.dlms.cosem_time import from_utc
from gateway.dlms.management.writing import Write
from gateway.errors import UsageError
from gateway.model import Obis
from gateway.poller import Priority
from gateway.profile import FirmwareProfile, load_profile
from gateway.service.core_settings import time_rules
from gateway.service.job_kinds import (
    JobKind,
    plan_job,
    priority_of,
    read_parameters,
    rotated_secrets,
)

BASE = load_profile("is15959_part2_single_phase")
NOW_S = 1_777_617_062


def shows(unit: Literal["rupee", "paisa"]) -> FirmwareProfile:
    assert BASE.display is not None
    return replace(BASE, display=replace(BASE.display, amount_unit=unit))


def writes(kind: JobKind, profile: FirmwareProfile = BASE, **parameters: Any) -> list[Write]:
    job = plan_job(kind, parameters, profile, NOW_S).make
    found: list[Write] = job.args[0]  # type: ignore[attr-defined]
    return found


def test_amounts_are_written_in_the_unit_that_the_meter_shows():
    paise = {"balance_paise": -12_300, "last_recharge_paise": 50_000}
    rupees = writes(JobKind.PREPAID_MIRRORS, shows("rupee"), **paise)
    assert [one.wanted for one in rupees] == [Decimal(-123), Decimal(500)]
    exact = writes(JobKind.PREPAID_MIRRORS, shows("paisa"), **paise)
    assert [one.wanted for one in exact] == [Decimal(-12_300), Decimal(50_000)]
    assert [str(one.target.obis) for one in exact] == ["0-0:94.96.24*255", "0-0:94.96.21*255"]


def test_a_rounded_amount_is_never_shown():
    with pytest.raises(UsageError, match="12350 paise are no whole rupee"):
        writes(JobKind.PREPAID_MIRRORS, shows("rupee"), balance_paise=12_350)


def test_times_are_the_meters_own():
    at = "2026-05-01T10:00"
    (one,) = writes(JobKind.PREPAID_MIRRORS, balance_at=at)
    assert one.wanted == from_utc(1_777_609_800, time_rules(BASE))


@pytest.mark.parametrize(
    ("kind", "parameters", "obis", "wanted"),
    [
        (JobKind.LOAD_LIMIT, {"limit_w": 5000}, "0-0:17.0.0*255", Decimal(5000)),
        (JobKind.DEMAND_PERIOD, {"period_s": 1800}, "1-0:0.8.0*255", Decimal(1800)),
        (JobKind.CAPTURE_PERIOD, {"period_s": 900}, "1-0:0.8.4*255", Decimal(900)),
        (JobKind.METERING_MODE, {"mode": "import_export"}, "0-0:94.96.19*255", Decimal(1)),
        (JobKind.PAYMENT_MODE, {"mode": "prepaid"}, "0-0:94.96.20*255", Decimal(1)),
        (JobKind.DISPLAY_MESSAGE, {"text": "900"}, "0-0:96.13.1*255", "900"),
    ],
)
def test_each_setting_goes_to_the_object_that_the_profile_names(kind, parameters, obis, wanted):
    (one,) = writes(kind, **parameters)
    assert one.target.obis == Obis.parse(obis)
    assert one.wanted == wanted
    assert one.only_raised is (kind is JobKind.LOAD_LIMIT)
    plan = plan_job(kind, parameters, BASE, NOW_S)
    assert plan.association == "utility_settings"
    assert next(plan.make(())) == Get(one.target.class_id, one.target.obis, one.target.attribute)


def test_bits_of_the_filter_are_given_one_by_one_and_in_ranges():
    (one,) = writes(JobKind.ESW_FILTER, bits="3,81-83")
    assert one.wanted.on == {3, 81, 82, 83}  # type: ignore[union-attr]
    (none,) = writes(JobKind.ESW_FILTER, bits="")
    assert none.wanted.on == frozenset()  # type: ignore[union-attr]


def test_an_image_is_named_by_its_digest_so_that_another_file_is_refused(tmp_path: Path):
    file = tmp_path / "image"
    file.write_bytes(b"image")
    words = {"file": str(file), "identifier": "X", "version": "2"}
    parameters = read_parameters(JobKind.FIRMWARE_IMAGE, words)
    assert plan_job(JobKind.FIRMWARE_IMAGE, parameters, BASE, NOW_S).association == "firmware"
    file.write_bytes(b"imagf")
    with pytest.raises(UsageError, match="not the image that was asked for"):
        plan_job(JobKind.FIRMWARE_IMAGE, parameters, BASE, NOW_S)


def test_a_profile_that_says_nothing_lets_nothing_be_changed():
    silent = replace(BASE, management=None)
    for kind, parameters in ((JobKind.LOAD_LIMIT, {"limit_w": 1}), (JobKind.FIRMWARE_IMAGE, {})):
        with pytest.raises(UsageError, match=r"says nothing of \[management\]"):
            plan_job(kind, parameters, silent, NOW_S)
    assert BASE.management is not None
    bare = replace(BASE, management=replace(BASE.management, settings={}, image_transfer=None))
    with pytest.raises(UsageError, match="does not say how load_limit is set"):
        plan_job(JobKind.LOAD_LIMIT, {"limit_w": 1}, bare, NOW_S)
    with pytest.raises(UsageError, match="does not say how firmware is brought"):
        plan_job(JobKind.FIRMWARE_IMAGE, {}, bare, NOW_S)


def test_all_secrets_of_the_profile_are_rotated_unless_some_are_named():
    everything = rotated_secrets(BASE, {})
    assert [one.value for one in everything] == [
        "lls_password",
        "hls_secret",
        "hls_secret_firmware",
        "guek",
        "gak",
    ]
    assert [one.value for one in rotated_secrets(BASE, {"secrets": "gak, guek"})] == ["gak", "guek"]


def test_an_image_waits_for_everything_else():
    assert priority_of(JobKind.FIRMWARE_IMAGE) is Priority.ROUTINE
    assert priority_of(JobKind.LOAD_LIMIT) is Priority.ON_DEMAND


def test_no_kind_of_job_asks_anything_of_the_load_switch():
    calendar = {
        "name": "C",
        "season": [{"name": "S", "from": "01-01", "week": "W"}],
        "week": [{"name": "W", "days": [1] * 7}],
        "day": [{"number": 1, "switches": [["00:00", 1]]}],
    }
    parameters: dict[JobKind, dict[str, Any]] = {
        JobKind.LOAD_LIMIT: {"limit_w": 1},
        JobKind.DEMAND_PERIOD: {"period_s": 900},
        JobKind.CAPTURE_PERIOD: {"period_s": 900},
        JobKind.ESW_FILTER: {"bits": "1"},
        JobKind.DISPLAY_MESSAGE: {"text": "x"},
        JobKind.METERING_MODE: {"mode": "forward_only"},
        JobKind.PAYMENT_MODE: {"mode": "prepaid"},
        JobKind.PREPAID_MIRRORS: {"balance_paise": 100},
        JobKind.ACTIVITY_CALENDAR: {"calendar": calendar},
    }
    for kind, given in parameters.items():
        job = plan_job(kind, given, shows("rupee"), NOW_S).make(())
        asked = next(job)
        assert isinstance(asked, Get)
        assert asked.class_id != 70
    assert set(JobKind) - set(parameters) == {JobKind.FIRMWARE_IMAGE, JobKind.ROTATE_SECRETS}
