"""What can happen to an emulated meter, and what it writes down of it: event logs, status word.

The codes and bits are stated here once more on purpose: a reader must find the same names from its
own list. Sources as for the firmware profiles: lists of several head-ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from gateway.dlms.axdr import Data, Tag
from hil_tests.emulator.catalogue import LOG_NUMBERS, Log

STATUS_BITS: Final = 128
LOG_DEPTH: Final = 50
"""Rows of an event log, as seen in a single-phase meter."""
NON_ROLLOVER_DEPTH: Final = 2


class Codes(NamedTuple):
    """Log, codes of beginning and end (None: it has no end), and status bits of either."""

    log: Log
    begins: int
    ends: int | None
    bit: int | None = None
    end_bit: int | None = None
    is_tamper: bool = False


class Incident(Enum):
    """What somebody, or the grid, does to a meter."""

    POWER_CUT = Codes("power", 101, 102, 85, 86)
    OVER_VOLTAGE = Codes("voltage", 7, 8, 3)
    MAGNET = Codes("other", 201, 202, 81, is_tamper=True)
    COVER_OPEN = Codes("non_rollover", 251, None, 83, is_tamper=True)
    LOAD_DISCONNECTED = Codes("control", 301, 302, 84)
    CLOCK_SET = Codes("transaction", 151, None)


class Happened(NamedTuple):
    """A row of a log: when, by the meter's clock, what, and the tamper count from then on."""

    at_s: int
    code: int
    tampers: int


@dataclass
class Incidents:
    """Logs and status word of one meter. ``ring`` lets a full log be written from its front."""

    ring: bool = False
    listeners: list[Callable[[Incident, bool], object]] = field(default_factory=list)
    """Told of each incident and whether it ended, after it was written down."""
    tampers: int = 0
    _logs: dict[Log, list[Happened]] = field(default_factory=dict)
    _bits: set[int] = field(default_factory=set)

    def happen(self, incident: Incident, at_s: int, *, ended: bool = False) -> None:
        """Write it down and tell the listeners."""
        codes = incident.value
        code = codes.ends if ended else codes.begins
        if code is None:
            raise ValueError(f"{incident.name} has no end")
        self.tampers += codes.is_tamper and not ended
        self._logs.setdefault(codes.log, []).append(Happened(at_s, code, self.tampers))
        self._set_bits(codes, ended=ended)
        for listener in self.listeners:
            listener(incident, ended)

    def _set_bits(self, codes: Codes, *, ended: bool) -> None:
        on, off = (codes.end_bit, codes.bit) if ended else (codes.bit, codes.end_bit)
        self._bits.discard(-1 if off is None else off)
        if on is not None:
            self._bits.add(on)

    def numbers(self, log: Log) -> Sequence[int]:
        """Numbers of the rows that the log holds, in the order of its entries."""
        depth = depth_of(log)
        count = len(self._logs.get(log, ()))
        held = range(max(0, count - depth), count)
        return sorted(held, key=lambda number: number % depth) if self.ring else held

    def row(self, log: Log, number: int) -> Happened:
        """A row by its number since ever."""
        return self._logs[log][number]

    def status_word(self) -> Data:
        """Event status word: bit 0 leftmost."""
        bits = "".join("1" if bit in self._bits else "0" for bit in range(STATUS_BITS))
        return Data(Tag.BIT_STRING, bits)

    def all_rows(self) -> list[tuple[str, Happened]]:
        """Everything that ever happened: what a reader must arrive at."""
        return [(log, row) for log in LOG_NUMBERS for row in self._logs.get(log, ())]


def depth_of(log: Log) -> int:
    """How many rows a log holds."""
    return NON_ROLLOVER_DEPTH if log == "non_rollover" else LOG_DEPTH
