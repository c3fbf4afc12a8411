"""Values with their names in the body of a push, whichever of the usual shapes it has.

Meters write lists as structures {logical name, value, {scaler, unit}}, as flat rows of logical name
and value, with or without scalers, or as bare values whose place is their meaning. All of them are
read by one walk: a logical name takes the value behind it, and a {scaler, unit} behind that.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from gateway.dlms.axdr import Data, Tag, float_to_decimal
from gateway.dlms.cosem_time import DEVIATION_LIMIT_MINUTES, CosemDateTime, TimeRules, resolve
from gateway.errors import DecodeError
from gateway.model import Obis, unit_name

_NAME_OCTETS: Final = 6
_TIME_OCTETS: Final = 12


class Body:
    """What a body holds: ``named`` by logical name, ``unnamed`` in order of appearance."""

    def __init__(self, data: Data) -> None:
        self.named: dict[str, dict[str, object]] = {}
        self.unnamed: list[object] = []
        self.positions: list[object] = []
        self.elements = 1
        self._walk([data])
        if data.tag in (Tag.ARRAY, Tag.STRUCTURE) and isinstance(data.value, tuple):
            self.elements = len(data.value)
            self.positions = [value_of(element) for element in data.value]

    def _walk(self, elements: Sequence[Data]) -> None:
        index = 0
        while index < len(elements):
            element = elements[index]
            if is_name(element) and index + 1 < len(elements):
                index += self._take(elements, index)
            elif isinstance(element.value, tuple) and _scaler_unit(element) is None:
                self._walk(element.value)
                index += 1
            else:
                if element.tag != Tag.NULL:
                    self.unnamed.append(value_of(element))
                index += 1

    def _take(self, elements: Sequence[Data], index: int) -> int:
        """Note a named value; how many elements it took."""
        name = Obis(bytes(elements[index].value)).dotted  # type: ignore[arg-type]  # is_name
        behind = elements[index + 2] if index + 2 < len(elements) else None
        scaling = _scaler_unit(behind) if behind is not None else None
        entry: dict[str, object] = {"value": value_of(elements[index + 1], scaling)}
        if scaling is not None:
            entry["unit"] = unit_name(scaling[1])
        self.named[name] = entry
        return 2 if scaling is None else 3


def is_name(element: Data) -> bool:
    """Whether an element is a logical name: six octets, the last 255."""
    return (
        element.tag == Tag.OCTET_STRING
        and isinstance(element.value, bytes)
        and len(element.value) == _NAME_OCTETS
        and element.value[5] == 0xFF
    )


def _scaler_unit(element: Data) -> tuple[int, int] | None:
    if element.tag != Tag.STRUCTURE or not isinstance(element.value, tuple):
        return None
    match [(member.tag, member.value) for member in element.value]:
        case [(Tag.INTEGER, int(scaler)), (Tag.ENUM, int(unit))]:
            return scaler, unit
        case _:
            return None


def value_of(element: Data, scaling: tuple[int, int] | None = None) -> object:
    """An exact value for people: scaled numbers, ISO times, text where octets are text.

    A float that is no number is None.
    """
    value = element.value
    if isinstance(value, tuple):
        return [value_of(member) for member in value]
    scaler = scaling[0] if scaling else 0
    if element.tag in (Tag.FLOAT32, Tag.FLOAT64) and isinstance(value, bytes):
        try:
            return shown_number(float_to_decimal(value).scaleb(scaler))
        except DecodeError:
            return None
    if isinstance(value, int) and not isinstance(value, bool):
        return shown_number(Decimal(value).scaleb(scaler))
    if isinstance(value, bytes):
        return octets_for_people(value)
    return value


def shown_number(number: Decimal) -> int | Decimal:
    """An int where there are no decimals, so that no exponent shows; else all digits sent."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # a finite number
    return number if exponent < 0 else int(number)


def octets_for_people(octets: bytes) -> str:
    """A date-time as ISO 8601, printable ASCII as text, everything else in hexadecimal."""
    if len(octets) == _TIME_OCTETS:
        shown = time_for_people(octets)
        if shown:
            return shown
    if octets and all(0x20 <= octet < 0x7F for octet in octets):
        return octets.decode("ascii")
    return octets.hex().upper()


def time_for_people(octets: bytes) -> str:
    """A date-time as its meter wrote it: with offset where the deviation is stated, else local.

    "" where it is none. The Blue Book's sign of the deviation is assumed, which shows as an
    offset of -05:30 at meters that send +330.
    """
    when = CosemDateTime.from_octets(octets)
    local = resolve(when, TimeRules(zone_minutes=0)).local
    # Neither "not specified" nor a deviation beyond any zone on earth says an offset.
    return local if abs(when.deviation_minutes) <= DEVIATION_LIMIT_MINUTES else local[:19]
