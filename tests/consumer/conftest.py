"""One real PostgreSQL for the whole session; each test gets an empty database of its own."""

import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest

from consumer_app.access import Tokens, set_access_code
from consumer_app.database.accounts import put_account
from consumer_app.database.connect import Database
from consumer_app.database.migrate import migrate
from consumer_app.ingest.core import ingest_messages
from consumer_app.services import Services
from consumer_app.web import create_app
from gateway.model import ConnectionNo, ProfileKind, Secret
from hil_tests.postgres import EmbeddedPostgres
from tests.consumer.seeds import (
    ACCESS_CODE,
    BLOCK,
    CONNECTION,
    DAY_S,
    GATEWAY,
    INSTANTANEOUS,
    MIDNIGHT_S,
    NOW_S,
    account,
    batch,
    block_row,
    daily,
    daily_row,
    delivery,
    snapshot_row,
)

with warnings.catch_warnings():
    # starlette announces another HTTP client for its test client; the one we have still serves
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient


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


@pytest.fixture
def services(database: Database) -> Services:
    numbers = random.Random(1)
    return Services(
        database=database,
        tokens=Tokens(Secret(b"a session secret for tests")),
        zone=ZoneInfo("Asia/Kolkata"),
        utility="Kanpur Electricity",
        now_s=lambda: NOW_S,
        random_bytes=numbers.randbytes,
        secure_cookie=True,
    )


@pytest.fixture
def read_connection(database: Database) -> None:
    """A connection with an access code and readings: days, blocks of a day, a snapshot."""
    with database.transaction() as connection:
        put_account(connection, account(), GATEWAY, now_s=0)
        put_account(connection, account("4509999999", [], "A Neighbour"), GATEWAY, now_s=0)
        for number in (CONNECTION, ConnectionNo("4509999999")):
            set_access_code(
                connection, number, ACCESS_CODE, random_bytes=random.Random(2).randbytes
            )
    rows = [
        daily_row(MIDNIGHT_S + day * DAY_S, str(46_840_000 + 7_326 * day))
        for day in range(-36, 1)
        if day != -8
    ]
    blocks = [block_row(MIDNIGHT_S + n * 1800, str(100 + n)) for n in range(1, 40) if n != 13]
    snapshot = snapshot_row(NOW_S - 720, "46844310")
    deliveries = [
        daily(1, *rows),
        delivery(2, batch(ProfileKind.BLOCK_LOAD, BLOCK, blocks)),
        delivery(3, batch(ProfileKind.INSTANTANEOUS, INSTANTANEOUS, [snapshot])),
    ]
    assert ingest_messages(database, deliveries, now_s=NOW_S).unidentified == ()


@pytest.fixture
def client(services: Services, read_connection: None) -> Iterator[TestClient]:
    with TestClient(
        create_app(services), base_url="https://meters.example", follow_redirects=False
    ) as opened:
        yield opened
