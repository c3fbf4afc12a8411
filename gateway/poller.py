"""One owner per wire: a queue of jobs by priority over one transport, whatever the jobs are."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar

from gateway.errors import GatewayError, NoAnswer, PeerRefused, Preempted, WireGone
from gateway.transport.port import Transport

T = TypeVar("T")


class Priority(IntEnum):
    """Order of jobs on a wire; lower goes first."""

    RELAY = 0
    ON_DEMAND = 10
    DAILY = 20
    BLOCK = 30
    ROUTINE = 40


@dataclass(order=True, slots=True)
class _Queued(Generic[T]):
    priority: Priority
    number: int
    job: Callable[[Transport], Any] = field(compare=False)
    done: asyncio.Future[Any] = field(compare=False)


class Poller:
    """The one owner of a wire: runs the submitted jobs one at a time, the most urgent first.

    A job that waits at RELAY is ``urgent``: sessions below that ask for it before they speak, and
    make room.
    The transport is connected for the first job and kept while jobs wait; after an error the next
    job connects afresh. ``gap_s`` seconds of silence are kept between two jobs.
    """

    def __init__(
        self, name: str, open_transport: Callable[[], Transport], *, gap_s: float = 0
    ) -> None:
        self.name = name
        self.absence: NoAnswer | None = None
        """Why the wire itself could not be used the last time; None where it was there."""
        self._open_transport = open_transport
        self._gap_s = gap_s
        self._gap_until = 0.0
        self._transport: Transport | None = None
        self._queue: list[_Queued[Any]] = []
        self._numbers = itertools.count()
        self._running: Priority | None = None
        self._wake = asyncio.Event()

    async def submit(
        self, job: Callable[[Transport], Any], priority: Priority = Priority.ROUTINE
    ) -> Any:
        """Queue a job (a coroutine function of the transport) and await its result."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, _Queued(priority, next(self._numbers), job, done))
        self._wake.set()
        return await done

    @property
    def urgent(self) -> bool:
        """Whether a relay waits for what is under way now."""
        return bool(
            self._queue
            and self._queue[0].priority is Priority.RELAY
            and self._running is not Priority.RELAY
        )

    async def run(self) -> None:
        """Own the wire until cancelled."""
        try:
            while True:
                while not self._queue:
                    # Some meters serve one client at a time: an idle wire is not held.
                    # A job may come while it is let go, so what wakes us is cleared before that.
                    self._wake.clear()
                    await self._let_go(idle=True)
                    await self._wake.wait()
                await self._keep_gap()
                queued = heapq.heappop(self._queue)
                if not queued.done.done():
                    await self._run_one(queued)
        finally:
            for queued in self._queue:
                queued.done.cancel()
            await self._let_go()

    async def _run_one(self, queued: _Queued[Any]) -> None:
        self._running = queued.priority
        try:
            result = await queued.job(self._transport or await self._connected())
        except GatewayError as error:
            if isinstance(error, WireGone):
                self.absence = error
            if not isinstance(error, (PeerRefused, Preempted)):
                # What is left of a broken exchange must not be read as the next one's answer.
                await self._let_go()
            if not queued.done.done():
                queued.done.set_exception(error)
        except BaseException as error:
            # Our own bug or our own end: whoever asked is told which, and so is whoever runs us.
            if not isinstance(error, Exception):
                queued.done.cancel()
            elif not queued.done.done():
                queued.done.set_exception(error)
            raise
        else:
            if not queued.done.done():
                queued.done.set_result(result)

        finally:
            self._gap_until = asyncio.get_running_loop().time() + self._gap_s

    async def _connected(self) -> Transport:
        try:
            transport = self._open_transport()
            await transport.connect()
        except NoAnswer as error:
            self.absence = error
            raise
        self.absence, self._transport = None, transport
        return transport

    async def _keep_gap(self) -> None:
        gap_s = self._gap_until - asyncio.get_running_loop().time()
        if gap_s > 0:
            await asyncio.sleep(gap_s)

    async def _let_go(self, *, idle: bool = False) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await (transport.rest() if idle else transport.close())
