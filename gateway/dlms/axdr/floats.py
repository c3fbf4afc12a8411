"""float32 and float64 registers as exact decimals.

A meter that counts 4.62 kWh in float32 sends 4.61999988555908203125; what it means is the
shortest decimal that becomes the same octets again. That decimal is the value here, so no
binary float leaves this module.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Final

from gateway.errors import DecodeError

_FORMATS: Final = {4: (struct.Struct(">f"), 9), 8: (struct.Struct(">d"), 17)}
"""Octets -> (format, digits that always suffice; IEEE 754)."""


def float_to_decimal(octets: bytes) -> Decimal:
    """The shortest decimal that rounds to this float32 (4 octets) or float64 (8 octets).

    Negative zero becomes zero. Raises DecodeError for NaN, infinity and other lengths.
    """
    if len(octets) not in _FORMATS:
        raise DecodeError(f"a float has 4 or 8 octets, not {len(octets)}")
    coder, digits = _FORMATS[len(octets)]
    (number,) = coder.unpack(octets)
    if not math.isfinite(number):
        raise DecodeError(f"float {octets.hex()} is no number ({number})")
    if number == 0:
        return Decimal(0)
    for precision in range(1, digits):
        shortest = Decimal(f"{number:.{precision}g}")
        try:
            if coder.pack(shortest) == octets:
                return shortest
        except OverflowError:  # rounded up past the largest float
            continue
    return Decimal(f"{number:.{digits}g}")
