import pytest

from gateway.errors import SecurityError, StoreError, UsageError
from gateway.store.counter_block import CounterBlock
from gateway.store.counters import ALARM_AT, FIRST, LAST, CounterKey

KEY = CounterKey("M1", 32, "k1")
TITLE = b"ABC\1\2\3\4\5"


def test_each_client_of_a_gateway_has_a_title_of_its_own_and_keeps_it(site):
    store = site.counters()
    titles = [store.client_title(sap) for sap in (16, 32, 48)]
    assert len(set(titles)) == 3
    assert all(title.startswith(b"SMG") and len(title) == 8 for title in titles)
    assert [store.client_title(sap) for sap in (16, 32, 48)] == titles
    site.close()
    assert site.counters().client_title(16) == titles[0]
    # a cloned box that was given another identity must not share nonces with the first
    other = site.counters(gateway_id="gw-2", maker="XYZ").client_title(16)
    assert other.startswith(b"XYZ")


def test_renewed_titles_are_new_and_counters_go_on(site):
    store = site.counters()
    title, first = store.client_title(32), store.reserve(KEY, 10)
    store.renew_titles()
    assert store.client_title(32) != title
    assert store.reserve(KEY) == first + 10


@pytest.mark.parametrize("maker", ["", "SM", "SMGX", "S1G", "ÄBC"])
def test_a_maker_is_three_letters(site, maker):
    with pytest.raises(UsageError, match="3 ASCII letters"):
        site.counters(maker=maker)


def test_counters_rise_from_one_without_gaps(site):
    store = site.counters()
    assert [store.reserve(KEY), store.reserve(KEY, 5), store.reserve(KEY)] == [FIRST, 2, 7]
    site.close()
    assert site.counters().reserve(KEY) == 8
    with pytest.raises(UsageError):
        site.counters().reserve(KEY, 0)


def test_clients_count_apart(site):
    store = site.counters()
    store.reserve(KEY, 10)
    assert store.reserve(CounterKey("M1", 48, "k1")) == FIRST


def test_meters_with_the_same_key_never_share_a_counter(site):
    store = site.counters()
    keys = [CounterKey(f"M{number % 3}", 32, "shared") for number in range(12)]
    used = [store.reserve(key, 2) for key in keys]
    assert used == sorted(set(used)), "one title and one key: each counter once"
    assert store.reserve(CounterKey("M9", 32, "own")) == FIRST


def test_a_meter_sees_rising_counters_across_keys_and_titles(site):
    store = site.counters()
    first = store.reserve(KEY, 100)
    store.renew_titles()
    assert store.reserve(CounterKey("M1", 32, "k2")) == first + 100


def test_a_block_goes_to_the_disk_once_for_many_frames(site):
    store = site.counters()
    block = CounterBlock(store, KEY, 8)
    assert [block.reserve() for _ in range(20)] == list(range(1, 21))
    assert block.left == 4
    assert store.peek(KEY) == 25, "24 reserved, 20 used: a crash loses 4 and repeats none"


def test_a_prepared_block_needs_no_disk_during_a_session(site):
    store = site.counters()
    block = CounterBlock(store, KEY, 8)
    block.prepare(20)
    assert block.left == 20
    used = [block.reserve() for _ in range(15)]
    block.prepare(10)
    assert block.left == 13
    used += [block.reserve() for _ in range(13)]
    assert used == list(range(1, 29)), "nothing is wasted where nobody else counts"


def test_a_block_gives_up_its_rest_when_others_counted_meanwhile(site):
    store = site.counters()
    mine, other = CounterBlock(store, KEY, 8), CounterBlock(store, KEY, 8)
    assert mine.reserve() == 1
    other.prepare(1)
    assert other.reserve() == 9
    mine.prepare(1)
    assert mine.reserve() == 17, "2 to 8 are below what the meter has seen"


def test_a_floor_is_raised_within_a_bounded_jump_and_never_lowered(site):
    store = site.counters()
    block = CounterBlock(store, KEY, 8)
    block.reserve()
    block.raise_floor(1000, day=1, day_limit=5000)
    assert block.reserve() == 1000
    block.raise_floor(500, day=1, day_limit=5000)
    assert block.reserve() == 1001
    following = store.peek(KEY)
    with pytest.raises(SecurityError, match=r"M1 asks for invocation counter 900000.*at most 5000"):
        store.raise_floor(KEY, 900_000, day=1, day_limit=5000)
    assert store.peek(KEY) == following


def test_what_is_believed_of_a_meter_in_small_steps_is_bounded_by_the_day(site):
    store = site.counters()
    for number in range(1, 6):
        store.raise_floor(KEY, 1 + 1000 * number, day=20_000, day_limit=5000)
    for _ in range(2):
        with pytest.raises(SecurityError, match="5000 were today"):
            store.raise_floor(KEY, 5002, day=20_000, day_limit=5000)
        site.close()
        store = site.counters()
    assert store.peek(KEY) == 5001
    other = CounterKey("M2", 32, "k2")
    store.raise_floor(other, 5001, day=20_000, day_limit=5000)
    store.raise_floor(KEY, 10_001, day=20_001, day_limit=5000)
    assert store.peek(KEY) == 10_001


def test_the_file_itself_refuses_to_lower_a_counter(site):
    store = site.counters()
    store.reserve(KEY, 10)
    with pytest.raises(StoreError, match="never lowered"):
        store._database.rows("UPDATE counters SET next = next - 1")


def test_a_key_near_its_end_is_named_and_a_spent_one_is_refused(site):
    store = site.counters()
    store.reserve(KEY)
    store.raise_floor(KEY, ALARM_AT - 1, day=1, day_limit=LAST)
    assert store.nearly_exhausted() == []
    store.reserve(KEY)
    assert store.nearly_exhausted() == [("M1", 32, ALARM_AT)]
    store.raise_floor(KEY, LAST, day=2, day_limit=LAST)
    with pytest.raises(SecurityError, match="exhausted"):
        store.reserve(KEY, 2)
    assert store.reserve(KEY) == LAST
    with pytest.raises(SecurityError, match="exhausted"):
        store.reserve(KEY)
    with pytest.raises(SecurityError, match="believed"):
        store.raise_floor(KEY, LAST + 1, day=1, day_limit=LAST)


def test_received_counters_are_kept_across_sessions_and_only_rise(site):
    store = site.counters()
    assert store.last_received(KEY, TITLE) == -1
    store.note_received(KEY, TITLE, 0)
    assert store.last_received(KEY, TITLE) == 0
    store.note_received(KEY, TITLE, 70)
    store.note_received(KEY, TITLE, 60)
    site.close()
    store = site.counters()
    assert store.last_received(KEY, TITLE) == 70
    assert store.last_received(CounterKey("M1", 32, "k2"), TITLE) == -1, "a new key begins anew"
    assert store.last_received(KEY, bytes(8)) == -1
