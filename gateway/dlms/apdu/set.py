"""SET service: normal, with list and with data blocks (Green Book 9.3.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gateway.dlms.apdu.common import InvokeId
from gateway.dlms.apdu.lists import (
    ATTRIBUTE_OCTETS,
    AttributeItem,
    DataBlock,
    check_pairs,
    encode_sequence,
    read_sequence,
    read_value,
)
from gateway.dlms.axdr.octets import OctetReader, unsigned
from gateway.dlms.selective_access import SelectiveAccess
from gateway.model import Obis


@dataclass(frozen=True, slots=True)
class SetRequestNormal:
    """Write one attribute; ``data`` is A-XDR."""

    TAG: ClassVar[int] = 0xC1
    invoke: InvokeId
    class_id: int
    obis: Obis
    attribute: int
    data: bytes = field(repr=False)  # may be a new secret
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        item = AttributeItem(self.class_id, self.obis, self.attribute, self.access)
        return b"\xc1\x01" + self.invoke.encode() + item.encode() + self.data


@dataclass(frozen=True, slots=True)
class SetResponseNormal:
    """Outcome of a write: a DataAccessResult code, 0 is success."""

    TAG: ClassVar[int] = 0xC5
    invoke: InvokeId
    result: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc5\x01" + self.invoke.encode() + unsigned(self.result, 1, "result")


@dataclass(frozen=True, slots=True)
class SetRequestFirstBlock:
    """Begin a long write of one attribute."""

    TAG: ClassVar[int] = 0xC1
    invoke: InvokeId
    item: AttributeItem
    block: DataBlock

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc1\x02" + self.invoke.encode() + self.item.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetRequestBlock:
    """Go on with a long write."""

    TAG: ClassVar[int] = 0xC1
    invoke: InvokeId
    block: DataBlock

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc1\x03" + self.invoke.encode() + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetRequestWithList:
    """Write several attributes; ``values`` are A-XDR, one for each item."""

    TAG: ClassVar[int] = 0xC1
    invoke: InvokeId
    items: tuple[AttributeItem, ...]
    values: tuple[bytes, ...] = field(repr=False)  # may be new secrets

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        items = encode_sequence([item.encode() for item in self.items])
        return b"\xc1\x04" + self.invoke.encode() + items + encode_sequence(self.values)


@dataclass(frozen=True, slots=True)
class SetRequestListFirstBlock:
    """Begin a long write of several attributes; the blocks carry their value list."""

    TAG: ClassVar[int] = 0xC1
    invoke: InvokeId
    items: tuple[AttributeItem, ...]
    block: DataBlock

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        items = encode_sequence([item.encode() for item in self.items])
        return b"\xc1\x05" + self.invoke.encode() + items + self.block.encode()


@dataclass(frozen=True, slots=True)
class SetResponseBlock:
    """Block ``number`` has come; the next one may."""

    TAG: ClassVar[int] = 0xC5
    invoke: InvokeId
    number: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc5\x02" + self.invoke.encode() + unsigned(self.number, 4, "block number")


@dataclass(frozen=True, slots=True)
class SetResponseLastBlock:
    """Outcome of a long write (DataAccessResult code), told at block ``number``."""

    TAG: ClassVar[int] = 0xC5
    invoke: InvokeId
    result: int
    number: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        number = unsigned(self.number, 4, "block number")
        return b"\xc5\x03" + self.invoke.encode() + unsigned(self.result, 1, "result") + number


@dataclass(frozen=True, slots=True)
class SetResponseListLastBlock:
    """Outcomes of a long write of several attributes, told at block ``number``."""

    TAG: ClassVar[int] = 0xC5
    invoke: InvokeId
    results: tuple[int, ...]
    number: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        number = unsigned(self.number, 4, "block number")
        return b"\xc5\x04" + self.invoke.encode() + _encode_results(self.results) + number


@dataclass(frozen=True, slots=True)
class SetResponseWithList:
    """Outcomes of a write of several attributes in its order: DataAccessResult codes."""

    TAG: ClassVar[int] = 0xC5
    invoke: InvokeId
    results: tuple[int, ...]

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc5\x05" + self.invoke.encode() + _encode_results(self.results)


SetRequest = (
    SetRequestNormal
    | SetRequestFirstBlock
    | SetRequestBlock
    | SetRequestWithList
    | SetRequestListFirstBlock
)
SetResponse = (
    SetResponseNormal
    | SetResponseBlock
    | SetResponseLastBlock
    | SetResponseListLastBlock
    | SetResponseWithList
)


def read_set_request(reader: OctetReader) -> SetRequest:
    """Read what stands behind tag 0xC1."""
    choice = reader.choice("request type", (1, 2, 3, 4, 5))
    invoke = InvokeId.read(reader)
    request: SetRequest
    if choice == 1:
        class_id, obis, attribute, access = AttributeItem.read(reader)
        return SetRequestNormal(invoke, class_id, obis, attribute, reader.value("data"), access)
    if choice == 2:
        request = SetRequestFirstBlock(invoke, AttributeItem.read(reader), DataBlock.read(reader))
    elif choice == 3:
        request = SetRequestBlock(invoke, DataBlock.read(reader))
    else:
        items = read_sequence(reader, "attributes", ATTRIBUTE_OCTETS, AttributeItem.read)
        if choice == 4:
            values = read_sequence(reader, "values", 1, read_value)
            check_pairs(reader, len(items), len(values))
            request = SetRequestWithList(invoke, items, values)
        else:
            request = SetRequestListFirstBlock(invoke, items, DataBlock.read(reader))
    reader.end()
    return request


def read_set_response(reader: OctetReader) -> SetResponse:
    """Read what stands behind tag 0xC5."""
    choice = reader.choice("response type", (1, 2, 3, 4, 5))
    invoke = InvokeId.read(reader)
    response: SetResponse
    if choice == 1:
        response = SetResponseNormal(invoke, reader.u8("result"))
    elif choice == 2:
        response = SetResponseBlock(invoke, reader.unsigned(4, "block number"))
    elif choice == 3:
        result = reader.u8("result")
        response = SetResponseLastBlock(invoke, result, reader.unsigned(4, "block number"))
    else:
        results = tuple(reader.counted("results"))
        if choice == 4:
            number = reader.unsigned(4, "block number")
            response = SetResponseListLastBlock(invoke, results, number)
        else:
            response = SetResponseWithList(invoke, results)
    reader.end()
    return response


def _encode_results(results: tuple[int, ...]) -> bytes:
    return encode_sequence([unsigned(result, 1, "result") for result in results])
