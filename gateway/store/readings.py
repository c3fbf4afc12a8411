"""readings.db: rows with their evidence, the outbox, and what a reading plan asks.

Rows, the message that carries them and its sequence number are one transaction, so what was
acknowledged is stored and will be sent, and what is sent was stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.errors import StoreFull, UsageError
from gateway.model import (
    Batch,
    CaptureList,
    CaptureObject,
    MeterId,
    ProfileKind,
    TimeQuality,
    row_digest,
)
from gateway.store.database import Database, Journal
from gateway.store.identities import Identities
from gateway.store.migrations import set_meta
from gateway.store.notes import Notes
from gateway.store.opening import OpenReport, open_database
from gateway.store.outbox import NewMessage, Outbox
from gateway.store.packing import NewRow, packed
from gateway.store.pushes import Pushes
from gateway.store.registry import Registry
from gateway.store.retention import Budget, Trimmed, trim
from gateway.store.schema import READINGS
from gateway.store.sources import Sources
from gateway.store.stream import Stream
from gateway.store.values import StoredValue, values_from_json, values_to_json
from gateway.store.witness import Witness
from gateway.uplink.outbox import Lane

ROWS_PER_MESSAGE: Final = 48
MAX_ROWS_PER_MESSAGE: Final = 96
KIND: Final = "readings"

_INSERT: Final = (
    "INSERT INTO readings (meter_id, profile_id, captured_at_s, digest, capture_list_id, sequence,"
    " conflict, time_quality, received_at_us, server_system_title, invocation_counter,"
    " values_json, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class AddResult:
    """What became of the rows of a batch.

    ``conflicts`` counts new rows that differ from another row at the same time; they are stored
    and sent as well. ``sequences`` are those of the messages to send in the batch's lane, ``notes``
    those of what else is told, in the live one.
    """

    new_rows: int
    duplicates: int
    conflicts: int
    sequences: tuple[int, ...]
    notes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as it was stored, with the key to its raw octets."""

    captured_at_s: int
    received_at_us: int
    capture_list: CaptureList
    values: tuple[StoredValue, ...]
    raw: bytes
    time_quality: TimeQuality


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many capture times of a meter's buffer are stored within a span."""

    meter: MeterId
    profile: str
    times: int
    conflicts: int
    first_s: int
    last_s: int


def _no_notes(_: Batch) -> Sequence[NewMessage]:
    return ()


class ReadingsStore:
    """One readings.db. Not thread-safe: opened, used and closed behind a ``StoreDoor``."""

    def __init__(self, database: Database, stream: Stream, report: OpenReport, rows: int) -> None:
        self._database = database
        self._rows_per_message = rows
        self.stream = stream
        self.report = report
        self.outbox = Outbox(database, stream)
        self._sources = Sources(database)
        self.pushes = Pushes(database, self.outbox, self._sources)
        self.registry = Registry(database, self.outbox)
        self.identities = Identities(database)
        self.notes = Notes(database, self._sources)
        #: rows refused for lack of room since the store was opened
        self.rows_refused = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        gateway_id: str,
        witness: Witness,
        random_bytes: Callable[[int], bytes],
        now_us: int,
        zone_minutes: int = 330,
        max_octets: int | None = None,
        rows_per_message: int = ROWS_PER_MESSAGE,
    ) -> ReadingsStore:
        """Open or make the file; look at ``report`` afterwards.

        ``zone_minutes`` is the site's offset for the views' local times. ``max_octets`` is a hard
        bound of the file. Raises StoreError for a file of another gateway or a newer version.
        """
        if not 1 <= rows_per_message <= MAX_ROWS_PER_MESSAGE:
            raise UsageError(f"a message carries 1 to {MAX_ROWS_PER_MESSAGE} rows")
        opened = open_database(path, Journal.WAL, READINGS, max_octets=max_octets)
        try:
            stream = Stream(opened.database, witness, random_bytes)
            restored = stream.open(gateway_id=gateway_id, now_us=now_us)
            with opened.database.transaction():
                set_meta(opened.database, "zone_minutes", str(zone_minutes))
        except BaseException:
            opened.database.close()
            raise
        report = OpenReport(opened.created, restored, opened.quarantined, opened.damage)
        return cls(opened.database, stream, report, rows_per_message)

    def close(self) -> None:
        """Write the log back and close the file."""
        self._database.close()

    def check(self) -> None:
        """Read the whole file; raise StoreCorrupt."""
        self._database.check()

    def octets_used(self) -> int:
        """Octets of pages in use."""
        return self._database.octets_used()

    def trim(self, now_s: int, budget: Budget) -> Trimmed:
        """Forget what the policy of ``gateway.store.retention`` lets go."""
        return trim(self._database, now_s, budget)

    def add_batch(
        self,
        batch: Batch,
        encode: Callable[[Batch], bytes],
        lane: Lane,
        notes: Callable[[Batch], Sequence[NewMessage]] = _no_notes,
    ) -> AddResult:
        """Store the rows that are new and the messages that carry them, in one transaction.

        ``encode`` makes a message body (without header) of a batch of new rows; rows that it
        finds too large for one message (MessageTooLarge) go into several. A row too large for a
        message of its own is stored, and its message put aside as refused, once. A row that is
        stored already, by its digest, is neither stored nor sent again. ``notes`` makes what else
        is to be told of the new rows (named events). Raises StoreFull (nothing
        was stored, ``rows_refused`` counts it), UsageError for rows that do not fit their columns.
        """
        columns = len(batch.capture_list.columns)
        if any(len(row.values) != columns for row in batch.rows):
            raise UsageError(f"each row of {batch.meter} must have {columns} values")
        try:
            with self._database.transaction():
                return self._add(batch, encode, lane, notes)
        except StoreFull:
            self.rows_refused += len(batch.rows)
            raise

    def add_message(self, message: NewMessage, now_us: int) -> int:
        """Store a message that carries no rows (event, result); its sequence number."""
        with self._database.transaction():
            return self.outbox.insert(message, now_us)

    def name_objects(self, names: Mapping[CaptureObject, str]) -> None:
        """Give the columns of the views their names; written only where they changed."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO object_names VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET name = excluded.name WHERE name <> excluded.name",
                [(o.class_id, str(o.obis), o.attribute, name) for o, name in names.items()],
            )

    def _add(
        self,
        batch: Batch,
        encode: Callable[[Batch], bytes],
        lane: Lane,
        notes: Callable[[Batch], Sequence[NewMessage]],
    ) -> AddResult:
        connection = self._database.connection
        sources = self._sources
        meter_id, list_id = (
            sources.meter_id(batch.meter),
            sources.capture_list_id(batch.capture_list),
        )
        profile_id = sources.buffer_id(batch.label)
        evidence = batch.evidence
        connection.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET"
            " capture_list_id = excluded.capture_list_id,"
            " last_received_at_us = excluded.last_received_at_us",
            (meter_id, profile_id, list_id, evidence.received_at_us),
        )
        new, conflicts = self._new_rows(batch, meter_id, profile_id)
        sequences = []
        for chunk, body, too_large in packed(batch, new, self._rows_per_message, encode):
            message = NewMessage(KIND, batch.meter, lane, body, batch.profile)
            sequence = self.outbox.insert(message, evidence.received_at_us)
            if too_large:
                self.outbox.refuse(sequence, too_large, evidence.received_at_us)
            else:
                sequences.append(sequence)
            connection.executemany(
                _INSERT,
                [
                    (
                        meter_id,
                        profile_id,
                        row.captured_at_s,
                        digest,
                        list_id,
                        sequence,
                        digest in conflicts,
                        row.time_quality.value,
                        evidence.received_at_us,
                        evidence.server_system_title,
                        evidence.invocation_counter,
                        values_to_json(row.values),
                        row.raw,
                    )
                    for row, digest in chunk
                ],
            )
        if conflicts:
            connection.executemany(
                "UPDATE readings SET conflict = 1"
                " WHERE meter_id = ? AND profile_id = ? AND captured_at_s = ?",
                [(meter_id, profile_id, time_s) for time_s in set(conflicts.values())],
            )
        told = notes(replace(batch, rows=tuple(row for row, _ in new))) if new else ()
        return AddResult(
            len(new),
            len(batch.rows) - len(new),
            len(conflicts),
            tuple(sequences),
            tuple(self.outbox.insert(one, evidence.received_at_us) for one in told),
        )

    def _new_rows(
        self, batch: Batch, meter_id: int, profile_id: int
    ) -> tuple[list[NewRow], dict[bytes, int]]:
        """Rows that are not stored yet, by time, and the digests (with time) of conflicts.

        Two events may share a second, and a meter with an unset clock stamps all rows 1970:
        there a time is no identity, so nothing conflicts.
        """
        stored: dict[int, set[bytes]] = {}
        for time_s, digest in self._database.rows(
            "SELECT captured_at_s, digest FROM readings WHERE meter_id = ? AND profile_id = ?"
            " AND captured_at_s IN (SELECT value FROM json_each(?))",
            [meter_id, profile_id, json.dumps([row.captured_at_s for row in batch.rows])],
        ):
            stored.setdefault(time_s, set()).add(digest)
        captures = batch.capture_list.digest
        new: list[NewRow] = []
        conflicts: dict[bytes, int] = {}
        for row in sorted(batch.rows, key=lambda row: row.captured_at_s):
            digest = row_digest(captures, row.raw)
            known = stored.setdefault(row.captured_at_s, set())
            if digest in known:
                continue
            times_identify = batch.profile is not ProfileKind.EVENTS
            if known and times_identify and row.time_quality is not TimeQuality.INVALID:
                conflicts[digest] = row.captured_at_s
            known.add(digest)
            new.append((row, digest))
        return new, conflicts

    def last_captured(
        self, meter: MeterId, profile: str, *, not_after_s: int | None = None
    ) -> int | None:
        """Newest valid capture time, UTC seconds; None if there is none.

        ``not_after_s`` leaves out what a meter stamped while its clock ran ahead.
        """
        found: int | None = self._database.value(
            "SELECT captured_at_s FROM readings"
            " WHERE meter_id = (SELECT id FROM meters WHERE meter = ?1) AND profile_id = ?2"
            " AND (?3 IS NULL OR captured_at_s <= ?3) AND time_quality <> 'invalid'"
            " ORDER BY captured_at_s DESC LIMIT 1",
            [meter, self._sources.known_buffer(profile), not_after_s],
        )
        return found

    def captured_times(self, meter: MeterId, profile: str, from_s: int, to_s: int) -> list[int]:
        """Valid capture times stored in ``from_s`` .. ``to_s`` inclusive, rising."""
        rows = self._database.rows(
            "SELECT DISTINCT captured_at_s FROM readings"
            " WHERE meter_id = (SELECT id FROM meters WHERE meter = ?) AND profile_id = ?"
            " AND captured_at_s BETWEEN ? AND ? AND time_quality <> 'invalid'"
            " ORDER BY captured_at_s",
            [meter, self._sources.known_buffer(profile), from_s, to_s],
        )
        return [time_s for (time_s,) in rows]

    def trimmed_through(self, meter: MeterId, profile: str) -> int | None:
        """Capture time up to which rows were forgotten on purpose: not missing, not to be read."""
        found: int | None = self._database.value(
            "SELECT trimmed_through_s FROM sources"
            " WHERE meter_id = (SELECT id FROM meters WHERE meter = ?) AND profile_id = ?",
            [meter, self._sources.known_buffer(profile)],
        )
        return found

    def last_received_s(self, meter: MeterId, profile: str) -> int | None:
        """When a buffer was read last, whether it held anything new or not."""
        found: int | None = self._database.value(
            "SELECT last_received_at_us FROM sources"
            " WHERE meter_id = (SELECT id FROM meters WHERE meter = ?) AND profile_id = ?",
            [meter, self._sources.known_buffer(profile)],
        )
        return None if found is None else found // 1_000_000

    def digests(self, meter: MeterId, profile: str) -> frozenset[bytes]:
        """Identities (``row_digest``) of all rows stored of a buffer."""
        rows = self._database.rows(
            "SELECT digest FROM readings"
            " WHERE meter_id = (SELECT id FROM meters WHERE meter = ?) AND profile_id = ?",
            [meter, self._sources.known_buffer(profile)],
        )
        return frozenset(digest for (digest,) in rows)

    def capture_list(self, meter: MeterId, profile: str) -> CaptureList | None:
        """The columns seen last, None before the first batch."""
        found = self._database.value(
            "SELECT capture_list_id FROM sources"
            " WHERE meter_id = (SELECT id FROM meters WHERE meter = ?) AND profile_id = ?",
            [meter, self._sources.known_buffer(profile)],
        )
        return None if found is None else self._sources.capture_list(found)

    def latest_row(
        self, meter: MeterId, profile: str, *, not_after_s: int | None = None
    ) -> StoredRow | None:
        """The newest row (the nameplate, the present values): a valid one if there is any."""
        newest = self.last_captured(meter, profile, not_after_s=not_after_s)
        found = self._database.row(
            "SELECT captured_at_s, received_at_us, capture_list_id, values_json, raw, time_quality"
            " FROM readings WHERE meter_id = (SELECT id FROM meters WHERE meter = ?)"
            " AND profile_id = ? AND (? IS NULL OR captured_at_s = ?)"
            " ORDER BY captured_at_s DESC, id DESC LIMIT 1",
            [meter, self._sources.known_buffer(profile), newest, newest],
        )
        if found is None:
            return None
        captured_at_s, received_at_us, list_id, values, raw, quality = found
        captures = self._sources.capture_list(list_id)
        stored = values_from_json(values)
        return StoredRow(captured_at_s, received_at_us, captures, stored, raw, TimeQuality(quality))

    def coverage(self, from_s: int, to_s: int) -> list[Coverage]:
        """What is stored of each meter and profile in ``from_s`` .. ``to_s`` inclusive."""
        rows = self._database.rows(
            "SELECT m.meter, p.profile, count(DISTINCT captured_at_s),"
            " count(DISTINCT CASE WHEN conflict THEN captured_at_s END),"
            " min(captured_at_s), max(captured_at_s) FROM readings r"
            " JOIN meters m ON m.id = r.meter_id JOIN profiles p ON p.id = r.profile_id"
            " WHERE captured_at_s BETWEEN ? AND ? AND time_quality <> 'invalid'"
            " GROUP BY m.meter, p.id ORDER BY m.meter, p.id",
            [from_s, to_s],
        )
        return [Coverage(MeterId(meter), profile, *counts) for meter, profile, *counts in rows]
