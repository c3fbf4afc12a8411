"""What single transports promise beyond the contract."""

import asyncio
import os
import pty
import random
import socket
import tty
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import LinkLost, NoAnswer, UsageError
from gateway.transport import serial as serial_module
from gateway.transport.inbox import turn_loop
from gateway.transport.loopback import PER_MILLION, LoopbackFaults, loopback_pair
from gateway.transport.serial import SerialTransport, from_seven_even, to_seven_even
from gateway.transport.tcp import TcpTransport
from gateway.url import CharacterFormat


def test_seven_even_makes_the_octets_of_the_line() -> None:
    # "/?!\r\n", the sign-on of IEC 62056-21, as a logic analyser shows it on a 7E1 line.
    assert to_seven_even(b"/?!\r\n") == bytes.fromhex("AF 3F 21 8D 0A")


@given(st.binary().map(lambda data: bytes(octet & 0x7F for octet in data)))
@settings(max_examples=50)
def test_seven_even_there_and_back(data: bytes) -> None:
    assert from_seven_even(to_seven_even(data)) == data


@pytest.mark.parametrize("bit", range(8))
def test_one_wrong_bit_in_a_seven_even_character_drops_it(bit: int) -> None:
    sent = bytearray(to_seven_even(b"abc"))
    sent[1] ^= 1 << bit
    assert from_seven_even(bytes(sent)) == b"ac"


def test_a_seven_even_line_talks_through_a_pty() -> None:
    async def scene() -> None:
        master, slave = pty.openpty()
        tty.setraw(master)
        port = SerialTransport(
            os.ttyname(slave), baud=300, characters=CharacterFormat.SEVEN_EVEN_ONE
        )
        await port.connect()
        await port.send(b"/?!\r\n")
        assert os.read(master, 99) == to_seven_even(b"/?!\r\n")
        os.write(master, to_seven_even(b"/KFM5\r\n"))
        received = b""
        while len(received) < 7:
            received += await port.receive(5)
        assert received == b"/KFM5\r\n"
        await port.close()
        os.close(master)
        os.close(slave)

    asyncio.run(scene())


def test_silence_on_a_slow_line_begins_when_what_was_sent_is_through() -> None:
    async def scene() -> float:
        master, slave = pty.openpty()
        tty.setraw(master)
        port = SerialTransport(os.ttyname(slave), baud=1200)
        await port.connect()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await port.send(bytes(36))
        with pytest.raises(NoAnswer):
            await port.receive(0.05)
        await port.close()
        os.close(master)
        os.close(slave)
        return loop.time() - begun

    assert 0.35 <= asyncio.run(scene()) < 2


def test_a_missing_device_names_the_adapters_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usb-FTDI_FT232R_A9-if00-port0").touch()
    monkeypatch.setattr(serial_module, "BY_ID", tmp_path)
    with pytest.raises(LinkLost, match=r"adapters present now: .*usb-FTDI_FT232R_A9"):
        asyncio.run(SerialTransport("/dev/ttyUSB-none").connect())


def test_a_missing_device_without_any_adapter_is_still_a_plain_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_module, "BY_ID", tmp_path / "none")
    with pytest.raises(LinkLost, match="No such file"):
        asyncio.run(SerialTransport("/dev/ttyUSB-none").connect())


def test_a_file_that_is_no_terminal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LinkLost):
        asyncio.run(SerialTransport(str(tmp_path / "file")).connect())


def test_a_device_held_by_another_owner_is_refused() -> None:
    async def scene() -> None:
        master, slave = pty.openpty()
        first, second = (SerialTransport(os.ttyname(slave)) for _ in range(2))
        await first.connect()
        with pytest.raises(LinkLost, match="held by another program"):
            await second.connect()
        await first.close()
        await second.connect()
        await second.close()
        os.close(master)
        os.close(slave)

    asyncio.run(scene())


def test_a_device_that_vanished_is_closed_at_once() -> None:
    """The kernel can give the name back to the adapter only when nobody holds it."""

    async def scene() -> None:
        master, slave = pty.openpty()
        port = SerialTransport(os.ttyname(slave))
        os.close(slave)
        await port.connect()
        assert port._port is not None
        held = port._port.fileno()
        os.close(master)
        with pytest.raises(LinkLost, match="vanished"):
            await port.receive(5)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(held)

    asyncio.run(scene())


def found_dead_after_s(sock: socket.socket) -> int:
    """How long the kernel bears a peer that answers nothing."""
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle_s, every_s, probes = (
        sock.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    unacknowledged_s = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) // 1000
    assert unacknowledged_s > 0
    return max(idle_s + every_s * probes, unacknowledged_s)


def test_a_half_open_connection_is_found_out_within_minutes() -> None:
    async def scene() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            port = TcpTransport(*listener.getsockname())
            await port.connect()
            assert port._socket is not None
            found_s = found_dead_after_s(port._socket)
            await port.close()
            return found_s

    assert asyncio.run(scene()) <= 180


def test_a_refused_connection_is_a_lost_link_that_says_where() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(LinkLost, match=f"tcp 127.0.0.1:{port}"):
            asyncio.run(TcpTransport("127.0.0.1", port).connect())


def test_a_host_that_does_not_accept_is_no_answer() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        fillers = []
        # A queue that is full drops further SYNs: the silence of a black hole, on loopback.
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((host, port))
            fillers.append(filler)
        try:
            with pytest.raises(NoAnswer, match="no connection within"):
                asyncio.run(TcpTransport(host, port, connect_timeout_s=0.05).connect())
        finally:
            for filler in fillers:
                filler.close()


def test_closing_on_a_peer_that_never_reads_does_not_wait() -> None:
    async def scene() -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(1)
            port = TcpTransport(*deaf.getsockname())
            await port.connect()
            sending = asyncio.ensure_future(port.send(bytes(20_000_000)))
            await turn_loop()
            async with asyncio.timeout(5):
                await port.close()
                with pytest.raises(LinkLost):
                    await sending

    asyncio.run(scene())


def test_a_lossy_wire_drops_octets_by_its_seed_alone() -> None:
    async def scene(seed: int) -> bytes:
        near, far = loopback_pair(
            LoopbackFaults(drop_per_million=PER_MILLION // 2),
            random_below=random.Random(seed).randrange,
        )
        await near.connect()
        await far.connect()
        await near.send(bytes(range(256)))
        return await far.receive(5)

    first, again, other = (asyncio.run(scene(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert 64 < len(first) < 192
    assert list(first) == sorted(first)


def test_random_faults_without_randomness_are_refused() -> None:
    with pytest.raises(UsageError):
        loopback_pair(LoopbackFaults(split=True))
    with pytest.raises(UsageError):
        LoopbackFaults(delay_s=-1)


def test_flush_drops_what_only_the_kernel_has_seen() -> None:
    async def scene() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            port = TcpTransport(*listener.getsockname())
            await port.connect()
            meter, _ = listener.accept()
            meter.send(b"stale")
            assert await port.flush() == 5
            await port.close()
            meter.close()

    asyncio.run(scene())


def test_who_closed_first_is_what_is_told() -> None:
    async def scene() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            port = TcpTransport(*listener.getsockname())
            await port.connect()
            await port.close()
            with pytest.raises(LinkLost, match="closed by this side"):
                await port.receive(5)
            await port.connect()
            for _ in range(2):
                meter, _ = listener.accept()
                meter.close()
            with pytest.raises(LinkLost, match="closed by the peer"):
                await port.receive(5)
            await port.close()

    asyncio.run(scene())
