"""The task that keeps a connection up: nothing ends it silently."""

import asyncio

import pytest

from gateway.errors import UsageError
from gateway.model import Secret
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.port import Presence, PresenceMaker
from gateway.uplink.settings import MqttSettings
from tests.uplink.rigs import run, state_when

NOT_UTF8 = b"p\xe4ss\xff"


def link_to(port: int, *, presence: PresenceMaker = Presence) -> MqttUplink:
    settings = MqttSettings(
        host="127.0.0.1",
        port=port,
        client_id="gw1",
        tls=None,
        username="user",
        password=Secret(NOT_UTF8),
        backoff_first_s=0.01,
        backoff_max_s=0.02,
    )
    return MqttUplink(settings, jitter=lambda: 0.5, presence=presence)


def test_a_password_of_any_octets_reaches_the_broker_as_it_is() -> None:
    async def scenario() -> None:
        said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            packet = await reader.read(1024)
            if not said.done():
                said.set_result(packet)
            writer.close()

        server = await asyncio.start_server(broker, "127.0.0.1", 0)
        link = link_to(server.sockets[0].getsockname()[1])
        await link.connect()
        connect = await said
        assert connect[0] == 0x10
        assert connect.endswith(len(NOT_UTF8).to_bytes(2, "big") + NOT_UTF8)
        await link.close()
        server.close()
        await server.wait_closed()

    run(scenario())


def test_a_presence_that_cannot_be_said_is_told_as_the_state_and_tried_again() -> None:
    attempts = []

    def presence() -> Presence:
        attempts.append(1)
        raise UsageError("a birth that cannot be")

    async def scenario() -> None:
        link = link_to(1, presence=presence)
        await link.connect()
        state = await state_when(link, lambda _: len(attempts) > 1)
        assert "a birth that cannot be" in str(state.error)
        await link.close()

    run(scenario())


def test_a_bug_that_ends_the_keeper_reaches_whoever_reads_messages() -> None:
    def presence() -> Presence:
        raise ZeroDivisionError("a bug")

    async def scenario() -> None:
        link = link_to(1, presence=presence)
        await link.connect()
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await anext(link.messages())
        await link.close()
        assert not link.state.up

    run(scenario())


def test_messages_end_without_a_word_when_the_link_is_closed() -> None:
    async def scenario() -> None:
        link = link_to(1)
        await link.connect()
        reading = asyncio.create_task(anext(link.messages(), None))
        await asyncio.sleep(0)
        await link.close()
        assert await reading is None

    run(scenario())
