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
from functools import partial
from pathlib import Path
from typing import Final

import serial

from gateway.errors import UsageError, WireGone
from gateway.transport.channel import Channel, ChannelTransport
from gateway.transport.port import React
from gateway.url import CharacterFormat

BY_ID: Final = Path("/dev/serial/by-id")
"""Names that stay with an adapter when it is unplugged and comes back."""
_READ_OCTETS: Final = 4096
_BITS_PER_OCTET: Final = 10
"""Start bit, eight data bits (or seven and parity), stop bit."""


class SerialTransport(ChannelTransport):
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
        super().__init__(f"serial {device}", WireGone)
        self.device = device
        self._baud = self._line_baud = baud
        self._seven_even = characters is CharacterFormat.SEVEN_EVEN_ONE
        self._port: serial.Serial | None = None
        self._through_at = 0.0
        """When the last octet that was sent has left, by the event loop's clock."""

    async def connect(self) -> None:
        """Open the device; WireGone when it is not there or held by another program.

        Its name is looked up anew each time: an adapter that was plugged in again may stand
        behind the same link in /dev/serial/by-id under another node.
        """
        await self.close()
        self._port = self._open()
        self._line_baud, self._through_at = self._baud, 0.0
        fd = self._port.fileno()
        self._inbox.open()
        self._channel = Channel(
            fd,
            self._inbox,
            read=partial(self._read, fd),
            write=partial(os.write, fd),
            on_end=self._vanished,
        )

    def _open(self) -> serial.Serial:
        try:
            return serial.Serial(
                self.device, baudrate=self._baud, timeout=0, write_timeout=0, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:
            code = getattr(error, "errno", None)
            if code is None and error.args and isinstance(error.args[0], int):
                code = error.args[0]
            if code in (errno.EACCES, errno.EPERM):
                raise UsageError(
                    f"serial {self.device}: no permission; add the user to the group that owns it"
                ) from error
            if code in (errno.EAGAIN, errno.EWOULDBLOCK):
                raise WireGone(f"serial {self.device}: held by another program") from error
            raise WireGone(f"serial {self.device}: {error}{self._advice()}") from error

    def set_line(self, baud: int, characters: CharacterFormat) -> None:
        """Change speed and characters of the open port; WireGone when it is gone."""
        self._seven_even = characters is CharacterFormat.SEVEN_EVEN_ONE
        if self._port is None:
            raise self._inbox.link_lost()
        try:
            self._port.baudrate = self._line_baud = baud
        except (OSError, ValueError, termios.error) as error:
            self._lose(f"{baud} baud cannot be set: {error}")
            raise self._inbox.link_lost() from error

    def _advice(self) -> str:
        try:
            stable = sorted(str(link) for link in BY_ID.iterdir())
        except OSError:
            return ""
        return f"; adapters present now: {', '.join(stable)}" if stable else ""

    async def close(self) -> None:
        """See ``Transport.close``."""
        self._lose("closed by this side")

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``; the silence begins when what was sent is through."""
        return await super().receive(timeout_s + self._leaving_s())

    async def converse(self, react: React, timeout_s: float) -> None:
        """See ``Transport.converse``; the silence begins when what was sent is through."""
        await super().converse(react, timeout_s + self._leaving_s())

    def _on_wire(self, data: bytes) -> bytes:
        # The system takes octets at once, a slow line does not: 100 of them need 3.3 s at 300 baud.
        begins_at = max(self._through_at, asyncio.get_running_loop().time())
        self._through_at = begins_at + len(data) * _BITS_PER_OCTET / self._line_baud
        return to_seven_even(data) if self._seven_even else data

    def _leaving_s(self) -> float:
        return max(0.0, self._through_at - asyncio.get_running_loop().time())

    def _read(self, fd: int) -> bytes:
        data = os.read(fd, _READ_OCTETS)
        if not data:
            return data
        data = self._unechoed(data)
        if self._seven_even:
            data = from_seven_even(data)
        if not data:
            # Noise or echo alone: nothing came, and nothing ended.
            raise BlockingIOError
        return data

    def _unechoed(self, data: bytes) -> bytes:
        """What was received without what this side sent."""
        return data

    def _vanished(self, error: OSError | None) -> None:
        # No error is the end of a file: a line that is merely silent is never readable.
        cause = f" ({error.strerror})" if error else ""
        self._lose(f"the device vanished{cause}{self._advice()}")

    def _lose(self, reason: str) -> None:
        """Close the port at once: an adapter that comes back needs its name to be free."""
        port, self._port = self._port, None
        channel, self._channel = self._channel, None
        if port is None or channel is None:
            return
        self._inbox.lose(reason)
        channel.close()
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
