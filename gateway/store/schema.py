"""What readings.db holds, and the views a technician finds there."""

# ruff: noqa: S608 - the texts are put together from constants of this file only

from __future__ import annotations

from typing import Final

from gateway.model import UNIT_NAMES, ProfileKind
from gateway.store.migrations import Schema

PROFILE_IDS: Final = {
    ProfileKind.NAMEPLATE: 1,
    ProfileKind.INSTANTANEOUS: 2,
    ProfileKind.BLOCK_LOAD: 3,
    ProfileKind.DAILY_LOAD: 4,
    ProfileKind.BILLING: 5,
    ProfileKind.EVENTS: 6,
}
"""Small integers for rows; never changed once a file holds them. Event logs take the next ones."""


def _literals(pairs: dict[int, str]) -> str:
    return ", ".join(f"({number}, '{name}')" for number, name in pairs.items())


_READINGS: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE epochs (
        epoch TEXT PRIMARY KEY,
        own INTEGER NOT NULL CHECK (own IN (0, 1)),
        begun_at_us INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE meters (id INTEGER PRIMARY KEY, meter TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE profiles (id INTEGER PRIMARY KEY, profile TEXT NOT NULL UNIQUE) STRICT",
    "INSERT INTO profiles VALUES " + _literals({v: k.value for k, v in PROFILE_IDS.items()}),
    "CREATE TABLE units (code INTEGER PRIMARY KEY, unit TEXT NOT NULL) STRICT",
    "INSERT INTO units VALUES " + _literals(dict(UNIT_NAMES)),
    """CREATE TABLE object_names (
        class_id INTEGER NOT NULL,
        obis TEXT NOT NULL,
        attribute INTEGER NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (class_id, obis, attribute)
    ) STRICT, WITHOUT ROWID""",
    # types are no part of a capture list's digest, but are needed to show the raw octets
    """CREATE TABLE capture_lists (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL CHECK (length(digest) = 16),
        types TEXT NOT NULL,
        UNIQUE (digest, types)
    ) STRICT""",
    """CREATE TABLE capture_columns (
        capture_list_id INTEGER NOT NULL REFERENCES capture_lists (id),
        position INTEGER NOT NULL,
        class_id INTEGER NOT NULL,
        obis TEXT NOT NULL,
        attribute INTEGER NOT NULL,
        data_index INTEGER NOT NULL,
        scaler INTEGER,
        unit INTEGER,
        type_name TEXT NOT NULL,
        PRIMARY KEY (capture_list_id, position)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE sources (
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        profile_id INTEGER NOT NULL REFERENCES profiles (id),
        capture_list_id INTEGER NOT NULL REFERENCES capture_lists (id),
        last_received_at_us INTEGER NOT NULL,
        trimmed_through_s INTEGER,
        PRIMARY KEY (meter_id, profile_id)
    ) STRICT, WITHOUT ROWID""",
    # sequence names the message that carries the row, also after that message was committed
    """CREATE TABLE readings (
        id INTEGER PRIMARY KEY,
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        profile_id INTEGER NOT NULL REFERENCES profiles (id),
        captured_at_s INTEGER NOT NULL,
        digest BLOB NOT NULL CHECK (length(digest) = 16),
        capture_list_id INTEGER NOT NULL REFERENCES capture_lists (id),
        sequence INTEGER NOT NULL,
        conflict INTEGER NOT NULL CHECK (conflict IN (0, 1)),
        time_quality TEXT NOT NULL,
        received_at_us INTEGER NOT NULL,
        server_system_title BLOB,
        invocation_counter INTEGER,
        values_json TEXT NOT NULL,
        raw BLOB NOT NULL,
        UNIQUE (meter_id, profile_id, captured_at_s, digest)
    ) STRICT""",
    "CREATE INDEX readings_by_age ON readings (profile_id, captured_at_s)",
    # AUTOINCREMENT: a number is not used again when the newest message is deleted
    """CREATE TABLE outbox (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        lane TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        profile TEXT,
        created_at_us INTEGER NOT NULL,
        payload BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX outbox_by_lane ON outbox (lane, sequence)",
    """CREATE TABLE refused (
        epoch TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        profile TEXT,
        created_at_us INTEGER NOT NULL,
        payload BLOB NOT NULL,
        refused_at_us INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (epoch, sequence)
    ) STRICT""",
    """CREATE TABLE issuers (
        issuer TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        applied_at_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE accounts (
        connection TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        sanctioned_load_w INTEGER NOT NULL,
        phases INTEGER NOT NULL,
        category TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE installations (
        meter TEXT NOT NULL,
        valid_from_s INTEGER NOT NULL,
        valid_to_s INTEGER CHECK (valid_to_s > valid_from_s),
        connection TEXT NOT NULL REFERENCES accounts (connection),
        PRIMARY KEY (meter, valid_from_s)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX installations_by_connection ON installations (connection)",
    """CREATE TABLE account_history (
        id INTEGER PRIMARY KEY,
        connection TEXT NOT NULL,
        issuer TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        applied_at_us INTEGER NOT NULL,
        account_json TEXT NOT NULL
    ) STRICT""",
    """CREATE TRIGGER account_history_is_not_changed BEFORE UPDATE ON account_history
        BEGIN SELECT RAISE(ABORT, 'history is not changed'); END""",
    """CREATE TRIGGER account_history_is_not_deleted BEFORE DELETE ON account_history
        BEGIN SELECT RAISE(ABORT, 'history is not deleted'); END""",
)

_LOCAL: Final = (
    "strftime('%Y-%m-%d %H:%M:%S', {0} + 60 * (SELECT CAST(value AS INTEGER) FROM meta"
    " WHERE key = 'zone_minutes'), 'unixepoch')"
)
_UTC: Final = "strftime('%Y-%m-%d %H:%M:%S', {0}, 'unixepoch')"


def _value(obis: str, unit: int, name: str) -> str:
    """The value of a register column by its logical name, whatever its position.

    By json_each: older SQLite calls json_extract unsafe in a schema that is not trusted.
    """
    return (
        "(SELECT v.value FROM capture_columns c"
        " JOIN json_each(r.values_json) v ON v.key = c.position"
        f" WHERE c.capture_list_id = r.capture_list_id AND c.obis = '{obis}'"
        f" AND c.attribute = 2 AND c.unit = {unit}) AS {name}"
    )


def _rows(profile: ProfileKind, *columns: str) -> str:
    return (
        f"SELECT m.meter, {_LOCAL.format('r.captured_at_s')} AS time_local,"
        f" {_UTC.format('r.captured_at_s')} AS time_utc, {', '.join(columns)},"
        " r.time_quality, r.conflict"
        " FROM readings r JOIN meters m ON m.id = r.meter_id"
        f" WHERE r.profile_id = {PROFILE_IDS[profile]}"
    )


def _long(where: str = "") -> str:
    return (
        f"SELECT m.meter, p.profile, {_LOCAL.format('r.captured_at_s')} AS time_local,"
        f" {_UTC.format('r.captured_at_s')} AS time_utc, c.obis, c.attribute,"
        " coalesce(n.name, c.obis) AS name, v.value, coalesce(u.unit, '') AS unit,"
        " r.time_quality, r.conflict, r.captured_at_s"
        " FROM readings r JOIN meters m ON m.id = r.meter_id"
        " JOIN profiles p ON p.id = r.profile_id"
        " JOIN json_each(r.values_json) v"
        " JOIN capture_columns c ON c.capture_list_id = r.capture_list_id AND c.position = v.key"
        " LEFT JOIN object_names n ON n.class_id = c.class_id AND n.obis = c.obis"
        f" AND n.attribute = c.attribute LEFT JOIN units u ON u.code = c.unit{where}"
    )


VIEWS: Final = {
    "v_daily_load": _rows(
        ProfileKind.DAILY_LOAD,
        _value("1-0:1.8.0*255", 30, "wh_import"),
        _value("1-0:9.8.0*255", 31, "vah_import"),
        _value("1-0:2.8.0*255", 30, "wh_export"),
        _value("1-0:10.8.0*255", 31, "vah_export"),
    ),
    "v_block_load": _rows(
        ProfileKind.BLOCK_LOAD,
        _value("1-0:1.29.0*255", 30, "wh_import"),
        _value("1-0:9.29.0*255", 31, "vah_import"),
        _value("1-0:2.29.0*255", 30, "wh_export"),
        _value("1-0:10.29.0*255", 31, "vah_export"),
        _value("1-0:12.27.0*255", 35, "average_v"),
        _value("1-0:11.27.0*255", 33, "average_a"),
    ),
    "v_instantaneous": _long(f" WHERE r.profile_id = {PROFILE_IDS[ProfileKind.INSTANTANEOUS]}"),
    "v_events": _long(" WHERE p.profile LIKE 'events%'"),
    "v_pushes": (
        f"SELECT m.meter, x.object, {_LOCAL.format('x.received_at_us / 1000000')}"
        " AS received_local, x.invocation_counter, length(x.raw) AS octets"
        " FROM pushes x JOIN meters m ON m.id = x.meter_id"
    ),
    "v_readings": _long(),
    "v_outbox": (
        "SELECT sequence, lane, kind, subject, profile,"
        f" {_UTC.format('created_at_us / 1000000')} AS created_utc,"
        " length(payload) AS payload_octets FROM outbox"
    ),
    "v_refused": (
        "SELECT epoch, sequence, kind, subject, profile, reason,"
        f" {_UTC.format('refused_at_us / 1000000')} AS refused_utc FROM refused"
    ),
    "v_meters": (
        f"SELECT m.meter, p.profile, {_UTC.format('s.last_received_at_us / 1000000')}"
        " AS last_received_utc, (SELECT i.connection FROM installations i"
        " WHERE i.meter = m.meter AND i.valid_to_s IS NULL) AS connection"
        " FROM sources s JOIN meters m ON m.id = s.meter_id JOIN profiles p ON p.id = s.profile_id"
    ),
    "v_gaps": (
        f"SELECT m.meter, p.profile, {_LOCAL.format('g.from_s')} AS first_local,"
        f" {_LOCAL.format('g.to_s')} AS last_local, g.reason,"
        f" {_UTC.format('g.declared_at_us / 1000000')} AS declared_utc FROM gaps g"
        " JOIN meters m ON m.id = g.meter_id JOIN profiles p ON p.id = g.profile_id"
    ),
    "v_clocks": (
        f"SELECT m.meter, {_UTC.format('c.day_s')} AS day_utc, c.checks, c.least_s, c.most_s,"
        " c.last_s FROM clock_days c JOIN meters m ON m.id = c.meter_id"
    ),
    "v_clock_sets": (
        f"SELECT m.meter, {_UTC.format('c.at_us / 1000000')} AS at_utc, c.before_s, c.after_s,"
        " c.outcome FROM clock_sets c JOIN meters m ON m.id = c.meter_id"
    ),
}

_ISSUER_OF_ACCOUNT: Final = ("ALTER TABLE accounts ADD COLUMN issuer TEXT NOT NULL DEFAULT ''",)

_NOTES: Final = (
    """CREATE TABLE gaps (
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        profile_id INTEGER NOT NULL REFERENCES profiles (id),
        from_s INTEGER NOT NULL,
        to_s INTEGER NOT NULL CHECK (to_s >= from_s),
        reason TEXT NOT NULL,
        declared_at_us INTEGER NOT NULL,
        PRIMARY KEY (meter_id, profile_id, from_s)
    ) STRICT, WITHOUT ROWID""",
    # the period that is in force ends at 2^62
    """CREATE TABLE capture_periods (
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        profile_id INTEGER NOT NULL REFERENCES profiles (id),
        until_s INTEGER NOT NULL,
        period_s INTEGER NOT NULL CHECK (period_s > 0),
        PRIMARY KEY (meter_id, profile_id, until_s)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE clock_days (
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        day_s INTEGER NOT NULL,
        checks INTEGER NOT NULL,
        least_s INTEGER NOT NULL,
        most_s INTEGER NOT NULL,
        last_s INTEGER NOT NULL,
        PRIMARY KEY (meter_id, day_s)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE clock_right (
        meter_id INTEGER PRIMARY KEY REFERENCES meters (id),
        at_s INTEGER NOT NULL
    ) STRICT""",
    # a doubt that is still open ends at 2^62; worst_s is the latest stamp it can have made
    """CREATE TABLE clock_doubts (
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        from_s INTEGER NOT NULL,
        to_s INTEGER NOT NULL,
        worst_s INTEGER NOT NULL,
        PRIMARY KEY (meter_id, to_s)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE clock_sets (
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        at_us INTEGER NOT NULL,
        before_s INTEGER NOT NULL,
        after_s INTEGER,
        outcome TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX clock_sets_by_meter ON clock_sets (meter_id, at_us)",
)

_PUSHES: Final = (
    # what a meter sent unasked, where it became no row of a buffer
    """CREATE TABLE pushes (
        id INTEGER PRIMARY KEY,
        meter_id INTEGER NOT NULL REFERENCES meters (id),
        object TEXT NOT NULL,
        digest BLOB NOT NULL CHECK (length(digest) = 16),
        received_at_us INTEGER NOT NULL,
        server_system_title BLOB,
        invocation_counter INTEGER,
        raw BLOB NOT NULL,
        UNIQUE (meter_id, digest)
    ) STRICT""",
    "CREATE INDEX pushes_by_age ON pushes (received_at_us)",
    """CREATE TABLE status_words (
        meter_id INTEGER PRIMARY KEY REFERENCES meters (id),
        word TEXT NOT NULL,
        received_at_us INTEGER NOT NULL
    ) STRICT""",
)

READINGS: Final = Schema("readings", (_READINGS, _ISSUER_OF_ACCOUNT, _NOTES, _PUSHES), VIEWS)
