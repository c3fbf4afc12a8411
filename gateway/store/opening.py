"""Opening a file that may be new, damaged or put back from a backup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from gateway.errors import StoreCorrupt, StoreError
from gateway.files import sync_directory
from gateway.store.database import Database, Journal
from gateway.store.migrations import Schema, migrate
from gateway.store.witness import Mark, Witness

_BESIDE: Final = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class OpenReport:
    """What opening found: to be shown and alarmed, never passed over.

    ``created``: the file is new and empty. ``restored``: the file is older than what was given
    out, so it began a new life (epoch) and system titles must be renewed. ``quarantined``: where
    a damaged file was put, with ``damage`` as SQLite names it; ``created`` is then set as well.
    """

    created: bool = False
    restored: bool = False
    quarantined: Path | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """A migrated, checked database, and how it came to be."""

    database: Database
    created: bool
    quarantined: Path | None
    damage: str


def open_database(
    path: Path, journal: Journal, schema: Schema, *, max_octets: int | None = None
) -> Opened:
    """Open, check and migrate; a damaged file is put aside and an empty one made.

    Raises StoreFull or StoreError where the file is not damaged but cannot be used.
    """
    created = not path.exists()
    try:
        return Opened(_open(path, journal, schema, max_octets), created, None, "")
    except StoreCorrupt as damage:
        aside = _quarantine(path)
        return Opened(_open(path, journal, schema, max_octets), True, aside, str(damage))


def _open(path: Path, journal: Journal, schema: Schema, max_octets: int | None) -> Database:
    # readings and counters are nobody else's business on a shared box
    path.touch(mode=0o600)
    database = Database(path, journal, max_octets=max_octets)
    try:
        database.check()
        migrate(database, schema)
    except BaseException:
        database.close()
        raise
    return database


def _quarantine(path: Path) -> Path:
    aside = next(
        candidate
        for number in count(1)
        if not (candidate := path.with_name(f"{path.name}.bad-{number}")).exists()
    )
    try:
        for suffix in _BESIDE:
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: damaged, cannot be put aside: {error.strerror}") from error
    return aside


def is_behind(
    witness: Witness, store: str, *, total: int, knows: Callable[[str], bool], epoch: str
) -> tuple[bool, Mark | None]:
    """Whether an existing file is older than its witness says, and the witness's mark.

    ``knows`` tells whether the file has ever had that epoch. No mark for a file that exists, or a
    damaged witness, proves nothing and so counts as restored: a new epoch costs little, a number
    given out twice costs data.
    """
    try:
        mark = witness.read(store)
    except StoreCorrupt:
        return True, None
    if mark is None:
        return True, None
    if mark.epoch == epoch:
        return mark.total > total, mark
    return not knows(mark.epoch), mark
