"""Columns and rows that a meter showed, in the words of a profile: the proof it is written with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

from gateway.dlms import axdr
from gateway.dlms.classes import scaler_source
from gateway.dlms.values import to_rows
from gateway.errors import GatewayError
from gateway.model import CaptureObject, Instant, Value, unit_name
from gateway.profile import Attribute, FirmwareProfile, ProfileGeneric
from gateway.service.learning import Learnt, LearntBuffer, is_number

_WITH_LENGTH: Final = (
    axdr.Tag.STRUCTURE,
    axdr.Tag.OCTET_STRING,
    axdr.Tag.VISIBLE_STRING,
    axdr.Tag.UTF8_STRING,
)


def unlisted(buffer: LearntBuffer) -> frozenset[CaptureObject]:
    """Columns of numbers whose scaler the meter does not show."""
    if buffer.row is None or len(buffer.row.tags) != len(buffer.captures.columns):
        return frozenset()
    return frozenset(
        column.source
        for column, tag in zip(buffer.captures.columns, buffer.row.tags, strict=True)
        if column.scaler is None and scaler_source(column.source) and is_number(tag)
    )


def columns_of(
    base: FirmwareProfile, generic: ProfileGeneric, buffer: LearntBuffer
) -> list[Attribute]:
    """The columns as the meter captures them, by the base's names where it has one."""
    hidden = unlisted(buffer)
    # Without a row nothing speaks against what the base knows of a column.
    known = generic.unlisted if buffer.row is None else frozenset()
    columns: list[Attribute] = []
    for column in buffer.captures.columns:
        source = column.source
        name = base.name_of(source, generic.kind) or _made_name(source)
        if name in {one.name for one in columns}:
            name = _made_name(source)
        columns.append(
            Attribute(
                name=name,
                class_id=source.class_id,
                obis=source.obis,
                attribute=source.attribute,
                unlisted=source in hidden or source in known,
            )
        )
    return columns


def _made_name(source: CaptureObject) -> str:
    groups = "_".join(map(str, source.obis.octets))
    return f"object_{groups}_attribute_{source.attribute}"


def captures_of(
    base: FirmwareProfile, learnt: Learnt, seen: str, remarks: list[str]
) -> Iterator[dict[str, Any]]:
    """The newest row of each buffer with what it means; rows of no meaning become remarks."""
    for generic in base.profile_generics:
        buffer = learnt.buffers.get(generic.obis)
        if buffer is None or buffer.row is None:
            continue
        columns = columns_of(base, generic, buffer)
        try:
            values = _values(columns, buffer, learnt)
        except GatewayError as error:
            remarks.append(f"the newest row of {generic.label} makes no sense: {error}")
            continue
        yield {
            "what": f"newest row of {generic.label.replace('_', ' ')}",
            "profile": generic.label,
            "provenance": "captured",
            "source": seen,
            "octets": _octets(buffer.row.raw),
            "values": values,
        }


def _values(
    columns: Sequence[Attribute], buffer: LearntBuffer, learnt: Learnt
) -> list[dict[str, Any]]:
    assert buffer.row is not None
    rows, _ = to_rows(
        [buffer.row],
        buffer.captures,
        learnt.rules,
        period_s=buffer.period_s or 0,
        received_at_s=0,
        unscaled=unlisted(buffer),
    )
    found = []
    for column, meant, value in zip(columns, buffer.captures.columns, rows[0].values, strict=True):
        words: dict[str, Any] = {"of": column.name}
        if meant.scaler is not None and isinstance(value, Decimal):
            words["scaler"] = meant.scaler
            if unit := unit_name(meant.unit):
                words["unit"] = unit
        found.append(words | {"expect": _spoken(value)})
    return found


def _spoken(value: Value) -> str:
    """A value as captures write it."""
    match value:
        case Decimal():
            return format(value, "f")
        case Instant():
            return value.local
        case bool():
            return str(value).lower()
        case bytes():
            return value.hex()
        case None:
            return "null"
        case str():
            return value


def _octets(raw: bytes) -> str:
    """A row in hexadecimal, one element to a line."""
    data = axdr.decode(raw)
    assert isinstance(data.value, tuple)
    elements = [axdr.encode(element) for element in data.value]
    head = raw[: len(raw) - sum(map(len, elements))]
    if head + b"".join(elements) != raw:
        return raw.hex().upper()
    return "".join(f"{_spaced(octets)}\n" for octets in (head, *elements))


def _spaced(octets: bytes) -> str:
    """Type, length where there is one, and value apart from each other."""
    lengths = 2 if octets[0] in _WITH_LENGTH else 1
    parts = (*(octets[at : at + 1] for at in range(lengths)), octets[lengths:])
    return " ".join(part.hex().upper() for part in parts if part)
