"""What the outbox sends next, under any order of events."""

import random
from itertools import product

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import LocalProtocolError, UsageError
from gateway.uplink.command import ranges_of
from gateway.uplink.outbox import (
    TRANSITIONS,
    EntryEvent,
    EntryState,
    Fetch,
    Lane,
    OutboxPump,
    Pending,
    PumpSettings,
    _Entry,
    _Source,
)

SECOND = 1_000_000


class Store:
    """The outbox table: what was added and not yet answered."""

    def __init__(self) -> None:
        self.rows: dict[int, Lane] = {}
        self.newest = 0

    def add(self, lane: Lane, count: int = 1) -> list[int]:
        added = list(range(self.newest + 1, self.newest + count + 1))
        self.rows |= dict.fromkeys(added, lane)
        self.newest += count
        return added

    def pending(self, fetch: Fetch) -> list[Pending[str]]:
        found = sorted(
            sequence
            for sequence, lane in self.rows.items()
            if lane is fetch.lane and sequence > fetch.after_sequence
        )
        return [Pending(sequence, f"m{sequence}") for sequence in found[: fetch.limit]]


def feed(pump: OutboxPump[str], store: Store) -> None:
    while (fetch := pump.next_fetch()) is not None:
        pump.fetched(fetch, store.pending(fetch))


def publish_all(pump: OutboxPump[str], store: Store, now_us: int) -> list[int]:
    sent = []
    feed(pump, store)
    while (pending := pump.next_publish(now_us)) is not None:
        assert pending.item == f"m{pending.sequence}"
        sent.append(pending.sequence)
        feed(pump, store)
    return sent


def answer(pump: OutboxPump[str], store: Store, *sequences: int) -> None:
    for sequence in sequences:
        store.rows.pop(sequence, None)
    pump.committed(ranges_of(sequences))


def new_pump(**fields: int) -> OutboxPump[str]:
    return OutboxPump(PumpSettings(**fields), lambda: 0.5)


@pytest.mark.parametrize(("state", "event"), list(product(EntryState, EntryEvent)))
def test_a_message_moves_by_the_table_and_in_no_other_way(
    state: EntryState, event: EntryEvent
) -> None:
    entry = _Entry(Pending(1, "m1"), _Source.FRESH, state=state)
    if (state, event) in TRANSITIONS:
        entry.move(event)
        assert entry.state is TRANSITIONS[state, event]
    else:
        with pytest.raises(LocalProtocolError, match=event.value):
            entry.move(event)


def test_every_state_but_the_last_can_be_left_for_good() -> None:
    for state in EntryState:
        assert ((state, EntryEvent.ANSWERED) in TRANSITIONS) == (state is not EntryState.GONE)


def test_the_window_bounds_what_is_in_flight_and_a_commit_opens_it() -> None:
    pump, store = new_pump(window=4), Store()
    pump.link_up(0)
    store.add(Lane.LIVE, 10)
    pump.stored(Lane.LIVE)
    assert publish_all(pump, store, 0) == [1, 2, 3, 4]
    answer(pump, store, 3)
    assert publish_all(pump, store, 0) == [5]
    assert pump.in_flight == 4


def test_a_fresh_message_overtakes_any_backlog() -> None:
    pump, store = new_pump(window=10, held=20), Store()
    store.add(Lane.BACKLOG, 10_000)
    pump.link_up(store.newest)
    assert len(publish_all(pump, store, 0)) == 1
    assert len(publish_all(pump, store, SECOND)) == 4
    (live,) = store.add(Lane.LIVE)
    pump.stored(Lane.LIVE)
    assert publish_all(pump, store, SECOND) == [live]


def test_messages_of_before_the_link_wait_behind_fresh_ones_and_before_backlog() -> None:
    pump, store = new_pump(window=6, held=12, backlog_per_s=10), Store()
    backlog = store.add(Lane.BACKLOG, 5)
    aged = store.add(Lane.LIVE, 5)
    pump.link_up(store.newest)
    assert publish_all(pump, store, 0) == aged[:1]
    fresh = store.add(Lane.LIVE, 2)
    pump.stored(Lane.LIVE)
    assert publish_all(pump, store, SECOND) == [*fresh, *aged[1:3]]
    answer(pump, store, *fresh, *aged)
    assert publish_all(pump, store, 2 * SECOND) == backlog[:3]


def test_the_backlog_keeps_its_rate() -> None:
    pump, store = new_pump(window=20, backlog_per_s=5), Store()
    store.add(Lane.BACKLOG, 200)
    pump.link_up(store.newest)
    sent = 0
    for tenth in range(101):
        some = publish_all(pump, store, tenth * SECOND // 10)
        sent += len(some)
        answer(pump, store, *some)
    assert sent == 1 + 10 * 5


def test_an_unanswered_message_rests_longer_each_time_and_is_sent_again() -> None:
    pump, store = new_pump(answer_timeout_s=30, rest_first_s=5, rest_max_s=60), Store()
    pump.link_up(0)
    store.add(Lane.LIVE)
    pump.stored(Lane.LIVE)
    now_us, gaps = 0, []
    for _ in range(7):
        began_us = now_us
        while not publish_all(pump, store, now_us):
            wakeup_us = pump.wakeup_us()
            assert wakeup_us is not None
            assert wakeup_us > now_us, "it would spin"
            now_us = wakeup_us
        gaps.append((now_us - began_us) / SECOND)
    # time-out, then three quarters (jitter 0.5) of 5, 10, 20, 40, 60, 60 seconds
    assert gaps == [0, *(30 + 0.75 * rest_s for rest_s in (5, 10, 20, 40, 60, 60))]
    assert pump.stuck == (1,)


@pytest.mark.parametrize(("jitter", "rest_s"), [(0.0, 10.0), (0.999999, 20.0)])
def test_jitter_spreads_the_rest_between_half_and_whole(jitter: float, rest_s: float) -> None:
    pump: OutboxPump[str] = OutboxPump(PumpSettings(rest_first_s=20), lambda: jitter)
    store = Store()
    pump.link_up(0)
    store.add(Lane.LIVE)
    pump.stored(Lane.LIVE)
    publish_all(pump, store, 0)
    pump.failed(1, 0)
    wakeup_us = pump.wakeup_us()
    assert wakeup_us is not None
    assert wakeup_us / SECOND == pytest.approx(rest_s, abs=0.001)


def test_a_lost_link_sends_what_was_in_flight_again_at_once() -> None:
    pump, store = new_pump(window=4), Store()
    pump.link_up(0)
    store.add(Lane.LIVE, 3)
    pump.stored(Lane.LIVE)
    assert publish_all(pump, store, 0) == [1, 2, 3]
    pump.link_down()
    assert publish_all(pump, store, 0) == []
    assert pump.next_fetch() is None
    answer(pump, store, 2)
    pump.link_up(store.newest)
    assert publish_all(pump, store, 0) == [1, 3]


def test_what_was_stored_while_the_link_was_down_goes_out_after_it() -> None:
    pump, store = new_pump(backlog_per_s=100), Store()
    pump.link_up(0)
    feed(pump, store)
    pump.link_down()
    missed = store.add(Lane.LIVE, 2) + store.add(Lane.BACKLOG, 2)
    pump.link_up(store.newest)
    assert publish_all(pump, store, 0) + publish_all(pump, store, SECOND) == missed


def test_backlog_that_is_stored_while_the_link_is_up_goes_out() -> None:
    pump, store = new_pump(), Store()
    pump.link_up(0)
    feed(pump, store)
    backlog = store.add(Lane.BACKLOG)
    pump.stored(Lane.BACKLOG)
    assert publish_all(pump, store, 0) == backlog


def test_a_fetch_left_open_over_a_reconnect_makes_nothing_aged_fresh() -> None:
    pump, store = new_pump(backlog_per_s=1), Store()
    pump.link_up(0)
    store.add(Lane.LIVE, 3)
    fetch = pump.next_fetch()
    assert fetch is not None
    entries = store.pending(fetch)
    pump.link_down()
    store.add(Lane.LIVE, 7)
    pump.link_up(store.newest)
    pump.fetched(fetch, entries)
    assert publish_all(pump, store, 0) == [1, 2, 3, 4]


def test_a_message_in_memory_that_is_fetched_again_is_not_sent_twice() -> None:
    pump, store = new_pump(), Store()
    pump.link_up(0)
    store.add(Lane.LIVE, 2)
    pump.stored(Lane.LIVE)
    publish_all(pump, store, 0)
    pump.link_down()
    pump.link_up(store.newest)
    pending = pump.next_publish(0)
    assert pending is not None
    assert [pending.sequence, *publish_all(pump, store, 0)] == [1, 2]


def test_a_second_connection_without_a_word_of_the_firsts_end_sends_again_too() -> None:
    pump, store = new_pump(), Store()
    pump.link_up(0)
    store.add(Lane.LIVE, 2)
    pump.stored(Lane.LIVE)
    assert publish_all(pump, store, 0) == [1, 2]
    pump.link_up(store.newest)
    assert publish_all(pump, store, 0) == [1, 2]


def test_messages_that_are_never_answered_do_not_stop_the_others() -> None:
    pump, store = new_pump(window=4, held=16, answer_timeout_s=10), Store()
    pump.link_up(0)
    poison = set(store.add(Lane.LIVE, 6))
    good = set(store.add(Lane.LIVE, 100))
    pump.stored(Lane.LIVE)
    now_us, left = 0, set(good)
    while left:
        sent = publish_all(pump, store, now_us)
        left -= set(sent)
        answer(pump, store, *(sequence for sequence in sent if sequence not in poison))
        if not sent:
            now_us = pump.wakeup_us() or 0
    assert now_us < 60 * SECOND
    assert set(store.rows) == poison


def test_a_commit_while_a_fetch_is_open_is_not_forgotten() -> None:
    pump, store = new_pump(), Store()
    pump.link_up(0)
    store.add(Lane.LIVE, 3)
    pump.stored(Lane.LIVE)
    fetch = pump.next_fetch()
    assert fetch is not None
    read_before_the_commit = store.pending(fetch)
    answer(pump, store, 2)
    pump.fetched(fetch, read_before_the_commit)
    assert publish_all(pump, store, 0) == [1, 3]


def test_a_message_stored_while_a_fetch_is_open_is_fetched_next() -> None:
    pump, store = new_pump(), Store()
    pump.link_up(0)
    fetch = pump.next_fetch()
    assert fetch == Fetch(Lane.LIVE, 0, 50)
    read_before = store.pending(fetch)
    store.add(Lane.LIVE)
    pump.stored(Lane.LIVE)
    pump.fetched(fetch, read_before)
    assert publish_all(pump, store, 0) == [1]


def test_a_store_that_gives_less_than_asked_for_is_asked_until_it_gives_nothing() -> None:
    pump, store = new_pump(), Store()
    pump.link_up(0)
    store.add(Lane.LIVE, 3)
    pump.stored(Lane.LIVE)
    answers = []
    while (fetch := pump.next_fetch()) is not None:
        some = store.pending(fetch)[:1]
        answers.append((fetch.lane, fetch.after_sequence, len(some)))
        pump.fetched(fetch, some)
    # fresh ones first; then aged ones, where the same three are in memory already
    assert answers[:4] == [(Lane.LIVE, after, after < 3) for after in range(4)]
    assert publish_all(pump, store, 0) == [1, 2, 3]


def test_a_failed_fetch_is_asked_again() -> None:
    pump = new_pump()
    pump.link_up(0)
    fetch = pump.next_fetch()
    assert fetch is not None
    assert pump.next_fetch() is None
    pump.fetch_failed(fetch)
    assert pump.next_fetch() == fetch


@pytest.mark.parametrize(
    "sequences", [[2, 1], [1, 1], list(range(1, 52)), [0]], ids=["falls", "twice", "many", "before"]
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused(sequences: list[int]) -> None:
    pump = new_pump()
    pump.link_up(0)
    fetch = pump.next_fetch()
    assert fetch is not None
    with pytest.raises(LocalProtocolError, match="fetched messages"):
        pump.fetched(fetch, [Pending(sequence, "") for sequence in sequences])
    with pytest.raises(LocalProtocolError, match="no such fetch"):
        pump.fetched(fetch, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"window": 1},
        {"window": 30, "held": 20},
        {"fetch_entries": 0},
        {"backlog_per_s": 0},
        {"answer_timeout_s": 0},
        {"rest_first_s": 0},
        {"rest_first_s": 9, "rest_max_s": 8},
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="a pump has"):
        PumpSettings(**fields)


class PumpMachine(RuleBasedStateMachine):
    """Any order of storing, fetching, publishing, answers, silence and lost links."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.pump: OutboxPump[str] = OutboxPump(
            PumpSettings(
                window=4,
                held=10,
                fetch_entries=3,
                backlog_per_s=2,
                answer_timeout_s=5,
                rest_first_s=1,
                rest_max_s=8,
            ),
            random.Random(1).random,
        )
        self.now_us = 0
        self.up = False
        self.ever_published: set[int] = set()
        self.answered: set[int] = set()
        self.open_fetch: tuple[Fetch, list[Pending[str]]] | None = None

    @rule(lane=st.sampled_from(Lane), count=st.integers(1, 6))
    def add(self, lane: Lane, count: int) -> None:
        self.store.add(lane, count)
        self.pump.stored(lane)

    @rule()
    def come_up(self) -> None:
        self.up = True
        self.pump.link_up(self.store.newest)

    @precondition(lambda self: self.up)
    @rule()
    def go_down(self) -> None:
        self.up = False
        self.pump.link_down()

    @precondition(lambda self: self.open_fetch is None)
    @rule()
    def begin_fetch(self) -> None:
        fetch = self.pump.next_fetch()
        if fetch is not None:
            self.open_fetch = (fetch, self.store.pending(fetch))

    @precondition(lambda self: self.open_fetch is None)
    @rule()
    def fetch_all(self) -> None:
        feed(self.pump, self.store)

    @precondition(lambda self: self.open_fetch is not None)
    @rule(fails=st.booleans())
    def end_fetch(self, fails: bool) -> None:
        assert self.open_fetch is not None
        fetch, entries = self.open_fetch
        self.open_fetch = None
        if fails:
            self.pump.fetch_failed(fetch)
        else:
            self.pump.fetched(fetch, entries)

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.publish_one()

    def publish_one(self) -> int | None:
        pending = self.pump.next_publish(self.now_us)
        if pending is None:
            return None
        assert self.up
        assert pending.sequence not in self.answered, "published after its commit was applied"
        self.ever_published.add(pending.sequence)
        return pending.sequence

    @precondition(lambda self: self.ever_published)
    @rule(data=st.data())
    def commit_some(self, data: st.DataObject) -> None:
        """In any order, repeated, and also for what a former life of the process had sent."""
        known = sorted(set(self.store.rows) | self.ever_published)
        self.apply(data.draw(st.lists(st.sampled_from(known), max_size=6)))

    def apply(self, sequences: list[int]) -> None:
        self.answered |= set(sequences)
        answer(self.pump, self.store, *sequences)

    @precondition(lambda self: self.ever_published)
    @rule(data=st.data())
    def broker_refuses(self, data: st.DataObject) -> None:
        self.pump.failed(data.draw(st.sampled_from(sorted(self.ever_published))), self.now_us)

    @rule(seconds=st.integers(0, 20))
    def pass_time(self, seconds: int) -> None:
        self.now_us += seconds * SECOND

    @invariant()
    def bounded(self) -> None:
        assert self.pump.in_flight <= 4
        assert self.pump.held <= 10

    def teardown(self) -> None:
        """With a link and answers, everything unanswered goes out and the outbox gets empty."""
        if self.open_fetch is not None:
            self.end_fetch(fails=False)
        self.come_up()
        for _ in range(10_000):
            if not self.store.rows:
                break
            feed(self.pump, self.store)
            sequence = self.publish_one()
            if sequence is not None:
                self.apply([sequence])
            else:
                wakeup_us = self.pump.wakeup_us()
                assert wakeup_us is not None, "asleep with messages left"
                self.now_us = max(self.now_us, wakeup_us)
        assert not self.store.rows
        assert self.pump.held == 0
        assert self.ever_published | self.answered == set(range(1, self.store.newest + 1))


TestPumpInAnyOrder = PumpMachine.TestCase
TestPumpInAnyOrder.settings = hypothesis_settings(stateful_step_count=40, deadline=None)
