"""Schemas in numbered steps: a step and the record of it commit together."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlite_utils

from gateway.errors import StoreError
from gateway.store.database import Database

Step = tuple[str, ...]
"""SQL statements of one migration. Steps are only ever added, never changed."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Name, steps (numbered from 0001) and views (name -> SELECT) of one kind of file.

    Views hold no data, so they are not migrated: a file gets their present text at each opening.
    """

    name: str
    steps: tuple[Step, ...]
    views: Mapping[str, str] = field(default_factory=dict)


def migrate(database: Database, schema: Schema) -> None:
    """Bring a file to the newest schema.

    Raises StoreError for a file that a newer version made; it is left as it is.
    """
    with database.translated():
        utils = sqlite_utils.Database(
            database.connection, recursive_triggers=False, execute_plugins=False
        )
        numbered = _numbered(schema)
        applied = len(numbered.applied(utils))
        if applied > len(schema.steps):
            raise StoreError(f"{database.path}: made by a newer version (schema step {applied})")
        numbered.apply(utils)
    with database.transaction():
        for name, sql in schema.views.items():
            utils.create_view(name, sql, replace=True)
        set_meta(database, "sqlite_version", sqlite3.sqlite_version)


def meta(database: Database, key: str) -> str | None:
    """A fact about the file itself, None if it was never set."""
    value: str | None = database.value("SELECT value FROM meta WHERE key = ?", [key])
    return value


def set_meta(database: Database, key: str, value: str) -> None:
    """Set a fact, inside a transaction; writes nothing where it is so already."""
    database.rows(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key)"
        " DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
        [key, value],
    )


def _numbered(schema: Schema) -> sqlite_utils.Migrations:
    numbered = sqlite_utils.Migrations(schema.name)
    for number, statements in enumerate(schema.steps, 1):

        def step(utils: sqlite_utils.Database, statements: Step = statements) -> None:
            for statement in statements:
                utils.execute(statement)

        numbered(name=f"{number:04d}")(step)
    return numbered
