"""UDP: the wrapper's wire where packets may be lost, doubled or late (IEC 62056-47)."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from typing import Any, Final

from gateway.errors import LinkLost, LocalProtocolError
from gateway.transport.inbox import DatagramInbox, turn_loop
from gateway.transport.port import RECEIVE_HIGH_WATER, React, Transport
from gateway.transport.sockets import addresses_of

_DATAGRAM_OCTETS: Final = 65_535
_ERRORS_TOLD: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
"""IP_RECVERR and IPV6_RECVERR of Linux: a port that nobody listens on is told at once."""


class UdpTransport(Transport):
    """Transport over datagrams to and from one peer; see ``gateway.transport.port``.

    What is sent at once is one datagram, and ``receive`` and ``converse`` hand out one at a time.
    The socket stays unconnected, so that datagrams from elsewhere are seen: they are passed over
    and counted in ``foreign_datagrams``.
    """

    def __init__(self, host: str, port: int) -> None:
        self._inbox = DatagramInbox(f"udp {host}:{port}", RECEIVE_HIGH_WATER)
        self._host = host
        self._port = port
        self._peer: tuple[Any, ...] = ()
        self._socket: socket.socket | None = None
        self.foreign_datagrams = 0

    async def connect(self) -> None:
        """Open the socket; nothing is sent. LinkLost where the host has no address."""
        await self.close()
        name = self._inbox.name
        sock: socket.socket | None = None
        try:
            family, peer = (await addresses_of(self._host, self._port, socket.SOCK_DGRAM))[0]
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            if sys.platform == "linux":
                sock.setsockopt(*_ERRORS_TOLD[socket.AddressFamily(family)], 1)
            sock.bind(("", 0))
        except OSError as error:
            if sock is not None:
                sock.close()
            raise LinkLost(f"{name}: {error.strerror or error}") from error
        self._peer, self._socket = tuple(peer), sock
        self._inbox.open()
        asyncio.get_running_loop().add_reader(sock.fileno(), self._read_some, sock)

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``: one datagram."""
        return await self._inbox.take(timeout_s)

    async def converse(self, react: React, timeout_s: float) -> None:
        """See ``Transport.converse``."""

        def hear(data: bytes) -> bool:
            answer = react(data)
            if answer:
                self._post(answer)
            return answer is None

        await self._inbox.listen(hear, timeout_s)

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``: one datagram. LocalProtocolError where it is too long for one."""
        self._post(data)
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        await turn_loop()
        return self._inbox.flush()

    async def close(self) -> None:
        """See ``Transport.close``."""
        self._lose("closed by this side")

    def _post(self, data: bytes) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(data, self._peer)
        except BlockingIOError:
            # As on a wire that is busy: this one is lost, and is asked for again.
            return
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise LocalProtocolError(
                    f"{self._inbox.name}: {len(data)} octets do not fit into one datagram"
                ) from None
            self._lose(str(error.strerror or error))

    def _read_some(self, sock: socket.socket) -> None:
        try:
            data, peer = sock.recvfrom(_DATAGRAM_OCTETS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(str(error.strerror or error))
            return
        if peer[:2] != self._peer[:2]:
            self.foreign_datagrams += 1
        elif data:
            self._inbox.feed(data)

    def _lose(self, reason: str) -> None:
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._inbox.lose(reason)
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()
