"""Profile buffers (class 7, attribute 2) and what selective access picks out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.dlms.apdu.results import DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data
from gateway.dlms.axdr.octets import encode_length
from gateway.dlms.classes import CLOCK_TIME
from gateway.dlms.cosem_time import DEVIATION_NOT_SPECIFIED, CosemDateTime, TimeRules, resolve
from gateway.dlms.selective_access import EntryDescriptor, RangeDescriptor, SelectiveAccess
from gateway.errors import DecodeError
from gateway.model import CaptureObject
from hil_tests.emulator.faults import Faults

_ARRAY = b"\x01"
_STRUCTURE = b"\x02"
_DUPLICATE_EVERY = 4

Cells = Callable[[int], tuple[bytes, ...]]
"""Capture time in UTC seconds -> the A-XDR of each column."""


def _itself(time: int) -> int:
    return time


@dataclass(frozen=True, slots=True)
class Capture:
    """How a buffer is filled.

    ``times`` are the capture times held now, oldest first; ``depth`` the most it can hold. Where
    two rows may be of one second, or stamps are of the interval's start, ``when`` gives what the
    clock column shows, and the bounds of a range mean.
    """

    columns: tuple[CaptureObject, ...]
    times: Callable[[], Sequence[int]]
    cells: Cells
    period_s: int
    depth: int
    when: Callable[[int], int] = _itself


class Buffer:
    """Rows of one profile: computed when asked for, kept once computed."""

    def __init__(self, capture: Capture, rules: TimeRules, faults: Faults) -> None:
        self._capture = capture
        self._rules = rules
        self._faults = faults
        historic = capture.period_s > 0
        self._cells = lru_cache(capture.depth)(capture.cells) if historic else capture.cells

    @property
    def capture(self) -> Capture:
        """Columns, period and depth."""
        return self._capture

    def entries_in_use(self) -> int:
        """Rows held now."""
        return len(self._entries())

    def held_times(self) -> list[int]:
        """Capture times of the rows held now, each once, rising."""
        return sorted(set(self._entries()))

    def read(self, access: SelectiveAccess | None) -> bytes:
        """The buffer as an array of structures; raise AccessRefused."""
        entries = self._entries()
        match access:
            case None:
                indices: Sequence[int] = range(len(self._capture.columns))
            case RangeDescriptor():
                if self._faults.range_refused:
                    raise AccessRefused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
                entries = self._in_range(entries, access)
                indices = self._selected(access.columns)
            case EntryDescriptor():
                entries = entries[max(access.from_entry, 1) - 1 : access.to_entry or None]
                indices = range(len(self._capture.columns))[
                    max(access.from_column, 1) - 1 : access.to_column or None
                ]
            case _:
                raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
        if self._faults.rows_at_once and len(entries) > self._faults.rows_at_once:
            raise AccessRefused(DataAccessResult.OTHER_REASON)
        return self._encode(entries, indices)

    def _entries(self) -> list[int]:
        times = list(self._capture.times())
        if self._capture.period_s and self._faults.rows_lost_every:
            every, period_s = self._faults.rows_lost_every, self._capture.period_s
            times = [time for time in times if time // period_s % every]
        if self._capture.period_s and self._faults.unsorted_rows:
            # The slot of a row follows from its number since ever, as in a meter's ring.
            period_s, depth = self._capture.period_s, self._capture.depth
            times.sort(key=lambda time: time // period_s % depth)
        if self._capture.period_s and self._faults.duplicate_rows:
            times = [
                time
                for at, time in enumerate(times)
                for _ in range(2 if at % _DUPLICATE_EVERY == 0 else 1)
            ]
        return times

    def _in_range(self, entries: list[int], access: RangeDescriptor) -> list[int]:
        if access.restricting != CLOCK_TIME or CLOCK_TIME not in self._capture.columns:
            raise AccessRefused(DataAccessResult.OBJECT_UNAVAILABLE)
        from_s = self._instant(access.from_value)
        to_s = self._instant(access.to_value)
        return [
            time
            for time in entries
            if (from_s is None or self._capture.when(time) >= from_s)
            and (to_s is None or self._capture.when(time) <= to_s)
        ]

    def _instant(self, bound: Data) -> int | None:
        """UTC seconds of a bound; None where its date is not specified."""
        if not isinstance(bound.value, bytes):
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
        try:
            time = CosemDateTime.from_octets(bound.value)
            if (
                self._faults.range_without_deviation
                and time.deviation_minutes != DEVIATION_NOT_SPECIFIED
            ):
                raise AccessRefused(DataAccessResult.OTHER_REASON)
            return resolve(time, self._rules).utc_s
        except DecodeError:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED) from None

    def _selected(self, selected: Sequence[CaptureObject]) -> Sequence[int]:
        columns = self._capture.columns
        if any(wanted not in columns for wanted in selected):
            raise AccessRefused(DataAccessResult.OBJECT_UNAVAILABLE)
        return tuple(
            index for index, column in enumerate(columns) if not selected or column in selected
        )

    def _encode(self, entries: Sequence[int], indices: Sequence[int]) -> bytes:
        head = _STRUCTURE + encode_length(len(indices))
        parts = [_ARRAY + encode_length(len(entries))]
        for time in entries:
            cells = self._cells(time)
            parts.append(head)
            parts.extend(cells[index] for index in indices)
        if self._faults.trailing_octets:
            parts.append(b"\x00\x00")
        return b"".join(parts)
