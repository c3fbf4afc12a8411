"""xDLMS InitiateRequest and InitiateResponse, and the conformance block (Green Book 9.4.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import ClassVar, Final

from gateway.dlms.axdr.octets import OctetReader, counted, unsigned
from gateway.errors import DecodeError
from gateway.model import Secret

DLMS_VERSION: Final = 6
VAA_NAME_LN: Final = 0x0007
"""VAA-name of logical name referencing."""

_CONFORMANCE_HEAD: Final = b"\x5f\x1f\x04\x00"
"""[APPLICATION 31] BIT STRING of 24 bits: tag, length, no unused bits."""


class Conformance(IntFlag):
    """What an association may use; the standard's bit 0 is the most significant of 24."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    DELTA_VALUE_ENCODING = 1 << 17
    ATTRIBUTE_0_WITH_SET = 1 << 15
    PRIORITY_MANAGEMENT = 1 << 14
    ATTRIBUTE_0_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET = 1 << 12
    BLOCK_TRANSFER_WITH_SET = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bits that are set, in the standard's order."""
        ordered = sorted(Conformance, reverse=True)
        return tuple(bit.name.lower() for bit in ordered if bit in self and bit.name)


@dataclass(frozen=True, slots=True)
class InitiateRequest:
    """What a client proposes; ``max_pdu_octets`` 0 means no limit."""

    TAG: ClassVar[int] = 0x01
    conformance: Conformance
    max_pdu_octets: int
    dedicated_key: Secret | None = None
    response_allowed: bool = True
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        key = self.dedicated_key
        return b"".join(
            (
                b"\x01",
                b"\x00" if key is None else b"\x01" + counted(key.reveal()),
                b"\x00" if self.response_allowed else b"\x01\x00",
                _encode_quality(self.quality_of_service),
                unsigned(self.dlms_version, 1, "DLMS version"),
                _encode_conformance(self.conformance),
                unsigned(self.max_pdu_octets, 2, "max receive PDU size"),
            )
        )


@dataclass(frozen=True, slots=True)
class InitiateResponse:
    """What a server grants."""

    TAG: ClassVar[int] = 0x08
    conformance: Conformance
    max_pdu_octets: int
    quality_of_service: int | None = None
    dlms_version: int = DLMS_VERSION
    vaa_name: int = VAA_NAME_LN

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        return b"".join(
            (
                b"\x08",
                _encode_quality(self.quality_of_service),
                unsigned(self.dlms_version, 1, "DLMS version"),
                _encode_conformance(self.conformance),
                unsigned(self.max_pdu_octets, 2, "max receive PDU size"),
                unsigned(self.vaa_name, 2, "VAA name"),
            )
        )


def _encode_quality(quality: int | None) -> bytes:
    if quality is None:
        return b"\x00"
    return b"\x01" + unsigned(quality, 1, "quality of service")


def _encode_conformance(conformance: Conformance) -> bytes:
    return _CONFORMANCE_HEAD + unsigned(int(conformance), 3, "conformance")


def _read_conformance(reader: OctetReader) -> Conformance:
    head = reader.take(4, "conformance")
    if head != _CONFORMANCE_HEAD:
        raise DecodeError(
            f"{reader.what}: conformance starts with {head.hex()}, allowed: 5f1f0400",
            reader.offset - 4,
        )
    return Conformance(reader.unsigned(3, "conformance"))


def read_initiate_request(reader: OctetReader) -> InitiateRequest:
    """Read what stands behind tag 0x01."""
    key = reader.counted("dedicated key") if reader.flag("dedicated key") else None
    allowed = True
    if reader.flag("response-allowed present"):
        allowed = reader.flag("response-allowed")
    quality = reader.u8("quality of service") if reader.flag("quality of service") else None
    version = reader.u8("DLMS version")
    conformance = _read_conformance(reader)
    max_pdu_octets = reader.unsigned(2, "max receive PDU size")
    reader.end()
    return InitiateRequest(
        conformance=conformance,
        max_pdu_octets=max_pdu_octets,
        dedicated_key=None if key is None else Secret(key),
        response_allowed=allowed,
        quality_of_service=quality,
        dlms_version=version,
    )


def read_initiate_response(reader: OctetReader) -> InitiateResponse:
    """Read what stands behind tag 0x08."""
    quality = reader.u8("quality of service") if reader.flag("quality of service") else None
    version = reader.u8("DLMS version")
    conformance = _read_conformance(reader)
    max_pdu_octets = reader.unsigned(2, "max receive PDU size")
    vaa_name = reader.unsigned(2, "VAA name")
    reader.end()
    return InitiateResponse(conformance, max_pdu_octets, quality, version, vaa_name)
