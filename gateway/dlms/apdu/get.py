"""GET service: requests normal, next and with list, and their responses (Green Book 9.3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from gateway.dlms.apdu.common import InvokeId, encode_descriptor, read_descriptor
from gateway.dlms.axdr import decode_at
from gateway.dlms.axdr.octets import OctetReader, counted, encode_length, unsigned
from gateway.dlms.selective_access import SelectiveAccess, encode_access, read_access
from gateway.errors import DecodeError, UsageError
from gateway.model import Obis

_ITEM_OCTETS: Final = 10
"""The least an attribute of a list takes."""


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
        item = _encode_item(self.class_id, self.obis, self.attribute, self.access)
        return b"\xc0\x01" + self.invoke.encode() + item


@dataclass(frozen=True, slots=True)
class GetRequestNext:
    """Acknowledge block ``number`` and ask for the one behind it."""

    TAG: ClassVar[int] = 0xC0
    invoke: InvokeId
    number: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc0\x02" + self.invoke.encode() + unsigned(self.number, 4, "block number")


class GetItem(NamedTuple):
    """One attribute of a list, or a selection of it."""

    class_id: int
    obis: Obis
    attribute: int
    access: SelectiveAccess | None = None


@dataclass(frozen=True, slots=True)
class GetRequestWithList:
    """Read several attributes at once."""

    TAG: ClassVar[int] = 0xC0
    invoke: InvokeId
    items: tuple[GetItem, ...]

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        items = b"".join(_encode_item(*item) for item in self.items)
        return b"\xc0\x03" + self.invoke.encode() + encode_length(len(self.items)) + items


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
    return encode_length(len(results)) + b"".join(
        encode_data_or_error(*((one, None) if isinstance(one, bytes) else (None, one)))
        for one in results
    )


def read_results(reader: OctetReader) -> tuple[bytes | int, ...]:
    """The results that ``encode_results`` wrote, and nothing behind them."""
    count = reader.length("number of results")
    if count > reader.remaining // 2:
        raise DecodeError(f"{reader.what}: {count} results do not fit", reader.offset)
    results: list[bytes | int] = []
    for _ in range(count):
        if reader.choice("result choice", (0, 1)) == 1:
            results.append(reader.u8("data-access-result"))
            continue
        start = reader.offset
        _, reader.offset = decode_at(reader.octets, start)
        results.append(reader.octets[start : reader.offset])
    reader.end()
    return tuple(results)


def _encode_item(
    class_id: int, obis: Obis, attribute: int, access: SelectiveAccess | None
) -> bytes:
    selection = b"\x00" if access is None else b"\x01" + encode_access(access)
    return encode_descriptor(class_id, obis, attribute) + selection


def _read_item(reader: OctetReader) -> GetItem:
    class_id, obis, attribute = read_descriptor(reader)
    present = reader.flag("access-selection")
    return GetItem(class_id, obis, attribute, read_access(reader, class_id) if present else None)


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
        request = GetRequestNormal(invoke, *_read_item(reader))
    elif choice == 2:
        request = GetRequestNext(invoke, reader.unsigned(4, "block number"))
    else:
        count = reader.length("number of attributes")
        if count > reader.remaining // _ITEM_OCTETS:
            raise DecodeError(f"{reader.what}: {count} attributes do not fit", reader.offset)
        request = GetRequestWithList(invoke, tuple(_read_item(reader) for _ in range(count)))
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
