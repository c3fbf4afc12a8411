"""Where meters call in by themselves: TCP connections and UDP datagrams, octets as they come.

A port hands on and keeps nothing: what octets mean, and whether a sender is to be heard, is its
user's. Connections, their idle time and the octets held are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gateway.errors import ConfigError

Hear = Callable[[bytes], bool]
"""Takes octets of one sender; False when no more of them are wanted."""
Admit = Callable[[str], Hear | None]
"""Asked once for each connection or datagram, with the sender's address; None turns it away."""

IDLE_S: Final = 180
"""As long as meters keep a connection that nothing goes over."""


class PushPort(Protocol):
    """One place where meters call."""

    turned_away: int
    """Connections that there was no room for."""

    async def open(self, admit: Admit) -> None:
        """Listen. Raises ConfigError where that cannot be."""

    async def close(self) -> None:
        """Stop listening and drop all connections; safe to call twice."""


class TcpPushPort:
    """Listens for TCP connections."""

    def __init__(
        self, host: str, port: int, *, max_connections: int, idle_s: float = IDLE_S
    ) -> None:
        self.port = port
        """The real one once open."""
        self.turned_away = 0
        self._host = host
        self._max_connections = max_connections
        self._idle_s = idle_s
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    async def open(self, admit: Admit) -> None:
        """See ``PushPort.open``."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self, admit), self._host, self.port
            )
        except OSError as error:
            raise _not_there("tcp", self._host, self.port, error) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """See ``PushPort.close``."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._open):
            connection.abort()

    def enter(self, connection: _Connection) -> bool:
        """Whether there is room for one more connection."""
        if len(self._open) >= self._max_connections:
            self.turned_away += 1
            return False
        self._open.add(connection)
        return True

    def leave(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._open.discard(connection)

    @property
    def idle_s(self) -> float:
        """After so much silence a connection is dropped."""
        return self._idle_s


class _Connection(asyncio.Protocol):
    def __init__(self, port: TcpPushPort, admit: Admit) -> None:
        self._port = port
        self._admit = admit
        self._hear: Hear | None = None
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if self._port.enter(self):
            self._hear = self._admit(str(peer[0]) if peer else "")
        if self._hear is None:
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        if self._hear is not None and self._hear(data):
            self._wait()
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.leave(self)
        self._hear = None
        if self._idle is not None:
            self._idle.cancel()

    def abort(self) -> None:
        """Drop the connection without waiting for the peer."""
        self._hear = None
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._port.idle_s, self.abort)


class UdpPushPort:
    """Listens for UDP datagrams; each stands for itself."""

    def __init__(self, host: str, port: int) -> None:
        self.port = port
        """The real one once open."""
        self.turned_away = 0
        self._host = host
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, admit: Admit) -> None:
        """See ``PushPort.open``."""
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(admit), local_addr=(self._host, self.port)
            )
        except OSError as error:
            raise _not_there("udp", self._host, self.port, error) from error
        self.port = self._transport.get_extra_info("sockname")[1]

    async def close(self) -> None:
        """See ``PushPort.close``."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, admit: Admit) -> None:
        self._admit = admit

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        hear = self._admit(str(addr[0]))
        if hear is not None:
            hear(data)


def _not_there(kind: str, host: str, port: int, error: OSError) -> ConfigError:
    allowed = f"an address of this machine that is free: {error.strerror or error}"
    return ConfigError("site", f"push.{kind}", f"{host}:{port}", allowed)
