"""A meter under an optical head: a pseudo terminal that signs on at 300 baud, then speaks HDLC.

A pseudo terminal has no speed of its own, but it keeps the one that a reader sets: octets sent at
another speed than the meter's arrive as noise, both ways, as they do through light.
"""

from __future__ import annotations

import asyncio
import termios
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path
from typing import Final

from gateway.dlms.sign_on import BAUD_OF, Acknowledgement, Identification
from gateway.errors import DecodeError
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.pacing import Line, WireStats
from hil_tests.emulator.station import Spoiler, Station
from hil_tests.emulator.terminal import Terminal
from hil_tests.emulator.wires import WireClock

_START_BAUD: Final = 300
_DIRECT_BAUD: Final = 9600
_REACTION_NS: Final = 200_000_000
"""A meter waits so long before it answers a sign-on (IEC 62056-21, 6.4.3)."""
_NS_PER_MS: Final = 1_000_000
_LINE_OCTETS: Final = 64
_SPEEDS: Final = {getattr(termios, f"B{baud}"): baud for baud in BAUD_OF.values()}
_READOUT: Final = b"\x021.8.0(000123.45*kWh)\r\n!\r\n\x03\x00"


def with_even_parity(text: bytes) -> bytes:
    """Characters as 7E1 puts them on a line that counts eight bits."""
    return bytes(octet | (octet.bit_count() & 1) << 7 for octet in text)


def without_parity(octets: bytes) -> bytes:
    """The reverse; a character with wrong parity is dropped."""
    return bytes(octet & 0x7F for octet in octets if octet.bit_count() % 2 == 0)


class SignOnMeter:
    """The meter's side of the sign-on, and then its station: octets in, octets out, at a speed."""

    def __init__(self, station: Station, faults: Faults, name: str) -> None:
        self._station = station
        self._faults = faults
        self._name = name
        self._line = b""
        self.baud = _DIRECT_BAUD if faults.hdlc_at_once else _START_BAUD
        self._speaks_hdlc = faults.hdlc_at_once
        self.next_baud = self.baud
        """Its speed once the answer is through."""

    @property
    def turnaround_ns(self) -> int:
        """Between the last octet heard and the first sent."""
        if self._speaks_hdlc:
            return self._station.turnaround_ms * _NS_PER_MS
        return _REACTION_NS

    def receive(self, octets: bytes) -> bytes:
        """Take octets that came at its speed; what it answers."""
        if self._speaks_hdlc:
            was_linked = self._station.linked
            answer = self._station.receive(octets)
            if was_linked and not self._station.linked and not self._faults.hdlc_at_once:
                # Disconnected: the next reader signs on again.
                self.next_baud, self._speaks_hdlc = _START_BAUD, False
            return answer
        if self._faults.silent:
            return b""
        self._line += without_parity(octets)
        *lines, self._line = self._line.split(b"\r\n")
        self._line = self._line[-_LINE_OCTETS:]
        return with_even_parity(b"".join(map(self._said, lines)))

    def _said(self, line: bytes) -> bytes:
        if line.lstrip(b"\x00") in (b"/?!", f"/?{self._name}!".encode()):
            return self._identification()
        try:
            chosen = Acknowledgement.decode(line)
        except DecodeError:
            return b""
        if not chosen.is_mode_e or self._faults.reads_out:
            return _READOUT
        if not self._faults.stays_slow:
            self.next_baud, self._speaks_hdlc = BAUD_OF[chosen.baud_id], True
        return b"" if self._faults.no_confirmation else chosen.encode()

    def _identification(self) -> bytes:
        if self._faults.babbles:
            return b"ELECTRICITY METER\r\n"
        baud_id = str(self._faults.baud_identification)
        return Identification("EMU", baud_id, rf"\2{self._name}").encode()


class OpticalWire:
    """The head on a pseudo terminal; ``path`` is a link to its device for readers to open."""

    def __init__(
        self,
        path: Path,
        make_station: Callable[[], Station],
        spoiler: Spoiler,
        faults: Faults,
        clock: WireClock,
    ) -> None:
        self._meter = SignOnMeter(make_station(), faults, path.name)
        self._terminal = Terminal(path, self._hear)
        self._spoiler = spoiler
        self._faults = faults
        self._clock = clock
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._pace = Line(self._meter.baud)
        self.stats = WireStats()

    @property
    def device(self) -> str:
        """What a reader opens."""
        return str(self._terminal.path.absolute())

    async def start(self) -> asyncio.Task[None]:
        """Make the device and serve it; the task ends only with a defect of this program."""
        self._terminal.open()
        self._task = asyncio.create_task(self._serve(), name=f"head {self._terminal.path.name}")
        return self._task

    async def stop(self) -> None:
        """Remove the device."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._terminal.close()
        self._task = None

    def _hear(self, octets: bytes) -> None:
        if self._faults.head_echoes:
            self._terminal.put(octets)
        self._heard.put_nowait(self._as_heard(octets))

    def _as_heard(self, octets: bytes) -> bytes:
        """Octets as they arrive where the reader's speed is not the meter's: noise."""
        baud = _SPEEDS.get(self._terminal.speed)
        return octets if baud == self._meter.baud else shake_256(octets).digest(len(octets))

    async def _serve(self) -> None:
        while True:
            octets = await self._heard.get()
            self.stats.octets_in += len(octets)
            through_ns = self._pace.occupy(self._clock.now_ns(), len(octets))
            await self._clock.sleep_until(through_ns)
            turnaround_ns = self._meter.turnaround_ns
            answer = self._meter.receive(octets)
            if answer:
                self.stats.turnarounds += 1
                self.stats.turnaround_ns += turnaround_ns
                await self._answer(self._spoiler.pieces(answer), through_ns + turnaround_ns)
            if self._meter.next_baud != self._meter.baud:
                self._meter.baud = self._meter.next_baud
                self._pace = Line(self._meter.baud)

    async def _answer(self, pieces: list[bytes], begin_ns: int) -> None:
        for piece in pieces:
            for due_ns, chunk in self._pace.chunks(begin_ns, piece):
                await self._clock.sleep_until(due_ns)
                self._terminal.put(self._as_heard(chunk))
                self.stats.octets_out += len(chunk)
