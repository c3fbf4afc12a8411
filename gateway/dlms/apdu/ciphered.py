"""Ciphered APDUs as they lie on the wire; no cryptography here (Green Book 9.2.7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from gateway.dlms.axdr.octets import OctetReader, counted, unsigned
from gateway.errors import DecodeError

GENERAL_GLO: Final = 0xDB
GENERAL_DED: Final = 0xDC

CIPHERED_NAMES: Final = {
    0x21: "glo-initiate-request",
    0x28: "glo-initiate-response",
    0x2E: "glo-confirmed-service-error",
    0xC8: "glo-get-request",
    0xC9: "glo-set-request",
    0xCA: "glo-event-notification-request",
    0xCB: "glo-action-request",
    0xCC: "glo-get-response",
    0xCD: "glo-set-response",
    0xCF: "glo-action-response",
    0xD0: "ded-get-request",
    0xD1: "ded-set-request",
    0xD2: "ded-event-notification-request",
    0xD3: "ded-action-request",
    0xD4: "ded-get-response",
    0xD5: "ded-set-response",
    0xD7: "ded-action-response",
    GENERAL_GLO: "general-glo-ciphering",
    GENERAL_DED: "general-ded-ciphering",
}
"""Tag of a ciphered APDU -> the standard's name."""

DEDICATED_TAGS: Final = frozenset({0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD7, GENERAL_DED})
"""Tags of what is protected with a dedicated key."""

_GENERAL = (GENERAL_GLO, GENERAL_DED)
_HEAD = struct.Struct(">BI")
"""Security control and invocation counter."""


@dataclass(frozen=True, slots=True)
class CipheredApdu:
    """A service- or general-ciphered APDU.

    ``system_title`` is None in the service-specific forms, which do not carry one; b"" where a
    general one leaves it out. ``body`` is ciphertext or plain text with the tag at its end, as
    ``security_control`` says.
    """

    tag: int
    system_title: bytes | None
    security_control: int
    invocation_counter: int
    body: bytes

    @property
    def is_general(self) -> bool:
        """Whether it may hold any service; its tag does not say which."""
        return self.tag in _GENERAL

    @property
    def is_dedicated(self) -> bool:
        """Whether a dedicated key protects it."""
        return self.tag in DEDICATED_TAGS

    @property
    def name(self) -> str:
        """The standard's name of this APDU."""
        return CIPHERED_NAMES.get(self.tag, f"ciphered APDU {self.tag:#04x}")

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        title = counted(self.system_title or b"") if self.tag in _GENERAL else b""
        control = unsigned(self.security_control, 1, "security control")
        counter = unsigned(self.invocation_counter, 4, "invocation counter")
        return unsigned(self.tag, 1, "tag") + title + counted(control + counter + self.body)

    @classmethod
    def decode(cls, octets: bytes) -> CipheredApdu:
        """Read one whole APDU; raise DecodeError."""
        if not octets or octets[0] not in CIPHERED_NAMES:
            raise DecodeError(f"tag {octets[:1].hex() or 'none'} is not a ciphered APDU", 0)
        tag = octets[0]
        reader = OctetReader(octets, CIPHERED_NAMES[tag], 1)
        title = reader.counted("system title") if tag in _GENERAL else None
        reader.last("content")
        control, counter = _HEAD.unpack(reader.take(_HEAD.size, "security header"))
        return cls(tag, title, control, counter, reader.rest())
