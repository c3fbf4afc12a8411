"""TCP: the wrapper's wire, and HDLC through serial servers and modems."""

from __future__ import annotations

import asyncio
import socket

from gateway.errors import LinkLost, NoAnswer
from gateway.transport.inbox import Inbox, turn_loop
from gateway.transport.port import RECEIVE_HIGH_WATER

KEEPALIVE_IDLE_S = 60
"""A half-open connection to a meter that lost its supply is found within a few minutes."""


class TcpTransport:
    """Transport over one TCP connection; see ``gateway.transport.port``."""

    def __init__(self, host: str, port: int, *, connect_timeout_s: float = 10) -> None:
        self._host = host
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._inbox = Inbox(f"tcp {host}:{port}")
        self._stream: _Stream | None = None

    async def connect(self) -> None:
        """Open the connection; LinkLost when refused, NoAnswer when nobody answers in time."""
        await self.close()
        loop = asyncio.get_running_loop()
        name = self._inbox.name
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                transport, self._stream = await loop.create_connection(
                    lambda: _Stream(self._inbox), self._host, self._port
                )
        except TimeoutError:
            raise NoAnswer(f"{name}: no connection within {self._connect_timeout_s:g} s") from None
        except OSError as error:
            raise LinkLost(f"{name}: {error.strerror or error}") from error
        _keep_alive(transport.get_extra_info("socket"))

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        data = await self._inbox.take(timeout_s)
        if self._stream is not None:
            self._stream.resume()
        return data

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        stream = self._stream
        if stream is None or self._inbox.lost is not None:
            raise self._inbox.link_lost()
        await stream.send(data)

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        if self._stream is not None:
            self._stream.resume()
        await turn_loop()
        return self._inbox.flush()

    async def close(self) -> None:
        """See ``Transport.close``."""
        if self._stream is not None:
            self._inbox.lose("closed by this side")
            stream, self._stream = self._stream, None
            await stream.close()


class _Stream(asyncio.Protocol):
    """The event loop's end: feeds the inbox, slows sender and receiver down."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._writable: asyncio.Future[None] | None = None
        self._closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._inbox.open()

    def data_received(self, data: bytes) -> None:
        self._inbox.feed(data)
        if len(self._inbox) > RECEIVE_HIGH_WATER and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True

    def eof_received(self) -> None:
        self._inbox.lose("closed by the peer")

    def connection_lost(self, exc: Exception | None) -> None:
        self._inbox.lose(str(exc) if exc else "closed by the peer")
        self.resume_writing()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def resume(self) -> None:
        """Let the kernel hand over octets again."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    async def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)
        if self._writable is not None:
            # Shielded: a cancelled sender must not cancel the future that resume_writing sets.
            await asyncio.shield(self._writable)
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()

    async def close(self) -> None:
        assert self._transport is not None
        if self._transport.get_write_buffer_size():
            # The peer does not read: waiting for it to take the rest could last for ever.
            self._transport.abort()
        else:
            self._transport.close()
        await asyncio.shield(self._closed)


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
