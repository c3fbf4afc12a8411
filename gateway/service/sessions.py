"""From what is configured to a session that is ready to open: keys and invocation counters."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from gateway.dlms.association.pre_established import policy_of, style_of
from gateway.dlms.association.settings import Authentication, ClientSettings, DedicatedKey
from gateway.dlms.plan import DAY_S
from gateway.dlms.reading import read_counter
from gateway.dlms.security import GlobalKeys, ProtectionSettings
from gateway.errors import LocalProtocolError, NoAnswer, PeerRefused, UsageError
from gateway.keys import MeterKeys
from gateway.model import MeterId, Obis, Secret
from gateway.profile import Association, Ciphering, FirmwareProfile, KeyName, Quirk
from gateway.profile import Authentication as ProfileAuthentication
from gateway.service.clock import Clock
from gateway.service.core_settings import make_connection, make_link
from gateway.service.observations import Observation, Observe, unobserved
from gateway.session import Session, Timing, session
from gateway.store.counter_block import CounterBlock
from gateway.store.counters import FIRST as FIRST_COUNTER
from gateway.store.counters import CounterKey, CounterStore
from gateway.store.thread import StoreDoor
from gateway.transport.paced import PacedTransport
from gateway.transport.port import Transport
from gateway.url import TransportKind

COUNTERS_READY: Final = 16
"""Kept reserved ahead; more than one turn of a session can use."""
COUNTERS_RESERVED: Final = 64
"""Reserved at a time: one commit for about one session."""
PUBLIC: Final = "public"

_UNREADABLE: Final = ("deciphering-error", "invocation-counter-error")

log = structlog.get_logger()

_AUTHENTICATIONS: Final = {
    "none": Authentication.NONE,
    "lls": Authentication.LLS,
    "hls2": Authentication.HLS_AES,
    "gmac": Authentication.HLS_GMAC,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterAccess:
    """What is needed to talk to one meter: who it is, what it is, where it answers."""

    meter: MeterId
    profile: FirmwareProfile
    keys: MeterKeys
    kind: TransportKind
    server_lower: int | None = None
    timing: Timing = field(default_factory=Timing)
    turnaround_s: float = 0
    """Silence between the meter's answer and the next frame."""
    auto: bool = False
    """The meter is still to be asked what it is; ``profile`` has the generic words till then."""

    def paced(self, transport: Transport) -> Transport:
        """The wire as this meter bears it."""
        return PacedTransport(transport, self.turnaround_s) if self.turnaround_s else transport


class SessionMaker:
    """Makes sessions with meters; keeps what outlives a session (counters)."""

    def __init__(
        self,
        counters: StoreDoor[CounterStore],
        clock: Clock,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        observe: Observe = unobserved,
        first_contact_limit: int = 1 << 24,
        drift_limit: int = 1 << 20,
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._random_bytes = random_bytes
        self._observe = observe
        self._first_contact_limit = first_contact_limit
        self._drift_limit = drift_limit
        self._blocks: dict[CounterKey, CounterBlock] = {}
        self._left_at_s: dict[MeterId, float] = {}
        """By the event loop's clock; of meters that want a pause between associations."""

    async def associate(
        self,
        access: MeterAccess,
        association_name: str,
        transport: Transport,
        *,
        make_room: Callable[[], bool] = bool,
    ) -> Session:
        """An open session; whoever has it ends it with ``leave``. Raises as ``Session.open``.

        A meter that was never talked to under this client is first asked, through the public
        association, how far its counter has gone (IS 15959 handshake). So is, once, a meter that
        refuses our counter: another reader may have gone further. That answer is not
        authenticated: it is believed within ``first_contact_limit``, and later within
        ``drift_limit`` a day, only. ``make_room`` as in ``Session``.
        """
        try:
            return await self._open(access, association_name, transport, make_room)
        except PeerRefused as refusal:
            if not await self._caught_up(access, association_name, transport, refusal):
                raise
        return await self._open(access, association_name, transport, make_room)

    async def leave(self, access: MeterAccess, association_name: str, made: Session) -> None:
        """Say goodbye, and remember how far the meter's own counter has gone."""
        await made.close()
        self._note_left(access)
        await self.remember(access, association_name, made)

    async def _rest(self, access: MeterAccess) -> None:
        """Let the meter have its pause since the last association."""
        left_s = self._left_at_s.get(access.meter)
        if left_s is None:
            return
        pause_s = left_s + access.profile.link.association_pause_s
        await asyncio.sleep(max(0, pause_s - asyncio.get_running_loop().time()))

    def _note_left(self, access: MeterAccess) -> None:
        if access.profile.link.association_pause_s:
            self._left_at_s[access.meter] = asyncio.get_running_loop().time()

    async def remember(self, access: MeterAccess, association_name: str, made: Session) -> None:
        """Make durable how far the meter's own counter has gone.

        By that an old answer stays refused in later sessions. Done before a row is stored: what
        was believed once is not believed again after a crash.
        """
        key = counter_key(access, access.profile.association(association_name))
        title, counter = made.received
        if title is not None and counter >= 0:
            await self._counters.run(CounterStore.note_received, key, title, counter)

    async def _open(
        self,
        access: MeterAccess,
        association_name: str,
        transport: Transport,
        make_room: Callable[[], bool],
    ) -> Session:
        made = await self._prepare(access, association_name, transport, make_room)
        await self._rest(access)
        try:
            await made.open()
        except BaseException:
            await self.leave(access, association_name, made)
            raise
        return made

    async def _prepare(
        self,
        access: MeterAccess,
        association_name: str,
        transport: Transport,
        make_room: Callable[[], bool],
    ) -> Session:
        association = access.profile.association(association_name)
        block: CounterBlock | None = None
        if _uses_counters(association):
            await self._first_contact(access, association, transport)
            block = await self._block(counter_key(access, association))
            # Even with enough left: another process may have gone further meanwhile.
            await self._keep_ready(block)
        settings = await self._settings(access, association, block)
        link = make_link(access.profile, access.kind, association.client, access.server_lower)
        return Session(
            make_connection(access.kind, link, settings),
            access.paced(transport),
            access.timing,
            keep_up=None if block is None else partial(self._behind, block),
            make_room=make_room,
        )

    async def _block(self, key: CounterKey) -> CounterBlock:
        if key not in self._blocks:
            self._blocks[key] = await self._counters.run(CounterBlock, key, COUNTERS_RESERVED)
        return self._blocks[key]

    async def _keep_ready(self, block: CounterBlock) -> None:
        """Reserve more, durably, before any of them can be needed."""
        await self._counters.run(lambda _: block.prepare(COUNTERS_READY))

    def _behind(self, block: CounterBlock) -> Awaitable[None] | None:
        """What has to be awaited before the next APDU: nothing while enough are reserved."""
        return self._keep_ready(block) if block.left < COUNTERS_READY else None

    async def _first_contact(
        self, access: MeterAccess, association: Association, transport: Transport
    ) -> None:
        key = counter_key(access, association)
        known = await self._counters.run(CounterStore.peek, key) > FIRST_COUNTER
        if known or association.counter is None or PUBLIC not in access.profile.associations:
            return
        try:
            counter = await self._ask_counter(access, association.counter, transport)
        except PeerRefused:
            # It keeps this to itself: ours may do, and if not it says so.
            return
        day, limit = self._today(), self._first_contact_limit
        await self._counters.run(
            lambda store: store.raise_floor(key, counter + 1, day=day, day_limit=limit)
        )

    async def _caught_up(
        self,
        access: MeterAccess,
        association_name: str,
        transport: Transport,
        refusal: PeerRefused,
    ) -> bool:
        """Whether our counter was behind the meter's, and no longer is."""
        association = access.profile.association(association_name)
        block = self._blocks.get(counter_key(access, association))
        if block is None or association.counter is None or not unreadable(refusal):
            return False
        if PUBLIC not in access.profile.associations:
            return False
        try:
            counter = await self._ask_counter(access, association.counter, transport)
        except (PeerRefused, NoAnswer):
            return False
        if counter < block.following:
            return False
        day, limit = self._today(), self._drift_limit
        await self._counters.run(lambda _: block.raise_floor(counter + 1, day=day, day_limit=limit))
        log.warning(
            "meter has seen higher counters than ours",
            meter=access.meter,
            client=association.client,
            counter=counter,
        )
        await self._observe(access.meter, Observation.COUNTER_RAISED)
        return True

    def _today(self) -> int:
        return self._clock.now_us() // (DAY_S * 1_000_000)

    async def _ask_counter(self, access: MeterAccess, counter: Obis, transport: Transport) -> int:
        public = access.profile.association(PUBLIC)
        link = make_link(access.profile, access.kind, public.client, access.server_lower)
        settings = ClientSettings(random_bytes=self._random_bytes)
        await self._rest(access)
        try:
            connection = make_connection(access.kind, link, settings)
            async with session(connection, access.paced(transport), access.timing) as opened:
                return await opened.run(read_counter(counter))
        finally:
            self._note_left(access)

    async def _settings(
        self, access: MeterAccess, association: Association, block: CounterBlock | None
    ) -> ClientSettings:
        keys, profile = access.keys, access.profile
        authentication = _AUTHENTICATIONS[association.authentication]
        secret = _secret(keys, association.secret) if association.secret else None
        protection: ProtectionSettings | None = None
        if block is not None:
            protection = await self._protection(access, association, block)
        return ClientSettings(
            authentication=authentication,
            lls_password=secret if authentication is Authentication.LLS else None,
            hls_secret=secret if authentication is Authentication.HLS_AES else None,
            protection=protection,
            max_pdu_octets=profile.link.max_pdu_octets,
            pre_established=association.pre_established,
            dedicated=DedicatedKey(keys.dedicated) if association.dedicated_ciphering else None,
            general_block_window=association.general_block_window,
            assume_missing_user_information=Quirk.MISSING_USER_INFORMATION in profile.quirks,
            release=Quirk.NO_RELEASE not in profile.quirks,
            tagged_date_time=Quirk.TAGGED_NOTIFICATION_DATE_TIME in profile.quirks,
            random_bytes=self._random_bytes,
        )

    async def listening(self, access: MeterAccess, association: Association) -> ProtectionSettings:
        """What is needed to believe what a meter sends unasked; nothing can be sent with it."""
        return await self._protection(access, association, None)

    async def _protection(
        self, access: MeterAccess, association: Association, block: CounterBlock | None
    ) -> ProtectionSettings:
        """Without ``block`` nothing can be sent under these settings."""
        keys = access.keys
        title = keys.client_system_title
        if title is None:
            title = await self._counters.run(CounterStore.client_title, association.client)
        received = await self._counters.run(CounterStore.received, counter_key(access, association))
        return ProtectionSettings(
            keys=GlobalKeys(
                encryption=_secret(keys, association.encryption_key),
                authentication=_secret(keys, association.authentication_key),
            ),
            own_title=title,
            policy=policy_of(association),
            reserve=_nothing_to_send if block is None else block.reserve,
            last_received=received,
            peer_title=keys.server_system_title,
            style=style_of(association),
            tolerate_global=Quirk.GLOBAL_KEY_BESIDE_DEDICATED in access.profile.quirks,
        )


def _nothing_to_send() -> int:
    raise LocalProtocolError("a listener sends nothing")


def unreadable(refusal: PeerRefused) -> bool:
    """Whether a meter says that it could not accept our protection: a wrong key or an old counter.

    Makes differ in which of the two reasons they give for an old counter.
    """
    return any(reason in refusal.reason for reason in _UNREADABLE)


def _uses_counters(association: Association) -> bool:
    return (
        association.ciphering is not Ciphering.NONE
        or association.authentication is ProfileAuthentication.GMAC
    )


def counter_key(access: MeterAccess, association: Association) -> CounterKey:
    """Whose counters belong to an association of a meter."""
    return CounterKey(access.meter, association.client, access.keys.key_id)


def _secret(keys: MeterKeys, name: KeyName | None) -> Secret:
    """One of a meter's secrets; raise UsageError naming the key that is missing."""
    found: Secret | None = getattr(keys, name.value) if name is not None else None
    if found is None:
        raise UsageError(f"key {name} is missing for this association")
    return found
