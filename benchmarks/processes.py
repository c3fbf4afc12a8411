"""One gateway process beside one emulator process, from nothing stored: what benchmarks share."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId

PROFILE = "is15959_part2_single_phase"
_START_S = 120
_STOP_S = 20


@contextmanager
def running_emulator(here: Path, scenario: str) -> Iterator[dict[str, Any]]:
    """Start the meters of a scenario's text below ``here/meters``; yields ``fleet.json``."""
    file = here / "scenario.toml"
    file.write_text(scenario, encoding="utf-8")
    ready = here / "ready"
    command = [sys.executable, "-m", "hil_tests.emulator.cli", "run", str(file)]
    command += ["--directory", str(here / "meters"), "--ready-file", str(ready)]
    with (here / "emulator.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until_s = time.monotonic() + _START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > until_s:
                    raise RuntimeError((here / "emulator.log").read_text("utf-8")[-2000:])
                time.sleep(0.1)
            yield json.loads((here / "meters" / "fleet.json").read_text("utf-8"))
        finally:
            process.terminate()
            process.wait(_STOP_S)


@contextmanager
def running_gateway(here: Path, wires: str, fleet: Mapping[str, Any]) -> Iterator[int]:
    """Start a gateway without uplink that reads ``wires`` ([[wire]] tables); yields its pid."""
    create_kek(here / "kek")
    Keystore.open(here / "keystore.json", here / "kek").import_all(
        {
            MeterId(meter["serial"]): load_keys_file(Path(meter["keys_file"]))
            for meter in fleet["meters"]
        }
    )
    site = here / "site.toml"
    site.write_text(
        '[gateway]\nid = "gw-bench"\ntrust_host_clock = true\n\n'
        '[stores]\nreadings = "readings.db"\ncounters = "counters.db"\nwitness = "witness.json"\n'
        'keystore = "keystore.json"\nkek_file = "kek"\n\n'
        "[reading]\ninstantaneous_s = 86400\ndaily_days = 1\nblock_days = 1\n\n" + wires,
        encoding="utf-8",
    )
    site.chmod(0o600)
    command = [sys.executable, "-m", "gateway.cli.main", "run", "--config", str(site)]
    with (here / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(_STOP_S)


def meter_table(meter: Mapping[str, Any], more: str = "") -> str:
    """The [[wire.meter]] table of an emulated meter."""
    return f'[[wire.meter]]\nserial = "{meter["serial"]}"\nprofile = "{PROFILE}"\n{more}\n'
