"""Which link layer recorded octets carry, taken off: HDLC, LLC, wrapper, or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.dlms import mbus
from gateway.dlms.axdr.octets import length_at
from gateway.dlms.hdlc.address import HdlcAddress
from gateway.dlms.hdlc.frame import Frame, FrameType, describe_reject, read_frame
from gateway.dlms.hdlc.parameters import HdlcParameters
from gateway.dlms.hdlc.stream import FrameStream
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA
from gateway.errors import DecodeError

Described = dict[str, object]

_LLC_COMMAND: Final = b"\xe6\xe6\x00"
_LLC_RESPONSE: Final = b"\xe6\xe7\x00"
_LLC: Final = (_LLC_COMMAND, _LLC_RESPONSE)
_WRAPPER_VERSION: Final = b"\x00\x01"
_WRAPPER_HEADER: Final = 8
_FLAG: Final = b"\x7e"
_ESCAPE: Final = b"\x7d"
_ESCAPED_BIT: Final = 0x20
_GENERAL_BLOCK: Final = b"\xe0"
_BLOCK_LENGTH_AT: Final = 6
"""Behind tag, block-control and two block numbers."""
_CARRY: Final = (FrameType.I, FrameType.UI)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one link message carried.

    ``link`` has its fields by name, ``payload`` the octets without link and LLC header (b"" if
    nothing). ``complete`` is False for segments whose end was not recorded.
    """

    link: Described
    payload: bytes
    complete: bool = True


def take_off(octets: bytes, limits: Limits) -> list[Piece]:
    """Link messages in recorded octets; segments are joined, each direction by itself.

    The start of a wired M-Bus frame is believed first, then a wrapper header that holds together,
    then HDLC wherever a flag stands (also behind junk), then the LLC octets, then a bare APDU, or
    several where they are general blocks.
    Raises DecodeError for M-Bus frames that are not right, for a flag without any good frame
    behind it, and for a wrapper that does not hold together.
    """
    if not octets:
        raise DecodeError("no octets", 0)
    if mbus.is_long_frame(octets):
        return _mbus(octets, limits)
    no_wrapper: DecodeError | None = None
    if octets.startswith(_WRAPPER_VERSION) and len(octets) > _WRAPPER_HEADER:
        try:
            return _wrapper(octets)
        except DecodeError as error:
            no_wrapper = error
    frames, _ = hdlc_frames(octets, limits)
    if frames:
        return _hdlc(frames)
    if no_wrapper is not None:
        raise no_wrapper
    if octets.startswith(_FLAG):
        raise DecodeError("a flag (7E), but no HDLC frame whose length and checks are right", 0)
    if octets[:3] in _LLC:
        return [Piece({"framing": "LLC"}, without_llc(octets))]
    return [Piece({"framing": "none"}, apdu) for apdu in _bare(octets)]


def hdlc_frames(octets: bytes, limits: Limits) -> tuple[list[Frame], bool]:
    """All good HDLC frames in a recorded stream, and whether they were octet-stuffed.

    The DLMS profile cuts by length and stuffs nothing; stuffing is tried where that finds none.
    """
    if _FLAG not in octets:
        return [], False
    # What is recorded is at hand already: noise in it holds up nobody.
    stream = FrameStream(replace(limits, garbage_octets=len(octets)))
    stream.receive(octets)
    stream.note_silence()
    frames: list[Frame] = []
    while (frame := stream.next_frame()) is not NEED_DATA:
        frames.append(frame)
    if frames or _ESCAPE not in octets:
        return frames, False
    frames = list(_stuffed_frames(octets))
    return frames, bool(frames)


def _stuffed_frames(octets: bytes) -> Iterable[Frame]:
    """Frames whose flags and escapes are written 7D 5E and 7D 5D (ISO/IEC 13239, 4.3.2.2)."""
    for part in octets.split(_FLAG):
        first, *escaped = part.split(_ESCAPE)
        if not all(escaped):
            continue  # an escape before the flag aborts the frame
        plain = first + b"".join(bytes([tail[0] ^ _ESCAPED_BIT]) + tail[1:] for tail in escaped)
        whole = _FLAG + plain + _FLAG
        try:
            found = read_frame(whole, 0)
        except DecodeError:
            continue
        if found is not NEED_DATA and found[1] == len(whole) - 1:
            yield found[0]


def _hdlc(frames: Sequence[Frame]) -> list[Piece]:
    pieces: list[Piece] = []
    begun: dict[bytes, list[Frame]] = {}
    for frame in frames:
        if frame.type not in _CARRY:
            pieces.append(Piece(_frame_fields(frame), b""))
            continue
        direction = frame.destination + frame.source
        segments = begun.setdefault(direction, [])
        if not (segments and _is_repetition(segments[-1], frame)):
            segments.append(frame)
        if not frame.segmented:
            pieces.append(_joined(begun.pop(direction), complete=True))
    pieces += [_joined(segments, complete=False) for segments in begun.values()]
    return pieces


def _is_repetition(before: Frame, frame: Frame) -> bool:
    return frame.type is FrameType.I and frame.control & 0x0E == before.control & 0x0E


def _joined(segments: Sequence[Frame], *, complete: bool) -> Piece:
    link = _frame_fields(segments[-1])
    if len(segments) > 1:
        link["link_frames"] = len(segments)
    octets = b"".join(frame.information for frame in segments)
    return Piece(link, without_llc(octets), complete)


def _frame_fields(frame: Frame) -> Described:
    fields: Described = {
        "framing": "HDLC",
        "frame": frame.type.name if frame.type else f"control {frame.control:#04x}",
        **_addresses(frame),
        "final": frame.poll_final,
        "segmented": frame.segmented,
    }
    match frame.type:
        case FrameType.I:
            fields["send_sequence"] = frame.send_sequence
            fields["receive_sequence"] = frame.receive_sequence
        case FrameType.RR | FrameType.RNR | FrameType.REJ:
            fields["receive_sequence"] = frame.receive_sequence
        case FrameType.SNRM | FrameType.UA:
            fields["parameters"] = _parameters(frame.information)
        case FrameType.FRMR:
            fields["reason"] = describe_reject(frame.information)
        case _:
            pass
    fields["information_hex"] = frame.information.hex().upper()
    return fields


def _addresses(frame: Frame) -> Described:
    """A client's address has one octet; a meter's may have two parts."""
    fields: Described = {}
    for side, octets in (("destination", frame.destination), ("source", frame.source)):
        address = HdlcAddress.decode(octets)
        if address.lower is None:
            fields[side] = address.upper
            fields[f"{side}_client"] = address.upper
        else:
            fields[f"{side}_logical"] = address.upper
            fields[f"{side}_physical"] = address.lower
    return fields


def _parameters(information: bytes) -> dict[str, int]:
    parameters = HdlcParameters.decode(information)
    return {
        "max_information_transmit": parameters.max_information_transmit,
        "max_information_receive": parameters.max_information_receive,
        "window_transmit": parameters.window_transmit,
        "window_receive": parameters.window_receive,
    }


def _mbus(octets: bytes, limits: Limits) -> list[Piece]:
    pieces: list[Piece] = []
    begun: dict[tuple[int, int], mbus.Assembly] = {}
    start = parts = 0
    link: Described = {}
    while start < len(octets):
        found = mbus.read_frame(octets, start)
        if found is NEED_DATA:
            raise DecodeError("M-Bus long frame whose end was not recorded", start)
        frame, start = found
        sender = (frame.address, frame.source_sap)
        parts += 1
        link = {
            "framing": "wired M-Bus",
            "control": frame.control,
            "address": frame.address,
            "source_sap": frame.source_sap,
            "destination_sap": frame.destination_sap,
            "link_frames": parts,
        }
        apdu = begun.setdefault(sender, mbus.Assembly(limits)).add(frame)
        if apdu is not None:
            pieces.append(Piece(link, apdu))
            parts = 0
    if any(assembly.begun for assembly in begun.values()):
        pieces.append(Piece(link, b"", complete=False))
    return pieces


def _wrapper(octets: bytes) -> list[Piece]:
    pieces: list[Piece] = []
    start = 0
    while start < len(octets):
        head = octets[start : start + _WRAPPER_HEADER]
        if len(head) < _WRAPPER_HEADER or not head.startswith(_WRAPPER_VERSION):
            raise DecodeError("not a wrapper header of version 1", start)
        source, destination, length = (int.from_bytes(head[i : i + 2], "big") for i in (2, 4, 6))
        end = start + _WRAPPER_HEADER + length
        if end > len(octets):
            there = len(octets) - start - _WRAPPER_HEADER
            raise DecodeError(f"the wrapper announces {length} octets, {there} follow", start + 6)
        link: Described = {
            "framing": "wrapper",
            "wrapper_version": 1,
            "source_wport": source,
            "destination_wport": destination,
            "length": length,
        }
        pieces.append(Piece(link, octets[start + _WRAPPER_HEADER : end]))
        start = end
    return pieces


def _bare(octets: bytes) -> list[bytes]:
    """General blocks one behind the other; anything else is one APDU, or a value."""
    apdus: list[bytes] = []
    while octets.startswith(_GENERAL_BLOCK):
        try:
            length, start = length_at(octets, _BLOCK_LENGTH_AT, "block-data")
        except DecodeError:
            break
        apdus.append(octets[: start + length])
        octets = octets[start + length :]
    return [*apdus, octets] if octets else apdus


def without_llc(payload: bytes) -> bytes:
    """An APDU without its LLC octets, which some meters write twice."""
    if payload[:3] not in _LLC:
        return payload
    return payload[6:] if payload[3:6] == _LLC_RESPONSE else payload[3:]
