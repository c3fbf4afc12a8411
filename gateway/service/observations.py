"""What the gateway itself sees or does at a meter, and may tell: the names.

They are of this file, not of a profile: no meter says them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum

from gateway.model import MeterId


class Observation(StrEnum):
    """Stable names of what is told."""

    COUNTER_RAISED = "gateway_raised_invocation_counter"
    """The meter had seen higher counters than ours: another reader, or a restored backup."""
    CLOCK_SET = "gateway_set_clock"
    CLOCK_TOO_FAR = "clock_too_far_off_to_set"
    ROWS_MISSING = "rows_never_captured"
    """The meter has no rows where it should have."""
    ANOTHER_METER = "another_meter_answers"
    """An exchange that the site file does not know, or an address given twice."""


Observe = Callable[[MeterId, Observation], Awaitable[None]]


async def unobserved(_meter: MeterId, _what: Observation) -> None:
    """For whoever has no backend to tell."""
