"""Rows of a profile buffer: a layout compiled from one row, checked against each other row.

Rows of a profile are nearly always alike: the same types and lengths in the same places. So
the first row is read by the general decoder, its shape becomes one ``struct`` format in which
tags and lengths are fields of their own, and every next row costs one unpack and one comparison.
A row of another shape (a null clock, another string length) is read by the general decoder and
teaches its shape too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.dlms.axdr import DEFAULT_LIMITS, Data, Tag, decode_at
from gateway.dlms.axdr.decoder import check_count
from gateway.dlms.axdr.octets import length_at
from gateway.dlms.axdr.types import FIXED, FIXED_FORMATS
from gateway.dlms.limits import Limits
from gateway.errors import DecodeError

PlainValue = int | bytes | str | bool | tuple[Data, ...] | None
"""A value as ``axdr.Data`` holds it."""

_LAYOUTS_KEPT: Final = 4
"""Shapes remembered of one buffer: with and without clock, and their variants."""


class RawRow(NamedTuple):
    """One row: its octets as received, and type tag and value of each column."""

    raw: bytes
    tags: tuple[int, ...]
    values: tuple[PlainValue, ...]


_new_row = tuple.__new__
"""``RawRow(...)`` runs Python code; this makes the same tuple without it."""


class RowLayout:
    """The fixed shape of a row: which octets are tags and lengths, which are values."""

    __slots__ = ("_heads", "_iter_unpack", "_nulls", "_size", "_texts", "tags")

    def __init__(self, columns: list[tuple[int, bytes, str]]) -> None:
        layout = struct.Struct(">" + "".join(f"{len(head)}s{form}" for _, head, form in columns))
        self._iter_unpack = layout.iter_unpack
        self._size = layout.size
        self._heads = tuple(head for _, head, _ in columns)
        self.tags = tuple(tag for tag, _, _ in columns)
        self._nulls = [i for i, tag in enumerate(self.tags) if tag in (Tag.NULL, Tag.DONT_CARE)]
        self._texts = [i for i, tag in enumerate(self.tags) if tag == Tag.VISIBLE_STRING]

    @classmethod
    def compile(cls, row: bytes) -> RowLayout | None:
        """The layout of a row that the general decoder has read; None where it has none.

        Rows with arrays, structures, bit-strings, UTF-8 strings or compact-arrays have none.
        """
        if not row or row[0] != Tag.STRUCTURE:
            return None
        count, offset = length_at(row, 1, "row")
        columns: list[tuple[int, bytes, str]] = []
        start = 0
        for _ in range(count):
            tag = row[offset]
            head_end = offset + 1
            fixed = FIXED[tag]
            if fixed is not None:
                form, size = FIXED_FORMATS[tag], fixed.size
            elif tag in (Tag.OCTET_STRING, Tag.VISIBLE_STRING):
                size, head_end = length_at(row, head_end, "row")
                form = f"{size}s"
            elif tag in (Tag.NULL, Tag.DONT_CARE):
                form, size = "0s", 0
            else:
                return None
            # The head of the first column holds the head of the row as well.
            columns.append((tag, row[start:head_end], form))
            offset = start = head_end + size
        return cls(columns) if columns else None

    def run(self, buffer: bytes, offset: int, most: int) -> list[RawRow]:
        """The rows from ``offset`` on, at most ``most``, up to the first of another layout."""
        size, heads, tags, new_row = self._size, self._heads, self.tags, _new_row
        is_plain = not self._nulls and not self._texts
        whole = min(most, (len(buffer) - offset) // size)
        rows: list[RawRow] = []
        for fields in self._iter_unpack(memoryview(buffer)[offset : offset + whole * size]):
            if fields[::2] != heads:
                break
            values = fields[1::2]
            end = offset + size
            rows.append(
                new_row(
                    RawRow,
                    (buffer[offset:end], tags, values if is_plain else self._plain(values)),
                )
            )
            offset = end
        return rows

    def _plain(self, values: tuple[PlainValue, ...]) -> tuple[PlainValue, ...]:
        plain = list(values)
        for index in self._nulls:
            plain[index] = None
        for index in self._texts:
            octets = plain[index]
            assert isinstance(octets, bytes)
            plain[index] = octets.decode("latin-1")
        return tuple(plain)


def iter_rows(
    buffer: bytes, *, limits: Limits = DEFAULT_LIMITS, ignore_trailing: bool = False
) -> Iterator[RawRow]:
    """Rows of a buffer (A-XDR array of structures), in the meter's order.

    ``ignore_trailing`` allows octets behind the array, as some servers send.
    Raises DecodeError, and LimitExceeded where more is claimed than ``limits`` allow.
    """
    if buffer[:1] != b"\x01":
        found = f"type {buffer[0]}" if buffer else "nothing"
        raise DecodeError(f"a profile buffer is an array, not {found}", 0)
    count, offset = length_at(buffer, 1, "profile buffer")
    check_count(count, len(buffer) - offset, offset, limits)
    layouts: list[RowLayout] = []
    number = 0
    while number < count:
        for layout in layouts:
            rows = layout.run(buffer, offset, count - number)
            if rows:
                break
        else:
            rows = [_general(buffer, offset, number, limits)]
            learned = RowLayout.compile(rows[0].raw) if len(layouts) < _LAYOUTS_KEPT else None
            if learned is not None:
                layouts.append(learned)
        number += len(rows)
        offset += len(rows) * len(rows[0].raw)
        yield from rows
    if offset != len(buffer) and not ignore_trailing:
        raise DecodeError(f"{len(buffer) - offset} octet(s) behind the last row", offset)


def decode_rows(
    buffer: bytes, *, limits: Limits = DEFAULT_LIMITS, ignore_trailing: bool = False
) -> list[RawRow]:
    """All rows of a buffer; raises as ``iter_rows``."""
    return list(iter_rows(buffer, limits=limits, ignore_trailing=ignore_trailing))


def _general(buffer: bytes, offset: int, number: int, limits: Limits) -> RawRow:
    data, end = decode_at(buffer, offset, limits)
    if data.tag != Tag.STRUCTURE or not isinstance(data.value, tuple):
        raise DecodeError(f"row {number} is not a structure but type {data.tag}", offset)
    tags = tuple(member.tag for member in data.value)
    values = tuple(member.value for member in data.value)
    return RawRow(buffer[offset:end], tags, values)
