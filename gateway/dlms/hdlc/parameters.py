"""Negotiation of information field and window with SNRM and UA (IEC 62056-46, 6.4.4.4.3)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import DecodeError, UsageError

MIN_INFORMATION = 16
MAX_INFORMATION = 2030
"""2047 octets between the flags less the longest header and both checks (the standard's
number)."""
MAX_WINDOW = 7

_FORMAT_IDENTIFIER = 0x81
_GROUP_IDENTIFIER = 0x80
_NAMES = {
    0x05: "information field transmit",
    0x06: "information field receive",
    0x07: "window transmit",
    0x08: "window receive",
}


@dataclass(frozen=True, slots=True)
class HdlcParameters:
    """What one station sends and takes: information field in octets, window in frames.

    The defaults are the standard's, and what a station without parameters means. Raises
    UsageError outside 16..2030 octets and 1..7 frames.
    """

    max_information_transmit: int = 128
    max_information_receive: int = 128
    window_transmit: int = 1
    window_receive: int = 1

    def __post_init__(self) -> None:
        for octets in (self.max_information_transmit, self.max_information_receive):
            if not MIN_INFORMATION <= octets <= MAX_INFORMATION:
                raise UsageError(
                    f"HDLC information field of {octets} octets: "
                    f"{MIN_INFORMATION} to {MAX_INFORMATION} are allowed"
                )
        for frames in (self.window_transmit, self.window_receive):
            if not 1 <= frames <= MAX_WINDOW:
                raise UsageError(f"HDLC window of {frames} frames: 1 to {MAX_WINDOW} are allowed")

    @classmethod
    def both_ways(cls, information_octets: int, window: int = 1) -> HdlcParameters:
        """The same for what is sent and what is taken."""
        return cls(information_octets, information_octets, window, window)

    def agreed_with(self, peer: HdlcParameters) -> HdlcParameters:
        """What holds for this side: the smaller of what one sends and the other takes."""
        return HdlcParameters(
            min(self.max_information_transmit, peer.max_information_receive),
            min(self.max_information_receive, peer.max_information_transmit),
            min(self.window_transmit, peer.window_receive),
            min(self.window_receive, peer.window_transmit),
        )

    def encode(self) -> bytes:
        """The information field of SNRM or UA."""
        body = b"".join(
            bytes((identifier, len(value))) + value
            for identifier, value in (
                (0x05, _shortest(self.max_information_transmit)),
                (0x06, _shortest(self.max_information_receive)),
                (0x07, self.window_transmit.to_bytes(4)),
                (0x08, self.window_receive.to_bytes(4)),
            )
        )
        return bytes((_FORMAT_IDENTIFIER, _GROUP_IDENTIFIER, len(body))) + body

    @classmethod
    def decode(cls, information: bytes) -> HdlcParameters:
        """Read the information field of SNRM or UA; empty means the defaults.

        Values may have 1 to 4 octets; larger ones than this side can write count as the
        largest. Unknown parameters and further groups are passed over. Raises DecodeError.
        """
        if not information:
            return cls()
        if information[:2] != bytes((_FORMAT_IDENTIFIER, _GROUP_IDENTIFIER)):
            raise DecodeError("HDLC parameters begin with 81 80", 0)
        end = 3 + information[2] if len(information) > 2 else 0
        if not 3 <= end <= len(information):
            raise DecodeError("HDLC parameter group longer than its field", 2)
        found = {0x05: 128, 0x06: 128, 0x07: 1, 0x08: 1}
        offset = 3
        while offset < end:
            if offset + 2 > end or offset + 2 + information[offset + 1] > end:
                raise DecodeError("HDLC parameter cut short", offset)
            identifier, length = information[offset : offset + 2]
            if identifier in found:
                value = information[offset + 2 : offset + 2 + length]
                found[identifier] = _value(identifier, value, offset)
            offset += 2 + length
        return cls(found[0x05], found[0x06], found[0x07], found[0x08])


def _shortest(value: int) -> bytes:
    return value.to_bytes(1 if value < 256 else 2)


def _value(identifier: int, octets: bytes, offset: int) -> int:
    least, most = (1, MAX_WINDOW) if identifier >= 0x07 else (MIN_INFORMATION, MAX_INFORMATION)
    value = int.from_bytes(octets)
    if not 1 <= len(octets) <= 4 or value < least:
        raise DecodeError(
            f"HDLC {_NAMES[identifier]} {octets.hex() or 'without value'}: "
            f"{least} to {most} in 1 to 4 octets are allowed",
            offset,
        )
    return min(value, most)
