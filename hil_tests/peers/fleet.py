"""An emulated fleet in a process of its own, and what a client must know to read each meter."""

import contextlib
import json
import secrets
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

EMULATOR = (sys.executable, "-m", "hil_tests.emulator.cli")
START_S = 30.0
STOP_S = 10.0


@dataclass
class FleetMeter:
    """One meter: where it is, its secrets, what it must show, and the counters used so far.

    ``address_octets`` is the length of its HDLC address. ``truth`` is the emulator's own account
    (``meter-emulator truth``), which no DLMS code had a hand in.
    """

    serial: str
    url: str
    address_octets: int
    keys_file: Path
    truth: dict[str, Any]
    _next_counter: dict[int, int] = field(default_factory=dict)

    @property
    def link(self) -> str:
        """``wrapper`` or ``hdlc``, as the clients call it."""
        return "wrapper" if urlsplit(self.url).scheme == "tcp" else "hdlc"

    def address_options(self) -> dict[str, object]:
        """Options of every client that say where the meter is and how it is addressed."""
        parts = urlsplit(self.url)
        options: dict[str, object] = {"link": self.link, "server": 1}
        if parts.scheme == "serial":
            options["device"] = parts.path
        else:
            options |= {"host": parts.hostname, "port": parts.port}
        if self.link == "hdlc":
            options["physical"] = int(parse_qs(parts.query)["server"][0])
            options["address_length"] = self.address_octets
        return options

    @property
    def last_midnight_s(self) -> int:
        """Capture time of the newest daily row, UTC."""
        return int(self.truth["daily_rows"][-1]["captured_at_s"])

    def secrets(self, client_sap: int) -> dict[str, Any]:
        """The keys file's content with a client title and the next unused counter."""
        held: dict[str, Any] = tomllib.loads(self.keys_file.read_text(encoding="utf-8"))
        # A title of its own for each client, so that no counter is used twice under a key.
        held["client_system_title"] = (b"SMG" + client_sap.to_bytes(5, "big")).hex()
        held["invocation_counter"] = self._next_counter.setdefault(client_sap, 1)
        return held

    def take_counter(self, client_sap: int, next_counter: int) -> None:
        """Go on from where a client stopped."""
        self._next_counter[client_sap] = max(next_counter, self._next_counter.get(client_sap, 1))


@dataclass(frozen=True)
class Fleet:
    """The running meters."""

    meters: tuple[FleetMeter, ...]

    def __getitem__(self, serial: str) -> FleetMeter:
        return next(meter for meter in self.meters if meter.serial == serial)


@contextlib.contextmanager
def running_fleet(scenario: Path, directory: Path) -> Iterator[Fleet]:
    """Start the emulator on free ports, yield its fleet, stop it. Raises RuntimeError."""
    ready = directory / f"ready-{secrets.token_hex(4)}"
    command = [*EMULATOR, "run", str(scenario)]
    command += ["--directory", str(directory), "--ready-file", str(ready)]
    with (directory / "emulator.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _await(ready, process, log.name)
            yield _read(directory, scenario)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(ready: Path, process: subprocess.Popen[bytes], log: str) -> None:
    deadline = time.monotonic() + START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            text = Path(log).read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the emulator did not come up: {text[-2000:]}")
        time.sleep(0.02)


def _read(directory: Path, scenario: Path) -> Fleet:
    document = json.loads((directory / "fleet.json").read_text(encoding="utf-8"))
    command = [*EMULATOR, "truth", str(scenario), "--blocks", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    truths = {meter["serial"]: meter for meter in told["meters"]}
    meters = (
        FleetMeter(
            serial=entry["serial"],
            url=entry["url"],
            address_octets=entry["address_octets"],
            keys_file=Path(entry["keys_file"]),
            truth=truths[entry["serial"]],
        )
        for entry in document["meters"]
    )
    return Fleet(tuple(meters))
