"""What readings.db forgets, and in which order.

1. Rows whose message still waits in the outbox are never deleted.
2. The newest row of each meter and profile stays, so that reading goes on where it ended.
3. Rows older than their age go: bulk (instantaneous, block load) by one age, records (nameplate,
   daily load, events, billing) and refused messages by a longer one.
4. Pushed messages that became no rows go by the age of bulk.
5. If the file is then still over its octets, rows go oldest first, profile after profile in the
   order of ``ORDER``: pushed messages, then bulk, what bills and disputes rest on last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.errors import UsageError
from gateway.model import ProfileKind
from gateway.store.database import Database

_END_OF_TIME_S: Final = 2**62
_CHUNK_ROWS: Final = 500
"""Deleted in one transaction, so that the writer is never held for long."""

BULK: Final = (ProfileKind.INSTANTANEOUS, ProfileKind.BLOCK_LOAD)
RECORDS: Final = (
    ProfileKind.NAMEPLATE,
    ProfileKind.DAILY_LOAD,
    ProfileKind.EVENTS,
    ProfileKind.BILLING,
)
ORDER: Final = BULK + RECORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the file may hold: octets of used pages, and ages by group."""

    max_octets: int
    bulk_age_s: int = 400 * 86_400
    record_age_s: int = 1_200 * 86_400

    def __post_init__(self) -> None:
        if self.max_octets <= 0 or not 0 < self.bulk_age_s <= self.record_age_s:
            raise UsageError("a budget has octets > 0 and 0 < bulk_age_s <= record_age_s")


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Rows deleted by reason; ``over_budget`` means nothing more may go, and somebody must act."""

    by_age: int
    by_size: int
    over_budget: bool


def trim(database: Database, now_s: int, budget: Budget) -> Trimmed:
    """Apply the policy; each transaction deletes a bounded number of rows."""
    by_age = 0
    for kinds, age_s in (((None, *BULK), budget.bulk_age_s), (RECORDS, budget.record_age_s)):
        for kind in kinds:
            while deleted := _delete_chunk(database, kind, before_s=now_s - age_s):
                by_age += deleted
    with database.transaction() as connection:
        connection.execute(
            "DELETE FROM refused WHERE refused_at_us < ?",
            ((now_s - budget.record_age_s) * 1_000_000,),
        )
        oldest_s = now_s - budget.record_age_s
        connection.execute("DELETE FROM gaps WHERE to_s < ?", (oldest_s,))
        connection.execute("DELETE FROM clock_days WHERE day_s < ?", (oldest_s,))
        connection.execute("DELETE FROM clock_doubts WHERE to_s < ?", (oldest_s,))
    by_size = 0
    for kind in (None, *ORDER):
        while database.octets_used() > budget.max_octets:
            deleted = _delete_chunk(database, kind, before_s=_END_OF_TIME_S)
            if not deleted:
                break
            by_size += deleted
    return Trimmed(by_age, by_size, database.octets_used() > budget.max_octets)


def _delete_chunk(database: Database, kind: ProfileKind | None, *, before_s: int) -> int:
    """Delete the oldest rows of a kind that may go (None: pushed messages); return how many."""
    if kind is None:
        return _delete_pushes(database, before_s)
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT id, meter_id, profile_id, captured_at_s FROM readings r"
            " WHERE profile_id IN (SELECT id FROM profiles WHERE profile = ?1"
            " OR profile LIKE ?1 || '/%') AND captured_at_s < ?2"
            " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.sequence = r.sequence)"
            " AND captured_at_s < (SELECT max(captured_at_s) FROM readings n"
            " WHERE n.meter_id = r.meter_id AND n.profile_id = r.profile_id)"
            " ORDER BY captured_at_s LIMIT ?3",
            (kind.value, before_s, _CHUNK_ROWS),
        ).fetchall()
        connection.executemany("DELETE FROM readings WHERE id = ?", [(row[0],) for row in rows])
        # remembered, so that what was forgotten is not taken for missing and read again
        through = {(meter, buffer): captured_at_s for _, meter, buffer, captured_at_s in rows}
        connection.executemany(
            "UPDATE sources SET trimmed_through_s = max(coalesce(trimmed_through_s, ?1), ?1)"
            " WHERE meter_id = ?2 AND profile_id = ?3",
            [(time_s, meter, buffer) for (meter, buffer), time_s in through.items()],
        )
    return len(rows)


def _delete_pushes(database: Database, before_s: int) -> int:
    with database.transaction() as connection:
        return connection.execute(
            "DELETE FROM pushes WHERE id IN"
            " (SELECT id FROM pushes WHERE received_at_us < ? ORDER BY received_at_us LIMIT ?)",
            (min(before_s, _END_OF_TIME_S // 1_000_000) * 1_000_000, _CHUNK_ROWS),
        ).rowcount
