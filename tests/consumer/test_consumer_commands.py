"""The command line and its files: each mistake is told with file, key and what is allowed."""

from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from consumer_app.account_file import read_account_file
from consumer_app.cli import main
from consumer_app.config import load_config
from gateway.errors import ConfigError, UsageError

GOOD = """
[[connection]]
number = "4501234567"
name = "Sushila Devi"
sanctioned_load_w = 2000
phases = 1
category = "LMV-1"
gateway = "gw-kanpur-1"
access_code = "a code of the office"

[[connection.installation]]
meter = "SA1231166"
from = 2026-09-01T00:00:00+05:30
to = 2026-12-01T00:00:00+05:30
"""


@pytest.fixture
def config_file(tmp_path: Path, database_url: str) -> Path:
    (tmp_path / "session").write_bytes(b"0123456789abcdef")
    (tmp_path / "session").chmod(0o600)
    path = tmp_path / "consumer-app.toml"
    path.write_text(f'[database]\nurl = "{database_url}"\n[web]\nsession_secret_file = "session"\n')
    return path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_migrate_and_import_fill_an_empty_database(
    config_file: Path, tmp_path: Path, database_url: str
) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(GOOD)
    config = str(config_file)
    assert run("migrate", "--config", config)[0] == 0
    for _ in range(2):
        code, said = run("account", "import", "--config", config, str(accounts))
        assert (code, said) == (0, "imported 1 connections\n")
    with psycopg.connect(database_url) as oracle:
        found = oracle.execute(
            "select c.connection, c.gateway, m.meter, i.valid_from_s, i.valid_to_s, k.version"
            " from connections c join installations i using (connection)"
            " join meters m using (meter_no) join credentials k using (connection)"
        ).fetchall()
        plain = oracle.execute("select encode(hash, 'escape') from credentials").fetchall()
    assert found == [
        ("4501234567", "gw-kanpur-1", "SA1231166", 1_788_201_000, 1_796_063_400, 2),
    ]
    assert "office" not in str(plain)


def test_a_meter_at_two_places_at_once_imports_nothing(
    config_file: Path, tmp_path: Path, database_url: str
) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(GOOD + GOOD.replace("4501234567", "4501234568"))
    run("migrate", "--config", str(config_file))
    code, said = run("account", "import", "--config", str(config_file), str(accounts))
    assert code == 2
    assert "SA1231166" in said
    with psycopg.connect(database_url) as oracle:
        assert oracle.execute("select count(*) from connections").fetchone() == (0,)


def test_a_database_that_is_away_has_its_exit_code(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[database]\nurl = "host=/nonexistent connect_timeout=1"\n')
    code, said = run("migrate", "--config", str(config))
    assert code == 3
    assert "does not answer" in said


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('number = "4501234567"', "number = 4501234567", "number"),
        ("phases = 1", "phases = 2", "phases"),
        ("phases = 1", "phases = 1\nphase = 1", "phase"),
        ("sanctioned_load_w = 2000", "sanctioned_load_w = 2.0", "sanctioned_load_w"),
        ("sanctioned_load_w = 2000", "sanctioned_load_w = 0", "sanctioned_load_w"),
        ("sanctioned_load_w = 2000", "sanctioned_load_w = true", "sanctioned_load_w"),
        ('"gw-kanpur-1"', '"gw/+"', "gateway"),
        ('"SA1231166"', '""', "meter"),
        ("from = 2026-09-01T00:00:00+05:30", "from = 2026-09-01", "from"),
        ("from = 2026-09-01T00:00:00+05:30", "from = 2026-09-01T00:00:00", "from"),
        ("from = 2026-09-01T00:00:00+05:30", "from = 1900-01-01T00:00:00Z", "from"),
        ("to = 2026-12-01", "to = 2026-08-01", "to"),
        ('access_code = "a code of the office"', "access_code = 12345678", "access_code"),
    ],
)
def test_a_wrong_account_file_names_the_key(
    tmp_path: Path, before: str, after: str, named: str
) -> None:
    path = tmp_path / "accounts.toml"
    assert before in GOOD
    path.write_text(GOOD.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        read_account_file(path)
    assert caught.value.key.endswith(f".{named}")
    assert str(path) in str(caught.value)
    assert "12345678" not in str(caught.value) or named != "access_code"


def test_a_connection_may_stand_once(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(GOOD + GOOD)
    with pytest.raises(ConfigError, match="stands twice"):
        read_account_file(path)


@pytest.mark.parametrize("text", ["[[connection]", "connection = 1", "other = 1"])
def test_what_is_no_account_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"accounts\.toml"):
        read_account_file(path)


def full_config(folder: Path, extra: str = "") -> Path:
    for name, content in (("session", b"s" * 32), ("key", b"0f" * 32), ("password", b"hush")):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    path = folder / "consumer-app.toml"
    path.write_text(
        f"""
[site]
utility = "Kanpur Electricity"
[database]
url = "dbname=meters"
[web]
session_secret_file = "session"
port = 8088
[mqtt]
host = "broker.example"
ca_file = "ca.pem"
password_file = "password"
[downlink]
key_id = "backend-1"
signing_key_file = "key"
{extra}"""
    )
    return path


def test_a_whole_configuration_is_read_and_shows_no_secret(tmp_path: Path) -> None:
    config = load_config(full_config(tmp_path), {})
    assert (config.utility, config.zone.key, config.port) == (
        "Kanpur Electricity",
        "Asia/Kolkata",
        8088,
    )
    assert config.signing_key is not None
    assert len(config.signing_key) == 32
    assert config.broker is not None
    assert config.broker.tls is not None
    assert config.broker.tls.ca_file == tmp_path / "ca.pem"
    assert (config.broker.port, config.issuer, config.secure_cookie) == (8883, "backend", True)
    assert config.trusted_proxies == ()
    shown = repr(config)
    assert "hush" not in shown
    assert "sss" not in shown
    assert "dbname" not in shown


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    config = load_config(full_config(tmp_path), {"SMG_DATABASE_URL": "dbname=other"})
    assert config.database_url.reveal() == b"dbname=other"


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("port = 8088", "port = 88888", "web.port"),
        ("port = 8088", 'port = "8088"', "web.port"),
        ('url = "dbname=meters"', "", "database.url"),
        ("[site]", '[site]\nzone = "Asia/Kanpur"', "zone"),
        ("[site]", "[site]\ncolour = 1", "site.colour"),
        ("[web]", '[web]\ntrusted_proxies = "10.0.0.5"', "web.trusted_proxies"),
        ("[web]", '[web]\ntrusted_proxies = ["proxy"]', "web.trusted_proxies"),
        ('host = "broker.example"', "", "mqtt.host"),
        ('host = "broker.example"', 'host = "a b"', "mqtt.host"),
        ('key_id = "backend-1"', "", "downlink.key_id"),
        ('"password"', '"nowhere"', "mqtt.password_file"),
        ('signing_key_file = "key"', 'signing_key_file = "session"', "downlink.signing_key_file"),
    ],
)
def test_a_wrong_configuration_names_the_key(
    tmp_path: Path, before: str, after: str, key: str
) -> None:
    path = full_config(tmp_path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert caught.value.key == key


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = full_config(tmp_path)
    (tmp_path / "session").chmod(0o640)
    with pytest.raises(ConfigError, match="0600"):
        load_config(path, {})


@pytest.mark.parametrize("command", ["serve", "ingest"])
def test_a_service_without_its_needs_says_which(tmp_path: Path, command: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[database]\nurl = "dbname=meters"\n')
    code, said = run(command, "--config", str(path))
    assert code == 2
    assert "is needed" in said
