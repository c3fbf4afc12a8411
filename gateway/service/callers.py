"""Meters that dial in: who is calling, and whose reading the connection is given to.

Nobody is believed by the connection alone. A caller is asked for its logical device name in the
public association, which needs no key (Blue Book, SAP assignment and logical device name; Green
Book, public client 16), so that no secret of one meter ever goes to another. A meter without that
association is known by the address it calls from. Who answers then has to prove it with its own
keys in the association that reads it, and its nameplate is checked before a row is stored.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import structlog

from gateway.config import CallingMeter, Listener
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.classes import VALUE, ClassId
from gateway.dlms.reading import read_data
from gateway.errors import GatewayError, LinkLost, UsageError
from gateway.profile import FirmwareProfile
from gateway.service.core_settings import make_connection, make_link
from gateway.service.scanner import DEVICE_NAME
from gateway.service.sessions import PUBLIC
from gateway.session import Timing, session
from gateway.transport.called import CalledTransport, listener_context
from gateway.transport.port import Transport
from gateway.transport.sockets import keep_alive

log = structlog.get_logger()

_BACKLOG: Final = 128
_TOLD: Final = 1000
"""Addresses of unknown callers that are remembered as told, and reports of each."""
_TOLD_OF_ONE: Final = 16
_NAME_CHARACTERS: Final = 64
"""Logical device names have 16."""
_ACCEPT_REST_S: Final = 1
AskName = Callable[[Transport], Awaitable[str]]
"""Asks whoever is connected for its logical device name. Raises GatewayError."""


def name_asker(
    listener: Listener, profile: FirmwareProfile, random_bytes: Callable[[int], bytes]
) -> AskName:
    """How the callers of a listener are asked who they are."""
    kind, public = listener.url.kind, profile.association(PUBLIC)
    # The whole of it is bounded by the desk, too.
    timing = Timing(answer_s=listener.identify_s, request_s=listener.identify_s, repeats=0)

    async def ask(transport: Transport) -> str:
        link = make_link(profile, kind, public.client, listener.url.server)
        connection = make_connection(kind, link, ClientSettings(random_bytes=random_bytes))
        async with session(connection, transport, timing) as opened:
            name = (await opened.run(read_data(ClassId.DATA, DEVICE_NAME, VALUE))).value
        text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        # Shorter ones are filled up.
        return text[:_NAME_CHARACTERS].rstrip("\x00 ")

    return ask


class NobodyCalled(LinkLost):
    """The meter has not dialled in, or has hung up."""


class CallerLine:
    """The wire of one meter that dials in: there while its connection is, and not at other times.

    A new call of the same meter replaces the old one, which it left half-open most often.
    """

    def __init__(self, known: CallingMeter) -> None:
        self.known = known
        self._call: CalledTransport | None = None
        self._called = asyncio.Event()
        self.on_call: Callable[[], None] = lambda: None

    def transport(self) -> Transport:
        """The present call, for a poller; raises NobodyCalled."""
        if self._call is None or not self._call.is_open:
            raise NobodyCalled(f"meter {self.known.serial} has not called")
        return self._call

    async def take(self, call: CalledTransport) -> None:
        """Here is the meter's new call."""
        if not call.is_open:
            return
        before, self._call = self._call, call
        self._called.set()
        self.on_call()
        if before is not None:
            await before.close()

    def ended(self, call: CalledTransport) -> None:
        """A call is over; whether it was this meter's."""
        if call is self._call:
            self._call = None
            self._called.clear()

    async def hang_up(self) -> None:
        """Nobody listens any more."""
        if self._call is not None:
            await self._call.close()

    async def present(self) -> None:
        """Return when the meter is there."""
        await self._called.wait()


class CallDesk:
    """One listening port: turns away, asks who it is, and hands over.

    Bounded: connections at once, callers that have not said who they are, and the time for it.
    """

    def __init__(self, words: Listener, lines: Sequence[CallerLine], ask_name: AskName) -> None:
        self.name = words.name
        self._words = words
        self._lines = tuple(lines)
        self._ask_name = ask_name
        self._open = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._told: OrderedDict[str, set[str]] = OrderedDict()
        self._tls = words.tls and listener_context(
            words.tls.certificate_file, words.tls.key_file, words.tls.client_ca_file
        )
        self.refused = 0
        self.port = 0
        """Where it listens, once it does."""
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled. Raises UsageError where the port cannot be had."""
        with self._bound() as sock:
            self.port = sock.getsockname()[1]
            self.listening.set()
            try:
                while True:
                    await self._accept(sock)
            finally:
                self.listening.clear()
                for task in self._asking:
                    task.cancel()
                for line in self._lines:
                    await line.hang_up()

    def _bound(self) -> socket.socket:
        url = self._words.url
        try:
            family = socket.AF_INET6 if ":" in url.host else socket.AF_INET
            sock = socket.create_server((url.host, url.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise UsageError(f"listener {self._words.name}: {url}: {error.strerror}") from error
        sock.setblocking(False)
        return sock

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted, address = await loop.sock_accept(sock)
        except OSError as error:
            # No descriptor left, most often: those that are open go on.
            log.error("a call was not accepted", listener=self._words.name, error=str(error))
            await asyncio.sleep(_ACCEPT_REST_S)
            return
        peer = ip_address(address[0].partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        why = self._why_not(peer)
        if why:
            accepted.close()
            self._tell(peer, why)
            return
        keep_alive(accepted)
        self._open += 1
        task = asyncio.create_task(self._answer(accepted, peer), name=f"call {peer}")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def _why_not(self, peer: IPv4Address | IPv6Address) -> str:
        """Why a call is not taken; "" where it is."""
        words = self._words
        if not any(peer in network for network in words.networks):
            return "not in an allowed network"
        if self._open >= words.max_connections:
            return f"{words.max_connections} connections are open already"
        if len(self._asking) >= words.max_unidentified:
            return f"{words.max_unidentified} callers have not said yet who they are"
        return ""

    async def _answer(self, accepted: socket.socket, peer: IPv4Address | IPv6Address) -> None:
        """Find out who it is, and hand over; whoever it is not is hung up on."""
        line: CallerLine | None = None
        call = CalledTransport(f"call from {peer}", self._ended)
        why = "not known here"
        try:
            async with asyncio.timeout(self._words.identify_s):
                await self._connect(accepted, call)
                line, name = await self._who(call, peer)
                why = f"not known here: {name}"
        except TimeoutError:
            why = f"did not say who it is within {self._words.identify_s} s"
        except (GatewayError, OSError) as error:
            why = f"cannot be asked who it is: {error}"
        finally:
            if line is None:
                await self._hang_up(accepted, call)
        if line is None:
            self._tell(peer, why)
            return
        log.info("meter called", meter=line.known.serial, listener=self._words.name)
        await line.take(call)

    async def _connect(self, accepted: socket.socket, call: CalledTransport) -> None:
        handshake_s = self._words.identify_s if self._tls else None
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: call, accepted, ssl=self._tls or None, ssl_handshake_timeout=handshake_s
        )

    async def _hang_up(self, accepted: socket.socket, call: CalledTransport) -> None:
        if call.was_open:
            await call.close()
        else:
            accepted.close()
            self._open -= 1

    async def _who(
        self, call: CalledTransport, peer: IPv4Address | IPv6Address
    ) -> tuple[CallerLine | None, str]:
        """Whose call it is, None for nobody's; and what it said."""
        for line in self._lines:
            if line.known.address == peer and not line.known.device_name:
                return line, ""
        name = await self._ask_name(call)
        for line in self._lines:
            if line.known.device_name == name and line.known.address in (None, peer):
                return line, name
        return None, f"device name {name!r}"

    def _ended(self, call: CalledTransport) -> None:
        self._open -= 1
        for line in self._lines:
            line.ended(call)

    def _tell(self, peer: IPv4Address | IPv6Address, why: str) -> None:
        """Report a caller that was turned away: once for each address and reason.

        Bounded for an address, too: what a caller says of itself is its own choice.
        """
        self.refused += 1
        told = self._told.setdefault(str(peer), set())
        if why in told or len(told) >= _TOLD_OF_ONE:
            return
        told.add(why)
        if len(self._told) > _TOLD:
            self._told.popitem(last=False)
        log.warning("caller turned away", listener=self._words.name, address=str(peer), why=why)
