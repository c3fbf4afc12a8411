"""Several event logs of one meter, and what it sends unasked: each row and message once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.errors import UsageError
from gateway.model import Batch, Evidence, MeterId, ProfileKind, row_digest
from gateway.store.outbox import NewMessage
from gateway.store.pushes import PushedMessage
from gateway.store.retention import Budget
from gateway.uplink.outbox import Lane

M1 = MeterId("M1")
DAY_S = 86_400
ALERT = "0-4:25.9.0*255"


def log_batch(batch: Callable[..., Batch], log: str, *times_codes: tuple[int, int]) -> Batch:
    return replace(batch(*times_codes, profile=ProfileKind.EVENTS), log=log)


def note(text: str) -> NewMessage:
    return NewMessage("events", "M1", Lane.LIVE, text.encode())


def test_each_log_keeps_its_own_rows_times_and_columns(site, batch, body) -> None:
    store = site.readings()
    store.add_batch(log_batch(batch, "voltage", (10, 7), (20, 8)), body, Lane.LIVE)
    store.add_batch(log_batch(batch, "power", (20, 101)), body, Lane.LIVE)
    assert store.captured_times(M1, "events/voltage", 0, 99) == [10, 20]
    assert store.captured_times(M1, "events/power", 0, 99) == [20]
    assert store.captured_times(M1, "events/current", 0, 99) == []
    assert store.capture_list(M1, "events/power") is not None
    assert store.capture_list(M1, "events/current") is None
    assert {one.profile for one in store.coverage(0, 99)} == {"events/voltage", "events/power"}


def test_rows_of_a_log_are_stored_and_told_once(site, batch, body) -> None:
    store = site.readings()
    told: list[int] = []

    def notes(new: Batch) -> list[NewMessage]:
        told.extend(row.captured_at_s for row in new.rows)
        return [note("{}")]

    first = log_batch(batch, "power", (10, 101), (20, 102))
    added = store.add_batch(first, body, Lane.LIVE, notes)
    assert (added.new_rows, len(added.sequences), len(added.notes)) == (2, 1, 1)
    again = store.add_batch(first, body, Lane.LIVE, notes)
    assert (again.new_rows, again.duplicates, again.sequences) == (0, 2, ())
    more = log_batch(batch, "power", (20, 102), (30, 101))
    assert store.add_batch(more, body, Lane.LIVE, notes).new_rows == 1
    assert told == [10, 20, 30]
    assert [entry.kind for entry in store.outbox.pending(Lane.LIVE, 0, 9)] == [
        "readings",
        "events",
        "readings",
        "events",
    ]
    captures = first.capture_list.digest
    assert store.digests(M1, "events/power") == {
        row_digest(captures, row.raw) for row in (*first.rows, *more.rows)
    }


def test_a_note_that_cannot_be_made_stores_nothing(site, batch, body) -> None:
    store = site.readings()

    def fail(_: Batch) -> list[NewMessage]:
        raise UsageError("no")

    with pytest.raises(UsageError):
        store.add_batch(log_batch(batch, "power", (10, 101)), body, Lane.LIVE, fail)
    assert store.captured_times(M1, "events/power", 0, 99) == []
    assert store.outbox.depth().live == 0


def pushed(raw: bytes, at_s: int = 1) -> PushedMessage:
    return PushedMessage(M1, ALERT, raw, Evidence(at_s * 1_000_000, b"EMU12345", at_s))


def test_a_message_that_repeats_is_kept_and_told_once(site) -> None:
    store = site.readings()
    befores: list[str] = []

    def notes(before: str) -> list[NewMessage]:
        befores.append(before)
        return [note("{}")]

    assert store.pushes.add(pushed(b"a"), notes, word="01") == (1,)
    assert store.pushes.add(pushed(b"a", 2), notes, word="01") is None
    assert store.pushes.add(pushed(b"b"), notes, word="11") == (2,)
    assert befores == ["", "01"]
    assert [one.raw for one in store.pushes.kept(M1)] == [b"a", b"b"]
    store.close()
    store = site.readings()
    store.pushes.add(pushed(b"c"), notes, word="10")
    assert befores[-1] == "11", "the last word outlives a restart"


def test_logs_and_messages_are_trimmed_by_their_ages(site, batch, body) -> None:
    store = site.readings()
    store.add_batch(log_batch(batch, "power", (DAY_S, 1), (50 * DAY_S, 2)), body, Lane.LIVE)
    store.add_batch(log_batch(batch, "control", (DAY_S, 3)), body, Lane.LIVE)
    for number in range(3):
        store.pushes.add(pushed(bytes([number]), number * 20 * DAY_S), lambda _: ())
    store.outbox.commit(store.stream.epoch, [(1, 2)], [], 0)
    budget = Budget(max_octets=1 << 30, bulk_age_s=30 * DAY_S, record_age_s=40 * DAY_S)
    trimmed = store.trim(60 * DAY_S, budget)
    assert trimmed.by_age == 1 + 2
    assert store.captured_times(M1, "events/power", 0, 99 * DAY_S) == [50 * DAY_S]
    assert store.trimmed_through(M1, "events/power") == DAY_S
    assert store.captured_times(M1, "events/control", 0, 99 * DAY_S) == [DAY_S], "the newest stays"
    assert [one.raw for one in store.pushes.kept(M1)] == [b"\x02"]


def test_messages_go_first_where_there_is_no_room(site, batch, body) -> None:
    store = site.readings()
    store.add_batch(batch((DAY_S, 1), (2 * DAY_S, 2)), body, Lane.LIVE)
    for number in range(200):
        raw = bytes([number]) * 4000
        store.pushes.add(pushed(raw, number), lambda _: ())
    budget = Budget(max_octets=500_000)
    assert store.trim(10 * DAY_S, budget).by_size == 200
    assert store.captured_times(M1, "daily_load", 0, 9 * DAY_S) == [DAY_S, 2 * DAY_S]
