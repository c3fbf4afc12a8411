"""The door to a message broker, as the service and the backend see it.

One contract suite (``tests/uplink``) runs against every implementation: ``loopback`` in memory,
``mqtt`` against real brokers. Delivery is at least once and no durability of the broker is relied
on: what matters leaves the outbox on the backend's signed commit only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from gateway.errors import GatewayError, UsageError


class Publication(NamedTuple):
    """One message to publish, QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class Received(NamedTuple):
    """One message received; ``retained`` when the broker had kept it for late subscribers."""

    topic: str
    payload: bytes
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """What one connection says of itself; made anew for each connection.

    ``will`` is what the broker publishes when the connection is lost, ``births`` go out before
    the link counts as up, ``farewell`` before a clean close (which suppresses the will).
    """

    will: Publication | None = None
    births: tuple[Publication, ...] = ()
    farewell: Publication | None = None


PresenceMaker = Callable[[], Presence]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of one side. ``ca_file`` None means the system's certificate store."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class LinkState:
    """Whether the broker is reached; ``changes`` rises with every change, ``error`` says why not.

    ``error.retryable`` False (wrong certificate, wrong password) needs a person; the uplink
    keeps trying all the same, at its longest interval.
    """

    up: bool = False
    changes: int = 0
    error: GatewayError | None = None


class Uplink(Protocol):
    """A connection to a broker that keeps itself up."""

    @property
    def state(self) -> LinkState:
        """The state now."""

    async def connect(self) -> None:
        """Start keeping a connection up; returns at once, also when the broker is down."""

    async def wait_change(self, seen: LinkState) -> LinkState:
        """Wait until the state is no longer ``seen``; the state then."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's acknowledgement.

        Raises LinkLost or NoAnswer (it may or may not have been delivered: publish again),
        PeerRefused (the broker said no), UsageError (larger than the limit, wild card in topic).
        """

    def messages(self) -> AsyncIterator[Received]:
        """Messages of the subscriptions until ``close``; one reader."""

    async def close(self) -> None:
        """Say farewell, disconnect, end ``messages``; may be called twice."""


class LinkWatch:
    """Holds a LinkState and wakes those who wait for its change."""

    def __init__(self) -> None:
        self.state = LinkState()
        self._changed = asyncio.Event()

    def set(self, up: bool, error: GatewayError | None = None) -> None:
        """Note a change; nobody who waited on the old state misses it."""
        self.state = LinkState(up, self.state.changes + 1, error)
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, seen: LinkState) -> LinkState:
        """Wait until the state is no longer ``seen``."""
        while self.state.changes == seen.changes:
            await self._changed.wait()
        return self.state


async def wait_up(uplink: Uplink) -> LinkState:
    """Wait until the link is up."""
    state = uplink.state
    while not state.up:
        state = await uplink.wait_change(state)
    return state


def checked_publication(topic: str, payload: bytes, limit: int) -> None:
    """Raise UsageError for what no broker may be given."""
    if not topic or any(sign in topic for sign in "+#\0"):
        raise UsageError(f"topic {topic[:200]!r} is empty or has a wild card")
    if len(payload) > limit:
        raise UsageError(f"payload of {len(payload)} octets; at most {limit}")
