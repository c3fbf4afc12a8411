"""The clock as a part that is handed in: records in UTC, waiting by the event loop's time."""

from __future__ import annotations

import asyncio
import ctypes
import time
from typing import Final, Protocol

_STA_UNSYNC: Final = 0x0040
_TIMEX_STATUS_OFFSET: Final = 5 * 8
"""``struct timex``: modes, offset, freq, maxerror, esterror come before ``status`` (64 bit)."""
_TIMEX_OCTETS: Final = 512


class Clock(Protocol):
    """Wall time for records; waiting goes through the event loop, so both can be simulated."""

    def now_us(self) -> int:
        """UTC microseconds since the epoch."""

    def synchronised(self) -> bool:
        """Whether the host's clock is disciplined by a time source now."""


class SystemClock:
    """The host's clock; whether it is synchronised is what the kernel says (adjtimex).

    ``trusted`` is for hosts whose clock something else keeps right.
    """

    def __init__(self, *, trusted: bool = False) -> None:
        self._trusted = trusted

    def now_us(self) -> int:
        """UTC microseconds since the epoch."""
        return time.time_ns() // 1000

    def synchronised(self) -> bool:
        """Whether the kernel clock is disciplined; False where the kernel cannot be asked."""
        if self._trusted:
            return True
        libc = ctypes.CDLL(None, use_errno=True)
        timex = ctypes.create_string_buffer(_TIMEX_OCTETS)
        if not hasattr(libc, "adjtimex") or libc.adjtimex(timex) < 0:
            return False
        status = int.from_bytes(
            timex.raw[_TIMEX_STATUS_OFFSET : _TIMEX_STATUS_OFFSET + 4], "little"
        )
        return not status & _STA_UNSYNC


class LoopClock:
    """A clock that follows the event loop's time: simulated where the loop is."""

    def __init__(self, start_us: int, *, synchronised: bool = True) -> None:
        self._start_us = start_us
        self._synchronised = synchronised
        self._origin_s: float | None = None

    def now_us(self) -> int:
        """UTC microseconds: the start plus what the loop's clock has run since the first call."""
        now_s = asyncio.get_running_loop().time()
        if self._origin_s is None:
            self._origin_s = now_s
        return self._start_us + round((now_s - self._origin_s) * 1_000_000)

    def synchronised(self) -> bool:
        """As stated at construction."""
        return self._synchronised
