"""Bring a database to the newest schema."""

from __future__ import annotations

from importlib import resources
from typing import LiteralString, NamedTuple

from consumer_app.database.connect import Database
from gateway.errors import StoreError

_FOLDER = "consumer_app.database.migrations"


class Migration(NamedTuple):
    """One step of the schema: its number, its file name and its SQL."""

    number: int
    name: str
    sql: LiteralString  # it comes with the package, not from outside


def migrations() -> tuple[Migration, ...]:
    """All steps in order of their numbers."""
    files = sorted(
        (entry for entry in resources.files(_FOLDER).iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return tuple(
        Migration(int(entry.name[:4]), entry.name, entry.read_text("utf-8")) for entry in files
    )


def migrate(database: Database, *, now_s: int) -> tuple[str, ...]:
    """Apply what is missing and return the names applied.

    Two callers at once wait for each other. StoreError if the database has steps that this
    program does not know: it is older than its database.
    """
    known = migrations()
    with database.transaction() as connection:
        connection.execute("select pg_advisory_xact_lock(hashtext('smart-meter-gateway migrate'))")
        connection.execute(
            "create table if not exists migrations"
            " (number integer primary key, name text not null, applied_at_s bigint not null)"
        )
        done = {row[0] for row in connection.execute("select number from migrations")}
        unknown = sorted(done - {step.number for step in known})
        if unknown:
            raise StoreError(f"the database has migrations newer than this program: {unknown}")
        missing = [step for step in known if step.number not in done]
        for step in missing:
            connection.execute(step.sql)
            connection.execute(
                "insert into migrations (number, name, applied_at_s) values (%s, %s, %s)",
                (step.number, step.name, now_s),
            )
    return tuple(step.name for step in missing)
