"""From a meter that loses its supply to the consumer's app, through every real part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hil_tests.broker import free_port
from hil_tests.demo.cli import run_directory
from hil_tests.demo.consumer_api import ConsumerApi
from hil_tests.demo.folder import Plan
from hil_tests.demo.line import Line
from hil_tests.emulator.remote import command_meter
from proofs.line import SCENARIO

pytestmark = pytest.mark.line

SERIAL = "LN2000001"
AT_ONCE_S = 5.0
"""From the meter to the database: the promise is "within seconds"."""
READ_S = 150.0
"""A reading that the power cut interrupts waits a minute for the meter before it is done again."""
_POLL_S = 0.2

Events = list[dict[str, Any]]


@pytest.fixture
def root() -> Iterator[Path]:
    # not below pytest's own folder: that is closed to the database's system user
    with run_directory(None) as folder:
        yield folder


def until(
    get: Callable[[], Events],
    wanted: Callable[[Events], bool],
    timeout_s: float,
    pause: Callable[[float], None] = time.sleep,
) -> Events:
    deadline = time.monotonic() + timeout_s
    while True:
        found = get()
        if wanted(found) or time.monotonic() > deadline:
            return found
        pause(_POLL_S)


def told(events: Events, phase: str, source: str) -> bool:
    return any(
        one["name"] == "power_failure" and one["phase"] == phase and source in one["sources"]
        for one in events
    )


def any_pushed(events: Events) -> bool:
    return any("push" in one["sources"] for one in events)


@pytest.mark.timeout(300)
def test_a_power_cut_is_told_at_once_and_its_row_of_the_log_is_the_same_event(root: Path) -> None:
    port = free_port()
    plan = Plan(
        scenario=SCENARIO,
        daily_days=1,
        block_days=1,
        bus_block_days=1,
        events_s=10,
        push_port=port,
    )
    with Line(plan, root) as line, ConsumerApi(line.web_port) as api:
        consumer = next(one for one in line.consumers if one.meter == SERIAL)
        meters = line.folder.meters
        command_meter(meters, meter=SERIAL, push_to=f"127.0.0.1:{port}")

        def events() -> Events:
            return api.events(consumer)

        # Until the gateway listens, and knows the meter by its system title, a push is lost.
        deadline = time.monotonic() + READ_S
        ended = False
        while time.monotonic() < deadline:
            command_meter(meters, meter=SERIAL, incident="magnet", ended=ended)
            ended = not ended
            if any_pushed(until(events, any_pushed, 1.0)):
                break
        for phase, over in (("occurred", False), ("ended", True)):
            command_meter(meters, meter=SERIAL, incident="power_cut", ended=over)
            found = until(events, partial(told, phase=phase, source="push"), AT_ONCE_S)
            assert told(found, phase, "push"), f"{phase}: not there within {AT_ONCE_S} s"

        def read(found: Events) -> bool:
            return told(found, "occurred", "log") and told(found, "ended", "log")

        found = until(events, read, READ_S)
    failures = [one for one in found if one["name"] == "power_failure"]
    pushed = [one for one in failures if "push" in one["sources"]]
    assert {one["phase"] for one in pushed} == {"occurred", "ended"}
    assert all(one["sources"] == ["log", "push"] for one in pushed)
    assert len({(one["phase"], one["at"]) for one in failures}) == len(failures)
    assert all(one["code"] == {"occurred": 101, "ended": 102}[one["phase"]] for one in failures)
