"""SET service: request and response normal (Green Book 9.3.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gateway.dlms.apdu.common import InvokeId, encode_descriptor, read_descriptor
from gateway.dlms.axdr.octets import OctetReader, unsigned
from gateway.dlms.selective_access import SelectiveAccess, encode_access, read_access
from gateway.errors import DecodeError
from gateway.model import Obis

_REQUEST_TYPES = {
    2: "with-first-datablock",
    3: "with-datablock",
    4: "with-list",
    5: "with-list-and-first-datablock",
}
_RESPONSE_TYPES = {
    2: "datablock",
    3: "last-datablock",
    4: "last-datablock-with-list",
    5: "with-list",
}


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
        descriptor = encode_descriptor(self.class_id, self.obis, self.attribute)
        access = b"\x00" if self.access is None else b"\x01" + encode_access(self.access)
        return b"\xc1\x01" + self.invoke.encode() + descriptor + access + self.data


@dataclass(frozen=True, slots=True)
class SetResponseNormal:
    """Outcome of a write: a DataAccessResult code, 0 is success."""

    TAG: ClassVar[int] = 0xC5
    invoke: InvokeId
    result: int

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\xc5\x01" + self.invoke.encode() + unsigned(self.result, 1, "result")


def read_set_request(reader: OctetReader) -> SetRequestNormal:
    """Read what stands behind tag 0xC1."""
    choice = reader.choice("request type", (1, *_REQUEST_TYPES))
    if choice != 1:
        raise DecodeError(f"set-request-{_REQUEST_TYPES[choice]} is not supported", 1)
    invoke = InvokeId.read(reader)
    class_id, obis, attribute = read_descriptor(reader)
    present = reader.flag("access-selection")
    access = read_access(reader, class_id) if present else None
    return SetRequestNormal(invoke, class_id, obis, attribute, reader.value("data"), access)


def read_set_response(reader: OctetReader) -> SetResponseNormal:
    """Read what stands behind tag 0xC5."""
    choice = reader.choice("response type", (1, *_RESPONSE_TYPES))
    if choice != 1:
        raise DecodeError(f"set-response-{_RESPONSE_TYPES[choice]} is not supported", 1)
    response = SetResponseNormal(InvokeId.read(reader), reader.u8("result"))
    reader.end()
    return response
