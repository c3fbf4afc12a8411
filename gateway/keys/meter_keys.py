"""The secrets of one meter, by what each is for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.errors import UsageError
from gateway.model import Secret

MAX_SECRET_OCTETS: Final = 64
TITLE_OCTETS: Final = 8


class Role(StrEnum):
    """What a secret is for; the names are those of the keys file."""

    LLS_PASSWORD = "lls_password"  # noqa: S105 - a name
    HLS_SECRET = "hls_secret"  # noqa: S105 - a name
    HLS_SECRET_FIRMWARE = "hls_secret_firmware"  # noqa: S105 - a name
    GUEK = "guek"
    GAK = "gak"
    DEDICATED = "dedicated"
    MASTER = "master"


AES_KEYS: Final = (Role.GUEK, Role.GAK, Role.DEDICATED, Role.MASTER)
TITLES: Final = ("client_system_title", "server_system_title")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKeys:
    """Secrets of one meter, None where there is none. Titles are 8 octets and no secret."""

    lls_password: Secret | None = None
    hls_secret: Secret | None = None
    hls_secret_firmware: Secret | None = None
    guek: Secret | None = None
    gak: Secret | None = None
    dedicated: Secret | None = None
    master: Secret | None = None
    client_system_title: bytes | None = None
    server_system_title: bytes | None = None

    def __post_init__(self) -> None:
        for role in Role:
            secret = self.secret(role)
            if secret is None:
                continue
            if role in AES_KEYS and len(secret) != 16:
                raise UsageError(f"{role.value}: suite 0 keys have 16 octets, not {len(secret)}")
            if not 1 <= len(secret) <= MAX_SECRET_OCTETS:
                raise UsageError(f"{role.value}: 1 to {MAX_SECRET_OCTETS} octets")
        for name in TITLES:
            title: bytes | None = getattr(self, name)
            if title is not None and len(title) != TITLE_OCTETS:
                raise UsageError(f"{name}: a system title has 8 octets, not {len(title)}")

    def secret(self, role: Role) -> Secret | None:
        """The secret of a role."""
        found: Secret | None = getattr(self, role.value)
        return found

    def require(self, role: Role) -> Secret:
        """The secret of a role; raise UsageError naming the role if it is missing."""
        found = self.secret(role)
        if found is None:
            raise UsageError(f"no {role.value} is known for this meter")
        return found

    @property
    def key_id(self) -> str:
        """Which global encryption key this is, without saying it; "" without one.

        32 bits of a digest: two keys that share it only share one sequence of counters.
        """
        if self.guek is None:
            return ""
        return hashlib.sha256(b"smg key id\0" + self.guek.reveal()).digest()[:4].hex()
