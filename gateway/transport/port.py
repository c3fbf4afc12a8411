"""The one shape of every transport: octets in, octets out, and two ways to fail.

A transport knows nothing of frames. ``tests/transport/test_transport_contract.py`` is the contract
in full and runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

React = Callable[[bytes], bytes | None]
"""Takes octets that arrived; gives what to send for them at once, None when it has heard enough.

It never waits and raises no error of its own: what is wrong it keeps for whoever asked.
"""

RECEIVE_HIGH_WATER: Final = 1 << 20
"""Octets held for a slow reader before the wire is told to wait; far above any meter's answer."""


SEND_LIMIT_S: Final = 120
"""A wire that does not take one message in this time is as good as silent."""


class Transport(Protocol):
    """One wire to one or more meters, used by one owner."""

    async def connect(self) -> None:
        """Open the wire. LinkLost when it is not there, NoAnswer when nothing answers in time.

        Connecting again after ``close`` or LinkLost is allowed and starts with an empty buffer.
        """

    async def begin_link(self) -> None:
        """A data link is about to be opened: nothing of the one before is to be taken for it.

        A transport on which something has to come first (a sign-on) does that, too; it then also
        raises NoAnswer, DecodeError, PeerRefused or RemoteProtocolError.
        """
        await self.flush()

    async def receive(self, timeout_s: float) -> bytes:
        """At least one octet, as soon as there is one; never ``b""``.

        NoAnswer after ``timeout_s`` seconds of silence: the transport stays usable. LinkLost when
        the peer closed or the device vanished, once everything received before was handed out.
        """

    async def converse(self, react: React, timeout_s: float) -> None:
        """Hand octets to ``react`` as they arrive and send what it gives, until it gives None.

        The same as ``receive`` and ``send`` in turn, and fails as they do; ``timeout_s`` counts
        anew after each piece. A transport that can saves the task's waking for every piece.
        """
        while (answer := react(await self.receive(timeout_s))) is not None:
            if answer:
                await self.send(answer)

    async def send(self, data: bytes) -> None:
        """Return when the operating system has taken all of ``data``; LinkLost if it cannot.

        NoAnswer when it has not within ``SEND_LIMIT_S``: the peer does not read.

        Cancelling the wait does not cut ``data`` short: a half-sent frame helps nobody.
        """

    async def flush(self) -> int:
        """Drop octets received and not yet read, e.g. before a request; say how many."""

    async def rest(self) -> None:
        """Nobody needs the wire now. Like ``close`` where this side can open it again itself."""
        await self.close()

    async def close(self) -> None:
        """Close; safe to call twice. ``receive`` and ``send`` raise LinkLost afterwards."""
