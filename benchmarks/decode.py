"""Rows of a block load buffer decoded per second of CPU time: ours, dlms-cosem, gurux-dlms.

``plain`` is the same job everywhere: octets to raw values. ``profile`` is the way to rows with
times: ours ends in scaled exact values and resolved instants, dlms-cosem's profile parser in raw
values and datetimes, gurux-dlms' update of a profile object likewise. Prints one JSON document;
``ok`` says whether both reached the aim, four times the rows of dlms-cosem.

    python -m benchmarks.decode [--rows 1680]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.rows import decode_rows
from gateway.dlms.values import to_rows
from gateway.model import CaptureList, CaptureObject, Column, Obis
from hil_tests import machine
from hil_tests.peers.runner import run_peer

PEERS = ("dlms-cosem", "gurux-dlms")
COLUMNS = 8
AIM = 4
PERIOD_S = 1800
IST = TimeRules(zone_minutes=330, deviation_sign=-1)

SOURCES = (
    CaptureObject(8, Obis.parse("0-0:1.0.0*255"), 2),
    *(CaptureObject(3, Obis.parse(f"1-0:{c}.27.0*255"), 2) for c in (12, 11)),
    *(CaptureObject(3, Obis.parse(f"1-0:{c}.29.0*255"), 2) for c in (1, 2, 9, 10)),
    CaptureObject(3, Obis.parse("1-0:91.27.0*255"), 2),
)


def block_load_buffer(rows: int) -> bytes:
    """An array of structures: clock, two and one averages of 2 octets, four energies of 4."""
    return b"\x01\x82" + rows.to_bytes(2, "big") + b"".join(_row(number) for number in range(rows))


def _row(number: int) -> bytes:
    day, half_hour = divmod(number, 48)
    clock = b"\x07\xea\x03" + bytes([1 + day % 28, 0xFF, half_hour // 2, half_hour % 2 * 30, 0, 0])
    averages = [23_000 + number % 50, 400 + number % 97]
    energies = [100 + number % 500, 0, 110 + number % 500, 0]
    return (
        b"\x02\x08\x09\x0c"
        + clock
        + (-330).to_bytes(2, "big", signed=True)
        + b"\x00"
        + b"".join(b"\x12" + value.to_bytes(2, "big") for value in averages)
        + b"".join(b"\x06" + value.to_bytes(4, "big") for value in energies)
        + b"\x12\x00\x07"
    )


def our_ways(buffer: bytes) -> dict[str, Callable[[], int]]:
    """The same two ways through this product's code; each returns its number of rows."""
    columns = CaptureList(tuple(Column(s, None if s.class_id == 8 else -2, None) for s in SOURCES))

    def plain() -> int:
        return len(list(decode_rows(buffer)))

    def profile() -> int:
        rows, _ = to_rows(
            list(decode_rows(buffer)), columns, IST, period_s=PERIOD_S, received_at_s=0
        )
        return len(rows)

    return {"plain": plain, "profile": profile}


def rows_per_s(decode: Callable[[], int], rounds: int, times: int) -> int:
    """Rows per second of CPU time in the best round."""
    decode()
    best = 0.0
    for _ in range(rounds):
        started = time.process_time()
        rows = sum(decode() for _ in range(times))
        best = max(best, rows / (time.process_time() - started))
    return round(best)


def measure(rows: int, turns: int = 4, rounds: int = 2, times: int = 10) -> dict[str, Any]:
    """Everything in one document.

    All take turns, so that a busy moment of the machine meets all, and the best round counts.
    """
    buffer = block_load_buffer(rows)
    ways = our_ways(buffer)
    arguments = ["--columns", str(COLUMNS), "--rounds", str(rounds)]
    best: dict[str, dict[str, int]] = {name: {} for name in ("ours", *PEERS)}
    for _ in range(turns):
        for name, figures in best.items():
            if name == "ours":
                found = {way: rows_per_s(decode, rounds, times) for way, decode in ways.items()}
            else:
                document = run_peer("decode_rows", ["--library", name, *arguments], buffer)
                found = document["rows_per_s"]
            figures |= {way: max(found[way], figures.get(way, 0)) for way in ways}
    ratios = {
        peer: {way: round(best["ours"][way] / best[peer][way], 2) for way in ways} for peer in PEERS
    }
    return {
        "name": "decode",
        "machine": machine.describe(),
        "rows": rows,
        "columns": COLUMNS,
        "rows_per_s": best,
        "ratio": ratios,
        "aim": {"dlms-cosem": {"plain": AIM, "profile": AIM}},
        "ok": min(ratios["dlms-cosem"].values()) >= AIM,
    }


def main() -> int:
    """Measure, print, return 0 when the aim was reached."""
    parser = argparse.ArgumentParser(description="rows decoded per second")
    parser.add_argument("--rows", type=int, default=1680)
    document = measure(parser.parse_args().rows)
    print(json.dumps(document, indent=2))
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
