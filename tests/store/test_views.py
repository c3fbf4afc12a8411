"""What a technician finds with the sqlite3 shell."""

import sqlite3
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.model import (
    Account,
    Batch,
    CaptureList,
    CaptureObject,
    Column,
    ConnectionNo,
    Evidence,
    Installation,
    Instant,
    MeterId,
    Obis,
    ProfileKind,
    Row,
)
from gateway.store.pushes import PushedMessage
from gateway.uplink.outbox import Lane

NOON_S = 1_753_252_200  # 2025-07-23 06:30:00 UTC, noon at +05:30


def column(obis: str, scaler: int | None = None, unit: int | None = None, class_id: int = 3):
    return Column(CaptureObject(class_id, Obis.parse(obis), 2), scaler, unit)


@pytest.fixture
def opened(site, body):
    """A file with one row of each kind of view, read as the shell reads it."""
    store = site.readings()

    def add(profile: ProfileKind, columns: list[Column], *values: object) -> None:
        row = Row(NOON_S, (Instant(NOON_S, "noon"), *values), b"raw")  # type: ignore[arg-type]
        clock = column("0-0:1.0.0*255", class_id=8)
        captures = CaptureList((clock, *columns))
        batch = Batch(MeterId("M1"), profile, captures, (row,), Evidence(NOON_S * 1_000_000))
        store.add_batch(batch, body, Lane.LIVE)

    # export first, as some meters order it
    add(
        ProfileKind.DAILY_LOAD,
        [
            column("1-0:2.8.0*255", 3, 30),
            column("1-0:1.8.0*255", 0, 30),
            column("1-0:9.8.0*255", -1, 31),
        ],
        Decimal("12E+3"),
        Decimal(4_684_814),
        Decimal("0.5"),
    )
    add(
        ProfileKind.BLOCK_LOAD,
        [column("1-0:12.27.0*255", -2, 35), column("1-0:1.29.0*255", 0, 30)],
        Decimal("229.99"),
        Decimal(41),
    )
    add(ProfileKind.INSTANTANEOUS, [column("1-0:12.7.0*255", -2, 35)], Decimal("230.10"))
    store.name_objects({column("1-0:12.7.0*255").source: "Voltage"})
    place = Installation(ConnectionNo("C1"), MeterId("M1"), 0)
    account = Account(ConnectionNo("C1"), "A. Devi", 2000, 1, "domestic", (place,))
    store.registry.apply_accounts("cis", 1, [account], 5)
    store.outbox.commit(store.stream.epoch, [(1, 1)], [(2, "unknown meter")], NOON_S * 1_000_000)
    # while the service runs, as a technician does it
    connection = sqlite3.connect(f"file:{site.readings_path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


def only(connection: sqlite3.Connection, sql: str) -> dict[str, object]:
    rows = connection.execute(sql).fetchall()
    assert len(rows) == 1
    return dict(rows[0])


def test_daily_load_has_named_columns_whatever_the_meters_order(opened):
    assert only(opened, "SELECT * FROM v_daily_load") == {
        "meter": "M1",
        "time_local": "2025-07-23 12:00:00",
        "time_utc": "2025-07-23 06:30:00",
        "wh_import": 4_684_814,
        "vah_import": "0.5",
        "wh_export": 12_000,
        "vah_export": None,
        "time_quality": "ok",
        "conflict": 0,
    }


def test_block_load_has_energy_and_averages(opened):
    row = only(opened, "SELECT * FROM v_block_load")
    assert (row["wh_import"], row["average_v"], row["average_a"]) == (41, "229.99", None)


def test_values_have_name_and_unit(opened):
    row = only(opened, "SELECT * FROM v_instantaneous WHERE obis = '1-0:12.7.0*255'")
    assert (row["name"], row["value"], row["unit"]) == ("Voltage", "230.10", "V")
    rows = opened.execute(
        "SELECT profile, obis, value, unit FROM v_readings ORDER BY profile, obis"
    ).fetchall()
    assert [tuple(row) for row in rows if row["unit"]] == [
        ("block_load", "1-0:1.29.0*255", 41, "Wh"),
        ("block_load", "1-0:12.27.0*255", "229.99", "V"),
        ("daily_load", "1-0:1.8.0*255", 4_684_814, "Wh"),
        ("daily_load", "1-0:2.8.0*255", 12_000, "Wh"),
        ("daily_load", "1-0:9.8.0*255", "0.5", "VAh"),
        ("instantaneous", "1-0:12.7.0*255", "230.10", "V"),
    ]


def test_the_outbox_and_the_meters_can_be_seen(opened):
    row = only(opened, "SELECT * FROM v_outbox")
    assert (row["sequence"], row["lane"], row["kind"], row["subject"], row["profile"]) == (
        3,
        "live",
        "readings",
        "M1",
        "instantaneous",
    )
    refused = only(opened, "SELECT * FROM v_refused")
    assert (refused["sequence"], refused["reason"]) == (2, "unknown meter")
    meters = opened.execute("SELECT * FROM v_meters ORDER BY profile").fetchall()
    assert {tuple(row)[2:] for row in meters} == {("2025-07-23 06:30:00", "C1")}
    assert len(meters) == 3


def test_the_views_work_where_the_schema_is_not_trusted(site, opened, batch, body):
    store = site.readings()
    event = replace(batch((NOON_S, 1), profile=ProfileKind.EVENTS), log="power")
    store.add_batch(event, body, Lane.LIVE)
    message = PushedMessage(MeterId("M1"), "0-4:25.9.0*255", b"raw", Evidence(NOON_S * 1_000_000))
    store.pushes.add(message, lambda _: ())
    opened.execute("PRAGMA trusted_schema = OFF")
    rows = {"v_gaps": 0, "v_clocks": 0, "v_clock_sets": 0}
    for (name,) in opened.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall():
        found = opened.execute(f"SELECT * FROM {name}").fetchall()
        assert len(found) >= rows.get(name, 1)


def test_a_changed_site_zone_shows_in_local_times(site, opened):
    site.close()
    site.readings(zone_minutes=0)
    assert only(opened, "SELECT time_local FROM v_block_load") == {
        "time_local": "2025-07-23 06:30:00"
    }
