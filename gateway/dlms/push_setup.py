"""Push setup objects (Blue Book class 40): what is sent, where, when, and how stubbornly.

Values are typed both ways; what a meter holds in another shape is shown as its octets and never
taken for something else. A change is written attribute by attribute and read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.association.requests import Get, Set
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import ClassId
from gateway.dlms.cosem_time import CosemDate, CosemDateTime, CosemTime
from gateway.dlms.reading import Procedure
from gateway.dlms.selective_access import capture_definition
from gateway.dlms.values import read_capture_objects
from gateway.errors import DecodeError, PeerRefused, RemoteProtocolError, UsageError
from gateway.model import CaptureObject, Obis


class PushAttribute(IntEnum):
    """Attributes of class 40, in the order in which they are written.

    The destination comes last: nothing goes to a new place before it is what it should be.
    """

    OBJECTS = 2
    WINDOWS = 4
    RANDOMISATION_S = 5
    RETRIES = 6
    REPETITION_DELAY_S = 7
    DESTINATION = 3


_TCP: Final = 0
"""Transport service of send_destination_and_method."""
_A_XDR: Final = 0
"""Message type of send_destination_and_method."""
MAX_OBJECTS: Final = 64
MAX_WINDOWS: Final = 8
_CAPTURE: Final = re.compile(r"(\d{1,5})/([^/]{1,40})/(-?\d{1,3})", re.ASCII)
_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):(\d{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute: what the meter holds, and what it is to hold (None: as it is).

    ``before`` is None where the meter does not let it be read.
    """

    attribute: PushAttribute
    before: Data | None
    wanted: Data | None

    @property
    def is_needed(self) -> bool:
        """Whether it has to be written."""
        return self.wanted is not None and self.wanted != self.before


def objects_value(words: Sequence[str]) -> Data:
    """push_object_list from words like ``1/0-0:94.91.18*255/2``; raise UsageError."""
    if not 1 <= len(words) <= MAX_OBJECTS:
        raise UsageError(f"a push setup sends 1 to {MAX_OBJECTS} objects")
    return Data(Tag.ARRAY, tuple(capture_definition(_capture(word)) for word in words))


def _capture(word: str) -> CaptureObject:
    found = _CAPTURE.fullmatch(word)
    numbers = (int(found[1]), int(found[3])) if found else (0x1_0000, 0)
    if found is None or numbers[0] > 0xFFFF or numbers[1] not in range(-128, 128):
        raise UsageError(f"not class/object/attribute: {word!r} (write 1/0-0:94.91.18*255/2)")
    return CaptureObject(numbers[0], Obis.parse(found[2]), numbers[1])


def destination_value(address: str) -> Data:
    """send_destination_and_method: TCP, A-XDR, to ``host:port`` or ``[ipv6]:port``."""
    found = _ADDRESS.fullmatch(address)
    if found is None or not 1 <= int(found[2]) <= 0xFFFF:
        raise UsageError(
            f"not a destination: {address!r} (write 192.0.2.1:4059 or [2001:db8::1]:4059)"
        )
    return Data(
        Tag.STRUCTURE,
        (
            Data(Tag.ENUM, _TCP),
            Data(Tag.OCTET_STRING, address.encode("ascii")),
            Data(Tag.ENUM, _A_XDR),
        ),
    )


def windows_value(words: Sequence[str]) -> Data:
    """communication_window: daily spans like ``18:00-20:00``; none means always."""
    if len(words) > MAX_WINDOWS:
        raise UsageError(f"at most {MAX_WINDOWS} communication windows")
    return Data(Tag.ARRAY, tuple(_window(word) for word in words))


def _window(word: str) -> Data:
    found = _WINDOW.fullmatch(word)
    if found is None:
        raise UsageError(f"not a daily window: {word!r} (write 18:00-20:00)")
    hours = (int(found[1]), int(found[2])), (int(found[3]), int(found[4]))
    bounds = (
        CosemDateTime(CosemDate(), CosemTime(hour, minute, 0, 0)).to_octets()
        for hour, minute in hours
    )
    return Data(Tag.STRUCTURE, tuple(Data(Tag.OCTET_STRING, bound) for bound in bounds))


def seconds_value(seconds: int) -> Data:
    """randomisation_start_interval and repetition_delay: 0 to 65535 s."""
    return _number(Tag.LONG_UNSIGNED, seconds, 0xFFFF, "s")


def retries_value(count: int) -> Data:
    """number_of_retries: 0 to 255."""
    return _number(Tag.UNSIGNED, count, 0xFF, "retries")


def _number(tag: Tag, value: int, most: int, unit: str) -> Data:
    if not 0 <= value <= most:
        raise UsageError(f"{value} {unit}: 0 to {most}")
    return Data(tag, value)


def shown(attribute: PushAttribute, data: Data | None) -> object:
    """A value as people read and write it; octets in hexadecimal for any other shape."""
    if data is None:
        return None
    try:
        return _shown(attribute, data)
    except DecodeError:
        return axdr.encode(data).hex()


def _shown(attribute: PushAttribute, data: Data) -> object:
    match attribute, data.value:
        case PushAttribute.OBJECTS, _:
            return [str(source) for source in read_capture_objects(data)]
        case PushAttribute.DESTINATION, (service, address, message):
            if (service.value, message.value) == (_TCP, _A_XDR) and isinstance(
                address.value, bytes
            ):
                return address.value.decode("latin-1")
        case PushAttribute.WINDOWS, (*windows,) if data.tag == Tag.ARRAY:
            return [_shown_window(window) for window in windows]
        case _, int(number):
            return number
        case _:
            pass
    raise DecodeError("another shape")


def _shown_window(window: Data) -> str:
    match window.value:
        case (Data(value=bytes(begin)), Data(value=bytes(end))):
            times = [CosemDateTime.from_octets(bound) for bound in (begin, end)]
            if all(bound.date == CosemDate() and bound.time.second == 0 for bound in times):
                return "-".join(f"{b.time.hour:02}:{b.time.minute:02}" for b in times)
            return f"{begin.hex()}-{end.hex()}"
        case _:
            raise DecodeError("another shape")


def read_push_setup(
    setup: Obis, wanted: Mapping[PushAttribute, Data]
) -> Procedure[tuple[Change, ...]]:
    """What a push setup holds beside what it is to hold; raise PeerRefused if it is not there."""
    changes: list[Change] = []
    refusal: PeerRefused | None = None
    for attribute in PushAttribute:
        before: Data | None = None
        try:
            answer = yield Get(ClassId.PUSH_SETUP, setup, attribute)
            before = axdr.decode(answer.data)
        except PeerRefused as error:
            refusal = error
        changes.append(Change(attribute, before, wanted.get(attribute)))
    if refusal is not None and all(change.before is None for change in changes):
        raise refusal
    return tuple(changes)


def write_push_setup(setup: Obis, changes: Sequence[Change]) -> Procedure[tuple[Change, ...]]:
    """Write what differs and read it back; the changes with what the meter holds now.

    Raises PeerRefused for a write that is refused (what was written before stays), and
    RemoteProtocolError where the meter holds something else afterwards.
    """
    for change in changes:
        if change.wanted is not None and change.is_needed:
            octets = axdr.encode(change.wanted)
            yield Set(ClassId.PUSH_SETUP, setup, change.attribute, octets)
    wanted = {one.attribute: one.wanted for one in changes if one.wanted is not None}
    after = yield from read_push_setup(setup, wanted)
    wrong = [change.attribute.name.lower() for change in after if change.is_needed]
    if wrong:
        raise RemoteProtocolError(
            f"push setup {setup}: the meter took the change and holds something else:"
            f" {', '.join(wrong)}"
        )
    return after
