"""Octets between an open descriptor and the event loop, without blocking and without threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.errors import LinkLost
from gateway.transport.inbox import Inbox, turn_loop
from gateway.transport.port import RECEIVE_HIGH_WATER, React, Transport


class Channel:
    """Reads a non-blocking descriptor into an inbox and writes to it; serial lines and TCP alike.

    ``read`` and ``write`` are the system's: they raise BlockingIOError when there is nothing to
    do now, any other OSError when the wire is gone, and ``read`` returns b"" at its end.
    ``on_end`` is told once, with the error or None for the end; it has to ``close`` the channel.
    """

    __slots__ = (
        "_fd",
        "_inbox",
        "_loop",
        "_on_end",
        "_outbox",
        "_read",
        "_reading",
        "_write",
        "_written",
    )

    def __init__(
        self,
        fd: int,
        inbox: Inbox,
        *,
        read: Callable[[], bytes],
        write: Callable[[bytes | bytearray], int],
        on_end: Callable[[OSError | None], None],
    ) -> None:
        self._fd = fd
        self._inbox = inbox
        self._read = read
        self._write = write
        self._on_end = on_end
        self._outbox = bytearray()
        self._written: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._read_some)
        self._reading = True

    def resume(self) -> None:
        """Let the kernel hand over octets again, where the inbox was too full for more."""
        if not self._reading and self._fd >= 0:
            self._loop.add_reader(self._fd, self._read_some)
            self._reading = True

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        self.post(data)
        if self._written is not None:
            await self._inbox.until_written(self._written)
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()

    def post(self, data: bytes) -> None:
        """Begin to send; what the system does not take now follows by itself."""
        if self._written is not None:
            self._outbox += data
            return
        try:
            count = self._write(data)
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError as error:
            self._on_end(error)
            return
        if count < len(data):
            self._outbox += data[count:]
            self._written = self._loop.create_future()
            self._loop.add_writer(self._fd, self._write_some)

    def close(self) -> None:
        """Leave the descriptor alone; whoever closes it does so afterwards."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        if self._written is not None:
            self._loop.remove_writer(self._fd)
        self._fd = -1
        self._outbox.clear()
        self._finish_writing()

    def _read_some(self) -> None:
        try:
            data = self._read()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._on_end(error)
            return
        if not data:
            self._on_end(None)
            return
        self._inbox.feed(data)
        if len(self._inbox) > RECEIVE_HIGH_WATER:
            self._loop.remove_reader(self._fd)
            self._reading = False

    def _write_some(self) -> None:
        try:
            count = self._write(self._outbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._on_end(error)
            return
        del self._outbox[:count]
        if not self._outbox and self._written is not None:
            self._loop.remove_writer(self._fd)
            self._finish_writing()

    def _finish_writing(self) -> None:
        if self._written is not None and not self._written.done():
            self._written.set_result(None)
        self._written = None


class ChannelTransport(Transport):
    """What serial lines and TCP do alike; they differ in how they connect and part."""

    def __init__(self, name: str, lost_kind: type[LinkLost] = LinkLost) -> None:
        self._inbox = Inbox(name, lost_kind)
        self._channel: Channel | None = None

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        data = await self._inbox.take(timeout_s)
        if self._channel is not None:
            self._channel.resume()
        return data

    async def converse(self, react: React, timeout_s: float) -> None:
        """See ``Transport.converse``."""

        def hear(data: bytes) -> bool:
            answer = react(data)
            if answer and self._channel is not None:
                self._channel.post(self._on_wire(answer))
            return answer is None

        await self._inbox.listen(hear, timeout_s)

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        if self._channel is None:
            raise self._inbox.link_lost()
        await self._channel.send(self._on_wire(data))

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        if self._channel is not None:
            self._channel.resume()
        await turn_loop()
        return self._inbox.flush()

    def _on_wire(self, data: bytes) -> bytes:
        """The octets as this wire carries them."""
        return data
