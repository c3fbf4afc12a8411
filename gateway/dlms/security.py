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

from gateway.dlms.apdu.ciphered import GENERAL_DED, GENERAL_GLO, CipheredApdu
from gateway.dlms.word import Word
from gateway.errors import LocalProtocolError, SecurityError
from gateway.model import Secret

KEY_OCTETS: Final = 16
TAG_OCTETS: Final = 12
TITLE_OCTETS: Final = 8
COUNTER_LIMIT: Final = 0xFFFF_FFFF
"""Invocation counters are double-long-unsigned; past this the key is spent."""

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

DED_TAGS: Final = {plain: glo + 8 for plain, glo in GLO_TAGS.items() if plain >= 0xC0}
"""Plain APDU tag -> its dedicated ciphering tag. What opens an association has none: the key is
inside it. A data-notification has neither form: the general ones carry it."""

DATA_NOTIFICATION: Final = 0x0F


class Replayed(SecurityError):
    """The invocation counter of a received APDU does not rise: an old message sent again."""


class SecurityPolicy(IntEnum):
    """What was applied, as bits 4 and 5 of the security control octet say it."""

    NONE = 0
    AUTHENTICATED = 0x10
    ENCRYPTED = 0x20
    BOTH = 0x30


_OPENING: Final = (0x01, 0x08)
"""Initiate-request and -response: under the global key, in their own form, in every style."""
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
            if len(getattr(self, name)) != KEY_OCTETS:
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
    ``rises`` says whether a counter rises above all that were believed of that title, and has made
    it durable when it says yes: for whoever keeps the counters of many senders itself. It is asked
    last, so that nothing that is forged moves a counter.
    ``tolerate_global`` believes what comes under the global key also where a dedicated one was
    agreed on: for meters that report events so in the middle of an association. It is off, because
    a dedicated key is agreed on to keep the global one off the wire, and because an answer that
    was recorded under the global key must not pass for one of this association.
    """

    keys: GlobalKeys
    own_title: bytes
    policy: SecurityPolicy
    reserve: Callable[[], int]
    last_received: Mapping[bytes, int] = field(default_factory=dict)
    received_floor: int = -1
    peer_title: bytes | None = None
    style: CipheringStyle = CipheringStyle.GLO
    tolerate_global: bool = False
    rises: Callable[[bytes, int], bool] | None = None

    def __post_init__(self) -> None:
        for title in (self.own_title, self.peer_title):
            if title is not None and len(title) != TITLE_OCTETS:
                raise LocalProtocolError("a system title has 8 octets")


class Protection:
    """Protects what is sent and believes only what is protected as agreed.

    Own counters come from one sequence for all keys, so that no nonce repeats under any of them,
    and a meter that keeps one counter for all keys is served as well as one that keeps a counter
    for each (IEC 62056-5-3). Received ones are ordered for each key: a fresh dedicated key may
    start anywhere, one that served before goes on behind what was believed before.
    """

    def __init__(self, settings: ProtectionSettings) -> None:
        self._gcm = Gcm(settings.keys)
        self._keys = settings.keys
        self._reserve = settings.reserve
        self._control = int(settings.policy)
        self.policy = settings.policy
        self.style = settings.style
        self.own_title = settings.own_title
        self.peer_title = settings.peer_title
        self._tolerate_global = settings.tolerate_global
        self._rises = settings.rises
        self._last_received = dict(settings.last_received)
        self._received_floor = settings.received_floor
        self._dedicated: Gcm | None = None
        self._last_dedicated: int | None = None
        """None where the dedicated key is ordered with the global one."""
        self._uses_dedicated = False
        self._only_dedicated = False

    @property
    def last_received(self) -> int:
        """Highest invocation counter believed from the peer under the global key; -1 if none."""
        return self._last_of(self.peer_title or b"")

    def _last_of(self, title: bytes) -> int:
        return max(self._last_received.get(title, -1), self._received_floor)

    def take_dedicated(self, key: Secret, *, fresh: bool) -> None:
        """Believe also what the key of this association protects; ``fresh``: never used before."""
        if len(key) != KEY_OCTETS:
            raise SecurityError(f"a dedicated key of suite 0 has 16 octets, not {len(key)}")
        authentication = self._keys.authentication
        self._dedicated = Gcm(GlobalKeys(encryption=key, authentication=authentication))
        self._last_dedicated = -1 if fresh else None

    def use_dedicated(self) -> None:
        """The association is open: from now on nothing else is sent, or believed.

        Without a dedicated key nothing changes.
        """
        self._uses_dedicated = self._dedicated is not None
        self._only_dedicated = self._uses_dedicated and not self._tolerate_global

    def forget_dedicated(self) -> None:
        """Its association is over, and so is the key."""
        self._dedicated = None
        self._uses_dedicated = self._only_dedicated = False

    def rekey(self, keys: GlobalKeys) -> None:
        """Go on under other keys; counters stay as they are."""
        self._gcm = Gcm(keys)
        self._keys = keys

    def protect(self, apdu: bytes) -> bytes:
        """Return the ciphered APDU for a plain one, under a fresh invocation counter.

        Raises LocalProtocolError for a service that has no protected form in this style, and
        whatever ``reserve`` raises when the counter cannot be made durable or is spent.
        """
        own = self._uses_dedicated and apdu[0] not in _OPENING
        dedicated = self._dedicated if own else None
        tag = self._tag(apdu[0], dedicated=dedicated is not None)
        counter = self._next_counter()
        body = (dedicated or self._gcm).seal(
            title=self.own_title, counter=counter, security_control=self._control, plain=apdu
        )
        return CipheredApdu(
            tag=tag,
            system_title=self.own_title if tag in (GENERAL_GLO, GENERAL_DED) else None,
            security_control=self._control,
            invocation_counter=counter,
            body=body,
        ).encode()

    def _tag(self, plain: int, *, dedicated: bool) -> int:
        general = self.style is CipheringStyle.GENERAL_GLO and plain not in _OPENING
        if general or plain == DATA_NOTIFICATION:
            return GENERAL_DED if dedicated else GENERAL_GLO
        tag = (DED_TAGS if dedicated else GLO_TAGS).get(plain)
        if tag is None:
            raise LocalProtocolError(f"APDU {plain:#04x} has no ciphered form")
        return tag

    def unprotect(self, apdu: CipheredApdu) -> bytes:
        """Return the plain APDU; raise SecurityError if any check fails.

        Checks, in this order: suite and policy, the key that was agreed on, system title, counter
        rises, tag, and that the plain APDU is the one its ciphering tag names.
        """
        self._check_control(apdu.security_control)
        dedicated = apdu.is_dedicated
        gcm = self._key_of(apdu, dedicated=dedicated)
        title = apdu.system_title or self.peer_title
        if title is None:
            raise SecurityError("the peer's system title is not known")
        if len(title) != TITLE_OCTETS:
            raise SecurityError("a system title has 8 octets")
        if self.peer_title is not None and title != self.peer_title:
            raise SecurityError("protected under another system title than the association's")
        own_order = self._last_dedicated if dedicated else None
        last = self._last_of(title) if own_order is None else own_order
        if apdu.invocation_counter <= last:
            raise Replayed(
                f"invocation counter {apdu.invocation_counter} does not rise above {last}"
            )
        plain = gcm.open(
            title=title,
            counter=apdu.invocation_counter,
            security_control=apdu.security_control,
            body=apdu.body,
        )
        if not plain:
            raise SecurityError("a protected APDU holds nothing")
        tags = DED_TAGS if dedicated else GLO_TAGS
        if not apdu.is_general and tags.get(plain[0]) != apdu.tag:
            raise SecurityError(
                f"ciphering tag {apdu.tag:#04x} holds another service: {plain[0]:#04x}"
            )
        if self._rises is not None and not self._rises(title, apdu.invocation_counter):
            raise Replayed(f"invocation counter {apdu.invocation_counter} does not rise")
        if own_order is None:
            self._last_received[title] = apdu.invocation_counter
        else:
            self._last_dedicated = apdu.invocation_counter
        self.peer_title = title
        return plain

    def _key_of(self, apdu: CipheredApdu, *, dedicated: bool) -> Gcm:
        if not dedicated:
            if self._only_dedicated:
                raise SecurityError(f"{apdu.name} where a dedicated key was agreed on")
            return self._gcm
        if self._dedicated is None:
            raise SecurityError(f"{apdu.name}, and no dedicated key was agreed on")
        return self._dedicated

    def answer_like(self, apdu: CipheredApdu) -> None:
        """Server: protect answers in the style, and with the key, that the client asked with."""
        self.style = CipheringStyle.GENERAL_GLO if apdu.is_general else CipheringStyle.GLO
        self._uses_dedicated = apdu.is_dedicated and self._dedicated is not None

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
