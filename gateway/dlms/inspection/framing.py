"""Which link layer recorded octets carry, taken off: HDLC, LLC, wrapper, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms.hdlc.address import HdlcAddress
from gateway.dlms.hdlc.frame import Frame, FrameType
from gateway.dlms.hdlc.parameters import HdlcParameters
from gateway.dlms.hdlc.stream import FrameStream
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA
from gateway.errors import DecodeError

LLC_COMMAND: Final = b"\xe6\xe6\x00"
LLC_RESPONSE: Final = b"\xe6\xe7\x00"
_LLC: Final = (LLC_COMMAND, LLC_RESPONSE)
_WRAPPER_VERSION: Final = b"\x00\x01"
_FLAG: Final = 0x7E


@dataclass(frozen=True, slots=True)
class Piece:
    """One link frame: its fields by name, and what it carried (b"" if nothing).

    ``segmented`` says that the next piece carries on where this one ends.
    """

    link: dict[str, object]
    payload: bytes
    segmented: bool = False


def take_off(octets: bytes, limits: Limits) -> list[Piece]:
    """Link frames in recorded octets.

    HDLC is looked for wherever a flag stands, also behind junk; else the wrapper, else the LLC
    octets, else a bare APDU. Raises DecodeError for a wrapper that does not hold together.
    """
    if octets[:2] == _WRAPPER_VERSION and len(octets) >= 8 and octets[8:9] != b"":
        return _wrapper(octets)
    if _FLAG in octets:
        frames = list(_hdlc_frames(octets, limits))
        if frames:
            return [_hdlc_piece(frame) for frame in frames]
    if octets[:3] in _LLC:
        return [Piece({"framing": "LLC"}, octets[3:])]
    return [Piece({"framing": "none"}, octets)]


def hdlc_frames(octets: bytes, limits: Limits) -> list[Frame]:
    """All good HDLC frames in a recorded stream."""
    return list(_hdlc_frames(octets, limits))


def _hdlc_frames(octets: bytes, limits: Limits) -> list[Frame]:
    stream = FrameStream(limits)
    stream.receive(octets)
    stream.note_silence()
    frames = []
    while (frame := stream.next_frame()) is not NEED_DATA:
        frames.append(frame)
    return frames


def _hdlc_piece(frame: Frame) -> Piece:
    link: dict[str, object] = {
        "framing": "HDLC",
        "frame": frame.type.name if frame.type else f"control {frame.control:#04x}",
        **_addresses(frame),
        "final": frame.poll_final,
        "segmented": frame.segmented,
        "payload_hex": frame.information.hex().upper(),
    }
    if frame.type is FrameType.I:
        link |= {
            "send_sequence": frame.send_sequence,
            "receive_sequence": frame.receive_sequence,
            "information_hex": frame.information.hex().upper(),
        }
    if frame.type in (FrameType.SNRM, FrameType.UA):
        link["parameters"] = _parameters(frame.information)
        return Piece(link, b"")
    return Piece(link, frame.information, frame.segmented)


def _addresses(frame: Frame) -> dict[str, object]:
    """A client's address has one octet; a meter's may have two parts."""
    fields: dict[str, object] = {}
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


def _wrapper(octets: bytes) -> list[Piece]:
    pieces = []
    start = 0
    while start < len(octets):
        head = octets[start : start + 8]
        if len(head) < 8 or head[:2] != _WRAPPER_VERSION:
            raise DecodeError("not a wrapper header of version 1", start)
        source, destination, length = (int.from_bytes(head[i : i + 2], "big") for i in (2, 4, 6))
        payload = octets[start + 8 : start + 8 + length]
        if len(payload) < length:
            raise DecodeError(
                f"the wrapper announces {length} octets, {len(payload)} are there", start + 6
            )
        link: dict[str, object] = {
            "framing": "wrapper",
            "wrapper_version": 1,
            "source_wport": source,
            "destination_wport": destination,
            "length": length,
        }
        pieces.append(Piece(link, payload))
        start += 8 + length
    return pieces


def without_llc(payload: bytes) -> bytes:
    """An APDU without the LLC octets of HDLC."""
    return payload[3:] if payload[:3] in _LLC else payload
