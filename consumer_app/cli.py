"""``consumer-app``: serve the pages, ingest readings, keep the database."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import uvicorn

from consumer_app.access import Tokens, set_access_code
from consumer_app.account_file import read_account_file
from consumer_app.config import AppConfig, load_config
from consumer_app.database.accounts import put_account
from consumer_app.database.connect import Database
from consumer_app.database.migrate import migrate
from consumer_app.ingest.downlink import Signer
from consumer_app.ingest.worker import IngestWorker
from consumer_app.services import Services
from consumer_app.site_time import site_zone
from consumer_app.web import create_app, openapi_document
from gateway.errors import ConfigError, GatewayError
from gateway.model import Secret
from gateway.uplink import topics
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.settings import MqttSettings
from gateway.uplink.signature import SigningKey

_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path("consumer-app.toml"),
    show_default=True,
    help="Configuration file (TOML).",
)


def _now_s() -> int:
    return time.time_ns() // 1_000_000_000


@contextmanager
def _reported() -> Iterator[None]:
    """One of our errors becomes one line on standard error and its exit code."""
    try:
        yield
    except GatewayError as error:
        click.echo(f"consumer-app: {error}", err=True)
        raise SystemExit(error.exit_code) from error


def _database(config: AppConfig) -> Database:
    return Database(config.database_url.reveal().decode())


@click.group()
def main() -> None:
    """The utility's side of the smart meters: ingest, API and the consumer's page."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


@main.command(name="migrate")
@_CONFIG
def migrate_command(config_file: Path) -> None:
    """Bring the database to the newest schema."""
    with _reported(), _database(load_config(config_file)) as database:
        for name in migrate(database, now_s=_now_s()):
            click.echo(f"applied {name}")


@main.command()
@_CONFIG
def serve(config_file: Path) -> None:
    """Serve the API and the pages."""
    with _reported():
        config = load_config(config_file)
        if config.session_secret is None:
            raise ConfigError(str(config_file), "web.session_secret_file", None, "is needed")
        with _database(config) as database:
            services = Services(
                database=database,
                tokens=Tokens(config.session_secret),
                zone=config.zone,
                utility=config.utility,
                now_s=_now_s,
                random_bytes=os.urandom,
                secure_cookie=config.secure_cookie,
                trusted_proxies=config.trusted_proxies,
            )
            uvicorn.run(
                create_app(services),
                host=config.host,
                port=config.port,
                server_header=False,
                proxy_headers=False,  # uvicorn would believe every local process
            )


@main.command()
@_CONFIG
def ingest(config_file: Path) -> None:
    """Take readings from the broker into the database and commit them to the gateways."""
    with _reported():
        config = load_config(config_file)
        if config.broker is None:
            raise ConfigError(str(config_file), "mqtt", None, "is needed: host, port, ca_file")
        if config.signing_key is None:
            raise ConfigError(str(config_file), "downlink.signing_key_file", None, "is needed")
        settings = MqttSettings(
            host=config.broker.host,
            port=config.broker.port,
            client_id=config.broker.client_id,
            tls=config.broker.tls,
            username=config.broker.username or None,
            password=config.broker.password,
            subscriptions=topics.from_all_gateways(),
        )
        key = SigningKey(config.signing_key_id, config.signing_key)
        with _database(config) as database:
            asyncio.run(_ingest(settings, database, Signer(config.issuer, key)))


async def _ingest(settings: MqttSettings, database: Database, signer: Signer) -> None:
    uplink = MqttUplink(settings, jitter=random.SystemRandom().random)
    worker = IngestWorker(uplink, database, signer, now_s=_now_s)
    running = asyncio.create_task(worker.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        # whatever was not committed is sent again by its gateway
        logging.getLogger(__name__).info("stopped: %s", dict(worker.counts))
    finally:
        await uplink.close()


@main.group()
def account() -> None:
    """Connections and the meters that stand there."""


@account.command(name="import")
@_CONFIG
@click.argument("file", type=click.Path(path_type=Path))
def import_accounts(config_file: Path, file: Path) -> None:
    """Import connections from FILE (TOML); all of it or nothing."""
    with _reported():
        imported = read_account_file(file)
        with _database(load_config(config_file)) as database, database.transaction() as connection:
            for one in imported:
                put_account(connection, one.account, one.gateway, now_s=_now_s())
                if one.access_code is not None:
                    set_access_code(
                        connection,
                        one.account.connection,
                        one.access_code.reveal().decode(),
                        random_bytes=os.urandom,
                    )
        click.echo(f"imported {len(imported)} connections")


@main.command()
def openapi() -> None:
    """Print the API's description (docs/openapi.json)."""
    click.echo(openapi_text(), nl=False)


def openapi_text() -> str:
    """The API's description as committed; no database is asked."""
    with Database("", opened=False) as nowhere:
        services = Services(
            database=nowhere,
            tokens=Tokens(Secret(bytes(16))),
            zone=site_zone("Asia/Kolkata"),
            utility="",
            now_s=_now_s,
            random_bytes=os.urandom,
        )
        document = openapi_document(create_app(services))
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
