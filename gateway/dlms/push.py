"""What meters send unasked, taken apart: frames, bodies, status words and rows. Pure.

A body is a structure: who sends it (device id), the push setup object it comes from, the meter's
clock, then what is pushed (IS 15959-2 usage). Makers leave out or reorder the first three, and put
the rest either flat behind them or into one element; all of that is read here. What a body is of
is told by the logical name of its push setup, never by its length.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.dlms.axdr import Data, Tag, decode_at
from gateway.dlms.axdr.octets import encode_length, length_at
from gateway.dlms.limits import Limits
from gateway.dlms.rows import RawRow
from gateway.errors import DecodeError, LimitExceeded, RemoteProtocolError
from gateway.model import DATA_TYPE_NAMES, CaptureList, Obis

_HEADER: Final = struct.Struct(">HHHH")
_VERSION: Final = 1
_HEAD_FIELDS: Final = 3
_YEARS: Final = range(1970, 2200)
_MONTHS: Final = (*range(1, 13), 0xFD, 0xFE, 0xFF)
_STATUS_BITS: Final = 8
"""A bit-string shorter than this is no event status word."""
BODY_LIMITS: Final = Limits(array_elements=1024, nesting_depth=6, string_octets=4096)
"""A pushed profile has at most a hundred columns, and few rows."""


class PushStream:
    """Wrapper frames out of one connection, or of one datagram; any wPorts.

    Meters push from their logical device to wPorts that makers choose, so nothing hangs on them.
    """

    def __init__(self, max_octets: int) -> None:
        self._max_octets = max_octets
        self._octets = b""

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The APDUs that are complete now, without wrapper.

        Raises RemoteProtocolError for what is no wrapper frame, LimitExceeded for one too long:
        the stream is of no use then.
        """
        self._octets += data
        while len(self._octets) >= _HEADER.size:
            version, _, _, length = _HEADER.unpack_from(self._octets)
            if version != _VERSION:
                raise RemoteProtocolError(f"wrapper version {version}, expected {_VERSION}")
            if length > self._max_octets:
                raise LimitExceeded(f"wrapper length {length}: at most {self._max_octets} octets")
            end = _HEADER.size + length
            if len(self._octets) < end:
                return
            apdu, self._octets = self._octets[_HEADER.size : end], self._octets[end:]
            yield apdu


class Part(NamedTuple):
    """An element with its A-XDR octets."""

    data: Data
    octets: bytes


@dataclass(frozen=True, slots=True)
class PushBody:
    """The body of a DataNotification; None for what it leaves out.

    ``clock`` is the element with the meter's date-time (12 octets).
    """

    setup: Obis | None
    device_id: str | None
    clock: Part | None
    payload: tuple[Part, ...]

    @property
    def clock_octets(self) -> bytes | None:
        """The date-time itself."""
        value = None if self.clock is None else self.clock.data.value
        return value if isinstance(value, bytes) else None


def read_body(octets: bytes) -> PushBody:
    """Take a body apart; raise DecodeError or LimitExceeded."""
    parts = members(octets)
    setup: Obis | None = None
    device_id: str | None = None
    clock: Part | None = None
    used = 0
    for part in parts[:_HEAD_FIELDS]:
        value = part.data.value
        if setup is None and isinstance(value, bytes) and _is_push_setup(value):
            setup = Obis(value)
        elif clock is None and _is_date_time(part.data):
            clock = part
        elif device_id is None and _is_text(part.data):
            device_id = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        else:
            break
        used += 1
    return PushBody(setup, device_id, clock, tuple(parts[used:]))


def members(octets: bytes) -> list[Part]:
    """The elements of a structure or array, each with its octets; raise DecodeError."""
    data, end = decode_at(octets, 0, BODY_LIMITS)
    if data.tag not in (Tag.STRUCTURE, Tag.ARRAY) or not isinstance(data.value, tuple):
        raise DecodeError(f"type {data.tag} where a structure is wanted", 0)
    if end != len(octets):
        raise DecodeError(f"{len(octets) - end} octet(s) behind a structure", end)
    count, offset = length_at(octets, 1, "structure")
    parts = []
    for _ in range(count):
        part, end = decode_at(octets, offset, BODY_LIMITS)
        parts.append(Part(part, octets[offset:end]))
        offset = end
    return parts


def _is_push_setup(name: bytes) -> bool:
    """Whether octets are a logical name of class 40: a-b:25.9.e*255 (Blue Book 6.2.13)."""
    return len(name) == 6 and name[2:4] == b"\x19\x09" and name[5] == 255


def _is_date_time(data: Data) -> bool:
    """Whether an element is a date-time and no text of twelve letters."""
    value = data.value
    if data.tag not in (Tag.OCTET_STRING, Tag.DATE_TIME) or not isinstance(value, bytes):
        return False
    if len(value) != 12:
        return False
    year = int.from_bytes(value[:2], "big")
    return (year in _YEARS or year == 0xFFFF) and value[2] in _MONTHS


def _is_text(data: Data) -> bool:
    return data.tag in (Tag.VISIBLE_STRING, Tag.UTF8_STRING, Tag.OCTET_STRING)


def status_word(payload: Sequence[Part]) -> str | None:
    """The event status word in a payload, bit 0 leftmost; None where there is none."""
    return next(_bit_strings(part.data for part in payload), None)


def _bit_strings(elements: Iterator[Data] | tuple[Data, ...]) -> Iterator[str]:
    for element in elements:
        value = element.value
        if element.tag == Tag.BIT_STRING and isinstance(value, str):
            if len(value) >= _STATUS_BITS:
                yield value
        elif isinstance(value, tuple):
            yield from _bit_strings(value)


def rows_of(body: PushBody, captures: CaptureList) -> list[RawRow] | None:
    """The rows of a buffer in a body, octet for octet as reading it would give them.

    None where they do not agree with the columns: another number of them, or another type than the
    meter sent last in one. What disagrees could be read as something else, so it is no row.
    """
    rows = [_row(members_of_row, body.clock, captures) for members_of_row in _pushed_rows(body)]
    agreed = [row for row in rows if row is not None]
    return agreed if agreed and len(agreed) == len(rows) else None


def _pushed_rows(body: PushBody) -> list[list[Part]]:
    """The elements of each row, whichever way they were put."""
    if len(body.payload) != 1:
        return [list(body.payload)]
    only = body.payload[0]
    if only.data.tag == Tag.STRUCTURE:
        return [members(only.octets)]
    if only.data.tag == Tag.ARRAY:
        rows = members(only.octets)
        if all(row.data.tag == Tag.STRUCTURE for row in rows):
            return [members(row.octets) for row in rows]
        return []
    return [[only]]


def _row(parts: list[Part], clock: Part | None, captures: CaptureList) -> RawRow | None:
    columns = captures.columns
    if len(parts) == len(columns) - 1 and clock is not None:
        # The clock is the first column and stands in front of all that is pushed.
        parts = [clock, *parts]
    if len(parts) != len(columns):
        return None
    for part, column in zip(parts, columns, strict=True):
        if DATA_TYPE_NAMES.get(part.data.tag) != column.type_name:
            return None
    head = bytes([Tag.STRUCTURE]) + encode_length(len(parts))
    return RawRow(
        head + b"".join(part.octets for part in parts),
        tuple(part.data.tag for part in parts),
        tuple(part.data.value for part in parts),
    )


class RateLimit:
    """So many messages of each sender in a minute; of the senders only the latest are known."""

    def __init__(self, per_minute: int, most_senders: int) -> None:
        self._per_minute = per_minute
        self._most_senders = most_senders
        self._counts: dict[str, tuple[int, int]] = {}

    def allows(self, sender: str, now_s: int) -> bool:
        """Whether one more message of a sender is taken now; it counts."""
        minute = now_s // 60
        begun, count = self._counts.pop(sender, (minute, 0))
        count = count + 1 if begun == minute else 1
        while len(self._counts) >= self._most_senders:
            del self._counts[next(iter(self._counts))]
        self._counts[sender] = (minute, count)
        return count <= self._per_minute


class Senders:
    """Which meter a message is of: by system title, device id or, at last, its address."""

    def __init__(self, meters: Sequence[str], addresses: Callable[[str], Sequence[str]]) -> None:
        self._meters = frozenset(meters)
        self._addresses = addresses
        self._titles: dict[bytes, set[str]] = {}

    def learn(self, title: bytes, meter: str) -> None:
        """A system title is a meter's: configured, or proved by its keys."""
        if meter in self._meters:
            self._titles.setdefault(title, set()).add(meter)

    def knows(self, title: bytes) -> bool:
        """Whether a title is any meter's."""
        return title in self._titles

    def by_title(self, title: bytes, sender: str) -> str | None:
        """The meter of a title; of an unknown title the only meter at that address, if any."""
        known = self._titles.get(title, set())
        if len(known) == 1:
            return next(iter(known))
        return None if known else self.by_address(sender)

    def by_address(self, sender: str) -> str | None:
        """The only meter that answers at the sender's address; None for several or none."""
        there = self._addresses(sender)
        return there[0] if len(there) == 1 else None

    def by_device_id(self, device_id: str) -> str | None:
        """The meter whose serial number it is, alone or behind a maker's code of three letters."""
        for name in (device_id, device_id[3:]):
            if name in self._meters:
                return name
        return None
