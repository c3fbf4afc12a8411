"""MQTT 3.1.1 and 5 with paho: the only importer of paho.

Each connection is a paho client of its own, in a thread of its own, and when the connection ends
the client is thrown away. That sidesteps what paho does across reconnects: it resends what its
owner has long given up, ignores the in-flight window, and queues what was published while offline.
A session is clean on both sides: what matters is repeated by the outbox, and by the backend.

paho's callbacks do nothing but hand over to the event loop (``call_soon_threadsafe``): an exception
in a callback would kill paho's thread, and a lock taken there would deadlock with ``publish``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.errors import (
    GatewayError,
    LinkLost,
    NoAnswer,
    PeerRefused,
    SecurityError,
    UsageError,
)
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
from gateway.uplink.settings import MqttSettings, MqttVersion, tls_context

_QOS = 1
_PROTOCOLS = {
    MqttVersion.V311: MQTTProtocolVersion.MQTTv311,
    MqttVersion.V5: MQTTProtocolVersion.MQTTv5,
}
_BAD_CREDENTIALS = (134, 135)
"""MQTT 5 reason codes "bad user name or password" and "not authorized"; paho maps 3.1.1's."""


class _Incoming(NamedTuple):
    message: Received
    acknowledge: Callable[[], None]


class MqttUplink:
    """A link to an MQTT broker that keeps itself up; implements ``port.Uplink``.

    ``jitter`` returns numbers in [0, 1); ``sleep`` waits between attempts.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        jitter: Callable[[], float],
        presence: PresenceMaker = Presence,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._tls = None if settings.tls is None else tls_context(settings.tls)
        self._jitter = jitter
        self._presence = presence
        self._sleep = sleep
        self._watch = LinkWatch()
        self._inbox: Inbox[_Incoming] = Inbox()
        self._room = threading.BoundedSemaphore(settings.inbox)
        self._session: _Session | None = None
        self._farewell: Publication | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._dropped = 0

    @property
    def state(self) -> LinkState:
        """The state now; ``error`` says why the last attempt or connection ended."""
        return self._watch.state

    @property
    def dropped(self) -> int:
        """Messages dropped because nobody read fast enough, or too large."""
        return self._dropped

    async def connect(self) -> None:
        """Start keeping a connection up; returns at once."""
        if self._keeper is None:
            name = f"mqtt {self._settings.client_id}"
            self._keeper = asyncio.create_task(self._keep_up(), name=name)

    async def wait_change(self, seen: LinkState) -> LinkState:
        """Wait until the state is no longer ``seen``; the state then."""
        return await self._watch.wait(seen)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's acknowledgement (errors: see the port)."""
        checked_publication(topic, payload, self._settings.max_payload_octets)
        if self._session is None:
            raise LinkLost("the broker is not connected")
        await self._session.publish(Publication(topic, payload, retain))

    async def messages(self) -> AsyncIterator[Received]:
        """Messages of the subscriptions until ``close``; acknowledged when taken."""
        async for incoming in self._inbox.items():
            self._room.release()
            incoming.acknowledge()
            yield incoming.message
        if self._keeper is not None:
            await self._keeper  # ended by a bug of ours: its error is the reader's to tell

    async def close(self) -> None:
        """Say farewell, disconnect, end ``messages``."""
        session, self._session = self._session, None
        if session is not None and self._farewell is not None:
            with contextlib.suppress(NoAnswer, PeerRefused):
                await session.publish(self._farewell)
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            keeper.cancel()
            await asyncio.wait({keeper})
            self._watch.set(up=False)
        self._inbox.close()

    async def _keep_up(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        try:
            while True:
                began_s = loop.time()
                was_up, error = await self._one_connection()
                # a broker that lets us in and throws us out again is not reached either
                stable = was_up and loop.time() - began_s >= self._settings.stable_after_s
                failures = 0 if stable else failures + 1
                longest_s = self._settings.backoff_s(failures, retryable=error.retryable)
                await self._sleep(longest_s * (1 + self._jitter()) / 2)
        finally:
            self._inbox.close()

    async def _one_connection(self) -> tuple[bool, GatewayError]:
        session: _Session | None = None
        try:
            presence = self._presence()
            session = _Session(self._settings, self._tls, presence.will, self._take)
            await session.open()
            for birth in presence.births:
                await session.publish(birth)
            self._session, self._farewell = session, presence.farewell
            self._watch.set(up=True)
            # a callback, so that nobody who saw a publish fail still sees the state up
            session.ended.add_done_callback(self._note_end)
            return True, await asyncio.shield(session.ended)
        except (NoAnswer, PeerRefused, SecurityError, UsageError) as failure:
            self._watch.set(up=False, error=failure)
            return False, failure
        finally:
            if session is not None:
                await session.shut()

    def _note_end(self, ended: asyncio.Future[GatewayError]) -> None:
        self._session = None
        self._watch.set(up=False, error=ended.result())

    def _take(self, session: _Session, message: MQTTMessage) -> None:
        """In paho's thread: keep the message if there is room, else count it as dropped."""
        fits = len(message.payload) <= self._settings.max_payload_octets
        if not fits or not self._room.acquire(blocking=False):
            # acknowledged all the same: the broker's window must not close on us
            session.acknowledge(message.mid, message.qos)
            session.cross(self._count_dropped)
            return
        received = Received(message.topic, bytes(message.payload), bool(message.retain))
        mid, qos = message.mid, message.qos
        session.cross(self._inbox.put, _Incoming(received, lambda: session.acknowledge(mid, qos)))

    def _count_dropped(self) -> None:
        self._dropped += 1


class _Session:
    """One connection: a paho client and its thread, from CONNECT to the end."""

    def __init__(
        self,
        settings: MqttSettings,
        tls: ssl.SSLContext | None,
        will: Publication | None,
        take: Callable[[_Session, MQTTMessage], None],
    ) -> None:
        self._settings = settings
        self._take = take
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[GatewayError] = self._loop.create_future()
        self._welcomed: asyncio.Future[None] = self._loop.create_future()
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self._unacknowledged: dict[int, asyncio.Future[None]] = {}
        self._window = asyncio.Semaphore(settings.window)
        self._client = self._make_client(tls, will)
        self._thread = threading.Thread(
            target=self._run, name=f"paho {settings.client_id}", daemon=True
        )

    def _make_client(self, tls: ssl.SSLContext | None, will: Publication | None) -> Client:
        settings = self._settings
        v5 = settings.version is MqttVersion.V5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if v5 else True,
            protocol=_PROTOCOLS[settings.version],
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = settings.connect_timeout_s
        client.max_inflight_messages_set(settings.window)
        # twice our own window: paho calls back before it strikes a message off its list
        client.max_queued_messages_set(2 * settings.window)
        if settings.username is not None:
            secret = None if settings.password is None else settings.password.reveal()
            # octets, as MQTT has it (3.1.3.5); paho takes them, and only its types do not say so
            client.username_pw_set(settings.username, cast("str | None", secret))
        if tls is not None:
            client.tls_set_context(tls)
        if will is not None:
            client.will_set(will.topic, will.payload, _QOS, retain=will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_open = _send_at_once
        # with this set, publish() never writes to the socket from our thread but wakes paho's
        client.on_socket_register_write = lambda *_: None
        return client

    async def open(self) -> None:
        """Connect and subscribe; raises what stands in the way, within the time-out."""
        self._thread.start()
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._or_end(self._welcomed)
                await self._subscribe()
        except TimeoutError as late:
            raise NoAnswer("the broker did not answer CONNECT and SUBSCRIBE in time") from late

    async def _subscribe(self) -> None:
        if not self._settings.subscriptions:
            return
        code: MQTTErrorCode
        if self._settings.version is MqttVersion.V5:
            options = SubscribeOptions(qos=_QOS)
            code, _ = self._client.subscribe([(t, options) for t in self._settings.subscriptions])
        else:
            code, _ = self._client.subscribe([(t, _QOS) for t in self._settings.subscriptions])
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkLost(f"SUBSCRIBE not sent: {code.name}")
        await self._or_end(self._subscribed)

    async def publish(self, publication: Publication) -> None:
        """Hand to paho and wait for PUBACK."""
        async with self._window:
            if self.ended.done():
                raise LinkLost("the broker is not connected")
            topic, payload, retain = publication
            handed = self._client.publish(topic, payload, _QOS, retain)
            if handed.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise LinkLost(f"PUBLISH not sent: {MQTTErrorCode(handed.rc).name}")
            acknowledged = self._loop.create_future()
            self._unacknowledged[handed.mid] = acknowledged
            try:
                async with asyncio.timeout(self._settings.publish_timeout_s):
                    await self._or_end(acknowledged)
            except TimeoutError as late:
                # a broker that stopped answering: a new connection is the only way to know
                self._end(NoAnswer("the broker stopped acknowledging"))
                raise NoAnswer("the broker did not acknowledge PUBLISH in time") from late
            finally:
                del self._unacknowledged[handed.mid]

    async def _or_end(self, awaited: asyncio.Future[None]) -> None:
        either: set[asyncio.Future[None] | asyncio.Future[GatewayError]] = {awaited, self.ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            return awaited.result()
        raise self.ended.result()

    async def shut(self) -> None:
        """Disconnect if connected; wait until the thread is gone."""
        if self._thread.ident is None:
            return
        self._client.disconnect()
        await asyncio.wait({self.ended}, timeout=2.0)
        await asyncio.shield(asyncio.to_thread(self._force_end))

    def _force_end(self) -> None:
        while self._thread.is_alive():
            connection = self._client.socket()
            if isinstance(connection, socket.socket):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._client.disconnect()
            self._thread.join(timeout=0.2)

    def acknowledge(self, mid: int, qos: int) -> None:
        """Send PUBACK, from any thread; nothing when the connection is gone."""
        if qos and not self.ended.done():
            self._client.ack(mid, qos)

    def cross(self, function: Callable[..., None], *arguments: object) -> None:
        """From paho's thread into the loop's; nothing when the loop is closed already."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        error: GatewayError = LinkLost("the connection to the broker ended")
        try:
            self._client.connect(
                self._settings.host, self._settings.port, self._settings.keepalive_s
            )
            # loop(), not loop_forever(): only the former lets publish() wake it from its select
            while self._client.loop() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        except ssl.SSLCertVerificationError as refused:
            error = SecurityError(f"the broker's certificate: {refused.verify_message}")
        except OSError as failure:
            error = LinkLost(f"the broker is not reached: {failure}")
        finally:
            self.cross(self._end, error)

    def _end(self, error: GatewayError) -> None:
        if not self.ended.done():
            self.ended.set_result(error)

    def _on_connect(
        self, client: Client, data: object, flags: ConnectFlags, code: ReasonCode, _: object
    ) -> None:
        self.cross(self._welcome, code)

    def _welcome(self, code: ReasonCode) -> None:
        if not code.is_failure:
            _resolve(self._welcomed)
        elif code.value in _BAD_CREDENTIALS:
            self._end(SecurityError(f"the broker does not let us in: {code}"))
        else:
            self._end(LinkLost(f"CONNECT refused: {code}"))

    def _on_disconnect(
        self, client: Client, data: object, flags: DisconnectFlags, code: ReasonCode, _: object
    ) -> None:
        self.cross(self._end, LinkLost(f"the connection to the broker ended: {code}"))

    def _on_subscribe(
        self, client: Client, data: object, mid: int, codes: list[ReasonCode], _: Properties | None
    ) -> None:
        refused = next((str(code) for code in codes if code.is_failure), None)
        self.cross(_resolve, self._subscribed, refused and PeerRefused("SUBSCRIBE", refused))

    def _on_publish(
        self, client: Client, data: object, mid: int, code: ReasonCode, _: object
    ) -> None:
        refused = PeerRefused("PUBLISH", str(code)) if code.is_failure else None
        self.cross(self._acknowledged, mid, refused)

    def _acknowledged(self, mid: int, refused: PeerRefused | None) -> None:
        waiting = self._unacknowledged.get(mid)
        if waiting is not None:
            _resolve(waiting, refused)

    def _on_message(self, client: Client, data: object, message: MQTTMessage) -> None:
        self._take(self, message)


def _resolve(future: asyncio.Future[None], error: GatewayError | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _send_at_once(client: Client, data: object, connection: object) -> None:
    # otherwise each small packet waits for TCP's acknowledgement of the one before: 40 ms
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
