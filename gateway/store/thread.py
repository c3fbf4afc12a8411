"""The door to a store: one thread owns it, the event loop awaits it.

The store is made, used and closed in its own thread, so the loop never waits on the disk and the
store needs no locks. In a simulation the same door opens inline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar

from gateway.errors import LocalProtocolError

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING: Final = 256


class Closable(Protocol):
    """What a door can hold."""

    def close(self) -> None:
        """Release file and locks."""


S = TypeVar("S", bound=Closable)
S_co = TypeVar("S_co", bound=Closable, covariant=True)


class StoreDoor(Protocol[S_co]):
    """``await door.run(Store.method, argument)`` or ``await door.run(lambda store: ...)``."""

    async def run(
        self, function: Callable[Concatenate[S_co, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``function`` with the store and the arguments; its result or its error."""

    async def close(self) -> None:
        """Finish what was asked before, then close the store."""


class StoreThread(Generic[S]):
    """The door with a thread of its own.

    At most ``max_waiting`` calls wait inside; further callers wait outside (back-pressure, no
    loss). A caller that is cancelled gives up waiting: a call that has begun still finishes.
    """

    def __init__(self, store: S, executor: ThreadPoolExecutor, max_waiting: int) -> None:
        self._store = store
        self._executor = executor
        self._room = asyncio.Semaphore(max_waiting)
        self._closed = False

    @classmethod
    async def open(
        cls, make: Callable[[], S], *, name: str = "store", max_waiting: int = MAX_WAITING
    ) -> StoreThread[S]:
        """Make the store in its thread; raises what ``make`` raises."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        try:
            store = await asyncio.get_running_loop().run_in_executor(executor, make)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(store, executor, max_waiting)

    async def run(
        self, function: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call in the store's thread; raises what the function raises."""
        async with self._room:
            if self._closed:
                raise LocalProtocolError("the store is closed")
            call = partial(function, self._store, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def close(self) -> None:
        """Let the calls that wait inside finish, then close the store; again is harmless."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._store.close)
        finally:
            self._executor.shutdown(wait=False)


class InlineStore(Generic[S]):
    """The door without a thread: calls run at once, so a simulation is deterministic."""

    def __init__(self, store: S) -> None:
        self._store = store
        self._closed = False

    async def run(
        self, function: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call now."""
        if self._closed:
            raise LocalProtocolError("the store is closed")
        return function(self._store, *args, **kwargs)

    async def close(self) -> None:
        """Close the store; again is harmless."""
        if not self._closed:
            self._closed = True
            self._store.close()
