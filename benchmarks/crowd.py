"""Two thousand meters on TCP, one gateway: a day of block load and the midnight registers of each.

The gateway's own process reads emulated meters (one process, beside it on the same machine),
ciphered, from nothing stored to everything stored. Prints one JSON document.

    python -m benchmarks.crowd [--meters 2000] [--seconds 300]
"""

import argparse
import json
import resource
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.processes import meter_table, running_emulator, running_gateway
from hil_tests import machine

METERS = 2000
AIM_S = 60
AIM_MIB = 250
ROWS = {"block_load": 48, "daily_load": 1}
"""Of each meter: a day of half hours, and the last midnight."""


def measure(meters: int, limit_s: int) -> dict[str, Any]:
    """Start both, wait until every row is stored, say how long it took and what it weighed."""
    _room_for(meters)
    with tempfile.TemporaryDirectory(prefix="crowd-") as name:
        here = Path(name)
        with running_emulator(here, _scenario(meters)) as fleet:
            return _read_all(here, meters, limit_s, fleet)


def _read_all(here: Path, meters: int, limit_s: int, fleet: dict[str, Any]) -> dict[str, Any]:
    wires = "".join(
        f'[[wire]]\nname = "{meter["serial"]}"\nurl = "{meter["url"]}"\n\n{meter_table(meter)}'
        for meter in fleet["meters"]
    )
    started_s = time.monotonic()
    with running_gateway(here, wires, fleet) as pid:
        whole, taken_s = _wait(here / "readings.db", meters, started_s + limit_s)
        weight = _weight(pid)
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


def _wait(database: Path, meters: int, until_s: float) -> tuple[dict[str, int], float]:
    whole = dict.fromkeys(ROWS, 0)
    while time.monotonic() < until_s:
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


def _scenario(meters: int) -> str:
    installed = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    entries = (
        f'[[meter]]\nserial = "CR{number:06}"\nmodel = "single_phase"\nencoding = "integer"\n'
        'wire = "tcp"\n'
        for number in range(meters)
    )
    return f"seed = 1\ninstalled = {installed}\n" + "\n".join(entries)


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
