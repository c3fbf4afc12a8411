"""From recorded octets to a description: link, ciphering, APDU, values."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dlms import axdr
from gateway.dlms.apdu import Aare, Aarq, Apdu, CipheredApdu, Rlre, Rlrq, decode_apdu
from gateway.dlms.inspection.bodies import value_of
from gateway.dlms.inspection.describe import Described, describe
from gateway.dlms.inspection.framing import Piece, take_off, without_llc
from gateway.dlms.limits import Limits
from gateway.dlms.rows import decode_rows
from gateway.dlms.security import Gcm, GlobalKeys
from gateway.errors import DecodeError, RemoteProtocolError, SecurityError
from gateway.model import DATA_TYPE_NAMES

_FIRST_APDU_CHOICE = 0x01


@dataclass(frozen=True, slots=True)
class InspectionKeys:
    """Keys to open ciphered octets with; the title where the octets do not carry one."""

    keys: GlobalKeys | None = None
    system_title: bytes | None = None


@dataclass(frozen=True, slots=True)
class Quirks:
    """Deviations to bear while looking."""

    tagged_date_time: bool = False


class Inspector:
    """Explains recorded octets. Recorded counters repeat at will, so they are not ordered here."""

    def __init__(
        self,
        keys: InspectionKeys | None = None,
        quirks: Quirks | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._keys = keys or InspectionKeys()
        self._gcm = Gcm(self._keys.keys) if self._keys.keys else None
        self._title = self._keys.system_title
        self._quirks = quirks or Quirks()
        self._limits = limits or Limits()

    def inspect(self, octets: bytes) -> list[Described]:
        """Each message in the octets. Raises DecodeError, LimitExceeded or SecurityError."""
        messages: list[Described] = []
        frames: list[Piece] = []
        for piece in take_off(octets, self._limits):
            frames.append(piece)
            if not piece.segmented:
                messages.append(self._message(frames))
                frames = []
        if frames:
            messages.append(_part(frames))
        return messages

    def _message(self, frames: list[Piece]) -> Described:
        payload = without_llc(b"".join(piece.payload for piece in frames))
        described: Described = {**frames[-1].link}
        if len(frames) > 1:
            described["link_frames"] = len(frames)
        if payload:
            described |= self.apdu(payload)
        return described

    def apdu(self, octets: bytes) -> Described:
        """One APDU without link layer, or one bare A-XDR value."""
        try:
            apdu = self._decode(octets)
        except DecodeError as no_apdu:
            try:
                return _bare_data(octets)
            except RemoteProtocolError:
                raise no_apdu from None
        if isinstance(apdu, CipheredApdu):
            return self._ciphered(apdu)
        described = describe(apdu)
        if isinstance(apdu, (Aarq, Aare)):
            self._title = (
                apdu.calling_ap_title if isinstance(apdu, Aarq) else apdu.responding_ap_title
            ) or self._title
        if isinstance(apdu, (Aarq, Aare, Rlrq, Rlre)) and apdu.user_information:
            described |= self._user_information(apdu.user_information)
        return described

    def _decode(self, octets: bytes) -> Apdu:
        return decode_apdu(
            octets, limits=self._limits, tagged_date_time=self._quirks.tagged_date_time
        )

    def _user_information(self, octets: bytes) -> Described:
        """Fields of the initiate APDU; its own name stands under ``user_information``."""
        inner = self._decode(octets)
        described = self._ciphered(inner) if isinstance(inner, CipheredApdu) else describe(inner)
        described["user_information"] = (
            inner.name
            if isinstance(inner, CipheredApdu)
            else {
                "InitiateRequest": "initiate-request",
                "InitiateResponse": "initiate-response",
            }.get(str(described["apdu"]), described["apdu"])
        )
        del described["apdu"]
        return described

    def _ciphered(self, apdu: CipheredApdu) -> Described:
        described: Described = {
            "apdu": apdu.name,
            "ciphered": True,
            "security_control": f"{apdu.security_control:02X}",
            "invocation_counter": apdu.invocation_counter,
        }
        title = apdu.system_title or self._title
        if title:
            described["system_title"] = title.hex().upper()
        if self._gcm is None or not title:
            return described
        plain = self._gcm.open(
            title=title,
            counter=apdu.invocation_counter,
            security_control=apdu.security_control,
            body=apdu.body,
        )
        if not plain:
            raise SecurityError("a protected APDU holds nothing")
        inner = self.apdu(plain)
        name = inner.pop("apdu", None)
        return {
            **inner,
            **described,
            "plaintext_apdu": name,
            "plaintext_hex": plain.hex().upper(),
            "tag_verified": bool(apdu.security_control & 0x10),
        }


def _part(frames: list[Piece]) -> Described:
    """Segments whose end was not recorded."""
    return {
        **frames[-1].link,
        "incomplete": True,
        "information_octets": sum(len(piece.payload) for piece in frames),
    }


def _bare_data(octets: bytes) -> Described:
    """A-XDR without an APDU around it: a profile buffer as rows, anything else as its value."""
    data = axdr.decode(octets)
    described: Described = {
        "apdu": "none",
        "type": DATA_TYPE_NAMES.get(data.tag, str(data.tag)),
        "value": value_of(data),
    }
    if octets[0] == _FIRST_APDU_CHOICE:
        try:
            rows = decode_rows(octets)
        except DecodeError:
            return described
        described |= {"rows": len(rows), "columns": len(rows[0].values) if rows else 0}
    return described
