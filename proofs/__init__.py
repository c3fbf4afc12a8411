"""Every promise of the product has one command that shows it on this machine.

A proof is a module with ``prove(options) -> dict``: its figures and ``ok``. It is loaded when it is
asked for, so that one proof never needs what another one does.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import UsageError
from hil_tests import machine


def _tell_nobody(_: str) -> None:
    """What is going on, when nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to prove: ``seed`` of everything random, ``long`` for the thorough form.

    ``tell`` takes a short text on what is going on, for the person who waits.
    """

    seed: int = 1
    long: bool = False
    tell: Callable[[str], None] = _tell_nobody


@dataclass(frozen=True, slots=True)
class Figure:
    """What a figure means, and what it must be: a number, another figure's name, or anything."""

    meaning: str
    wanted: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One promise: the module that shows it, what it promises, and what it leaves open."""

    module: str
    sentence: str
    not_proven: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Every number at the top of the proof's document that is one of its findings."""


_LINE: Final = {
    "rows_read": Figure("different rows that the gateway stored"),
    "rows_at_backend": Figure("rows in the backend's database", "rows_read"),
    "lost": Figure("stored at the gateway and not at the backend", 0),
    "doubled": Figure("rows at the backend beside one of the same meter, set and time", 0),
    "conflicts": Figure("rows of one time with other content, kept for a person to see", 0),
    "outbox_messages": Figure("messages that still wait at the gateway at the end", 0),
    "counters_refused": Figure("requests with an invocation counter that a meter had seen", 0),
    "meters_without_counter": Figure("meters that never saw a ciphered request", 0),
    "kills": Figure("times the gateway got SIGKILL before all rows had come"),
    "meters": Figure("emulated meters"),
    "days_compared": Figure("daily figures on the page held against the meters' truth"),
    "blocks_compared": Figure("load blocks on the page held against the meters' truth"),
    "mismatches": Figure("figures that differ from it in any digit, or are not there", 0),
    "missing": Figure("those of them that the page does not show at all", 0),
}
_DECODE: Final = {
    "files": Figure("files of recorded octets"),
    "files_decoded": Figure("files that `gateway decode` reads to the end", "files"),
    "messages": Figure("messages found in them"),
    "values_compared": Figure("values held against what the file's source states"),
    "differences": Figure("statements that do not hold, of values and of all checks below", 0),
    "octets_fed_singly": Figure("octets given to the links one by one, with the same outcome"),
    "junk_streams": Figure("streams with a frame between random octets; the frame is found"),
    "tampers_refused": Figure("messages with one changed bit in the tag that were refused"),
    "wrong_keys_refused": Figure("messages under a wrong authentication key that were refused"),
}

_FLEET: Final = {
    "meters": Figure("emulated meters of mixed makes, on buses and over TCP"),
    "days": Figure("simulated days"),
    "rows_expected": Figure("daily and block rows that the meters hold of the time"),
    "rows_stored": Figure("of them in the gateway's file", "rows_expected"),
    "missing": Figure("of them not there", 0),
    "doubled": Figure("rows beside another one of the same meter, set and time", 0),
    "wrong": Figure("rows that differ from the meters' truth in any digit", 0),
    "faults_injected": Figure("answers spoiled, lost or late, power cuts, resets, other readers"),
    "sessions": Figure("associations that were opened"),
    "failures": Figure("visits and buffers that failed and were done again"),
    "clocks_set": Figure("drifted clocks that were set"),
    "coverage_0800": Figure(
        "hundredths of a percent of the previous day that were there at 08:00, the worst day"
    ),
    "bus_meters": Figure("meters on one simulated line of 9600 baud"),
    "bus_round_ms": Figure("first round over them, a day of rows each, in ms of the wire's time"),
    "bus_cycle_per_mille": Figure(
        "that round in thousandths of its octets and turnarounds; 1050 at most"
    ),
    "dead_meter_cost": Figure("thousandths of the line's time that one dead meter takes; below 50"),
    "tcp_meters": Figure("real processes: emulated meters, each on a TCP connection of its own"),
    "tcp_seconds": Figure("from nothing to a day of blocks and the midnight of each; aim 60"),
    "tcp_gateway_mib": Figure("the most that the gateway held in memory meanwhile; aim 250"),
    "tcp_gateway_cpu_s": Figure("processor time of the gateway in it, all of a first visit read"),
    "line_quotient": Figure(
        "real processes: a round over 32 meters on a paced terminal, beside its octets and"
        " turnarounds; aim 1.05 (long form only)"
    ),
}
_KEYS: Final = {
    "steps": Figure("runs: the gateway ended at a step, or twice, or a frame got lost"),
    "steps_known": Figure("steps and frames of whole rotations, over all variants of meters"),
    "unreachable": Figure("runs after which an association does not open under the held keys", 0),
    "in_doubt": Figure("secrets of which it is not known whether the meter has them", 0),
    "not_done": Figure("jobs that did not end as done", 0),
    "not_changed": Figure("secrets that are the former ones, or not the meter's", 0),
    "counters_refused": Figure("requests with an invocation counter that the meter had seen", 0),
    "leaks": Figure("places where a secret stands, raw, in hexadecimal or in base64", 0),
    "attempts_most": Figure("attempts that the worst run took"),
}

PROOFS: Final[Mapping[str, Proof]] = {
    "line": Proof(
        module="proofs.line",
        sentence="Every reading of the emulated meters reaches the consumer's page once and "
        "exactly, also when the gateway is killed in the middle.",
        not_proven="A killed process is not a power cut: what a disk loses when its supply ends "
        "is not tried. Meters, line and broker are on one machine; broker and database are not "
        "killed.",
        figures=_LINE,
    ),
    "fleet": Proof(
        module="proofs.fleet",
        sentence="Days of a whole substation with trouble on every wire end with every row that a "
        "meter still holds, once and exactly, and a dead meter costs its line next to nothing.",
        not_proven="Time is simulated: wires take their time, processors and disks none. The "
        "trouble is what was thought of; a real substation thinks of more.",
        figures=_FLEET,
    ),
    "decode": Proof(
        module="proofs.decode",
        sentence="Frames recorded from real meters decode to exactly the values their sources "
        "state, and what was tampered with is refused.",
        not_proven="The frames are published ones: some are examples of the standard or of another "
        "library's tests and never were on a wire, and makes that are not among them are not "
        "tried. What a source does not state of its frame is not judged. Of a ciphered message "
        "the bits of the tag are changed one by one, not those of the text.",
        figures=_DECODE,
    ),
    "keys": Proof(
        module="proofs.keys",
        sentence="All secrets of a meter are changed, the gateway ends at any step of it, and the "
        "meter is never lost; no secret stands in a file, a log or on the wire.",
        not_proven="The end of a process is simulated between its accesses to disk and wire, and "
        "what a disk loses with its supply is not tried. The meter is the emulator's, and takes a "
        "new secret at once or not at all. A password of low-level security is in clear in the "
        "request that opens an association, as DLMS has it.",
        figures=_KEYS,
    ),
    "bench": Proof(
        module="proofs.bench",
        sentence="Sessions and decoding cost a small part of what other DLMS libraries take, and "
        "a slow line is used to the full.",
        not_proven="How long a real meter takes to answer, and what a radio or a modem adds. "
        "Client and emulated meter share the machine; only the client's CPU time is compared.",
    ),
}


def run(name: str, options: Options) -> dict[str, Any]:
    """Show one promise: ``proof``, ``ok``, its figures, ``machine`` and ``seconds``.

    Raises UsageError for a name that is no proof or has no module here, and what the proof raises.
    """
    proof = PROOFS.get(name)
    if proof is None:
        raise UsageError(f"no proof is called {name!r}; there are: {', '.join(PROOFS)}")
    try:
        module = importlib.import_module(proof.module)
    except ModuleNotFoundError as error:
        if error.name != proof.module:
            raise
        raise UsageError(f"the proof {name!r} is not part of this checkout") from None
    started_s = time.monotonic()
    figures: dict[str, Any] = module.prove(options)
    return {
        "proof": name,
        "ok": bool(figures["ok"]),
        **{key: value for key, value in figures.items() if key not in ("proof", "ok")},
        "machine": figures.get("machine", machine.describe()),
        "seconds": figures.get("seconds", round(time.monotonic() - started_s, 1)),
    }
