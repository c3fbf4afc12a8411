"""Selective access to a profile buffer: by range and by entry (Blue Book class 7, attribute 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.dlms import axdr
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.axdr.octets import OctetReader, unsigned
from gateway.errors import DecodeError
from gateway.model import CaptureObject, Obis

CLOCK_TIME: Final = CaptureObject(8, Obis(bytes((0, 0, 1, 0, 0, 255))), 2)
"""The clock's time, which rows are nearly always restricted by."""
_PROFILE_GENERIC: Final = 7


@dataclass(frozen=True, slots=True)
class RangeDescriptor:
    """Rows whose ``restricting`` column lies in ``from_value``..``to_value``, both inclusive.

    Bounds of the clock are an octet-string of 12 octets (``clock_bound``). ``columns`` empty
    means all of them.
    """

    SELECTOR: ClassVar[int] = 1
    from_value: Data
    to_value: Data
    restricting: CaptureObject = CLOCK_TIME
    columns: tuple[CaptureObject, ...] = ()

    def parameters(self) -> Data:
        """The access parameters: a structure of four."""
        columns = Data(Tag.ARRAY, tuple(map(capture_definition, self.columns)))
        members = (capture_definition(self.restricting), self.from_value, self.to_value, columns)
        return Data(Tag.STRUCTURE, members)


@dataclass(frozen=True, slots=True)
class EntryDescriptor:
    """Rows and columns by number, counted from 1; 0 as an upper bound means the last."""

    SELECTOR: ClassVar[int] = 2
    from_entry: int
    to_entry: int
    from_column: int = 1
    to_column: int = 0

    def parameters(self) -> Data:
        """The access parameters: a structure of four."""
        return Data(
            Tag.STRUCTURE,
            (
                Data(Tag.DOUBLE_LONG_UNSIGNED, self.from_entry),
                Data(Tag.DOUBLE_LONG_UNSIGNED, self.to_entry),
                Data(Tag.LONG_UNSIGNED, self.from_column),
                Data(Tag.LONG_UNSIGNED, self.to_column),
            ),
        )


@dataclass(frozen=True, slots=True)
class OtherAccess:
    """A selector of another class, or one that this product does not speak."""

    selector: int
    data: Data

    def parameters(self) -> Data:
        """The access parameters as received."""
        return self.data


SelectiveAccess = RangeDescriptor | EntryDescriptor | OtherAccess


def clock_bound(date_time: bytes) -> Data:
    """A bound of the clock column: date-time of 12 octets as octet-string."""
    return Data(Tag.OCTET_STRING, date_time)


def encode_access(access: SelectiveAccess) -> bytes:
    """Access selector and parameters, as they stand in a GET or SET request."""
    selector = access.selector if isinstance(access, OtherAccess) else access.SELECTOR
    return unsigned(selector, 1, "access selector") + axdr.encode(access.parameters())


def read_access(reader: OctetReader, class_id: int) -> SelectiveAccess:
    """Read selector and parameters; selectors 1 and 2 mean range and entry in class 7 only.

    Raises DecodeError.
    """
    selector = reader.u8("access selector")
    where = reader.offset
    data, reader.offset = axdr.decode_at(reader.octets, where)
    if class_id == _PROFILE_GENERIC and selector == RangeDescriptor.SELECTOR:
        return _range(data, where)
    if class_id == _PROFILE_GENERIC and selector == EntryDescriptor.SELECTOR:
        return _entry(data, where)
    return OtherAccess(selector, data)


def _range(data: Data, where: int) -> RangeDescriptor:
    restricting, low, high, columns = _members(data, 4, "range descriptor", where)
    if columns.tag != Tag.ARRAY or not isinstance(columns.value, tuple):
        raise DecodeError("range descriptor: selected columns are not an array", where)
    selected = tuple(_column(column, where) for column in columns.value)
    return RangeDescriptor(low, high, _column(restricting, where), selected)


def _entry(data: Data, where: int) -> EntryDescriptor:
    tags = (Tag.DOUBLE_LONG_UNSIGNED,) * 2 + (Tag.LONG_UNSIGNED,) * 2
    numbers = [
        _number(member, tag, "entry descriptor", where)
        for member, tag in zip(_members(data, 4, "entry descriptor", where), tags, strict=True)
    ]
    return EntryDescriptor(*numbers)


def capture_definition(column: CaptureObject) -> Data:
    """capture_object_definition: {class, logical name, attribute, data index}."""
    return Data(
        Tag.STRUCTURE,
        (
            Data(Tag.LONG_UNSIGNED, column.class_id),
            Data(Tag.OCTET_STRING, column.obis.octets),
            Data(Tag.INTEGER, column.attribute),
            Data(Tag.LONG_UNSIGNED, column.data_index),
        ),
    )


def _column(data: Data, where: int) -> CaptureObject:
    what = "capture object definition"
    class_id, name, attribute, index = _members(data, 4, what, where)
    if name.tag != Tag.OCTET_STRING or not isinstance(name.value, bytes) or len(name.value) != 6:
        raise DecodeError(f"{what}: logical name is not an octet-string of 6", where)
    return CaptureObject(
        _number(class_id, Tag.LONG_UNSIGNED, what, where),
        Obis(name.value),
        _number(attribute, Tag.INTEGER, what, where),
        _number(index, Tag.LONG_UNSIGNED, what, where),
    )


def _members(data: Data, count: int, what: str, where: int) -> tuple[Data, ...]:
    if data.tag != Tag.STRUCTURE or not isinstance(data.value, tuple) or len(data.value) != count:
        raise DecodeError(f"{what}: not a structure of {count}", where)
    return data.value


def _number(data: Data, tag: int, what: str, where: int) -> int:
    if data.tag != tag or not isinstance(data.value, int):
        raise DecodeError(f"{what}: a member has type {data.tag}, allowed: {tag}", where)
    return data.value
