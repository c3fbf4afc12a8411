"""LLC header and segments (IEC 62056-46, 5 and 6.4.4.4.3.3).

The header stands before the first segment only and counts as part of its information field.
"""

from __future__ import annotations

from typing import Final

from gateway.dlms.hdlc.frame import Frame
from gateway.dlms.limits import Limits
from gateway.dlms.link import Role
from gateway.errors import LimitExceeded, RemoteProtocolError

_LLC: Final = {Role.CLIENT: b"\xe6\xe6\x00", Role.SERVER: b"\xe6\xe7\x00"}


def llc_header(sender: Role) -> bytes:
    """E6 E6 00 from a client, E6 E7 00 from a server."""
    return _LLC[sender]


def strip_llc(octets: bytes, sender: Role) -> bytes:
    """The APDU after its LLC header; raise RemoteProtocolError where there is none.

    Stations in the field write the header twice, which is borne from both: no APDU begins with
    its octets.
    """
    header = _LLC[sender]
    if not octets.startswith(header):
        raise RemoteProtocolError(
            f"LLC header {header.hex(' ')} expected, found {octets[:3].hex(' ') or 'nothing'}"
        )
    return octets[6:] if octets.startswith(header, 3) else octets[3:]


class Assembly:
    """Joins the information fields of segments into one APDU."""

    __slots__ = ("_limit", "_octets", "_sender")

    def __init__(self, sender: Role, limits: Limits) -> None:
        self._sender = sender
        self._limit = limits.apdu_octets + len(_LLC[sender])
        self._octets = bytearray()

    def add(self, frame: Frame) -> bytes | None:
        """Take the next segment; the APDU when it was the last one.

        Raises LimitExceeded past the APDU limit, RemoteProtocolError without LLC header.
        """
        if len(self._octets) + len(frame.information) > self._limit:
            self.clear()
            raise LimitExceeded(f"APDU in HDLC segments passes {self._limit - 3} octets")
        if not frame.segmented and not self._octets:
            return strip_llc(frame.information, self._sender)
        self._octets += frame.information
        if frame.segmented:
            return None
        whole = bytes(self._octets)
        self.clear()
        return strip_llc(whole, self._sender)

    def clear(self) -> None:
        """Forget what was begun."""
        self._octets.clear()
