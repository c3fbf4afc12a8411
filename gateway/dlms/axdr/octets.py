"""Octets read front to back, and written, with typed errors (IEC 61334-6 lengths included).

BER (ISO 8825-1) in its definite form writes lengths the same way, so ACSE uses this too.
"""

from __future__ import annotations

from gateway.errors import DecodeError, UsageError

_MAX_LENGTH_OCTETS = 4
_SHORT_LENGTHS = tuple(length.to_bytes(1, "big") for length in range(0x80))


def encode_length(length: int) -> bytes:
    """Length octets: one up to 127, else 0x80 + count and the fewest octets that hold it."""
    if length < 0x80:
        return _SHORT_LENGTHS[length]
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return (0x80 | len(octets)).to_bytes(1, "big") + octets


def length_at(octets: bytes, offset: int, what: str) -> tuple[int, int]:
    """Return (length, offset behind its octets); raise DecodeError.

    Longer forms than needed are taken: meters send them.
    """
    if offset >= len(octets):
        raise DecodeError(f"{what}: ends before its length", offset)
    first = octets[offset]
    offset += 1
    if first < 0x80:
        return first, offset
    count = first & 0x7F
    if not 1 <= count <= _MAX_LENGTH_OCTETS:
        raise DecodeError(f"{what}: length in {count} octets, allowed are 1 to 4", offset - 1)
    end = offset + count
    if end > len(octets):
        raise DecodeError(f"{what}: ends inside its length", len(octets))
    return int.from_bytes(octets[offset:end], "big"), end


def counted(octets: bytes) -> bytes:
    """The octets behind their length."""
    return encode_length(len(octets)) + octets


def unsigned(value: int, octets: int, what: str) -> bytes:
    """Big-endian octets of an unsigned number; raise UsageError where it does not fit."""
    try:
        return value.to_bytes(octets, "big")
    except OverflowError:
        raise UsageError(f"{what} = {value} does not fit into {octets} octet(s)") from None


class OctetReader:
    """A cursor over one PDU; every read past the end is a DecodeError that names the PDU."""

    __slots__ = ("octets", "offset", "what")

    def __init__(self, octets: bytes, what: str, offset: int = 0) -> None:
        self.octets = octets
        self.offset = offset
        self.what = what

    @property
    def remaining(self) -> int:
        """Octets not read yet."""
        return len(self.octets) - self.offset

    def take(self, count: int, field: str) -> bytes:
        """The next ``count`` octets."""
        end = self.offset + count
        if end > len(self.octets):
            raise DecodeError(f"{self.what}: {field} needs {count} octet(s)", self.offset)
        taken = self.octets[self.offset : end]
        self.offset = end
        return taken

    def u8(self, field: str) -> int:
        """The next octet."""
        offset = self.offset
        if offset >= len(self.octets):
            raise DecodeError(f"{self.what}: {field} is missing", offset)
        self.offset = offset + 1
        return self.octets[offset]

    def unsigned(self, octets: int, field: str) -> int:
        """The next ``octets`` octets as a big-endian number."""
        return int.from_bytes(self.take(octets, field), "big")

    def flag(self, field: str) -> bool:
        """An A-XDR presence or boolean octet: zero is false, anything else true."""
        return self.u8(field) != 0

    def choice(self, field: str, allowed: tuple[int, ...]) -> int:
        """The next octet, which must be one of ``allowed``."""
        found = self.u8(field)
        if found not in allowed:
            names = ", ".join(map(str, allowed))
            raise DecodeError(f"{self.what}: {field} is {found}, allowed: {names}", self.offset - 1)
        return found

    def counted(self, field: str) -> bytes:
        """Octets behind a length."""
        return self.take(self.length(field), field)

    def length(self, field: str) -> int:
        """A length, whose octets are still to be taken."""
        try:
            length, self.offset = length_at(self.octets, self.offset, field)
        except DecodeError as error:
            raise DecodeError(f"{self.what}: {error.what}", error.offset) from None
        return length

    def last(self, field: str) -> None:
        """A length that counts exactly the octets left."""
        length = self.length(field)
        if length > self.remaining:
            raise DecodeError(f"{self.what}: {field} needs {length} octet(s)", self.offset)
        if length < self.remaining:
            excess = self.remaining - length
            raise DecodeError(f"{self.what}: {excess} octet(s) too many", self.offset + length)

    def rest(self) -> bytes:
        """Everything not read yet."""
        taken = self.octets[self.offset :]
        self.offset = len(self.octets)
        return taken

    def value(self, field: str) -> bytes:
        """Everything not read yet, which must be something: the A-XDR octets at the end."""
        if self.offset >= len(self.octets):
            raise DecodeError(f"{self.what}: {field} is missing", self.offset)
        return self.rest()

    def end(self) -> None:
        """Nothing may follow."""
        if self.offset < len(self.octets):
            raise DecodeError(f"{self.what}: {self.remaining} octet(s) too many", self.offset)
