"""One owner for each wire: order of jobs, what an error costs, when the wire is held."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from gateway.errors import (
    GatewayError,
    LinkLost,
    NoAnswer,
    PeerRefused,
    Preempted,
    SecurityError,
    StoreError,
)
from gateway.poller import Poller, Priority
from gateway.service.simulation import run_simulated
from gateway.transport.port import Transport

Job = Callable[[Transport], Awaitable[Any]]


class Wire(Transport):
    """A transport that tells its bench when it is opened and closed."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench

    async def connect(self) -> None:
        if self._bench.absent:
            raise LinkLost("the wire is not there")
        self._bench.events.append("connect")

    async def receive(self, timeout_s: float) -> bytes:
        raise NoAnswer("nothing")

    async def send(self, data: bytes) -> None: ...

    async def flush(self) -> int:
        return 0

    async def close(self) -> None:
        await asyncio.sleep(self._bench.close_s)
        self._bench.events.append("close")


class Bench:
    """A running poller and what happened on its wire."""

    def __init__(self, *, close_s: float = 0) -> None:
        self.events: list[str] = []
        self.absent = False
        self.close_s = close_s
        self.busy = 0
        self.poller = Poller("wire", lambda: Wire(self))

    def job(
        self, name: str, *, takes_s: float = 1, error: BaseException | None = None
    ) -> Callable[[Transport], Coroutine[Any, Any, str]]:
        async def run(transport: Transport) -> str:
            assert isinstance(transport, Wire)
            assert not self.busy, "two jobs at once"
            self.busy += 1
            self.events.append(name)
            await asyncio.sleep(takes_s)
            self.busy -= 1
            if error is not None:
                raise error
            return f"{name} done"

        return run

    def submit(
        self, name: str, priority: Priority = Priority.ROUTINE, **job: Any
    ) -> asyncio.Task[Any]:
        return asyncio.create_task(self.poller.submit(self.job(name, **job), priority))


def scene(act: Callable[[Bench], Awaitable[None]], **bench: Any) -> list[str]:
    """Play a scene with a running poller; what happened on the wire."""

    async def play() -> list[str]:
        set_up = Bench(**bench)
        running = asyncio.create_task(set_up.poller.run())
        await act(set_up)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return set_up.events

    return run_simulated(play())


def test_the_most_urgent_goes_first_and_equals_in_turn() -> None:
    async def act(bench: Bench) -> None:
        names = [
            ("routine 1", Priority.ROUTINE),
            ("block", Priority.BLOCK),
            ("routine 2", Priority.ROUTINE),
            ("relay", Priority.RELAY),
            ("asked 1", Priority.ON_DEMAND),
            ("daily", Priority.DAILY),
            ("asked 2", Priority.ON_DEMAND),
        ]
        tasks = [bench.submit(name, priority) for name, priority in names]
        assert await asyncio.gather(*tasks) == [f"{name} done" for name, _ in names]

    order = ["relay", "asked 1", "asked 2", "daily", "block", "routine 1", "routine 2"]
    assert scene(act)[:8] == ["connect", *order]


def test_an_urgent_job_waits_for_the_one_that_runs_and_for_no_other() -> None:
    async def act(bench: Bench) -> None:
        waiting = [bench.submit("first", takes_s=10), bench.submit("second")]
        await asyncio.sleep(5)
        await bench.submit("relay", Priority.RELAY)
        await asyncio.gather(*waiting)

    assert scene(act)[:4] == ["connect", "first", "relay", "second"]


def test_the_wire_is_kept_while_jobs_wait_and_let_go_when_idle() -> None:
    async def act(bench: Bench) -> None:
        await asyncio.gather(bench.submit("a"), bench.submit("b"))
        await asyncio.sleep(1)
        assert bench.events == ["connect", "a", "b", "close"]
        await bench.submit("c")

    assert scene(act) == ["connect", "a", "b", "close", "connect", "c", "close"]


def test_a_job_that_comes_while_the_wire_is_let_go_is_not_forgotten() -> None:
    async def act(bench: Bench) -> None:
        await bench.submit("a")
        await asyncio.sleep(0.5)
        assert bench.events == ["connect", "a"], "still closing"
        async with asyncio.timeout(100):
            await bench.submit("b")

    assert scene(act, close_s=1) == ["connect", "a", "close", "connect", "b"]


@pytest.mark.parametrize(
    ("error", "dropped"),
    [
        (PeerRefused("GET", "object-undefined"), False),
        (Preempted("a relay"), False),
        (NoAnswer("silence"), True),
        (LinkLost("gone"), True),
        (SecurityError("bad tag"), True),
        (StoreError("disk"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_reaches_who_asked_and_drops_the_wire_unless_it_is_a_refusal(
    error: GatewayError, dropped: bool
) -> None:
    async def act(bench: Bench) -> None:
        bad, good = bench.submit("bad", error=error), bench.submit("good")
        with pytest.raises(type(error)) as caught:
            await bad
        assert caught.value is error
        assert await good == "good done"

    between = ["close", "connect"] if dropped else []
    assert scene(act) == ["connect", "bad", *between, "good", "close"]


def test_a_wire_that_is_not_there_is_told_to_each_who_asks_and_tried_again() -> None:
    async def act(bench: Bench) -> None:
        bench.absent = True
        lost = await asyncio.gather(bench.submit("a"), bench.submit("b"), return_exceptions=True)
        assert [type(error) for error in lost] == [LinkLost, LinkLost]
        bench.absent = False
        await bench.submit("c")

    assert scene(act) == ["connect", "c", "close"]


def test_who_no_longer_waits_costs_the_wire_nothing() -> None:
    async def act(bench: Bench) -> None:
        first, second, third = bench.submit("a"), bench.submit("b"), bench.submit("c")
        await asyncio.sleep(0.5)
        second.cancel()
        await asyncio.gather(first, third)

    assert scene(act) == ["connect", "a", "c", "close"]


@pytest.mark.parametrize("error", [None, NoAnswer("silence")])
def test_a_job_whose_submitter_left_ends_and_the_next_one_runs(error: GatewayError | None) -> None:
    async def act(bench: Bench) -> None:
        left, after = bench.submit("left", error=error), bench.submit("after")
        await asyncio.sleep(0.5)
        left.cancel()
        assert await after == "after done"

    between = ["close", "connect"] if error else []
    assert scene(act) == ["connect", "left", *between, "after", "close"]


def test_a_stopped_poller_lets_go_of_the_wire_and_of_all_who_wait() -> None:
    async def play() -> list[str]:
        bench = Bench()
        running = asyncio.create_task(bench.poller.run())
        tasks = [bench.submit("a", takes_s=100), bench.submit("b"), bench.submit("c")]
        await asyncio.sleep(1)
        running.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(running, *tasks, return_exceptions=True)
        assert [task.cancelled() for task in (running, *tasks)] == [True] * 4
        return bench.events

    assert run_simulated(play()) == ["connect", "a", "close"]


@pytest.mark.parametrize("left", [False, True])
def test_a_bug_in_a_job_reaches_who_asked_and_who_runs_the_wire(left: bool) -> None:
    async def play() -> list[str]:
        bench = Bench()
        running = asyncio.create_task(bench.poller.run())
        bug, waiting = bench.submit("bug", error=ZeroDivisionError()), bench.submit("after")
        await asyncio.sleep(0.5)
        if left:
            bug.cancel()
        ended = await asyncio.gather(running, bug, waiting, return_exceptions=True)
        assert isinstance(ended[0], ZeroDivisionError)
        assert isinstance(ended[1], asyncio.CancelledError if left else ZeroDivisionError)
        assert isinstance(ended[2], asyncio.CancelledError)
        return bench.events

    assert run_simulated(play()) == ["connect", "bug", "close"]
