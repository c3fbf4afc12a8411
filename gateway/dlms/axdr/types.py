"""The DLMS data types by tag, and how a value of each is held."""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple


class Tag(IntEnum):
    """Data type tags (Blue Book 4.1.5)."""

    NULL = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27
    DELTA_INTEGER = 28
    DELTA_LONG = 29
    DELTA_DOUBLE_LONG = 30
    DELTA_UNSIGNED = 31
    DELTA_LONG_UNSIGNED = 32
    DELTA_DOUBLE_LONG_UNSIGNED = 33
    DONT_CARE = 255


class Data(NamedTuple):
    """One value with its type tag.

    ======================================  ==============================================
    array, structure                        tuple of Data
    numbers, enum, bcd (its octet), deltas  int
    boolean                                 bool
    null-data, dont-care                    None
    octet-string                            bytes
    visible-string                          str, one character an octet (Latin-1: lossless)
    utf8-string                             str
    bit-string                              str of "0" and "1", first bit first
    float32, float64                        their 4 or 8 octets (see ``float_to_decimal``)
    date-time, date, time                   their 12, 5 or 4 octets
    compact-array                           octets: description, length, contents
    ======================================  ==============================================
    """

    tag: int
    value: int | bytes | str | bool | tuple[Data, ...] | None


FIXED_FORMATS: Final[dict[int, str]] = {
    Tag.BOOLEAN: "?",
    Tag.DOUBLE_LONG: "i",
    Tag.DOUBLE_LONG_UNSIGNED: "I",
    Tag.BCD: "B",
    Tag.INTEGER: "b",
    Tag.LONG: "h",
    Tag.UNSIGNED: "B",
    Tag.LONG_UNSIGNED: "H",
    Tag.LONG64: "q",
    Tag.LONG64_UNSIGNED: "Q",
    Tag.ENUM: "B",
    Tag.FLOAT32: "4s",
    Tag.FLOAT64: "8s",
    Tag.DATE_TIME: "12s",
    Tag.DATE: "5s",
    Tag.TIME: "4s",
    Tag.DELTA_INTEGER: "b",
    Tag.DELTA_LONG: "h",
    Tag.DELTA_DOUBLE_LONG: "i",
    Tag.DELTA_UNSIGNED: "B",
    Tag.DELTA_LONG_UNSIGNED: "H",
    Tag.DELTA_DOUBLE_LONG_UNSIGNED: "I",
}
"""Types whose octets are always as many -> their ``struct`` format (without byte order)."""


class FixedReader(NamedTuple):
    """How to read a fixed-size type: ``unpack_from(octets, offset)[0]``, ``size`` octets."""

    unpack_from: Callable[[bytes, int], tuple[Any, ...]]
    size: int
    pack: Callable[..., bytes]


def _fixed(tag: int) -> FixedReader | None:
    if tag not in FIXED_FORMATS:
        return None
    layout = struct.Struct(">" + FIXED_FORMATS[tag])
    return FixedReader(layout.unpack_from, layout.size, layout.pack)


FIXED: Final = tuple(_fixed(tag) for tag in range(256))
"""The same by tag, compiled; None for all other tags."""
