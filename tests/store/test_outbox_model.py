"""Any interleaving of adding, fetching and answering against a model of four lines."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import UsageError
from gateway.store.outbox import CommitResult, NewMessage
from gateway.store.readings import ReadingsStore
from gateway.store.witness import Witness
from gateway.uplink.outbox import Lane

LANES = st.sampled_from(Lane)


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.waiting: dict[int, tuple[Lane, bytes]] = {}
        self.refused: dict[int, str] = {}
        self.newest = 0
        self.store = self.open()
        self.epoch = self.store.stream.epoch

    def open(self) -> ReadingsStore:
        return ReadingsStore.open(
            self.directory / "readings.db",
            gateway_id="gw-1",
            witness=Witness(self.directory / "witness.json"),
            random_bytes=os.urandom,
            now_us=1,
        )

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    @rule(lane=LANES)
    def add(self, lane):
        body = b"{%d}" % self.newest
        sequence = self.store.add_message(NewMessage("events", "M1", lane, body), 1)
        assert sequence == self.newest + 1
        self.newest = sequence
        self.waiting[sequence] = (lane, body)

    @rule(
        ranges=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 4)), max_size=3),
        refused=st.lists(st.integers(1, 30), max_size=3),
    )
    def answer(self, ranges, refused):
        bounds = [(first, min(first + more, self.newest)) for first, more in ranges]
        bounds = [(first, last) for first, last in bounds if first <= last]
        refused = [(sequence, f"no {sequence}") for sequence in refused if sequence <= self.newest]
        said_no = {sequence for sequence, _ in refused} & set(self.waiting)
        said_yes = {s for first, last in bounds for s in range(first, last + 1)} - said_no
        for _ in range(2):  # a repeated answer changes nothing
            result = self.store.outbox.commit(self.epoch, bounds, refused, 5)
            expected = CommitResult(len(said_yes & set(self.waiting)), len(said_no))
            assert result == expected
            for sequence in said_no:
                self.refused[sequence] = f"no {sequence}"
            self.waiting = {
                s: what for s, what in self.waiting.items() if s not in said_yes | said_no
            }
            said_yes, said_no = set(), set()

    @rule(first=st.integers(1, 30))
    def answer_of_another_epoch(self, first):
        result = self.store.outbox.commit("0" * 16, [(first, first + 5)], [(first, "no")], 5)
        assert result == CommitResult(other_epoch=True)

    @rule(first=st.integers(1, 30))
    def impossible_range(self, first):
        with pytest.raises(UsageError):
            self.store.outbox.commit(self.epoch, [(first + 1, first)], [], 5)

    @rule()
    def restart(self):
        self.store.close()
        self.store = self.open()
        assert not self.store.report.restored
        assert self.store.stream.epoch != self.epoch
        self.epoch = self.store.stream.epoch

    @rule(lane=LANES, after=st.integers(0, 30), limit=st.integers(1, 5))
    def fetch(self, lane, after, limit):
        found = self.store.outbox.pending(lane, after, limit)
        expected = sorted(s for s, (one, _) in self.waiting.items() if one is lane and s > after)
        assert [entry.sequence for entry in found] == expected[:limit]

    @invariant()
    def nothing_is_lost_or_doubled(self):
        found = {
            entry.sequence: (entry.lane, entry.body)
            for lane in Lane
            for entry in self.store.outbox.pending(lane, 0, 1000)
        }
        assert found == self.waiting
        depth = self.store.outbox.depth()
        assert depth.live + depth.backlog == len(self.waiting)
        assert depth.refused == len(self.refused)
        assert self.store.stream.epoch == self.epoch


TestOutboxModel = OutboxMachine.TestCase
TestOutboxModel.settings = settings(stateful_step_count=25)


def test_a_fetch_is_bounded_in_octets_but_never_empty(site):
    store = site.readings()
    for size in (100, 10, 10, 100):
        store.add_message(NewMessage("events", "M1", Lane.LIVE, b"x" * size), 1)

    def fetched(after: int) -> list[int]:
        return [e.sequence for e in store.outbox.pending(Lane.LIVE, after, 9, max_octets=25)]

    assert fetched(0) == [1]
    assert fetched(1) == [2, 3]
    assert fetched(3) == [4]


def test_the_oldest_message_says_since_when_the_backend_is_behind(site):
    store = site.readings()
    assert store.outbox.depth().oldest_at_us is None
    for now_us in (50, 60):
        store.add_message(NewMessage("events", "M1", Lane.BACKLOG, b"{}"), now_us)
    assert store.outbox.depth().oldest_at_us == 50
    store.outbox.commit(store.stream.epoch, [(1, 1)], [], 70)
    assert store.outbox.depth().oldest_at_us == 60


def test_a_refused_message_is_kept_with_its_reason_and_the_reason_is_bounded(site):
    store = site.readings()
    store.add_message(NewMessage("events", "M1", Lane.LIVE, b"{1}"), 1)
    store.outbox.commit(store.stream.epoch, [], [(1, "r" * 5000)], 9)
    rows = store._database.rows("SELECT sequence, payload, length(reason) FROM refused")
    assert rows == [(1, b"{1}", 200)]
