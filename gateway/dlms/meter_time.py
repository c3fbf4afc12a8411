"""When and how a meter's clock is set: pure rules, and the procedure that does it.

A clock that is moved over the end of a capture interval gives one block twice, or none: so it is
moved only while the old and the new time lie well within the same interval, or, where the site
allows it, with the rows of that time marked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from gateway.dlms import axdr
from gateway.dlms.association.requests import Action, Set
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import CLOCK, ClassId, ClockAttribute, ClockMethod
from gateway.dlms.cosem_time import TimeRules, from_utc, resolve
from gateway.dlms.reading import Procedure, read_clock
from gateway.errors import RemoteProtocolError

SHIFT_MOST_S: Final = 900
"""Blue Book class 8, shift_time: -900 .. 900 s."""


class ClockSetting(StrEnum):
    """How a meter lets its clock be set."""

    NEVER = "never"
    WRITE = "write"
    """Attribute time (2) is written."""
    SHIFT = "shift"
    """Method shift_time (6), for at most 900 s; beyond that the attribute is written."""


class ClockStep(StrEnum):
    """What to do about a drift now."""

    LEAVE = "leave"
    """It is small enough."""
    WAIT = "wait"
    """Not now: an end of an interval is near, or lies between both times."""
    SET = "set"
    TOO_FAR = "too_far"
    """Not without a person: such a drift has another cause than a quartz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPolicy:
    """When a site lets a clock be set.

    ``above_s`` and ``most_s`` bound the drift, ``margin_s`` is kept to the ends of intervals.
    ``crossing``: where the drift is so long that both times can never lie in one interval, it may
    be set all the same; rows captured since the clock was last right are marked then.
    """

    above_s: int = 60
    most_s: int = 3600
    margin_s: int = 30
    crossing: bool = False


def judge_clock(
    drift_s: int, *, now_s: int, period_s: int, zone_s: int, policy: ClockPolicy
) -> ClockStep:
    """What to do about a clock that is ``drift_s`` ahead; ``period_s`` is the shortest in use."""
    if abs(drift_s) <= policy.above_s:
        return ClockStep.LEAVE
    if abs(drift_s) > policy.most_s:
        return ClockStep.TOO_FAR
    true_s, shown_s = now_s + zone_s, now_s + drift_s + zone_s
    margin_s = policy.margin_s
    # A boundary that the two times and their margins do not touch lies in neither's way.
    first, last = min(true_s, shown_s) - margin_s, max(true_s, shown_s) + margin_s
    if first // period_s == last // period_s:
        return ClockStep.SET
    if last - first >= period_s and policy.crossing:
        return ClockStep.SET
    return ClockStep.WAIT


def set_clock(
    how: ClockSetting, now_s: Callable[[], int], rules: TimeRules
) -> Procedure[tuple[int, int]]:
    """Set the clock to the host's time; the drift before and after, in seconds, ahead positive.

    Raises PeerRefused where the meter does not let it be set, DecodeError for a clock that is no
    date-time, RemoteProtocolError for one that shows no time.
    """
    before_s = yield from _drift(now_s, rules)
    if how is ClockSetting.NEVER:
        return before_s, before_s
    if how is ClockSetting.SHIFT and abs(before_s) <= SHIFT_MOST_S:
        shift = axdr.encode(Data(Tag.LONG, -before_s))
        yield Action(ClassId.CLOCK, CLOCK, ClockMethod.SHIFT_TIME, shift)
    elif how is ClockSetting.WRITE or how is ClockSetting.SHIFT:
        time = axdr.encode(Data(Tag.OCTET_STRING, from_utc(now_s(), rules).to_octets()))
        yield Set(ClassId.CLOCK, CLOCK, ClockAttribute.TIME, time)
    else:
        assert_never(how)
    after_s = yield from _drift(now_s, rules)
    return before_s, after_s


def _drift(now_s: Callable[[], int], rules: TimeRules) -> Procedure[int]:
    clock = yield from read_clock()
    shown_s = resolve(clock, rules).utc_s
    if shown_s is None:
        raise RemoteProtocolError("the meter's clock shows no time")
    return shown_s - now_s()
