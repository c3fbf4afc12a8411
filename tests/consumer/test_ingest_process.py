"""``consumer-app ingest`` as it runs: a process, a real broker over TLS, a real database."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from consumer_app.database.connect import Database
from gateway.model import Secret
from gateway.uplink import topics
from gateway.uplink.command import Commit, read_command
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.port import Received, wait_up
from gateway.uplink.settings import MqttSettings
from gateway.uplink.signature import SigningKey, TrustedKey, VerifyingKeys
from gateway.uplink.topics import Kind
from hil_tests.broker import EmbeddedBroker
from hil_tests.certificates import RunCertificates, make_certificates, write_private
from tests.consumer.seeds import DAY_S, EPOCH, GATEWAY, MIDNIGHT_S, NOW_S, daily, daily_row

PASSWORDS = {"gateway": Secret(b"gateway-secret"), "backend": Secret(b"backend-secret")}


def write_config(
    folder: Path, url: str, port: int, certificates: RunCertificates, key: SigningKey
) -> Path:
    write_private(folder / "password", PASSWORDS["backend"].reveal())
    write_private(folder / "signing-key", key.seed.reveal().hex().encode())
    client = certificates.clients["backend"]
    path = folder / "consumer-app.toml"
    path.write_text(
        f"""
[database]
url = "{url}"
[mqtt]
host = "127.0.0.1"
port = {port}
username = "backend"
password_file = "password"
ca_file = "{certificates.ca_file}"
certificate_file = "{client.certificate_file}"
key_file = "{client.key_file}"
[downlink]
key_id = "{key.kid}"
signing_key_file = "signing-key"
"""
    )
    return path


async def first_commit(uplink: MqttUplink, deliveries: list[Received]) -> Received:
    """Send again and again, as an outbox does, until the first answer."""
    await uplink.connect()
    await wait_up(uplink)
    answer = asyncio.ensure_future(anext(uplink.messages()))
    async with asyncio.timeout(60):
        while not answer.done():
            for one in deliveries:
                await uplink.publish(one.topic, one.payload)
            await asyncio.wait([answer], timeout=0.5)
    await uplink.close()
    return answer.result()


def test_readings_reach_the_database_and_the_commit_comes_back_signed(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    key = SigningKey.generate("backend-1")
    certificates = make_certificates(tmp_path / "tls", ["gateway", "backend"])
    rows = [daily_row(MIDNIGHT_S + n * DAY_S, str(1000 * n)) for n in range(3)]
    with EmbeddedBroker(tmp_path / "broker", certificates.server, PASSWORDS) as broker:
        config = write_config(tmp_path, database_url, broker.port, certificates, key)
        process = subprocess.Popen(
            [sys.executable, "-m", "consumer_app", "ingest", "--config", str(config)],
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "SMG_DATABASE_URL"},
        )
        try:
            settings = MqttSettings(
                host="127.0.0.1",
                port=broker.port,
                client_id="gateway",
                tls=certificates.clients["gateway"],
                username="gateway",
                password=PASSWORDS["gateway"],
                subscriptions=topics.downlink(GATEWAY),
            )
            uplink = MqttUplink(settings, jitter=lambda: 0)
            received = asyncio.run(first_commit(uplink, [daily(1, *rows)]))
        finally:
            process.send_signal(signal.SIGTERM)
            log = process.communicate(timeout=30)[1].decode()
    trusted = VerifyingKeys({"backend-1": TrustedKey("backend", key.public_octets)})
    commit = read_command(received.payload, Kind.COMMIT, keys=trusted, gateway=GATEWAY, now_s=NOW_S)
    assert isinstance(commit, Commit)
    assert (commit.epoch, commit.committed, commit.refused) == (EPOCH, ((1, 1),), ())
    with psycopg.connect(database_url) as oracle:
        assert oracle.execute("select count(*) from readings").fetchone() == (3,)
    assert process.returncode == 0, log
    assert "stopped" in log
    assert "secret" not in log
