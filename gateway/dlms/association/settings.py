"""What the two sides of an association agree on before the first octet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from gateway.dlms.apdu.block_transfer import WINDOW_LIMIT
from gateway.dlms.apdu.initiate import Conformance
from gateway.dlms.limits import Limits
from gateway.dlms.security import KEY_OCTETS, ProtectionSettings, SecurityPolicy
from gateway.errors import LocalProtocolError
from gateway.model import Secret


class Authentication(IntEnum):
    """Authentication mechanisms by the last arc of their object identifier."""

    NONE = 0
    LLS = 1
    HLS_AES = 2
    """Manufacturer-specific HLS; AES-128 of the challenge in IS 15959 meters."""
    HLS_GMAC = 5


CLIENT_CONFORMANCE = (
    Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
    | Conformance.SELECTIVE_ACCESS
    | Conformance.BLOCK_TRANSFER_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_SET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.EVENT_NOTIFICATION
    | Conformance.PRIORITY_MANAGEMENT
)
"""What this client can do; a server may narrow it."""

HLS_CHALLENGE_OCTETS = 16
"""Sent challenges have 16 octets: the one length that every make answers rightly."""
HLS_CHALLENGE_ACCEPTED = range(8, 65)
"""Lengths of received challenges (Green Book 9.2.2.2.2)."""


@dataclass(frozen=True, slots=True)
class DedicatedKey:
    """A dedicated key to propose: drawn for the association, unless ``stored`` has one.

    A fresh key is the better one: nothing that was ever recorded verifies under it.
    """

    stored: Secret | None = None

    def draw(self, random_bytes: Callable[[int], bytes]) -> Secret:
        """The key of an association that begins now."""
        return self.stored or Secret(random_bytes(KEY_OCTETS))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What client and server need alike. ``protection`` None means plain text both ways.

    ``general_block_window``: blocks in a row that this side takes, and sends, where both agree to
    general block transfer (1..63; 1 is one at a time); None where it is not to be used.
    """

    authentication: Authentication = Authentication.NONE
    lls_password: Secret | None = None
    hls_secret: Secret | None = None
    protection: ProtectionSettings | None = None
    conformance: Conformance = CLIENT_CONFORMANCE
    pre_established: bool = False
    general_block_window: int | None = None
    random_bytes: Callable[[int], bytes]
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        needs = {
            Authentication.LLS: ("an LLS password", self.lls_password),
            Authentication.HLS_AES: ("an HLS secret", self.hls_secret),
            Authentication.HLS_GMAC: ("global keys and a system title", self.protection),
        }
        if self.general_block_window not in (None, *range(1, WINDOW_LIMIT + 1)):
            raise LocalProtocolError(f"a window has 1 to {WINDOW_LIMIT} blocks")
        what, given = needs.get(self.authentication, ("nothing", True))
        if given is None:
            raise LocalProtocolError(f"{self.authentication.name} needs {what}")

    @property
    def offered(self) -> Conformance:
        """The conformance that this side proposes or grants at most."""
        if self.general_block_window is None:
            return self.conformance & ~Conformance.GENERAL_BLOCK_TRANSFER
        return self.conformance | Conformance.GENERAL_BLOCK_TRANSFER

    @property
    def ciphered(self) -> bool:
        """Whether the application context is the ciphered one."""
        return self.protection is not None and self.protection.policy is not SecurityPolicy.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings(_Settings):
    """One association as the client opens it.

    ``assume_missing_user_information`` is for meters that accept with an AARE without
    InitiateResponse: what was proposed then counts as agreed. ``release`` False leaves by
    disconnecting the link alone, also where that tells the meter nothing. ``dedicated`` is the
    key that only this association is to be protected with once it is open, None for none.
    ``tagged_date_time`` takes notifications whose date-time is a tagged octet-string.
    """

    max_pdu_octets: int = 0xFFFF
    assume_missing_user_information: bool = False
    release: bool = True
    dedicated: DedicatedKey | None = None
    tagged_date_time: bool = False

    def __post_init__(self) -> None:
        super(ClientSettings, self).__post_init__()
        encrypts = self.protection and self.protection.policy & SecurityPolicy.ENCRYPTED
        if self.dedicated is not None and not encrypts:
            # It would stand in plain text in the AARQ.
            raise LocalProtocolError("a dedicated key needs an association that encrypts")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings(_Settings):
    """One association as the server offers it under one client SAP.

    ``name`` is what the object model's access rights are asked with.
    """

    name: str
    max_pdu_octets: int = 1024
    refuse_with: int | None = None
    """Reject every AARQ with this acse-service-user diagnostic; for tests of clients."""
