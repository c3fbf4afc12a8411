"""The worker over a broker in memory and a real database: commits follow the commit."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from consumer_app.database.accounts import put_account
from consumer_app.database.connect import Database
from consumer_app.ingest.downlink import Signer
from consumer_app.ingest.worker import IngestWorker
from gateway.errors import SecurityError
from gateway.model import ProfileKind
from gateway.uplink import topics
from gateway.uplink.command import AccountData, Commit, read_command
from gateway.uplink.loopback import LoopbackBroker, LoopbackUplink
from gateway.uplink.message import Header, with_header
from gateway.uplink.notices import Birth, Result, State, StreamPosition, encode_notice
from gateway.uplink.port import Publication, Received
from gateway.uplink.signature import SigningKey, TrustedKey, VerifyingKeys
from gateway.uplink.topics import Kind
from hil_tests.postgres import EmbeddedPostgres
from tests.consumer.seeds import (
    DAY_S,
    EPOCH,
    GATEWAY,
    METER,
    MIDNIGHT_S,
    account,
    daily,
    daily_row,
)

NOW_S = MIDNIGHT_S + 10 * DAY_S
KEY = SigningKey.generate("backend-1")
TRUSTED = VerifyingKeys({"backend-1": TrustedKey("backend", KEY.public_octets)})
BIRTH = Birth(
    gateway=GATEWAY,
    generation=4,
    at_s=NOW_S,
    software="0.1.0",
    streams=[StreamPosition(stream="readings", epoch=EPOCH, sequence=9)],
)


class Pauses:
    """Stands in for sleeping: counts the waits and lets the test act in between."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.asked_s: list[float] = []
        self._act = act

    async def __call__(self, seconds: float) -> None:
        self.asked_s.append(seconds)
        if seconds >= 30:
            await asyncio.Event().wait()
        self._act()
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the other side is a thread, not a task
            await asyncio.sleep(0)


class Bench:
    """A worker and the gateway on the other side of the broker."""

    def __init__(self, database: Database, pause: Callable[[float], Awaitable[None]]) -> None:
        self.broker = LoopbackBroker()
        backend = self.broker.uplink("backend", subscriptions=topics.from_all_gateways())
        self.gateway: LoopbackUplink = self.broker.uplink(
            "gw", subscriptions=topics.downlink(GATEWAY)
        )
        self.backend = backend
        self.worker = IngestWorker(
            backend, database, Signer("backend", KEY), now_s=lambda: NOW_S, pause=pause
        )
        self.received = self.gateway.messages()

    async def send(self, *deliveries: Received) -> None:
        for one in deliveries:
            await self.gateway.publish(one.topic, one.payload)

    async def command(self) -> Commit | AccountData:
        received = await asyncio.wait_for(anext(self.received), 10)
        kind = topics.parse(received.topic).kind
        return read_command(received.payload, kind, keys=TRUSTED, gateway=GATEWAY, now_s=NOW_S)


def run(
    database: Database,
    story: Callable[[Bench], Awaitable[None]],
    pause: Callable[[float], Awaitable[None]] | None = None,
) -> Bench:
    async def play() -> Bench:
        bench = Bench(database, pause or Pauses())
        await bench.gateway.connect()
        running = asyncio.create_task(bench.worker.run())
        await asyncio.sleep(0)
        await story(bench)
        await bench.backend.close()
        await asyncio.wait_for(running, 10)
        return bench

    return asyncio.run(play())


def days(*numbers: int) -> list[Received]:
    return [daily(n, daily_row(MIDNIGHT_S + n * DAY_S, str(1000 * n))) for n in numbers]


def test_what_was_stored_is_committed_in_exact_ranges(
    database: Database, database_url: str
) -> None:
    async def story(bench: Bench) -> None:
        await bench.send(*days(1, 2, 3, 7))
        seen: set[int] = set()
        while seen != {1, 2, 3, 7}:
            commit = await bench.command()
            assert isinstance(commit, Commit)
            assert (commit.stream, commit.epoch, commit.refused) == ("readings", EPOCH, ())
            seen |= {n for first, last in commit.committed for n in range(first, last + 1)}
            with psycopg.connect(database_url) as oracle:
                stored = {row[0] for row in oracle.execute("select sequence from readings")}
            assert seen <= stored

    bench = run(database, story)
    assert bench.worker.counts["new_rows"] == 4


def test_a_refused_message_is_answered_with_its_reason(database: Database) -> None:
    async def story(bench: Bench) -> None:
        topic = topics.readings(GATEWAY, METER, ProfileKind.DAILY_LOAD)
        wrong = with_header(b'{"schema":"smg.readings/9"}', Header(GATEWAY, "readings", EPOCH, 5))
        await bench.send(Received(topic, wrong), Received(topic, b"noise"))
        commit = await bench.command()
        assert isinstance(commit, Commit)
        assert commit.committed == ()
        assert [number for number, _ in commit.refused] == [5]

    assert run(database, story).worker.counts["unidentified"] == 1


def test_while_the_database_is_away_nobody_is_answered_and_nothing_is_lost(
    postgres: EmbeddedPostgres, database: Database, database_url: str
) -> None:
    if postgres.given:
        pytest.skip("the given database is not ours to stop")
    answered: list[Publication] = []

    async def story(bench: Bench) -> None:
        postgres.stop()
        await bench.send(*days(1))
        await until(lambda: bench.worker.counts["database_failures"] > 1)
        answered.extend(bench.backend.published)
        postgres.start()
        commit = await bench.command()
        assert isinstance(commit, Commit)
        assert commit.committed == ((1, 1),)

    pause = Pauses()
    try:
        with Database(database_url, connections=2, wait_s=0.2) as impatient:
            bench = run(impatient, story, pause)
    finally:
        postgres.start()
    assert answered == []
    assert [seconds for seconds in pause.asked_s if seconds < 30][:2] == [1, 2]
    assert bench.worker.counts["database_failures"] >= 2


def test_a_commit_that_the_broker_lost_is_given_again_on_redelivery(database: Database) -> None:
    async def story(bench: Bench) -> None:
        await bench.send(*days(1))
        await bench.command()
        bench.broker.stop()
        bench.broker.start()
        await bench.send(*days(1))
        again = await bench.command()
        assert isinstance(again, Commit)
        assert again.committed == ((1, 1),)

    bench = run(database, story)
    assert (bench.worker.counts["new_rows"], bench.worker.counts["known_rows"]) == (1, 1)


def test_a_broker_that_is_down_when_the_commit_is_due_does_not_end_the_worker(
    database: Database,
) -> None:
    async def story(bench: Bench) -> None:
        await bench.send(*days(1))
        bench.broker.stop()
        await until(lambda: bench.worker.counts["publications_lost"] > 0)
        bench.broker.start()
        await bench.send(*days(1, 2))
        commit = await bench.command()
        assert isinstance(commit, Commit)
        assert commit.committed[0][0] == 1

    run(database, story)


def test_commits_are_signed_for_one_gateway_only(database: Database) -> None:
    async def story(bench: Bench) -> None:
        await bench.send(*days(1))
        received = await anext(bench.received)
        with pytest.raises(SecurityError, match="another gateway"):
            read_command(received.payload, Kind.COMMIT, keys=TRUSTED, gateway="gw-2", now_s=NOW_S)

    run(database, story)


def test_a_gateway_is_told_its_accounts_until_it_says_done(database: Database) -> None:
    stated = account()
    with database.transaction() as connection:
        put_account(connection, stated, GATEWAY, now_s=NOW_S)
        put_account(connection, account("other", []), "gw-elsewhere", now_s=NOW_S)

    async def story(bench: Bench) -> None:
        first = await bench.command()
        assert isinstance(first, AccountData)
        assert first.accounts == (stated,)
        birth = Received(topics.plain(GATEWAY, Kind.BIRTH), encode_notice(BIRTH))
        await bench.send(birth)
        data = first
        while data.sequence <= first.sequence:
            again = await bench.command()
            assert isinstance(again, AccountData)
            data = again
        assert data.accounts == (stated,)
        assert bench.worker._unanswered.keys() >= {data.command}
        done = Result(command=data.command, at_s=NOW_S, outcome="done", reason="")
        header = Header(GATEWAY, "readings", EPOCH, 1)
        await bench.send(
            Received(topics.result(GATEWAY, data.command), with_header(encode_notice(done), header))
        )
        while not isinstance(commit := await bench.command(), Commit):
            pass
        assert commit.committed == ((1, 1),)
        assert data.command not in bench.worker._unanswered

    run(database, story)


def test_the_newest_word_of_a_gateway_is_kept_and_a_stale_last_will_is_not(
    database: Database, database_url: str
) -> None:
    def state(generation: int, word: str) -> Received:
        notice = State(gateway=GATEWAY, generation=generation, state=word, at_s=None)  # type: ignore[arg-type]
        return Received(topics.plain(GATEWAY, Kind.STATE), encode_notice(notice))

    async def story(bench: Bench) -> None:
        await bench.send(
            Received(topics.plain(GATEWAY, Kind.BIRTH), encode_notice(BIRTH)),
            state(4, "online"),
            state(3, "offline"),
            Received(topics.plain(GATEWAY, Kind.HEALTH), b"noise"),
        )

    assert run(database, story).worker.counts["notices_lost"] == 1
    with psycopg.connect(database_url) as oracle:
        found = oracle.execute(
            "select birth->>'software', state->>'state', health from gateways"
        ).fetchall()
    assert found == [("0.1.0", "online", None)]
