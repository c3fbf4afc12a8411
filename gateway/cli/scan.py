"""``gateway scan``: who answers at a URL, as which clients, and what it shows."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from gateway.cli.connect import MeterOptions, Target, counters_of, resolve
from gateway.cli.output import exit_codes, log_to_stderr, print_json, print_table, printable, say
from gateway.errors import (
    NoAnswer,
    PeerRefused,
    RemoteProtocolError,
    SecurityError,
    UsageError,
)
from gateway.files import replace_file
from gateway.model import CaptureList, Obis, unit_name
from gateway.profile import (
    GENERIC_BASE,
    FirmwareProfile,
    check_profile_path,
    load_profile_file,
    load_profiles,
)
from gateway.service.clock import SystemClock
from gateway.service.draft import draft_profile
from gateway.service.scanner import Found, Outcome, Scanner
from gateway.service.sessions import SessionMaker
from gateway.transport import open_transport

_EXIT_CODES: Final = {
    Outcome.OPEN: 0,
    Outcome.WRONG_KEY: SecurityError.exit_code,
    Outcome.REJECTED: PeerRefused.exit_code,
    Outcome.NOT_UNDERSTOOD: RemoteProtocolError.exit_code,
    Outcome.NOT_ANSWERED: NoAnswer.exit_code,
    Outcome.NO_ANSWER: NoAnswer.exit_code,
    Outcome.NO_KEYS: NoAnswer.exit_code,
}
"""By outcome; of several the first in this order tells."""
_SEES_MOST: Final = ("meter_reader", "utility_settings")
"""Associations from which a profile is written, the first that opens."""


@click.command("scan")
@click.argument("url")
@click.option(
    "--profile", default=GENERIC_BASE, show_default=True, help="Whose associations are tried."
)
@click.option("--keys", type=click.Path(path_type=Path), help="TOML file of secrets, mode 0600.")
@click.option("--server", type=int, help="The meter's address, instead of the URL's.")
@click.option("--timeout", "timeout_s", type=float, default=5, show_default=True, help="Seconds.")
@click.option(
    "--write-profile",
    "written",
    type=click.Path(path_type=Path),
    help="New TOML file for a profile of this meter.",
)
@click.option("--columns", is_flag=True, help="Read what each profile buffer captures, too.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder of the counters.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def scan_command(
    url: str,
    profile: str,
    keys: Path | None,
    server: int | None,
    timeout_s: float,
    state: Path | None,
    *,
    columns: bool,
    as_json: bool,
    written: Path | None,
) -> None:
    """Try each association of a meter and say what came of it.

    Tells a wrong address, a refused association and a wrong key apart. Exit code 0 where any
    association opened. A profile is written from what the meter reader sees (else the utility's
    settings client): it inherits the nearest profile that is shipped and has the differences, with
    the rows that were read as its proof.
    """
    log_to_stderr()
    with exit_codes():
        if written is not None:
            check_profile_path(written)
        options = MeterOptions(
            url=url,
            profile=profile,
            client="public",
            server=server,
            keys=keys,
            state=state,
            timeout_s=timeout_s,
        )
        found = asyncio.run(_scan(options, columns=columns))
        if as_json:
            print_json({"url": url, "associations": [_document(one) for one in found]})
        else:
            _print(found)
        outcomes = {one.outcome for one in found}
        code = next(code for outcome, code in _EXIT_CODES.items() if outcome in outcomes)
        if written is not None and code == 0:
            _write_profile(options, found, written)
        sys.exit(code)


async def _scan(options: MeterOptions, *, columns: bool) -> list[Found]:
    target = resolve(options)
    async with counters_of(target) as counters:
        sessions = SessionMaker(counters, SystemClock())
        scanner = Scanner(target.access, sessions, lambda: open_transport(target.url))
        return await scanner.scan(columns=columns)


def _write_profile(options: MeterOptions, found: list[Found], path: Path) -> None:
    """Write what the meter shows; raise UsageError where nobody who sees its rows got in."""
    names = {one.association for one in found if one.outcome is Outcome.OPEN}
    best = next((name for name in _SEES_MOST if name in names), None)
    if best is None:
        raise UsageError(
            f"--write-profile: {' or '.join(_SEES_MOST)} must get in to see what the meter holds:"
            " give a --keys file"
        )
    text = asyncio.run(_learn(resolve(options), best))
    replace_file(path, text.encode(), mode=0o644)
    made = load_profile_file(path)
    say(f"written: {path}, on {made.inherits[0]}; gateway profile check {path}")


async def _learn(target: Target, association: str) -> str:
    """The text of a profile from what an association shows."""
    async with counters_of(target) as counters:
        clock = SystemClock()
        sessions = SessionMaker(counters, clock)
        scanner = Scanner(target.access, sessions, lambda: open_transport(target.url))
        learnt, nameplate = await scanner.learn(association)
    day = datetime.fromtimestamp(clock.now_us() // 1_000_000, UTC).date().isoformat()
    seen = f"meter {learnt.serial or '(no serial)'} by {association}, {day}"
    return draft_profile(learnt, nameplate, _bases(target, association), seen=seen)


def _bases(target: Target, association: str) -> list[FirmwareProfile]:
    """The profiles that the meter's could inherit: those that are talked to in the same way.

    Only the one that was named, where it is a whole one.
    """
    if target.profile.phases is not None:
        return [target.profile]
    way_in = target.profile.association(association)
    return [
        profile
        for profile in load_profiles().values()
        if profile.phases is not None and profile.associations.get(association) == way_in
    ]


def _document(one: Found) -> dict[str, object]:
    return {
        "association": one.association,
        "client": one.client,
        "outcome": one.outcome.value,
        "detail": one.detail,
        "device_name": one.device_name,
        "objects": [
            {"class": o.class_id, "version": o.version, "obis": str(o.obis)} for o in one.objects
        ],
        "columns": {str(obis): _columns(captured) for obis, captured in one.columns},
    }


def _columns(captured: CaptureList) -> list[dict[str, object]]:
    return [
        {
            "class": column.source.class_id,
            "obis": str(column.source.obis),
            "attribute": column.source.attribute,
            "scaler": column.scaler,
            "unit": None if column.unit is None else unit_name(column.unit),
        }
        for column in captured.columns
    ]


def _print(found: list[Found]) -> None:
    head = ("association", "client", "outcome", "device name", "objects", "detail")
    rows = [
        (
            one.association,
            one.client,
            one.outcome.value,
            printable(one.device_name),
            len(one.objects) or "",
            one.detail,
        )
        for one in found
    ]
    print_table("associations", head, rows)
    for one in found:
        for obis, captured in one.columns:
            names = ("class", "obis", "attribute", "scaler", "unit")
            print_table(
                f"{one.association}: {_named(obis)}",
                names,
                [tuple(column[name] for name in names) for column in _columns(captured)],
            )


def _named(obis: Obis) -> str:
    return f"columns of {obis}"
