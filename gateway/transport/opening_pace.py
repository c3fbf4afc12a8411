"""How fast connections are opened: a network of thousands of meters is not called at once."""

from __future__ import annotations

import asyncio


class OpeningPace:
    """Gives one turn after another, ``per_s`` of them in a second; whoever comes first goes first.

    A start, or the return of a network, makes every meter due in one instant: the burst would
    fill the queues of modems and routers, and look like an attack to a firewall.
    """

    def __init__(self, per_s: int) -> None:
        self._interval_s = 1 / per_s
        self._next_at = 0.0

    async def turn(self) -> None:
        """Return when a connection may be opened."""
        now = asyncio.get_running_loop().time()
        begins_at = max(now, self._next_at)
        self._next_at = begins_at + self._interval_s
        if begins_at > now:
            await asyncio.sleep(begins_at - now)
