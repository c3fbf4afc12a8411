"""Client CPU of a whole session: ours, dlms-cosem, gurux-dlms, against one emulator in one run.

A session is connect, associate (GMAC, ciphered both ways), one register with its scaler, one day of
48 x 8 block load, release (over the wrapper; over HDLC the disconnection is one), disconnect, over
loopback TCP. Every client runs in a process of
its own; rounds take turns, so that a busy moment of the machine meets all three. The figure is the
median over all sessions but the first few of each process. Beside them the bare event loop moves
the octets of our own session. Prints one JSON document; ``ok`` depends on ratios and counts only:
every session of ours reached its end with 48 rows, and the ratios reach the aims.

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
BARE = "bare asyncio"
PEER_PROGRAMS = {"dlms-cosem": "dlms_cosem_client", "gurux-dlms": "gurux_client"}


def run_ours(options: Mapping[str, object], secrets: Mapping[str, object]) -> dict[str, Any]:
    """Our client in a process of its own; same document as a peer's."""
    command = [sys.executable, "-m", "benchmarks.our_client", *arguments_of(options)]
    done = subprocess.run(
        command, input=json.dumps(secrets).encode(), capture_output=True, check=True, timeout=300
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def run_bare(ours: Mapping[str, Any], sessions: int) -> dict[str, Any]:
    """The octets of our own first session, moved by the bare event loop."""
    exchanges = ours["exchanges"]
    waits_s = [w - c for w, c in zip(ours["wall_s"], ours["cpu_s"], strict=True)]
    recording = {
        "exchanges": exchanges,
        "think_s": statistics.median(waits_s) / len(exchanges),
        "sessions": sessions,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare"],
        input=json.dumps(recording).encode(),
        capture_output=True,
        check=True,
        timeout=300,
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
    """All three clients on one meter."""
    cpu_s: dict[str, list[float]] = {"ours": [], **{peer: [] for peer in PEER_PROGRAMS}}
    bare_s: list[float] = []
    hung = dict.fromkeys(cpu_s, 0)
    rows: set[int] = set()
    options = options_for(meter, sessions + WARM_UP_SESSIONS)
    for _ in range(rounds):
        for name, figures in cpu_s.items():
            secrets = meter.secrets(client_sap=48)
            if name == "ours":
                document = run_ours(options, secrets)
                rows.add(document["rows"])
                bare = run_bare(document, sessions + WARM_UP_SESSIONS)
                bare_s += bare["cpu_s"][WARM_UP_SESSIONS:]
            else:
                document = run_client(PEER_PROGRAMS[name], options, secrets, timeout_s=600)
                hung[name] += document.get("hung", 0)
            meter.take_counter(48, document["invocation_counter"])
            figures += document["cpu_s"][WARM_UP_SESSIONS:]
    cpu_s[BARE] = bare_s
    return {"cpu_s": cpu_s, "hung": hung, "rows": sorted(rows)}


def judge(link: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Medians, ratios and whether the aims were reached.

    ``bare_share_of_aim`` tells how much of what an aim allows the bare event loop takes already,
    moving the same octets in as many turns: near 1 nobody on this loop can reach it here.
    """
    medians = {name: statistics.median(figures) for name, figures in measured["cpu_s"].items()}
    shares = {peer: medians["ours"] / medians[peer] for peer in PEER_PROGRAMS}
    return {
        "link": link,
        "sessions": {name: len(figures) for name, figures in measured["cpu_s"].items()},
        "hung": measured["hung"],
        "cpu_ms": {name: round(1000 * median, 3) for name, median in medians.items()},
        "times_cheaper": {peer: round(1 / share, 1) for peer, share in shares.items()},
        "aim_times_cheaper": {peer: round(1 / aim) for peer, aim in AIMS[link].items()},
        "times_bare_asyncio": round(medians["ours"] / medians[BARE], 2),
        "bare_share_of_aim": {
            peer: round(medians[BARE] / (AIMS[link][peer] * medians[peer]), 2)
            for peer in PEER_PROGRAMS
        },
        "ok": measured["rows"] == [ROWS_PER_DAY]
        and all(share <= AIMS[link][peer] for peer, share in shares.items()),
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
