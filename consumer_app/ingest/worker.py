"""The ingest service: what comes over the uplink goes into the database, answers go back.

Nothing of a delivery is kept here: a gateway repeats what it got no commit for. So while the
database is away the worker answers nobody and waits, and a crash at any point loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from consumer_app.database.connect import Database
from consumer_app.database.status import StoredResult, seen_positions, write_notice
from consumer_app.ingest.core import Outcome, ingest_messages
from consumer_app.ingest.downlink import (
    AccountStatement,
    Signer,
    account_statement,
    account_versions,
)
from gateway.errors import GatewayError
from gateway.uplink import topics
from gateway.uplink.notices import Birth, Notice, StreamPosition, decode_notice
from gateway.uplink.port import Publication, Received, Uplink
from gateway.uplink.topics import Kind

_LOG = logging.getLogger(__name__)

BATCH_MESSAGES = 200
FIRST_WAIT_S = 1
LONGEST_WAIT_S = 60
ACCOUNT_INTERVAL_S = 30
ACCOUNT_RENEWAL_S = 86_400

Pause = Callable[[float], Awaitable[None]]


class IngestWorker:
    """Runs until its uplink is closed; ``counts`` says what it has done.

    ``uplink`` subscribes to ``topics.from_all_gateways()``. ``now_s`` gives UTC epoch seconds,
    ``pause`` waits (a test gives its own). Work is grouped by what has come in while the last
    transaction ran: one message when it is quiet, up to ``BATCH_MESSAGES`` when it is not.
    """

    def __init__(
        self,
        uplink: Uplink,
        database: Database,
        signer: Signer,
        *,
        now_s: Callable[[], int],
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._uplink = uplink
        self._database = database
        self._signer = signer
        self._now_s = now_s
        self._pause = pause
        self._incoming: asyncio.Queue[Received | None] = asyncio.Queue(BATCH_MESSAGES)
        self._unanswered: dict[str, AccountStatement] = {}
        self._stated: dict[str, tuple[tuple[int, int], int]] = {}

    async def run(self) -> None:
        """Connect and work; returns after ``uplink.close()``."""
        await self._uplink.connect()
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read())
            accounts = tasks.create_task(self._keep_accounts_known())
            await self._work()
            accounts.cancel()
            reader.cancel()

    async def _read(self) -> None:
        async for received in self._uplink.messages():
            await self._incoming.put(received)
        await self._incoming.put(None)

    async def _work(self) -> None:
        ended = False
        while not ended:
            batch = [await self._incoming.get()]
            while len(batch) < BATCH_MESSAGES and not self._incoming.empty():
                batch.append(self._incoming.get_nowait())
            ended = None in batch
            received = [one for one in batch if one is not None]
            numbered = [one for one in received if not _is_notice(one)]
            if numbered:
                await self._ingest(numbered)
            for one in received:
                if _is_notice(one):
                    await self._note(one)

    async def _ingest(self, deliveries: Sequence[Received]) -> None:
        outcome = await self._until_stored(
            lambda: ingest_messages(self._database, deliveries, now_s=self._now_s())
        )
        self._count(outcome)
        for result in outcome.results:
            self._settle(result)
        await self._publish_all(self._signer.commits(outcome.answers, now_s=self._now_s()))

    async def _until_stored(self, store: Callable[[], Outcome]) -> Outcome:
        """Try again for as long as it takes: the deliveries are refused by no fault of ours."""
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return await asyncio.to_thread(store)
            except GatewayError as error:
                _LOG.error("nothing can be stored now, next attempt in %d s: %s", wait_s, error)
                self.counts["database_failures"] += 1
            await self._pause(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _count(self, outcome: Outcome) -> None:
        self.counts["new_rows"] += outcome.written.new_rows
        self.counts["known_rows"] += outcome.written.known_rows
        self.counts["conflicts"] += outcome.written.conflicts
        self.counts["new_events"] += outcome.new_events
        for answer in outcome.answers:
            self.counts["committed" if answer.refused is None else "refused"] += 1
            if answer.refused is not None:
                _LOG.warning("refused %s: %s", answer.header, answer.refused)
        for one in outcome.unidentified:
            self.counts["unidentified"] += 1
            _LOG.error("delivery without a sender on %r: %s", one.topic, one.reason)

    def _settle(self, result: StoredResult) -> None:
        statement = self._unanswered.get(result.command)
        if statement is None or statement.gateway != result.header.gateway:
            return
        del self._unanswered[result.command]
        if result.outcome != "done":
            _LOG.error("%s refused its accounts: %s", result.header.gateway, result.reason)

    async def _note(self, received: Received) -> None:
        try:
            topic = topics.parse(received.topic)
            notice = decode_notice(received.payload, topic)
            await asyncio.to_thread(self._store_notice, topic.gateway, notice, received.payload)
            if isinstance(notice, Birth):
                await self._state_positions(topic.gateway)
                await self._state_accounts(topic.gateway)
        except GatewayError as error:
            # a notice is the newest word only: the next one says it again
            self.counts["notices_lost"] += 1
            _LOG.error("notice on %r: %s", received.topic, error)

    def _store_notice(self, gateway: str, notice: Notice, octets: bytes) -> None:
        with self._database.transaction() as connection:
            write_notice(connection, gateway, notice, octets, now_s=self._now_s())

    async def _state_positions(self, gateway: str) -> None:
        """Tell a gateway that came up how far it has been heard."""
        positions = await asyncio.to_thread(self._seen_positions, gateway)
        await self._publish_all(self._signer.positions(gateway, positions, now_s=self._now_s()))

    def _seen_positions(self, gateway: str) -> list[StreamPosition]:
        with self._database.transaction() as connection:
            return seen_positions(connection, gateway)

    async def _keep_accounts_known(self) -> None:
        """State a gateway's accounts when they change, daily, and again until it answered."""
        while True:
            try:
                versions = await asyncio.to_thread(account_versions, self._database)
                for gateway, version in versions.items():
                    stated, at_s = self._stated.get(gateway, (None, 0))
                    if stated != version or self._now_s() - at_s >= ACCOUNT_RENEWAL_S:
                        await self._state_accounts(gateway)
                        self._stated[gateway] = (version, self._now_s())
                for statement in list(self._unanswered.values()):
                    await self._publish_all(statement.publications)
            except GatewayError as error:
                _LOG.error("accounts cannot be sent now: %s", error)
            await self._pause(ACCOUNT_INTERVAL_S)

    async def _state_accounts(self, gateway: str) -> None:
        statement = await asyncio.to_thread(
            account_statement, self._database, self._signer, gateway, now_s=self._now_s()
        )
        for command, old in list(self._unanswered.items()):
            if old.gateway == gateway:
                del self._unanswered[command]
        if statement is not None:
            self._unanswered[statement.command] = statement
            await self._publish_all(statement.publications)

    async def _publish_all(self, publications: Sequence[Publication]) -> None:
        for publication in publications:
            await self._publish(publication)

    async def _publish(self, publication: Publication) -> None:
        try:
            await self._uplink.publish(
                publication.topic, publication.payload, retain=publication.retain
            )
        except GatewayError as error:
            # the gateway sends again what it got no answer to, and is answered then
            self.counts["publications_lost"] += 1
            _LOG.warning("not published on %r: %s", publication.topic, error)


def _is_notice(received: Received) -> bool:
    level = received.topic.split("/")[3:4]
    return level in ([Kind.BIRTH.value], [Kind.STATE.value], [Kind.HEALTH.value])
