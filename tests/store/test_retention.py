import pytest

from gateway.errors import UsageError
from gateway.model import MeterId, ProfileKind
from gateway.store.readings import ReadingsStore
from gateway.store.retention import ORDER, Budget
from gateway.uplink.outbox import Lane

M1 = MeterId("M1")
DAY_S = 86_400
WIDE = Budget(max_octets=1 << 40, bulk_age_s=10 * DAY_S, record_age_s=100 * DAY_S)


def commit_all(store: ReadingsStore) -> None:
    store.outbox.commit(store.stream.epoch, [(1, store.stream.newest_sequence)], [], 1)


def days_of(store: ReadingsStore, kind: ProfileKind) -> list[int]:
    return [time_s // DAY_S for time_s in store.captured_times(M1, kind, 0, 1 << 40)]


def test_ages_are_by_group_and_the_newest_row_stays(site, batch, body):
    store = site.readings()
    for kind in ProfileKind:
        days = [(day * DAY_S, day) for day in range(0, 200, 20)]
        store.add_batch(batch(*days, profile=kind), body, Lane.LIVE)
    store.add_batch(batch((0, 1), meter="silent since"), body, Lane.LIVE)
    commit_all(store)
    trimmed = store.trim(200 * DAY_S, WIDE)
    assert days_of(store, ProfileKind.BLOCK_LOAD) == [180]
    assert days_of(store, ProfileKind.INSTANTANEOUS) == [180]
    for kind in (ProfileKind.DAILY_LOAD, ProfileKind.BILLING, ProfileKind.EVENTS):
        assert days_of(store, kind) == [100, 120, 140, 160, 180]
    assert store.last_captured(MeterId("silent since"), ProfileKind.DAILY_LOAD) == 0
    assert (trimmed.by_age, trimmed.by_size, trimmed.over_budget) == (2 * 9 + 4 * 5, 0, False)
    assert store.trimmed_through(M1, ProfileKind.BLOCK_LOAD) == 160 * DAY_S
    assert store.trimmed_through(M1, ProfileKind.BILLING) == 80 * DAY_S


def test_rows_that_wait_in_the_outbox_are_never_forgotten(site, batch, body):
    store = site.readings(rows_per_message=2)
    rows = [(day * DAY_S, day) for day in range(6)]
    store.add_batch(batch(*rows, profile=ProfileKind.BLOCK_LOAD), body, Lane.LIVE)
    store.outbox.commit(store.stream.epoch, [(1, 1), (3, 3)], [], 1)
    trimmed = store.trim(999 * DAY_S, Budget(max_octets=1, bulk_age_s=1, record_age_s=1))
    assert days_of(store, ProfileKind.BLOCK_LOAD) == [2, 3, 5], "2 and 3 wait, 5 is the newest"
    assert trimmed.over_budget


def test_octets_are_freed_bulk_first_and_billing_last(site, batch, body):
    store = site.readings()
    for kind in ProfileKind:
        rows = [(day * DAY_S, day) for day in range(1500)]
        store.add_batch(batch(*rows, profile=kind), body, Lane.LIVE)
    commit_all(store)
    now_s = 10  # nothing is old
    left: list[dict[ProfileKind, int]] = []
    while True:
        before = store.octets_used()
        trimmed = store.trim(now_s, Budget(max_octets=before - 8192))
        left.append({kind: len(days_of(store, kind)) for kind in ORDER})
        if trimmed.over_budget:
            break
        assert store.octets_used() <= before - 8192
    for counts in left:
        touched = [kind for kind in ORDER if counts[kind] < 1500]
        # whatever was touched, everything before it in the order is down to its newest row
        assert all(counts[kind] == 1 for kind in touched[:-1])
        assert touched == list(ORDER[: len(touched)])
    assert left[-1] == dict.fromkeys(ORDER, 1)
    assert days_of(store, ProfileKind.BILLING) == [1499], "the oldest went first"


def test_freed_room_is_used_again(site, batch, body):
    store = site.readings()
    sizes = []
    for turn in range(4):
        rows = [(turn * 1000 + n, n) for n in range(1000)]
        store.add_batch(batch(*rows, profile=ProfileKind.BLOCK_LOAD), body, Lane.LIVE)
        commit_all(store)
        sizes.append(site.readings_path.stat().st_size)
        store.trim(10, Budget(max_octets=300_000))
        assert store.octets_used() <= 300_000
    assert max(sizes) < 3 * 400_000


def test_refused_messages_are_kept_as_long_as_records(site, batch, body):
    store = site.readings()
    store.add_batch(batch((1, 1)), body, Lane.LIVE)
    store.outbox.commit(store.stream.epoch, [], [(1, "no")], 5 * DAY_S * 1_000_000)
    store.trim(105 * DAY_S, WIDE)
    assert store.outbox.depth().refused == 1
    store.trim(105 * DAY_S + 1, WIDE)
    assert store.outbox.depth().refused == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_octets": 0},
        {"max_octets": 1, "bulk_age_s": 0},
        {"max_octets": 1, "bulk_age_s": 9, "record_age_s": 8},
    ],
)
def test_a_budget_that_would_forget_records_first_is_refused(wrong):
    with pytest.raises(UsageError, match="budget"):
        Budget(**wrong)
