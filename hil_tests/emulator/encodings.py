"""How a meter puts its numbers on the wire: two families seen in real single-phase meters.

"integer" sends unsigned integers with small scalers, "float32" sends float32 with scaler 0
for volts and amperes and +3 for power and energy. Both come from captures of meters of one
category, so nothing may be assumed about types. Everything here is integer arithmetic.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, StrEnum, auto
from fractions import Fraction
from typing import Final

from gateway.errors import UsageError

INTEGER: Final = 15
LONG: Final = 16
UNSIGNED: Final = 17
LONG_UNSIGNED: Final = 18
DOUBLE_LONG: Final = 5
DOUBLE_LONG_UNSIGNED: Final = 6
FLOAT32: Final = 23

_RANGES: Final = {
    INTEGER: range(-0x80, 0x80),
    LONG: range(-0x8000, 0x8000),
    DOUBLE_LONG: range(-0x8000_0000, 0x8000_0000),
    UNSIGNED: range(0x100),
    LONG_UNSIGNED: range(0x1_0000),
    DOUBLE_LONG_UNSIGNED: range(0x1_0000_0000),
}


_INFINITY: Final = 0x7F80_0000


class Quantity(Enum):
    """What is measured; the truth states each in one fixed decimal unit."""

    VOLTAGE = auto()
    CURRENT = auto()
    POWER_FACTOR = auto()
    FREQUENCY = auto()
    ACTIVE_POWER = auto()
    APPARENT_POWER = auto()
    REACTIVE_POWER = auto()
    ACTIVE_ENERGY = auto()
    APPARENT_ENERGY = auto()
    REACTIVE_ENERGY = auto()
    BLOCK_ACTIVE_ENERGY = auto()
    BLOCK_APPARENT_ENERGY = auto()
    BLOCK_VOLTAGE = auto()
    ACTIVE_DEMAND = auto()
    APPARENT_DEMAND = auto()
    DURATION = auto()
    BLOCK_REACTIVE_ENERGY = auto()
    ANGLE = auto()


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Data type tag, decimal scaler and COSEM unit code of one quantity."""

    tag: int
    scaler: int
    unit: int

    def shown(self, value: Fraction) -> Decimal:
        """The digits a reader must arrive at, computed here without any decoder."""
        if self.tag == FLOAT32:
            return shortest_decimal(float32_octets(value / Fraction(10) ** self.scaler)).scaleb(
                self.scaler
            )
        return Decimal(self._mantissa(value)).scaleb(self.scaler)

    def number(self, value: Fraction) -> int | bytes:
        """The A-XDR value: an integer, or the four octets of a float32."""
        if self.tag == FLOAT32:
            return float32_octets(value / Fraction(10) ** self.scaler)
        return self._mantissa(value)

    def _mantissa(self, value: Fraction) -> int:
        scaled = value / Fraction(10) ** self.scaler
        # A register shows what has fully passed: it never rounds up.
        mantissa = scaled.numerator // scaled.denominator
        if mantissa not in _RANGES[self.tag]:
            raise UsageError(f"{value} does not fit type {self.tag} with scaler {self.scaler}")
        return mantissa


class Encoding(StrEnum):
    """The two families."""

    INTEGER = "integer"
    FLOAT32 = "float32"


_INTEGER_FORMATS: Final = {
    Quantity.VOLTAGE: NumberFormat(LONG_UNSIGNED, -2, 35),
    Quantity.CURRENT: NumberFormat(LONG_UNSIGNED, -2, 33),
    Quantity.POWER_FACTOR: NumberFormat(INTEGER, -2, 255),
    Quantity.FREQUENCY: NumberFormat(LONG_UNSIGNED, -1, 44),
    Quantity.ACTIVE_POWER: NumberFormat(DOUBLE_LONG_UNSIGNED, 0, 27),
    Quantity.APPARENT_POWER: NumberFormat(DOUBLE_LONG_UNSIGNED, 0, 28),
    Quantity.REACTIVE_POWER: NumberFormat(DOUBLE_LONG, 0, 29),
    Quantity.ACTIVE_ENERGY: NumberFormat(DOUBLE_LONG_UNSIGNED, 1, 30),
    Quantity.APPARENT_ENERGY: NumberFormat(DOUBLE_LONG_UNSIGNED, 1, 31),
    Quantity.REACTIVE_ENERGY: NumberFormat(DOUBLE_LONG_UNSIGNED, 1, 32),
    Quantity.BLOCK_ACTIVE_ENERGY: NumberFormat(LONG_UNSIGNED, 0, 30),
    Quantity.BLOCK_APPARENT_ENERGY: NumberFormat(LONG_UNSIGNED, 0, 31),
    Quantity.BLOCK_VOLTAGE: NumberFormat(LONG_UNSIGNED, -1, 35),
    Quantity.ACTIVE_DEMAND: NumberFormat(LONG_UNSIGNED, 0, 27),
    Quantity.APPARENT_DEMAND: NumberFormat(LONG_UNSIGNED, 0, 28),
    Quantity.DURATION: NumberFormat(DOUBLE_LONG_UNSIGNED, 0, 6),
    Quantity.BLOCK_REACTIVE_ENERGY: NumberFormat(LONG_UNSIGNED, 0, 32),
    Quantity.ANGLE: NumberFormat(LONG_UNSIGNED, -1, 8),
}

_KILO: Final = frozenset({27, 28, 29, 30, 31, 32})
_UNSCALED: Final = frozenset({8, 33, 35, 44, 255})


def _as_float(quantity: Quantity) -> NumberFormat:
    unit = _INTEGER_FORMATS[quantity].unit
    if unit in _KILO:
        return NumberFormat(FLOAT32, 3, unit)
    if unit in _UNSCALED:
        return NumberFormat(FLOAT32, 0, unit)
    return _INTEGER_FORMATS[quantity]


FORMATS: Final = {
    Encoding.INTEGER: _INTEGER_FORMATS,
    Encoding.FLOAT32: {quantity: _as_float(quantity) for quantity in Quantity},
}
"""Encoding -> quantity -> how it is sent."""


def float32_octets(value: Fraction) -> bytes:
    """IEEE 754 binary32 nearest to ``value`` (ties to even), computed with integers.

    Raises UsageError beyond the largest finite number.
    """
    bits = _float32_bits(abs(value.numerator), value.denominator)
    if bits >= _INFINITY:
        raise UsageError(f"{value} is beyond float32")
    return ((value < 0) << 31 | bits).to_bytes(4, "big")


def _float32_bits(numerator: int, denominator: int) -> int:
    """Bits of the float32 nearest to a fraction that is not negative; overflow is infinity."""
    if not numerator:
        return 0
    exponent = numerator.bit_length() - denominator.bit_length()
    if numerator << max(-exponent, 0) < denominator << max(exponent, 0):
        exponent -= 1
    exponent = max(exponent, -126)
    shift = 23 - exponent
    mantissa, rest = divmod(numerator << max(shift, 0), divisor := denominator << max(-shift, 0))
    mantissa += 2 * rest > divisor or (2 * rest == divisor and mantissa & 1)
    # A mantissa that was rounded up to the next power of two carries into the exponent.
    biased = exponent + 126 if mantissa >= 1 << 23 else 0
    return min((biased << 23) + mantissa, _INFINITY)


def shortest_decimal(octets: bytes) -> Decimal:
    """The decimal with the fewest digits that is nearest to this finite float32."""
    (bits,) = struct.unpack(">I", octets)
    biased, mantissa = bits >> 23 & 0xFF, bits & 0x7F_FFFF
    if biased:
        mantissa |= 1 << 23
    exact = mantissa * Fraction(2) ** (max(biased, 1) - 150)
    if not exact:
        return Decimal(0)
    magnitude = _decimal_exponent(exact)
    for digits in range(1, 10):
        step = magnitude - digits + 1
        candidate = round(exact / Fraction(10) ** step)
        near = candidate * Fraction(10) ** step
        if _float32_bits(near.numerator, near.denominator) == bits & 0x7FFF_FFFF:
            return Decimal(-candidate if bits >> 31 else candidate).scaleb(step)
    raise AssertionError("nine digits tell all float32 numbers apart")


def _decimal_exponent(size: Fraction) -> int:
    """Power of ten of the first digit."""
    exponent = len(str(size.numerator)) - len(str(size.denominator))
    return exponent if Fraction(10) ** exponent <= size else exponent - 1
