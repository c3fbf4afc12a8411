"""Security suite 0: what protects an APDU, and what refuses one that is not protected.

AES-GCM-128 with 12-octet tags (Green Book 9.2.3.3). ``cryptography`` does the arithmetic; this
module decides what is authenticated, which counter is used and which message is believed.
Nothing of a message is used before its tag was verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq

from gateway.dlms.apdu.ciphered import CipheredApdu
from gateway.dlms.word import Word
from gateway.errors import LocalProtocolError, SecurityError
from gateway.model import Secret

TAG_OCTETS: Final = 12
TITLE_OCTETS: Final = 8
COUNTER_LIMIT: Final = 0xFFFF_FFFF
"""Invocation counters are double-long-unsigned; past this the key is spent."""

GENERAL_GLO: Final = 0xDB
GLO_TAGS: Final = {
    0x01: 0x21,  # initiate-request
    0x08: 0x28,  # initiate-response
    0xC0: 0xC8,  # get-request
    0xC1: 0xC9,  # set-request
    0xC2: 0xCA,  # event-notification-request
    0xC3: 0xCB,  # action-request
    0xC4: 0xCC,  # get-response
    0xC5: 0xCD,  # set-response
    0xC7: 0xCF,  # action-response
}
"""Plain APDU tag -> its service-specific global ciphering tag (Green Book 9.5)."""


class Replayed(SecurityError):
    """The invocation counter of a received APDU does not rise: an old message sent again."""


class SecurityPolicy(IntEnum):
    """What was applied, as bits 4 and 5 of the security control octet say it."""

    NONE = 0
    AUTHENTICATED = 0x10
    ENCRYPTED = 0x20
    BOTH = 0x30


_KEY_SET_BROADCAST = 0x40
_COMPRESSED = 0x80
_SUITE_MASK = 0x0F


class CipheringStyle(Word):
    """Which APDU carries protected services."""

    GLO = "glo"
    GENERAL_GLO = "general-glo"


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalKeys:
    """Global unicast encryption key (GUEK) and authentication key (GAK), 16 octets each."""

    encryption: Secret
    authentication: Secret

    def __post_init__(self) -> None:
        for name in ("encryption", "authentication"):
            if len(getattr(self, name)) != 16:
                raise LocalProtocolError(f"the {name} key of suite 0 has 16 octets")


class Gcm:
    """AES-GCM-128 as suite 0 applies it, for one key pair.

    Pure arithmetic: no counters, no policy. ``security_control`` is the octet that is sent.

    Opening is sealing twice: the key stream of GCM hangs on key and IV alone, so what encrypts the
    cipher text gives the plain text, and sealing that gives the tag to compare with. The
    library's own ways are no better: its one-shot decryption takes no tag of 12 octets, and its
    contexts cost twice as much for the short APDUs of a meter.
    """

    __slots__ = ("_authentication", "_sealer")

    def __init__(self, keys: GlobalKeys) -> None:
        self._sealer = AESGCM(keys.encryption.reveal())
        self._authentication = keys.authentication.reveal()

    def seal(self, *, title: bytes, counter: int, security_control: int, plain: bytes) -> bytes:
        """Return ciphertext and tag, plain text and tag, or ciphertext, as the control says."""
        iv = title + counter.to_bytes(4, "big")
        head = security_control.to_bytes(1, "big") + self._authentication
        match security_control & SecurityPolicy.BOTH:
            case SecurityPolicy.BOTH:
                sealed = self._sealer.encrypt(iv, plain, head)
                return sealed[: len(plain) + TAG_OCTETS]
            case SecurityPolicy.AUTHENTICATED:
                return plain + self._sealer.encrypt(iv, b"", head + plain)[:TAG_OCTETS]
            case SecurityPolicy.ENCRYPTED:
                return self._sealer.encrypt(iv, plain, None)[: len(plain)]
            case _:
                raise LocalProtocolError("nothing to apply: security control without A and E")

    def open(self, *, title: bytes, counter: int, security_control: int, body: bytes) -> bytes:
        """Return the plain text; raise SecurityError if the tag does not verify."""
        applied = security_control & SecurityPolicy.BOTH
        if not applied:
            raise SecurityError("a protected APDU that is neither authenticated nor encrypted")
        iv = title + counter.to_bytes(4, "big")
        if applied == SecurityPolicy.ENCRYPTED:
            # No tag was sent, so none can be checked: the policy allows it or nothing does.
            return self._sealer.encrypt(iv, body, None)[: len(body)]
        size = len(body) - TAG_OCTETS
        if size < 0:
            raise SecurityError("protected APDU is shorter than its tag")
        plain = body[:size]
        if applied == SecurityPolicy.BOTH:
            plain = self._sealer.encrypt(iv, plain, None)[:size]
        sealed = self.seal(
            title=title, counter=counter, security_control=security_control, plain=plain
        )
        if not bytes_eq(sealed[size:], body[size:]):
            raise SecurityError(
                "authentication tag does not verify: wrong key, or the octets were changed"
            )
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionSettings:
    """What one side needs to protect and to believe APDUs of one association.

    ``reserve`` gives the next own invocation counter and has made it durable before it returns.
    ``last_received`` has the highest counter believed so far under these keys, by system title of
    the peer: what was recorded in an earlier session stays refused in this one.
    ``received_floor`` holds for any title: meters keep one counter per client, whatever its title.
    ``peer_title`` is the peer's system title where it is known beforehand.
    """

    keys: GlobalKeys
    own_title: bytes
    policy: SecurityPolicy
    reserve: Callable[[], int]
    last_received: Mapping[bytes, int] = field(default_factory=dict)
    received_floor: int = -1
    peer_title: bytes | None = None
    style: CipheringStyle = CipheringStyle.GLO

    def __post_init__(self) -> None:
        for title in (self.own_title, self.peer_title):
            if title is not None and len(title) != TITLE_OCTETS:
                raise LocalProtocolError("a system title has 8 octets")


class Protection:
    """Protects what is sent and believes only what is protected as agreed."""

    def __init__(self, settings: ProtectionSettings) -> None:
        self._gcm = Gcm(settings.keys)
        self._keys = settings.keys
        self._reserve = settings.reserve
        self._control = int(settings.policy)
        self.policy = settings.policy
        self.style = settings.style
        self.own_title = settings.own_title
        self.peer_title = settings.peer_title
        self._last_received = dict(settings.last_received)
        self._received_floor = settings.received_floor

    @property
    def last_received(self) -> int:
        """Highest invocation counter believed from the peer; -1 if none."""
        return self._last_of(self.peer_title or b"")

    def _last_of(self, title: bytes) -> int:
        return max(self._last_received.get(title, -1), self._received_floor)

    def protect(self, apdu: bytes) -> bytes:
        """Return the ciphered APDU for a plain one, under a fresh invocation counter.

        Raises LocalProtocolError for a service that has no protected form in this style, and
        whatever ``reserve`` raises when the counter cannot be made durable or is spent.
        """
        counter = self._next_counter()
        body = self._gcm.seal(
            title=self.own_title, counter=counter, security_control=self._control, plain=apdu
        )
        general = self.style is CipheringStyle.GENERAL_GLO and apdu[0] not in (0x01, 0x08)
        tag = GENERAL_GLO if general or apdu[0] == 0x0F else GLO_TAGS.get(apdu[0])
        if tag is None:
            raise LocalProtocolError(f"APDU {apdu[0]:#04x} has no glo-ciphered form")
        return CipheredApdu(
            tag=tag,
            system_title=self.own_title if tag == GENERAL_GLO else None,
            security_control=self._control,
            invocation_counter=counter,
            body=body,
        ).encode()

    def unprotect(self, apdu: CipheredApdu) -> bytes:
        """Return the plain APDU; raise SecurityError if any check fails.

        Checks, in this order: suite and policy, system title, counter rises, tag, and that the
        plain APDU is the one its ciphering tag names.
        """
        self._check_control(apdu.security_control)
        title = apdu.system_title or self.peer_title
        if title is None:
            raise SecurityError("the peer's system title is not known")
        if len(title) != TITLE_OCTETS:
            raise SecurityError("a system title has 8 octets")
        if self.peer_title is not None and title != self.peer_title:
            raise SecurityError("protected under another system title than the association's")
        last = self._last_of(title)
        if apdu.invocation_counter <= last:
            raise Replayed(
                f"invocation counter {apdu.invocation_counter} does not rise above {last}"
            )
        plain = self._gcm.open(
            title=title,
            counter=apdu.invocation_counter,
            security_control=apdu.security_control,
            body=apdu.body,
        )
        if not plain:
            raise SecurityError("a protected APDU holds nothing")
        if apdu.tag != GENERAL_GLO and GLO_TAGS.get(plain[0]) != apdu.tag:
            raise SecurityError(
                f"ciphering tag {apdu.tag:#04x} holds another service: {plain[0]:#04x}"
            )
        self._last_received[title] = apdu.invocation_counter
        self.peer_title = title
        return plain

    def answer_like(self, apdu: CipheredApdu) -> None:
        """Server: protect answers in the style that the client asked in."""
        general = apdu.tag == GENERAL_GLO
        self.style = CipheringStyle.GENERAL_GLO if general else CipheringStyle.GLO

    def gmac_challenge(self, challenge: bytes) -> bytes:
        """f(challenge) of HLS mechanism 5: SC || IC || GMAC over SC || AK || challenge."""
        counter = self._next_counter()
        tag = self._gmac(self.own_title, counter, challenge)
        return bytes([SecurityPolicy.AUTHENTICATED]) + counter.to_bytes(4, "big") + tag

    def check_gmac(self, challenge: bytes, answer: bytes) -> None:
        """Verify the peer's f(challenge) of mechanism 5; raise SecurityError.

        The counter inside is not ordered against the one of the APDU around it: makers differ in
        which they take first. Freshness comes from the challenge, which we drew.
        """
        if len(answer) != 5 + TAG_OCTETS or answer[0] != SecurityPolicy.AUTHENTICATED:
            raise SecurityError("answer to the HLS challenge is not SC || IC || GMAC")
        if self.peer_title is None:
            raise SecurityError("the peer's system title is not known")
        counter = int.from_bytes(answer[1:5], "big")
        if not bytes_eq(self._gmac(self.peer_title, counter, challenge), answer[5:]):
            raise SecurityError("the peer's answer to the HLS challenge does not verify")

    def _gmac(self, title: bytes, counter: int, challenge: bytes) -> bytes:
        control = int(SecurityPolicy.AUTHENTICATED)
        return self._gcm.seal(
            title=title, counter=counter, security_control=control, plain=challenge
        )[-TAG_OCTETS:]

    def _next_counter(self) -> int:
        counter = self._reserve()
        if not 0 <= counter <= COUNTER_LIMIT:
            raise SecurityError("invocation counter is spent: the key must be changed")
        return counter

    def _check_control(self, control: int) -> None:
        if control & _SUITE_MASK:
            raise SecurityError(f"security suite {control & _SUITE_MASK} is not suite 0")
        if control & (_KEY_SET_BROADCAST | _COMPRESSED):
            raise SecurityError(f"security control {control:#04x}: broadcast key or compression")
        if control & SecurityPolicy.BOTH != self._control:
            raise SecurityError(
                f"protected as {control:#04x} where the association asks {self._control:#04x}"
            )


def aes_challenge(secret: Secret, challenge: bytes) -> bytes:
    """f(challenge) of HLS mechanism 2 as Indian meters use it: AES-128-ECB of the challenge.

    The challenge is padded with zeros to whole blocks. Mechanism 2 is manufacturer specific in
    the Green Book; this form is what IS 15959 meters and their head-ends do.
    """
    if len(secret) != 16:
        raise LocalProtocolError("the HLS secret of mechanism 2 has 16 octets")
    padded = challenge + bytes(-len(challenge) % 16)
    # ECB is what the field's mechanism is; the challenge is random and used once.
    sealer = Cipher(algorithms.AES(secret.reveal()), modes.ECB()).encryptor()  # noqa: S305
    return sealer.update(padded) + sealer.finalize()


def check_aes_challenge(secret: Secret, challenge: bytes, answer: bytes) -> None:
    """Verify the peer's f(challenge) of mechanism 2 in constant time; raise SecurityError."""
    if not bytes_eq(aes_challenge(secret, challenge), answer):
        raise SecurityError("the peer's answer to the HLS challenge does not verify")
