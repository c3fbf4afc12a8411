"""Where meters call in: real sockets on loopback, bounded connections and idle time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.errors import ConfigError
from gateway.transport.listener import PushPort, TcpPushPort, UdpPushPort

HOST = "127.0.0.1"


class Heard:
    """Takes everything until it is told otherwise."""

    def __init__(self) -> None:
        self.octets: list[tuple[str, bytes]] = []
        self.wanted = True
        self.admitting = True
        self.changed = asyncio.Event()

    def admit(self, sender: str) -> Callable[[bytes], bool] | None:
        def hear(data: bytes) -> bool:
            self.octets.append((sender, data))
            self.changed.set()
            return self.wanted

        return hear if self.admitting else None

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.octets) < count:
                self.changed.clear()
                await self.changed.wait()


def running(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    return run


@asynccontextmanager
async def calling(
    port: TcpPushPort,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, port.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def gone(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(5):
        try:
            return await reader.read(1) == b""
        except ConnectionError:
            return True


@running
async def test_octets_of_a_connection_come_with_their_sender() -> None:
    port, heard = TcpPushPort(HOST, 0, max_connections=3), Heard()
    await port.open(heard.admit)
    async with calling(port) as (_, writer):
        writer.write(b"abc")
        await heard.until(1)
    assert heard.octets == [(HOST, b"abc")]
    await port.close()
    await port.close()


@running
async def test_a_connection_that_nobody_wants_more_of_is_dropped() -> None:
    port, heard = TcpPushPort(HOST, 0, max_connections=3), Heard()
    await port.open(heard.admit)
    heard.wanted = False
    async with calling(port) as (reader, writer):
        writer.write(b"abc")
        assert await gone(reader)
    heard.admitting = False
    async with calling(port) as (reader, _):
        assert await gone(reader)
    await port.close()


@running
async def test_connections_are_bounded_and_room_comes_back() -> None:
    port, heard = TcpPushPort(HOST, 0, max_connections=1), Heard()
    await port.open(heard.admit)
    async with calling(port) as (_, writer):
        writer.write(b"1")
        await heard.until(1)
        async with calling(port) as (reader, _):
            assert await gone(reader)
        assert port.turned_away == 1
    for _ in range(50):
        await asyncio.sleep(0)
    assert not port._open
    async with calling(port) as (_, writer):
        writer.write(b"2")
        await heard.until(2)
    await port.close()


@running
async def test_a_silent_connection_is_dropped_and_closing_drops_all() -> None:
    heard = Heard()
    port = TcpPushPort(HOST, 0, max_connections=5, idle_s=0.05)
    await port.open(heard.admit)
    async with calling(port) as (reader, _):
        assert await gone(reader)
    await port.close()
    port = TcpPushPort(HOST, 0, max_connections=5)
    await port.open(heard.admit)
    async with calling(port) as (reader, writer):
        writer.write(b"x")
        await heard.until(1)
        await port.close()
        assert await gone(reader)


@running
async def test_each_datagram_comes_whole_with_its_sender() -> None:
    port, heard = UdpPushPort(HOST, 0), Heard()
    await port.open(heard.admit)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b"one", b"two"):
            sender.sendto(data, (HOST, port.port))
    await heard.until(2)
    assert heard.octets == [(HOST, b"one"), (HOST, b"two")]
    await port.close()
    await port.close()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_port_that_is_taken_is_an_error_of_the_site_file(kind: str) -> None:
    async def test() -> None:
        def make(number: int) -> PushPort:
            if kind == "tcp":
                return TcpPushPort(HOST, number, max_connections=1)
            return UdpPushPort(HOST, number)

        first = make(0)
        await first.open(lambda _: None)
        with pytest.raises(ConfigError, match=f"push.{kind}"):
            await make(first.port).open(lambda _: None)  # type: ignore[attr-defined]
        await first.close()

    asyncio.run(test())
