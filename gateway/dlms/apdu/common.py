"""What the service APDUs share: invoke identifiers, descriptors of attributes and methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms.axdr.octets import OctetReader, unsigned
from gateway.errors import UsageError
from gateway.model import Obis


@dataclass(frozen=True, slots=True)
class InvokeId:
    """Invoke-Id-And-Priority: one octet; bits 4 and 5 are reserved and sent as 0."""

    number: int = 1
    confirmed: bool = True
    high_priority: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 15:
            raise UsageError(f"invoke-id {self.number} is not in 0..15")

    def encode(self) -> bytes:
        """The octet."""
        octet = self.number | self.confirmed << 6 | self.high_priority << 7
        return octet.to_bytes(1, "big")

    @classmethod
    def read(cls, reader: OctetReader) -> InvokeId:
        """Read the octet; the reserved bits are passed over."""
        return _INVOKE_IDS[reader.u8("invoke-id-and-priority")]


_INVOKE_IDS: Final = tuple(
    InvokeId(octet & 0x0F, bool(octet & 0x40), bool(octet & 0x80)) for octet in range(256)
)
"""By octet."""


@dataclass(frozen=True, slots=True)
class LongInvokeId:
    """Long-Invoke-Id-And-Priority: four octets, number in the low 24 bits."""

    number: int = 0
    self_descriptive: bool = False
    break_on_error: bool = False
    confirmed: bool = False
    high_priority: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 0xFF_FFFF:
            raise UsageError(f"long-invoke-id {self.number} is not in 0..16777215")

    def encode(self) -> bytes:
        """The four octets; bits 24 to 27 are reserved and sent as 0."""
        word = self.number
        word |= self.self_descriptive << 28 | self.break_on_error << 29
        word |= self.confirmed << 30 | self.high_priority << 31
        return word.to_bytes(4, "big")

    @classmethod
    def read(cls, reader: OctetReader) -> LongInvokeId:
        """Read the four octets."""
        word = reader.unsigned(4, "long-invoke-id-and-priority")
        return cls(word & 0xFF_FFFF, *(bool(word >> bit & 1) for bit in (28, 29, 30, 31)))


def encode_descriptor(class_id: int, obis: Obis, member: int) -> bytes:
    """Cosem-Attribute-Descriptor or Cosem-Method-Descriptor; ``member`` is -128..127."""
    if not -128 <= member <= 127:
        raise UsageError(f"attribute or method {member} is not in -128..127")
    head = unsigned(class_id, 2, "class id") + obis.octets
    return head + member.to_bytes(1, "big", signed=True)


def read_descriptor(reader: OctetReader) -> tuple[int, Obis, int]:
    """Class id, logical name, and attribute or method number."""
    class_id = reader.unsigned(2, "class id")
    obis = Obis(reader.take(6, "logical name"))
    member = reader.u8("attribute or method")
    return class_id, obis, member - 256 if member > 127 else member
