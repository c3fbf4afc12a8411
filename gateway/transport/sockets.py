"""What the transports over a network share: addresses of a host, and finding dead peers."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any, Final

KEEPALIVE_IDLE_S: Final = 60
KEEPALIVE_INTERVAL_S: Final = 15
KEEPALIVE_PROBES: Final = 4
"""A half-open connection to a meter that lost its supply is found within two minutes."""
UNACKNOWLEDGED_S: Final = 60
"""Octets that the peer's host has not acknowledged for so long end the connection."""

Address = tuple[int, Any]
"""Address family and socket address."""


async def addresses_of(host: str, port: int, kind: int) -> list[Address]:
    """Where a host answers for sockets of a kind; raise OSError (gaierror) where nowhere."""
    ask = partial(socket.getaddrinfo, host, port, type=kind)
    try:
        found = ask(flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        # A name: asking for it may take long, so a thread does.
        found = await asyncio.get_running_loop().run_in_executor(None, ask)
    return [(family, address) for family, _, _, _, address in found]


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel find out when the peer is gone, and send what is given to it at once."""
    # A segment of one APDU must not wait for the acknowledgement of the one before.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_S * 1000),
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
