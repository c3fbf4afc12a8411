"""What is done to recorded octets: fed one by one, buried in junk, changed bit by bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from gateway.dlms.hdlc.address import HdlcAddress
from gateway.dlms.hdlc.frame import Frame, FrameType, decode_frame, encode_frame
from gateway.dlms.hdlc.link import HdlcLink
from gateway.dlms.hdlc.stream import FrameStream
from gateway.dlms.inspection import Capture
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, Link, Role
from gateway.dlms.security import TAG_OCTETS
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import DecodeError
from gateway.model import Secret

_FLAG = 0x7E
WRAPPER_HEADER_OCTETS = 8


def hdlc_frame(octets: bytes) -> Frame | None:
    """The one HDLC frame that the octets are, flags included; None for anything else."""
    if not octets or octets[0] != _FLAG:
        return None
    try:
        return decode_frame(octets)
    except DecodeError:
        return None


def is_wrapper(octets: bytes) -> bool:
    """Whether octets are one whole wrapper frame of version 1."""
    length = int.from_bytes(octets[6:8], "big")
    return (
        octets[:2] == b"\0\1"
        and len(octets) == WRAPPER_HEADER_OCTETS + length > WRAPPER_HEADER_OCTETS
    )


def frames_fed_singly(octets: bytes) -> list[Frame]:
    """Good HDLC frames in a stream that comes one octet at a time."""
    stream = FrameStream(Limits())
    frames: list[Frame] = []
    for octet in octets:
        stream.receive(bytes((octet,)))
        while (frame := stream.next_frame()) is not NEED_DATA:
            frames.append(frame)
    return frames


def apdus_fed_singly(octets: bytes) -> list[bytes] | None:
    """APDUs that a client's link delivers from octets that come one at a time.

    None where no link can: bare and LLC octets have none, and a frame with sequence numbers belongs
    into a connection.
    """
    link = _link(octets)
    if link is None:
        return None
    apdus: list[bytes] = []
    for octet in octets:
        link.receive_data(bytes((octet,)))
        while (event := link.next_event()) is not NEED_DATA:
            if isinstance(event, ApduReceived):
                apdus.append(event.apdu)
    return apdus


def _link(octets: bytes) -> Link | None:
    frame = hdlc_frame(octets)
    if frame is not None and frame.type is FrameType.UI:
        client = HdlcAddress.decode(frame.destination)
        return HdlcLink(Role.CLIENT, client=client, server=HdlcAddress.decode(frame.source))
    if is_wrapper(octets):
        source, destination = (int.from_bytes(octets[at : at + 2], "big") for at in (2, 4))
        return WrapperLink(Role.CLIENT, client_wport=destination, server_wport=source)
    return None


def in_junk(octets: bytes, source: random.Random) -> bytes:
    """Octets with random ones before and behind, rich in flags and starts of frames."""
    return _junk(source) + octets + _junk(source)


def _junk(source: random.Random) -> bytes:
    pieces = (b"\x7e", b"\x7e\xa0", b"\x7e\xa7\xff", b"\x7d", b"\xe6\xe7\x00", b"\x00")
    # The first octet is no layer's own, so that noise is not taken for a wrapper or M-Bus.
    return b"\xff" + b"".join(
        source.choice(pieces) if source.random() < 0.3 else source.randbytes(source.randint(1, 9))
        for _ in range(source.randint(0, 40))
    )


def with_flipped_tag_bits(octets: bytes) -> Iterator[bytes]:
    """The same message with each bit of its authentication tag changed, link checks right.

    The tag is the end of a ciphered APDU, also where an association carries it.
    """
    frame = hdlc_frame(octets)
    for bit in range(TAG_OCTETS * 8):
        if frame is None:
            yield _flipped(octets, bit)
            continue
        yield encode_frame(
            frame.destination + frame.source,
            frame.control,
            _flipped(frame.information, bit),
            frame.segmented,
        )


def _flipped(octets: bytes, bit: int) -> bytes:
    changed = bytearray(octets)
    changed[-1 - bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def with_wrong_authentication_keys(capture: Capture) -> Iterator[Capture]:
    """The capture under authentication keys that each differ in one bit."""
    key = capture.keys.authentication
    if key is None:
        return
    for bit in range(len(key) * 8):
        wrong = Secret(_flipped(key.reveal(), bit))
        yield replace(capture, keys=replace(capture.keys, authentication=wrong))
