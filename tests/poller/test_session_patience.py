"""How long a session waits: for silence, for a meter that drips, for what must be ready first."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import Get, Unsolicited
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.link import Role
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import NoAnswer, RemoteProtocolError
from gateway.model import Obis
from gateway.service.simulation import run_simulated
from gateway.session import Session, Timing
from gateway.transport.port import Transport

TIMING = Timing(answer_s=5, repeats=2, request_s=60)
REQUEST = Get(8, Obis.parse("0-0:1.0.0*255"), 2)
HEADER = bytes.fromhex("0001 0001 0010")
ANSWER = HEADER + bytes.fromhex("0005 c401c1 00 00")
NOTIFICATION = HEADER + bytes.fromhex("0007 0f 00000001 00 00")


class Meter(Transport):
    """A transport whose far end says one piece after the other, each after its pause."""

    def __init__(self, *pieces: tuple[float, bytes]) -> None:
        self.pieces = list(pieces)
        self.sent: list[bytes] = []

    async def connect(self) -> None: ...

    async def receive(self, timeout_s: float) -> bytes:
        pause_s, piece = self.pieces[0] if self.pieces else (timeout_s + 1, b"")
        if pause_s > timeout_s:
            await asyncio.sleep(timeout_s)
            raise NoAnswer(f"nothing received for {timeout_s:g} s")
        await asyncio.sleep(pause_s)
        del self.pieces[0]
        return piece

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def flush(self) -> int:
        return 0

    async def close(self) -> None: ...


def session_with(
    meter: Meter,
    *,
    keep_up: Callable[[], Awaitable[None] | None] | None = None,
    on_notification: Callable[[Unsolicited], None] | None = None,
) -> Session:
    link = WrapperLink(Role.CLIENT, client_wport=16, server_wport=1)
    settings = ClientSettings(pre_established=True, random_bytes=bytes)
    return Session(
        ClientConnection(link, settings),
        meter,
        TIMING,
        keep_up=keep_up,
        on_notification=on_notification,
    )


async def time_until_no_answer(session: Session, message: str) -> float:
    loop = asyncio.get_running_loop()
    await session.open()
    started = loop.time()
    with pytest.raises(NoAnswer, match=message):
        await session.request(REQUEST)
    return loop.time() - started


def test_a_silent_meter_is_left_after_the_answer_time() -> None:
    async def scene() -> float:
        return await time_until_no_answer(session_with(Meter()), "nothing received")

    assert run_simulated(scene()) == 5


@pytest.mark.parametrize("pause_s", [4.0, 3.7])
def test_a_meter_that_drips_octets_cannot_hold_its_wire(pause_s: float) -> None:
    long_answer = HEADER + bytes.fromhex("ffff")
    meter = Meter((pause_s, long_answer), *[(pause_s, b"x")] * 1000)

    async def scene() -> float:
        return await time_until_no_answer(session_with(meter), "no complete answer")

    assert run_simulated(scene()) == 60


def test_a_meter_that_only_notifies_cannot_hold_its_wire() -> None:
    heard: list[Unsolicited] = []
    meter = Meter(*[(4.0, NOTIFICATION)] * 1000)

    async def scene() -> float:
        session = session_with(meter, on_notification=heard.append)
        return await time_until_no_answer(session, "no complete answer")

    assert run_simulated(scene()) == 60
    assert len(heard) == 15


def test_an_answer_just_in_time_is_taken() -> None:
    octets = [ANSWER[i : i + 1] for i in range(len(ANSWER))]
    meter = Meter(*[(59.9 / len(octets), octet) for octet in octets])

    async def scene() -> bytes:
        session = session_with(meter)
        await session.open()
        return (await session.request(REQUEST)).data

    assert run_simulated(scene()) == b"\x00"


def test_what_must_be_ready_is_awaited_before_anything_is_sent() -> None:
    meter = Meter((1.0, ANSWER))
    order: list[str] = []

    async def scene() -> None:
        behind = True

        async def catch_up() -> None:
            nonlocal behind
            await asyncio.sleep(1)
            behind = False
            order.append(f"ready, {len(meter.sent)} sent")

        session = session_with(meter, keep_up=lambda: catch_up() if behind else None)
        await session.open()
        await session.request(REQUEST)

    run_simulated(scene())
    assert order == ["ready, 0 sent"]


def test_what_must_be_ready_is_awaited_between_the_blocks_of_an_answer_too() -> None:
    blocks = [
        HEADER + bytes.fromhex(f"000b c402c1 {last} {number} 00 01 {octet}")
        for last, number, octet in (("00", "00000001", "0a"), ("01", "00000002", "0b"))
    ]
    meter = Meter(*[(1.0, block) for block in blocks])
    order: list[str] = []

    async def scene() -> bytes:
        async def catch_up() -> None:
            order.append(f"{len(meter.sent)} sent, {len(meter.pieces)} to come")

        def keep_up() -> Awaitable[None] | None:
            return catch_up() if len(meter.pieces) == 1 and not order else None

        session = session_with(meter, keep_up=keep_up)
        await session.open()
        return (await session.request(REQUEST)).data

    assert run_simulated(scene()) == bytes.fromhex("0a0b")
    assert order == ["1 sent, 1 to come"]
    assert len(meter.sent) == 2


def test_a_refused_octet_within_the_callback_ends_the_request_with_its_error() -> None:
    async def scene() -> None:
        session = session_with(Meter((1.0, b"\x00\x02" + ANSWER[2:])))
        await session.open()
        with pytest.raises(RemoteProtocolError, match="wrapper version 2"):
            await session.request(REQUEST)
        await session.close()

    run_simulated(scene())


def test_what_never_gets_ready_ends_the_request() -> None:
    async def scene() -> float:
        stuck = False
        session = session_with(Meter(), keep_up=lambda: asyncio.sleep(9999) if stuck else None)
        loop = asyncio.get_running_loop()
        await session.open()
        stuck, started = True, loop.time()
        with pytest.raises(NoAnswer, match="not ready"):
            await session.request(REQUEST)
        return loop.time() - started

    assert run_simulated(scene()) == 60


def test_a_meter_that_drips_octets_cannot_hold_its_wire_at_goodbye_either() -> None:
    meter = Meter((1.0, HEADER + bytes.fromhex("ffff")), *[(1.0, b"x")] * 10_000)

    async def scene() -> float:
        session = session_with(meter)
        loop = asyncio.get_running_loop()
        await session.open()
        with pytest.raises(NoAnswer):
            await session.request(REQUEST)
        started = loop.time()
        await session.close()
        return loop.time() - started

    assert run_simulated(scene()) <= TIMING.request_s


def test_a_notification_before_the_answer_is_passed_on_and_the_answer_is_taken() -> None:
    heard: list[Unsolicited] = []
    meter = Meter((1.0, NOTIFICATION + ANSWER[:5]), (1.0, ANSWER[5:]))

    async def scene() -> bytes:
        session = session_with(meter, on_notification=heard.append)
        await session.open()
        return (await session.request(REQUEST)).data

    assert run_simulated(scene()) == b"\x00"
    assert len(heard) == 1
