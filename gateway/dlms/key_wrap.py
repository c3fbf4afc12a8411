"""AES key wrap (RFC 3394), by which suite 0 sends a global key (Green Book 9.2.3)."""

from __future__ import annotations

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway.errors import SecurityError
from gateway.model import Secret


def wrap_key(master: Secret, key: Secret) -> bytes:
    """A key of suite 0 wrapped by the meter's master key: 24 octets."""
    return aes_key_wrap(master.reveal(), key.reveal())


def unwrap_key(master: Secret, wrapped: bytes) -> Secret:
    """The key that was wrapped; raise SecurityError for another master key or changed octets."""
    try:
        return Secret(aes_key_unwrap(master.reveal(), wrapped))
    except (InvalidUnwrap, ValueError):
        raise SecurityError("a wrapped key does not open under the master key") from None
