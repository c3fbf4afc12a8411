"""Ciphered octets opened with the keys at hand: believed only when their tag verifies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms.apdu import CipheredApdu
from gateway.dlms.security import (
    DED_TAGS,
    GLO_TAGS,
    TITLE_OCTETS,
    Gcm,
    GlobalKeys,
    SecurityPolicy,
)
from gateway.errors import SecurityError
from gateway.model import Secret

_BY_CLIENT: Final = (0x21, 0xC8, 0xC9, 0xCB, 0xD0, 0xD1, 0xD3)
_CONTROLS: Final = (
    SecurityPolicy.AUTHENTICATED,
    SecurityPolicy.ENCRYPTED,
    SecurityPolicy.BOTH,
)
"""Suite 0, unicast key, no compression."""
_NOT_USED: Final = Secret(bytes(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionKeys:
    """What ciphered octets are opened with, None where it is not known.

    ``encryption`` (GUEK), ``authentication`` (GAK) and ``dedicated`` have 16 octets, the system
    titles 8; titles that stand in the octets themselves go first.
    """

    encryption: Secret | None = None
    authentication: Secret | None = None
    dedicated: Secret | None = None
    client_title: bytes | None = None
    server_title: bytes | None = None


class Opener:
    """Opens ciphered APDUs, and learns titles and dedicated keys from an association.

    Recorded counters repeat at will, so they are not ordered here.
    """

    def __init__(self, keys: InspectionKeys) -> None:
        self._keys = keys
        self.client_title = keys.client_title
        self.server_title = keys.server_title
        self.dedicated = keys.dedicated

    def title_of(self, apdu: CipheredApdu) -> bytes | None:
        """System title of the side that protected an APDU."""
        own = self.client_title if apdu.tag in _BY_CLIENT else self.server_title
        return apdu.system_title or own

    def missing(self, apdu: CipheredApdu) -> str:
        """What is not known and would be needed to open an APDU; "" if nothing."""
        if self._key(apdu) is None:
            return "dedicated key" if apdu.is_dedicated else "encryption key"
        if self.title_of(apdu) is None:
            return "system title of the sender"
        tagged = apdu.security_control & SecurityPolicy.AUTHENTICATED
        if tagged and self._keys.authentication is None:
            return "authentication key, without which the tag cannot be checked"
        return ""

    def open(self, apdu: CipheredApdu) -> bytes:
        """The plain APDU when nothing is ``missing``; raise SecurityError if a check fails."""
        key, title = self._key(apdu), self.title_of(apdu)
        if key is None or title is None:
            raise SecurityError(f"not known: {self.missing(apdu)}")
        if len(title) != TITLE_OCTETS:
            raise SecurityError(f"a system title has 8 octets, not {len(title)}")
        control = apdu.security_control
        if control not in _CONTROLS:
            raise SecurityError(f"security control {control:#04x} is none of suite 0: 10, 20, 30")
        gcm = Gcm(GlobalKeys(encryption=key, authentication=self._keys.authentication or _NOT_USED))
        plain = gcm.open(
            title=title,
            counter=apdu.invocation_counter,
            security_control=control,
            body=apdu.body,
        )
        self._check_service(apdu, plain)
        return plain

    def _key(self, apdu: CipheredApdu) -> Secret | None:
        return self.dedicated if apdu.is_dedicated else self._keys.encryption

    def _check_service(self, apdu: CipheredApdu, plain: bytes) -> None:
        if not plain:
            raise SecurityError("a protected APDU holds nothing")
        tags = DED_TAGS if apdu.is_dedicated else GLO_TAGS
        if not apdu.is_general and tags.get(plain[0]) != apdu.tag:
            raise SecurityError(f"{apdu.name} holds another service: {plain[0]:#04x}")
