"""What the requests with list and with blocks share: descriptors, values and data blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from gateway.dlms.apdu.common import encode_descriptor, read_descriptor
from gateway.dlms.axdr.decoder import decode_at
from gateway.dlms.axdr.octets import OctetReader, counted, encode_length, unsigned
from gateway.dlms.selective_access import SelectiveAccess, encode_access, read_access
from gateway.errors import DecodeError
from gateway.model import Obis

_Item = TypeVar("_Item")

ATTRIBUTE_OCTETS: Final = 10
"""The least an attribute of a list takes."""


class AttributeItem(NamedTuple):
    """One attribute of a list, or a selection of it."""

    class_id: int
    obis: Obis
    attribute: int
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        """Cosem-Attribute-Descriptor-With-Selection."""
        access = b"\x00" if self.access is None else b"\x01" + encode_access(self.access)
        return encode_descriptor(self.class_id, self.obis, self.attribute) + access

    @classmethod
    def read(cls, reader: OctetReader) -> AttributeItem:
        """Read what ``encode`` wrote."""
        class_id, obis, attribute = read_descriptor(reader)
        present = reader.flag("access-selection")
        return cls(class_id, obis, attribute, read_access(reader, class_id) if present else None)


class MethodItem(NamedTuple):
    """One method of a list."""

    class_id: int
    obis: Obis
    method: int

    def encode(self) -> bytes:
        """Cosem-Method-Descriptor."""
        return encode_descriptor(self.class_id, self.obis, self.method)

    @classmethod
    def read(cls, reader: OctetReader) -> MethodItem:
        """Read what ``encode`` wrote."""
        return cls(*read_descriptor(reader))


@dataclass(frozen=True, slots=True)
class DataBlock:
    """DataBlock-SA: block ``number`` (from 1) of a long SET or ACTION, raw octets."""

    last: bool
    number: int
    data: bytes = field(repr=False)  # may be part of a key

    def encode(self) -> bytes:
        """Its octets inside an APDU."""
        last = b"\x01" if self.last else b"\x00"
        return last + unsigned(self.number, 4, "block number") + counted(self.data)

    @classmethod
    def read(cls, reader: OctetReader) -> DataBlock:
        """Read what ``encode`` wrote."""
        last = reader.flag("last-block")
        return cls(last, reader.unsigned(4, "block number"), reader.counted("raw-data"))


def encode_sequence(elements: Sequence[bytes]) -> bytes:
    """SEQUENCE OF whatever the elements are."""
    return encode_length(len(elements)) + b"".join(elements)


def read_sequence(
    reader: OctetReader, field_name: str, least_octets: int, read: Callable[[OctetReader], _Item]
) -> tuple[_Item, ...]:
    """The elements, each of ``least_octets`` or more: a count that cannot fit is refused."""
    where = reader.offset
    count = reader.length(f"number of {field_name}")
    if count * least_octets > reader.remaining:
        raise DecodeError(
            f"{reader.what}: {count} {field_name} claimed in {reader.remaining} octet(s)", where
        )
    return tuple(read(reader) for _ in range(count))


def read_value(reader: OctetReader) -> bytes:
    """The octets of one A-XDR value, which something may follow."""
    start = reader.offset
    _, reader.offset = decode_at(reader.octets, start)
    return reader.octets[start : reader.offset]


def check_pairs(reader: OctetReader, items: int, values: int) -> None:
    """A list has one value for each of its descriptors; raise DecodeError."""
    if items != values:
        raise DecodeError(f"{reader.what}: {values} values for {items} descriptors", reader.offset)
