"""GET service: request normal and next, response normal and with data block (Green Book 9.3.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.dlms.apdu.common import InvokeId, encode_descriptor, read_descriptor
from gateway.dlms.axdr.octets import OctetReader, counted, unsigned
from gateway.dlms.selective_access import SelectiveAccess, encode_access, read_access
from gateway.errors import DecodeError, UsageError
from gateway.model import Obis


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
        descriptor = encode_descriptor(self.class_id, self.obis, self.attribute)
        access = b"\x00" if self.access is None else b"\x01" + encode_access(self.access)
        return b"\xc0\x01" + self.invoke.encode() + descriptor + access


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


def encode_data_or_error(data: bytes | None, error: int | None) -> bytes:
    """CHOICE of data [0] and Data-Access-Result [1]."""
    if data is not None and error is None:
        return b"\x00" + data
    if error is not None and data is None:
        return b"\x01" + unsigned(error, 1, "result")
    raise UsageError("exactly one of data and error makes a response")


def read_get_request(reader: OctetReader) -> GetRequestNormal | GetRequestNext:
    """Read what stands behind tag 0xC0."""
    choice = reader.choice("request type", (1, 2, 3))
    if choice == 3:
        raise DecodeError("get-request-with-list is not supported", 1)
    invoke = InvokeId.read(reader)
    if choice == 2:
        number = reader.unsigned(4, "block number")
        reader.end()
        return GetRequestNext(invoke, number)
    class_id, obis, attribute = read_descriptor(reader)
    present = reader.flag("access-selection")
    access = read_access(reader, class_id) if present else None
    reader.end()
    return GetRequestNormal(invoke, class_id, obis, attribute, access)


def read_get_response(reader: OctetReader) -> GetResponseNormal | GetResponseWithDatablock:
    """Read what stands behind tag 0xC4."""
    choice = reader.choice("response type", (1, 2, 3))
    if choice == 3:
        raise DecodeError("get-response-with-list is not supported", 1)
    invoke = InvokeId.read(reader)
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
