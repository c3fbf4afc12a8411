"""A-XDR of the shapes that COSEM attributes are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.dlms.axdr import Data, Tag, encode
from gateway.dlms.cosem_time import TimeRules, from_utc
from gateway.model import CaptureObject, Obis
from hil_tests.emulator.encodings import NumberFormat

NULL = Data(Tag.NULL, None)
NOT_SPECIFIED = bytes.fromhex("FFFFFFFFFFFFFFFFFF014A00")
"""The date-time that an Indian meter sends for "never" (as captured)."""


@dataclass(frozen=True, slots=True)
class StatedRules(TimeRules):
    """Rules of a meter whose times state another deviation than that of its zone."""

    stated_minutes: int = 0


def octet_string(octets: bytes) -> Data:
    """An octet-string."""
    return Data(Tag.OCTET_STRING, octets)


def visible_string(text: str) -> Data:
    """A visible-string."""
    return Data(Tag.VISIBLE_STRING, text)


def unsigned(value: int) -> Data:
    """An unsigned of 1 octet."""
    return Data(Tag.UNSIGNED, value)


def long_unsigned(value: int) -> Data:
    """A long-unsigned of 2 octets."""
    return Data(Tag.LONG_UNSIGNED, value)


def double_long_unsigned(value: int) -> Data:
    """A double-long-unsigned of 4 octets."""
    return Data(Tag.DOUBLE_LONG_UNSIGNED, value)


def integer(value: int) -> Data:
    """An integer of 1 octet."""
    return Data(Tag.INTEGER, value)


def enum(value: int) -> Data:
    """An enum."""
    return Data(Tag.ENUM, value)


def boolean(value: bool) -> Data:
    """A boolean."""
    return Data(Tag.BOOLEAN, value)


def structure(*fields: Data) -> Data:
    """A structure."""
    return Data(Tag.STRUCTURE, fields)


def array(elements: Iterable[Data]) -> Data:
    """An array."""
    return Data(Tag.ARRAY, tuple(elements))


def scaler_unit(number: NumberFormat) -> Data:
    """scaler_unit of a register: {integer, enum}."""
    return structure(integer(number.scaler), enum(number.unit))


def capture_definition(source: CaptureObject) -> Data:
    """capture_object_definition of a profile."""
    return structure(
        long_unsigned(source.class_id),
        octet_string(source.obis.octets),
        integer(source.attribute),
        long_unsigned(source.data_index),
    )


def date_time(utc_s: int, rules: TimeRules) -> Data:
    """A date-time in its usual dress: octet-string of 12."""
    time = from_utc(utc_s, rules)
    if isinstance(rules, StatedRules):
        time = replace(time, deviation_minutes=rules.stated_minutes)
    return octet_string(time.to_octets())


def logical_name(obis: Obis) -> Data:
    """Attribute 1 of every object."""
    return octet_string(obis.octets)


__all__ = ["Data", "Tag", "encode"]
