"""Octets to ``Data``: one general decoder for everything a meter may send.

It is written for speed where rows are decoded: fixed-size members are read inside the loop of
their array or structure, everything else through one list indexed by tag. Lengths and counts
are checked against the limits and the octets left before anything is allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from gateway.dlms.axdr.octets import length_at
from gateway.dlms.axdr.types import FIXED, Data, Tag
from gateway.dlms.limits import Limits
from gateway.errors import DecodeError, LimitExceeded
from gateway.model import DATA_TYPE_NAMES

DEFAULT_LIMITS: Final = Limits()

ValueReader = Callable[[bytes, int, Limits, int], tuple[Data, int]]
"""(octets, offset behind the tag, limits, nesting left) -> (value, offset behind it)."""

_new_data = tuple.__new__
"""``Data(tag, value)`` runs Python code; this makes the same tuple without it."""


def decode(
    octets: bytes, *, limits: Limits = DEFAULT_LIMITS, ignore_trailing: bool = False
) -> Data:
    """Read one complete value with nothing behind it.

    ``ignore_trailing`` allows octets behind it, as some servers send in a GET response.
    Raises DecodeError, and LimitExceeded where more is claimed than ``limits`` allow.
    """
    data, end = decode_at(octets, 0, limits)
    if end != len(octets) and not ignore_trailing:
        raise DecodeError(f"{len(octets) - end} octet(s) behind a complete value", end)
    return data


def decode_at(octets: bytes, offset: int, limits: Limits = DEFAULT_LIMITS) -> tuple[Data, int]:
    """Read the value at ``offset``; return it and the offset behind it. Raises as ``decode``."""
    try:
        tag = octets[offset]
        fixed = FIXED[tag]
        if fixed is None:
            return READERS[tag](octets, offset + 1, limits, limits.nesting_depth)
        return Data(tag, fixed.unpack_from(octets, offset + 1)[0]), offset + 1 + fixed.size
    except (IndexError, struct.error):
        raise DecodeError("data ends inside a value", len(octets)) from None


def _sequence(
    octets: bytes, offset: int, limits: Limits, nesting: int
) -> tuple[tuple[Data, ...], int]:
    """Members of an array or structure; IndexError or struct.error where the octets end."""
    if nesting == 0:
        raise LimitExceeded(
            f"arrays and structures nest deeper than {limits.nesting_depth} (octet {offset - 1})"
        )
    count = octets[offset]
    offset += 1
    if count > 0x7F:
        count, offset = length_at(octets, offset - 1, "array or structure")
    if count > limits.array_elements or count > len(octets) - offset:
        check_count(count, len(octets) - offset, offset, limits)
    members: list[Data] = []
    append = members.append
    fixed_by_tag, readers, new_data, data_class = FIXED, READERS, _new_data, Data
    nesting -= 1
    for _ in range(count):
        tag = octets[offset]
        offset += 1
        fixed = fixed_by_tag[tag]
        if fixed is None:
            member, offset = readers[tag](octets, offset, limits, nesting)
            append(member)
        else:
            unpack_from, size, _ = fixed
            append(new_data(data_class, (tag, unpack_from(octets, offset)[0])))
            offset += size
    return tuple(members), offset


def check_count(count: int, octets_left: int, offset: int, limits: Limits) -> None:
    """Refuse a claimed number of elements before room is made for them."""
    if count > limits.array_elements:
        raise LimitExceeded(f"{count} elements, allowed are {limits.array_elements}")
    if count > octets_left:
        raise DecodeError(f"{count} elements claimed in {octets_left} octet(s)", offset)


def _array(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    members, offset = _sequence(octets, offset, limits, nesting)
    return _new_data(Data, (1, members)), offset


def _structure(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    members, offset = _sequence(octets, offset, limits, nesting)
    return _new_data(Data, (2, members)), offset


def string_at(octets: bytes, offset: int, limits: Limits) -> tuple[bytes, int]:
    """Octets behind their length, checked before they are copied."""
    length = octets[offset]
    offset += 1
    if length > 0x7F:
        length, offset = length_at(octets, offset - 1, "string")
    if length > limits.string_octets:
        raise LimitExceeded(f"string of {length} octets, allowed are {limits.string_octets}")
    end = offset + length
    if end > len(octets):
        raise DecodeError(
            f"string of {length} octets claimed in {len(octets) - offset} octet(s)", offset
        )
    return octets[offset:end], end


def _octet_string(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    value, end = string_at(octets, offset, limits)
    return _new_data(Data, (9, value)), end


def _visible_string(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    # Not all makers keep to ASCII; Latin-1 keeps every octet and never fails.
    value, end = string_at(octets, offset, limits)
    return Data(Tag.VISIBLE_STRING, value.decode("latin-1")), end


def _utf8_string(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    value, end = string_at(octets, offset, limits)
    try:
        return Data(Tag.UTF8_STRING, value.decode("utf-8")), end
    except UnicodeDecodeError as error:
        where = end - len(value) + error.start
        raise DecodeError("utf8-string is not UTF-8", where) from None


def _bit_string(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    bits, start = length_at(octets, offset, "bit-string")
    length = (bits + 7) // 8
    if length > limits.string_octets:
        raise LimitExceeded(f"bit-string of {bits} bits, allowed are {limits.string_octets * 8}")
    end = start + length
    if end > len(octets):
        raise DecodeError(
            f"bit-string of {bits} bits claimed in {len(octets) - start} octet(s)", start
        )
    text = "".join(f"{octet:08b}" for octet in octets[start:end])
    return Data(Tag.BIT_STRING, text[:bits]), end


def _null(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    return _NULL, offset


def _dont_care(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    return _DONT_CARE, offset


def _compact_array(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    _, contents_at = string_at(octets, skip_description(octets, offset, limits, nesting), limits)
    return Data(Tag.COMPACT_ARRAY, octets[offset:contents_at]), contents_at


def skip_description(octets: bytes, offset: int, limits: Limits, nesting: int) -> int:
    """The offset behind a compact-array's type description."""
    if nesting == 0:
        raise LimitExceeded(f"type description nests deeper than {limits.nesting_depth}")
    tag = octets[offset]
    offset += 1
    if tag == Tag.ARRAY:
        return skip_description(octets, offset + 2, limits, nesting - 1)
    if tag == Tag.STRUCTURE:
        count, offset = length_at(octets, offset, "type description")
        check_count(count, len(octets) - offset, offset, limits)
        for _ in range(count):
            offset = skip_description(octets, offset, limits, nesting - 1)
    elif tag == Tag.COMPACT_ARRAY or tag not in DATA_TYPE_NAMES:
        raise DecodeError(f"type {tag} cannot be described in a compact-array", offset - 1)
    return offset


def _no_type(octets: bytes, offset: int, limits: Limits, nesting: int) -> tuple[Data, int]:
    raise DecodeError(f"{octets[offset - 1]} is no DLMS data type", offset - 1)


_NULL: Final = Data(Tag.NULL, None)
_DONT_CARE: Final = Data(Tag.DONT_CARE, None)

_VARIABLE: Final[dict[int, ValueReader]] = {
    Tag.NULL: _null,
    Tag.ARRAY: _array,
    Tag.STRUCTURE: _structure,
    Tag.BIT_STRING: _bit_string,
    Tag.OCTET_STRING: _octet_string,
    Tag.VISIBLE_STRING: _visible_string,
    Tag.UTF8_STRING: _utf8_string,
    Tag.COMPACT_ARRAY: _compact_array,
    Tag.DONT_CARE: _dont_care,
}

READERS: Final[list[ValueReader]] = [_VARIABLE.get(tag, _no_type) for tag in range(256)]
"""By tag, for every type that ``FIXED`` has not."""
