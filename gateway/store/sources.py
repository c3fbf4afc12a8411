"""The small numbers that rows carry instead of names: meters, buffers and capture lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.model import CaptureList, CaptureObject, Column, MeterId, Obis
from gateway.store.database import Database

NO_BUFFER = 0
"""Number of a buffer that no row was ever stored of."""


class Sources:
    """Names of one file, by number. Those that make a name want the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def meter_id(self, meter: MeterId) -> int:
        """A meter's number; made at the first call."""
        self._database.rows("INSERT INTO meters (meter) VALUES (?) ON CONFLICT DO NOTHING", [meter])
        found: int = self._database.value("SELECT id FROM meters WHERE meter = ?", [meter])
        return found

    def buffer_id(self, label: str) -> int:
        """A buffer's number; event logs (``events/voltage``) get theirs at the first call."""
        self._database.rows(
            "INSERT INTO profiles (profile) VALUES (?) ON CONFLICT DO NOTHING", [label]
        )
        return self.known_buffer(label)

    def known_buffer(self, label: str) -> int:
        """A buffer's number; ``NO_BUFFER`` where it has none yet."""
        found: int | None = self._database.value(
            "SELECT id FROM profiles WHERE profile = ?", [label]
        )
        return NO_BUFFER if found is None else found

    def capture_list_id(self, captures: CaptureList) -> int:
        """The number of a capture list with the types seen; made at the first call."""
        key = [captures.digest, ",".join(column.type_name for column in captures.columns)]
        find = "SELECT id FROM capture_lists WHERE digest = ? AND types = ?"
        found: int | None = self._database.value(find, key)
        if found is not None:
            return found
        made: int = self._database.value(
            "INSERT INTO capture_lists (digest, types) VALUES (?, ?) RETURNING id", key
        )
        self._database.connection.executemany(
            "INSERT INTO capture_columns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    made,
                    position,
                    column.source.class_id,
                    str(column.source.obis),
                    column.source.attribute,
                    column.source.data_index,
                    column.scaler,
                    column.unit,
                    column.type_name,
                )
                for position, column in enumerate(captures.columns)
            ],
        )
        return made

    def capture_list(self, list_id: int) -> CaptureList:
        """The capture list of a number."""
        rows: Sequence[tuple[int, str, int, int, int | None, int | None, str]] = (
            self._database.rows(
                "SELECT class_id, obis, attribute, data_index, scaler, unit, type_name"
                " FROM capture_columns WHERE capture_list_id = ? ORDER BY position",
                [list_id],
            )
        )
        return CaptureList(tuple(_columns(rows)))


def _columns(
    rows: Sequence[tuple[int, str, int, int, int | None, int | None, str]],
) -> Iterator[Column]:
    for class_id, obis, attribute, index, scaler, unit, type_name in rows:
        source = CaptureObject(class_id, Obis.parse(obis), attribute, index)
        yield Column(source, scaler, unit, type_name)
