"""A queue with an end: what has come in, for one reader."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Used from one event loop only; how much may be put is the putter's to bound."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._closed = False
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item; ignored once closed."""
        if not self._closed:
            self._items.append(item)
            self._filled.set()

    def close(self) -> None:
        """End ``items`` once what has come in is read."""
        self._closed = True
        self._filled.set()

    async def items(self) -> AsyncIterator[T]:
        """Items in order, until closed and empty."""
        while True:
            while self._items:
                yield self._items.popleft()
            if self._closed:
                return
            self._filled.clear()
            await self._filled.wait()
