"""Ed25519 signatures on what comes down: JWS compact serialisation (RFC 7515, RFC 8037).

There is one algorithm and one spelling. The protected header is exactly
``{"alg":"EdDSA","kid":KID,"typ":TYP}`` octet for octet, so nothing in it is left to a parser's
goodwill, and base64url has no second spelling. ``typ`` names the message kind: a signature for one
kind never serves for another. The audience stands in the payload and is checked there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.errors import SecurityError, UsageError
from gateway.model import Secret

MAX_TOKEN_OCTETS: Final = 512 * 1024
MAX_HEADER_OCTETS: Final = 256
KEY_OCTETS: Final = 32
SIGNATURE_OCTETS: Final = 64

_KID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TYP = re.compile(r"[a-z0-9.+-]{1,64}", re.ASCII)


class SigningKey:
    """A private key with its name; shows neither in repr nor in pickles."""

    __slots__ = ("_key", "kid")

    def __init__(self, kid: str, seed: Secret) -> None:
        if not _KID.fullmatch(kid):
            raise UsageError("a key id has 1 to 64 letters, digits, dots, _ or -")
        if len(seed) != KEY_OCTETS:
            raise UsageError(f"an Ed25519 key has {KEY_OCTETS} octets, not {len(seed)}")
        self.kid = kid
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())

    @classmethod
    def generate(cls, kid: str) -> SigningKey:
        """A new key from the operating system's randomness."""
        return cls(kid, Secret(Ed25519PrivateKey.generate().private_bytes_raw()))

    @property
    def seed(self) -> Secret:
        """The private octets, to keep in a file of mode 0600."""
        return Secret(self._key.private_bytes_raw())

    @property
    def public_octets(self) -> bytes:
        """32 octets that verify; not secret."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, payload: bytes, typ: str) -> bytes:
        """A compact JWS over ``payload``; UsageError when it would be refused as too large."""
        signed = _segment(_header(self.kid, typ)) + b"." + _segment(payload)
        token = signed + b"." + _segment(self._key.sign(signed))
        if len(token) > MAX_TOKEN_OCTETS:
            raise UsageError(f"signed message of {len(token)} octets; at most {MAX_TOKEN_OCTETS}")
        return token

    def __repr__(self) -> str:
        return f"<signing key {self.kid}>"

    def __reduce__(self) -> str:
        raise TypeError("a signing key is never pickled")


class TrustedKey(NamedTuple):
    """A public key and the issuer whose word it signs; nobody else's."""

    issuer: str
    public_octets: bytes


class VerifyingKeys:
    """Public keys by key id: those whose word is taken, each for its issuer only."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, TrustedKey]) -> None:
        for kid, trusted in keys.items():
            if not _KID.fullmatch(kid) or len(trusted.public_octets) != KEY_OCTETS:
                raise UsageError(f"verifying key {kid[:64]!r}: a key id and {KEY_OCTETS} octets")
        self._keys = {
            kid: (trusted.issuer, Ed25519PublicKey.from_public_bytes(trusted.public_octets))
            for kid, trusted in keys.items()
        }

    def verify(self, token: bytes, typ: str) -> tuple[str, bytes]:
        """The key's issuer and the payload of a good token; SecurityError for any other."""
        if len(token) > MAX_TOKEN_OCTETS:
            raise SecurityError(f"signed message over {MAX_TOKEN_OCTETS} octets")
        segments = token.split(b".", 3)
        if len(segments) != 3:
            raise SecurityError("signed message: not three segments")
        header, payload, signature = (_octets(segment) for segment in segments)
        kid = _kid(header)
        if header != _header(kid, typ):
            raise SecurityError(f"signed message: its header is not exactly EdDSA, kid, {typ}")
        if kid not in self._keys:
            raise SecurityError(f"signed message: key {kid!r} is not trusted here")
        issuer, key = self._keys[kid]
        if len(signature) != SIGNATURE_OCTETS:
            raise SecurityError("signed message: signature is not 64 octets")
        try:
            key.verify(signature, segments[0] + b"." + segments[1])
        except InvalidSignature as wrong:
            raise SecurityError(f"signed message: signature of {kid!r} is wrong") from wrong
        return issuer, payload


def _header(kid: str, typ: str) -> bytes:
    if not _TYP.fullmatch(typ):
        raise UsageError(f"message type {typ[:64]!r}")
    return f'{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}"}}'.encode("ascii")


def _kid(header: bytes) -> str:
    if len(header) > MAX_HEADER_OCTETS:
        raise SecurityError(f"signed message: header over {MAX_HEADER_OCTETS} octets")
    try:
        fields = json.loads(header.decode("ascii"))
    except (ValueError, RecursionError) as wrong:
        raise SecurityError("signed message: header is not JSON") from wrong
    kid = fields.get("kid") if isinstance(fields, dict) else None
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise SecurityError("signed message: header has no key id")
    return kid


def _segment(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def _octets(segment: bytes) -> bytes:
    try:
        octets = base64.b64decode(segment + b"=" * (-len(segment) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise SecurityError("signed message: not base64url") from wrong
    # unused bits and padding would let one signature have many spellings
    if _segment(octets) != segment:
        raise SecurityError("signed message: base64url in a second spelling")
    return octets
