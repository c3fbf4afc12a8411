"""What a meter sends unasked: DataNotification and EventNotification (Green Book 9.3.9, 9.3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.dlms.apdu.common import LongInvokeId, encode_descriptor, read_descriptor
from gateway.dlms.axdr.octets import OctetReader, counted
from gateway.errors import DecodeError, UsageError
from gateway.model import Obis


@dataclass(frozen=True, slots=True)
class DataNotification:
    """``date_time`` is 0 or 12 octets, ``data`` A-XDR.

    ``tagged_date_time`` says that the date-time stood as a tagged octet-string (09 0C ...), as
    some meters write it against the standard.
    """

    TAG: ClassVar[int] = 0x0F
    invoke: LongInvokeId
    date_time: bytes
    data: bytes
    tagged_date_time: bool = False

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        tag = b"\x09" if self.tagged_date_time else b""
        return b"\x0f" + self.invoke.encode() + tag + counted(self.date_time) + self.data


def read_notification(reader: OctetReader, *, tagged_date_time: bool) -> DataNotification:
    """Read what stands behind tag 0x0F.

    With ``tagged_date_time`` both forms of the date-time are taken; there is no ambiguity,
    because 9 is no legal length of one.
    """
    invoke = LongInvokeId.read(reader)
    where = reader.offset
    tagged = reader.octets[where : where + 1] == b"\x09"
    if tagged:
        if not tagged_date_time:
            raise DecodeError(
                "data-notification: date-time is a tagged octet-string (09 ...); "
                "allowed only where the profile names the quirk",
                where,
            )
        reader.u8("date-time tag")
    date_time = reader.counted("date-time")
    if len(date_time) not in (0, 12):
        raise DecodeError(
            f"data-notification: date-time has {len(date_time)} octets, allowed: 0, 12", where
        )
    return DataNotification(invoke, date_time, reader.value("data"), tagged)


@dataclass(frozen=True, slots=True)
class EventNotification:
    """One attribute that the meter thought worth telling; ``date_time`` is 0 or 12 octets."""

    TAG: ClassVar[int] = 0xC2
    date_time: bytes
    class_id: int
    obis: Obis
    attribute: int
    data: bytes

    def encode(self) -> bytes:
        """The whole APDU with its tag."""
        if len(self.date_time) not in _TIME_OCTETS:
            raise UsageError(f"a date-time has 0 or 12 octets, not {len(self.date_time)}")
        time = b"\x01" + counted(self.date_time) if self.date_time else b"\x00"
        descriptor = encode_descriptor(self.class_id, self.obis, self.attribute)
        return b"\xc2" + time + descriptor + self.data


def read_event_notification(reader: OctetReader) -> EventNotification:
    """Read what stands behind tag 0xC2."""
    date_time = b""
    if reader.flag("time presence"):
        where = reader.offset
        date_time = reader.counted("time")
        if len(date_time) not in _TIME_OCTETS:
            raise DecodeError(
                f"event-notification: time has {len(date_time)} octets, allowed: 0, 12", where
            )
    class_id, obis, attribute = read_descriptor(reader)
    return EventNotification(date_time, class_id, obis, attribute, reader.value("data"))


_TIME_OCTETS = (0, 12)
