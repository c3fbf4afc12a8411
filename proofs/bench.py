"""Proof "bench": what sessions, decoding and a slow line cost beside what they must.

Sessions and decoding are measured against gurux-dlms and dlms-cosem in the same run, in CPU time of
the client; the line against the time its octets need. ``ok`` depends on ratios and counts only:
figures in milliseconds or rows belong to the machine they were taken on. How far a session can be
below another library's does so too, so these aims are reported beside what a plain reader reaches
of them, and ``ok`` holds ours to that reader (``benchmarks/session.py``).
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks import decode, line, session
from gateway.errors import UsageError
from hil_tests.peers.runner import PYTHON
from proofs import Options

_SESSIONS: Final = {False: 10, True: 50}
_SESSION_ROUNDS: Final = {False: 6, True: 12}
_DECODE_TURNS: Final = {False: 4, True: 20}
_LINE_SESSIONS: Final = {False: 3, True: 12}
_ROWS: Final = 1680


def prove(options: Options) -> dict[str, Any]:
    """All figures, each aim with whether it is met; ``ok`` when those are that hold anywhere.

    Raises UsageError where the libraries to measure against are not installed.
    """
    if not PYTHON.exists():
        raise UsageError("the libraries to measure against are missing: scripts/setup peers")
    long = options.long
    options.tell("sessions: ours, a plain reader, dlms-cosem, gurux-dlms")
    sessions = session.measure(_SESSIONS[long], _SESSION_ROUNDS[long])
    options.tell("decoding of profile rows")
    decoding = decode.measure(_ROWS, _DECODE_TURNS[long])
    options.tell("one line at 9600 baud")
    slow_line = line.measure(_LINE_SESSIONS[long])
    aims = [*_session_aims(sessions), *_decode_aims(decoding), _line_aim(slow_line)]
    parts = {"sessions": sessions, "decode": decoding, "slow_line": slow_line}
    return {
        "ok": all(part["ok"] for part in parts.values())
        and all(aim["met"] for aim in aims if "plain_reader" not in aim),
        "aims": aims,
        **{
            name: {key: value for key, value in part.items() if key not in ("name", "machine")}
            for name, part in parts.items()
        },
    }


def _session_aims(document: dict[str, Any]) -> list[dict[str, Any]]:
    aims = []
    for link in document["links"]:
        for peer, wanted in link["aim_times_cheaper"].items():
            what = f"session over {link['link']}: times cheaper than {peer}"
            aim = _aim(what, link["times_cheaper"][peer], at_least=wanted)
            aims.append(aim | {"plain_reader": link["plain_times_cheaper"][peer]})
        what = f"session over {link['link']}: cost beside a plain reader"
        aims.append(_aim(what, link["times_plain"], at_most=session.PLAIN_LIMIT))
    return aims


def _decode_aims(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _aim(
            f"decoding, {way}: times the rows per second of {peer}",
            document["ratio"][peer][way],
            at_least=wanted,
        )
        for peer, ways in document["aim"].items()
        for way, wanted in ways.items()
    ]


def _line_aim(document: dict[str, Any]) -> dict[str, Any]:
    return _aim(
        "a 9600 baud line: session time over wire time and turnarounds",
        document["quotient"],
        at_most=document["aim"],
    )


def _aim(
    what: str, value: float, *, at_least: float | None = None, at_most: float | None = None
) -> dict[str, Any]:
    """One promise as a row: what was measured, what was wanted, whether it was reached."""
    if at_least is not None:
        return {"what": what, "value": value, "at_least": at_least, "met": value >= at_least}
    assert at_most is not None
    return {"what": what, "value": value, "at_most": at_most, "met": value <= at_most}
