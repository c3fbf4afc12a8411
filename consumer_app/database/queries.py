"""Rows out: what the API and the page show."""

from __future__ import annotations

from typing import LiteralString, NamedTuple

from consumer_app.database.connect import Connection
from consumer_app.database.values import capture_list_from_json, values_from_json
from gateway.model import CaptureList, Evidence, MeterId, ProfileKind, TimeQuality, Value


class StoredRow(NamedTuple):
    """A row as it was committed, with the columns that explain it and where it came from."""

    meter: MeterId
    captured_at_s: int
    digest: bytes
    capture_list: CaptureList
    values: tuple[Value, ...]
    raw: bytes | None
    time_quality: TimeQuality
    evidence: Evidence


_ROWS: LiteralString = """
    select m.meter, r.captured_at_s, r.digest, c.digest, c.columns, r.values::text, r.raw,
           r.time_quality::text, r.received_at_us, r.server_system_title, r.invocation_counter
    from readings r
    join meters m using (meter_no)
    join capture_lists c using (capture_list_no)
    where m.meter = %(meter)s and r.profile = %(profile)s::profile_kind
      and r.captured_at_s between %(first_s)s and %(last_s)s
      and r.time_quality <> 'invalid'
      and (not %(newest)s or r.captured_at_s = (
          select max(n.captured_at_s) from readings n
          where n.meter_no = r.meter_no and n.profile = r.profile
            and n.captured_at_s between %(first_s)s and %(last_s)s
            and n.time_quality <> 'invalid'))
    order by r.captured_at_s, r.digest
"""


def rows_between(
    connection: Connection, meter: MeterId, profile: ProfileKind, first_s: int, last_s: int
) -> list[StoredRow]:
    """Rows captured from ``first_s`` to ``last_s``, both included, by time.

    Rows whose capture time cannot be believed are left out; rows that differ at one time are
    all there, beside each other.
    """
    return _rows(connection, meter, profile, first_s, last_s, newest=False)


def latest_rows(
    connection: Connection, meter: MeterId, profile: ProfileKind, first_s: int, last_s: int
) -> list[StoredRow]:
    """The newest row in that time, [] if none; more than one if they differ."""
    return _rows(connection, meter, profile, first_s, last_s, newest=True)


def _rows(
    connection: Connection,
    meter: MeterId,
    profile: ProfileKind,
    first_s: int,
    last_s: int,
    *,
    newest: bool,
) -> list[StoredRow]:
    found = connection.execute(
        _ROWS,
        {
            "meter": meter,
            "profile": profile.value,
            "first_s": first_s,
            "last_s": last_s,
            "newest": newest,
        },
    )
    lists: dict[bytes, CaptureList] = {}
    rows = []
    for (
        serial,
        captured_at_s,
        digest,
        list_digest,
        columns,
        values,
        raw,
        quality,
        received_at_us,
        title,
        counter,
    ) in found:
        capture_list = lists.get(list_digest)
        if capture_list is None:
            capture_list = lists[list_digest] = capture_list_from_json(columns)
        rows.append(
            StoredRow(
                meter=MeterId(serial),
                captured_at_s=captured_at_s,
                digest=digest,
                capture_list=capture_list,
                values=values_from_json(values),
                raw=raw,
                time_quality=TimeQuality(quality),
                evidence=Evidence(received_at_us, title, counter),
            )
        )
    return rows
