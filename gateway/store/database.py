"""One SQLite connection with explicit transactions; every SQLite error is translated here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gateway.errors import StoreCorrupt, StoreError, StoreFull

PAGE_OCTETS: Final = 4096
_LOCK_WAIT_S: Final = 30.0

_NO_ROOM: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    }
)
"""What a full disk, a quota or a file size limit looks like beside SQLITE_FULL itself."""


class Journal(StrEnum):
    """How a file's transactions are made durable.

    WAL for a file with one owner. DELETE (rollback journal) for a file that several processes
    open: SQLite before 3.51.3 (3.50.7, 3.44.6) can lose a WAL reset with two writers.
    """

    WAL = "wal"
    DELETE = "delete"


def translate(error: sqlite3.Error, path: Path | str) -> StoreError:
    """The error of our own tree for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0)
    said = f"{path}: {error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    if code & 0xFF == sqlite3.SQLITE_FULL or code in _NO_ROOM:
        return StoreFull(f"{said}; nothing of the transaction was written")
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(said)
    return StoreError(said)


class Database:
    """A connection in autocommit mode; changes happen in ``transaction()`` only.

    Not thread-safe: one owner at a time. Every method raises StoreFull, StoreCorrupt or
    StoreError, never an error of sqlite3.
    """

    def __init__(self, path: Path, journal: Journal, *, max_octets: int | None = None) -> None:
        self.path = path
        with self.translated():
            self.connection = sqlite3.connect(
                path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False
            )
        try:
            self._configure(journal, max_octets)
        except BaseException:
            self.connection.close()
            raise

    def _configure(self, journal: Journal, max_octets: int | None) -> None:
        self.rows(f"PRAGMA page_size = {PAGE_OCTETS}")
        mode = self.value(f"PRAGMA journal_mode = {journal.value}")
        if mode != journal.value:
            raise StoreError(f"{self.path}: journal mode is {mode}, not {journal.value}")
        # a rollback journal commits by being deleted, and only EXTRA makes that name durable
        synchronous = "FULL" if journal is Journal.WAL else "EXTRA"
        for pragma in (f"synchronous = {synchronous}", "foreign_keys = ON", "trusted_schema = OFF"):
            self.rows(f"PRAGMA {pragma}")
        if max_octets is not None:
            self.rows(f"PRAGMA max_page_count = {max(max_octets // PAGE_OCTETS, 1)}")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of sqlite3 inside the block leave it as errors of our own tree."""
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE; commit at the end, roll back on any exception."""
        with self.translated():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                # a full disk can have ended the transaction already
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.translated():
            return self.connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, None if there is none."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first column of the first row of a query, None if there is none."""
        found = self.row(sql, parameters)
        return found[0] if found else None

    def check(self) -> None:
        """Read the whole file; raise StoreCorrupt with what SQLite found."""
        found = [str(line) for (line,) in self.rows("PRAGMA quick_check(5)")]
        if found != ["ok"]:
            raise StoreCorrupt(f"{self.path}: {'; '.join(found)}")

    def octets_used(self) -> int:
        """Octets of pages that hold something; freed pages are used again and do not count."""
        pages: int = self.value("PRAGMA page_count")
        free: int = self.value("PRAGMA freelist_count")
        return (pages - free) * PAGE_OCTETS

    def close(self) -> None:
        """Close; the last connection of a WAL file writes the log back."""
        with self.translated():
            self.connection.close()
