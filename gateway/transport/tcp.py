"""TCP: the wrapper's wire, and HDLC through serial servers and modems."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any, Final

from gateway.errors import LinkLost, NoAnswer
from gateway.transport.channel import Channel, ChannelTransport
from gateway.transport.opening_pace import OpeningPace
from gateway.transport.sockets import addresses_of, keep_alive

_READ_OCTETS: Final = 16_384


class TcpTransport(ChannelTransport):
    """Transport over one TCP connection; see ``gateway.transport.port``.

    It waits for its turn in ``pace`` before it is opened.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_timeout_s: float = 10,
        pace: OpeningPace | None = None,
    ) -> None:
        super().__init__(f"tcp {host}:{port}")
        self._host = host
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._pace = pace
        self._socket: socket.socket | None = None

    async def connect(self) -> None:
        """Open the connection; LinkLost when refused, NoAnswer when nobody answers in time."""
        await self.close()
        name = self._inbox.name
        if self._pace is not None:
            await self._pace.turn()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                sock = await self._connected()
        except TimeoutError:
            raise NoAnswer(f"{name}: no connection within {self._connect_timeout_s:g} s") from None
        except OSError as error:
            raise LinkLost(f"{name}: {error.strerror or error}") from error
        self._inbox.open()
        self._socket = sock
        self._channel = Channel(
            sock.fileno(),
            self._inbox,
            read=partial(sock.recv, _READ_OCTETS),
            write=sock.send,
            on_end=self._ended,
        )

    async def _connected(self) -> socket.socket:
        """A socket connected to the first address of the host that takes it."""
        failure: OSError | None = None
        for family, address in await addresses_of(self._host, self._port, socket.SOCK_STREAM):
            try:
                return await _connect(family, address)
            except OSError as error:
                failure = failure or error
        raise failure or OSError(f"no address of {self._host}")

    async def close(self) -> None:
        """See ``Transport.close``. What the peer has not taken yet is not waited for."""
        self._lose("closed by this side")

    def _ended(self, error: OSError | None) -> None:
        self._lose(str(error.strerror or error) if error else "closed by the peer")

    def _lose(self, reason: str) -> None:
        sock, self._socket = self._socket, None
        channel, self._channel = self._channel, None
        if sock is None or channel is None:
            return
        self._inbox.lose(reason)
        channel.close()
        sock.close()


async def _connect(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        keep_alive(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
