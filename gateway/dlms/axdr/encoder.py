"""``Data`` to octets, lengths in their shortest form: ``decode(encode(x)) == x``."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from gateway.dlms.axdr.octets import counted, encode_length
from gateway.dlms.axdr.types import FIXED, Data, Tag
from gateway.errors import UsageError
from gateway.model import DATA_TYPE_NAMES

_OCTET_SIZES: Final[dict[int, int]] = {
    Tag.FLOAT32: 4,
    Tag.FLOAT64: 8,
    Tag.DATE_TIME: 12,
    Tag.DATE: 5,
    Tag.TIME: 4,
}
"""Fixed types that are held as octets; ``struct`` would pad or cut them silently."""


def encode(data: Data) -> bytes:
    """A-XDR octets of a value; raise UsageError where the value is not one of its type."""
    tag, value = data
    fixed = FIXED[tag] if 0 <= tag <= 255 else None
    try:
        if fixed is None:
            return bytes((tag,)) + _VARIABLE[tag](value)
        if tag in _OCTET_SIZES:
            _check_octets(value, _OCTET_SIZES[tag])
        elif tag == Tag.BOOLEAN and not isinstance(value, bool):
            raise ValueError(tag)
        return bytes((tag,)) + fixed.pack(value)
    except KeyError:
        raise UsageError(f"{tag} is no DLMS data type") from None
    except (struct.error, ValueError, TypeError, AttributeError):
        # Octets and strings may be secrets: only numbers are shown.
        shown = value if isinstance(value, int) else type(value).__name__
        name = DATA_TYPE_NAMES.get(tag, f"type {tag}")
        raise UsageError(f"not a value of {name}: {shown}") from None


def _check_octets(value: object, size: int) -> None:
    if not isinstance(value, bytes) or len(value) != size:
        raise ValueError(size)


def _sequence(value: tuple[Data, ...]) -> bytes:
    return encode_length(len(value)) + b"".join(map(encode, value))


def _octet_string(value: bytes) -> bytes:
    return counted(value)


def _visible_string(value: str) -> bytes:
    return counted(value.encode("latin-1"))


def _utf8_string(value: str) -> bytes:
    return counted(value.encode("utf-8"))


def _bit_string(value: str) -> bytes:
    if set(value) - {"0", "1"}:
        raise ValueError(value)
    length = (len(value) + 7) // 8
    bits = int(value.ljust(8 * length, "0") or "0", 2)
    return encode_length(len(value)) + bits.to_bytes(length, "big")


def _nothing(value: None) -> bytes:
    if value is not None:
        raise ValueError(value)
    return b""


def _as_it_is(value: bytes) -> bytes:
    return value


_VARIABLE: Final[dict[int, Callable[..., bytes]]] = {
    Tag.NULL: _nothing,
    Tag.ARRAY: _sequence,
    Tag.STRUCTURE: _sequence,
    Tag.BIT_STRING: _bit_string,
    Tag.OCTET_STRING: _octet_string,
    Tag.VISIBLE_STRING: _visible_string,
    Tag.UTF8_STRING: _utf8_string,
    Tag.COMPACT_ARRAY: _as_it_is,
    Tag.DONT_CARE: _nothing,
}
