"""The line from the meter to the page while the gateway is killed in the middle of reading.

The gateway process gets SIGKILL at random moments and is started again. At the end every expected
row is at the backend (lost 0), no row stands there twice (doubled 0), the page equals the meters'
truth, no meter ever saw an invocation counter again, and the outbox is empty.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.errors import NoAnswer
from hil_tests.demo.backend import Backend, Identity
from hil_tests.demo.cli import SCENARIO as DEMO_SCENARIO
from hil_tests.demo.cli import run_directory
from hil_tests.demo.folder import Plan
from hil_tests.demo.line import Line
from hil_tests.demo.processes import StopSignals
from hil_tests.demo.watch import compare_line, line_truths, wait_complete
from hil_tests.emulator.fleet import COUNTERS_FILE, STATS_FILE
from proofs import Options

SCENARIO: Final = Path(__file__).parents[1] / "hil_tests" / "scenarios" / "line.toml"
SHORT: Final = Plan(scenario=SCENARIO, daily_days=35, block_days=10, bus_block_days=5)
LONG: Final = Plan(scenario=DEMO_SCENARIO)
_KILLS: Final = 3
_KILLS_LONG: Final = 12
_FEWEST_OCTETS: Final = 200
_MOST_OCTETS: Final = 4000
_MOST_OCTETS_LONG: Final = 10_000
"""Between two kills; the slow line alone carries several times as much in all."""
_ARRIVE_S: Final = 300.0
_ARRIVE_LONG_S: Final = 900.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What gateway, backend and meters hold when all is over."""

    read: frozenset[Identity]
    """Rows that the gateway stored."""
    outbox: int
    at_backend: tuple[Identity, ...]
    conflicts: int
    counters: Mapping[str, Mapping[str, Any]]
    """``counters.json`` of the emulator."""


def prove(options: Options) -> dict[str, Any]:
    """Figures and ``ok``; ``long`` takes the whole demonstration's fleet and more kills.

    Raises NoAnswer when a part of the line does not come up.
    """
    plan, timeout_s = (LONG, _ARRIVE_LONG_S) if options.long else (SHORT, _ARRIVE_S)
    moments = kill_moments(options)
    began_s = time.monotonic()
    with StopSignals() as signals, run_directory(None) as root:
        line = Line(plan, root, pause=signals.pause, tell=options.tell)
        with line:
            killed = [_kill_while_reading(line, one, timeout_s, options.tell) for one in moments]
            complete = wait_complete(line, _teller(options.tell), timeout_s=timeout_s)
            findings = compare_line(line, timeout_s=timeout_s if complete else 0)
            stored = _finish(line, timeout_s)
    checks = check(stored)
    return {
        "ok": findings.ok and all(killed) and not any(checks[name] for name in MUST_BE_ZERO),
        **checks,
        "kills": sum(killed),
        **findings.document(),
        "seconds": round(time.monotonic() - began_s, 1),
    }


def kill_moments(options: Options) -> list[int]:
    """When to kill: octets of all meters since the start before, short times as likely as long."""
    drawn = random.Random(options.seed)
    kills, most = (_KILLS_LONG, _MOST_OCTETS_LONG) if options.long else (_KILLS, _MOST_OCTETS)
    return [round(_FEWEST_OCTETS * (most / _FEWEST_OCTETS) ** drawn.random()) for _ in range(kills)]


MUST_BE_ZERO: Final = (
    "lost",
    "doubled",
    "conflicts",
    "outbox_messages",
    "counters_refused",
    "meters_without_counter",
)


def check(stored: Stored) -> dict[str, int]:
    """Pure: rows lost and doubled, counters that came again. The names are the figures'."""
    at_backend = set(stored.at_backend)
    times = Counter((meter, profile, at_s) for meter, profile, at_s, _ in stored.at_backend)
    return {
        "rows_read": len(stored.read),
        "rows_at_backend": len(stored.at_backend),
        "lost": len(stored.read - at_backend),
        "doubled": sum(count - 1 for count in times.values()),
        "conflicts": stored.conflicts,
        "outbox_messages": stored.outbox,
        "counters_refused": sum(int(one["refused"]) for one in stored.counters.values()),
        # A meter that saw no ciphered request at all would make the line above mean nothing.
        "meters_without_counter": sum(
            max(one["highest"].values()) < 1 for one in stored.counters.values()
        ),
    }


def _kill_while_reading(
    line: Line, octets: int, timeout_s: float, tell: Callable[[str], None]
) -> bool:
    """Kill the gateway once meters have sent ``octets`` more, and start it again.

    Counting on the wires, not in a database, hits it within a transfer. False if every expected
    row had come before.
    """
    end_s = time.monotonic() + timeout_s
    begun = _octets_sent(line)
    while _octets_sent(line) - begun < octets:
        line.check()
        if time.monotonic() > end_s:
            raise NoAnswer(f"the meters have not sent {octets} octets in {timeout_s:.0f} s")
        line.pause(_POLL_S)
    line.gateway.kill()
    current = line_truths(line)
    expected = sum(truth.expected_rows for truth in current)
    with Backend(line.database_url) as backend:
        arrived = sum(backend.arrived(current).values())
    tell(f"gateway killed after {octets} octets, at {arrived} of {expected} rows")
    line.gateway.start()
    return arrived < expected


def _octets_sent(line: Line) -> int:
    """What all meters have sent, as the emulator told when it was asked the time before."""
    line.emulator.send(signal.SIGUSR1)
    file = line.folder.meters / STATS_FILE
    if not file.exists():
        return 0
    return sum(int(wire["octets_out"]) for wire in json.loads(file.read_text("utf-8")).values())


def _teller(tell: Callable[[str], None]) -> Callable[[Mapping[str, int], Mapping[str, int]], None]:
    told = 0

    def show(arrived: Mapping[str, int], expected: Mapping[str, int]) -> None:
        nonlocal told
        now, whole = sum(arrived.values()), sum(expected.values())
        if now * 10 // max(1, whole) > told:
            told = now * 10 // max(1, whole)
            tell(f"{now} of {whole} rows")

    return show


def _finish(line: Line, timeout_s: float) -> Stored:
    """Stop reading, let what is in the outbox be committed, and look at what everybody holds."""
    end_s = time.monotonic() + timeout_s
    while _outbox(line.folder.readings_file) and time.monotonic() < end_s:
        line.check()
        line.pause(_POLL_S)
    line.gateway.stop()
    with Backend(line.database_url) as backend:
        at_backend = tuple(backend.identities())
        conflicts = backend.conflicts()
    line.emulator.stop()
    counters = json.loads((line.folder.meters / COUNTERS_FILE).read_text("utf-8"))
    return Stored(
        read=_read_rows(line.folder.readings_file),
        outbox=_outbox(line.folder.readings_file),
        at_backend=at_backend,
        conflicts=conflicts,
        counters=counters,
    )


def _read_rows(file: Path) -> frozenset[Identity]:
    rows = _query(
        file,
        "SELECT m.meter, p.profile, r.captured_at_s, r.digest FROM readings r"
        " JOIN meters m ON m.id = r.meter_id JOIN profiles p ON p.id = r.profile_id",
    )
    return frozenset((meter, profile, at_s, digest) for meter, profile, at_s, digest in rows)


def _outbox(file: Path) -> int:
    ((count,),) = _query(file, "SELECT count(*) FROM outbox")
    return int(count)


def _query(file: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()
