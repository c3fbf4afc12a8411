import asyncio
import threading

import pytest

from gateway.errors import LocalProtocolError, StoreError
from gateway.service.simulation import run_simulated
from gateway.store.thread import InlineStore, StoreDoor, StoreThread


class Ledger:
    """Notes who called it, and from which thread."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.calls: list[int] = []
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def note(self, number: int, *, extra: int = 0) -> int:
        assert threading.get_ident() == self.thread
        self.entered.set()
        self.gate.wait(10)
        self.calls.append(number)
        return number + extra

    def fail(self) -> None:
        raise StoreError("no")

    def close(self) -> None:
        assert threading.get_ident() == self.thread
        self.closed = True


async def exercise(door: StoreDoor[Ledger]) -> Ledger:
    assert await door.run(Ledger.note, 1, extra=10) == 11
    assert await door.run(lambda store: store.note(2)) == 2
    with pytest.raises(StoreError, match="no"):
        await door.run(Ledger.fail)
    await asyncio.gather(*(door.run(Ledger.note, number) for number in range(3, 50)))
    store = await door.run(lambda store: store)
    await door.close()
    await door.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        await door.run(Ledger.note, 99)
    assert store.calls == list(range(1, 50)), "in the order they were asked"
    assert store.closed
    return store


def test_a_store_in_its_thread_is_made_used_and_closed_there():
    async def main() -> None:
        store = await exercise(await StoreThread.open(Ledger, name="ledger", max_waiting=4))
        assert store.thread != threading.get_ident()

    asyncio.run(main())


def test_an_inline_store_keeps_the_same_promises_in_a_simulation():
    async def main() -> None:
        await exercise(InlineStore(Ledger()))

    run_simulated(main())


def test_a_store_that_cannot_be_opened_says_so_to_who_opens_it():
    def broken() -> Ledger:
        raise StoreError("no such disk")

    async def main() -> None:
        with pytest.raises(StoreError, match="no such disk"):
            await StoreThread.open(broken)

    asyncio.run(main())


def test_the_loop_goes_on_while_the_disk_is_slow_and_callers_wait_outside():
    async def main() -> None:
        door = await StoreThread.open(Ledger, max_waiting=2)
        store = await door.run(lambda store: store)
        store.gate.clear()
        tasks = [asyncio.create_task(door.run(Ledger.note, number)) for number in range(5)]
        await asyncio.to_thread(store.entered.wait, 10)
        assert door._room.locked()
        assert store.calls == []
        tasks[0].cancel()  # it has begun: it finishes, nobody waits for it
        tasks[4].cancel()  # it has not: it is never called
        store.gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert done[1:4] == [1, 2, 3]
        await door.close()
        assert store.calls == [0, 1, 2, 3]

    asyncio.run(main())


def test_closing_waits_for_what_was_asked_before():
    async def main() -> None:
        door = await StoreThread.open(Ledger)
        store = await door.run(lambda store: store)
        store.gate.clear()
        tasks = [asyncio.create_task(door.run(Ledger.note, number)) for number in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(door.close())
        await asyncio.sleep(0)
        store.gate.set()
        await closing
        assert [await task for task in tasks] == [0, 1, 2]
        assert store.calls == [0, 1, 2]

    asyncio.run(main())
