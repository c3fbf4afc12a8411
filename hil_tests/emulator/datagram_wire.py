"""A meter on a UDP port: one datagram holds one wrapper PDU (IEC 62056-47)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, cast

from hil_tests.emulator.pacing import WireStats
from hil_tests.emulator.station import Spoiler, Station

_PEERS: Final = 64
"""Clients that are remembered; the one that was silent longest is forgotten first."""
_NS_PER_MS: Final = 1_000_000


class UdpWire(asyncio.DatagramProtocol):
    """One meter; each peer address is a link of its own."""

    def __init__(
        self, host: str, make_station: Callable[[], Station], spoiler: Spoiler, port: int = 0
    ) -> None:
        self._host = host
        self._make_station = make_station
        self._spoiler = spoiler
        self._stations: OrderedDict[Any, Station] = OrderedDict()
        self._transport: asyncio.DatagramTransport | None = None
        self.stats = WireStats()
        self.port = port

    async def start(self) -> None:
        """Listen; ``port`` then is the real one."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, self.port))

    async def stop(self) -> None:
        """Close the port."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The port is open."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One PDU of one client."""
        self.stats.octets_in += len(data)
        station = self._stations.pop(addr, None) or self._make_station()
        self._stations[addr] = station
        while len(self._stations) > _PEERS:
            self._stations.popitem(last=False)
        answer = self._spoiler.answer(station, data).octets
        if not answer:
            return
        self.stats.turnarounds += 1
        self.stats.turnaround_ns += station.turnaround_ms * _NS_PER_MS
        pieces = self._spoiler.pieces(answer)
        delay_s = station.turnaround_ms / 1000
        asyncio.get_running_loop().call_later(delay_s, self._send, pieces, addr)

    def _send(self, pieces: list[bytes], addr: Any) -> None:
        for piece in pieces:
            if self._transport is not None and not self._transport.is_closing():
                self.stats.octets_out += len(piece)
                self._transport.sendto(piece, addr)
