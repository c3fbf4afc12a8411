"""The contract of every transport: one suite, each implementation on a real wire of its kind."""

import asyncio
import os
import pty
import random
import ssl
import tempfile
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from gateway.errors import LinkLost, LocalProtocolError, NoAnswer
from gateway.transport import Transport, open_transport
from gateway.transport.called import CalledTransport, listener_context
from gateway.transport.inbox import turn_loop
from gateway.transport.loopback import LoopbackFaults, loopback_pair
from gateway.transport.serial import SerialTransport
from gateway.transport.tcp import TcpTransport
from gateway.url import CharacterFormat, SignOnUse, TransportKind, TransportUrl
from hil_tests.certificates import Authority

LONG_S = 5
SHORT_S = 0.02


class FarEnd(Protocol):
    """What the meter's side of a wire does in these tests."""

    async def read_exactly(self, count: int) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def vanish(self) -> None: ...
    async def accept_again(self) -> None: ...


Wire = AbstractAsyncContextManager[tuple[Transport, FarEnd]]
Body = Callable[[Transport, FarEnd], Awaitable[None]]
OnWire = Callable[[Body], None]


class TcpFarEnd:
    """A listener whose newest connection is the far end."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()
        self.reader: asyncio.StreamReader | None = None
        self.writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        await self.accepted.put(reader)

    async def connected(self) -> asyncio.StreamReader:
        if self.reader is None:
            self.reader = await self.accepted.get()
        return self.reader

    async def accept_again(self) -> None:
        self.reader = await self.accepted.get()

    async def read_exactly(self, count: int) -> bytes:
        return await (await self.connected()).readexactly(count)

    async def write(self, data: bytes) -> None:
        await self.connected()
        self.writers[-1].write(data)
        await self.writers[-1].drain()

    async def vanish(self) -> None:
        await self.connected()
        self.writers[-1].close()
        await self.writers[-1].wait_closed()


@asynccontextmanager
async def tcp_wire() -> AsyncIterator[tuple[Transport, FarEnd]]:
    far = TcpFarEnd()
    server = await asyncio.start_server(far.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = open_transport(TransportUrl(kind=TransportKind.TCP, host="127.0.0.1", port=port))
    try:
        yield transport, far
    finally:
        await far.connected()
        await transport.close()
        for writer in far.writers:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        server.close()
        await server.wait_closed()


class UdpFarEnd(asyncio.DatagramProtocol):
    """A socket that answers whoever sent the last datagram."""

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.woken = asyncio.Event()
        self.peer: Any = None
        self.net: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.net = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.peer = addr
        self.arrived += data
        self.woken.set()

    async def read_exactly(self, count: int) -> bytes:
        while len(self.arrived) < count:
            self.woken.clear()
            await self.woken.wait()
        data = bytes(self.arrived[:count])
        del self.arrived[:count]
        return data

    async def write(self, data: bytes) -> None:
        assert self.net is not None
        self.net.sendto(data, self.peer)

    async def accept_again(self) -> None:
        """Whoever sends next is answered."""

    async def vanish(self) -> None:
        assert self.net is not None
        self.net.close()
        await turn_loop()


@asynccontextmanager
async def udp_wire() -> AsyncIterator[tuple[Transport, FarEnd]]:
    far = UdpFarEnd()
    loop = asyncio.get_running_loop()
    net, _ = await loop.create_datagram_endpoint(lambda: far, local_addr=("127.0.0.1", 0))
    port = net.get_extra_info("sockname")[1]
    transport = open_transport(TransportUrl(kind=TransportKind.UDP, host="127.0.0.1", port=port))
    hello = transport.connect

    async def connect() -> None:
        # The far end of a datagram wire knows nobody before it was sent something.
        await hello()
        await transport.send(b"hello")
        await far.read_exactly(5)

    transport.connect = connect  # type: ignore[method-assign]
    try:
        yield transport, far
    finally:
        await transport.close()
        net.close()


class PtyFarEnd:
    """The master of a pseudo-terminal, read and written without blocking the loop."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.echoes = False
        self.buffer = bytearray()
        os.set_blocking(fd, False)

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        ready = asyncio.get_running_loop().create_future()
        add(self.fd, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            remove(self.fd)

    async def read_exactly(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        while len(self.buffer) < count:
            await self._ready(loop.add_reader, loop.remove_reader)
            octets = os.read(self.fd, 65536)
            self.buffer += octets
            if self.echoes:
                await self.write(octets)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            await self._ready(loop.add_writer, loop.remove_writer)
            data = data[os.write(self.fd, data) :]

    async def accept_again(self) -> None:
        """The line itself never went away."""

    async def vanish(self) -> None:
        os.close(self.fd)
        self.fd = -1


@asynccontextmanager
async def pty_wire() -> AsyncIterator[tuple[Transport, FarEnd]]:
    master, slave = pty.openpty()
    tty.setraw(master)
    far = PtyFarEnd(master)
    transport = open_transport(TransportUrl(kind=TransportKind.SERIAL, device=os.ttyname(slave)))
    try:
        yield transport, far
    finally:
        await transport.close()
        os.close(slave)
        if far.fd >= 0:
            os.close(far.fd)


def optical_wire(*, echoes: bool) -> Callable[[], Wire]:
    """An optical head, with which HDLC begins at once; its own echo is nobody's answer."""

    @asynccontextmanager
    async def wire() -> AsyncIterator[tuple[Transport, FarEnd]]:
        async with pty_wire() as (serial_line, far):
            assert isinstance(serial_line, SerialTransport)
            assert isinstance(far, PtyFarEnd)
            transport = open_transport(
                TransportUrl(
                    kind=TransportKind.OPTICAL,
                    device=serial_line.device,
                    sign_on=SignOnUse.NEVER,
                )
            )
            far.echoes = echoes
            opened = transport.connect

            async def connect() -> None:
                # The first answer, which never repeats the request, tells what the head is like.
                await opened()
                await transport.send(b"/?")
                assert await far.read_exactly(2) == b"/?"
                await far.write(b"!")
                assert await transport.receive(LONG_S) == b"!"

            transport.connect = connect  # type: ignore[method-assign]
            try:
                yield transport, far
            finally:
                await transport.close()

    return wire


class CallerFarEnd:
    """A meter that dialled in, and dials no second time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def read_exactly(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def vanish(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    async def accept_again(self) -> None:
        raise AssertionError("who was called cannot call back")


def called_wire(*, tls: bool) -> Callable[[], Wire]:
    @asynccontextmanager
    async def wire() -> AsyncIterator[tuple[Transport, FarEnd]]:
        loop = asyncio.get_running_loop()
        calls: asyncio.Queue[CalledTransport] = asyncio.Queue()

        class Queued(CalledTransport):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                calls.put_nowait(self)

        with tempfile.TemporaryDirectory() as folder:
            listening, calling = contexts(Path(folder)) if tls else (None, None)
            server = await loop.create_server(
                lambda: Queued("call from a meter", lambda _: None), "127.0.0.1", 0, ssl=listening
            )
            port = server.sockets[0].getsockname()[1]
            meter = await asyncio.open_connection("127.0.0.1", port, ssl=calling)
        far = CallerFarEnd(*meter)
        transport = await calls.get()
        try:
            yield transport, far
        finally:
            await transport.close()
            await far.vanish()
            server.close()

    return wire


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of the listener and of the meter, which trust one authority."""
    authority = Authority(folder)
    held = authority.issue("listener", server=True)
    assert held.certificate_file is not None
    assert held.key_file is not None
    listening = listener_context(held.certificate_file, held.key_file)
    return listening, ssl.create_default_context(cafile=str(authority.ca_file))


class LoopbackFarEnd:
    def __init__(self, end: Transport) -> None:
        self.end = end
        self.buffer = b""

    async def read_exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.buffer += await self.end.receive(LONG_S)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    async def write(self, data: bytes) -> None:
        await self.end.send(data)

    async def accept_again(self) -> None:
        with pytest.raises(LinkLost):
            await self.end.receive(LONG_S)
        await self.end.connect()

    async def vanish(self) -> None:
        await self.end.close()


def loopback_wire(faults: LoopbackFaults) -> Callable[[], Wire]:
    @asynccontextmanager
    async def wire() -> AsyncIterator[tuple[Transport, FarEnd]]:
        near, far = loopback_pair(faults, random_below=random.Random(7).randrange)
        await far.connect()
        yield near, LoopbackFarEnd(far)
        await near.close()
        await far.close()

    return wire


STREAMS: dict[str, Callable[[], Wire]] = {
    "tcp": tcp_wire,
    "serial on a pty": pty_wire,
    "optical head": optical_wire(echoes=False),
    "optical head that echoes": optical_wire(echoes=True),
    "loopback": loopback_wire(LoopbackFaults()),
    "slow ragged loopback": loopback_wire(LoopbackFaults(delay_s=0.001, split=True)),
}
CALLED = {"call": called_wire(tls=False), "call over TLS": called_wire(tls=True)}
"""Only the far end opens them."""
REOPENED = {**STREAMS, "udp": udp_wire}
STREAMS |= CALLED
WIRES = {**REOPENED, **CALLED}


def running_on(wire: Callable[[], Wire]) -> OnWire:
    """Run a test body with a connected transport and its far end."""

    def run(body: Body) -> None:
        async def scene() -> None:
            async with wire() as (transport, far), asyncio.timeout(30):
                await transport.connect()
                await body(transport, far)

        asyncio.run(scene())

    return run


@pytest.fixture(params=list(WIRES.values()), ids=list(WIRES))
def on_wire(request: pytest.FixtureRequest) -> OnWire:
    """On every wire."""
    return running_on(request.param)


@pytest.fixture(params=list(REOPENED.values()), ids=list(REOPENED))
def on_own_wire(request: pytest.FixtureRequest) -> OnWire:
    """On every wire that this side opens."""
    return running_on(request.param)


@pytest.fixture(params=list(STREAMS.values()), ids=list(STREAMS))
def on_stream(request: pytest.FixtureRequest) -> OnWire:
    """On every wire that keeps its octets in order and together, and knows when the peer left."""
    return running_on(request.param)


async def receive_exactly(transport: Transport, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await transport.receive(LONG_S)
    return data


EVERY_OCTET = bytes(range(256))


def test_every_octet_passes_both_ways_in_order(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        await transport.send(EVERY_OCTET)
        assert await far.read_exactly(256) == EVERY_OCTET
        await far.write(EVERY_OCTET)
        assert await receive_exactly(transport, 256) == EVERY_OCTET

    on_wire(body)


def test_octets_are_handed_out_as_soon_as_they_are_there(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        waiting = asyncio.ensure_future(transport.receive(LONG_S))
        await far.write(b"\x7e")
        assert await waiting == b"\x7e"

    on_wire(body)


def test_silence_is_no_answer_and_the_transport_stays_usable(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        with pytest.raises(NoAnswer) as caught:
            await transport.receive(SHORT_S)
        assert not isinstance(caught.value, LinkLost)
        await far.write(b"late")
        assert await receive_exactly(transport, 4) == b"late"

    on_wire(body)


def test_what_came_before_the_end_is_handed_out_first(on_stream: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        await far.write(b"last words")
        assert await receive_exactly(transport, 10) == b"last words"
        await far.vanish()
        with pytest.raises(LinkLost):
            await transport.receive(LONG_S)
        with pytest.raises(LinkLost):
            await transport.receive(LONG_S)

    on_stream(body)


def test_a_peer_that_leaves_ends_the_wait(on_stream: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        await transport.send(b"?")
        await far.read_exactly(1)
        waiting = asyncio.ensure_future(transport.receive(LONG_S))
        await far.vanish()
        with pytest.raises(LinkLost):
            await waiting
        with pytest.raises(LinkLost):
            await transport.send(b"anybody there")

    on_stream(body)


def test_a_write_larger_than_every_buffer_arrives_whole(on_stream: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        data = random.Random(3).randbytes(300_000)
        received, _ = await asyncio.gather(far.read_exactly(len(data)), transport.send(data))
        assert received == data

    on_stream(body)


def test_a_flood_that_nobody_reads_arrives_whole_in_the_end(on_stream: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        data = random.Random(4).randbytes(3_000_000)
        writing = asyncio.ensure_future(far.write(data))
        assert await receive_exactly(transport, len(data)) == data
        await writing

    on_stream(body)


def test_a_cancelled_receive_loses_nothing(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        waiting = asyncio.ensure_future(transport.receive(LONG_S))
        await turn_loop()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await far.write(b"after")
        assert await receive_exactly(transport, 5) == b"after"

    on_wire(body)


def test_a_cancelled_send_goes_out_whole_and_the_next_one_follows(on_stream: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        data = random.Random(5).randbytes(8_000_000)
        sending = asyncio.ensure_future(transport.send(data))
        await turn_loop()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        following = asyncio.ensure_future(transport.send(b"next"))
        assert await far.read_exactly(len(data)) == data
        assert await far.read_exactly(4) == b"next"
        await following

    on_stream(body)


def test_flush_forgets_stale_octets(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        await far.write(b"stale")
        first = await transport.receive(LONG_S)
        await far.write(b" frame")
        # The rest may still be on its way: it is stale until the wire is quiet.
        count = len(first) + await transport.flush()
        while count < len(b"stale frame"):
            count += len(await transport.receive(LONG_S))
        assert await transport.flush() == 0
        await transport.send(b"request")
        assert await far.read_exactly(7) == b"request"
        await far.write(b"answer")
        assert await receive_exactly(transport, 6) == b"answer"

    on_wire(body)


def test_a_closed_transport_says_so_and_closing_twice_is_fine(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        await transport.close()
        await transport.close()
        with pytest.raises(LinkLost):
            await transport.receive(SHORT_S)
        with pytest.raises(LinkLost):
            await transport.send(b"x")

    on_wire(body)


def test_closing_ends_a_receive_that_waits(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        waiting = asyncio.ensure_future(transport.receive(LONG_S))
        await turn_loop()
        await transport.close()
        with pytest.raises(LinkLost):
            await waiting

    on_wire(body)


def test_a_transport_connects_again_after_it_was_closed(on_own_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        await transport.send(b"one")
        assert await far.read_exactly(3) == b"one"
        await transport.close()
        await transport.connect()
        await far.accept_again()
        await transport.send(b"two")
        assert await far.read_exactly(3) == b"two"
        await far.write(b"three")
        assert await receive_exactly(transport, 5) == b"three"

    on_own_wire(body)


def test_only_a_transport_that_this_side_opens_can_be_left_and_opened_again() -> None:
    async def rests(transport: Transport, far: FarEnd) -> None:
        await transport.rest()
        await transport.connect()
        await transport.send(b"kept")
        assert await far.read_exactly(4) == b"kept"
        await transport.close()
        with pytest.raises(LinkLost):
            await transport.connect()

    for wire in CALLED.values():
        running_on(wire)(rests)


def test_two_tasks_cannot_receive_at_once(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        waiting = asyncio.ensure_future(transport.receive(LONG_S))
        await turn_loop()
        with pytest.raises(LocalProtocolError):
            await transport.receive(SHORT_S)
        await far.write(b"!")
        assert await waiting == b"!"

    on_wire(body)


def test_a_transport_that_was_never_connected_says_so() -> None:
    async def scene() -> None:
        for transport in (
            TcpTransport("127.0.0.1", 9),
            SerialTransport("/dev/null-port", characters=CharacterFormat.EIGHT_NONE_ONE),
            loopback_pair()[0],
        ):
            with pytest.raises(LinkLost):
                await transport.receive(SHORT_S)
            with pytest.raises(LinkLost):
                await transport.send(b"x")
            assert await transport.flush() == 0

    asyncio.run(scene())
