"""The service level: what is expected of a day, what is there, and the alarm when it is not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.config import CoverageTarget
from gateway.model import MeterId, ProfileKind
from gateway.service.coverage import Share, due, judge, last_midnight
from gateway.store.readings import Coverage
from hil_tests.emulator.household import DAY_S
from tests.emulator.rig import INSTALLED_S, ZONE_S
from tests.service.world import START_S, World

EIGHT, NOON = (
    CoverageTarget(within_hours=8, percent=95),
    CoverageTarget(within_hours=12, percent=98),
)
BLOCK = ProfileKind.BLOCK_LOAD
HOUR_S = 3600
MIDNIGHT_S = INSTALLED_S + 50 * DAY_S


def stored(meter: str, times: int, kind: ProfileKind = BLOCK) -> Coverage:
    return Coverage(MeterId(meter), kind, times, 0, 0, 0)


@given(
    st.lists(st.tuples(st.integers(1, 96), st.integers(0, 200)), min_size=1, max_size=8),
    st.integers(1, 100),
)
def test_no_meter_makes_up_for_another_and_the_share_is_exact(
    meters: list[tuple[int, int]], percent: int
) -> None:
    expected: dict[tuple[MeterId, str], int] = {
        (MeterId(str(n)), BLOCK): wanted for n, (wanted, _) in enumerate(meters)
    }
    share = judge(expected, [stored(str(n), there) for n, (_, there) in enumerate(meters)])
    there = sum(min(pair) for pair in meters)
    exact = Fraction(there, sum(wanted for wanted, _ in meters))
    assert Fraction(share.there, share.expected) == exact
    assert share.reaches(percent) is (exact >= Fraction(percent, 100))
    assert share.basis_points == int(exact * 10_000)


def test_what_nobody_expects_counts_for_nothing() -> None:
    expected: dict[tuple[MeterId, str], int] = {(MeterId("A"), BLOCK): 48}
    rows = [stored("B", 48), stored("A", 1, ProfileKind.INSTANTANEOUS)]
    assert judge(expected, rows) == Share(0, 48)
    assert judge({}, rows).basis_points == 10_000


@pytest.mark.parametrize(
    ("hours", "judged", "expected"),
    [
        (7.9, [], []),
        (8, [], [EIGHT]),
        (11, [EIGHT], []),
        (12, [EIGHT], [NOON]),
        (23, [EIGHT, NOON], []),
        (23, [], [NOON]),
    ],
)
def test_each_target_is_judged_once_and_never_in_hindsight(
    hours: float, judged: list[CoverageTarget], expected: list[CoverageTarget]
) -> None:
    now_s = MIDNIGHT_S + int(hours * HOUR_S)
    assert last_midnight(now_s, ZONE_S) == MIDNIGHT_S
    assert due(now_s, MIDNIGHT_S, [EIGHT, NOON], judged) == expected


def run(world: World, until_s: int) -> tuple[list[dict[str, object]], dict[str, int]]:
    with capture_logs() as logs:
        service = world.run(until_s - world.now_s)
    told = [dict(entry) for entry in logs if str(entry["event"]).startswith("coverage")]
    return told, service.coverage.figures


def test_a_day_that_was_read_is_all_there_for_the_wire_and_the_site(tmp_path: Path) -> None:
    world = World(tmp_path)
    day_s = last_midnight(START_S, ZONE_S) + DAY_S
    told, figures = run(world, day_s + 9 * HOUR_S)
    eight = [entry for entry in told if entry["within_hours"] == 8]
    assert [entry["of"] for entry in eight] == ["wire", "site"]
    assert {(e["rows"], e["expected"], e["log_level"]) for e in eight} == {(49, 49, "info")}
    assert figures == {"coverage_basis_points": 10_000, "coverage_rows_missing": 0}


def test_a_meter_that_was_silent_is_an_alarm_and_figures_of_the_health_message(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, faults="faults.silent = true")
    day_s = last_midnight(START_S, ZONE_S) + DAY_S
    told, figures = run(world, day_s + 9 * HOUR_S)
    alarms = [entry for entry in told if entry["log_level"] == "error"]
    assert {entry["of"] for entry in alarms} == {"wire", "site"}
    assert figures["coverage_basis_points"] == 0
    assert figures["coverage_rows_missing"] > 0


def test_a_clock_that_is_not_right_judges_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, synchronised=False)
    told, figures = run(world, last_midnight(START_S, ZONE_S) + DAY_S + 13 * HOUR_S)
    assert (told, figures) == ([], {})
