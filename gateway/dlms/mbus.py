"""Wired M-Bus long frames that carry DLMS (EN 13757-2, transport layer of EN 13757-1): one way.

``68 L L 68 | C A CI STSAP DTSAP data | CS 16``: L counts C to the last data octet, CS is their sum.
Customer interfaces of meters push in such frames. CI 00 to 1F says that data are a part of an APDU:
bits 0 to 3 number the parts from 0, bit 4 marks the last.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, NeedData
from gateway.errors import DecodeError, LimitExceeded

START: Final = 0x68
STOP: Final = 0x16
_HEADER_OCTETS: Final = 4
_AROUND_OCTETS: Final = 6
"""Both starts, both lengths, checksum and stop."""
_FIXED_OCTETS: Final = 5
"""C, A, CI and the two transport addresses."""
_LAST_PART: Final = 0x10
_PART: Final = 0x0F
_CI_DLMS: Final = 0x1F


class LongFrame(NamedTuple):
    """A frame whose lengths, checksum and stop octet were right."""

    control: int
    address: int
    part: int
    last: bool
    source_sap: int
    destination_sap: int
    data: bytes


def is_long_frame(octets: bytes) -> bool:
    """Whether octets begin as a long frame."""
    return (
        len(octets) >= _HEADER_OCTETS
        and octets[0] == octets[3] == START
        and octets[1] == octets[2] >= _FIXED_OCTETS
    )


def read_frame(octets: bytes, start: int = 0) -> tuple[LongFrame, int] | NeedData:
    """The frame that begins at ``start`` and the offset behind it.

    NEED_DATA while it may become one. Raises DecodeError as soon as it cannot.
    """
    have = len(octets) - start
    for place, wanted in ((0, START), (3, START)):
        if have > place and octets[start + place] != wanted:
            raise DecodeError("no M-Bus long frame: 68 L L 68 expected", start + place)
    if have < _HEADER_OCTETS:
        return NEED_DATA
    length = octets[start + 1]
    if octets[start + 2] != length:
        raise DecodeError("M-Bus long frame: its two lengths differ", start + 2)
    if length < _FIXED_OCTETS:
        raise DecodeError(f"M-Bus long frame of {length} octets: too short for DLMS", start + 1)
    end = start + length + _AROUND_OCTETS
    if len(octets) < end:
        return NEED_DATA
    content = octets[start + _HEADER_OCTETS : end - 2]
    if sum(content) & 0xFF != octets[end - 2]:
        raise DecodeError("M-Bus long frame: its checksum is wrong", end - 2)
    if octets[end - 1] != STOP:
        raise DecodeError("M-Bus long frame without stop octet 16", end - 1)
    control, address, information, source, destination = content[:_FIXED_OCTETS]
    if information > _CI_DLMS:
        raise DecodeError(f"M-Bus CI field {information:#04x} carries no DLMS", start + 6)
    frame = LongFrame(
        control,
        address,
        information & _PART,
        bool(information & _LAST_PART),
        source,
        destination,
        content[_FIXED_OCTETS:],
    )
    return frame, end


class Assembly:
    """Joins the parts of one sender into APDUs."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.apdu_octets
        self._parts: list[bytes] = []
        self._octets = 0

    @property
    def begun(self) -> bool:
        """Whether parts wait for their end."""
        return bool(self._parts)

    def add(self, frame: LongFrame) -> bytes | None:
        """Take the next part; the APDU when it was the last one.

        A first part begins anew, whatever was under way: what comes from a line may miss its end.
        Raises DecodeError for a part out of turn, LimitExceeded past the APDU limit.
        """
        wanted = len(self._parts) & _PART
        if frame.part == 0 and wanted:
            self.clear()
        elif frame.part != wanted:
            self.clear()
            raise DecodeError(f"M-Bus: part {frame.part} came where part {wanted} belongs")
        self._parts.append(frame.data)
        self._octets += len(frame.data)
        if self._octets > self._limit:
            self.clear()
            raise LimitExceeded(f"APDU in M-Bus frames passes {self._limit} octets")
        if not frame.last:
            return None
        whole = b"".join(self._parts)
        self.clear()
        return whole

    def clear(self) -> None:
        """Forget what was begun."""
        self._parts.clear()
        self._octets = 0
