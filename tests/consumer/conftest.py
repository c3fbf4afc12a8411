"""One real PostgreSQL for the whole session; each test gets an empty database of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from consumer_app.database.connect import Database
from consumer_app.database.migrate import migrate
from hil_tests.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    # not below pytest's own folder: that is closed to the server's system user
    folder = Path(tempfile.mkdtemp(prefix="smg-postgres-"))
    try:
        with EmbeddedPostgres(folder, given_url=os.environ.get("SMG_DATABASE_URL", "")) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"create database {name}")
    yield psycopg.conninfo.make_conninfo(postgres.url, dbname=name)
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url, connections=4, wait_s=5) as opened:
        migrate(opened, now_s=0)
        yield opened
