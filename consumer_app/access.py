"""Signing in: access codes, limits on guessing, signed session and form tokens.

The answer to an unknown connection number is the same, and takes the same work, as the answer
to a wrong code, so that nobody learns which numbers exist.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from itsdangerous import BadData, URLSafeSerializer

from consumer_app.database.accounts import (
    credential_of,
    failures_since,
    note_failures,
    put_credential,
)
from consumer_app.database.connect import Connection
from gateway.errors import UsageError
from gateway.model import ConnectionNo, Secret

SCRYPT_COST = 2**14
SESSION_LIFE_S = 7 * 86_400
_WINDOW_S = 15 * 60
_MAX_CODE_LENGTH = 128
_MIN_CODE_LENGTH = 8

# per window: one address at one number; one number from anywhere (so that a neighbour cannot
# lock somebody out with five guesses); one address at any number
_LIMITS = (5, 30, 60)


class SignInAnswer(Enum):
    """What signing in came to when it did not come to a session."""

    REFUSED = "refused"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in for one connection."""

    connection: ConnectionNo
    version: int
    issued_at_s: int


def hash_code(code: str, salt: bytes, cost: int = SCRYPT_COST) -> bytes:
    """Hash of an access code: scrypt with r = 8, p = 1, 32 octets."""
    return hashlib.scrypt(code.encode(), salt=salt, n=cost, r=8, p=1, dklen=32)


def set_access_code(
    connection: Connection,
    number: ConnectionNo,
    code: str,
    *,
    random_bytes: Callable[[int], bytes],
) -> None:
    """Store an access code's hash; UsageError for a code that is too short or too long."""
    if not _MIN_CODE_LENGTH <= len(code) <= _MAX_CODE_LENGTH:
        raise UsageError(f"an access code has {_MIN_CODE_LENGTH} to {_MAX_CODE_LENGTH} characters")
    salt = random_bytes(16)
    put_credential(connection, number, salt=salt, hashed=hash_code(code, salt), cost=SCRYPT_COST)


def sign_in(
    connection: Connection, number: str, code: str, *, address: str, now_s: int
) -> Session | SignInAnswer:
    """Check an access code; wrong guesses are counted in the database and limited."""
    subjects = [
        _subject("both", address, number),
        _subject("number", number),
        _subject("address", address),
    ]
    since_s = now_s - _WINDOW_S
    for subject, limit in zip(subjects, _LIMITS, strict=True):
        if failures_since(connection, subject, since_s) >= limit:
            return SignInAnswer.TOO_MANY
    # text in PostgreSQL has no NUL; no connection number has one either
    known = credential_of(connection, ConnectionNo(number.replace("\0", "")))
    salt, cost = (known.salt, known.cost) if known else (b"\0" * 16, SCRYPT_COST)
    given = hash_code(code[:_MAX_CODE_LENGTH], salt, cost)
    expected = known.hash if known else b"\0" * 32
    if not hmac.compare_digest(given, expected) or known is None:
        note_failures(connection, subjects, now_s=now_s, forget_before_s=since_s)
        return SignInAnswer.REFUSED
    return Session(ConnectionNo(number), known.version, now_s)


def _subject(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


class Tokens:
    """Makes and checks the signed tokens that a browser or an app carries."""

    def __init__(self, secret: Secret) -> None:
        if len(secret) < 16:
            raise UsageError("the session secret needs at least 16 octets")
        options = {"digest_method": hashlib.sha256}
        self._sessions = URLSafeSerializer(secret.reveal(), "session", signer_kwargs=options)
        self._forms = URLSafeSerializer(secret.reveal(), "form", signer_kwargs=options)

    def session_token(self, session: Session) -> str:
        """A token for a cookie or an Authorization header."""
        return self._sessions.dumps([session.connection, session.version, session.issued_at_s])

    def session(self, token: str, *, now_s: int) -> Session | None:
        """The session a token stands for; None if it is forged, malformed or too old."""
        try:
            connection, version, issued_at_s = self._sessions.loads(token)
        except (BadData, ValueError, TypeError):
            return None
        if not issued_at_s <= now_s < issued_at_s + SESSION_LIFE_S:
            return None
        return Session(ConnectionNo(connection), version, issued_at_s)

    def form_token(self, nonce: str) -> str:
        """What a form must carry beside the cookie ``nonce``."""
        return self._forms.dumps(nonce)

    def form_is_ours(self, nonce: str, token: str) -> bool:
        """Whether a form was made by us for the browser that holds ``nonce``."""
        try:
            return bool(nonce) and hmac.compare_digest(
                str(self._forms.loads(token)).encode(), nonce.encode()
            )
        except BadData:
            return False


def session_still_valid(connection: Connection, session: Session) -> bool:
    """Whether the access code is still the one that was used to sign in."""
    known = credential_of(connection, session.connection)
    return known is not None and known.version == session.version
