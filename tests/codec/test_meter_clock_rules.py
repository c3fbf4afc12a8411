"""When a meter's clock is set: never over the end of an interval unless the site allows it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.meter_time import (
    ClockPolicy,
    ClockSetting,
    ClockStep,
    judge_clock,
    set_clock,
)
from gateway.errors import PeerRefused
from tests.emulator.rig import NOW_S, Rig, meter_scenario

ZONE_S = 19_800
RULES = TimeRules(330, 1)
POLICY = ClockPolicy(above_s=60, most_s=3600, margin_s=30)


@given(
    drift_s=st.integers(-4000, 4000),
    now_s=st.integers(NOW_S, NOW_S + 86_400),
    period_s=st.sampled_from([900, 1800, 3600]),
    crossing=st.booleans(),
)
def test_a_clock_is_set_only_within_one_interval_unless_it_never_can_be(
    drift_s: int, now_s: int, period_s: int, crossing: bool
) -> None:
    policy = ClockPolicy(above_s=60, most_s=3600, margin_s=30, crossing=crossing)
    step = judge_clock(drift_s, now_s=now_s, period_s=period_s, zone_s=ZONE_S, policy=policy)
    assert (step is ClockStep.LEAVE) == (abs(drift_s) <= 60)
    assert (step is ClockStep.TOO_FAR) == (abs(drift_s) > 3600)
    if step is ClockStep.SET:
        moments = range(min(now_s, now_s + drift_s) - 30, max(now_s, now_s + drift_s) + 31)
        boundary = any((moment + ZONE_S) % period_s == 0 for moment in moments[1:])
        assert not boundary or (crossing and abs(drift_s) + 60 >= period_s)


@given(drift_s=st.integers(61, 800), start_s=st.integers(NOW_S, NOW_S + 86_400))
def test_a_clock_that_can_be_set_is_set_before_the_interval_is_over(
    drift_s: int, start_s: int
) -> None:
    steps = [
        judge_clock(drift_s, now_s=now_s, period_s=900, zone_s=ZONE_S, policy=POLICY)
        for now_s in range(start_s, start_s + 901, 5)
    ]
    assert ClockStep.SET in steps or drift_s + 60 + 5 > 900


@pytest.mark.parametrize("how", ["write", "shift"])
@pytest.mark.parametrize("offset_s", [300, -45, 899, 2000])
def test_a_clock_that_was_set_shows_the_hosts_time(how: str, offset_s: int) -> None:
    rig = Rig(meter_scenario(f"faults.clock_offset_s = {offset_s}"))
    client = rig.client("utility_settings")
    client.open()
    before_s, after_s = client.run(set_clock(ClockSetting(how), lambda: rig.now_s, RULES))
    assert (before_s, after_s) == (offset_s, 0)


def test_a_clock_that_is_never_to_be_set_is_only_read() -> None:
    rig = Rig(meter_scenario("faults.clock_offset_s = 300"))
    client = rig.client("utility_settings")
    client.open()
    asked = client.run(set_clock(ClockSetting.NEVER, lambda: rig.now_s, RULES))
    assert asked == (300, 300)


@pytest.mark.parametrize("how", ["write", "shift"])
def test_a_reader_without_the_right_is_refused(how: str) -> None:
    rig = Rig(meter_scenario("faults.clock_offset_s = 300"))
    client = rig.client("meter_reader")
    client.open()
    with pytest.raises(PeerRefused, match="read-write-denied"):
        client.run(set_clock(ClockSetting(how), lambda: rig.now_s, RULES))


def test_the_time_that_is_written_is_that_of_the_moment_of_writing() -> None:
    rig = Rig(meter_scenario("faults.clock_offset_s = 2000"))
    ticks: Iterator[int] = iter(range(0, 100, 3))

    def now_s() -> int:
        rig.now_s = NOW_S + next(ticks)
        return rig.now_s

    client = rig.client("utility_settings")
    client.open()
    _, after_s = client.run(set_clock(ClockSetting.WRITE, now_s, RULES))
    assert abs(after_s) <= 3
