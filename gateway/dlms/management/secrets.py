"""Requests that give a meter another secret.

The secret travels inside the ciphered association; a global key is wrapped by the meter's master
key besides (RFC 3394). Shapes: Blue Book classes 15 and 64; a transfer of one key as
``01 01 02 02 16 id 09 18 (24 octets)``, as Indian meters take it.
"""

from __future__ import annotations

from enum import IntEnum

from gateway.dlms import axdr
from gateway.dlms.association.requests import Action, Set
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import (
    AssociationAttribute,
    AssociationMethod,
    ClassId,
    SecuritySetupMethod,
)
from gateway.dlms.key_wrap import wrap_key
from gateway.model import Obis, Secret


class KeyId(IntEnum):
    """key_id of a global key transfer."""

    GLOBAL_UNICAST = 0
    GLOBAL_BROADCAST = 1
    AUTHENTICATION = 2


def write_secret(association: Obis, secret: Secret) -> Set:
    """The secret of an association written as its attribute (LLS)."""
    return Set(ClassId.ASSOCIATION_LN, association, AssociationAttribute.SECRET, _octets(secret))


def change_hls_secret(association: Obis, secret: Secret) -> Action:
    """The secret of an association changed by its method (HLS)."""
    method = AssociationMethod.CHANGE_HLS_SECRET
    return Action(ClassId.ASSOCIATION_LN, association, method, _octets(secret))


def transfer_key(setup: Obis, key_id: KeyId, master: Secret, key: Secret) -> Action:
    """A global key, wrapped by the master key, transferred to a security setup."""
    entry = (Data(Tag.ENUM, key_id), Data(Tag.OCTET_STRING, wrap_key(master, key)))
    data = axdr.encode(Data(Tag.ARRAY, (Data(Tag.STRUCTURE, entry),)))
    return Action(ClassId.SECURITY_SETUP, setup, SecuritySetupMethod.KEY_TRANSFER, data)


def _octets(secret: Secret) -> bytes:
    return axdr.encode(Data(Tag.OCTET_STRING, secret.reveal()))
