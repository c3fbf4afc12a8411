"""What the page has to show: the emulator's truth, computed here, and which part of it was read.

Nothing in here touches DLMS or any part of the product's way but its calendar of captures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from gateway.dlms.plan import Cadence
from hil_tests.demo.folder import Plan
from hil_tests.emulator.fleet import truth_of
from hil_tests.emulator.scenario import MeterScenario, Scenario, WireKind

DAY_S: Final = 86_400
_FETCH_S: Final = 300
"""Pages are fetched one after the other once ``checked_s`` was taken; readings go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Window:
    """Capture times from ``first_s`` to ``last_s``, both included, every ``period_s`` (UTC)."""

    first_s: int
    last_s: int
    period_s: int

    @property
    def rows(self) -> int:
        """How many captures it holds."""
        return max(0, (self.last_s - self.first_s) // self.period_s + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterTruth:
    """One meter's figures in Wh by capture time (UTC seconds), as its number format shows them.

    What lies in ``daily`` and ``blocks`` must be on the page; what else is shown must be right.
    ``register_at`` has the register at any instant and ``block_at`` the block that ends then,
    None where the meter has none.
    """

    meter: str
    zone_s: int
    daily: Window
    blocks: Window
    register_at: Callable[[int], Decimal | None]
    block_at: Callable[[int], Decimal | None]
    started_s: int
    checked_s: int

    @property
    def expected_rows(self) -> int:
        """Daily rows, block rows and one set of present values."""
        return self.daily.rows + self.blocks.rows + 1


def truths(
    scenario: Scenario, plan: Plan, *, started_s: int, checked_s: int
) -> tuple[MeterTruth, ...]:
    """The truth of every meter for a line that was started and is looked at (UTC seconds).

    Rows that were due when the line was started must be there, as far back as the plan reaches
    when it is looked at: time goes on in between, and a midnight may pass.
    """
    return tuple(_truth(scenario, meter, plan, started_s, checked_s) for meter in scenario.meters)


def _truth(
    scenario: Scenario, meter: MeterScenario, plan: Plan, started_s: int, checked_s: int
) -> MeterTruth:
    oracle = truth_of(scenario, meter)
    zone_s = scenario.zone_minutes * 60
    block_days = plan.bus_block_days if meter.wire is WireKind.BUS else plan.block_days
    day = Cadence(period_s=DAY_S, zone_s=zone_s)
    block = Cadence(period_s=meter.capture_period_s, zone_s=zone_s)
    # The oldest block of a full buffer is overwritten while it is being read: one block less.
    first_block_s = block.last_at(checked_s) - block_days * DAY_S + block.period_s

    def register_at(at_s: int) -> Decimal | None:
        if not scenario.installed_s <= at_s <= checked_s + _FETCH_S:
            return None
        return oracle.register_at(at_s).shown.import_wh

    def block_at(end_s: int) -> Decimal | None:
        is_end = (end_s - scenario.installed_s) % block.period_s == 0
        if not is_end or not scenario.installed_s < end_s <= checked_s + _FETCH_S:
            return None
        return oracle.block_at(end_s).shown.import_wh

    return MeterTruth(
        meter=meter.serial,
        zone_s=zone_s,
        daily=Window(
            max(day.last_at(checked_s) - plan.daily_days * DAY_S, scenario.installed_s),
            day.last_at(started_s),
            DAY_S,
        ),
        blocks=Window(
            max(first_block_s, scenario.installed_s + block.period_s),
            block.last_at(started_s),
            block.period_s,
        ),
        register_at=register_at,
        block_at=block_at,
        started_s=started_s,
        checked_s=checked_s,
    )
