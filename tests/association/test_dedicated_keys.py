"""Dedicated ciphering: one association's own key, and the global key that then may not serve."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway.dlms.apdu import (
    CipheredApdu,
    DataNotification,
    EventNotification,
    InitiateRequest,
    LongInvokeId,
    decode_apdu,
)
from gateway.dlms.apdu.ciphered import DEDICATED_TAGS
from gateway.dlms.association.requests import (
    Action,
    Answer,
    AssociationOpened,
    EventReport,
    Get,
    Notification,
    Set,
)
from gateway.dlms.association.settings import Authentication, DedicatedKey
from gateway.dlms.link import Role
from gateway.dlms.security import (
    DED_TAGS,
    CipheringStyle,
    Gcm,
    GlobalKeys,
    Protection,
    SecurityPolicy,
)
from gateway.errors import LocalProtocolError, SecurityError
from gateway.model import Secret
from tests.association.test_association_pair import (
    CLIENT_TITLE,
    KEYS,
    LINKS,
    LONG,
    LONG_VALUE,
    REGISTER,
    RELAY,
    SERVER_TITLE,
    Pair,
    protection,
    settings,
)
from tests.association.test_general_blocks import apdus, give, serve

KEY = Secret(bytes(range(64, 80)))
PLAIN = bytes.fromhex("C001C1000301000108 00FF0200")
BOTH = SecurityPolicy.BOTH


def dedicated_pair(
    link: str = "wrapper",
    *,
    authentication: Authentication = Authentication.LLS,
    style: CipheringStyle = CipheringStyle.GLO,
    stored: Secret | None = None,
    tolerate: bool = False,
    window: int | None = None,
    policy: SecurityPolicy = BOTH,
) -> Pair:
    client, server = settings(authentication, policy, style)
    assert client.protection is not None
    client = replace(
        client,
        dedicated=DedicatedKey(stored),
        protection=replace(client.protection, tolerate_global=tolerate),
        general_block_window=window,
    )
    pair = Pair(link, client, replace(server, general_block_window=window))
    assert isinstance(pair.open(), AssociationOpened)
    return pair


def sides(*, fresh: bool = True, tolerate: bool = False) -> tuple[Protection, Protection]:
    """A client and a server that agreed on ``KEY`` and are associated."""
    made = [
        Protection(
            replace(
                protection(role, BOTH),
                peer_title=SERVER_TITLE if role is Role.CLIENT else CLIENT_TITLE,
                tolerate_global=tolerate,
            )
        )
        for role in (Role.CLIENT, Role.SERVER)
    ]
    for side in made:
        side.take_dedicated(KEY, fresh=fresh)
        side.use_dedicated()
    return made[0], made[1]


def proposed_key(pair: Pair, keys: GlobalKeys = KEYS) -> Secret:
    """The dedicated key in the AARQ that a pair's client sent."""
    aarq = decode_apdu(apdus(pair.to_server)[0])
    ciphered = decode_apdu(aarq.user_information)  # type: ignore[union-attr, arg-type]
    assert isinstance(ciphered, CipheredApdu)
    initiate = decode_apdu(
        Gcm(keys).open(
            title=CLIENT_TITLE,
            counter=ciphered.invocation_counter,
            security_control=ciphered.security_control,
            body=ciphered.body,
        )
    )
    assert isinstance(initiate, InitiateRequest)
    assert initiate.dedicated_key is not None
    return initiate.dedicated_key


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("authentication", list(Authentication))
@pytest.mark.parametrize("style", list(CipheringStyle))
@pytest.mark.parametrize("policy", [SecurityPolicy.ENCRYPTED, BOTH])
@pytest.mark.parametrize("window", [None, 8])
def test_everything_in_an_association_goes_under_its_own_key(
    link: str,
    authentication: Authentication,
    style: CipheringStyle,
    policy: SecurityPolicy,
    window: int | None,
) -> None:
    pair = dedicated_pair(
        link, authentication=authentication, style=style, policy=policy, window=window
    )
    before = len(pair.to_server), len(pair.to_client)
    answer = pair.ask(Get(7, LONG, 2))
    assert isinstance(answer, Answer)
    assert answer.data == LONG_VALUE
    assert isinstance(pair.ask(Set(3, REGISTER, 2, b"\x11\x07")), Answer)
    assert pair.objects.value == b"\x11\x07"
    assert isinstance(pair.ask(Action(70, RELAY, 1, b"\x0f\x00")), Answer)
    if link == "wrapper" and window is None:
        sent = apdus(pair.to_server[before[0] :]) + apdus(pair.to_client[before[1] :])
        specific = {0xD0, 0xD1, 0xD3, 0xD4, 0xD5, 0xD7}
        general = style is CipheringStyle.GENERAL_GLO
        assert {octets[0] for octets in sent} == ({0xDC} if general else specific)


def test_each_association_draws_a_fresh_key_unless_one_is_stored() -> None:
    drawn = [proposed_key(dedicated_pair()) for _ in range(2)]
    assert drawn[0] == Secret(b"\x01" * 16)  # What the pair's source of randomness gives first.
    assert proposed_key(dedicated_pair(stored=KEY)) == KEY
    client, server = settings(Authentication.LLS, BOTH)
    counted = itertools.count(1)
    both = [
        Pair(
            "wrapper",
            replace(
                client,
                dedicated=DedicatedKey(),
                random_bytes=lambda length: bytes([next(counted)]) * length,
            ),
            server,
        )
        for _ in range(2)
    ]
    for pair in both:
        pair.open()
    assert proposed_key(both[0]) != proposed_key(both[1])


def test_a_key_is_not_proposed_where_it_would_stand_in_plain_text() -> None:
    for policy in (None, SecurityPolicy.AUTHENTICATED):
        client, _ = settings(Authentication.LLS, policy)
        with pytest.raises(LocalProtocolError, match="an association that encrypts"):
            replace(client, dedicated=DedicatedKey())


def test_the_key_shows_nowhere() -> None:
    assert "64" not in repr(DedicatedKey(KEY))
    assert repr(DedicatedKey(KEY)) == "DedicatedKey(stored=<secret>)"


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(32)])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(SecurityError, match="16 octets"):
        sides()[0].take_dedicated(Secret(key), fresh=True)


def test_dedicated_tags_are_the_standards_and_what_opens_an_association_has_none() -> None:
    assert DED_TAGS == {
        0xC0: 0xD0,
        0xC1: 0xD1,
        0xC2: 0xD2,
        0xC3: 0xD3,
        0xC4: 0xD4,
        0xC5: 0xD5,
        0xC7: 0xD7,
    }
    assert {*DED_TAGS.values(), 0xDC} == DEDICATED_TAGS


# --- what is believed ----------------------------------------------------------------------


def test_the_global_key_protects_nothing_once_a_dedicated_one_was_agreed_on() -> None:
    client, server = sides()
    server.forget_dedicated()
    glo = CipheredApdu.decode(server.protect(PLAIN))
    with pytest.raises(SecurityError, match="glo-get-request where a dedicated key was agreed on"):
        client.unprotect(glo)
    tolerant, _ = sides(tolerate=True)
    assert tolerant.unprotect(glo) == PLAIN


def test_a_dedicated_key_that_was_not_agreed_on_protects_nothing() -> None:
    client, server = sides()
    sent = CipheredApdu.decode(server.protect(PLAIN))
    client.forget_dedicated()
    with pytest.raises(SecurityError, match="no dedicated key was agreed on"):
        client.unprotect(sent)


def test_the_tag_says_which_key_and_only_that_key_opens_it() -> None:
    client, server = sides()
    sent = CipheredApdu.decode(server.protect(PLAIN))
    assert sent.tag == 0xD0
    with pytest.raises(SecurityError, match="does not verify"):
        sides(tolerate=True)[0].unprotect(replace(sent, tag=0xC8))
    with pytest.raises(SecurityError, match="holds another service"):
        sides()[0].unprotect(replace(sent, tag=0xD4))
    other, _ = sides()
    other.take_dedicated(Secret(bytes(16)), fresh=True)
    with pytest.raises(SecurityError, match="does not verify"):
        other.unprotect(sent)
    assert client.unprotect(sent) == PLAIN


def test_every_flipped_bit_under_a_dedicated_key_is_refused() -> None:
    _, server = sides()
    sent = server.protect(PLAIN)
    for position in range(2, len(sent)):
        for bit in range(8):
            octets = bytearray(sent)
            octets[position] ^= 1 << bit
            with pytest.raises(SecurityError):
                sides()[0].unprotect(CipheredApdu.decode(bytes(octets)))


def test_counters_rise_under_each_key_and_own_ones_never_repeat_under_any() -> None:
    client, server = sides(tolerate=True)
    sent = [CipheredApdu.decode(server.protect(PLAIN)) for _ in range(2)]
    server.forget_dedicated()
    sent.append(CipheredApdu.decode(server.protect(PLAIN)))
    assert [apdu.invocation_counter for apdu in sent] == [1, 2, 3]
    # The global key's order does not stand in the way of the fresh key's, nor is it moved by it.
    client.unprotect(sent[2])
    assert client.last_received == 3
    client.unprotect(sent[1])
    assert client.last_received == 3
    for replayed in (sent[0], sent[1], sent[2]):
        with pytest.raises(SecurityError, match="does not rise"):
            client.unprotect(replayed)


def test_a_stored_key_does_not_let_in_what_was_recorded_in_an_earlier_association() -> None:
    client, server = sides(fresh=False)
    recorded = CipheredApdu.decode(server.protect(PLAIN))
    client.unprotect(recorded)
    # It is what a session makes durable, and begins its next one with.
    assert client.last_received == 1
    again = Protection(
        replace(
            protection(Role.CLIENT, BOTH),
            peer_title=SERVER_TITLE,
            last_received={SERVER_TITLE: client.last_received},
        )
    )
    again.take_dedicated(KEY, fresh=False)
    again.use_dedicated()
    with pytest.raises(SecurityError, match="does not rise above 1"):
        again.unprotect(recorded)


def test_what_was_recorded_under_another_fresh_key_does_not_verify() -> None:
    recorded = CipheredApdu.decode(sides()[1].protect(PLAIN))
    later, _ = sides()
    later.forget_dedicated()
    later.take_dedicated(Secret(bytes(range(16, 32))), fresh=True)
    later.use_dedicated()
    with pytest.raises(SecurityError, match="does not verify"):
        later.unprotect(recorded)


# --- within an association -----------------------------------------------------------------


FORGED = b"\xc4\x01\x42\x00\x11\x01"


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (FORGED, "plain GetResponseNormal"),
        (
            Protection(protection(Role.SERVER, BOTH, start=5000)).protect(FORGED),
            "glo-get-response where a dedicated key",
        ),
        (None, "does not rise"),
    ],
    ids=["plain text", "the global key", "a replay"],
)
def test_what_is_not_protected_as_agreed_ends_the_session(forged: bytes | None, said: str) -> None:
    pair = dedicated_pair()
    pair.ask(Get(3, REGISTER, 2))
    recorded = apdus(pair.to_client)[-1]
    pair.client.send(Get(3, REGISTER, 2))
    with pytest.raises(SecurityError, match=said):
        give(pair, forged or recorded)


def test_a_server_refuses_requests_under_the_global_key() -> None:
    pair = dedicated_pair()
    forged = Protection(protection(Role.CLIENT, BOTH, start=5000)).protect(PLAIN)
    assert serve(pair, forged) == [b"\xd8\x01\x05"]
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


def test_a_server_that_tolerates_the_global_key_answers_with_the_one_it_was_asked_with() -> None:
    client, server = settings(Authentication.LLS, BOTH)
    assert server.protection is not None
    tolerant = replace(server, protection=replace(server.protection, tolerate_global=True))
    pair = Pair("wrapper", replace(client, dedicated=DedicatedKey()), tolerant)
    pair.open()
    forged = Protection(protection(Role.CLIENT, BOTH, start=5000)).protect(PLAIN)
    assert serve(pair, forged)[0][0] == 0xCC
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)
    assert apdus(pair.to_client)[-1][0] == 0xD4


@pytest.mark.parametrize("stored", [None, KEY], ids=["fresh", "stored"])
def test_only_a_stored_keys_counters_are_for_later_sessions_to_know(stored: Secret | None) -> None:
    pair = dedicated_pair(stored=stored)
    opened_with = pair.client.last_received_counter
    answer = pair.ask(Get(3, REGISTER, 2))
    assert isinstance(answer, Answer)
    known = pair.client.last_received_counter
    assert known == (opened_with if stored is None else answer.invocation_counter)


def test_a_new_association_forgets_the_key_of_the_former() -> None:
    pair = dedicated_pair()
    client, _ = settings(Authentication.LLS, BOTH)
    assert client.protection is not None
    plain = replace(
        client, protection=replace(client.protection, reserve=itertools.count(99).__next__)
    )
    again = Pair("wrapper", plain, settings(Authentication.LLS, BOTH)[1])
    again.server = pair.server
    assert isinstance(again.open(), AssociationOpened)
    assert isinstance(again.ask(Get(3, REGISTER, 2)), Answer)
    assert apdus(again.to_client)[-1][:1] == b"\xcc"


@pytest.mark.parametrize("style", list(CipheringStyle))
def test_what_comes_unasked_goes_under_the_key_of_the_association(style: CipheringStyle) -> None:
    pair = dedicated_pair(style=style)
    pair.ask(Get(3, REGISTER, 2))
    pair.server.notify(DataNotification(LongInvokeId(7), b"", b"\x11\x05"))
    told = pair.run()
    assert isinstance(told, Notification)
    assert (told.data, told.server_system_title) == (b"\x11\x05", SERVER_TITLE)
    # A data-notification has no form of its own: the general one carries it.
    assert apdus(pair.to_client)[-1][:1] == b"\xdc"
    pair.server.notify(EventNotification(b"", 3, REGISTER, 2, b"\x11\x06"))
    assert isinstance(pair.run(), EventReport)
    general = style is CipheringStyle.GENERAL_GLO
    assert apdus(pair.to_client)[-1][:1] == (b"\xdc" if general else b"\xd2")


def test_an_event_under_the_global_key_is_told_only_where_that_is_tolerated() -> None:
    event = EventNotification(b"", 3, REGISTER, 2, b"\x11\x06").encode()
    forged = Protection(protection(Role.SERVER, BOTH, start=5000)).protect(event)
    assert isinstance(give(dedicated_pair(tolerate=True), forged), EventReport)
    with pytest.raises(SecurityError, match="dedicated key was agreed on"):
        give(dedicated_pair(), forged)
