"""A file put back from a backup: numbers somebody may have seen are never given out again."""

import os
import shutil
from pathlib import Path

import pytest

from gateway.errors import StoreCorrupt
from gateway.store.counter_block import CounterBlock
from gateway.store.counters import CounterKey
from gateway.store.outbox import CommitResult
from gateway.store.witness import Mark, Witness
from gateway.uplink.outbox import Lane

KEY = CounterKey("M1", 32, "k1")


def keep(path: Path) -> Path:
    copy = path.with_suffix(".backup")
    shutil.copyfile(path, copy)
    return copy


def test_a_readings_file_behind_its_witness_begins_a_new_epoch_and_sends_what_it_holds(
    site, batch, body
):
    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    epoch = store.stream.epoch
    sent = {(e.epoch, e.sequence): e.body for e in store.outbox.pending(Lane.LIVE, 0, 9)}
    site.close()
    backup = keep(site.readings_path)

    store = site.readings()
    store.add_batch(batch((20, 2)), body, Lane.LIVE)
    sent |= {(e.epoch, e.sequence): e.body for e in store.outbox.pending(Lane.LIVE, 0, 9)}
    site.close()
    shutil.copyfile(backup, site.readings_path)

    store = site.readings()
    assert store.report.restored
    assert store.stream.epoch != epoch
    store.add_batch(batch((30, 3)), body, Lane.LIVE)
    for entry in store.outbox.pending(Lane.LIVE, 0, 9):
        assert (entry.epoch, entry.sequence) not in sent
    assert [e.body for e in store.outbox.pending(Lane.LIVE, 0, 9)] == [
        b'{"M1 daily_load 10:1"}',
        b'{"M1 daily_load 30:3"}',
    ]
    late = store.outbox.commit(epoch, [(1, 2)], [], 1)
    assert late == CommitResult(other_epoch=True)
    site.close()
    assert not site.readings().report.restored


def test_a_backup_is_known_even_where_nothing_left_since(site):
    site.readings()
    site.close()
    backup = keep(site.readings_path)
    site.readings()
    site.close()
    shutil.copyfile(backup, site.readings_path)
    assert site.readings().report.restored


def test_an_old_answer_deletes_nothing_of_a_copy_that_was_put_back_with_its_witness(
    site, batch, body
):
    site.readings()
    site.close()
    backups = [(keep(path), path) for path in (site.readings_path, site.witness.path)]

    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    recorded = store.stream.epoch, [(1, 1)]
    site.close()
    for backup, path in backups:
        shutil.copyfile(backup, path)

    store = site.readings()
    assert store.add_batch(batch((20, 2)), body, Lane.LIVE).sequences == (1,)
    store.outbox.commit(*recorded, [], 1)
    assert [e.body for e in store.outbox.pending(Lane.LIVE, 0, 9)] == [b'{"M1 daily_load 20:2"}']


def test_without_a_witness_an_existing_file_counts_as_restored(site):
    epoch = site.readings().stream.epoch
    site.close()
    site.witness.path.unlink()
    store = site.readings()
    assert store.report.restored
    assert store.stream.epoch != epoch


def test_a_damaged_witness_counts_as_restored_and_is_made_anew(site):
    site.readings()
    site.close()
    site.witness.path.write_bytes(b"{")
    with pytest.raises(StoreCorrupt):
        site.witness.read("readings")
    assert site.readings().report.restored
    site.close()
    assert not site.readings().report.restored


def test_a_crash_between_the_new_epoch_and_its_witness_is_no_second_restore(site):
    site.readings()
    site.close()
    before = site.witness.path.read_bytes()
    site.readings()
    site.close()
    site.witness.path.write_bytes(before)
    assert not site.readings().report.restored


def test_what_the_backend_knows_reveals_a_restore(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    first = store.stream.epoch
    assert not store.stream.backend_high_water(first, 1, 5)
    assert store.stream.backend_high_water(first, 2, 5)
    second = store.stream.epoch
    assert second != first
    assert not store.stream.backend_high_water(first, 99, 5), "a life that is over"
    assert store.stream.backend_high_water("ab" * 8, 0, 5), "a life this file never had"
    third = store.stream.epoch
    assert not store.stream.backend_high_water("ab" * 8, 7, 5), "and only once"
    assert store.stream.epoch == third


def test_a_commit_of_numbers_never_given_out_deletes_nothing(site, batch, body):
    store = site.readings()
    store.add_batch(batch((10, 1)), body, Lane.LIVE)
    epoch = store.stream.epoch
    assert store.outbox.commit(epoch, [(1, 2)], [], 5) == CommitResult(restored=True)
    assert store.outbox.depth().live == 1
    assert store.stream.epoch != epoch


def test_a_restored_counter_file_has_new_titles_and_higher_counters(site):
    store = site.counters()
    title = store.client_title(32)
    block = CounterBlock(store, KEY)
    used = {(title, block.reserve()) for _ in range(40)}
    site.close()
    backup = keep(site.counters_path)
    store = site.counters()
    assert store.client_title(32) == title
    block = CounterBlock(store, KEY)
    used |= {(title, block.reserve()) for _ in range(500)}
    other = CounterKey("M2", 32, "k2")
    highest_other = max(CounterBlock(store, other).reserve() for _ in range(20))
    site.close()
    shutil.copyfile(backup, site.counters_path)

    store = site.counters()
    assert store.report.restored
    fresh = store.client_title(32)
    assert fresh != title
    assert store.reserve(KEY) > max(counter for _, counter in used)
    assert store.reserve(other) > highest_other, "a counter the backup never knew"
    site.close()
    store = site.counters()
    assert not store.report.restored
    assert store.client_title(32) == fresh


def test_a_restore_raises_each_counter_no_further_than_all_were_used(site):
    low, high = CounterKey("low", 32, "k1"), CounterKey("high", 32, "k2")
    store = site.counters()
    store.reserve(low, 10)
    store.reserve(high, 1_000_000)
    site.close()
    backup = keep(site.counters_path)
    site.counters().reserve(low, 5)
    site.close()
    shutil.copyfile(backup, site.counters_path)
    store = site.counters()
    assert store.peek(low) == 21, "5 counters were used, booked for meter and key"
    assert store.peek(high) == 1_000_001, "the highest ever given out is bound enough"


def test_a_lost_counter_file_continues_above_what_its_witness_knows(site):
    store = site.counters()
    store.reserve(KEY, 5000)
    title = store.client_title(32)
    site.close()
    site.counters_path.unlink()
    store = site.counters()
    assert store.report.created
    assert store.client_title(32) != title
    assert store.reserve(KEY) > 5000


def test_a_nearly_spent_key_does_not_spend_the_others_when_the_file_is_lost(site):
    store = site.counters()
    store.raise_floor(CounterKey("old", 32, "k0"), 0xFFFF_0000, day=1, day_limit=1 << 32)
    site.close()
    site.counters_path.unlink()
    assert site.counters().reserve(KEY) <= 1 << 31


def test_the_witness_only_rises_within_an_epoch(tmp_path):
    witness = Witness(tmp_path / "witness.json")
    witness.write("a", Mark("e1", 5, 9))
    witness.write("b", Mark("e9", 1))
    witness.write("a", Mark("e1", 3, 10))
    assert witness.read("a") == Mark("e1", 5, 10)
    witness.write("a", Mark("e2", 0))
    assert witness.read("a") == Mark("e2", 0)
    assert witness.read("b") == Mark("e9", 1)
    assert witness.read("c") is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": {"epoch": 1, "total": 1, "highest": 1}}']
)
def test_a_witness_that_is_none_is_named(tmp_path, text):
    path = tmp_path / "witness.json"
    path.write_text(text)
    with pytest.raises(StoreCorrupt, match=r"witness\.json"):
        Witness(path).read("a")


def test_the_witness_is_replaced_whole(tmp_path, monkeypatch):
    witness = Witness(tmp_path / "witness.json")
    witness.write("a", Mark("e1", 5))
    synced: list[Path] = []
    real = os.fsync

    def record(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)

    monkeypatch.setattr(os, "fsync", record)
    witness.write("a", Mark("e1", 6))
    assert synced[0].name.startswith(".witness.json.")
    assert synced[1] == tmp_path
    assert sorted(p.name for p in tmp_path.iterdir()) == [".witness.json.lock", "witness.json"]
