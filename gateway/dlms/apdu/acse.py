"""ACSE: AARQ, AARE, RLRQ, RLRE in BER (ISO 8650-1 as profiled by Green Book 9.4.2).

Only the fields that DLMS uses have a place here; other optional fields (protocol-version,
called titles, invocation identifiers, implementation information) are taken and passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final

from gateway.dlms.apdu.results import (
    AssociationResult,
    NamedCode,
    ProviderDiagnostic,
    UserDiagnostic,
)
from gateway.dlms.axdr.octets import OctetReader, counted, length_at, unsigned
from gateway.errors import DecodeError, UsageError
from gateway.model import Secret

_OID_CONTEXT: Final = bytes.fromhex("60857405 0801")
"""2.16.756.5.8.1: application contexts of the DLMS user association."""
_OID_MECHANISM: Final = bytes.fromhex("60857405 0802")
"""2.16.756.5.8.2: authentication mechanisms of the DLMS user association."""
_ACSE_REQUIREMENTS: Final = b"\x02\x07\x80"
"""BIT STRING with the authentication functional unit alone."""


class ApplicationContext(IntEnum):
    """Last arc of the application context name."""

    LN = 1
    SN = 2
    LN_CIPHERED = 3
    SN_CIPHERED = 4


class Mechanism(IntEnum):
    """Last arc of the authentication mechanism name."""

    NONE = 0
    LLS = 1
    HLS = 2
    """Manufacturer specific."""
    HLS_MD5 = 3
    HLS_SHA1 = 4
    HLS_GMAC = 5
    HLS_SHA256 = 6
    HLS_ECDSA = 7


class ReleaseReason(NamedCode):
    """Reason of an RLRQ or RLRE; 1 is urgent in the request, not-finished in the response."""

    NORMAL = 0
    URGENT = 1
    USER_DEFINED = 30


class DiagnosticSource(NamedCode):
    """Who explains the result of an AARE."""

    ACSE_SERVICE_USER = 1
    ACSE_SERVICE_PROVIDER = 2


@dataclass(frozen=True, slots=True)
class Aarq:
    """A-associate request.

    ``mechanism`` 0 is no authentication. ``authentication`` is the LLS password or the client's
    HLS challenge; ``user_information`` an InitiateRequest, plain or ciphered.
    """

    TAG: ClassVar[int] = 0x60
    application_context: int
    user_information: bytes | None = field(repr=False)  # may hold a dedicated key
    mechanism: int = Mechanism.NONE
    authentication: Secret | None = None
    calling_ap_title: bytes | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\x60" + counted(
            _encode_context(self.application_context)
            + _encode_octets(0xA6, self.calling_ap_title)
            + _encode_mechanism((b"\x8a", b"\x8b"), self.mechanism)
            + _encode_authentication(0xAC, self.authentication)
            + _encode_octets(0xBE, self.user_information)
        )


@dataclass(frozen=True, slots=True)
class Aare:
    """A-associate response.

    ``result`` is an AssociationResult code; ``diagnostic`` a UserDiagnostic or
    ProviderDiagnostic code, by ``diagnostic_source``. ``authentication`` is the server's HLS
    challenge; ``user_information`` an InitiateResponse (plain or ciphered), a
    ConfirmedServiceError, or None: some meters leave it out.
    """

    TAG: ClassVar[int] = 0x61
    application_context: int
    result: int
    diagnostic: int
    user_information: bytes | None = None
    diagnostic_source: int = DiagnosticSource.ACSE_SERVICE_USER
    mechanism: int = Mechanism.NONE
    authentication: bytes | None = None
    responding_ap_title: bytes | None = None

    @property
    def accepted(self) -> bool:
        """Whether the association is established (HLS passes 3 and 4 may still follow)."""
        return self.result == AssociationResult.ACCEPTED

    @property
    def reason(self) -> str:
        """The standard's names of result and diagnostic."""
        by_user = self.diagnostic_source == DiagnosticSource.ACSE_SERVICE_USER
        names = UserDiagnostic if by_user else ProviderDiagnostic
        return f"{AssociationResult.name_of(self.result)}, {names.name_of(self.diagnostic)}"

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        if self.diagnostic_source not in (1, 2):
            raise UsageError(f"diagnostic source {self.diagnostic_source}, allowed: 1, 2")
        diagnostic = b"\x02\x01" + unsigned(self.diagnostic, 1, "diagnostic")
        source = bytes([0xA0 | self.diagnostic_source])
        challenge = None if self.authentication is None else Secret(self.authentication)
        return b"\x61" + counted(
            _encode_context(self.application_context)
            + b"\xa2\x03\x02\x01"
            + unsigned(self.result, 1, "result")
            + b"\xa3"
            + counted(source + counted(diagnostic))
            + _encode_octets(0xA4, self.responding_ap_title)
            + _encode_mechanism((b"\x88", b"\x89"), self.mechanism)
            + _encode_authentication(0xAA, challenge)
            + _encode_octets(0xBE, self.user_information)
        )


@dataclass(frozen=True, slots=True)
class Rlrq:
    """A-release request; a ciphered association puts a ciphered InitiateRequest into it."""

    TAG: ClassVar[int] = 0x62
    reason: int | None = ReleaseReason.NORMAL
    user_information: bytes | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\x62" + _encode_release(self.reason, self.user_information)


@dataclass(frozen=True, slots=True)
class Rlre:
    """A-release response."""

    TAG: ClassVar[int] = 0x63
    reason: int | None = ReleaseReason.NORMAL
    user_information: bytes | None = None

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"\x63" + _encode_release(self.reason, self.user_information)


def _encode_context(context: int) -> bytes:
    return b"\xa1\x09\x06\x07" + _OID_CONTEXT + unsigned(context, 1, "application context")


def _encode_octets(tag: int, octets: bytes | None) -> bytes:
    return b"" if octets is None else bytes([tag]) + counted(b"\x04" + counted(octets))


def _encode_mechanism(tags: tuple[bytes, bytes], mechanism: int) -> bytes:
    if not mechanism:
        return b""
    name = _OID_MECHANISM + unsigned(mechanism, 1, "mechanism")
    return tags[0] + _ACSE_REQUIREMENTS + tags[1] + counted(name)


def _encode_authentication(tag: int, value: Secret | None) -> bytes:
    return b"" if value is None else bytes([tag]) + counted(b"\x80" + counted(value.reveal()))


def _encode_release(reason: int | None, user_information: bytes | None) -> bytes:
    head = b"" if reason is None else b"\x80\x01" + unsigned(reason, 1, "reason")
    return counted(head + _encode_octets(0xBE, user_information))


def _fields(reader: OctetReader) -> dict[int, tuple[bytes, int]]:
    """Tag -> (content, offset) of the APDU's fields; each may stand once."""
    reader.last("content")
    found: dict[int, tuple[bytes, int]] = {}
    while reader.remaining:
        where = reader.offset
        tag = reader.u8("field tag")
        if tag in found:
            raise DecodeError(f"{reader.what}: field {tag:#04x} stands twice", where)
        found[tag] = (reader.counted("field"), where)
    return found


class _Fields:
    """Typed access to the fields of one ACSE APDU."""

    def __init__(self, reader: OctetReader) -> None:
        self.what = reader.what
        self.found = _fields(reader)

    def _inner(self, tag: int, field: str, wrapper: int) -> bytes | None:
        """Content of the one ``wrapper`` element inside an explicitly tagged field."""
        if tag not in self.found:
            return None
        content, where = self.found[tag]
        if not content or content[0] != wrapper:
            holds = f"tag {content[0]:#04x}" if content else "nothing"
            raise DecodeError(
                f"{self.what}: {field} holds {holds}, allowed: tag {wrapper:#04x}", where
            )
        length, start = length_at(content, 1, field)
        if len(content) != start + length:
            excess = len(content) - start - length
            raise DecodeError(f"{self.what}: {field} is {excess:+} octet(s) off its length", where)
        return content[start:]

    def octets(self, tag: int, field: str) -> bytes | None:
        """An OCTET STRING."""
        return self._inner(tag, field, 0x04)

    def charstring(self, tag: int, field: str) -> bytes | None:
        """The charstring of an authentication value."""
        return self._inner(tag, field, 0x80)

    def integer(self, tag: int, field: str) -> int:
        """A mandatory INTEGER of one octet."""
        value = self._inner(tag, field, 0x02)
        if value is None or len(value) != 1:
            raise DecodeError(f"{self.what}: {field} is missing or not one octet")
        return value[0]

    def context(self) -> int:
        """Last arc of the application context name."""
        return self._arc(self._inner(0xA1, "application context", 0x06), _OID_CONTEXT, "context")

    def mechanism(self, tag: int) -> int:
        """Last arc of the mechanism name, 0 where the field is absent."""
        if tag not in self.found:
            return Mechanism.NONE
        return self._arc(self.found[tag][0], _OID_MECHANISM, "mechanism name")

    def _arc(self, name: bytes | None, arcs: bytes, field: str) -> int:
        if name is None or len(name) != len(arcs) + 1 or not name.startswith(arcs):
            shown = "missing" if name is None else name.hex()
            raise DecodeError(f"{self.what}: {field} is {shown}, allowed: {arcs.hex()}xx")
        return name[-1]

    def diagnostic(self) -> tuple[int, int]:
        """(source, code) of the result-source-diagnostic."""
        content, where = self.found.get(0xA3, (b"", 0))
        inner = OctetReader(content, f"{self.what}: result-source-diagnostic")
        source = inner.choice("source", (0xA1, 0xA2))
        value = inner.counted("diagnostic")
        inner.end()
        if len(value) != 3 or value[:2] != b"\x02\x01":
            raise DecodeError(f"{self.what}: diagnostic is not an INTEGER of one octet", where)
        return source & 0x0F, value[2]

    def reason(self) -> int | None:
        """Reason of a release."""
        if 0x80 not in self.found:
            return None
        content, where = self.found[0x80]
        if len(content) != 1:
            raise DecodeError(f"{self.what}: reason is not one octet", where)
        return content[0]


def read_aarq(reader: OctetReader) -> Aarq:
    """Read what stands behind tag 0x60."""
    fields = _Fields(reader)
    value = fields.charstring(0xAC, "calling-authentication-value")
    return Aarq(
        application_context=fields.context(),
        user_information=fields.octets(0xBE, "user-information"),
        mechanism=fields.mechanism(0x8B),
        authentication=None if value is None else Secret(value),
        calling_ap_title=fields.octets(0xA6, "calling-AP-title"),
    )


def read_aare(reader: OctetReader) -> Aare:
    """Read what stands behind tag 0x61."""
    fields = _Fields(reader)
    source, diagnostic = fields.diagnostic()
    return Aare(
        application_context=fields.context(),
        result=fields.integer(0xA2, "result"),
        diagnostic=diagnostic,
        user_information=fields.octets(0xBE, "user-information"),
        diagnostic_source=source,
        mechanism=fields.mechanism(0x89),
        authentication=fields.charstring(0xAA, "responding-authentication-value"),
        responding_ap_title=fields.octets(0xA4, "responding-AP-title"),
    )


def read_rlrq(reader: OctetReader) -> Rlrq:
    """Read what stands behind tag 0x62."""
    fields = _Fields(reader)
    return Rlrq(fields.reason(), fields.octets(0xBE, "user-information"))


def read_rlre(reader: OctetReader) -> Rlre:
    """Read what stands behind tag 0x63."""
    fields = _Fields(reader)
    return Rlre(fields.reason(), fields.octets(0xBE, "user-information"))
