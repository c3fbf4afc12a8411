"""One HDLC frame (IEC 62056-46, 6.4; ISO/IEC 13239 frame format type 3).

``flag | format(2) destination source control [HCS(2) information] FCS(2) | flag``; the length in
the format field counts everything between the flags. There is no octet stuffing: a flag octet
may stand anywhere inside, so a frame is cut by its length.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final, NamedTuple

from fastcrc.crc16 import ibm_sdlc

from gateway.dlms.hdlc.address import address_end
from gateway.dlms.link import NEED_DATA, NeedData
from gateway.dlms.word import Word
from gateway.errors import DecodeError, LocalProtocolError

FLAG: Final = 0x7E
POLL_FINAL: Final = 0x10
MAX_FRAME_OCTETS: Final = 2047
"""Between the flags: the length field has 11 bits."""

_FORMAT_TYPE = 0xA0
_SEGMENTED = 0x08
_GOOD = 0x0F47
"""CRC-16/X-25 over octets followed by their own checksum."""


class FrameType(Word):
    """Commands and responses of the DLMS profile, and REJ.

    The value is the control field without poll/final bit and sequence numbers.
    """

    I = 0x00  # noqa: E741 - the standard's name
    RR = 0x01
    RNR = 0x05
    REJ = 0x09
    """Go back to N(R). Not of the DLMS profile: understood from a peer, never sent."""
    UI = 0x03
    DM = 0x0F
    DISC = 0x43
    UA = 0x63
    SNRM = 0x83
    FRMR = 0x87


def _frame_type(control: int) -> FrameType | None:
    if control & 1 == 0:
        return FrameType.I
    value = control & (0x0F if control & 3 == 1 else 0xEF)
    return next((kind for kind in FrameType if kind.value == value), None)


_TYPES = tuple(_frame_type(control) for control in range(256))


class Frame(NamedTuple):
    """A frame whose checks were right.

    Addresses are the octets on the wire (``HdlcAddress.decode`` reads them); ``information`` is
    b"" where the field is absent.
    """

    destination: bytes
    source: bytes
    control: int
    information: bytes
    segmented: bool

    @property
    def type(self) -> FrameType | None:
        """None for a control field outside the DLMS profile."""
        return _TYPES[self.control]

    @property
    def send_sequence(self) -> int:
        """N(S), of I frames."""
        return self.control >> 1 & 7

    @property
    def receive_sequence(self) -> int:
        """N(R), of I, RR, RNR and REJ frames."""
        return self.control >> 5

    @property
    def poll_final(self) -> bool:
        """Whether the turn passes to the other station."""
        return bool(self.control & POLL_FINAL)


class Reject(IntFlag):
    """Reasons of a frame reject (third octet of its information field)."""

    UNDEFINED_CONTROL = 1
    INFORMATION_NOT_PERMITTED = 2
    INFORMATION_TOO_LONG = 4
    INVALID_RECEIVE_SEQUENCE = 8


def encode_reject(control: int, send: int, receive: int, reason: Reject) -> bytes:
    """Information field of FRMR: the refused control field, V(S), V(R), reason."""
    return bytes((control, receive << 5 | send << 1, reason))


def describe_reject(information: bytes) -> str:
    """What a FRMR says, for people."""
    if len(information) < 3:
        return "no reason given"
    names = [flag.name or "" for flag in Reject if information[2] & flag]
    reasons = ", ".join(name.lower().replace("_", " ") for name in names)
    return f"{reasons or 'no reason given'} (control field {information[0]:02x})"


def encode_frame(
    addresses: bytes, control: int, information: bytes = b"", segmented: bool = False
) -> bytes:
    """A frame with both flags; ``addresses`` is destination then source, encoded.

    Raises LocalProtocolError when it would pass 2047 octets between the flags.
    """
    length = 2 + len(addresses) + 1 + 2 + (len(information) + 2 if information else 0)
    if length > MAX_FRAME_OCTETS:
        raise LocalProtocolError(f"HDLC frame of {length} octets: at most {MAX_FRAME_OCTETS}")
    kind = _FORMAT_TYPE | (_SEGMENTED if segmented else 0) | length >> 8
    body = b"%c%c%b%c" % (kind, length & 0xFF, addresses, control)
    if information:
        body += ibm_sdlc(body).to_bytes(2, "little") + information
    return b"\x7e%b%b\x7e" % (body, ibm_sdlc(body).to_bytes(2, "little"))


def read_frame(octets: bytes, start: int) -> tuple[Frame, int] | NeedData:
    """The frame whose opening flag stands at ``start``, and the index of its closing flag.

    NEED_DATA while it may still become one. Raises DecodeError as soon as it cannot: by the
    format type, the addresses, the length, the header check (so that noise which looks like the
    start of a long frame is not waited for), the closing flag or the frame check.
    """
    have = len(octets)
    if have < start + 2:
        return NEED_DATA
    kind = octets[start + 1]
    if kind & 0xF0 != _FORMAT_TYPE:
        raise DecodeError("not HDLC frame format type 3", start)
    if have < start + 3:
        return NEED_DATA
    end = start + 1 + ((kind & 7) << 8 | octets[start + 2])
    source = address_end(octets, start + 3)
    control = address_end(octets, source) if source else 0
    if not control or have <= control:
        return NEED_DATA
    check = control + 1
    if end == check + 2:
        information = end
    elif end >= check + 4:
        information = check + 2
        if have < information:
            return NEED_DATA
        if ibm_sdlc(octets[start + 1 : information]) != _GOOD:
            raise DecodeError("HDLC header check sequence is wrong", start)
    else:
        raise DecodeError("HDLC frame length too small for its header", start)
    if have <= end:
        return NEED_DATA
    if octets[end] != FLAG:
        raise DecodeError("HDLC frame without closing flag where its length ends", start)
    if ibm_sdlc(octets[start + 1 : end]) != _GOOD:
        raise DecodeError("HDLC frame check sequence is wrong", start)
    frame = Frame(
        octets[start + 3 : source],
        octets[source:control],
        octets[control],
        octets[information : end - 2] if information < end else b"",
        kind & _SEGMENTED != 0,
    )
    return frame, end


def decode_frame(octets: bytes) -> Frame:
    """Exactly one frame, flags included; raise DecodeError otherwise."""
    if not octets or octets[0] != FLAG:
        raise DecodeError("an HDLC frame begins with flag 7E", 0)
    found = read_frame(octets, 0)
    if found is NEED_DATA:
        raise DecodeError("HDLC frame cut short", len(octets))
    frame, end = found
    if end + 1 != len(octets):
        raise DecodeError("octets after the HDLC frame", end + 1)
    return frame
