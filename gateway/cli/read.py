"""``gateway read``: one meter, one session, a set of data or one object."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click

from gateway.cli.connect import MeterOptions, Target, identified, reader, resolve
from gateway.cli.output import (
    exit_codes,
    log_to_stderr,
    print_csv,
    print_json,
    print_table,
    say,
)
from gateway.dlms.plan import DAY_S, Span
from gateway.errors import UsageError
from gateway.model import Column, Instant, Obis, ProfileKind, Row, unit_name
from gateway.profile import FirmwareProfile
from gateway.service.events import event_of_row
from gateway.service.reader import Plain, ReadObject, ReadSet, parse_time

SETS = {
    "nameplate": ProfileKind.NAMEPLATE,
    "instantaneous": ProfileKind.INSTANTANEOUS,
    "block": ProfileKind.BLOCK_LOAD,
    "daily": ProfileKind.DAILY_LOAD,
    "billing": ProfileKind.BILLING,
    "events": ProfileKind.EVENTS,
}
_ATTRIBUTE = re.compile(r"-?[0-9]{1,3}")
_RANGED = (ProfileKind.BLOCK_LOAD, ProfileKind.DAILY_LOAD)
_SNAPSHOTS = (ProfileKind.NAMEPLATE, ProfileKind.INSTANTANEOUS)


@click.command("read")
@click.argument("url")
@click.option("--profile", required=True, help="Firmware profile, its file, 'auto' or 'generic'.")
@click.option("--client", default="mr", show_default=True, help="mr, us, public, or a number.")
@click.option("--server", type=int, help="Meter address on its wire (lower HDLC, wPort).")
@click.option(
    "--auth",
    type=click.Choice(["none", "lls", "hls2", "gmac"]),
    help="Authentication, with --profile generic.",
)
@click.option(
    "--security",
    type=click.Choice(["none", "authenticated", "encrypted", "both"]),
    help="Ciphering, with --profile generic.",
)
@click.option("--keys", type=click.Path(path_type=Path), help="Keys file (TOML, mode 0600).")
@click.option(
    "--set", "set_name", type=click.Choice(list(SETS)), help="What to read; this or --obis."
)
@click.option(
    "--obis", "obis_text", help="One object: 1-0:1.8.0*255, or 1-0:1.8.0*255:2 with its attribute."
)
@click.option("--from", "from_text", help="ISO 8601; local to the meter without an offset.")
@click.option("--to", "to_text", help="ISO 8601.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder of the counter store.")
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=20.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Rows with a head line.")
def read_command(
    url: str,
    profile: str,
    client: str,
    server: int | None,
    auth: str | None,
    security: str | None,
    keys: Path | None,
    set_name: str | None,
    obis_text: str | None,
    from_text: str | None,
    to_text: str | None,
    state: Path | None,
    timeout_s: float,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Read a set of data or one object from the meter at URL."""
    log_to_stderr()
    with exit_codes():
        options = MeterOptions(
            url=url,
            profile=profile,
            client=client,
            server=server,
            auth=auth,
            security=security,
            keys=keys,
            state=state,
            timeout_s=timeout_s,
        )
        if as_json and as_csv:
            raise UsageError("say one of --json and --csv")
        target = asyncio.run(identified(resolve(options)))
        document = _read(target, set_name, obis_text, from_text, to_text)
        _print(document, as_json=as_json, as_csv=as_csv)


def _read(
    target: Target,
    set_name: str | None,
    obis_text: str | None,
    from_text: str | None,
    to_text: str | None,
) -> dict[str, object]:
    """The document that is printed. What is wrong with the words is said before the meter is."""
    if set_name is not None and obis_text is None:
        kind = SETS[set_name]
        if not any(generic.kind is kind for generic in target.profile.profile_generics):
            raise UsageError(f"profile {target.profile.name} knows no buffer of --set {set_name}")
        span = _span(kind, target.profile, from_text, to_text)
        return asyncio.run(_read_set(target, kind, span))
    if obis_text is not None and set_name is None:
        if from_text or to_text:
            raise UsageError("--from and --to belong to --set")
        return asyncio.run(_read_object(target, *_obis(obis_text)))
    raise UsageError("say one of --set and --obis")


async def _read_object(target: Target, obis: Obis, attribute: int | None) -> dict[str, object]:
    async with reader(target) as opened:
        return _object_document(await opened.read_object(obis, attribute), target.profile)


async def _read_set(target: Target, kind: ProfileKind, span: Span | None) -> dict[str, object]:
    async with reader(target) as opened:
        sets = await opened.read_set(kind, span)
    return {
        "profile": target.profile.name,
        "set": kind.value,
        "buffers": [_set_document(found, target.profile) for found in sets],
    }


def _span(
    kind: ProfileKind, profile: FirmwareProfile, from_text: str | None, to_text: str | None
) -> Span | None:
    """The times asked for; of load profiles the last two days unless said otherwise."""
    if kind in _SNAPSHOTS and (from_text or to_text):
        raise UsageError("--from and --to belong to sets that have a history")
    if kind not in _RANGED and not from_text and not to_text:
        return None
    zone_s = profile.time.zone_minutes * 60
    to_s = parse_time(to_text, zone_s) if to_text else int(time.time())
    from_s = parse_time(from_text, zone_s) if from_text else to_s - 2 * DAY_S
    if from_s > to_s:
        raise UsageError(f"--from {_iso(from_s)} is later than --to {_iso(to_s)}")
    return Span(from_s, to_s)


def _obis(text: str) -> tuple[Obis, int | None]:
    """``1-0:1.8.0*255``, with ``:attribute`` behind it or not."""
    head, _, tail = text.rpartition(":")
    if "*" not in head and head.count(".") != 5:
        return Obis.parse(text), None
    if not _ATTRIBUTE.fullmatch(tail) or int(tail) not in range(-128, 128):
        raise UsageError(f"not an attribute number: {tail!r} (-128 to 127)")
    return Obis.parse(head), int(tail)


def _column(
    column: Column, profile: FirmwareProfile, kind: ProfileKind | None
) -> dict[str, object]:
    return {
        "name": profile.name_of(column.source, kind),
        "obis": str(column.source.obis),
        "class": column.source.class_id,
        "attribute": column.source.attribute,
        "scaler": column.scaler,
        "unit": None if column.unit is None else unit_name(column.unit),
        "type": column.type_name,
    }


def _set_document(found: ReadSet, profile: FirmwareProfile) -> dict[str, object]:
    kind = found.generic.kind
    return {
        "buffer": found.generic.label,
        "obis": str(found.generic.obis),
        "capture_list": found.capture_list.digest.hex(),
        "server_system_title": _hex(found.evidence.server_system_title),
        "invocation_counter": found.evidence.invocation_counter,
        "columns": [_column(column, profile, kind) for column in found.capture_list.columns],
        "rows": [
            {
                "captured_at": _iso(row.captured_at_s),
                "time_quality": row.time_quality.value,
                **_event(found, row, profile),
                "values": [shown(value) for value in row.values],
                "raw": row.raw.hex(),
            }
            for row in sorted(found.rows, key=lambda row: row.captured_at_s)
        ],
    }


def _event(found: ReadSet, row: Row, profile: FirmwareProfile) -> dict[str, object]:
    """What happened, by name; nothing for what is no event log."""
    if found.generic.kind is not ProfileKind.EVENTS:
        return {}
    kind = event_of_row(profile, found.generic.log, found.capture_list, row)
    return {"event": kind.name, "phase": kind.phase.value}


def _object_document(found: ReadObject, profile: FirmwareProfile) -> dict[str, object]:
    return {
        **_column(found.column, profile, None),
        "value": shown(found.value),
        "raw": found.raw.hex(),
        "server_system_title": _hex(found.evidence.server_system_title),
        "invocation_counter": found.evidence.invocation_counter,
    }


def shown(value: Plain) -> object:
    """A value as JSON shows it: numbers exact, times ISO 8601, octets hexadecimal."""
    match value:
        case list():
            return [shown(member) for member in value]
        case Instant():
            return value.local or None
        case bytes():
            return value.hex()
        case Decimal() if value.as_tuple().exponent not in range(-400, 0):
            return int(value)
        case _:
            return value


def _iso(utc_s: int) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat()


def _hex(octets: bytes | None) -> str | None:
    return None if octets is None else octets.hex()


def _print(document: dict[str, object], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json(document)
        return
    for title, head, rows in _tables(document):
        if not rows:
            say(f"{title}: the meter has no rows for this time")
        if as_csv:
            print_csv(head, rows)
        else:
            print_table(title, head, rows)


def _tables(
    document: dict[str, object],
) -> Iterable[tuple[str, list[str], list[list[object]]]]:
    buffers = document.get("buffers")
    if not isinstance(buffers, list):
        hidden = ("raw", "server_system_title", "invocation_counter")
        shown_keys = [key for key in document if key not in hidden]
        yield "object", shown_keys, [[document[key] for key in shown_keys]]
        return
    for buffer in buffers:
        names = [
            f"{column['name'] or column['obis']}"
            + (f" [{column['unit']}]" if column["unit"] else "")
            for column in buffer["columns"]
        ]
        rows = [row["values"] for row in buffer["rows"]]
        if document["set"] == ProfileKind.EVENTS:
            names = ["event", "phase", *names]
            rows = [[row["event"], row["phase"], *row["values"]] for row in buffer["rows"]]
        yield buffer["buffer"], names, rows
