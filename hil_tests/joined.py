"""A transport with emulated meters on its other end, in one process and without a wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from gateway.errors import LinkLost, NoAnswer
from gateway.transport.port import Transport

_TURNAROUND_S = 0.02


class JoinedTransport(Transport):
    """``exchange`` gives the pieces that octets are answered with; silence takes loop time.

    ``lost`` is whether the wire is away.
    """

    def __init__(
        self,
        exchange: Callable[[bytes], Iterable[bytes]],
        lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self._exchange = exchange
        self._lost = lost
        self._answers: list[bytes] = []

    async def connect(self) -> None:
        """See ``Transport.connect``."""
        if self._lost():
            raise LinkLost("the wire is not there")

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        if self._lost():
            raise LinkLost("the wire went away")
        await asyncio.sleep(_TURNAROUND_S)
        if not self._answers:
            await asyncio.sleep(timeout_s)
            raise NoAnswer(f"nothing for {timeout_s:g} s")
        return self._answers.pop(0)

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        if self._lost():
            raise LinkLost("the wire went away")
        self._answers += self._exchange(data)

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        dropped, self._answers = sum(map(len, self._answers)), []
        return dropped

    async def close(self) -> None:
        """See ``Transport.close``."""
        self._answers = []
