"""Emulated meters on every kind of wire, and the command line that reads them.

The meters run in a thread with a loop of its own, as the command under test needs the process.
"""

from __future__ import annotations

import asyncio
import json
import string
import threading
import tomllib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway.cli.main import main
from gateway.model import Obis
from hil_tests.emulator.catalogue import BLOCK_MEASURES, MEASURES, Moment
from hil_tests.emulator.encodings import FORMATS
from hil_tests.emulator.fleet import Fleet, Running, household_of, truth_of
from hil_tests.emulator.scenario import MeterScenario, parse_scenario
from hil_tests.emulator.truth import Truth

NOW_S = 1_777_617_062  # 2026-05-01 12:01:02 IST
SCENARIO = """
seed = 7
installed = 2026-03-01

[[bus]]
name = "bench"
baud = 57600

[[meter]]
serial = "WRAPPER"
model = "single_phase"
encoding = "integer"
wire = "tcp"

[[meter]]
serial = "HDLC"
model = "three_phase"
encoding = "float32"
wire = "hdlc+tcp"

[[meter]]
serial = "BUS"
model = "single_phase"
encoding = "float32"
wire = "bus"
bus = "bench"
address = 18

[[meter]]
serial = "NEIGHBOUR"
model = "single_phase"
encoding = "integer"
wire = "bus"
bus = "bench"
address = 17

[[meter]]
serial = "DATAGRAM"
model = "single_phase"
encoding = "integer"
wire = "udp"

[[meter]]
serial = "LOSSY"
model = "single_phase"
encoding = "integer"
wire = "udp"
pdu_octets = 256
faults.drop_every = 5

[[meter]]
serial = "NOISY"
model = "single_phase"
encoding = "integer"
wire = "udp"
faults.noise_octets = 3

[[meter]]
serial = "OPTICAL"
model = "single_phase"
encoding = "integer"
wire = "optical"

[[meter]]
serial = "ECHO"
model = "single_phase"
encoding = "integer"
wire = "optical"
faults.head_echoes = true

[[meter]]
serial = "DIRECT"
model = "single_phase"
encoding = "integer"
wire = "optical"
faults.hdlc_at_once = true

[[meter]]
serial = "READOUT"
model = "single_phase"
encoding = "integer"
wire = "optical"
faults.reads_out = true

[[meter]]
serial = "GMAC"
model = "single_phase"
encoding = "integer"
wire = "tcp"
settings_authentication = "gmac"

[[meter]]
serial = "PLAIN"
model = "single_phase"
encoding = "integer"
wire = "tcp"
ciphering = "none"

[[meter]]
serial = "SEALED"
model = "single_phase"
encoding = "integer"
wire = "hdlc+tcp"
ciphering = "authenticated"

[[meter]]
serial = "HIDDEN"
model = "single_phase"
encoding = "integer"
wire = "tcp"
ciphering = "encrypted"

[[meter]]
serial = "SILENT"
model = "single_phase"
encoding = "integer"
wire = "tcp"
faults.silent = true
"""
PROFILES = {
    "single_phase": "is15959_part2_single_phase",
    "three_phase": "is15959_part2_three_phase",
    "ct_three_phase": "is15959_part3",
    "part1_single_phase": "is15959_part1_single_phase",
    "part1_three_phase": "is15959_part1_three_phase",
}
SECRETS = ("lls_password", "hls_secret", "guek", "gak")


def secrets_of(path: Path) -> dict[str, str]:
    """A keys file as it stands."""
    found: dict[str, str] = tomllib.loads(path.read_text())
    return found


def forms(name: str, text: str) -> list[str]:
    """A secret as it could stand in an output: itself, in hexadecimal, in base64."""
    is_hex = name != "lls_password" and set(text) <= set(string.hexdigits)
    octets = bytes.fromhex(text) if is_hex else text.encode()
    encoded = b64encode(octets).decode().rstrip("=")
    return [text, octets.hex(), octets.hex(" "), octets.hex().upper(), encoded, repr(octets)]


def leaks(output: str, keys: dict[str, str]) -> list[str]:
    """Names of the secrets that can be found in an output."""
    return [
        name
        for name in SECRETS
        if name in keys and any(form in output for form in forms(name, keys[name]))
    ]


@dataclass
class Bench:
    """Runs the meters from ``start`` to ``stop``."""

    directory: Path
    scenario_text: str = SCENARIO
    now_s: Callable[[], int] = lambda: NOW_S
    fleet: Fleet = field(init=False)

    def __post_init__(self) -> None:
        self.scenario = parse_scenario(self.scenario_text)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            self.fleet = Fleet(self.scenario, self.directory, now_s=self.now_s)
            async with self.fleet:
                self._ready.set()
                await self._stop.wait()
        finally:
            self._ready.set()

    def start(self) -> None:
        """Return when all meters answer."""
        self._thread.start()
        assert self._ready.wait(30)
        assert self.fleet.meters

    def stop(self) -> None:
        """Return when the wires are closed."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def __getitem__(self, serial: str) -> Running:
        return self.fleet.meters[serial]

    def truth(self, serial: str) -> Truth:
        return truth_of(self.scenario, self[serial].scenario)


@dataclass
class Laptop:
    """A technician's machine: runs ``gateway read`` with a counter store of its own."""

    bench: Bench
    state: Path
    keys_folder: Path

    def run(self, *arguments: str | Path) -> Result:
        """Any command; no secret may stand in what it prints, and no error but an exit."""
        result = CliRunner().invoke(main, [str(word) for word in arguments])
        for folder in (self.bench.directory / "keys", self.keys_folder):
            for path in folder.glob("*.toml"):
                assert leaks(result.output, secrets_of(path)) == []
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert "Traceback" not in result.output
        return result

    def read(self, serial: str, *arguments: str | Path, **other: str | Path | None) -> Result:
        """``gateway read`` of a meter; ``other`` replaces an option, or leaves it out (None)."""
        meter = self.bench[serial]
        options: dict[str, str | Path | None] = {
            "profile": PROFILES[meter.scenario.model],
            "keys": meter.keys_file,
            "state": self.state,
            "timeout": "5",
            **{name: value for name, value in other.items() if name != "url"},
        }
        words: list[str | Path] = ["read", other.get("url") or meter.url, *arguments]
        for name, value in options.items():
            words += [f"--{name}", value] if value is not None else []
        return self.run(*words)

    def document(self, serial: str, *arguments: str | Path, **other: str | Path | None) -> Any:
        """The JSON document of a read that must succeed."""
        result = self.read(serial, "--json", *arguments, **other)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout, parse_float=Decimal)

    def changed_keys(self, serial: str, **changes: str | None) -> Path:
        """A keys file that differs from the meter's; None leaves a key out."""
        keys = {**secrets_of(self.bench[serial].keys_file), **changes}
        path = self.keys_folder / f"{serial}-{'-'.join(changes)}.toml"
        lines = [f'{name} = "{value}"\n' for name, value in keys.items() if value is not None]
        path.write_text("".join(lines))
        path.chmod(0o600)
        return path


# -- what the meters hold, without a decoder ------------------------------------------------------


def register_now(bench: Bench, serial: str, name: str) -> Decimal:
    """A register (dotted logical name) at the bench's time."""
    entry = bench[serial].scenario
    home = household_of(bench.scenario, entry)
    on_minutes = (NOW_S - home.installed_s) // 60
    quarter, phases = home.quarter_at(NOW_S)
    moment = Moment(NOW_S, home.register_at(NOW_S), quarter, phases, on_minutes)
    measure = MEASURES[name]
    return FORMATS[entry.encoding][measure.quantity].shown(measure.value(moment))


def block_value(bench: Bench, entry: MeterScenario, name: str, end_s: int) -> Decimal:
    """A register of the capture interval that ends at ``end_s``."""
    measure = BLOCK_MEASURES[name]
    interval = household_of(bench.scenario, entry).interval(end_s, entry.capture_period_s)
    return FORMATS[entry.encoding][measure.quantity].shown(Fraction(measure.value(interval)))


def dotted(column: Any) -> str:
    """Logical name of a column of the JSON document, as the emulator writes it."""
    return Obis.parse(column["obis"]).dotted
