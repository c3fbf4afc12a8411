"""The comparison itself: it must be able to fail, at every figure it looks at."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hil_tests.demo.comparison import compare
from hil_tests.demo.consumer_api import Page, local_days
from hil_tests.demo.folder import Plan
from hil_tests.demo.truth import DAY_S, MeterTruth, truths
from hil_tests.emulator.scenario import load_scenario

SCENARIOS = Path(__file__).parents[2] / "hil_tests/scenarios"
PLAN = Plan(scenario=SCENARIOS / "smoke.toml", daily_days=3, block_days=2, bus_block_days=1)
SCENARIO = load_scenario(PLAN.scenario)
START_S = int(datetime(2026, 5, 1, 6, 40, tzinfo=UTC).timestamp())
IST = timezone(timedelta(minutes=330))


@cache
def truth_at(
    checked_s: int = START_S + 60, started_s: int = START_S, seed: int = 7
) -> tuple[MeterTruth, ...]:
    scenario = replace(SCENARIO, seed=seed)
    return truths(scenario, PLAN, started_s=started_s, checked_s=checked_s)


def time_text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, IST).isoformat()


def held(truth: MeterTruth, at_s: int) -> Decimal:
    wh = truth.register_at(at_s)
    assert wh is not None
    return wh


def register(truth: MeterTruth, at_s: int) -> dict[str, object]:
    return {"meter": truth.meter, "at": time_text(at_s), "wh": f"{held(truth, at_s):f}"}


def page_of(truth: MeterTruth) -> Page:
    """The page as it is when everything is right, in the API's words."""
    window = truth.daily
    days = [
        {
            "date": local_days(at_s, at_s, truth.zone_s)[0].isoformat(),
            "meter": truth.meter,
            "units_wh": f"{held(truth, at_s + DAY_S) - held(truth, at_s):f}",
            "opening": register(truth, at_s),
            "closing": register(truth, at_s + DAY_S),
        }
        for at_s in range(window.first_s, window.last_s, DAY_S)
    ]
    blocks = [
        {"end": time_text(end_s), "wh": f"{truth.block_at(end_s):f}"}
        for end_s in range(truth.blocks.first_s, truth.blocks.last_s + 1, truth.blocks.period_s)
    ]
    now_s = truth.started_s + 5
    return Page(
        daily={"days": days},
        loads=({"period_s": truth.blocks.period_s, "blocks": blocks},),
        latest={
            "meter": truth.meter,
            "at": time_text(now_s),
            "values": [{"obis": "1-0:1.8.0*255", "value": f"{held(truth, now_s):f}"}],
        },
        register={"register": register(truth, now_s)},
    )


def pages(truth: Sequence[MeterTruth]) -> list[tuple[Page, MeterTruth]]:
    return [(page_of(one), one) for one in truth]


def test_a_page_that_shows_the_truth_has_no_mismatch() -> None:
    findings = compare(pages(truth_at()))
    assert findings.ok
    assert findings.document() == {
        "meters": 3,
        "days_compared": 9,
        "blocks_compared": 48 + 2 * 96,
        "mismatches": 0,
        "missing": 0,
        "mismatch_examples": [],
    }


def test_trailing_zeros_are_no_difference_and_the_last_digit_is_one() -> None:
    truth = truth_at()
    (page, first), *others = pages(truth)
    units = page.daily["days"][0]["units_wh"]
    page.daily["days"][0]["units_wh"] = f"{units}.000"
    assert compare([(page, first), *others]).ok
    page.daily["days"][0]["units_wh"] = f"{units}.001"
    findings = compare([(page, first), *others])
    assert not findings.ok
    assert len(findings.mismatches) == 1
    assert f"{first.meter} 2026-04-28 units_wh: the page has {units}.001" in findings.mismatches[0]


def test_the_truth_of_another_seed_differs_everywhere() -> None:
    other = truth_at(seed=8)
    shown = [(page_of(one), wrong) for one, wrong in zip(truth_at(), other, strict=True)]
    findings = compare(shown)
    assert not findings.ok
    # three figures a day, most blocks, and both present registers
    assert len(findings.mismatches) > 3 * 9 + 100
    assert findings.missing == 0


def day(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.daily["days"][1]
    return found


WRONG = {
    "opening wh": lambda page: day(page)["opening"].update(wh="1"),
    "closing wh": lambda page: day(page)["closing"].update(wh="NaN"),
    "units_wh": lambda page: day(page).update(units_wh="not a number"),
    "opening at": lambda page: day(page)["opening"].update(at=time_text(START_S)),
    "closing meter": lambda page: day(page)["closing"].update(meter="SM9999999"),
    "block that ends at": lambda page: page.loads[0]["blocks"][7].update(wh="0.5"),
    "period_s": lambda page: page.loads[0].update(period_s=900),
    "register wh": lambda page: page.register["register"].update(wh="7"),
    "register meter": lambda page: page.register["register"].update(meter="SM9999999"),
    "latest wh": lambda page: page.latest["values"][0].update(value="7"),
}
ABSENT = {
    "units_wh": lambda page: day(page).update(units_wh=None),
    "opening wh": lambda page: day(page).update(opening=None),
    "2026-04-29": lambda page: page.daily["days"].pop(1),
    "block that ends at": lambda page: page.loads[0]["blocks"].pop(7),
    "block": lambda page: page.loads[0]["blocks"][0].update(wh=None),
    "register": lambda page: page.register.update(register=None),
    "latest": lambda page: page.latest.update(values=[]),
    "register after": lambda page: page.register["register"].update(at=time_text(START_S - 1)),
}


@pytest.mark.parametrize("place", WRONG)
@pytest.mark.parametrize("meter", range(3))
def test_a_wrong_figure_is_a_mismatch_that_says_where(meter: int, place: str) -> None:
    shown = pages(truth_at())
    WRONG[place](shown[meter][0])
    findings = compare(shown)
    assert findings.mismatches
    assert all(shown[meter][1].meter in one for one in findings.mismatches)
    assert any(place.rsplit(maxsplit=1)[-1] in one for one in findings.mismatches)
    assert findings.missing == 0
    assert not findings.ok


@pytest.mark.parametrize("place", ABSENT)
def test_a_figure_that_is_not_there_is_a_mismatch_and_missing(place: str) -> None:
    shown = pages(truth_at())
    ABSENT[place](shown[2][0])
    findings = compare(shown)
    assert findings.missing
    assert len(findings.mismatches) >= findings.missing
    assert not findings.ok


def test_a_figure_that_no_meter_holds_is_a_mismatch() -> None:
    shown = pages(truth_at())
    later_s = shown[0][1].blocks.last_s + 7 * DAY_S
    shown[0][0].loads[0]["blocks"].append({"end": time_text(later_s), "wh": "1"})
    assert "the meter has no such block" in compare(shown).mismatches[0]

    shown = pages(truth_at())
    today = copy.deepcopy(day(shown[0][0]))
    shown[0][0].daily["days"].append(today | {"date": "2026-05-01"})
    assert "the meter has no such day" in compare(shown).mismatches[0]


def test_nothing_compared_is_not_ok() -> None:
    assert not compare([]).ok


def test_a_midnight_that_passes_meanwhile_moves_what_must_be_there() -> None:
    midnight_s = int(datetime(2026, 5, 1, 18, 30, tzinfo=UTC).timestamp())
    before = truth_at(midnight_s - 300, midnight_s - 300)[1]
    across = truth_at(midnight_s + 300, midnight_s - 300)[1]
    after = truth_at(midnight_s + 300, midnight_s + 300)[1]
    assert (before.daily.rows, across.daily.rows, after.daily.rows) == (4, 3, 4)
    assert (before.blocks.rows, across.blocks.rows, after.blocks.rows) == (96, 95, 96)
    assert across.daily.last_s == before.daily.last_s
    assert across.daily.first_s == after.daily.first_s
    # What was read before the midnight, and what is read after it, is compared all the same.
    for other in (before, after):
        assert compare([(page_of(other), across)]).ok


def test_what_a_meter_has_overwritten_and_the_page_still_has_is_compared_too() -> None:
    shown = pages(truth_at())
    page, truth = shown[1]
    old_s = truth.blocks.first_s - 50 * DAY_S
    old = {"end": time_text(old_s), "wh": f"{truth.block_at(old_s):f}"}
    page.loads[0]["blocks"].append(old)
    findings = compare(shown)
    assert findings.ok
    assert findings.blocks_compared == 48 + 2 * 96 + 1
    old["wh"] = "0.1"
    assert len(compare(shown).mismatches) == 1


def test_a_reading_that_came_while_pages_were_fetched_is_compared_too() -> None:
    shown = pages(truth_at())
    page, truth = shown[0]
    page.register["register"] = register(truth, truth.checked_s + 3)
    assert compare(shown).ok
