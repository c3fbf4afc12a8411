import json
import os
import sqlite3

import pytest

from gateway.errors import StoreError, StoreFull
from gateway.model import MeterId, ProfileKind
from gateway.store.counters import CounterKey
from gateway.store.database import Database, Journal
from gateway.store.migrations import Schema, migrate
from gateway.store.readings import ReadingsStore
from gateway.store.retention import Budget
from gateway.uplink.outbox import Lane

M1 = MeterId("M1")
DAILY_LOAD = ProfileKind.DAILY_LOAD


def fill(store: ReadingsStore, batch, body, start: int = 1) -> list[int]:
    """Add rows until the file is full; capture times that were acknowledged."""
    stored: list[int] = []
    for time_s in range(start, start + 100_000):
        try:
            store.add_batch(batch((time_s, time_s)), body, Lane.LIVE)
        except StoreFull:
            return stored
        stored.append(time_s)
    raise AssertionError("the file never became full")


def test_a_full_file_refuses_new_rows_and_recovers_without_restart(site, batch, body):
    store = site.readings(max_octets=400_000)
    stored = fill(store, batch, body)
    assert len(stored) > 50
    assert store.rows_refused == 1
    with pytest.raises(StoreFull, match="SQLITE_FULL"):
        store.add_batch(batch(*((900_000 + n, 1) for n in range(60))), body, Lane.LIVE)
    assert store.rows_refused == 61
    assert store.captured_times(M1, DAILY_LOAD, 0, 1 << 40) == stored
    assert store.outbox.depth().live == len(stored)
    # a commit makes room, and the policy may then forget
    store.outbox.commit(store.stream.epoch, [(1, store.stream.newest_sequence)], [], 1)
    store.trim(1 << 40, Budget(max_octets=200_000))
    assert store.add_batch(batch((1 << 30, 1)), body, Lane.LIVE).new_rows == 1
    site.close()
    assert site.readings().last_captured(M1, DAILY_LOAD) == 1 << 30


def test_a_write_that_the_system_refuses_leaves_no_half_of_a_batch(site, start_worker):
    process = start_worker("fill", site.directory, "40000")
    said = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert "readings.db" in said.pop("refused")
    assert said == {
        "rows_refused": 1,
        "new_rows_after": 1,
        "as_acknowledged": True,
        "messages": True,
    }


@pytest.mark.parametrize("part", ["header", "pages", "leaf", "noise"])
def test_a_damaged_file_is_put_aside_and_said_so(site, batch, body, part):
    store = site.readings()
    for time_s in range(200):
        store.add_batch(batch((time_s, 1)), body, Lane.LIVE)
    epoch = store.stream.epoch
    site.close()
    content = bytearray(site.readings_path.read_bytes())
    if part == "header":
        content[:16] = bytes(16)
    elif part == "pages":
        content[5 * 4096 : -4096] = os.urandom(len(content) - 6 * 4096)
    elif part == "leaf":
        # rows that opening itself never looks at
        content[-2000:] = os.urandom(2000)
    else:
        content = bytearray(os.urandom(9000))
    site.readings_path.write_bytes(content)

    store = site.readings()
    report = store.report
    assert report.created
    assert report.quarantined == site.directory / "readings.db.bad-1"
    assert report.quarantined.read_bytes() == content
    assert "readings.db" in report.damage
    assert store.stream.epoch != epoch
    assert store.captured_times(M1, DAILY_LOAD, 0, 999) == []
    store.add_batch(batch((1, 1)), body, Lane.LIVE)
    site.close()
    site.readings_path.write_bytes(b"again damaged" * 1000)
    assert site.readings().report.quarantined == site.directory / "readings.db.bad-2"


def test_a_damaged_counter_file_begins_with_new_titles_above_the_old_counters(site):
    key = CounterKey("M1", 32, "k1")
    store = site.counters()
    title = store.client_title(32)
    last = store.reserve(key, 100) + 99
    site.close()
    site.counters_path.write_bytes(b"damaged" * 1000)
    store = site.counters()
    assert store.report.quarantined is not None
    assert store.client_title(32) != title
    assert store.reserve(key) > last


def test_a_file_of_a_newer_version_is_left_alone(site):
    site.readings()
    site.close()
    connection = sqlite3.connect(site.readings_path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('readings', '9999', '')"
    )
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        site.readings()
    assert [path.name for path in site.directory.iterdir() if "bad" in path.name] == []


def test_a_migration_and_its_record_commit_together(tmp_path):
    first = ("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",)
    database = Database(tmp_path / "a.db", Journal.WAL)
    migrate(database, Schema("a", (first,)))
    broken = ("CREATE TABLE half (n INTEGER) STRICT", "CREATE TABLE half (n INTEGER) STRICT")
    with pytest.raises(StoreError, match="half"):
        migrate(database, Schema("a", (first, broken)))
    tables = {name for (name,) in database.rows("SELECT name FROM sqlite_schema")}
    assert "half" not in tables
    assert database.rows("SELECT name FROM _sqlite_migrations") == [("0001",)]
    migrate(database, Schema("a", (first, broken[:1])))
    migrate(database, Schema("a", (first, broken[:1])))
    assert database.rows("SELECT name FROM _sqlite_migrations") == [("0001",), ("0002",)]
    database.close()


def test_files_are_opened_for_durability_and_strict_types(site):
    readings, counters = site.readings()._database, site.counters()._database
    for database, journal, synchronous in ((readings, "wal", 2), (counters, "delete", 3)):
        assert database.value("PRAGMA journal_mode") == journal
        assert database.value("PRAGMA synchronous") == synchronous
        assert database.value("PRAGMA foreign_keys") == 1
        assert database.value("PRAGMA trusted_schema") == 0
        loose = database.rows(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
            " AND NOT strict AND name NOT LIKE 'sqlite_%' AND name <> '_sqlite_migrations'"
        )
        assert loose == []
        version = database.value("SELECT value FROM meta WHERE key = 'sqlite_version'")
        assert version == sqlite3.sqlite_version
    assert site.readings_path.stat().st_mode & 0o777 == 0o600


def test_errors_of_sqlite_are_named_with_the_file(tmp_path):
    with pytest.raises(StoreError, match="missing"):
        Database(tmp_path / "missing" / "a.db", Journal.WAL)
    database = Database(tmp_path / "a.db", Journal.WAL)
    with pytest.raises(StoreError, match=r"a\.db.*SQLITE_ERROR"):
        database.rows("SELECT nothing")
    database.close()
    with pytest.raises(StoreError, match="closed"):
        database.rows("SELECT 1")
