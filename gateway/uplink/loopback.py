"""A broker in memory: the same door, no network, no threads. For simulation and tests."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence

from gateway.errors import GatewayError, LinkLost
from gateway.uplink.inbox import Inbox
from gateway.uplink.port import (
    LinkState,
    LinkWatch,
    Presence,
    PresenceMaker,
    Publication,
    Received,
    checked_publication,
)
from gateway.uplink.wire import MAX_MESSAGE_OCTETS


def topic_matches(pattern: str, topic: str) -> bool:
    """Whether a subscription's filter (``+``, trailing ``#``) takes a topic (MQTT 3.1.1, 4.7)."""
    wanted, levels = pattern.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


class LoopbackBroker:
    """Delivers at once to every link that is up. Retained messages survive ``stop``."""

    def __init__(self) -> None:
        self.running = True
        self.retained: dict[str, Publication] = {}
        self.copies = 1
        """How often each message is delivered: more than 1 plays a broker that repeats itself."""
        self._links: dict[str, LoopbackUplink] = {}

    def uplink(
        self,
        client_id: str,
        *,
        subscriptions: Sequence[str] = (),
        presence: PresenceMaker = Presence,
        max_payload_octets: int = MAX_MESSAGE_OCTETS,
    ) -> LoopbackUplink:
        """A link of this broker, not yet connected; a client id has one link."""
        link = LoopbackUplink(self, tuple(subscriptions), presence, max_payload_octets)
        self._links[client_id] = link
        return link

    def stop(self) -> None:
        """Every link is lost; a dead broker publishes no last wills."""
        self.running = False
        for link in self._links.values():
            link.lose(LinkLost("the broker stopped"))

    def start(self) -> None:
        """Every link that wants to be up comes up."""
        self.running = True
        for link in self._links.values():
            link.open()

    def sever(self, client_id: str) -> None:
        """Lose one link without a word: its last will is published. It comes up on ``heal``."""
        link = self._links[client_id]
        will = link.presence.will
        link.lose(LinkLost("severed"))
        if will is not None:
            self.deliver(will)

    def heal(self, client_id: str) -> None:
        """Let a severed link come up again."""
        self._links[client_id].open()

    def deliver(self, message: Publication) -> None:
        """Hand a message to every link that subscribed to it, and keep it if retained."""
        if message.retain and message.payload:
            self.retained[message.topic] = message
        elif message.retain:
            self.retained.pop(message.topic, None)
        for link in self._links.values():
            for _ in range(self.copies):
                link.receive(message, retained=False)


class LoopbackUplink:
    """One link of a LoopbackBroker; implements ``port.Uplink``."""

    def __init__(
        self,
        broker: LoopbackBroker,
        subscriptions: tuple[str, ...],
        presence: PresenceMaker,
        max_payload_octets: int,
    ) -> None:
        self.presence = Presence()
        self.published: deque[Publication] = deque(maxlen=1000)
        self._broker = broker
        self._subscriptions = subscriptions
        self._make_presence = presence
        self._max_payload_octets = max_payload_octets
        self._watch = LinkWatch()
        self._inbox: Inbox[Received] = Inbox()
        self._wanted = False

    @property
    def state(self) -> LinkState:
        """The state now."""
        return self._watch.state

    async def connect(self) -> None:
        """Come up as soon as the broker runs."""
        self._wanted = True
        self.open()

    async def wait_change(self, seen: LinkState) -> LinkState:
        """Wait until the state is no longer ``seen``; the state then."""
        return await self._watch.wait(seen)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Deliver at once; LinkLost while down, UsageError for what no broker may be given."""
        checked_publication(topic, payload, self._max_payload_octets)
        if not self.state.up:
            raise LinkLost("the broker is not connected")
        message = Publication(topic, payload, retain)
        self.published.append(message)
        self._broker.deliver(message)

    def messages(self) -> AsyncIterator[Received]:
        """Messages of the subscriptions until ``close``."""
        return self._inbox.items()

    async def close(self) -> None:
        """Say farewell and end."""
        farewell = self.presence.farewell
        if self.state.up and farewell is not None:
            self._broker.deliver(farewell)
        self._wanted = False
        self.lose(None)
        self._inbox.close()

    def open(self) -> None:
        """Come up if wanted and possible: births first, then what the broker has kept."""
        if not self._wanted or not self._broker.running or self.state.up:
            return
        self.presence = self._make_presence()
        for birth in self.presence.births:
            self._broker.deliver(birth)
        self._watch.set(up=True)
        for message in self._broker.retained.values():
            self.receive(message, retained=True)

    def lose(self, error: GatewayError | None) -> None:
        """Be down, for the reason ``error``."""
        if self.state.up:
            self._watch.set(up=False, error=error)

    def receive(self, message: Publication, *, retained: bool) -> None:
        """Take a message if it is subscribed to and the link is up."""
        wanted = any(topic_matches(pattern, message.topic) for pattern in self._subscriptions)
        if wanted and self.state.up:
            self._inbox.put(Received(message.topic, message.payload, retained))
