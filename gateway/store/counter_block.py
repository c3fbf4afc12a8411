"""Invocation counters reserved ahead, so that a session does not wait for the disk."""

from __future__ import annotations

from typing import Final

from gateway.store.counters import CounterKey, CounterStore

BLOCK: Final = 32


class CounterBlock:
    """Counters reserved a block at a time, so that not every frame waits for the disk.

    ``reserve`` fits the security layer's callable. Call ``prepare`` (behind the store's door)
    before a session: then the session itself never waits for the disk. One owner at a time.
    """

    def __init__(self, store: CounterStore, key: CounterKey, size: int = BLOCK) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._next = 0
        self._end = 0

    @property
    def left(self) -> int:
        """Counters that can be had without the disk."""
        return self._end - self._next

    @property
    def following(self) -> int:
        """The counter after the last one that was used."""
        return self._next

    def prepare(self, at_least: int = 16) -> None:
        """Have ``at_least`` counters ready, all above what any other process has reserved.

        A rest of an older block is dropped if others reserved meanwhile: the meter has perhaps
        seen theirs, and would refuse lower ones.
        """
        if self._store.peek(self._key) != self._end:
            self._next = self._end = 0
        if self.left < at_least:
            self._extend(max(self._size, at_least - self.left))

    def reserve(self) -> int:
        """The next counter; goes to the disk only when the block is used up."""
        if not self.left:
            self._extend(self._size)
        counter = self._next
        self._next += 1
        return counter

    def raise_floor(self, at_least: int, *, day: int, day_limit: int) -> None:
        """As the store's; counters of the block below the new floor are dropped."""
        self._store.raise_floor(self._key, at_least, day=day, day_limit=day_limit)
        if self._next < at_least:
            self._next = self._end = 0

    def _extend(self, count: int) -> None:
        first = self._store.reserve(self._key, count)
        if first != self._end:
            self._next = first
        self._end = first + count
