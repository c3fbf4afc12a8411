"""GET service: requests normal, next and with list, and their responses (Green Book 9.3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.dlms.apdu.common import InvokeId
from gateway.dlms.apdu.lists import (
    ATTRIBUTE_OCTETS,
    AttributeItem,
    encode_sequence,
    read_sequence,
    read_value,
)
from gateway.dlms.axdr.octets import OctetReader, counted, unsigned
from gateway.dlms.selective_access import SelectiveAccess
from gateway.errors import UsageError
from gateway.model import Obis

_RESULT_OCTETS: Final = 2
"""The least a result of a list takes."""


@dataclass(frozen=True, slots=True)
class GetRequestNormal:
    """Read one attribute, or a selection of it."""

    TAG: ClassVar[int] = 0xC0
    invoke: InvokeId
    class_id: int
    obis: Obis
    attribute: int
    access: SelectiveAccess | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        item = AttributeItem(self.class_id, self.obis, self.attribute, self.access)
        return b"\xc0\x01" + self.invoke.encode() + item.encode()


@dataclass(frozen=True, slots=True)
class GetRequestNext:
    """Acknowledge block ``number`` and ask for the one behind it."""

    TAG: ClassVar[int] = 0xC0
    invoke: InvokeId
    number: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc0\x02" + self.invoke.encode() + unsigned(self.number, 4, "block number")


@dataclass(frozen=True, slots=True)
class GetRequestWithList:
    """Read several attributes at once."""

    TAG: ClassVar[int] = 0xC0
    invoke: InvokeId
    items: tuple[AttributeItem, ...]

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        items = encode_sequence([item.encode() for item in self.items])
        return b"\xc0\x03" + self.invoke.encode() + items


@dataclass(frozen=True, slots=True)
class GetResponseNormal:
    """The attribute as A-XDR octets, or why not.

    Exactly one of ``data`` and ``error`` (DataAccessResult code) is given. Octets behind the
    value are kept in ``data``: some meters send them, and whoever decodes decides.
    """

    TAG: ClassVar[int] = 0xC4
    invoke: InvokeId
    data: bytes | None = None
    error: int | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc4\x01" + self.invoke.encode() + encode_data_or_error(self.data, self.error)


@dataclass(frozen=True, slots=True)
class GetResponseWithDatablock:
    """One block of a long answer: raw octets, or why there is none."""

    TAG: ClassVar[int] = 0xC4
    invoke: InvokeId
    last: bool
    number: int
    data: bytes | None = None
    error: int | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        head = b"\xc4\x02" + self.invoke.encode() + (b"\x01" if self.last else b"\x00")
        raw = None if self.data is None else counted(self.data)
        number = unsigned(self.number, 4, "block number")
        return head + number + encode_data_or_error(raw, self.error)


@dataclass(frozen=True, slots=True)
class GetResponseWithList:
    """The answers to a list in its order: each the A-XDR octets, or a DataAccessResult code."""

    TAG: ClassVar[int] = 0xC4
    invoke: InvokeId
    results: tuple[bytes | int, ...]

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc4\x03" + self.invoke.encode() + encode_results(self.results)


def encode_results(results: Sequence[bytes | int]) -> bytes:
    """SEQUENCE OF Get-Data-Result; also what the blocks of a long list carry."""
    return encode_sequence(
        [
            encode_data_or_error(*((one, None) if isinstance(one, bytes) else (None, one)))
            for one in results
        ]
    )


def read_results(reader: OctetReader) -> tuple[bytes | int, ...]:
    """The results that ``encode_results`` wrote, and nothing behind them."""
    results = read_sequence(reader, "results", _RESULT_OCTETS, _read_result)
    reader.end()
    return results


def _read_result(reader: OctetReader) -> bytes | int:
    if reader.choice("result choice", (0, 1)) == 1:
        return reader.u8("data-access-result")
    return read_value(reader)


def encode_data_or_error(data: bytes | None, error: int | None) -> bytes:
    """CHOICE of data [0] and Data-Access-Result [1]."""
    if data is not None and error is None:
        return b"\x00" + data
    if error is not None and data is None:
        return b"\x01" + unsigned(error, 1, "result")
    raise UsageError("exactly one of data and error makes a response")


def read_get_request(
    reader: OctetReader,
) -> GetRequestNormal | GetRequestNext | GetRequestWithList:
    """Read what stands behind tag 0xC0."""
    choice = reader.choice("request type", (1, 2, 3))
    invoke = InvokeId.read(reader)
    request: GetRequestNormal | GetRequestNext | GetRequestWithList
    if choice == 1:
        request = GetRequestNormal(invoke, *AttributeItem.read(reader))
    elif choice == 2:
        request = GetRequestNext(invoke, reader.unsigned(4, "block number"))
    else:
        items = read_sequence(reader, "attributes", ATTRIBUTE_OCTETS, AttributeItem.read)
        request = GetRequestWithList(invoke, items)
    reader.end()
    return request


def read_get_response(
    reader: OctetReader,
) -> GetResponseNormal | GetResponseWithDatablock | GetResponseWithList:
    """Read what stands behind tag 0xC4."""
    choice = reader.choice("response type", (1, 2, 3))
    invoke = InvokeId.read(reader)
    if choice == 3:
        return GetResponseWithList(invoke, read_results(reader))
    if choice == 1:
        if reader.choice("result choice", (0, 1)) == 0:
            return GetResponseNormal(invoke, reader.value("data"))
        error = reader.u8("data-access-result")
        reader.end()
        return GetResponseNormal(invoke, error=error)
    last = reader.flag("last-block")
    number = reader.unsigned(4, "block number")
    if reader.choice("result choice", (0, 1)) == 0:
        data, error_code = reader.counted("raw-data"), None
    else:
        data, error_code = None, reader.u8("data-access-result")
    reader.end()
    return GetResponseWithDatablock(invoke, last, number, data, error_code)
