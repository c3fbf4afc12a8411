"""HDLC addresses (IEC 62056-46, 6.4.2): seven bits an octet, the last octet marked by bit 0."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import DecodeError, UsageError

LENGTHS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class HdlcAddress:
    """Address of one station.

    ``upper`` is the client's SAP or the meter's logical device; ``lower`` the meter's physical
    device, present in the 2- and 4-octet forms only. Each is below 128, in 4 octets below 16384.
    Raises UsageError for what cannot be written.
    """

    upper: int
    lower: int | None = None
    length: int = 1

    def __post_init__(self) -> None:
        if self.length not in LENGTHS:
            raise UsageError(f"an HDLC address has 1, 2 or 4 octets, not {self.length}")
        if (self.lower is None) != (self.length == 1):
            raise UsageError(
                "an HDLC address of 1 octet has an upper part only, one of 2 or 4 octets "
                f"both parts: upper={self.upper} lower={self.lower} length={self.length}"
            )
        end = 1 << (14 if self.length == 4 else 7)
        for name, part in (("upper", self.upper), ("lower", self.lower or 0)):
            if not 0 <= part < end:
                raise UsageError(
                    f"{name} HDLC address {part}: 0 to {end - 1} fit in {self.length} octets"
                )

    def encode(self) -> bytes:
        """The 1, 2 or 4 octets on the wire."""
        if self.lower is None:
            return bytes((self.upper << 1 | 1,))
        if self.length == 2:
            return bytes((self.upper << 1, self.lower << 1 | 1))
        upper, lower = self.upper, self.lower
        return bytes(
            (upper >> 6 & 0xFE, upper << 1 & 0xFE, lower >> 6 & 0xFE, lower << 1 & 0xFE | 1)
        )

    @classmethod
    def decode(cls, octets: bytes) -> HdlcAddress:
        """Read one whole address; raise DecodeError when it is none."""
        if address_end(octets, 0) != len(octets) or not octets:
            raise DecodeError(f"not one HDLC address: {octets.hex()}")
        parts = [octet >> 1 for octet in octets]
        if len(parts) == 1:
            return cls(parts[0])
        if len(parts) == 2:
            return cls(parts[0], parts[1], 2)
        return cls(parts[0] << 7 | parts[1], parts[2] << 7 | parts[3], 4)


def address_end(octets: bytes, start: int) -> int:
    """Index after the address at ``start``; 0 when its last octet is not there yet.

    Raises DecodeError for an address of 3 or more than 4 octets.
    """
    end = start
    for octet in octets[start : start + 4]:
        end += 1
        if octet & 1:
            if end - start == 3:
                raise DecodeError("HDLC address of 3 octets: 1, 2 or 4 are allowed", start)
            return end
    if end - start == 4:
        raise DecodeError("HDLC address without an end in 4 octets", start)
    return 0
