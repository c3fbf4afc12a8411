"""Event logs by entry: the newest rows first, until one is met that is known.

Logs are ring buffers. Most meters let the oldest row fall out at the front; some write a full one
from its front again, so that the newest row may stand anywhere. Both are read completely, and
neither is read whole where nothing is new (procedures as in ``gateway.dlms.reading``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.classes import ClassId, ProfileAttribute
from gateway.dlms.limits import Limits
from gateway.dlms.reading import Buffer, Procedure, read_buffer, read_data
from gateway.dlms.rows import RawRow
from gateway.dlms.selective_access import EntryDescriptor
from gateway.errors import DecodeError, PeerRefused
from gateway.model import Obis

FIRST_ENTRIES: Final = 2
"""Asked for at first; four times as many each time all were new."""
_MORE: Final = 4
MAX_ENTRIES: Final = 4000
"""Rows of one log that are read at most; meters hold some fifty."""
_SPARE_ELEMENTS: Final = 64
"""Columns of a row, and rows of a meter that gives a few more than it was asked for."""


@dataclass(frozen=True, slots=True)
class Fill:
    """How many rows a buffer holds, and how many it can hold."""

    entries_in_use: int
    entries: int


def read_fill(log: Obis) -> Procedure[Fill]:
    """How far a log is filled; raise PeerRefused, DecodeError. An empty one is asked no more."""
    used = yield from read_data(ClassId.PROFILE_GENERIC, log, ProfileAttribute.ENTRIES_IN_USE)
    count = entries = _number(used)
    if count:
        # One that keeps its size to itself may be full at any time.
        with suppress(PeerRefused):
            held = yield from read_data(
                ClassId.PROFILE_GENERIC, log, ProfileAttribute.PROFILE_ENTRIES
            )
            entries = _number(held)
    return Fill(count, entries)


def _number(data: axdr.Data) -> int:
    if isinstance(data.value, bool) or not isinstance(data.value, int) or data.value < 0:
        raise DecodeError("the number of a buffer's entries is not a number")
    return min(data.value, MAX_ENTRIES)


def read_new_entries(
    log: Obis,
    fill: Fill,
    *,
    is_known: Callable[[RawRow], bool],
    time_of: Callable[[RawRow], int],
    ignore_trailing: bool = False,
) -> Procedure[Buffer]:
    """The rows of a log down to the newest known one, in the order of their entries.

    ``time_of`` gives a row's capture time: a full log whose first entry is later than its last is
    written from the front again, and read whole. So is one of a meter that refuses entries.
    """

    def entries(first: int, last: int) -> Procedure[Buffer]:
        limits = Limits(array_elements=2 * (last - first + 1) + _SPARE_ELEMENTS)
        # The last entry is asked for as such: one more row may have come meanwhile.
        to_entry = 0 if last == fill.entries_in_use else last
        access = EntryDescriptor(from_entry=first, to_entry=to_entry)
        return read_buffer(log, access, limits, ignore_trailing=ignore_trailing)

    try:
        return (yield from _new_entries(fill, entries, is_known, time_of))
    except PeerRefused:
        limits = Limits(array_elements=2 * MAX_ENTRIES)
        return (yield from read_buffer(log, None, limits, ignore_trailing=ignore_trailing))


def _new_entries(
    fill: Fill,
    entries: Callable[[int, int], Procedure[Buffer]],
    is_known: Callable[[RawRow], bool],
    time_of: Callable[[RawRow], int],
) -> Procedure[Buffer]:
    found = Buffer((), None, None)
    first, wanted = fill.entries_in_use + 1, FIRST_ENTRIES
    met_known = False
    while first > 1 and not met_known:
        last = first - 1
        first = max(1, first - wanted)
        piece = yield from entries(first, last)
        met_known = not piece.rows or any(is_known(row) for row in piece.rows)
        found = _joined(piece, found)
        wanted *= _MORE
    if first > 1 and fill.entries_in_use >= fill.entries and found.rows:
        front = yield from entries(1, 1)
        newest = max(map(time_of, found.rows))
        wrapped = any(not is_known(row) or time_of(row) > newest for row in front.rows)
        if wrapped or time_of(found.rows[-1]) < newest:
            found = _joined((yield from entries(1, first - 1)), found)
    return found


def _joined(front: Buffer, back: Buffer) -> Buffer:
    """Rows of both; the evidence of whichever answer came last."""
    last = max(front, back, key=lambda part: part.invocation_counter or -1)
    return Buffer(front.rows + back.rows, last.server_system_title, last.invocation_counter)
