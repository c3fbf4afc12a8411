"""The uplink loop: the outbox up, signed commits and account data down.

Shares nothing with the reading loops but the store: when the broker is away for weeks, reading goes
on. What to send next is decided by ``uplink.outbox``; this file only carries out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import structlog

from gateway.errors import GatewayError, LinkLost, StoreError
from gateway.model import MeterId
from gateway.service.clock import Clock
from gateway.store.counters import CounterStore
from gateway.store.outbox import CommitResult, NewMessage, OutboxEntry
from gateway.store.readings import ReadingsStore
from gateway.store.stream import STREAM
from gateway.store.thread import StoreDoor
from gateway.uplink import topics
from gateway.uplink.command import AccountData, Commit, read_command
from gateway.uplink.message import Header, with_header
from gateway.uplink.notices import Health, Result, encode_notice
from gateway.uplink.outbox import Lane, OutboxPump, Pending, PumpSettings
from gateway.uplink.port import Received, Uplink
from gateway.uplink.signature import VerifyingKeys
from gateway.uplink.statement import StatementParts
from gateway.uplink.topics import Kind

log = structlog.get_logger()

_HEALTH_PERIOD_S = 60
_STORE_PAUSE_S = 5
_REASON = 500


@dataclass(slots=True)
class UplinkFigures:
    """What the loop counts; shown in health and on the command line."""

    published: int = 0
    publish_failures: int = 0
    committed: int = 0
    refused: int = 0
    down_rejected: int = 0
    """Messages from the backend's topics that were not believed."""


@dataclass(kw_only=True)
class UplinkLoop:
    """Empties the outbox of one store over one uplink."""

    gateway: str
    uplink: Uplink
    readings: StoreDoor[ReadingsStore]
    counters: StoreDoor[CounterStore]
    keys: VerifyingKeys
    clock: Clock
    jitter: Callable[[], float]
    settings: PumpSettings = field(default_factory=PumpSettings)
    figures: UplinkFigures = field(default_factory=UplinkFigures)
    more_figures: Mapping[str, int] = field(default_factory=dict)
    """What others count, for the health message."""

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._pump: OutboxPump[OutboxEntry] = OutboxPump(self.settings, self.jitter)
        self._statements = StatementParts()

    def stored(self, lane: Lane) -> None:
        """A message was stored in ``lane``."""
        self._pump.stored(lane)
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        await self.uplink.connect()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_link(), name="uplink.link")
                tasks.create_task(self._take_messages(), name="uplink.down")
                tasks.create_task(self._send(tasks), name="uplink.up")
                tasks.create_task(self._tell_health(), name="uplink.health")
        finally:
            await self.uplink.close()

    # -- up ----------------------------------------------------------------------------------

    async def _watch_link(self) -> None:
        state = self.uplink.state
        while True:
            if state.up:
                await self._link_up()
            else:
                self._pump.link_down()
                if state.error is not None:
                    log.warning("uplink is down", error=str(state.error))
            self._wake.set()
            state = await self.uplink.wait_change(state)

    async def _link_up(self) -> None:
        newest = await self.readings.run(lambda store: store.stream.newest_sequence)
        self._pump.link_up(newest)
        log.info("uplink is up")

    async def _send(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            await self._fetch()
            now_us = self._monotonic_us()
            while (entry := self._pump.next_publish(now_us)) is not None:
                tasks.create_task(self._publish(entry), name=f"uplink.publish.{entry.sequence}")
            wakeup_us = self._pump.wakeup_us()
            timeout_s = None if wakeup_us is None else max(0.0, (wakeup_us - now_us) / 1_000_000)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            finally:
                # Publishing tasks and the broker's thread get their turn also under load.
                await asyncio.sleep(0)

    def _monotonic_us(self) -> int:
        return round(asyncio.get_running_loop().time() * 1_000_000)

    async def _fetch(self) -> None:
        # A restored file gets a new pump; what the old one asked for is not the new one's answer.
        pump = self._pump
        while pump is self._pump and (fetch := pump.next_fetch()) is not None:
            try:
                entries = await self.readings.run(
                    lambda store, wanted: store.outbox.pending(*wanted), fetch
                )
            except StoreError as error:
                # A full disk, most likely: what is stored stays, and is asked for again.
                pump.fetch_failed(fetch)
                log.error("outbox not read", error=str(error))
                await asyncio.sleep(_STORE_PAUSE_S)
                return
            pump.fetched(fetch, [Pending(entry.sequence, entry) for entry in entries])

    async def _publish(self, pending: Pending[OutboxEntry]) -> None:
        entry = pending.item
        header = Header(self.gateway, STREAM, entry.epoch, entry.sequence)
        try:
            await self.uplink.publish(self._topic(entry), with_header(entry.body, header))
            self.figures.published += 1
        except GatewayError as error:
            # The row stays in the outbox; the pump sends it again after a rest.
            self.figures.publish_failures += 1
            self._pump.failed(entry.sequence, self._monotonic_us())
            log.warning("publish failed", sequence=entry.sequence, error=str(error))
        self._wake.set()

    def _topic(self, entry: OutboxEntry) -> str:
        if entry.profile is not None:
            return topics.readings(self.gateway, MeterId(entry.subject), entry.profile)
        if entry.kind == Kind.EVENTS:
            return topics.events(self.gateway, MeterId(entry.subject))
        return topics.result(self.gateway, entry.subject)

    async def _tell_health(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_PERIOD_S)
            if not self.uplink.state.up:
                continue
            try:
                figures = await self._health_figures()
                notice = Health(gateway=self.gateway, at_s=self._now_s(), figures=figures)
                topic = topics.plain(self.gateway, Kind.HEALTH)
                await self.uplink.publish(topic, encode_notice(notice))
            except GatewayError as error:
                log.info("health not told", error=str(error))

    async def _health_figures(self) -> dict[str, int]:
        depth = await self.readings.run(lambda store: store.outbox.depth())
        oldest_us = depth.oldest_at_us
        now_us = self.clock.now_us()
        return {
            "outbox_live_messages": depth.live,
            "outbox_backlog_messages": depth.backlog,
            "outbox_refused_messages": depth.refused,
            "oldest_unsent_s": 0 if oldest_us is None else (now_us - oldest_us) // 1_000_000,
            "down_rejected_messages": self.figures.down_rejected,
            "rows_refused": await self.readings.run(lambda store: store.rows_refused),
            **self.more_figures,
        }

    def _now_s(self) -> int:
        return self.clock.now_us() // 1_000_000

    # -- down --------------------------------------------------------------------------------

    async def _take_messages(self) -> None:
        async for received in self.uplink.messages():
            try:
                await self._take(received)
            except GatewayError as error:
                # Forged, stale or broken: nothing of it was used, and nobody else must wait.
                self.figures.down_rejected += 1
                log.error("message from the backend rejected", topic=received.topic, why=str(error))
        raise LinkLost("the broker's messages ended unasked")

    async def _take(self, received: Received) -> None:
        kind = topics.parse(received.topic).kind
        command = read_command(
            received.payload,
            kind,
            keys=self.keys,
            gateway=self.gateway,
            now_s=self._now_s(),
        )
        match command:
            case Commit():
                await self._commit(command)
            case AccountData():
                await self._accounts(command)

    async def _commit(self, commit: Commit) -> None:
        if commit.stream != STREAM:
            return
        now_us = self.clock.now_us()
        behind = await self.readings.run(
            lambda store: store.stream.backend_high_water(commit.epoch, commit.newest, now_us)
        )
        applied = await self.readings.run(
            lambda store: store.outbox.commit(
                commit.epoch, commit.committed, commit.refused, now_us
            )
        )
        if behind or applied.restored:
            await self._restored()
            return
        self._count(applied)
        if not applied.other_epoch:
            refused = [(sequence, sequence) for sequence, _ in commit.refused]
            self._pump.committed([*commit.committed, *refused])
        for sequence, reason in commit.refused:
            log.error("the backend refused a message", sequence=sequence, reason=reason)
        self._wake.set()

    def _count(self, applied: CommitResult) -> None:
        self.figures.committed += applied.deleted
        self.figures.refused += applied.refused

    async def _restored(self) -> None:
        """The backend has seen more of this epoch than the file gave out: an old copy."""
        log.error("readings.db is older than what the backend holds: new epoch, new titles")
        await self.counters.run(CounterStore.renew_titles)
        self._pump = OutboxPump(self.settings, self.jitter)
        if self.uplink.state.up:
            newest = await self.readings.run(lambda store: store.stream.newest_sequence)
            self._pump.link_up(newest)
        self._wake.set()

    async def _accounts(self, data: AccountData) -> None:
        now_us = self.clock.now_us()
        last = await self.readings.run(lambda store: store.registry.last_sequence(data.issuer))
        message = self._result(data, "done", "")
        if data.sequence == last:
            if data.part == 1:
                # Applied already; the backend repeats until a result has reached it.
                await self.readings.run(ReadingsStore.add_message, message, now_us)
                self.stored(Lane.LIVE)
            return
        try:
            whole = data if data.sequence < last else self._statements.take(data)
            if whole is None:
                return
            accounts = whole.accounts
            await self.readings.run(
                lambda store: store.registry.apply_accounts(
                    data.issuer, data.sequence, accounts, now_us, result=message
                )
            )
        except StoreError:
            raise
        except GatewayError as error:
            # The backend has to learn why, or it would say the same for ever.
            refused = self._result(data, "refused", str(error))
            await self.readings.run(ReadingsStore.add_message, refused, now_us)
            self.stored(Lane.LIVE)
            raise
        self.stored(Lane.LIVE)
        log.info("account data applied", accounts=len(accounts), sequence=data.sequence)

    def _result(
        self, data: AccountData, outcome: Literal["done", "refused"], reason: str
    ) -> NewMessage:
        """What became of account data, as a message that has to arrive."""
        result = Result(
            command=data.command, at_s=self._now_s(), outcome=outcome, reason=reason[:_REASON]
        )
        return NewMessage(
            kind=Kind.RESULT.value,
            subject=data.command,
            lane=Lane.LIVE,
            body=encode_notice(result),
        )
