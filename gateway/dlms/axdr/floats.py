"""float32 and float64 registers as exact decimals.

A meter that counts 4.62 kWh in float32 sends 4.61999988555908203125; what it means is the
shortest decimal that becomes the same octets again. That decimal is the value here, so no
binary float leaves this module.
"""

from __future__ import annotations

import math
import struct
from decimal import ROUND_HALF_EVEN, ROUND_UP, Context, Decimal
from typing import Final

from gateway.errors import DecodeError, UsageError

_FLOAT32: Final = struct.Struct(">f")
_FLOAT64: Final = struct.Struct(">d")

_ROUNDINGS: Final = {
    digits: tuple(Context(prec=digits, rounding=mode) for mode in (ROUND_HALF_EVEN, ROUND_UP))
    for digits in range(1, 10)
}
"""Digits -> the nearest decimal, and the one away from zero.

At a power of two the next smaller float is only half as far as the next larger one: there the
nearest decimal may belong to the smaller one while the decimal above is still ours.
"""

_SURE_DIGITS: Final = 6
"""Any decimal of so many digits survives a normal float32 (FLT_DIG), so fewer are not tried:
their shorter form appears by itself, with zeros at its end."""


def float_to_decimal(octets: bytes) -> Decimal:
    """The shortest decimal that rounds to this float32 (4 octets) or float64 (8 octets).

    Negative zero becomes zero. Raises DecodeError for NaN, infinity and other lengths.
    """
    if len(octets) not in (4, 8):
        raise DecodeError(f"a float has 4 or 8 octets, not {len(octets)}")
    (number,) = (_FLOAT32 if len(octets) == 4 else _FLOAT64).unpack(octets)
    if not math.isfinite(number):
        raise DecodeError(f"float {octets.hex()} is no number ({number})")
    if number == 0:
        return Decimal(0)
    if len(octets) == 8:
        return Decimal(repr(number)).normalize()
    return _shortest_float32(octets, Decimal(number))


def _shortest_float32(octets: bytes, exact: Decimal) -> Decimal:
    subnormal = not octets[0] & 0x7F and octets[1] < 0x80
    for digits in range(1 if subnormal else _SURE_DIGITS, 9):
        for rounding in _ROUNDINGS[digits]:
            candidate = rounding.create_decimal(exact)
            try:
                if _FLOAT32.pack(candidate) == octets:
                    return candidate.normalize()
            except OverflowError:  # rounded up past the largest float
                continue
    # Nine digits always suffice (IEEE 754).
    return _ROUNDINGS[9][0].create_decimal(exact).normalize()


def decimal_to_float(number: Decimal, octets: int) -> bytes:
    """float32 (4 octets) or float64 (8 octets) that means exactly this decimal.

    Raises UsageError where none does: it would be read back as another number.
    """
    try:
        packed = (_FLOAT32 if octets == 4 else _FLOAT64).pack(number)
        if float_to_decimal(packed) == number:
            return packed
    except (OverflowError, DecodeError):
        pass
    raise UsageError(f"no float of {octets} octets means exactly {number}")
