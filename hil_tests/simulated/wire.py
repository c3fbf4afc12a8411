"""A wire of simulated time with emulated meters on it: octets take as long as on the real one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import LinkLost, NoAnswer
from gateway.transport.port import Transport
from hil_tests.emulator.pacing import BITS_PER_OCTET
from hil_tests.emulator.trouble import TroubledStation

_NETWORK_BAUD: Final = 10_000_000
"""TCP: an octet costs next to nothing, a round trip a little."""
_ROUND_TRIP_S: Final = 0.05


@dataclass(slots=True)
class SimulatedLine:
    """What meters stand on, whoever opens it. ``baud`` None: TCP, a connection to one meter.

    Octets that come late are heard by whoever has opened a serial line by then.
    """

    meters: Sequence[TroubledStation]
    baud: int | None = None
    octets: int = 0
    turnarounds_s: float = 0.0
    """Stated turnarounds of all answers."""
    waited_s: float = 0.0
    """Time in which somebody waited and nothing came."""
    last_s: float = 0.0
    """When the last octet was through, by the loop's clock."""
    coming: deque[tuple[float, bytes, bool]] = field(default_factory=deque)
    """When which octets are through, and whether the connection is reset then."""

    @property
    def busy_s(self) -> float:
        """What the octets and the turnarounds took together: nobody can be faster."""
        return self.octets * self.octet_s + self.turnarounds_s

    @property
    def octet_s(self) -> float:
        """Wire time of one octet."""
        return BITS_PER_OCTET / (self.baud or _NETWORK_BAUD)


class SimulatedWire(Transport):
    """One opening of a line.

    Times follow from octets and stated turnarounds; waiting is the event loop's, so that it is
    simulated where the loop is.
    """

    def __init__(self, line: SimulatedLine) -> None:
        self._line = line
        self._lost = False

    async def connect(self) -> None:
        """See ``Transport.connect``."""
        self._lost = False
        if self._line.baud is None:
            await asyncio.sleep(_ROUND_TRIP_S)
            self._line.coming.clear()
            for meter in self._line.meters:
                meter.connected()

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        if self._lost:
            raise LinkLost("the connection was reset")
        line = self._line
        await asyncio.sleep(self._takes_s(len(data)))
        for meter in line.meters:
            sending = meter.receive(data)
            if not sending.octets and not sending.resets:
                continue
            turnaround_s = meter.turnaround_ms / 1000
            line.turnarounds_s += turnaround_s
            pause_s = turnaround_s + sending.late_ms / 1000
            if line.baud is None:
                pause_s += _ROUND_TRIP_S
            through_s = asyncio.get_running_loop().time() + pause_s
            through_s += self._takes_s(len(sending.octets))
            line.coming.append((through_s, sending.octets, sending.resets))

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        coming = self._line.coming
        if self._lost:
            raise LinkLost("the connection was reset")
        now_s = asyncio.get_running_loop().time()
        if not coming or coming[0][0] > now_s + timeout_s:
            self._line.waited_s += timeout_s
            await asyncio.sleep(timeout_s)
            raise NoAnswer(f"nothing for {timeout_s:g} s")
        through_s, octets, self._lost = coming.popleft()
        await asyncio.sleep(max(0, through_s - now_s))
        self._line.last_s = asyncio.get_running_loop().time()
        if not octets:
            raise LinkLost("the connection was reset")
        return octets

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        now_s = asyncio.get_running_loop().time()
        coming, dropped = self._line.coming, 0
        while coming and coming[0][0] <= now_s:
            dropped += len(coming.popleft()[1])
        return dropped

    async def close(self) -> None:
        """See ``Transport.close``."""
        self._lost = True

    def _takes_s(self, octets: int) -> float:
        self._line.octets += octets
        return octets * self._line.octet_s
