"""From recorded octets to a description: link, ciphering, APDU, values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.dlms.apdu import (
    Aare,
    Aarq,
    Apdu,
    CipheredApdu,
    DataNotification,
    GeneralBlockTransfer,
    GetResponseWithDatablock,
    InitiateRequest,
    Rlre,
    Rlrq,
    decode_apdu,
)
from gateway.dlms.inspection.blocks import GeneralBlocks, describe_block
from gateway.dlms.inspection.describe import describe, describe_data
from gateway.dlms.inspection.descriptors import UNTAGGED_DESCRIPTORS, with_named_values
from gateway.dlms.inspection.framing import Described, Piece, hdlc_frames, take_off
from gateway.dlms.inspection.opening import InspectionKeys, Opener
from gateway.dlms.limits import Limits
from gateway.dlms.security import SecurityPolicy
from gateway.errors import DecodeError, RemoteProtocolError, SecurityError

_USER_INFORMATION = {
    "InitiateRequest": "initiate-request",
    "InitiateResponse": "initiate-response",
}


@dataclass(frozen=True, slots=True)
class Quirks:
    """Deviations to bear while looking."""

    tagged_date_time: bool = False
    untagged_descriptors: bool = False


class Inspector:
    """Explains recorded octets; one inspector for octets that belong to one conversation.

    What an association says (titles, dedicated key) and the blocks of a transfer serve the
    messages behind them. Nothing of a ciphered message is shown before its tag was verified.
    """

    def __init__(
        self,
        keys: InspectionKeys | None = None,
        quirks: Quirks | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._opener = Opener(keys or InspectionKeys())
        self._quirks = quirks or Quirks()
        self._limits = limits or Limits()
        self._block_limits = self._limits.of_blocks()
        self._blocks: list[bytes] = []
        self._general_blocks = GeneralBlocks(self._limits)

    def inspect(self, octets: bytes) -> list[Described]:
        """Each message in the octets. Raises DecodeError, LimitExceeded or SecurityError."""
        return [self._message(piece) for piece in take_off(octets, self._limits)]

    def link_frames(self, octets: bytes) -> Described:
        """The good HDLC frames in a stream, whatever they carry."""
        frames, stuffed = hdlc_frames(octets, self._limits)
        return {
            "octet_stuffing": stuffed,
            "frames_found": len(frames),
            # A frame whose length or check is wrong is none.
            "frames": [
                {
                    "fcs_ok": True,
                    "length_ok": True,
                    "payload_hex": frame.information.hex().upper(),
                }
                for frame in frames
            ],
        }

    def apdu(self, octets: bytes) -> Described:
        """One APDU without link layer, or one bare A-XDR value."""
        try:
            apdu = self._decode(octets)
        except DecodeError as no_apdu:
            try:
                return describe_data(octets)
            except RemoteProtocolError:
                raise no_apdu from None
        return self._described(apdu)

    def _message(self, piece: Piece) -> Described:
        if not piece.complete:
            octets = len(piece.payload)
            return {**piece.link, "incomplete": True, "information_octets": octets}
        return piece.link | (self.apdu(piece.payload) if piece.payload else {})

    def _decode(self, octets: bytes) -> Apdu:
        tagged = self._quirks.tagged_date_time
        return decode_apdu(octets, limits=self._block_limits, tagged_date_time=tagged)

    def _described(self, apdu: Apdu) -> Described:
        if isinstance(apdu, CipheredApdu):
            return self._ciphered(apdu)
        if isinstance(apdu, GeneralBlockTransfer):
            return self._block(apdu)
        described = self._describe(apdu)
        match apdu:
            case Aarq():
                self._opener.client_title = apdu.calling_ap_title or self._opener.client_title
            case Aare():
                self._opener.server_title = apdu.responding_ap_title or self._opener.server_title
            case InitiateRequest() if apdu.dedicated_key:
                self._opener.dedicated = apdu.dedicated_key
            case GetResponseWithDatablock():
                described |= self._transfer(apdu)
            case _:
                pass
        if isinstance(apdu, (Aarq, Aare, Rlrq, Rlre)) and apdu.user_information:
            inner = self._user_information(apdu.user_information)
            stated = {name: value for name, value in described.items() if value is not None}
            return described | inner | stated
        return described

    def _describe(self, apdu: Apdu) -> Described:
        try:
            return describe(apdu)
        except DecodeError:
            if not (self._quirks.untagged_descriptors and isinstance(apdu, DataNotification)):
                raise
        tagged = replace(apdu, data=with_named_values(apdu.data))
        return describe(tagged) | {"quirk": UNTAGGED_DESCRIPTORS}

    def _user_information(self, octets: bytes) -> Described:
        """Fields of the initiate APDU; its own name stands under ``user_information``."""
        apdu = self._decode(octets)
        if isinstance(apdu, (Aarq, Aare, Rlrq, Rlre)):
            raise DecodeError("an association APDU within an association APDU", 0)
        described = self._described(apdu)
        name = str(described.pop("apdu"))
        return {**described, "user_information": _USER_INFORMATION.get(name, name)}

    def _ciphered(self, apdu: CipheredApdu) -> Described:
        described: Described = {
            "apdu": apdu.name,
            "ciphered": True,
            "security_control": f"{apdu.security_control:02X}",
            "invocation_counter": apdu.invocation_counter,
        }
        title = self._opener.title_of(apdu)
        if title:
            described["system_title"] = title.hex().upper()
        missing = self._opener.missing(apdu)
        if missing:
            return described | {"not_deciphered": f"not known: {missing}"}
        plain = self._opener.open(apdu)
        inner = self._inner(plain, apdu.security_control)
        name = inner.pop("apdu")
        return {
            **inner,
            **described,
            "plaintext_apdu": name,
            "plaintext_hex": plain.hex().upper(),
            "tag_verified": bool(apdu.security_control & SecurityPolicy.AUTHENTICATED),
        }

    def _inner(self, plain: bytes, security_control: int) -> Described:
        try:
            apdu = self._decode(plain)
            if isinstance(apdu, (CipheredApdu, GeneralBlockTransfer)):
                raise DecodeError(f"{type(apdu).__name__} within a ciphered APDU", 0)
            return self._described(apdu)
        except RemoteProtocolError as error:
            if security_control & SecurityPolicy.AUTHENTICATED:
                raise
            # No tag was sent, so this is the only sign that a key is wrong.
            raise SecurityError(
                f"deciphered octets are no APDU: wrong key, or changed octets ({error})"
            ) from None

    def _block(self, block: GeneralBlockTransfer) -> Described:
        """One block, with the APDU that it completes where all of it was recorded."""
        described = describe_block(block)
        completed = self._general_blocks.take(block)
        if completed is None:
            return described
        first, whole = completed
        try:
            apdu = self._decode(whole)
            if isinstance(apdu, GeneralBlockTransfer):
                raise DecodeError("a general block within general blocks", 0)
            inner = self._described(apdu)
        except DecodeError as error:
            if first == 1:
                raise
            return described | {"not_reassembled": f"blocks from {first} on are no APDU ({error})"}
        self._general_blocks.understood()
        name = inner.pop("apdu")
        return {
            **inner,
            **described,
            "reassembled_apdu": name,
            "reassembled_octets": len(whole),
            "reassembled_hex": whole.hex().upper(),
        }

    def _transfer(self, block: GetResponseWithDatablock) -> Described:
        """The joined value where this was the last block of a transfer seen from its first."""
        if block.data is None or block.number not in (1, len(self._blocks) + 1):
            self._blocks.clear()
            return {}
        if block.number == 1:
            self._blocks.clear()
        self._blocks.append(block.data)
        if not block.last:
            return {}
        whole = b"".join(self._blocks)
        self._blocks.clear()
        joined = describe_data(whole)
        del joined["apdu"]
        return joined
