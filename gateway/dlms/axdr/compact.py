"""Compact-array: contents without tags behind one type description (Blue Book 4.1.5)."""

from __future__ import annotations

import struct

from gateway.dlms.axdr.decoder import (
    DEFAULT_LIMITS,
    READERS,
    check_count,
    skip_description,
    string_at,
)
from gateway.dlms.axdr.encoder import encode
from gateway.dlms.axdr.octets import counted, encode_length, length_at
from gateway.dlms.axdr.types import FIXED, Data, Tag
from gateway.dlms.limits import Limits
from gateway.errors import DecodeError, LimitExceeded, UsageError


def expand_compact_array(value: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Data:
    """The array that a compact-array's octets (``Data.value``) stand for.

    Raises DecodeError, and LimitExceeded where it would hold more than
    ``limits.array_elements`` values in all: a few octets can describe very many.
    """
    try:
        described = skip_description(value, 0, limits, limits.nesting_depth)
        contents, end = string_at(value, described, limits)
        if end != len(value):
            raise DecodeError("octets behind a compact-array's contents", end)
        return _Expansion(value, contents, limits).array()
    except (IndexError, struct.error):
        raise DecodeError("compact-array ends inside a value", len(value)) from None


class _Expansion:
    """Walks contents and description together; ``left`` is how many values may still come."""

    def __init__(self, description: bytes, contents: bytes, limits: Limits) -> None:
        self.description = description
        self.contents = contents
        self.limits = limits
        self.left = limits.array_elements
        self.offset = 0

    def array(self) -> Data:
        elements: list[Data] = []
        while self.offset < len(self.contents):
            before = self.offset
            element, _ = self._element(0)
            if self.offset == before:
                raise DecodeError("compact-array of elements without octets", before)
            elements.append(element)
        return Data(Tag.ARRAY, tuple(elements))

    def _element(self, where: int) -> tuple[Data, int]:
        """The next value by the description at ``where``, and the offset behind that."""
        self.left -= 1
        if self.left < 0:
            raise LimitExceeded(f"compact-array of more than {self.limits.array_elements} values")
        tag = self.description[where]
        where += 1
        if tag == Tag.ARRAY:
            return self._nested_array(where)
        if tag == Tag.STRUCTURE:
            return self._nested_structure(where)
        fixed = FIXED[tag]
        if fixed is None:
            data, self.offset = READERS[tag](self.contents, self.offset, self.limits, 1)
            return data, where
        (value,) = fixed.unpack_from(self.contents, self.offset)
        self.offset += fixed.size
        return Data(tag, value), where

    def _nested_array(self, where: int) -> tuple[Data, int]:
        count = int.from_bytes(self.description[where : where + 2], "big")
        inner = where + 2
        elements = tuple(self._element(inner)[0] for _ in range(count))
        end = skip_description(self.description, inner, self.limits, self.limits.nesting_depth)
        return Data(Tag.ARRAY, elements), end

    def _nested_structure(self, where: int) -> tuple[Data, int]:
        count, where = length_at(self.description, where, "type description")
        check_count(count, len(self.description) - where, where, self.limits)
        members: list[Data] = []
        for _ in range(count):
            member, where = self._element(where)
            members.append(member)
        return Data(Tag.STRUCTURE, tuple(members)), where


def pack_compact_array(array: Data) -> Data:
    """The compact-array that expands to ``array``, whose elements are all described alike.

    Raises UsageError for anything but an array, for no elements (nothing describes them), and
    where descriptions differ, take no octets or have no place in a compact-array.
    """
    if array.tag != Tag.ARRAY or not isinstance(array.value, tuple) or not array.value:
        raise UsageError("a compact-array is made of an array with elements")
    description = _common_description(array.value)
    contents = b"".join(_contents(element) for element in array.value)
    if not contents:
        raise UsageError("a compact-array of elements without octets")
    return Data(Tag.COMPACT_ARRAY, description + counted(contents))


def _describe(data: Data) -> bytes:
    tag, value = data
    if tag == Tag.COMPACT_ARRAY:
        raise UsageError("a compact-array cannot be described in a compact-array")
    if not isinstance(value, tuple):
        return bytes((tag,))
    if tag == Tag.STRUCTURE:
        return bytes((tag,)) + encode_length(len(value)) + b"".join(map(_describe, value))
    if not value or len(value) > 0xFFFF:
        raise UsageError(f"an array of {len(value)} elements, allowed are 1 to 65535")
    return bytes((tag,)) + len(value).to_bytes(2, "big") + _common_description(value)


def _common_description(elements: tuple[Data, ...]) -> bytes:
    descriptions = {_describe(element) for element in elements}
    if len(descriptions) != 1:
        raise UsageError(f"{len(descriptions)} descriptions in one compact-array, allowed is 1")
    return descriptions.pop()


def _contents(data: Data) -> bytes:
    if isinstance(data.value, tuple):
        return b"".join(map(_contents, data.value))
    return encode(data)[1:]
