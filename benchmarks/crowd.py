"""Two thousand meters on TCP, one gateway: a day of block load and the midnight registers of each.

The gateway's own process reads emulated meters (one process, beside it on the same machine),
ciphered, from nothing stored to everything stored. Prints one JSON document.

    python -m benchmarks.crowd [--meters 2000] [--seconds 300]
"""

import argparse
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId
from hil_tests import machine

METERS = 2000
AIM_S = 60
AIM_MIB = 250
ROWS = {"block_load": 48, "daily_load": 1}
"""Of each meter: a day of half hours, and the last midnight."""
PROFILE = "is15959_part2_single_phase"
_START_S = 120
_STOP_S = 20


def measure(meters: int, limit_s: int) -> dict[str, Any]:
    """Start both, wait until every row is stored, say how long it took and what it weighed."""
    _room_for(meters)
    with tempfile.TemporaryDirectory(prefix="crowd-") as name:
        here = Path(name)
        with _emulator(here, meters) as fleet:
            _write_site(here, fleet)
            return _read_all(here, meters, limit_s)


def _read_all(here: Path, meters: int, limit_s: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "gateway.cli.main", "run", "--config", str(here / "site.toml")]
    with (here / "gateway.log").open("wb") as log:
        started_s = time.monotonic()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            whole, taken_s = _wait(here / "readings.db", process, meters, started_s + limit_s)
            weight = _weight(process.pid)
        finally:
            process.terminate()
            process.wait(_STOP_S)
    complete = all(count >= meters for count in whole.values())
    return {
        "name": "crowd",
        "machine": machine.describe(),
        "meters": meters,
        "rows_of_each": ROWS,
        "meters_whole": whole,
        "seconds": round(taken_s - started_s, 1),
        "gateway_cpu_s": weight["cpu_s"],
        "gateway_mib": weight["mib"],
        "aim_seconds": AIM_S,
        "aim_mib": AIM_MIB,
        "reached": complete and taken_s - started_s <= AIM_S and weight["mib"] <= AIM_MIB,
        "ok": complete,
    }


def _wait(
    database: Path, process: subprocess.Popen[bytes], meters: int, until_s: float
) -> tuple[dict[str, int], float]:
    whole = dict.fromkeys(ROWS, 0)
    while time.monotonic() < until_s and process.poll() is None:
        time.sleep(1)
        if not database.exists():
            continue
        whole = {kind: _whole(database, kind) for kind in ROWS}
        if all(count >= meters for count in whole.values()):
            break
    return whole, time.monotonic()


def _whole(database: Path, kind: str) -> int:
    """How many meters have all their rows of a kind."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM readings"
                " WHERE profile_id = (SELECT id FROM profiles WHERE profile = ?)"
                " GROUP BY meter_id HAVING count(*) >= ?)",
                [kind, ROWS[kind]],
            ).fetchone()
            return int(count)
    except sqlite3.OperationalError:
        # Not made yet, or its log is being written back.
        return 0


def _weight(pid: int) -> dict[str, Any]:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    used = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    ticks = int(used[11]) + int(used[12])
    return {"mib": peak_kib // 1024, "cpu_s": round(ticks / 100, 1)}


@contextmanager
def _emulator(here: Path, meters: int) -> Iterator[dict[str, Any]]:
    scenario = here / "scenario.toml"
    installed = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    entries = (
        f'[[meter]]\nserial = "CR{number:06}"\nmodel = "single_phase"\nencoding = "integer"\n'
        'wire = "tcp"\n'
        for number in range(meters)
    )
    scenario.write_text(
        f"seed = 1\ninstalled = {installed}\n" + "\n".join(entries), encoding="utf-8"
    )
    ready = here / "ready"
    command = [sys.executable, "-m", "hil_tests.emulator.cli", "run", str(scenario)]
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


def _write_site(here: Path, fleet: dict[str, Any]) -> None:
    create_kek(here / "kek")
    keystore = Keystore.open(here / "keystore.json", here / "kek")
    lines = [
        '[gateway]\nid = "gw-crowd"\ntrust_host_clock = true\n',
        '[stores]\nreadings = "readings.db"\ncounters = "counters.db"\nwitness = "witness.json"',
        'keystore = "keystore.json"\nkek_file = "kek"\n',
        "[reading]\ninstantaneous_s = 86400\ndaily_days = 1\nblock_days = 1\n",
    ]
    keystore.import_all(
        {
            MeterId(meter["serial"]): load_keys_file(Path(meter["keys_file"]))
            for meter in fleet["meters"]
        }
    )
    lines += [
        f'[[wire]]\nname = "{meter["serial"]}"\nurl = "{meter["url"]}"\n\n'
        f'[[wire.meter]]\nserial = "{meter["serial"]}"\nprofile = "{PROFILE}"\n'
        for meter in fleet["meters"]
    ]
    (here / "site.toml").write_text("\n".join(lines), encoding="utf-8")
    (here / "site.toml").chmod(0o600)


def _room_for(meters: int) -> None:
    """Both processes need a descriptor for each meter."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * meters + 512
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def main() -> int:
    """Measure, print, return 0 when every row came."""
    parser = argparse.ArgumentParser(description="two thousand meters on TCP")
    parser.add_argument("--meters", type=int, default=METERS)
    parser.add_argument("--seconds", type=int, default=300)
    chosen = parser.parse_args()
    document = measure(chosen.meters, chosen.seconds)
    print(json.dumps(document, indent=2))
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
