"""What datagrams promise beyond the contract: boundaries, strangers, ports nobody listens on."""

import asyncio
import socket

import pytest

from gateway.errors import LinkLost, LocalProtocolError
from gateway.transport.inbox import DatagramInbox
from gateway.transport.udp import UdpTransport
from tests.transport.test_transport_contract import LONG_S


def test_each_datagram_is_handed_out_by_itself() -> None:
    async def scene() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as meter:
            meter.bind(("127.0.0.1", 0))
            port = UdpTransport(*meter.getsockname())
            await port.connect()
            await port.send(b"?")
            _, reader = meter.recvfrom(10)
            for answer in (b"one", b"two", b"three"):
                meter.sendto(answer, reader)
            heard: list[bytes] = [await port.receive(LONG_S)]

            def react(data: bytes) -> bytes | None:
                heard.append(data)
                return None if data == b"three" else b""

            await port.converse(react, LONG_S)
            assert heard == [b"one", b"two", b"three"]
            await port.close()

    asyncio.run(scene())


def test_a_datagram_from_another_peer_is_passed_over_and_counted() -> None:
    async def scene() -> None:
        with (
            socket.socket(type=socket.SOCK_DGRAM) as meter,
            socket.socket(type=socket.SOCK_DGRAM) as stranger,
        ):
            meter.bind(("127.0.0.1", 0))
            stranger.bind(("127.0.0.1", 0))
            port = UdpTransport(*meter.getsockname())
            await port.connect()
            await port.send(b"?")
            _, reader = meter.recvfrom(10)
            stranger.sendto(b"forged", reader)
            meter.sendto(b"true", reader)
            assert await port.receive(LONG_S) == b"true"
            assert port.foreign_datagrams == 1
            await port.close()

    asyncio.run(scene())


def test_a_port_that_nobody_listens_on_is_told_at_once() -> None:
    async def scene() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            name = unused.getsockname()
        port = UdpTransport(*name)
        await port.connect()
        await port.send(b"?")
        async with asyncio.timeout(5):
            with pytest.raises(LinkLost, match="refused"):
                await port.receive(60)

    asyncio.run(scene())


def test_what_does_not_fit_into_a_datagram_is_said_by_us() -> None:
    async def scene() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as meter:
            meter.bind(("127.0.0.1", 0))
            port = UdpTransport(*meter.getsockname())
            await port.connect()
            with pytest.raises(LocalProtocolError, match="70000 octets do not fit"):
                await port.send(bytes(70_000))
            await port.close()

    asyncio.run(scene())


def test_a_host_without_address_is_a_lost_link() -> None:
    with pytest.raises(LinkLost, match=r"udp no-such-host\.invalid:4059"):
        asyncio.run(UdpTransport("no-such-host.invalid", 4059).connect())


def test_a_flood_is_held_up_to_a_bound_and_the_rest_is_counted() -> None:
    inbox = DatagramInbox("wire", 10)
    inbox.open()
    for datagram in (b"1234", b"5678", b"9012", b"34"):
        inbox.feed(datagram)
    assert (len(inbox), inbox.dropped) == (10, 1)
    assert inbox.flush() == 10
    assert len(inbox) == 0
