"""``Transport.converse``: one suite for the way through callbacks and the way through a task."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import LinkLost, NoAnswer
from gateway.transport import Transport
from gateway.transport.inbox import Inbox
from tests.transport.test_transport_contract import (
    LONG_S,
    SHORT_S,
    FarEnd,
    OnWire,
    on_stream,
    on_wire,
    receive_exactly,
)

__all__ = ["on_stream", "on_wire"]


class Heard:
    """A reaction that answers each octet by its successor until it has heard ``count``."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.data = b""

    def __call__(self, data: bytes) -> bytes | None:
        self.data += data
        return None if len(self.data) >= self.count else bytes(octet + 1 for octet in data)


def test_each_piece_is_answered_until_enough_was_heard(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        heard = Heard(4)
        conversation = asyncio.ensure_future(transport.converse(heard, LONG_S))
        for octet in (10, 20, 30):
            await far.write(bytes([octet]))
            assert await far.read_exactly(1) == bytes([octet + 1])
        await far.write(bytes([40]))
        await conversation
        assert heard.data == bytes([10, 20, 30, 40])

    on_wire(body)


def test_nothing_is_sent_for_an_empty_answer(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        pieces: list[bytes] = []

        def react(data: bytes) -> bytes | None:
            pieces.append(data)
            return b"" if len(b"".join(pieces)) < 6 else None

        conversation = asyncio.ensure_future(transport.converse(react, LONG_S))
        await far.write(b"one")
        await far.write(b"two")
        await conversation
        await transport.send(b"first")
        assert await far.read_exactly(5) == b"first"

    on_wire(body)


def test_what_came_before_is_heard_and_what_comes_after_is_kept(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        await far.write(b"a")
        first = Heard(1)
        await transport.converse(first, LONG_S)
        assert first.data == b"a"
        await far.write(b"b")
        assert await receive_exactly(transport, 1) == b"b"
        second = Heard(2)
        conversation = asyncio.ensure_future(transport.converse(second, LONG_S))
        await far.write(b"c")
        assert await far.read_exactly(1) == b"d"
        await far.write(b"d")
        await conversation
        assert second.data == b"cd"

    on_wire(body)


def test_silence_ends_a_conversation_and_the_transport_stays_usable(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        with pytest.raises(NoAnswer) as caught:
            await transport.converse(Heard(1), SHORT_S)
        assert not isinstance(caught.value, LinkLost)
        conversation = asyncio.ensure_future(transport.converse(Heard(9), 10 * SHORT_S))
        await far.write(b"a")
        assert await far.read_exactly(1) == b"b"
        with pytest.raises(NoAnswer):
            await conversation
        await far.write(b"late")
        assert await receive_exactly(transport, 4) == b"late"

    on_wire(body)


def test_a_peer_that_leaves_ends_a_conversation(on_stream: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        conversation = asyncio.ensure_future(transport.converse(Heard(9), LONG_S))
        await far.write(b"a")
        assert await far.read_exactly(1) == b"b"
        await far.vanish()
        with pytest.raises(LinkLost):
            await conversation
        with pytest.raises(LinkLost):
            await transport.converse(Heard(9), LONG_S)

    on_stream(body)


def test_a_cancelled_conversation_loses_nothing(on_wire: OnWire) -> None:
    async def body(transport: Transport, far: FarEnd) -> None:
        heard = Heard(9)
        conversation = asyncio.ensure_future(transport.converse(heard, LONG_S))
        await far.write(b"a")
        assert await far.read_exactly(1) == b"b"
        conversation.cancel()
        with pytest.raises(asyncio.CancelledError):
            await conversation
        await far.write(b"after")
        assert await receive_exactly(transport, 5) == b"after"
        assert heard.data == b"a"

    on_wire(body)


def heard_by(inbox: Inbox, hear: Callable[[bytes], bool], *pieces: tuple[float, bytes]) -> float:
    """Seconds until ``listen`` ends, pieces coming at their times and silence being 50 ms."""

    async def scene() -> float:
        inbox.open()
        loop = asyncio.get_running_loop()
        started = loop.time()
        for at_s, piece in pieces:
            loop.call_later(at_s, inbox.feed, piece)
        try:
            await inbox.listen(hear, 0.05)
        finally:
            inbox.lose("the end")
        return loop.time() - started

    return asyncio.run(scene())


def test_silence_is_counted_from_the_last_piece() -> None:
    pieces: list[bytes] = []

    def hear(data: bytes) -> bool:
        pieces.append(data)
        return data == b"end"

    times = [(0.03 * number, b"x") for number in range(1, 4)]
    assert heard_by(Inbox("wire"), hear, *times, (0.12, b"end")) >= 0.12
    assert pieces == [b"x", b"x", b"x", b"end"]
    with pytest.raises(NoAnswer):
        heard_by(Inbox("wire"), hear, (0.03, b"x"), (0.5, b"end"))


def test_octets_that_come_when_enough_was_heard_wait_for_the_next() -> None:
    inbox = Inbox("wire")

    async def scene() -> bytes:
        inbox.open()
        loop = asyncio.get_running_loop()
        loop.call_soon(inbox.feed, b"one")
        loop.call_soon(inbox.feed, b"two")
        await inbox.listen(lambda _: True, LONG_S)
        return await inbox.take(LONG_S)

    assert asyncio.run(scene()) == b"two"


def test_a_reaction_that_fails_is_told_to_the_loop_and_to_the_task_that_waits() -> None:
    inbox = Inbox("wire")
    told: list[dict[str, Any]] = []

    def fail(data: bytes) -> bool:
        raise ZeroDivisionError

    async def scene() -> None:
        inbox.open()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        loop.call_soon(inbox.feed, b"one")
        with pytest.raises(ZeroDivisionError):
            await inbox.listen(fail, LONG_S)

    asyncio.run(scene())
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
