"""A wire that is not there: said once, tried again with growing patience, and welcomed back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gateway.errors import NoAnswer

log = structlog.get_logger()


@dataclass(kw_only=True)
class WireWatch:
    """What one wire's loop knows of its presence. Times are the event loop's, in seconds.

    Of ``rests_s`` the first passes before the first new attempt, twice as much before each next
    one, up to the second: a USB adapter costs nothing to look for, a host on the network does.
    """

    wire: str
    rests_s: tuple[float, float]
    jitter: Callable[[], float]
    """Numbers in [0, 1): wires that went together do not all come back in one second."""
    _attempts: int = field(default=0, init=False)
    _retry_at: float = field(default=0.0, init=False)

    def note(self, absence: NoAnswer | None, now: float) -> None:
        """What became of an attempt to use the wire: None where it was there."""
        if absence is None:
            if self._attempts:
                log.warning("wire is back", wire=self.wire, attempts=self._attempts)
            self._attempts = 0
            return
        first_s, longest_s = self.rests_s
        wait_s = min(longest_s, first_s * 2 ** min(self._attempts, 16))
        self._retry_at = now + wait_s * (1 + self.jitter() / 4)
        if not self._attempts:
            log.error("wire is not there", wire=self.wire, error=str(absence))
        self._attempts += 1

    def rest_s(self, now: float) -> float:
        """For how long it is left alone yet; 0 where it is to be used."""
        return max(0.0, self._retry_at - now) if self._attempts else 0.0
