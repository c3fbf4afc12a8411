"""The one timer of an inbox: it outlives many waits, and every silence still ends in time."""

import asyncio

import pytest

from gateway.errors import NoAnswer
from gateway.transport.inbox import Inbox


def opened() -> Inbox:
    inbox = Inbox("wire")
    inbox.open()
    return inbox


async def silence_s(inbox: Inbox, timeout_s: float) -> float:
    """How long the inbox waited before it said that nothing came."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(NoAnswer):
        await inbox.take(timeout_s)
    return loop.time() - started


async def answered(inbox: Inbox, timeout_s: float) -> None:
    asyncio.get_running_loop().call_soon(inbox.feed, b"answer")
    assert await inbox.take(timeout_s) == b"answer"


@pytest.mark.parametrize("earlier_s", [0.01, 5.0])
def test_a_silence_is_timed_from_its_own_start_whatever_was_waited_for_before(
    earlier_s: float,
) -> None:
    async def scene() -> None:
        inbox = opened()
        await answered(inbox, earlier_s)
        await asyncio.sleep(0.02)  # an earlier timer of 10 ms has run out, for nobody
        assert 0.05 <= await silence_s(inbox, 0.05) < 2
        inbox.lose("the end")

    asyncio.run(scene())


def test_an_earlier_timer_does_not_cut_a_later_wait_short() -> None:
    async def scene() -> None:
        inbox = opened()
        await answered(inbox, 0.03)
        assert 0.1 <= await silence_s(inbox, 0.1) < 2
        inbox.lose("the end")

    asyncio.run(scene())


def test_many_answers_leave_one_timer_and_a_lost_wire_none() -> None:
    async def scene() -> None:
        inbox = opened()
        timers = set()
        for _ in range(100):
            await answered(inbox, 5)
            timers.add(inbox._timer)
        assert len(timers) == 1
        assert None not in timers
        inbox.lose("the end")
        assert inbox._timer is None

    asyncio.run(scene())


def test_an_inbox_serves_one_loop_after_the_other() -> None:
    inbox = opened()
    asyncio.run(answered(inbox, 5))
    inbox.open()
    assert asyncio.run(silence_s(inbox, 0.02)) < 2
