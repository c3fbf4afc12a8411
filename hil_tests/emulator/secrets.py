"""How an emulated meter takes other secrets: its associations', and global keys (class 64)."""

from __future__ import annotations

from typing import Final

from gateway.dlms.apdu.results import ActionResult, DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.key_wrap import unwrap_key
from gateway.errors import SecurityError
from gateway.model import Secret
from hil_tests.emulator.keys import MeterKeys
from hil_tests.emulator.objects import FIRMWARE, METER_READER, UTILITY_SETTINGS, Setter

_OF_ASSOCIATION: Final = {
    METER_READER: "lls_password",
    UTILITY_SETTINGS: "hls_secret",
    FIRMWARE: "hls_secret_firmware",
}
_OF_KEY_ID: Final = {0: "guek", 2: "gak"}
_HLS_OCTETS: Final = 16


def secret_setter(keys: MeterKeys, association: str) -> Setter:
    """What changes the secret of an association."""
    name = _OF_ASSOCIATION.get(association)

    def take(data: Data) -> None:
        if name is None or data.tag != Tag.OCTET_STRING or not isinstance(data.value, bytes):
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
        if len(data.value) != _HLS_OCTETS and association != METER_READER:
            raise AccessRefused(DataAccessResult.OTHER_REASON)
        keys.change(name, Secret(data.value))

    return take


def transfer_keys(keys: MeterKeys, data: Data | None) -> None:
    """global_key_transfer: an array of {key_id, key wrapped by the master key}; all or none."""
    taken: list[tuple[str, Secret]] = []
    for entry in data.value if data is not None and isinstance(data.value, tuple) else ():
        match entry.value:
            case (Data(tag=Tag.ENUM, value=int(key_id)), Data(value=bytes(wrapped))):
                if key_id not in _OF_KEY_ID:
                    raise AccessRefused(ActionResult.OTHER_REASON)
                try:
                    taken.append((_OF_KEY_ID[key_id], unwrap_key(keys.master, wrapped)))
                except SecurityError:
                    raise AccessRefused(ActionResult.OTHER_REASON) from None
            case _:
                raise AccessRefused(ActionResult.TYPE_UNMATCHED)
    if not taken:
        raise AccessRefused(ActionResult.TYPE_UNMATCHED)
    for name, key in taken:
        keys.change(name, key)
