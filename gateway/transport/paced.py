"""A wire on which a meter needs silence before it is spoken to again."""

from __future__ import annotations

import asyncio

from gateway.transport.port import Transport


class PacedTransport(Transport):
    """Another transport, with ``turnaround_s`` seconds between what came and what is sent.

    An RS-485 driver that has just sent needs time to listen again; so does the converter of a
    serial server. One owner: the time of the last octet is kept here.
    """

    def __init__(self, inner: Transport, turnaround_s: float) -> None:
        self._inner = inner
        self._turnaround_s = turnaround_s
        self._heard_at: float | None = None

    async def connect(self) -> None:
        """See ``Transport.connect``."""
        self._heard_at = None
        await self._inner.connect()

    async def begin_link(self) -> None:
        """See ``Transport.begin_link``."""
        await self._inner.begin_link()

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        data = await self._inner.receive(timeout_s)
        self._heard_at = asyncio.get_running_loop().time()
        return data

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``; not before the meter listens again."""
        if self._heard_at is not None:
            listens_at = self._heard_at + self._turnaround_s
            await asyncio.sleep(max(0.0, listens_at - asyncio.get_running_loop().time()))
        await self._inner.send(data)

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        return await self._inner.flush()

    async def rest(self) -> None:
        """See ``Transport.rest``."""
        await self._inner.rest()

    async def close(self) -> None:
        """See ``Transport.close``."""
        await self._inner.close()
