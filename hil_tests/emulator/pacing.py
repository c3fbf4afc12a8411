"""A serial line's pace without a serial line: when octets would be through, computed.

Pure: the caller brings the time. Due times follow from the octets counted since the line was
last idle, never from one another, so sleeping too long once does not slow the line down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.errors import UsageError

NS_PER_S: Final = 1_000_000_000
BITS_PER_OCTET: Final = 10
"""8N1: start bit, eight data bits, stop bit."""
CHUNK_OCTETS: Final = 16
"""Octets let through at once: 17 ms at 9600 baud, about what a UART's FIFO gathers."""


class Line:
    """A half-duplex line of ``baud`` bits per second, 8N1."""

    def __init__(self, baud: int) -> None:
        if baud <= 0:
            raise UsageError(f"a line has a speed above 0 baud, not {baud}")
        self._baud = baud
        self._began_ns = 0
        self._octets = 0

    @property
    def free_at_ns(self) -> int:
        """When the last octet given to it is through."""
        return self._began_ns + self.duration_ns(self._octets)

    def duration_ns(self, octets: int) -> int:
        """Wire time of so many octets."""
        return octets * BITS_PER_OCTET * NS_PER_S // self._baud

    def occupy(self, now_ns: int, octets: int) -> int:
        """Send ``octets`` as soon as the line is free; when the last one is through."""
        if now_ns > self.free_at_ns:
            self._began_ns, self._octets = now_ns, 0
        self._octets += octets
        return self.free_at_ns

    def chunks(self, now_ns: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Cut ``data`` into chunks, each with the time when it is through."""
        for at in range(0, len(data), CHUNK_OCTETS):
            chunk = data[at : at + CHUNK_OCTETS]
            yield self.occupy(now_ns, len(chunk)), chunk


@dataclass(slots=True)
class WireStats:
    """What went over a wire since it was opened, as a benchmark needs it."""

    octets_in: int = 0
    octets_out: int = 0
    turnarounds: int = 0
    turnaround_ns: int = 0

    def wire_ns(self, baud: int) -> int:
        """Time the octets took on a line of ``baud``, turnarounds included."""
        octets = self.octets_in + self.octets_out
        return octets * BITS_PER_OCTET * NS_PER_S // baud + self.turnaround_ns
