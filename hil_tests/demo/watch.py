"""Waiting for everything to arrive, then the comparison: what the demo and its proof share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from hil_tests.demo.backend import Backend
from hil_tests.demo.comparison import Findings, compare
from hil_tests.demo.consumer_api import ConsumerApi
from hil_tests.demo.line import Line
from hil_tests.demo.truth import MeterTruth, truths

_POLL_S: Final = 0.5
_TRY_AGAIN_S: Final = 2.0

Show = Callable[[Mapping[str, int], Mapping[str, int]], None]
"""Takes the rows that have arrived and that are expected, by meter."""


def line_truths(line: Line) -> tuple[MeterTruth, ...]:
    """The truth of every meter of a running line, as of now."""
    now_s = time.time_ns() // 1_000_000_000
    return truths(line.scenario, line.plan, started_s=line.started_s, checked_s=now_s)


def wait_complete(line: Line, show: Show, *, timeout_s: float | None) -> bool:
    """Wait until every expected row has arrived; False when time is up (None: never is).

    Raises NoAnswer when a part of the line ended, LinkLost when the database did.
    """
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    with Backend(line.database_url) as backend:
        while True:
            line.check()
            current = line_truths(line)
            arrived = backend.arrived(current)
            expected = {truth.meter: truth.expected_rows for truth in current}
            show(arrived, expected)
            if all(arrived.get(meter, 0) >= rows for meter, rows in expected.items()):
                return True
            if end_s is not None and time.monotonic() > end_s:
                return False
            line.pause(_POLL_S)


def compare_line(line: Line, *, timeout_s: float) -> Findings:
    """Compare page and truth; again, within the time, for as long as something is missing."""
    end_s = time.monotonic() + timeout_s
    while True:
        findings = _compare(line)
        if not findings.missing or time.monotonic() > end_s:
            return findings
        line.pause(_TRY_AGAIN_S)


def _compare(line: Line) -> Findings:
    current = {truth.meter: truth for truth in line_truths(line)}
    with ConsumerApi(line.web_port) as api:
        return compare(
            (api.page(consumer, current[consumer.meter]), current[consumer.meter])
            for consumer in line.consumers
        )
