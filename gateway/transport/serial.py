"""Serial lines: RS-485 buses and RS-232 ports, through pyserial; the only importer of it.

pyserial opens and configures the port; octets move on its descriptor without blocking, so that a
pseudo-terminal serves as well as an adapter.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
from pathlib import Path
from typing import Final

import serial

from gateway.errors import LinkLost, UsageError
from gateway.transport.inbox import Inbox, turn_loop
from gateway.transport.port import RECEIVE_HIGH_WATER
from gateway.url import CharacterFormat

BY_ID: Final = Path("/dev/serial/by-id")
"""Names that stay with an adapter when it is unplugged and comes back."""
_READ_OCTETS: Final = 4096


class SerialTransport:
    """Transport over one serial device; see ``gateway.transport.port``.

    The port always runs 8N1. Seven data bits with even parity are the same eight bits on the wire
    and are made here, because many adapters and every pseudo-terminal refuse to be set to them.
    """

    def __init__(
        self,
        device: str,
        *,
        baud: int = 9600,
        characters: CharacterFormat = CharacterFormat.EIGHT_NONE_ONE,
    ) -> None:
        self._device = device
        self._baud = baud
        self._seven_even = characters is CharacterFormat.SEVEN_EVEN_ONE
        self._inbox = Inbox(f"serial {device}")
        self._port: serial.Serial | None = None
        self._fd = -1
        self._outbox = bytearray()
        self._written: asyncio.Future[None] | None = None
        self._reading = False

    async def connect(self) -> None:
        """Open the device; LinkLost when it is not there or held by another program."""
        await self.close()
        self._port = self._open()
        self._fd = self._port.fileno()
        self._outbox.clear()
        self._inbox.open()
        self._read_on()

    def _open(self) -> serial.Serial:
        try:
            return serial.Serial(
                self._device, baudrate=self._baud, timeout=0, write_timeout=0, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:
            code = getattr(error, "errno", None)
            if code is None and error.args and isinstance(error.args[0], int):
                code = error.args[0]
            if code in (errno.EACCES, errno.EPERM):
                raise UsageError(
                    f"serial {self._device}: no permission; add the user to the group that owns it"
                ) from error
            if code in (errno.EAGAIN, errno.EWOULDBLOCK):
                raise LinkLost(f"serial {self._device}: held by another program") from error
            raise LinkLost(f"serial {self._device}: {error}{self._advice()}") from error

    def _advice(self) -> str:
        try:
            stable = sorted(str(link) for link in BY_ID.iterdir())
        except OSError:
            return ""
        return f"; adapters present now: {', '.join(stable)}" if stable else ""

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        data = await self._inbox.take(timeout_s)
        if self._fd >= 0 and not self._reading and self._inbox.lost is None:
            self._read_on()
        return data

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()
        self._outbox += to_seven_even(data) if self._seven_even else data
        if self._written is None:
            self._write_some()
            if self._outbox:
                loop = asyncio.get_running_loop()
                self._written = loop.create_future()
                loop.add_writer(self._fd, self._write_some)
        if self._written is not None:
            # Shielded: the rest of a cancelled sending goes out before the next one.
            await asyncio.shield(self._written)
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        if self._fd >= 0 and not self._reading:
            self._read_on()
        await turn_loop()
        return self._inbox.flush()

    async def close(self) -> None:
        """See ``Transport.close``."""
        if self._port is not None:
            self._lose("closed by this side")

    def _read_on(self) -> None:
        self._reading = True
        asyncio.get_running_loop().add_reader(self._fd, self._read_some)

    def _read_some(self) -> None:
        try:
            data = os.read(self._fd, _READ_OCTETS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(f"the device vanished ({error.strerror}){self._advice()}")
            return
        if not data:
            # Readable and empty: a line that is merely silent is never readable.
            self._lose(f"the device vanished{self._advice()}")
            return
        self._inbox.feed(from_seven_even(data) if self._seven_even else data)
        if len(self._inbox) > RECEIVE_HIGH_WATER:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._fd)

    def _write_some(self) -> None:
        try:
            count = os.write(self._fd, self._outbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(f"the device vanished ({error.strerror}){self._advice()}")
            return
        del self._outbox[:count]
        if not self._outbox and self._written is not None:
            asyncio.get_running_loop().remove_writer(self._fd)
            self._finish_writing()

    def _finish_writing(self) -> None:
        if self._written is not None and not self._written.done():
            self._written.set_result(None)
        self._written = None

    def _lose(self, reason: str) -> None:
        """Close the port at once: an adapter that comes back needs its name to be free."""
        self._inbox.lose(reason)
        port, self._port = self._port, None
        if port is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        self._fd, self._reading = -1, False
        self._outbox.clear()
        self._finish_writing()
        with contextlib.suppress(OSError, termios.error):
            # Without this the kernel holds close up until a dead line has taken everything.
            port.reset_output_buffer()
        with contextlib.suppress(OSError, termios.error):
            port.close()


def _with_even_parity(octet: int) -> int:
    seven = octet & 0x7F
    return seven | (seven.bit_count() & 1) << 7


_ENCODE: Final = bytes(_with_even_parity(octet) for octet in range(256))
_DECODE: Final = bytes(octet & 0x7F for octet in range(256))
_BAD_PARITY: Final = bytes(octet for octet in range(256) if octet != _ENCODE[octet])


def to_seven_even(data: bytes) -> bytes:
    """Seven-bit characters as the octets that 7E1 puts on an 8N1 line."""
    return data.translate(_ENCODE)


def from_seven_even(data: bytes) -> bytes:
    """The reverse; characters with wrong parity are dropped, as a 7E1 port drops them."""
    return data.translate(_DECODE, _BAD_PARITY)
