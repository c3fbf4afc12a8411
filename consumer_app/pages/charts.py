"""Geometry of the server-drawn charts, in whole numbers.

A chart is a box of ``columns * COLUMN`` by ``HEIGHT`` units that the page stretches to the room
there is; labels are text beside it, so they stay readable at any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import groupby
from typing import NamedTuple

COLUMN = 10
HEIGHT = 1000
_STEPS = (1, 2, 5)
_LINES = 4


class Scale(NamedTuple):
    """A vertical scale: labels from the top down to 0, and the value at the top."""

    top: Decimal
    labels: tuple[Decimal, ...]

    def height(self, value: Decimal) -> int:
        """The height of a value in the box."""
        return int((value * HEIGHT / self.top).to_integral_value())


def scale_for(values: Sequence[Decimal | None]) -> Scale:
    """The smallest scale in steps of 1, 2 or 5 times a power of ten that holds all values."""
    largest = max((value for value in values if value is not None), default=Decimal(0))
    step = Decimal(1)
    if largest > 0:
        power = Decimal(1).scaleb((largest / _LINES).adjusted())
        step = next(size * power for size in (*_STEPS, 10) if size * power * _LINES >= largest)
    lines = max(1, int((largest / step).to_integral_value(ROUND_CEILING)))
    return Scale(step * lines, tuple(step * line for line in range(lines, -1, -1)))


@dataclass(frozen=True, slots=True)
class Bar:
    """One column: its left edge, and its height or None for a gap."""

    x: int
    height: int | None


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars of equal width with a scale."""

    width: int
    scale: Scale
    bars: tuple[Bar, ...]


def bar_chart(values: Sequence[Decimal | None]) -> BarChart:
    """A bar for each value; None is a gap."""
    scale = scale_for(values)
    bars = tuple(
        Bar(place * COLUMN, None if value is None else scale.height(value))
        for place, value in enumerate(values)
    )
    return BarChart(len(values) * COLUMN, scale, bars)


@dataclass(frozen=True, slots=True)
class LineChart:
    """A stepped line: SVG path data of the line and of the area under it; gaps as (x, width)."""

    width: int
    scale: Scale
    line: str
    area: str
    gaps: tuple[tuple[int, int], ...]


def line_chart(values: Sequence[Decimal | None], expected: int) -> LineChart:
    """A step for each value, since each is the mean over its block; the line breaks at gaps.

    Only the first ``expected`` values can be gaps: those after them lie in the future.
    """
    scale = scale_for(values)
    line: list[str] = []
    area: list[str] = []
    gaps: list[tuple[int, int]] = []
    for known, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        members = list(run)
        first_x = members[0][0] * COLUMN
        last_x = members[-1][0] * COLUMN + COLUMN
        if not known:
            last_x = min(last_x, expected * COLUMN)
            if first_x < last_x:
                gaps.append((first_x, last_x - first_x))
            continue
        steps = [
            f"V{HEIGHT - scale.height(value)}H{place * COLUMN + COLUMN}"
            for place, value in members
            if value is not None
        ]
        start = steps[0].partition("H")[0].removeprefix("V")
        line.append(f"M{first_x} {start}" + "".join(steps))
        area.append(f"M{first_x} {HEIGHT}" + "".join(steps) + f"V{HEIGHT}Z")
    return LineChart(len(values) * COLUMN, scale, "".join(line), "".join(area), tuple(gaps))
