"""Two transports joined in memory, with a wire that may be slow, lossy or ragged on purpose."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import UsageError
from gateway.transport.inbox import Inbox, turn_loop
from gateway.transport.port import Transport

PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackFaults:
    """What the wire does to each piece that is sent.

    ``delay_s`` holds it back (order is kept), ``drop_per_million`` loses single octets,
    ``split`` delivers it in pieces cut at random.
    """

    delay_s: float = 0
    drop_per_million: int = 0
    split: bool = False

    def __post_init__(self) -> None:
        if self.delay_s < 0 or not 0 <= self.drop_per_million <= PER_MILLION:
            raise UsageError(f"a wire cannot do this: {self}")


NO_FAULTS = LoopbackFaults()


def loopback_pair(
    faults: LoopbackFaults = NO_FAULTS, *, random_below: Callable[[int], int] | None = None
) -> tuple[LoopbackTransport, LoopbackTransport]:
    """Two ends of one wire; ``random_below(n)`` gives 0 .. n-1 and is needed for random faults.

    Either end may connect first; octets sent before the other end connected are lost, as on a
    wire. Closing one end is the end of stream of the other.
    """
    if random_below is None and (faults.split or faults.drop_per_million):
        raise UsageError("random faults need their source of randomness")
    one = LoopbackTransport("loopback a", faults, random_below)
    other = LoopbackTransport("loopback b", faults, random_below)
    one.join(other)
    other.join(one)
    return one, other


class LoopbackTransport(Transport):
    """One end; see ``gateway.transport.port``."""

    def __init__(
        self, name: str, faults: LoopbackFaults, random_below: Callable[[int], int] | None
    ) -> None:
        self._inbox = Inbox(name)
        self._faults = faults
        self._random_below = random_below
        self._peer: LoopbackTransport = self
        self._on_the_way: deque[bytes | None] = deque()

    def join(self, peer: LoopbackTransport) -> None:
        """Say who is at the other end."""
        self._peer = peer

    async def connect(self) -> None:
        """See ``Transport.connect``."""
        self._on_the_way.clear()
        self._inbox.open()

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        return await self._inbox.take(timeout_s)

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()
        for piece in self._pieces(self._survivors(data)):
            self._peer.deliver(piece)

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        await turn_loop()
        return self._inbox.flush()

    async def close(self) -> None:
        """See ``Transport.close``."""
        if self._inbox.lost is None:
            self._inbox.lose("closed by this side")
            self._peer.deliver(None)

    def deliver(self, piece: bytes | None) -> None:
        """Take octets off the wire after its delay; None is the end of stream."""
        if self._inbox.lost is not None:
            return
        self._on_the_way.append(piece)
        # Each timer takes the oldest piece, so order is kept whichever of them fires first.
        asyncio.get_running_loop().call_later(self._faults.delay_s, self._arrive)

    def _arrive(self) -> None:
        if not self._on_the_way:
            return
        piece = self._on_the_way.popleft()
        if piece is None:
            self._inbox.lose("closed by the peer")
        elif self._inbox.lost is None:
            self._inbox.feed(piece)

    def _survivors(self, data: bytes) -> bytes:
        if not self._faults.drop_per_million or self._random_below is None:
            return data
        draw = self._random_below
        return bytes(o for o in data if draw(PER_MILLION) >= self._faults.drop_per_million)

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self._faults.split or self._random_below is None:
            return [data] if data else []
        pieces = []
        while data:
            cut = 1 + self._random_below(len(data))
            pieces.append(data[:cut])
            data = data[cut:]
        return pieces
