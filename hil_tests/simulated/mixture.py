"""A fleet as a substation has it: makes, wires, deviations and trouble mixed by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hil_tests.emulator.scenario import Scenario, parse_scenario

METERS_PER_BUS: Final = 20
_TURNAROUND_MS: Final = 20
_TURNAROUNDS_MS: Final = (20, 20, 20, 20, 80, 200, 700)
_SINGLE: Final = ("single_phase", "is15959_part2_single_phase")
_THREE: Final = ("three_phase", "is15959_part2_three_phase")

DEVIATIONS: Final = (
    "",
    "",
    "",
    "",
    "faults.export_columns_first = true",
    "faults.extra_column = true",
    "faults.range_refused = true",
    "faults.unsorted_rows = true",
    "faults.duplicate_rows = true",
    "faults.rows_at_once = 20",
    "faults.rows_lost_every = 97",
    "faults.clock_offset_s = 200",
    "faults.clock_offset_s = -150",
    "faults.clock_refused = true",
    "faults.energy_scaler_shift = 1",
    "faults.busy_every = 41",
    "faults.split_octets = 7",
)
"""What a meter always does, one of these each."""

RATES: Final = {
    "octet_lost": 4,
    "octet_changed": 4,
    "noise": 4,
    "answer_lost": 6,
    "answer_late": 2,
    "power_cut": 2,
    "counter_jump": 1,
}
"""Trouble on every wire, in answers of a thousand."""
NETWORK_RATES: Final = {"answer_lost": 3, "power_cut": 2, "reset": 4, "half_open": 2}
"""The same over TCP, whose checksum lets no octet be lost or changed."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """A scenario, and which firmware profile reads each meter."""

    scenario: Scenario
    profiles: dict[str, str]


def mixed(count: int, *, seed: int, start: str, days: int, rates: bool = True) -> Mixture:
    """``count`` meters from ``start`` (ISO date-time with offset): three of five on buses.

    One in ten cannot be reached for a part of the time.
    """
    drawn = random.Random(seed)
    profiles: dict[str, str] = {}
    meters: list[str] = []
    buses = 0
    start_s = int(datetime.fromisoformat(start).astimezone(UTC).timestamp())
    for number in range(count):
        serial = f"SM{number:06}"
        model, profiles[serial] = drawn.choice((_SINGLE, _SINGLE, _THREE))
        wire = "bus" if number % 5 < 3 else ("tcp" if number % 5 == 3 else "hdlc+tcp")
        place = f'wire = "{wire}"\naddress = {17 + number % 100}'
        if wire == "bus":
            on_bus = number // 5 * 3 + number % 5
            buses = on_bus // METERS_PER_BUS + 1
            place += f'\nbus = "bus{buses - 1}"\nturnaround_ms = {drawn.choice(_TURNAROUNDS_MS)}'
        encoding = drawn.choice(("integer", "float32"))
        period_s = drawn.choice((1800, 1800, 900))
        lines = [
            f'serial = "{serial}"\nmodel = "{model}"\nencoding = "{encoding}"\n{place}',
            f"capture_period_s = {period_s}\nexports = {str(drawn.random() < 0.2).lower()}",
            drawn.choice(DEVIATIONS),
        ]
        if rates:
            lines += _trouble(drawn, start_s, days, network=wire != "bus")
        meters.append("[[meter]]\n" + "\n".join(lines))
    tables = [f'[[bus]]\nname = "bus{n}"\nbaud = 9600' for n in range(buses)]
    head = f"seed = {seed}\nstart = {start}\ninstalled = 2026-03-01"
    scenario = parse_scenario("\n\n".join([head, *tables, *meters]), "(mixture)")
    return Mixture(scenario, profiles)


def _trouble(drawn: random.Random, start_s: int, days: int, *, network: bool) -> Iterator[str]:
    rates = NETWORK_RATES if network else RATES
    yield from (f"trouble.{kind} = {rate}" for kind, rate in rates.items())
    if drawn.random() < 0.1:
        from_s = start_s + drawn.randrange(max(1, days * 43_200))
        yield f"trouble.silent_from_s = {from_s}"
        yield f"trouble.silent_to_s = {from_s + drawn.randrange(3_600, max(7_200, days * 30_000))}"


def on_one_bus(count: int, *, seed: int, start: str, dead: Sequence[int] = ()) -> Mixture:
    """``count`` plain meters on one line of 9600 baud; those in ``dead`` never answer."""
    profiles = {f"BM{number:06}": _SINGLE[1] for number in range(count)}
    meters = [
        f'[[meter]]\nserial = "{serial}"\nmodel = "{_SINGLE[0]}"\nencoding = "integer"\n'
        f'wire = "bus"\nbus = "bus0"\naddress = {17 + number}\nturnaround_ms = {_TURNAROUND_MS}\n'
        f"faults.silent = {str(number in dead).lower()}"
        for number, serial in enumerate(profiles)
    ]
    head = f"seed = {seed}\nstart = {start}\ninstalled = 2026-03-01"
    bus = '[[bus]]\nname = "bus0"\nbaud = 9600'
    return Mixture(parse_scenario("\n\n".join([head, bus, *meters]), "(bus)"), profiles)
