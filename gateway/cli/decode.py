"""``gateway decode``: recorded octets to values, layer by layer."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias, cast

import click

from gateway.cli.output import exit_codes, print_json, print_table, printable
from gateway.dlms.inspection import (
    TAGGED_DATE_TIME,
    UNTAGGED_DESCRIPTORS,
    Described,
    InspectionKeys,
    Inspector,
    Quirks,
    explain_capture,
    name_of,
    read_capture,
)
from gateway.errors import ConfigError, UsageError
from gateway.keys import load_keys_file
from gateway.profile.push_lists import PushLists, load_push_lists

MAX_INPUT_OCTETS: Final = 16 * 1024 * 1024
"""Far beyond any recorded session; more is a mistake."""
_HEX: Final = re.compile(rb"[0-9A-Fa-f\s]+")
_STDIN: Final = "-"

_LINK: Final = (
    "framing",
    "frame",
    "destination",
    "destination_logical",
    "destination_physical",
    "source",
    "source_logical",
    "source_physical",
    "send_sequence",
    "receive_sequence",
    "final",
    "segmented",
    "link_frames",
    "parameters",
    "source_wport",
    "destination_wport",
    "length",
    "incomplete",
    "information_octets",
    "octet_stuffing",
    "frames_found",
    "frames",
)
_SECURITY: Final = (
    "ciphered",
    "security_control",
    "invocation_counter",
    "system_title",
    "tag_verified",
    "not_deciphered",
)
_TABLES: Final = ("obis", "without_obis", "position", "positions", "decoded_fields")
_TWICE: Final = (
    "destination_client",
    "source_client",
    "wrapper_version",
    "information_hex",
    "plaintext_hex",
    "reassembled_hex",
    "data_hex_first",
    "date_time",
    "first_element",
    "last_element",
    "body_pairs",
)
"""Fields for programs: what they say stands in another line for people."""
_LONGEST: Final = 200

_Tables: TypeAlias = Iterator[tuple[Sequence[str], Sequence[Sequence[object]]]]
"""Heads and rows."""


@click.command("decode")
@click.argument("file", metavar="FILE|-")
@click.option(
    "--keys", "keys_file", type=click.Path(path_type=Path), help="Keys file (TOML, mode 0600)."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option(
    "--quirk",
    "quirks",
    type=click.Choice([TAGGED_DATE_TIME, UNTAGGED_DESCRIPTORS]),
    multiple=True,
    help="A deviation from the standard to bear; a capture file finds its own.",
)
def decode_command(
    file: str, keys_file: Path | None, quirks: tuple[str, ...], *, as_json: bool
) -> None:
    """Explain the octets in FILE (hexadecimal digits, binary, or a capture TOML).

    HDLC, LLC, TCP wrapper, wired M-Bus, bare APDUs and bare A-XDR, ciphered or not, asked for or
    pushed.
    """
    with exit_codes():
        content = _read(file)
        keys = _keys(keys_file)
        borne = Quirks(
            tagged_date_time=TAGGED_DATE_TIME in quirks,
            untagged_descriptors=UNTAGGED_DESCRIPTORS in quirks,
        )
        parsed = _capture(file, content)
        if parsed is not None:
            capture = read_capture(parsed, file)
            maker = load_push_lists().get(capture.make)
            document = explain_capture(capture, keys=keys, quirks=borne, maker=maker)
            if as_json:
                print_json(document)
            else:
                _print_capture(document, maker)
            return
        messages = Inspector(keys, borne).inspect(_octets(file, content))
        if as_json:
            print_json(messages)
            return
        for number, message in enumerate(messages, 1):
            _print_message(f"message {number} of {len(messages)}", message)


def _read(file: str) -> bytes:
    try:
        if file == _STDIN:
            content = sys.stdin.buffer.read(MAX_INPUT_OCTETS + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(MAX_INPUT_OCTETS + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise UsageError(f"{file}: cannot be read: {reason}") from None
    if len(content) > MAX_INPUT_OCTETS:
        raise UsageError(f"{file}: more than {MAX_INPUT_OCTETS} octets")
    if not content.strip():
        raise UsageError(f"{file}: nothing to decode; hexadecimal digits, octets or a capture file")
    return content


def _keys(keys_file: Path | None) -> InspectionKeys | None:
    if keys_file is None:
        return None
    keys = load_keys_file(keys_file)
    return InspectionKeys(
        encryption=keys.guek,
        authentication=keys.gak,
        dedicated=keys.dedicated,
        client_title=keys.client_system_title,
        server_title=keys.server_system_title,
    )


def _capture(file: str, content: bytes) -> Mapping[str, object] | None:
    """The parsed capture file, None where the content is something else."""
    named = file.endswith(".toml")
    if not named and b"frames_hex" not in content:
        return None
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        if named:
            # What stands there may be a key, so no part of it is shown.
            kind = type(error).__name__
            raise ConfigError(file, "(file)", kind, "a capture file is TOML in UTF-8") from None
        return None


def _octets(file: str, content: bytes) -> bytes:
    if not _HEX.fullmatch(content):
        return content
    digits = b"".join(content.split())
    if len(digits) % 2:
        raise UsageError(f"{file}: {len(digits)} hexadecimal digits; two make an octet")
    return bytes.fromhex(digits.decode("ascii"))


def _print_capture(document: Mapping[str, object], maker: PushLists | None) -> None:
    name = str(document["id"])
    decoded = cast("dict[str, Described]", document["decoded"])
    if document["layout"] == "message" and "message" in decoded:
        message = decoded.pop("message")
        _print_message(name, message | {"obis": decoded}, maker)
        return
    for frame, message in decoded.items():
        _print_message(f"{name}, {_words(frame)}", message, maker)


def _print_message(title: str, message: Described, maker: PushLists | None = None) -> None:
    click.echo(click.style(title, bold=True))
    for label, names in (("link", _LINK), ("security", _SECURITY)):
        facts = [
            f"{_words(name)} {_text(message[name])}"
            for name in names
            if message.get(name) is not None
        ]
        if facts:
            click.echo(f"  {label + ':':<10}{', '.join(facts)}")
    if "apdu" in message:
        inner = message.get("plaintext_apdu")
        whole = message.get("reassembled_apdu")
        completes = f" completing {whole}" if whole else ""
        holds = f" holding {inner}" if inner else ""
        click.echo(f"  {'apdu:':<10}{message['apdu']}{completes}{holds}")
    hidden = {*_LINK, *_SECURITY, *_TWICE, "apdu", "plaintext_apdu", "reassembled_apdu"}
    if not isinstance(message.get("obis"), str):
        hidden.update(_TABLES)
    if "rows" in message:
        hidden.add("value")
    for name, value in message.items():
        if name not in hidden and value is not None:
            click.echo(f"  {_words(name)}: {_text(value)}")
    for head, rows in _tables(message, maker):
        print_table("", head, rows)
    click.echo()


def _tables(message: Described, maker: PushLists | None) -> _Tables:
    buffer = message.get("value")
    if "rows" in message and isinstance(buffer, list) and buffer:
        head = [f"column {number}" for number in range(len(buffer[0]))]
        yield head, [list(map(_text, row)) for row in buffer]
    yield from _body_tables(message, maker)


def _body_tables(message: Described, maker: PushLists | None) -> _Tables:
    named = message.get("obis")
    if isinstance(named, dict) and named:
        yield (
            ["logical name", "name", "value", "unit"],
            [
                [obis, _words(name_of(obis, maker)), _text(entry["value"]), entry.get("unit", "")]
                for obis, entry in named.items()
            ],
        )
        loose = message.get("without_obis")
        if isinstance(loose, list) and loose:
            yield ["without logical name"], [[_text(value)] for value in loose]
        if all("unit" in entry for entry in named.values()):
            return
    else:
        positions = message.get("positions") or message.get("position")
        if isinstance(positions, dict):
            positions = list(positions.values())
        if isinstance(positions, list) and positions:
            yield ["place", "value"], [[place, _text(one)] for place, one in enumerate(positions)]
    fields = message.get("decoded_fields")
    if isinstance(fields, dict):
        yield (
            ["as its maker means it", "value"],
            [[_words(name), _text(value)] for name, value in fields.items()],
        )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: object) -> str:
    """A value for a terminal: decimals without exponent, long ones cut."""
    match value:
        case None:
            return "null"
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{value:f}"
        case list():
            text = ", ".join(map(_text, value))
        case dict():
            text = ", ".join(f"{_words(str(name))} {_text(one)}" for name, one in value.items())
        case _:
            text = str(value)
    text = printable(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
