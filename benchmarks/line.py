"""How well one slow line is used: session time over the time its octets need.

One ciphered session after the other (association, register, a day of 48 x 8 block load,
disconnect) with one meter on a line paced at 9600 baud, 8N1. The least possible time is what
the octets need on the wire plus the meter's stated turnarounds, both as the line counted them.
Prints one JSON document; ``ok`` says whether the quotient reached the aim. The meter agrees to any
information field and window, so what larger ones save can be measured.

    python -m benchmarks.line [--sessions 3] [--info-field 2030] [--window 7]
"""

import argparse
import json
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from benchmarks.session import OWN_PROGRAMS, ROWS_PER_DAY, options_for, run_own
from hil_tests import machine
from hil_tests.peers.fleet import running_fleet

SCENARIO = Path(__file__).with_name("line.toml")
BITS_PER_OCTET = 10
AIM = 1.03


def measure(sessions: int, info_field: int = 128, window: int = 1) -> dict[str, Any]:
    """Run the sessions, then compare with what the line counted."""
    scenario = tomllib.loads(SCENARIO.read_text(encoding="utf-8"))
    (bus,), (entry,) = scenario["bus"], scenario["meter"]
    with tempfile.TemporaryDirectory() as directory:
        with running_fleet(SCENARIO, Path(directory)) as fleet:
            (meter,) = fleet.meters
            options = options_for(meter, sessions)
            options |= {"info_field": info_field, "window": window}
            document = run_own(OWN_PROGRAMS["ours"], options, meter.secrets(client_sap=48))
        stats = json.loads((Path(directory) / "stats.json").read_text(encoding="utf-8"))[
            bus["name"]
        ]
    octets = stats["octets_in"] + stats["octets_out"]
    wire_s = octets * BITS_PER_OCTET / bus["baud"]
    waited_s = stats["turnarounds"] * entry["turnaround_ms"] / 1000
    session_s = sum(document["wall_s"])
    quotient = session_s / (wire_s + waited_s)
    return {
        "name": "line",
        "machine": machine.describe(),
        "baud": bus["baud"],
        "info_field": info_field,
        "window": window,
        "sessions": sessions,
        "octets_per_session": round(octets / sessions),
        "session_s": round(session_s / sessions, 3),
        "wire_s": round(wire_s / sessions, 3),
        "turnarounds_s": round(waited_s / sessions, 3),
        "quotient": round(quotient, 4),
        "aim": AIM,
        "ok": quotient <= AIM and document["rows"] == ROWS_PER_DAY,
    }


def main() -> int:
    """Measure, print, return 0 when the aim was reached."""
    parser = argparse.ArgumentParser(description="session time over wire time")
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--info-field", type=int, default=128, help="octets, 16 to 2030")
    parser.add_argument("--window", type=int, default=1, help="frames, 1 to 7")
    options = parser.parse_args()
    document = measure(options.sessions, options.info_field, options.window)
    print(json.dumps(document, indent=2))
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
