"""A substation's fleet, days of it on a simulated clock, with trouble of every kind.

At the end every row that a meter still holds is in the gateway's file, once, with the meter's own
values; a dead meter has cost the others next to nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import structlog

from benchmarks import bus, crowd
from gateway.config import Clocks, Reading
from gateway.service.supervisor import Service
from hil_tests.emulator.fleet import truth_of
from hil_tests.emulator.household import DAY_S
from hil_tests.emulator.truth import Shown, TruthRow
from hil_tests.simulated.mixture import mixed, on_one_bus
from hil_tests.simulated.substation import SimulatedMeter, Substation
from proofs import Options

_START: Final = "2026-05-03T10:20:00+05:30"
_MARGIN_S: Final = 2 * 3600
"""It goes on for so long after the last row that is expected: trouble may have delayed it."""
_MORNING_S: Final = 8 * 3600 + 600
_BUS_METERS: Final = 32
_BUS_HOURS: Final = 3


@dataclass
class Judgement:
    """What the file holds beside what the meters hold."""

    rows_expected: int = 0
    rows_stored: int = 0
    missing: int = 0
    doubled: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    def add(
        self,
        what: str,
        wanted: Sequence[int],
        rows: Sequence[tuple[Any, ...]],
        truth: Callable[[int], TruthRow],
    ) -> None:
        """One set of one meter: capture times that it holds, and (time, values) stored."""
        stored = {row[0] for row in rows}
        missing = [time_s for time_s in wanted if time_s not in stored]
        wrong = [
            time_s
            for time_s, *values in rows
            if Shown(*(Decimal(str(value)) for value in values)) != truth(time_s).shown
        ]
        self.rows_expected += len(wanted)
        self.rows_stored += len(wanted) - len(missing)
        self.missing += len(missing)
        self.doubled += len(rows) - len(stored)
        self.wrong += len(wrong)
        for kind, times in (("missing", missing), ("wrong", wrong)):
            self.examples += [f"{kind}: {what} {t}" for t in times[: 10 - len(self.examples)]]


def prove(options: Options) -> dict[str, Any]:
    """Run the fleet and the buses; figures as ``PROOFS`` names them."""
    meters, days = (200, 7) if options.long else (25, 2)
    with _quiet(), tempfile.TemporaryDirectory(prefix="fleet-", dir=_memory()) as name:
        fleet = _fleet(Path(name), meters, days, options)
        line = _buses(Path(name), options)
    figures = {**fleet, **line, **_processes(options)}
    figures["ok"] = bool(
        not (fleet["missing"] or fleet["doubled"] or fleet["wrong"])
        and fleet["rows_expected"]
        and line["dead_meter_cost"] < 50
        and line["bus_cycle_per_mille"] <= 1050
        and figures["tcp_whole"]
    )
    return figures


def _processes(options: Options) -> dict[str, Any]:
    """What processes and a paced terminal take; aims are reported, ``ok`` needs every row."""
    count = 2000 if options.long else 100
    options.tell(f"{count} meters on TCP, real processes")
    many = crowd.measure(count, 300)
    found = {
        "tcp_meters": count,
        "tcp_seconds": many["seconds"],
        "tcp_gateway_mib": many["gateway_mib"],
        "tcp_gateway_cpu_s": many["gateway_cpu_s"],
        "tcp_whole": many["ok"],
    }
    if options.long:
        options.tell(f"{_BUS_METERS} meters on a paced terminal, real processes")
        found["line_quotient"] = bus.measure(_BUS_METERS)["quotient"]
    return found


def _memory() -> str | None:
    """A folder in memory where there is one: what is simulated need not wait for a disk."""
    folder = Path("/dev/shm")  # noqa: S108 - only a folder with a drawn name is made in it
    return str(folder) if folder.is_dir() else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Trouble is told by the thousand here, and counted anyway."""
    before = structlog.get_config()
    silent = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=silent)
    try:
        yield
    finally:
        structlog.configure(**before)


def _fleet(directory: Path, meters: int, days: int, options: Options) -> dict[str, Any]:
    mixture = mixed(meters, seed=options.seed, start=_START, days=days)
    station = Substation(
        directory / "fleet",
        mixture.scenario,
        mixture.profiles,
        reading=Reading(instantaneous_s=3600, daily_days=days + 2, block_days=days + 1),
        clocks=Clocks(set=True),
        seed=options.seed,
    )
    mornings: list[int] = []
    held: dict[str, dict[str, list[int]]] = {}

    async def play(station: Substation, service: Service) -> None:
        for day in range(days):
            options.tell(f"day {day + 1} of {days}, {meters} meters")
            midnight_s = station.now_s() - (station.now_s() + 19_800) % DAY_S + DAY_S
            await asyncio.sleep(midnight_s + _MORNING_S - station.now_s())
            mornings.append(service.coverage.figures.get("coverage_basis_points", 0))
            await asyncio.sleep(midnight_s + 10 * 3600 - station.now_s())
        # Rows of the last minute may still be on their way into the meters' buffers.
        end_s = station.now_s() - 60
        held.update({serial: _held(one, end_s) for serial, one in station.meters.items()})
        await asyncio.sleep(_MARGIN_S)

    service = station.run(play)
    start_s = mixture.scenario.start_s or 0
    judgement = Judgement()
    with closing(sqlite3.connect(station.database)) as database:
        for serial, rows_held in held.items():
            for kind, times in rows_held.items():
                wanted = [time_s for time_s in times if time_s > start_s - (days - 1) * DAY_S]
                truth = truth_of(station.scenario, station.meters[serial].entry)
                shown = truth.register_at if kind == "daily_load" else truth.block_at
                rows = _rows(database, serial, kind)
                judgement.add(f"{serial} {kind}", wanted, rows, shown)
    happened: dict[str, int] = {}
    for one in station.meters.values():
        for kind, count in one.station.misfortunes.happened.items():
            happened[kind] = happened.get(kind, 0) + count
    loops = service.wires
    return {
        "meters": meters,
        "days": days,
        "rows_expected": judgement.rows_expected,
        "rows_stored": judgement.rows_stored,
        "missing": judgement.missing,
        "doubled": judgement.doubled,
        "wrong": judgement.wrong,
        "faults_injected": sum(happened.values()),
        "sessions": sum(loop.figures.sessions for loop in loops),
        "failures": sum(loop.figures.failures for loop in loops),
        "clocks_set": sum(loop.figures.clocks_set for loop in loops),
        "coverage_0800": min(mornings, default=0),
        "happened": dict(sorted(happened.items())),
        "examples": judgement.examples,
    }


def _held(one: SimulatedMeter, end_s: int) -> dict[str, list[int]]:
    """Capture times that a meter's buffers hold, up to ``end_s``."""
    buffers = {"daily_load": "1.0.99.2.0.255", "block_load": "1.0.99.1.0.255"}
    return {
        kind: [time_s for time_s in one.meter.held_times(obis) if time_s <= end_s]
        for kind, obis in buffers.items()
    }


_QUERY: Final = (
    "SELECT CAST(strftime('%s', time_utc) AS INTEGER), wh_import, vah_import, wh_export, vah_export"
)
_QUERIES: Final = {
    "daily_load": f"{_QUERY} FROM v_daily_load WHERE meter = ?",
    "block_load": f"{_QUERY} FROM v_block_load WHERE meter = ?",
}


def _rows(database: sqlite3.Connection, serial: str, kind: str) -> list[tuple[Any, ...]]:
    return database.execute(_QUERIES[kind], [serial]).fetchall()


def _buses(directory: Path, options: Options) -> dict[str, Any]:
    """One line with 32 meters: what a round takes beyond the wire, and what a dead one costs."""
    options.tell(f"{_BUS_METERS} meters on one line, all alive")
    round_ms, busy_ms, _ = _bus(directory / "alive", options, dead=())
    options.tell("the same with one dead")
    *_, waited_per_mille = _bus(directory / "dead", options, dead=(5,))
    return {
        "bus_meters": _BUS_METERS,
        "bus_round_ms": round_ms,
        "bus_cycle_per_mille": 1000 * round_ms // busy_ms,
        "dead_meter_cost": waited_per_mille,
    }


def _bus(directory: Path, options: Options, *, dead: tuple[int, ...]) -> tuple[int, int, int]:
    """First round and its octets with turnarounds, in ms; time waited for nothing in all."""
    mixture = on_one_bus(_BUS_METERS, seed=options.seed, start=_START, dead=dead)
    reading = Reading(daily_days=2, block_days=1)
    station = Substation(directory, mixture.scenario, mixture.profiles, reading=reading)
    line = station.lines["bus0"]
    seen: list[int] = []

    async def play(_: Substation, service: Service) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        before = -1
        while service.wires[0].figures.sessions < _BUS_METERS - len(dead) or line.octets > before:
            before = line.octets
            await asyncio.sleep(5)
        seen.extend((round(1000 * (line.last_s - begun_s)), round(1000 * line.busy_s)))
        await asyncio.sleep(_BUS_HOURS * 3600)
        seen.append(round(1000 * line.waited_s / (loop.time() - begun_s)))

    station.run(play)
    round_ms, busy_ms, waited_per_mille = seen
    return round_ms, busy_ms, waited_per_mille
