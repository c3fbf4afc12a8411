"""Associations that are open without an AARQ, as a profile's words have them; both roles.

Meters push through one (client 64 of IS 15959): nothing is negotiated, so the profile says what the
context, the ciphering and the conformance are. What a meter tells is a data-notification under
general-glo-ciphering (0xDB), as glo-ciphering has no form for it, or an event-notification under
either (0xDB, 0xCA). Both are taken whatever ``ciphering_style`` says: that is what is sent.

A listener gives the octets of one sender to a ``ClientConnection`` over any link (``BareLink``
where the datagram is the APDU) and opens it; ``title_of`` says whose keys those are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NoReturn

from gateway.dlms.apdu import CipheredApdu, decode_apdu
from gateway.dlms.association.settings import ClientSettings, ServerSettings
from gateway.dlms.limits import Limits
from gateway.dlms.security import (
    TITLE_OCTETS,
    CipheringStyle,
    GlobalKeys,
    ProtectionSettings,
    SecurityPolicy,
)
from gateway.errors import LocalProtocolError
from gateway.profile import Association, Ciphering

_POLICIES: Final = {
    Ciphering.NONE: SecurityPolicy.NONE,
    Ciphering.AUTHENTICATED: SecurityPolicy.AUTHENTICATED,
    Ciphering.ENCRYPTED: SecurityPolicy.ENCRYPTED,
    Ciphering.BOTH: SecurityPolicy.BOTH,
}
_LIMITS: Final = Limits()
_NO_TITLE: Final = bytes(TITLE_OCTETS)
"""Of who protects nothing."""


def policy_of(association: Association) -> SecurityPolicy:
    """What a profile's association applies to each APDU."""
    return _POLICIES[association.ciphering]


def style_of(association: Association) -> CipheringStyle:
    """Which APDU carries what a profile's association protects."""
    return CipheringStyle(association.ciphering_style.value)


def title_of(octets: bytes, limits: Limits = _LIMITS) -> bytes | None:
    """The system title that an APDU names, unverified: whose keys to try.

    None for an APDU that carries none. Raises DecodeError, LimitExceeded.
    """
    apdu = decode_apdu(octets, limits=limits)
    return (apdu.system_title or None) if isinstance(apdu, CipheredApdu) else None


def listener(
    association: Association,
    keys: GlobalKeys | None,
    *,
    rises: Callable[[bytes, int], bool],
    peer_title: bytes | None = None,
    tagged_date_time: bool = False,
    limits: Limits = _LIMITS,
) -> ClientSettings:
    """How the client believes what one meter tells; it sends nothing of its own.

    ``rises`` judges and makes durable each counter (see ``ProtectionSettings``). ``peer_title`` is
    needed where the meter sends none (glo-event-notification). Raises LocalProtocolError for an
    association that is not pre-established, or ciphers and has no keys.
    """
    protection = _protection(association, keys, _NO_TITLE, _nothing_to_send)
    if protection is not None:
        protection = replace(protection, rises=rises, peer_title=peer_title)
    return ClientSettings(
        protection=protection,
        pre_established=True,
        general_block_window=association.general_block_window,
        random_bytes=_nothing_to_draw,
        tagged_date_time=tagged_date_time,
        limits=limits,
    )


def teller(
    association: Association,
    keys: GlobalKeys | None,
    *,
    name: str,
    own_title: bytes,
    reserve: Callable[[], int],
    max_pdu_octets: int = 1024,
) -> ServerSettings:
    """How the meter tells, through ``ServerConnection.notify``; ``reserve`` as everywhere.

    Raises LocalProtocolError as ``listener`` does.
    """
    return ServerSettings(
        name=name,
        protection=_protection(association, keys, own_title, reserve),
        pre_established=True,
        general_block_window=association.general_block_window,
        random_bytes=_nothing_to_draw,
        max_pdu_octets=max_pdu_octets,
    )


def _protection(
    association: Association,
    keys: GlobalKeys | None,
    own_title: bytes,
    reserve: Callable[[], int],
) -> ProtectionSettings | None:
    if not association.pre_established:
        raise LocalProtocolError(f"client {association.client} associates by AARQ")
    policy = policy_of(association)
    if policy is SecurityPolicy.NONE:
        return None
    if keys is None:
        raise LocalProtocolError(f"client {association.client} ciphers, and no keys were given")
    return ProtectionSettings(
        keys=keys,
        own_title=own_title,
        policy=policy,
        reserve=reserve,
        style=style_of(association),
    )


def _nothing_to_send() -> NoReturn:
    raise LocalProtocolError("a listener sends nothing")


def _nothing_to_draw(_octets: int) -> NoReturn:
    raise LocalProtocolError("a pre-established association has no challenge")
