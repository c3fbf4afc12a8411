"""What the consumer API shows, held against the emulator's truth: exact decimals, every figure.

Pure. A figure that has to be there and is not counts as a mismatch as well, and is counted as
missing besides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from hil_tests.demo.consumer_api import Page, local_days
from hil_tests.demo.truth import DAY_S, MeterTruth

_EXAMPLES: Final = 10
_WH_IMPORT: Final = "1-0:1.8.0*255"


@dataclass(slots=True)
class Findings:
    """What was compared, and where page and truth differ."""

    meters: int = 0
    days_compared: int = 0
    blocks_compared: int = 0
    missing: int = 0
    mismatches: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing differs, nothing is missing, and there was something to compare."""
        compared = min(self.meters, self.days_compared, self.blocks_compared)
        return compared > 0 and not self.mismatches

    def document(self) -> dict[str, Any]:
        """Counts and the first examples, for people and scripts."""
        return {
            "meters": self.meters,
            "days_compared": self.days_compared,
            "blocks_compared": self.blocks_compared,
            "mismatches": len(self.mismatches),
            "missing": self.missing,
            "mismatch_examples": self.mismatches[:_EXAMPLES],
        }

    def same(self, what: str, shown: object, true: object) -> bool:
        """Note a difference; numbers are equal to the last digit or they are not."""
        if shown is None:
            self.absent(what, true)
        elif shown != true:
            self.mismatches.append(f"{what}: the page has {shown}, true is {true}")
        return shown == true

    def absent(self, what: str, true: object) -> None:
        """Note that a figure which has to be there is not."""
        self.missing += 1
        self.mismatches.append(f"{what}: not on the page, true is {true}")


def compare(pages: Iterable[tuple[Page, MeterTruth]]) -> Findings:
    """Compare every meter, day and block."""
    findings = Findings()
    for page, truth in pages:
        findings.meters += 1
        _days(page.daily, truth, findings)
        _blocks(page.loads, truth, findings)
        _now(page, truth, findings)
    return findings


def number(text: object) -> Decimal | None:
    """A figure of the API, None where there is none; a text that is no number is NaN."""
    if text is None:
        return None
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return Decimal("NaN")


def _days(daily: dict[str, Any], truth: MeterTruth, findings: Findings) -> None:
    shown = {date.fromisoformat(day["date"]): day for day in daily["days"]}
    window = truth.daily
    wanted = set(local_days(window.first_s, window.last_s - 1, truth.zone_s))
    filled = {day for day, one in shown.items() if one["units_wh"] is not None}
    for day in sorted(wanted | filled):
        findings.days_compared += 1
        opening_s = _midnight_s(day, truth.zone_s)
        midnights = (opening_s, opening_s + DAY_S)
        _day(f"{truth.meter} {day}", shown.get(day, {}), truth, midnights, findings)


def _day(
    what: str, shown: dict[str, Any], truth: MeterTruth, midnights: tuple[int, int], found: Findings
) -> None:
    opening, closing = (truth.register_at(at_s) for at_s in midnights)
    if opening is None or closing is None:
        found.mismatches.append(f"{what}: on the page, and the meter has no such day")
        return
    if shown.get("units_wh") is None:
        found.absent(f"{what} units_wh", closing - opening)
        return
    found.same(f"{what} units_wh", number(shown["units_wh"]), closing - opening)
    for end, at_s, true in zip(("opening", "closing"), midnights, (opening, closing), strict=True):
        register = shown.get(end) or {}
        found.same(f"{what} {end} wh", number(register.get("wh")), true)
        found.same(f"{what} {end} at", _instant_s(register.get("at")), at_s)
        found.same(f"{what} {end} meter", register.get("meter"), truth.meter)


def _blocks(loads: Iterable[dict[str, Any]], truth: MeterTruth, findings: Findings) -> None:
    shown = {
        _instant_s(block["end"]): (block, load["period_s"])
        for load in loads
        for block in load["blocks"]
    }
    window = truth.blocks
    wanted = set(range(window.first_s, window.last_s + 1, window.period_s))
    filled = {end_s for end_s, (block, _) in shown.items() if block["wh"] is not None}
    for end_s in sorted(wanted | {end_s for end_s in filled if end_s is not None}):
        what = f"{truth.meter} block that ends at {end_s}"
        true = truth.block_at(end_s)
        if true is None:
            findings.mismatches.append(f"{what}: on the page, and the meter has no such block")
            continue
        findings.blocks_compared += 1
        block, period_s = shown.get(end_s, ({}, window.period_s))
        findings.same(f"{what} wh", number(block.get("wh")), true)
        findings.same(f"{what} period_s", period_s, window.period_s)


def _now(page: Page, truth: MeterTruth, findings: Findings) -> None:
    """The newest register and the snapshot's own: of this run, and right for their instant."""
    register = page.register["register"] or {}
    _register_now(f"{truth.meter} register", register, register.get("wh"), truth, findings)
    wh = next((one["value"] for one in page.latest["values"] if one["obis"] == _WH_IMPORT), None)
    _register_now(f"{truth.meter} latest", page.latest, wh, truth, findings)


def _register_now(
    what: str, shown: dict[str, Any], wh: object, truth: MeterTruth, findings: Findings
) -> None:
    at_s = _instant_s(shown.get("at"))
    if at_s is None or at_s < truth.started_s:
        findings.absent(what, f"a reading after {truth.started_s}")
        return
    findings.same(f"{what} meter", shown.get("meter"), truth.meter)
    findings.same(f"{what} wh at {at_s}", number(wh), truth.register_at(at_s))


def _midnight_s(day: date, zone_s: int) -> int:
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_S - zone_s


def _instant_s(text: object) -> int | None:
    return None if text is None else int(datetime.fromisoformat(str(text)).timestamp())
