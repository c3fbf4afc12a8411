"""Wires that emulated meters stand on: TCP, and a pseudo terminal as an RS-485 line.

Everything listens on loopback or in the run directory only. The line is paced by a clock that is
handed in, so its timing is tested without waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from hil_tests.emulator.pacing import NS_PER_S, Line, WireStats
from hil_tests.emulator.station import Spoiler, Station
from hil_tests.emulator.terminal import Terminal
from hil_tests.emulator.trouble import Sending

LOOPBACK: Final = "127.0.0.1"
_READ_OCTETS: Final = 4096
_NS_PER_MS: Final = 1_000_000


class WireClock(Protocol):
    """Monotonic time, and waiting for it."""

    def now_ns(self) -> int:
        """Nanoseconds since some fixed instant."""

    async def sleep_until(self, due_ns: int) -> None:
        """Return at ``due_ns`` or at once when it has passed."""


class MonotonicClock:
    """The host's monotonic clock."""

    def now_ns(self) -> int:
        """Nanoseconds since boot."""
        return time.monotonic_ns()

    async def sleep_until(self, due_ns: int) -> None:
        """Wait on the running loop."""
        await asyncio.sleep(max(0, due_ns - self.now_ns()) / NS_PER_S)


class TcpWire:
    """One meter on a TCP port; each connection is a link of its own."""

    def __init__(
        self, make_station: Callable[[], Station], spoiler: Spoiler, port: int = 0
    ) -> None:
        self._make_station = make_station
        self._spoiler = spoiler
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self.stats = WireStats()
        self.port = port

    async def start(self) -> None:
        """Listen; ``port`` then is the real one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._open):
            connection.abort()

    def _accept(self) -> _Connection:
        return _Connection(self._make_station(), self._spoiler, self.stats, self._open)


class _Connection(asyncio.Protocol):
    def __init__(
        self,
        station: Station,
        spoiler: Spoiler,
        stats: WireStats,
        open_connections: set[_Connection],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._station = station
        self._spoiler = spoiler
        self._stats = stats
        self._open = open_connections
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        self._stats.octets_in += len(data)
        sending = self._spoiler.answer(self._station, data)
        if not sending.octets and not sending.resets:
            return
        turnaround_ms = self._station.turnaround_ms
        self._stats.turnarounds += 1
        self._stats.turnaround_ns += turnaround_ms * _NS_PER_MS
        wait_ms = turnaround_ms + sending.late_ms
        if wait_ms:
            loop = asyncio.get_running_loop()
            loop.call_later(wait_ms / 1000, self._write, sending)
        else:
            self._write(sending)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._transport = None
        self._on_end()

    def abort(self) -> None:
        """Drop the connection without waiting for the peer."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, sending: Sending) -> None:
        if self._transport is None:
            return
        for piece in self._spoiler.pieces(sending.octets):
            self._stats.octets_out += len(piece)
            self._transport.write(piece)
        if sending.resets:
            self._transport.abort()


class CallingWire:
    """One meter that dials in, and dials again when the connection ended."""

    def __init__(
        self,
        make_station: Callable[[], Station],
        spoiler: Spoiler,
        listener: tuple[str, int],
        again_s: float,
    ) -> None:
        self._make_station = make_station
        self._spoiler = spoiler
        self._listener = listener
        self._again_s = again_s
        self._open: set[_Connection] = set()
        self._task: asyncio.Task[None] | None = None
        self.stats = WireStats()
        self.port = listener[1]
        self.calls = 0
        """Connections that came about."""

    async def start(self) -> None:
        """Begin to dial."""
        self._task = asyncio.create_task(self._dial(), name=f"dials {self._listener}")

    async def stop(self) -> None:
        """Hang up, and dial no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        for connection in tuple(self._open):
            connection.abort()

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            ended = asyncio.Event()
            make = partial(
                _Connection,
                self._make_station(),
                self._spoiler,
                self.stats,
                self._open,
                ended.set,
            )
            with suppress(OSError):
                await loop.create_connection(make, *self._listener)
                self.calls += 1
                await ended.wait()
            await asyncio.sleep(self._again_s)


class Bus:
    """A half-duplex line that several meters share: who speaks when, without any descriptor.

    All stations hear everything; the addressed one answers after its turnaround. Times are
    computed from octets and stated turnarounds; the clock is only waited for.
    """

    def __init__(
        self,
        stations: Sequence[tuple[Station, Spoiler]],
        baud: int,
        clock: WireClock,
        write: Callable[[bytes], None],
    ) -> None:
        self._stations = stations
        self._line = Line(baud)
        self._clock = clock
        self._write = write
        self.stats = WireStats()

    async def hear(self, data: bytes) -> None:
        """Octets that a reader sent just now: let them through, then answer them."""
        self.stats.octets_in += len(data)
        await self._clock.sleep_until(self._line.occupy(self._clock.now_ns(), len(data)))
        for station, spoiler in self._stations:
            sending = spoiler.answer(station, data)
            if sending.octets:
                pieces = spoiler.pieces(sending.octets)
                await self._answer(station, pieces, sending.late_ms)

    async def _answer(self, station: Station, pieces: Sequence[bytes], late_ms: int) -> None:
        turnaround_ns = station.turnaround_ms * _NS_PER_MS
        self.stats.turnarounds += 1
        self.stats.turnaround_ns += turnaround_ns
        begin_ns = self._line.free_at_ns + turnaround_ns + late_ms * _NS_PER_MS
        for piece in pieces:
            for due_ns, chunk in self._line.chunks(begin_ns, piece):
                await self._clock.sleep_until(due_ns)
                self._write(chunk)
                self.stats.octets_out += len(chunk)


class PtyWire:
    """A bus on a pseudo terminal; ``path`` is a link to its device for readers to open."""

    def __init__(
        self,
        path: Path,
        baud: int,
        stations: Sequence[tuple[Station, Spoiler]],
        clock: WireClock,
    ) -> None:
        self.baud = baud
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._terminal = Terminal(path, self._heard.put_nowait)
        self._bus = Bus(stations, baud, clock, self._terminal.put)
        self._task: asyncio.Task[None] | None = None

    @property
    def stats(self) -> WireStats:
        """What went over the line."""
        return self._bus.stats

    @property
    def device(self) -> str:
        """What a reader opens."""
        return str(self._terminal.path.absolute())

    @property
    def url(self) -> str:
        """The same as a URL, to which a meter's address is appended."""
        return f"serial://{self.device}?baud={self.baud}&"

    async def start(self) -> asyncio.Task[None]:
        """Make the device and serve it; the task ends only with a defect of this program."""
        self._terminal.open()
        self._task = asyncio.create_task(self._serve(), name=f"bus {self._terminal.path.name}")
        return self._task

    async def stop(self) -> None:
        """Remove the device."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._terminal.close()
        self._task = None

    async def _serve(self) -> None:
        while True:
            await self._bus.hear(await self._heard.get())


class SerialServerWire:
    """A bus behind a serial server: its octets on a TCP stream, for the newest client alone.

    ``go_deaf`` leaves the connection open without anybody behind it, as a serial server does that
    lost its supply for a moment: only a new connection reaches the bus again.
    """

    def __init__(
        self, baud: int, stations: Sequence[tuple[Station, Spoiler]], clock: WireClock
    ) -> None:
        self.baud = baud
        self.port = 0
        self.connections = 0
        self._bus = Bus(stations, baud, clock, self._put)
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._is_deaf = False
        self._task: asyncio.Task[None] | None = None

    @property
    def stats(self) -> WireStats:
        """What went over the line."""
        return self._bus.stats

    @property
    def device(self) -> str:
        """What a reader opens."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The same as a URL, to which a meter's address is appended."""
        return f"hdlc+tcp://{self.device}?"

    async def start(self) -> asyncio.Task[None]:
        """Listen and serve; the task ends only with a defect of this program."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._task = asyncio.create_task(self._serve(), name=f"serial server {self.port}")
        return self._task

    async def stop(self) -> None:
        """Close the port and the connections."""
        if self._server is None or self._task is None:
            return
        self._server.close()
        self._task.cancel()
        await asyncio.wait((self._task,))
        for writer in self._writers:
            writer.close()

    def go_deaf(self) -> None:
        """From now on the present connection leads nowhere."""
        self._is_deaf = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._is_deaf = False
        self._writers.append(writer)
        while octets := await reader.read(_READ_OCTETS):
            if writer is self._writers[-1] and not self._is_deaf:
                self._heard.put_nowait(octets)

    async def _serve(self) -> None:
        while True:
            await self._bus.hear(await self._heard.get())

    def _put(self, chunk: bytes) -> None:
        if self._writers and not self._is_deaf:
            self._writers[-1].write(chunk)
