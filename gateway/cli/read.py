"""``gateway read``: one meter, one session, a set of data or one object."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click

from gateway.cli.connect import MeterOptions, reader
from gateway.cli.output import exit_codes, log_to_stderr, print_csv, print_json, print_table
from gateway.dlms.plan import DAY_S, Span
from gateway.errors import UsageError
from gateway.model import Column, Instant, Obis, ProfileKind, Value, unit_name
from gateway.profile import FirmwareProfile
from gateway.service.reader import OnDemandReader, ReadObject, ReadSet, parse_time

SETS = {
    "nameplate": ProfileKind.NAMEPLATE,
    "instantaneous": ProfileKind.INSTANTANEOUS,
    "block": ProfileKind.BLOCK_LOAD,
    "daily": ProfileKind.DAILY_LOAD,
    "billing": ProfileKind.BILLING,
    "events": ProfileKind.EVENTS,
}
_WIDE = 8
_RANGED = (ProfileKind.BLOCK_LOAD, ProfileKind.DAILY_LOAD)


@click.command("read")
@click.argument("url")
@click.option("--profile", required=True, help="Firmware profile, or 'generic'.")
@click.option("--client", default="mr", show_default=True, help="mr, us, public, or a number.")
@click.option("--server", type=int, help="Meter address on its wire (lower HDLC, wPort).")
@click.option("--auth", type=click.Choice(["none", "lls", "hls2", "gmac"]))
@click.option("--security", type=click.Choice(["none", "authenticated", "encrypted", "both"]))
@click.option("--keys", type=click.Path(path_type=Path), help="Keys file (TOML, mode 0600).")
@click.option("--set", "set_name", type=click.Choice(list(SETS)))
@click.option("--obis", "obis_text", help="1-0:1.8.0*255 or 1-0:1.8.0*255:2 (attribute).")
@click.option("--from", "from_text", help="ISO 8601; local to the meter without an offset.")
@click.option("--to", "to_text", help="ISO 8601.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder of the counter store.")
@click.option("--timeout", "timeout_s", type=float, default=20.0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
@click.option("--csv", "as_csv", is_flag=True)
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
        if (set_name is None) == (obis_text is None):
            raise UsageError("say one of --set and --obis")
        document = asyncio.run(_read(options, set_name, obis_text, from_text, to_text))
        _print(document, as_json=as_json, as_csv=as_csv)


async def _read(
    options: MeterOptions,
    set_name: str | None,
    obis_text: str | None,
    from_text: str | None,
    to_text: str | None,
) -> dict[str, object]:
    if obis_text is not None:
        obis, attribute = _obis(obis_text)
    async with reader(options) as (opened, access):
        if set_name is None:
            found = await opened.read_object(obis, attribute)
            return _object_document(found, access.profile)
        return await _read_set(opened, access.profile, SETS[set_name], from_text, to_text)


async def _read_set(
    opened: OnDemandReader,
    profile: FirmwareProfile,
    kind: ProfileKind,
    from_text: str | None,
    to_text: str | None,
) -> dict[str, object]:
    zone_s = profile.time.zone_minutes * 60
    now_s = int(time.time())
    span: Span | None = None
    if kind in _RANGED or from_text or to_text:
        to_s = parse_time(to_text, zone_s) if to_text else now_s
        from_s = parse_time(from_text, zone_s) if from_text else to_s - 2 * DAY_S
        span = Span(from_s, to_s)
    sets = await opened.read_set(kind, span)
    return {
        "profile": profile.name,
        "set": kind.value,
        "buffers": [_set_document(found, profile) for found in sets],
    }


def _obis(text: str) -> tuple[Obis, int | None]:
    """``1-0:1.8.0*255``, with ``:attribute`` behind it or not."""
    head, _, tail = text.rpartition(":")
    if "*" in head or head.count(".") == 5:
        if not tail.lstrip("-").isdigit():
            raise UsageError(f"not an attribute number: {tail!r}")
        return Obis.parse(head), int(tail)
    return Obis.parse(text), None


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
                "values": [shown(value) for value in row.values],
                "raw": row.raw.hex(),
            }
            for row in sorted(found.rows, key=lambda row: row.captured_at_s)
        ],
    }


def _object_document(found: ReadObject, profile: FirmwareProfile) -> dict[str, object]:
    value = found.value if isinstance(found.value, list) else shown(found.value)
    return {
        **_column(found.column, profile, None),
        "value": value,
        "raw": found.raw.hex(),
        "server_system_title": _hex(found.evidence.server_system_title),
        "invocation_counter": found.evidence.invocation_counter,
    }


def shown(value: Value) -> object:
    """A value as JSON shows it: numbers exact, times ISO 8601, octets hexadecimal."""
    match value:
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
        if len(rows) == 1 and len(names) > _WIDE:
            # One row of many columns is read downwards.
            yield (
                buffer["buffer"],
                ["name", "value"],
                [list(pair) for pair in zip(names, *rows, strict=True)],
            )
        else:
            yield buffer["buffer"], names, rows
