"""A pseudo terminal that stands for a serial device: the meters' end of it."""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

_READ_OCTETS: Final = 4096
_SPEED: Final = 5
"""Where the output speed stands among a terminal's attributes."""


class Terminal:
    """``path`` is a link to the device for readers to open; what they send is ``heard``."""

    def __init__(self, path: Path, heard: Callable[[bytes], None]) -> None:
        self.path = path
        self._heard = heard
        self._master = self._slave = -1

    @property
    def speed(self) -> int:
        """As the reader set it, as one of the constants of termios."""
        speed: int = termios.tcgetattr(self._slave)[_SPEED]
        return speed

    def open(self) -> None:
        """Make the device."""
        self._master, self._slave = os.openpty()
        # Raw, or the terminal would echo and translate; and held open here, or the master
        # would report an error whenever a reader closes its end.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def close(self) -> None:
        """Remove the device."""
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def put(self, octets: bytes) -> None:
        """Send; where nobody listens and the buffer is full they are gone, as on a wire."""
        try:
            os.write(self._master, octets)
        except BlockingIOError:
            return

    def _readable(self) -> None:
        self._heard(os.read(self._master, _READ_OCTETS))
