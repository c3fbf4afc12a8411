"""What meters send unasked: believed, stored once, told by name at once.

Messages are taken one after the other, so that counters and status words have one order. What
cannot be believed costs its sender a count and nobody else anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

import structlog

from gateway.config import PushListener as PushSettings
from gateway.dlms.apdu import Apdu, CipheredApdu, DataNotification, EventNotification, decode_apdu
from gateway.dlms.limits import Limits
from gateway.dlms.push import PushStream, RateLimit, Senders, read_body
from gateway.dlms.security import Protection, Replayed
from gateway.errors import DecodeError, GatewayError, PeerRefused, SecurityError, StoreError
from gateway.model import Evidence, MeterId
from gateway.profile import Push, Quirk
from gateway.service.clock import Clock
from gateway.service.pushed import Pushed, PushKeeper
from gateway.service.sessions import MeterAccess, SessionMaker, counter_key
from gateway.store.counters import CounterStore
from gateway.store.thread import StoreDoor
from gateway.transport.listener import Hear, PushPort, TcpPushPort, UdpPushPort

log = structlog.get_logger()

_WAITING: Final = 4000
"""Messages received and not yet taken: a whole area may lose its supply in one second. What comes
beyond is dropped and counted."""
_SENDERS: Final = 4096
_TOLD: Final = 1000
"""Unknown senders that are told of by name; beyond them they are only counted."""
_TITLE_LIKE: Final = 8


def open_ports(settings: PushSettings) -> list[PushPort]:
    """The ports of a site, not yet open."""
    ports: list[PushPort] = []
    if settings.tcp_port is not None:
        ports.append(
            TcpPushPort(settings.host, settings.tcp_port, max_connections=settings.max_connections)
        )
    if settings.udp_port is not None:
        ports.append(UdpPushPort(settings.host, settings.udp_port))
    return ports


class Unbelieved(PeerRefused):
    """A message that is not taken, for a reason that its sender could mend."""

    def __init__(self, reason: str) -> None:
        super().__init__("push", reason)


class PushFigure(StrEnum):
    """What became of messages, as health figures name it."""

    TAKEN = "pushed_messages"
    """Believed and new."""
    REPEATED = "pushed_repeated"
    """Believed once before."""
    UNKNOWN = "pushed_of_unknown_meters"
    REFUSED = "pushed_refused"
    """Not ciphered, wrong key, or no message at all."""
    DROPPED = "pushed_dropped"
    """More than a sender may send, or than can wait or be stored."""
    TURNED_AWAY = "pushed_connections_turned_away"
    """No room for one more connection."""


@dataclass(kw_only=True)
class PushListener:
    """Takes the pushed messages of a gateway's meters."""

    settings: PushSettings
    ports: Sequence[PushPort]
    accesses: Mapping[MeterId, MeterAccess]
    addresses: Callable[[str], Sequence[MeterId]]
    """Which meters are read at an address."""
    sessions: SessionMaker
    counters: StoreDoor[CounterStore]
    keeper: PushKeeper
    clock: Clock
    figures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PushFigure, 0))
    """By ``PushFigure``."""

    def __post_init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_WAITING)
        self._by_address = RateLimit(self.settings.per_address_minute, _SENDERS)
        self._by_meter = RateLimit(self.settings.per_meter_minute, len(self.accesses) + 1)
        self._senders = Senders(list(self.accesses), self.addresses)
        for meter, access in self.accesses.items():
            if access.keys.server_system_title is not None:
                self._senders.learn(access.keys.server_system_title, meter)
        self._told: set[str] = set()
        self._limits = Limits(apdu_octets=self.settings.max_message_octets)

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            for port in self.ports:
                await port.open(self._admit)
            while True:
                sender, octets = await self._waiting.get()
                await self.take(sender, octets)
        finally:
            for port in self.ports:
                await port.close()

    def _admit(self, sender: str) -> Hear | None:
        turned_away = sum(port.turned_away for port in self.ports)
        self.figures[PushFigure.TURNED_AWAY] = turned_away
        return partial(self._hear, sender, PushStream(self.settings.max_message_octets))

    def _hear(self, sender: str, stream: PushStream, data: bytes) -> bool:
        try:
            for apdu in stream.receive(data):
                self._queue(sender, apdu)
        except GatewayError as error:
            self.figures[PushFigure.REFUSED] += 1
            self._tell_once(sender, str(error))
            return False
        return True

    def _queue(self, sender: str, apdu: bytes) -> None:
        if not self._by_address.allows(sender, self._now_s()) or self._waiting.full():
            self.figures[PushFigure.DROPPED] += 1
            return
        self._waiting.put_nowait((sender, apdu))

    async def take(self, sender: str, octets: bytes) -> None:
        """Take one message; what is wrong with it is counted and told, never raised."""
        try:
            await self._take(sender, octets)
        except Replayed:
            self.figures[PushFigure.REPEATED] += 1
        except StoreError as error:
            # Our own disk: nothing was kept, its counter was not noted, and the log has it.
            self.figures[PushFigure.DROPPED] += 1
            log.error("pushed message not stored", sender=sender, error=str(error))
        except GatewayError as error:
            self.figures[PushFigure.REFUSED] += 1
            self._tell_once(sender, f"{type(error).__name__}: {error}")
        except Exception:
            # A bug of ours that one message brings out must not stop the others.
            self.figures[PushFigure.REFUSED] += 1
            log.exception("pushed message failed", sender=sender)

    async def _take(self, sender: str, octets: bytes) -> None:
        now_us = self.clock.now_us()
        apdu = decode_apdu(octets, limits=self._limits, tagged_date_time=True)
        access = await self._access(apdu, sender)
        if access is None:
            self._count_unknown(apdu, sender)
            return
        push = access.profile.push
        if push is None:
            raise Unbelieved(f"profile {access.profile.name} knows no pushed messages")
        if isinstance(apdu, CipheredApdu):
            await self._take_ciphered(access, push, apdu, now_us)
        elif not push.plain:
            raise Unbelieved(f"{access.meter} is ciphered by its profile, and this is not")
        else:
            await self._keep(access, apdu, Evidence(now_us))

    async def _access(self, apdu: Apdu, sender: str) -> MeterAccess | None:
        meter: str | None
        match apdu:
            case CipheredApdu(system_title=title) if title and len(title) == _TITLE_LIKE:
                if not self._senders.knows(title):
                    # Sessions prove titles too; a meter that was read before has one there.
                    for name in await self.counters.run(CounterStore.meters_of_title, title):
                        self._senders.learn(title, name)
                meter = self._senders.by_title(title, sender)
            case DataNotification():
                device_id = read_body(apdu.data).device_id
                meter = None if device_id is None else self._senders.by_device_id(device_id)
            case CipheredApdu() | EventNotification():
                meter = self._senders.by_address(sender)
            case _:
                raise DecodeError("not a notification")
        return None if meter is None else self.accesses.get(MeterId(meter))

    async def _take_ciphered(
        self, access: MeterAccess, push: Push, apdu: CipheredApdu, now_us: int
    ) -> None:
        association = access.profile.association(push.association)
        key = counter_key(access, association)
        settings = await self.sessions.listening(access, association)
        protection = Protection(settings)
        plain = protection.unprotect(apdu)
        title = protection.peer_title
        inner = decode_apdu(
            plain,
            limits=self._limits,
            tagged_date_time=Quirk.TAGGED_NOTIFICATION_DATE_TIME in access.profile.quirks,
        )
        await self._keep(access, inner, Evidence(now_us, title, apdu.invocation_counter))
        if title is not None:
            # After the message is kept: it does not come again. A second one would be the same.
            await self.counters.run(CounterStore.note_received, key, title, apdu.invocation_counter)
            self._senders.learn(title, access.meter)

    async def _keep(self, access: MeterAccess, apdu: Apdu, evidence: Evidence) -> None:
        if isinstance(apdu, DataNotification):
            device_id = read_body(apdu.data).device_id
            named = None if device_id is None else self._senders.by_device_id(device_id)
            if named not in (None, access.meter):
                raise SecurityError(f"{access.meter} speaks for {named}")
        if not isinstance(apdu, (DataNotification, EventNotification)):
            raise DecodeError("not a notification")
        if not self._by_meter.allows(access.meter, self._now_s()):
            # Counted only here: what is not believed must not use up a meter's share.
            self.figures[PushFigure.DROPPED] += 1
            return
        became = await self.keeper.keep(access, apdu, evidence)
        if became is Pushed.REPEATED:
            self.figures[PushFigure.REPEATED] += 1
        else:
            self.figures[PushFigure.TAKEN] += 1

    def _count_unknown(self, apdu: Apdu, sender: str) -> None:
        self.figures[PushFigure.UNKNOWN] += 1
        title = apdu.system_title if isinstance(apdu, CipheredApdu) else None
        self._tell_once(f"{sender} {title.hex() if title else ''}", "no meter of this gateway")

    def _tell_once(self, sender: str, why: str) -> None:
        if sender in self._told or len(self._told) >= _TOLD:
            return
        self._told.add(sender)
        log.warning("pushed messages are not taken", sender=sender, why=why)

    def _now_s(self) -> int:
        return self.clock.now_us() // 1_000_000
