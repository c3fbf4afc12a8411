"""Client CPU of a whole session: ours, two libraries and a plain reader, on one emulator.

A session is connect, associate (GMAC, ciphered both ways), one register with its scaler, one day of
48 x 8 block load, release (over the wrapper; over HDLC the disconnection is one), disconnect, over
loopback TCP. Ours asks for register and scaler in one list, as it does where a meter takes lists;
the others ask twice. Every client runs in a process of
its own; rounds take turns, so that a busy moment of the machine meets all. The figure is the
median over all sessions but the first few of each process.

How much cheaper than another library a session can be depends on the machine: what the kernel and
the event loop take for each exchange is the same for everybody, and no code of ours. So the
yardstick is a reader written out by hand for this one session (``benchmarks/plain.py``), in the
same run. The aims against the libraries are reported with what that reader reaches of them; ``ok``
says that every session of ours ended with 48 rows and cost at most ``PLAIN_LIMIT`` of the plain
reader's. Prints one JSON document.

    python -m benchmarks.session [--sessions 60] [--rounds 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hil_tests import machine
from hil_tests.peers.fleet import FleetMeter, running_fleet
from hil_tests.peers.runner import arguments_of, run_client

SCENARIO = Path(__file__).with_name("session.toml")
WARM_UP_SESSIONS = 3
DAY_S = 86_400
ROWS_PER_DAY = 48
#: Largest share of a peer's CPU that ours may take.
AIMS = {
    "wrapper": {"gurux-dlms": 1 / 25, "dlms-cosem": 1 / 3},
    "hdlc": {"gurux-dlms": 1 / 12, "dlms-cosem": 1 / 8},
}
PLAIN_LIMIT = 1.6
"""What a client with all framings, securities, bounds and evidence may cost beside one without."""
OWN_PROGRAMS = {"ours": "benchmarks.our_client", "plain": "benchmarks.plain"}
PEER_PROGRAMS = {"dlms-cosem": "dlms_cosem_client", "gurux-dlms": "gurux_client"}


def run_own(
    module: str, options: Mapping[str, object], secrets: Mapping[str, object]
) -> dict[str, Any]:
    """One of our own clients in a process of its own; same document as a peer's."""
    command = [sys.executable, "-m", module, *arguments_of(options)]
    done = subprocess.run(
        command, input=json.dumps(secrets).encode(), capture_output=True, check=True, timeout=300
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def options_for(meter: FleetMeter, sessions: int) -> dict[str, object]:
    """What every client is asked: the same association, register and day."""
    # Rows are stamped at the end of their interval.
    last_s = meter.last_midnight_s
    first_s = last_s - DAY_S + DAY_S // ROWS_PER_DAY
    return {
        **meter.address_options(),
        "client": 48,
        "auth": "gmac",
        "security": "both",
        "ops": f"register:1.0.1.8.0.255,block_range:{first_s}:{last_s}",
        "repeat": sessions,
        # Over HDLC the disconnection is the release, for all three.
        **({"release": False} if meter.link == "hdlc" else {}),
    }


def measure_link(meter: FleetMeter, sessions: int, rounds: int) -> dict[str, Any]:
    """All clients on one meter."""
    cpu_s: dict[str, list[float]] = {name: [] for name in (*OWN_PROGRAMS, *PEER_PROGRAMS)}
    hung = dict.fromkeys(PEER_PROGRAMS, 0)
    rows: set[int] = set()
    options = options_for(meter, sessions + WARM_UP_SESSIONS)
    for _ in range(rounds):
        for name, figures in cpu_s.items():
            secrets = meter.secrets(client_sap=48)
            if name in OWN_PROGRAMS:
                document = run_own(OWN_PROGRAMS[name], options, secrets)
                rows.add(document["rows"])
            else:
                document = run_client(PEER_PROGRAMS[name], options, secrets, timeout_s=600)
                hung[name] += document.get("hung", 0)
            meter.take_counter(48, document["invocation_counter"])
            figures += document["cpu_s"][WARM_UP_SESSIONS:]
    return {"cpu_s": cpu_s, "hung": hung, "rows": sorted(rows)}


def judge(link: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Medians and ratios, and whether ours cost as little beside the plain reader as it must."""
    medians = {name: statistics.median(figures) for name, figures in measured["cpu_s"].items()}
    beside_plain = medians["ours"] / medians["plain"]
    return {
        "link": link,
        "sessions": {name: len(figures) for name, figures in measured["cpu_s"].items()},
        "hung": measured["hung"],
        "cpu_ms": {name: round(1000 * median, 3) for name, median in medians.items()},
        "times_cheaper": {p: round(medians[p] / medians["ours"], 1) for p in PEER_PROGRAMS},
        "plain_times_cheaper": {p: round(medians[p] / medians["plain"], 1) for p in PEER_PROGRAMS},
        "aim_times_cheaper": {peer: round(1 / aim) for peer, aim in AIMS[link].items()},
        "times_plain": round(beside_plain, 2),
        "ok": measured["rows"] == [ROWS_PER_DAY] and beside_plain <= PLAIN_LIMIT,
    }


def measure(sessions: int, rounds: int) -> dict[str, Any]:
    """Both links in one document."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running_fleet(SCENARIO, Path(directory)) as fleet,
    ):
        links = [judge(m.link, measure_link(m, sessions, rounds)) for m in fleet.meters]
    return {
        "name": "session",
        "machine": machine.describe(),
        "links": links,
        "ok": all(link["ok"] for link in links),
    }


def main() -> int:
    """Measure, print, return 0 when the aims were reached."""
    parser = argparse.ArgumentParser(description="client CPU of a whole session")
    parser.add_argument("--sessions", type=int, default=20, help="per client, link and round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    document = measure(options.sessions, options.rounds)
    print(json.dumps(document, indent=2))
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
