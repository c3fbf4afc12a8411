"""Thirty-two meters on one line of 9600 baud: a round over them beside what the line must take.

The gateway's own process reads emulated meters on a paced pseudo terminal, from nothing stored to
the last meter's present values, which come last in a visit. The least possible time is that of
the octets on the wire and of the meters' stated turnarounds, both as the line counted them; the
rest is the gateway's, its start included. Prints one JSON document.

    python -m benchmarks.bus [--meters 32]
"""

import argparse
import json
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

METERS = 32
BAUD = 9600
TURNAROUND_MS = 20
AIM = 1.05
_LAST = "instantaneous"
_LIMIT_S_PER_METER = 60


def measure(meters: int) -> dict[str, Any]:
    """One round; raises RuntimeError when it does not end."""
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        here = Path(name)
        with running_emulator(here, _scenario(meters)) as fleet:
            (bus,) = fleet["buses"]
            wire = f'[[wire]]\nname = "bus"\nurl = "serial://{bus["device"]}?baud={BAUD}"\n\n'
            wire += "".join(
                meter_table(meter, f"server = {meter['address']}\n") for meter in fleet["meters"]
            )
            started_s = time.monotonic()
            with running_gateway(here, wire, fleet):
                _await_last(here / "readings.db", meters, started_s)
                taken_s = time.monotonic() - started_s
        stats = json.loads((here / "meters" / "stats.json").read_text("utf-8"))["bus0"]
    wire_s = (stats["octets_in"] + stats["octets_out"]) * 10 / BAUD
    waited_s = stats["turnarounds"] * TURNAROUND_MS / 1000
    quotient = taken_s / (wire_s + waited_s)
    return {
        "name": "bus",
        "machine": machine.describe(),
        "meters": meters,
        "baud": BAUD,
        "turnaround_ms": TURNAROUND_MS,
        "round_s": round(taken_s, 1),
        "wire_s": round(wire_s, 1),
        "turnarounds_s": round(waited_s, 1),
        "quotient": round(quotient, 4),
        "aim": AIM,
        "ok": quotient <= AIM,
    }


def _await_last(database: Path, meters: int, started_s: float) -> None:
    while time.monotonic() < started_s + meters * _LIMIT_S_PER_METER:
        time.sleep(0.2)
        if database.exists() and _read(database) == meters:
            return
    raise RuntimeError("the round did not end in time")


def _read(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute(
                "SELECT count(DISTINCT meter_id) FROM readings WHERE profile_id ="
                " (SELECT id FROM profiles WHERE profile = ?)",
                [_LAST],
            ).fetchone()
    except sqlite3.OperationalError:
        return 0  # not made yet, or its log is being written back
    return int(count)


def _scenario(meters: int) -> str:
    installed = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    entries = (
        f'[[meter]]\nserial = "BM{number:06}"\nmodel = "single_phase"\nencoding = "integer"\n'
        f'wire = "bus"\nbus = "bus0"\naddress = {17 + number}\nturnaround_ms = {TURNAROUND_MS}\n'
        for number in range(meters)
    )
    head = f'seed = 1\ninstalled = {installed}\n\n[[bus]]\nname = "bus0"\nbaud = {BAUD}\n\n'
    return head + "\n".join(entries)


def main() -> int:
    """Measure, print, return 0 when the aim was reached."""
    parser = argparse.ArgumentParser(description="a round over the meters of one slow line")
    parser.add_argument("--meters", type=int, default=METERS)
    document = measure(parser.parse_args().meters)
    print(json.dumps(document, indent=2))
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
