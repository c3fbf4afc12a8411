"""ACTION service: request and response normal (Green Book 9.3.8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from gateway.dlms.apdu.common import InvokeId, encode_descriptor, read_descriptor
from gateway.dlms.apdu.get import encode_data_or_error
from gateway.dlms.axdr.octets import OctetReader, unsigned
from gateway.errors import DecodeError
from gateway.model import Obis

_REQUEST_TYPES = {
    2: "next-pblock",
    3: "with-list",
    4: "with-first-pblock",
    5: "with-list-and-first-pblock",
    6: "with-pblock",
}
_RESPONSE_TYPES = {2: "with-pblock", 3: "with-list", 4: "next-pblock"}


@dataclass(frozen=True, slots=True)
class ActionRequestNormal:
    """Invoke one method; ``data`` is its parameter as A-XDR, None where it has none."""

    TAG: ClassVar[int] = 0xC3
    invoke: InvokeId
    class_id: int
    obis: Obis
    method: int
    data: bytes | None = field(default=None, repr=False)  # may be a key

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        descriptor = encode_descriptor(self.class_id, self.obis, self.method)
        data = b"\x00" if self.data is None else b"\x01" + self.data
        return b"\xc3\x01" + self.invoke.encode() + descriptor + data


@dataclass(frozen=True, slots=True)
class ActionResponseNormal:
    """Outcome of a method: an ActionResult code, and what it returned if anything.

    Return parameters are A-XDR ``data`` or a DataAccessResult code ``error``; both None where
    the response carries none.
    """

    TAG: ClassVar[int] = 0xC7
    invoke: InvokeId
    result: int
    data: bytes | None = None
    error: int | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        head = b"\xc7\x01" + self.invoke.encode() + unsigned(self.result, 1, "result")
        if self.data is None and self.error is None:
            return head + b"\x00"
        return head + b"\x01" + encode_data_or_error(self.data, self.error)


def read_action_request(reader: OctetReader) -> ActionRequestNormal:
    """Read what stands behind tag 0xC3."""
    choice = reader.choice("request type", (1, *_REQUEST_TYPES))
    if choice != 1:
        raise DecodeError(f"action-request-{_REQUEST_TYPES[choice]} is not supported", 1)
    invoke = InvokeId.read(reader)
    class_id, obis, method = read_descriptor(reader)
    present = reader.flag("method-invocation-parameters")
    data = reader.value("method-invocation-parameters") if present else None
    reader.end()
    return ActionRequestNormal(invoke, class_id, obis, method, data)


def read_action_response(reader: OctetReader) -> ActionResponseNormal:
    """Read what stands behind tag 0xC7."""
    choice = reader.choice("response type", (1, *_RESPONSE_TYPES))
    if choice != 1:
        raise DecodeError(f"action-response-{_RESPONSE_TYPES[choice]} is not supported", 1)
    invoke = InvokeId.read(reader)
    result = reader.u8("result")
    data = error = None
    if reader.flag("return-parameters"):
        if reader.choice("return-parameters choice", (0, 1)) == 0:
            data = reader.value("return-parameters")
        else:
            error = reader.u8("data-access-result")
    reader.end()
    return ActionResponseNormal(invoke, result, data, error)
