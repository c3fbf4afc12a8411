"""Suite 0 against published vectors, and the rules around counters and tags."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import pytest

from gateway.dlms.apdu import CipheredApdu
from gateway.dlms.security import (
    CipheringStyle,
    Gcm,
    GlobalKeys,
    Protection,
    ProtectionSettings,
    SecurityPolicy,
    aes_challenge,
    check_aes_challenge,
)
from gateway.errors import LocalProtocolError, SecurityError
from gateway.model import Secret

POLICIES = (SecurityPolicy.AUTHENTICATED, SecurityPolicy.ENCRYPTED, SecurityPolicy.BOTH)
BOOK = tomllib.loads(
    (Path(__file__).parents[1] / "captures" / "greenbook_ciphered_suite0.toml").read_text()
)
KEYS = GlobalKeys(
    encryption=Secret(bytes.fromhex(BOOK["keys"]["encryption"])),
    authentication=Secret(bytes.fromhex(BOOK["keys"]["authentication"])),
)
TITLE = bytes.fromhex(BOOK["keys"]["system_title"])
COUNTER = BOOK["keys"]["invocation_counter"]


def protection(
    policy: SecurityPolicy = SecurityPolicy.BOTH,
    *,
    start: int = COUNTER,
    peer: bytes | None = TITLE,
    style: CipheringStyle = CipheringStyle.GLO,
    last: int = -1,
) -> Protection:
    return Protection(
        ProtectionSettings(
            keys=KEYS,
            own_title=TITLE,
            policy=policy,
            reserve=itertools.count(start).__next__,
            peer_title=peer,
            style=style,
            last_received={TITLE: last},
        )
    )


def test_the_published_get_request_encrypts_to_the_published_octets_and_back() -> None:
    vector = BOOK["expected"]["get_request"]
    plain, sealed = (bytes.fromhex(vector[k]) for k in ("plaintext_hex", "ciphertext_and_tag_hex"))
    gcm = Gcm(KEYS)
    given = {"title": TITLE, "counter": COUNTER, "security_control": 0x30}
    assert gcm.seal(plain=plain, **given) == sealed
    assert gcm.open(body=sealed, **given) == plain


def test_the_published_gmac_over_a_challenge_is_computed_and_verified() -> None:
    vector = BOOK["expected"]["gmac"]
    title = bytes.fromhex(vector["client_system_title"])
    challenge = bytes.fromhex(vector["server_to_client_challenge"])
    side = Protection(
        ProtectionSettings(
            keys=KEYS,
            own_title=title,
            policy=SecurityPolicy.NONE,
            reserve=itertools.count(vector["invocation_counter"]).__next__,
            peer_title=title,
        )
    )
    proof = side.gmac_challenge(challenge)
    assert proof == bytes.fromhex("1000000001" + vector["tag_hex"])
    side.check_gmac(challenge, proof)
    with pytest.raises(SecurityError):
        side.check_gmac(challenge[:-1] + b"\0", proof)


def test_the_published_initiate_request_is_protected_to_the_published_octets() -> None:
    vector = BOOK["expected"]["frame_3"]
    plain = bytes.fromhex(vector["plaintext_hex"])
    published = bytes.fromhex(BOOK["frames_hex"][3])
    assert protection().protect(plain) == published
    assert protection().unprotect(CipheredApdu.decode(published)) == plain


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
@pytest.mark.parametrize("style", list(CipheringStyle))
def test_what_one_side_protects_the_other_believes(
    policy: SecurityPolicy, style: CipheringStyle
) -> None:
    plain = bytes.fromhex(BOOK["expected"]["get_request"]["plaintext_hex"])
    sealed = protection(policy, style=style).protect(plain)
    assert protection(policy).unprotect(CipheredApdu.decode(sealed)) == plain


def get_request(policy: SecurityPolicy = SecurityPolicy.BOTH) -> CipheredApdu:
    plain = bytes.fromhex(BOOK["expected"]["get_request"]["plaintext_hex"])
    return CipheredApdu.decode(protection(policy).protect(plain))


def test_a_counter_that_does_not_rise_is_refused_and_zero_is_a_lawful_first() -> None:
    receiver = protection()
    receiver.unprotect(get_request())
    with pytest.raises(SecurityError, match="does not rise"):
        receiver.unprotect(get_request())
    with pytest.raises(SecurityError, match="does not rise"):
        protection(last=COUNTER + 1).unprotect(get_request())
    plain = bytes.fromhex("C0010000080000010000FF0200")
    first = CipheredApdu.decode(protection(start=0).protect(plain))
    assert protection().unprotect(first) == plain


def test_a_refused_message_does_not_move_the_counter() -> None:
    receiver = protection()
    good = get_request()
    forged = CipheredApdu(
        good.tag,
        good.system_title,
        good.security_control,
        good.invocation_counter + 1000,
        good.body,
    )
    with pytest.raises(SecurityError, match="tag"):
        receiver.unprotect(forged)
    assert receiver.unprotect(good)


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (0x31, "suite 1"),
        (0x10, "asks 0x30"),
        (0x20, "asks 0x30"),
        (0x00, "asks 0x30"),
        (0x70, "broadcast"),
        (0xB0, "compression"),
    ],
)
def test_another_security_control_than_agreed_is_refused(control: int, said: str) -> None:
    good = get_request()
    changed = CipheredApdu(good.tag, good.system_title, control, good.invocation_counter, good.body)
    with pytest.raises(SecurityError, match=said):
        protection().unprotect(changed)


def test_a_ciphering_tag_that_names_another_service_is_refused() -> None:
    good = get_request()
    renamed = CipheredApdu(
        0xCC, good.system_title, good.security_control, good.invocation_counter, good.body
    )
    with pytest.raises(SecurityError, match="another service"):
        protection().unprotect(renamed)


def test_an_unknown_or_another_system_title_is_refused() -> None:
    with pytest.raises(SecurityError, match="not known"):
        protection(peer=None).unprotect(get_request())
    general = CipheredApdu.decode(
        protection(style=CipheringStyle.GENERAL_GLO).protect(b"\xc0\x01\xc1" + bytes(10))
    )
    with pytest.raises(SecurityError, match="another system title"):
        protection(peer=b"OTHER\0\0\0").unprotect(general)


def test_counters_past_the_last_are_never_used() -> None:
    assert protection(start=0xFFFF_FFFF).protect(b"\xc0\x01")
    with pytest.raises(SecurityError, match="spent"):
        protection(start=0x1_0000_0000).protect(b"\xc0\x01")


def test_keys_and_titles_of_the_wrong_length_are_refused_without_being_shown() -> None:
    with pytest.raises(LocalProtocolError, match="16 octets") as raised:
        GlobalKeys(encryption=Secret(b"short-key"), authentication=Secret(bytes(16)))
    assert "short-key" not in str(raised.value)
    with pytest.raises(LocalProtocolError, match="8 octets"):
        protection(peer=b"short")


def test_mechanism_2_is_aes_of_the_challenge_under_the_secret() -> None:
    # FIPS 197 appendix C.1.
    secret = Secret(bytes(range(16)))
    challenge = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
    proof = bytes.fromhex("69C4E0D86A7B0430D8CDB78070B4C55A")
    assert aes_challenge(secret, challenge) == proof
    check_aes_challenge(secret, challenge, proof)
    with pytest.raises(SecurityError):
        check_aes_challenge(secret, challenge, proof[:-1] + b"\0")


def test_no_secret_shows_in_any_representation() -> None:
    side = protection()
    for thing in (
        KEYS,
        side,
        ProtectionSettings(
            keys=KEYS, own_title=TITLE, policy=SecurityPolicy.BOTH, reserve=lambda: 1
        ),
    ):
        shown = repr(thing) + str(thing)
        assert KEYS.encryption.reveal().hex() not in shown.replace("\\x", "")
        assert repr(KEYS.encryption.reveal()) not in shown
