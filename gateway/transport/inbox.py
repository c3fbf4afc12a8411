"""Octets that arrived, and the one task that waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.errors import LinkLost, LocalProtocolError, NoAnswer
from gateway.transport.port import SEND_LIMIT_S


class Inbox:
    """What every transport does with received octets; the event loop's thread only."""

    __slots__ = (
        "_buffer",
        "_deadline",
        "_hear",
        "_lost",
        "_lost_kind",
        "_patience_s",
        "_timer",
        "_waiter",
        "name",
    )

    def __init__(self, name: str, lost_kind: type[LinkLost] = LinkLost) -> None:
        self.name = name
        """What errors call the wire."""
        self._lost_kind = lost_kind
        self._buffer = bytearray()
        self._lost: str | None = "it is not open"
        self._waiter: asyncio.Future[bool] | None = None
        self._hear: Callable[[bytes], bool] | None = None
        self._patience_s = 0.0
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._buffer)

    def _keep(self, data: bytes) -> None:
        self._buffer += data

    def _drain(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    @property
    def lost(self) -> str | None:
        """Why the wire is gone; None while it is open."""
        return self._lost

    def open(self) -> None:
        """Start anew, empty."""
        self.flush()
        self._lost = None
        self._stop_timer()

    def feed(self, data: bytes) -> None:
        """Octets arrived."""
        if self._hear is None or self._waiter is None or self._waiter.done():
            self._keep(data)
            self._wake()
            return
        waiter = self._waiter
        try:
            enough = self._hear(data)
        except BaseException as error:
            # For the task that waits; the event loop only says where it happened.
            if not waiter.done():
                waiter.set_exception(error)
            raise
        if enough:
            self._wake(has_heard_enough=True)
        else:
            self._deadline = waiter.get_loop().time() + self._patience_s

    def lose(self, reason: str) -> None:
        """The wire is gone; the first reason stays."""
        if self._lost is None:
            self._lost = reason
        self._stop_timer()
        self._wake()

    def link_lost(self) -> LinkLost:
        """The error for the state we are in."""
        return self._lost_kind(f"{self.name}: {self._lost}")

    async def until_written(self, written: asyncio.Future[None]) -> None:
        """Wait for the system to take what was sent; NoAnswer after ``SEND_LIMIT_S``."""
        try:
            async with asyncio.timeout(SEND_LIMIT_S):
                # Shielded: the rest of a cancelled sending goes out before the next one.
                await asyncio.shield(written)
        except TimeoutError:
            raise NoAnswer(f"{self.name}: does not take octets for {SEND_LIMIT_S} s") from None

    def flush(self) -> int:
        """Forget what arrived; the number of octets."""
        count = len(self._buffer)
        self._buffer.clear()
        return count

    async def take(self, timeout_s: float) -> bytes:
        """Everything that arrived, waiting for the first octet."""
        if not len(self):
            await self._wait(timeout_s)
        return self._drain()

    async def listen(self, hear: Callable[[bytes], bool], timeout_s: float) -> None:
        """Hand over what arrives, within the event loop's callback, until ``hear`` has enough."""
        while not len(self) or not hear(self._drain()):
            self._hear = hear
            try:
                if await self._wait(timeout_s):
                    return
            finally:
                self._hear = None

    async def _wait(self, timeout_s: float) -> bool:
        """Until octets are held (False) or ``hear`` had enough of those that came (True)."""
        if self._lost is not None:
            raise self.link_lost()
        if self._waiter is not None:
            raise LocalProtocolError(f"{self.name}: two tasks receive from one transport")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._patience_s = timeout_s
        self._set_timer(loop, loop.time() + timeout_s)
        try:
            has_heard_enough = await self._waiter
        finally:
            self._waiter = None
        if has_heard_enough or len(self):
            return has_heard_enough
        if self._lost is not None:
            raise self.link_lost()
        raise NoAnswer(f"{self.name}: nothing received for {timeout_s:g} s")

    def _set_timer(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """Wake whoever waits at ``deadline``.

        The timer of an earlier wait is left to run and is set anew when it is due: answers are
        many and silences few, so starting and stopping a timer for each answer is lost work.
        """
        self._deadline = deadline
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._stop_timer()
        self._timer = loop.call_at(deadline, self._on_timer, loop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline > loop.time():
            self._set_timer(loop, self._deadline)
        else:
            self._wake()

    def _wake(self, *, has_heard_enough: bool = False) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(has_heard_enough)


class DatagramInbox(Inbox):
    """The same for datagrams: each is handed out by itself, as it came.

    At most ``limit`` octets are held; ``dropped`` counts the datagrams that came beyond.
    """

    __slots__ = ("_datagrams", "_held", "_limit", "dropped")

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(name)
        self._datagrams: deque[bytes] = deque()
        self._held = 0
        self._limit = limit
        self.dropped = 0

    def __len__(self) -> int:
        return self._held

    def _keep(self, data: bytes) -> None:
        if self._held + len(data) > self._limit:
            self.dropped += 1
            return
        self._datagrams.append(data)
        self._held += len(data)

    def _drain(self) -> bytes:
        data = self._datagrams.popleft()
        self._held -= len(data)
        return data

    def flush(self) -> int:
        """Forget what arrived; the number of octets."""
        count, self._held = self._held, 0
        self._datagrams.clear()
        return count


async def turn_loop() -> None:
    """Let the event loop take in what the kernel holds already.

    Two turns: in the first the loop polls, and its reader callbacks run after this task.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)
