"""One suite for every implementation of the uplink: in memory, embedded broker, Mosquitto."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import LinkLost, NoAnswer, PeerRefused, SecurityError, UsageError
from gateway.model import Secret
from gateway.uplink.command import Commit, ranges_of, read_command, sign_command
from gateway.uplink.message import Header, decode_header, with_header
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.outbox import Lane, OutboxPump, Pending, PumpSettings
from gateway.uplink.port import Presence, Publication, Received, Uplink, wait_up
from gateway.uplink.signature import SigningKey, TrustedKey, VerifyingKeys
from gateway.uplink.topics import Kind
from tests.uplink.rigs import (
    BROKER_LIMIT_OCTETS,
    LoopbackRig,
    MqttRig,
    Rig,
    open_rig,
    run,
    state_when,
)

RIGS = [
    "loopback",
    "embedded",
    pytest.param("mosquitto-3.1.1", marks=pytest.mark.mosquitto),
    pytest.param("mosquitto-5", marks=pytest.mark.mosquitto),
]
NETWORK_RIGS = RIGS[1:]
TOPIC = "smg/1/gw1/readings/A1/daily_load"
EPOCH = "00112233aabbccdd"

OpenRig = Callable[[], Rig]


@pytest.fixture(params=RIGS)
def rig_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(rig_name: str, tmp_path: Path) -> OpenRig:
    return lambda: open_rig(rig_name, tmp_path)


over_a_network = pytest.mark.parametrize("rig_name", NETWORK_RIGS)


@asynccontextmanager
async def rig_of(opened: OpenRig) -> AsyncIterator[Rig]:
    rig = opened()
    try:
        yield rig
    finally:
        await rig.close()


async def up(*links: Uplink) -> None:
    for link in links:
        await link.connect()
    for link in links:
        await wait_up(link)


async def first(link: Uplink, wanted: Callable[[Received], bool]) -> Received:
    async for received in link.messages():
        if wanted(received):
            return received
    raise AssertionError("the messages ended")


def test_a_published_message_is_acknowledged_and_arrives_octet_for_octet(opened: OpenRig) -> None:
    payload = bytes(range(256)) * 20

    async def scenario() -> None:
        async with rig_of(opened) as rig:
            sender = await rig.link("sender")
            reader = await rig.link("reader", "smg/1/+/readings/+/+")
            await up(reader, sender)
            await sender.publish("smg/1/gw1/health", b"not subscribed to")
            await sender.publish(TOPIC, payload)
            assert await first(reader, lambda _: True) == Received(TOPIC, payload)

    run(scenario())


def test_a_retained_birth_reaches_who_comes_later(opened: OpenRig) -> None:
    birth = Publication("smg/1/gw1/birth", b'{"generation":7}', retain=True)

    async def scenario() -> None:
        async with rig_of(opened) as rig:
            await up(await rig.link("gw1", presence=lambda: Presence(births=(birth,))))
            late = await rig.link("late", "smg/1/+/birth")
            await up(late)
            got = await first(late, lambda _: True)
            assert got == Received(birth.topic, birth.payload, retained=True)

    run(scenario())


def test_an_abrupt_loss_publishes_the_will_of_its_own_connection(opened: OpenRig) -> None:
    generations = iter(range(1, 100))

    def presence() -> Presence:
        mark = b"%d" % next(generations)
        state = "smg/1/gw1/state"
        return Presence(
            Publication(state, b"lost " + mark, retain=True),
            (Publication(state, b"born " + mark, retain=True),),
        )

    async def scenario() -> None:
        async with rig_of(opened) as rig:
            watcher = await rig.link("watcher", "smg/1/+/state")
            await up(watcher)
            gateway = await rig.link("gw1", presence=presence)
            await up(gateway)
            states = watcher.messages()
            assert (await anext(states)).payload == b"born 1"
            await rig.sever("gw1")
            two = {(await anext(states)).payload for _ in range(2)}
            assert two == {b"lost 1", b"born 2"}

    run(scenario())


def test_a_clean_close_says_farewell_and_leaves_no_will(opened: OpenRig) -> None:
    state = "smg/1/gw1/state"
    presence = Presence(will=Publication(state, b"lost"), farewell=Publication(state, b"farewell"))

    async def scenario() -> None:
        async with rig_of(opened) as rig:
            watcher = await rig.link("watcher", "smg/1/+/state", "smg/1/end")
            gateway = await rig.link("gw1", presence=lambda: presence)
            other = await rig.link("other")
            await up(watcher, gateway, other)
            await gateway.close()
            await gateway.close()
            await other.publish("smg/1/end", b"end")
            seen = []
            async for received in watcher.messages():
                seen.append(received.payload)
                if received.payload == b"end":
                    break
            assert seen == [b"farewell", b"end"]
            assert [received async for received in gateway.messages()] == []

    run(scenario())


def test_a_broker_that_is_down_at_start_is_reached_when_it_comes(opened: OpenRig) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            rig.stop_broker()
            link = await rig.link("gw1", TOPIC)
            await link.connect()
            with pytest.raises(LinkLost):
                await link.publish(TOPIC, b"early")
            if rig.has_network:
                failed = await state_when(link, lambda state: state.error is not None)
                assert isinstance(failed.error, NoAnswer)
                assert failed.error.retryable
            rig.start_broker()
            await wait_up(link)
            await link.publish(TOPIC, b"now")
            # what was refused while down is never sent behind our back
            assert (await first(link, lambda _: True)).payload == b"now"

    run(scenario())


def test_what_no_broker_may_be_given_is_refused_and_the_link_stays_up(opened: OpenRig) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            link = await rig.link("gw1", TOPIC, max_payload_octets=1000)
            await up(link)
            before = link.state
            with pytest.raises(UsageError, match="1001 octets; at most 1000"):
                await link.publish(TOPIC, bytes(1001))
            for topic in ("", "smg/+/x", "smg/#", "smg/\0"):
                with pytest.raises(UsageError, match="wild card"):
                    await link.publish(topic, b"x")
            await link.publish(TOPIC, bytes(1000))
            assert len((await first(link, lambda _: True)).payload) == 1000
            assert link.state == before

    run(scenario())


@over_a_network
def test_a_message_over_the_brokers_own_limit_fails_and_the_link_comes_back(
    opened: OpenRig,
) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            link = await rig.link("gw1", TOPIC)
            await up(link)
            with pytest.raises((NoAnswer, PeerRefused)):
                await link.publish(TOPIC, bytes(BROKER_LIMIT_OCTETS * 2))
            await wait_up(link)
            await link.publish(TOPIC, b"small")
            assert (await first(link, lambda _: True)).payload == b"small"

    run(scenario())


@over_a_network
def test_a_broker_of_another_authority_is_refused(opened: OpenRig) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            assert isinstance(rig, MqttRig)
            link = await rig.link("gw1", tls=rig.other_authority())
            await link.connect()
            state = await state_when(link, lambda state: state.changes >= 2)
            assert not state.up
            assert isinstance(state.error, SecurityError)
            assert not state.error.retryable

    run(scenario())


@over_a_network
def test_a_wrong_password_is_a_security_error_and_not_shown(opened: OpenRig) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            link = await rig.link("gw1", password=Secret(b"hunter2"))
            await link.connect()
            state = await state_when(link, lambda state: state.error is not None)
            assert isinstance(state.error, SecurityError)
            assert "hunter2" not in repr(state)

    run(scenario())


def test_a_repeated_message_arrives_twice_under_one_identity(opened: OpenRig) -> None:
    header = Header("gw1", "readings", EPOCH, 5)
    message = with_header(b'{"schema":"x"}', header)

    async def scenario() -> None:
        async with rig_of(opened) as rig:
            sender = await rig.link("sender")
            reader = await rig.link("reader", TOPIC)
            await up(reader, sender)
            if isinstance(rig, LoopbackRig):
                rig.broker.copies = 2
                await sender.publish(TOPIC, message)
            else:
                await sender.publish(TOPIC, message)
                await sender.publish(TOPIC, message)
            messages = reader.messages()
            twice = [decode_header((await anext(messages)).payload) for _ in range(2)]
            assert twice == [header, header]

    run(scenario())


@over_a_network
def test_a_lost_acknowledgement_fails_the_publish_and_nothing_is_resent_behind_its_back(
    opened: OpenRig,
) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            assert isinstance(rig, MqttRig)
            sender = await rig.link("sender")
            reader = await rig.link("reader", TOPIC)
            await up(reader, sender)
            messages = reader.messages()
            rig.relays["sender"].swallow_answers = True
            publishing = asyncio.create_task(sender.publish(TOPIC, b"once"))
            assert (await anext(messages)).payload == b"once"
            rig.relays["sender"].swallow_answers = False
            rig.relays["sender"].cut()
            with pytest.raises(LinkLost):
                await publishing
            await state_when(sender, lambda state: state.changes >= 3 and state.up)
            await sender.publish(TOPIC, b"after")
            assert (await anext(messages)).payload == b"after"

    run(scenario())


@over_a_network
def test_a_broker_that_stops_acknowledging_costs_the_connection(opened: OpenRig) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            assert isinstance(rig, MqttRig)
            link = await rig.link("gw1", publish_timeout_s=0.3)
            await up(link)
            rig.relays["gw1"].swallow_answers = True
            with pytest.raises(NoAnswer, match="acknowledge"):
                await link.publish(TOPIC, b"x")
            down = await state_when(link, lambda state: not state.up)
            assert isinstance(down.error, NoAnswer)
            rig.relays["gw1"].swallow_answers = False
            await wait_up(link)
            await link.publish(TOPIC, b"x")

    run(scenario())


@over_a_network
def test_a_reader_that_does_not_read_loses_messages_by_number_and_recovers(
    opened: OpenRig,
) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            sender = await rig.link("sender")
            reader = await rig.link("reader", TOPIC, inbox=3, max_payload_octets=100)
            assert isinstance(reader, MqttUplink)
            await up(reader, sender)
            # more than any broker sends on without an acknowledgement
            for number in range(150):
                await sender.publish(TOPIC, b"%d" % number)
            await sender.publish(TOPIC, bytes(101))
            while reader.dropped < 148:  # noqa: ASYNC110 - the count is all there is to wait for
                await asyncio.sleep(0)
            messages = reader.messages()
            kept = [(await anext(messages)).payload for _ in range(3)]
            assert kept == [b"0", b"1", b"2"]
            await sender.publish(TOPIC, b"after")
            assert (await anext(messages)).payload == b"after"
            assert reader.dropped == 148

    run(scenario())


def test_many_publishers_at_once_are_all_acknowledged(opened: OpenRig) -> None:
    async def scenario() -> None:
        async with rig_of(opened) as rig:
            sender = await rig.link("sender")
            reader = await rig.link("reader", TOPIC)
            await up(reader, sender)
            payloads = {b"%d" % number for number in range(300)}
            messages = reader.messages()

            async def read() -> set[bytes]:
                return {(await anext(messages)).payload for _ in payloads}

            reading = asyncio.create_task(read())
            await asyncio.gather(*(sender.publish(TOPIC, payload) for payload in payloads))
            assert await reading == payloads

    run(scenario())


class Edge:
    """A gateway reduced to its outbox: everything the pump says is done, nothing else."""

    def __init__(self, link: Uplink, keys: VerifyingKeys, messages: int) -> None:
        self.link = link
        self.keys = keys
        self.outbox = {
            number: with_header(b'{"n":1}', self.header(number))
            for number in range(1, messages + 1)
        }
        self.newest = messages
        settings = PumpSettings(answer_timeout_s=1, rest_first_s=1, backlog_per_s=2000)
        self.pump: OutboxPump[bytes] = OutboxPump(settings, lambda: 0.5)
        self.answered = asyncio.Event()

    @staticmethod
    def header(sequence: int) -> Header:
        return Header("gw1", "readings", EPOCH, sequence)

    async def take_commits(self) -> None:
        async for received in self.link.messages():
            commit = read_command(
                received.payload, Kind.COMMIT, keys=self.keys, gateway="gw1", now_s=0
            )
            assert isinstance(commit, Commit)
            for low, high in commit.committed:
                for sequence in range(low, high + 1):
                    self.outbox.pop(sequence, None)
            self.pump.committed(commit.committed)
            self.answered.set()

    async def send(self, pending: Pending[bytes]) -> None:
        try:
            await self.link.publish(TOPIC, pending.item)
        except NoAnswer:
            self.pump.failed(pending.sequence, self.now_us())

    @staticmethod
    def now_us() -> int:
        return int(asyncio.get_running_loop().time() * 1_000_000)

    async def empty_outbox(self) -> None:
        seen = self.link.state
        if seen.up:
            self.pump.link_up(self.newest)
        async with asyncio.TaskGroup() as sending:
            while self.outbox:
                if self.link.state != seen:
                    seen = self.link.state
                    self.pump.link_down()
                    if seen.up:
                        self.pump.link_up(self.newest)
                if (fetch := self.pump.next_fetch()) is not None:
                    rows = sorted(s for s in self.outbox if s > fetch.after_sequence)
                    some = rows[: fetch.limit] if fetch.lane is Lane.LIVE else []
                    self.pump.fetched(fetch, [Pending(s, self.outbox[s]) for s in some])
                while (pending := self.pump.next_publish(self.now_us())) is not None:
                    sending.create_task(self.send(pending))
                await self.rest()

    async def rest(self) -> None:
        """Until something happens or time alone changes something."""
        wakeup_us = self.pump.wakeup_us()
        self.answered.clear()
        changed = asyncio.create_task(self.link.wait_change(self.link.state))
        answered = asyncio.create_task(self.answered.wait())
        wait_s = 0.2 if wakeup_us is None else max(0.0, (wakeup_us - self.now_us()) / 1_000_000)
        await asyncio.wait(
            {changed, answered}, timeout=min(wait_s, 0.2), return_when=asyncio.FIRST_COMPLETED
        )
        changed.cancel()
        answered.cancel()


async def backend(link: Uplink, key: SigningKey, stored: list[int], half: asyncio.Event) -> None:
    """Stores and commits each message, as the ingest does; what it cannot say now it says again."""
    async for received in link.messages():
        sequence = decode_header(received.payload).sequence
        stored.append(sequence)
        if len(stored) == 100:
            half.set()
        commit = Commit("backend", "gw1", 0, "readings", EPOCH, ranges_of([sequence]))
        try:
            await link.publish("smg/1/gw1/commit", sign_command(commit, key))
        except NoAnswer:
            continue


def test_a_broker_restart_in_mid_stream_loses_nothing_because_the_pump_repeats(
    opened: OpenRig,
) -> None:
    key = SigningKey.generate("k1")

    async def scenario() -> None:
        async with rig_of(opened) as rig:
            gateway = await rig.link("gw1", "smg/1/gw1/commit")
            reader = await rig.link("backend", "smg/1/+/readings/+/+")
            await up(reader, gateway)
            edge = Edge(
                gateway,
                VerifyingKeys({"k1": TrustedKey("backend", key.public_octets)}),
                messages=250,
            )
            stored: list[int] = []
            half = asyncio.Event()
            tasks = [
                asyncio.create_task(backend(reader, key, stored, half)),
                asyncio.create_task(edge.take_commits()),
            ]
            emptying = asyncio.create_task(edge.empty_outbox())
            await half.wait()
            rig.stop_broker()
            await state_when(gateway, lambda state: not state.up)
            rig.start_broker()
            await emptying
            assert set(stored) == set(range(1, 251))
            assert edge.pump.held == 0
            for task in tasks:
                task.cancel()

    run(scenario())
