"""Number formats against the host's own floating point, which the emulator does not use."""

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.axdr import float_to_decimal
from gateway.errors import UsageError
from hil_tests.emulator.encodings import (
    FORMATS,
    Encoding,
    Quantity,
    float32_octets,
    shortest_decimal,
)

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(number=finite)
def test_float32_octets_are_those_of_the_host(number):
    if number:
        assert float32_octets(Fraction(number)) == struct.pack(">f", number)


@given(value=st.fractions(-(10**12), 10**12, max_denominator=10**6))
def test_any_fraction_becomes_the_nearest_float32(value):
    octets = float32_octets(value)
    (found,) = struct.unpack(">f", octets)
    bits = int.from_bytes(octets, "big")
    for neighbour in (bits - 1, bits + 1):
        (near,) = struct.unpack(">f", (neighbour & 0xFFFF_FFFF).to_bytes(4, "big"))
        if abs(near) < float("inf"):
            assert abs(Fraction(found) - value) <= abs(Fraction(near) - value)


@pytest.mark.parametrize(
    ("value", "nearest"),
    [(2**24 + 1, 2**24), (2**24 + 3, 2**24 + 4), (Fraction(1, 2**150), 0), (2**25 - 1, 2**25)],
)
def test_a_tie_goes_to_the_even_mantissa(value, nearest):
    assert float32_octets(Fraction(value)) == struct.pack(">f", nearest)


@given(number=finite)
def test_the_shortest_decimal_comes_back_and_no_shorter_one_does(number):
    octets = struct.pack(">f", number)
    shown = shortest_decimal(octets)
    assert struct.pack(">f", float(shown)) == octets or not number
    digits = len(shown.normalize().as_tuple().digits)
    if digits > 1:
        shorter = f"{number:.{digits - 2}e}"
        assert struct.pack(">f", float(shorter)) != octets


@given(number=finite)
def test_two_implementations_of_the_shortest_decimal_agree(number):
    octets = struct.pack(">f", number)
    assert shortest_decimal(octets) == float_to_decimal(octets)


@pytest.mark.parametrize(
    ("encoding", "quantity", "value", "number", "shown"),
    [
        # Raw octets of real single-phase meters: 12 59D7 with scaler -2, 06 0000005F with +1.
        (Encoding.INTEGER, Quantity.VOLTAGE, "229.99", 0x59D7, "229.99"),
        (Encoding.INTEGER, Quantity.ACTIVE_ENERGY, "950", 0x5F, "950"),
        (Encoding.INTEGER, Quantity.ACTIVE_ENERGY, "959", 0x5F, "950"),
        (Encoding.INTEGER, Quantity.POWER_FACTOR, "1", 0x64, "1.00"),
        (Encoding.INTEGER, Quantity.FREQUENCY, "50.03", 0x01F4, "50.0"),
        (Encoding.FLOAT32, Quantity.ACTIVE_ENERGY, "4684814", bytes.fromhex("45926683"), "4684814"),
        (Encoding.FLOAT32, Quantity.BLOCK_ACTIVE_ENERGY, "4620", bytes.fromhex("4093d70a"), "4620"),
        (Encoding.FLOAT32, Quantity.VOLTAGE, "0", bytes(4), "0"),
    ],
)
def test_a_quantity_is_sent_as_its_meter_sends_it(encoding, quantity, value, number, shown):
    number_format = FORMATS[encoding][quantity]
    assert number_format.number(Fraction(value)) == number
    assert number_format.shown(Fraction(value)) == Decimal(shown)


def test_a_value_beyond_its_type_is_refused():
    with pytest.raises(UsageError, match="does not fit"):
        FORMATS[Encoding.INTEGER][Quantity.VOLTAGE].number(Fraction(656))
    with pytest.raises(UsageError, match="beyond float32"):
        float32_octets(Fraction(2) ** 128)
