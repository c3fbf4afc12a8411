"""The activity calendar: passive part written, activated, read back as the active one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dlms import axdr
from gateway.dlms.association.requests import Action
from gateway.dlms.cosem_time import from_utc
from gateway.dlms.management.calendar import (
    Calendar,
    CalendarPlan,
    Day,
    Season,
    Week,
    calendar_parts,
    change_calendar,
)
from gateway.dlms.management.steps import Outcome, PutOff, Result
from gateway.errors import NoAnswer, UsageError
from gateway.model import Obis
from tests.emulator.rig import NOW_S, RULES, Rig, meter_scenario
from tests.management.driver import Driver

OBJECT = Obis.parse("0-0:13.0.0*255")
SCRIPT = Obis.parse("0-0:10.0.100*255")
CALENDAR = Calendar(
    name="TOD26",
    seasons=(Season("S1", 4, 1, "W1"), Season("S2", 10, 1, "W1")),
    weeks=(Week("W1", (1, 1, 1, 1, 1, 1, 2)),),
    days=(Day(1, ((0, 1), (360, 2), (1320, 1))), Day(2, ((0, 1),))),
)
PLAN = CalendarPlan(object=OBJECT, script=SCRIPT, calendar=CALENDAR)


def test_a_calendar_has_exactly_the_octets_of_the_blue_books_shapes():
    name, seasons, weeks, days = (axdr.encode(part) for part in calendar_parts(CALENDAR, SCRIPT))
    assert name == bytes.fromhex("09 05 544F443236")
    assert seasons == bytes.fromhex(
        "01 02 02 03 09 02 5331 09 0C FFFF 04 01 FF 00 00 00 00 8000 FF 09 02 5731"
        "02 03 09 02 5332 09 0C FFFF 0A 01 FF 00 00 00 00 8000 FF 09 02 5731"
    )
    assert weeks == bytes.fromhex(
        "01 01 02 08 09 02 5731 11 01 11 01 11 01 11 01 11 01 11 01 11 02"
    )
    assert days == bytes.fromhex(
        "01 02"
        "02 02 11 01 01 03"
        "02 03 09 04 00 00 00 00 09 06 00 00 0A 00 64 FF 12 0001"
        "02 03 09 04 06 00 00 00 09 06 00 00 0A 00 64 FF 12 0002"
        "02 03 09 04 16 00 00 00 09 06 00 00 0A 00 64 FF 12 0001"
        "02 02 11 02 01 01"
        "02 03 09 04 00 00 00 00 09 06 00 00 0A 00 64 FF 12 0001"
    )


def test_a_calendar_is_written_activated_and_proved():
    driver = Driver(Rig(meter_scenario()))
    assert driver.attempt(lambda h: change_calendar(PLAN, h)) == Result(Outcome.DONE)
    assert driver.rig.meter.configuration.active_calendar == b"TOD26"
    again = Driver(driver.rig)
    assert again.attempt(lambda h: change_calendar(PLAN, h)) == Result(Outcome.ALREADY_SO)
    assert again.changes == []


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_cut_after_any_change_is_gone_on_from_without_writing_twice(cut):
    driver = Driver(Rig(meter_scenario()))
    driver.loses = lambda _: len(driver.changes) == cut
    try:
        driver.attempt(lambda h: change_calendar(PLAN, h))
    except NoAnswer:
        driver.loses = lambda _: False
        assert driver.attempt(lambda h: change_calendar(PLAN, h)) == Result(Outcome.DONE)
    assert len(driver.changes) == 5  # four tables and the activation
    assert driver.rig.meter.configuration.active_calendar == b"TOD26"


def test_a_calendar_for_later_waits_for_its_time_and_is_proved_then():
    driver = Driver(Rig(meter_scenario()))
    at = from_utc(NOW_S + 3600, RULES)
    plan = replace(PLAN, at=at, in_s=3600)
    waits = driver.attempt(lambda h: change_calendar(plan, h))
    assert isinstance(waits, PutOff)
    assert waits.seconds == 3660
    assert not waits.fault
    assert driver.rig.meter.configuration.active_calendar == b"EMU"
    driver.rig.now_s += 3660
    ended = driver.attempt(lambda h: change_calendar(replace(plan, in_s=-60), h))
    assert ended == Result(Outcome.DONE)
    assert not any(isinstance(one, Action) for one in driver.changes)


def test_a_time_that_went_by_without_effect_is_told():
    driver = Driver(Rig(meter_scenario()))
    plan = replace(PLAN, at=from_utc(NOW_S + 3600, RULES), in_s=3600)
    driver.attempt(lambda h: change_calendar(plan, h))
    ended = driver.attempt(lambda h: change_calendar(replace(plan, in_s=-600), h))
    assert isinstance(ended, Result)
    assert ended.outcome is Outcome.DIFFERS


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seasons": ()}, "are needed"),
        ({"seasons": (Season("S1", 13, 1, "W1"),)}, "begins on no day"),
        ({"seasons": (Season("S1", 1, 1, "W9"),)}, "names no week profile: 'W9'"),
        ({"weeks": (Week("W1", (1, 1)),)}, "needs seven of the day profiles"),
        ({"weeks": (Week("W1", (3,) * 7),)}, "needs seven of the day profiles"),
        ({"days": (Day(1, ((60, 1),)), Day(2, ((0, 1),)))}, "rise from minute 0"),
        ({"days": (Day(1, ((0, 1), (0, 2))), Day(2, ((0, 1),)))}, "rise from minute 0"),
        ({"days": (Day(1, ((0, 0),)), Day(2, ((0, 1),)))}, "outside 1..65535"),
        ({"name": "x" * 40}, "ASCII octets"),
    ],
)
def test_a_calendar_whose_parts_do_not_fit_is_refused(change, told):
    with pytest.raises(UsageError, match=told):
        replace(CALENDAR, **change)
