"""gateway config, keys and run: what a technician meets when a gateway is set up."""

import json
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId
from tests.cli.bench import Bench, Laptop, leaks, secrets_of

PROGRAM = (sys.executable, "-m", "gateway.cli.main")
ZONE_S = 19_800
DAY_S = 86_400


def run(*words: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


def site_file(folder: Path, url: str, more: str = "") -> Path:
    path = folder / "site.toml"
    path.write_text(
        f"""
[gateway]
id = "gw-1"
trust_host_clock = true
[stores]
readings = "readings.db"
counters = "counters.db"
witness = "witness/witness.json"
keystore = "keystore.json"
kek_file = "kek"
[reading]
daily_days = 2
block_days = 1
[[wire]]
name = "w1"
url = "{url}"
[[wire.meter]]
serial = "M1"
profile = "is15959_part2_single_phase"
{more}
"""
    )
    return path


def bad_site(folder: Path) -> Path:
    text = site_file(folder, "tcp//192.0.2.1").read_text()
    path = folder / "bad.toml"
    path.write_text(text.replace("daily_days = 2", "daily_dais = 2").replace('"gw-1"', '"gw 1"'))
    return path


# -- config ----------------------------------------------------------------------------------------


def test_a_good_site_is_summed_up(tmp_path: Path) -> None:
    path = site_file(tmp_path, "tcp://192.0.2.1:4059")
    result = run("config", "check", path)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}: gateway gw-1, wires: 1, meters: 1\n"
    assert "remark: no [uplink]" in result.stderr
    assert "gateway keys import" in result.stderr
    document = json.loads(run("config", "check", path, "--json").stdout)
    assert (document["gateway"], document["wires"], document["meters"]) == ("gw-1", 1, 1)
    assert len(document["remarks"]) == 2


@pytest.mark.parametrize("is_there", [True, False])
def test_errors_of_a_site_are_one_json_document_where_that_is_asked_for(
    tmp_path: Path, is_there: bool
) -> None:
    path = bad_site(tmp_path) if is_there else tmp_path / "none.toml"
    result = run("config", "check", path, "--json")
    assert result.exit_code == 2
    errors = json.loads(result.stdout)["errors"]
    assert [set(error) for error in errors] == [{"file", "key", "value", "allowed"}] * len(errors)
    assert errors[0]["file"] == str(path)
    assert [error["key"] in result.stderr for error in errors] == [True] * len(errors)
    assert ("reading.daily_dais" in {error["key"] for error in errors}) is is_there


@pytest.mark.parametrize("command", [("config", "check"), ("run", "--config")])
def test_every_error_of_a_bad_site_is_told_at_once(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = run(*command, bad_site(tmp_path))
    assert result.exit_code == 2
    assert result.stdout == ""
    for word in ("gateway.id", "daily_dais", "did you mean 'daily_days'", "tcp//192.0.2.1"):
        assert word in result.stderr
    assert not (tmp_path / "readings.db").exists()


@pytest.mark.parametrize("command", [("config", "check"), ("run", "--config")])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("is15959_part2_single_phase", "is15959_part9"), "must be one of"),
        (("[gateway]", "[gateway"), "TOML"),
    ],
)
def test_what_only_a_look_elsewhere_shows_is_told_too(
    tmp_path: Path, command: tuple[str, ...], change: tuple[str, str], said: str
) -> None:
    path = site_file(tmp_path, "tcp://192.0.2.1:4059")
    path.write_text(path.read_text().replace(*change))
    result = run(*command, path)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_adapter_by_a_name_that_may_be_anothers_is_remarked(tmp_path: Path) -> None:
    for device, remarked in (
        ("/dev/ttyUSB0", True),
        ("/dev/ttyACM12", True),
        ("/dev/ttyS1", False),
        ("/dev/serial/by-id/usb-FTDI-if00", False),
    ):
        path = site_file(tmp_path, f"serial://{device}")
        result = run("config", "check", path)
        assert result.exit_code == 0
        assert ("/dev/serial/by-id" in result.stderr) is remarked, device


def test_a_site_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = run("config", "check", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml" in result.stderr


def test_an_association_that_the_profile_has_not_is_told(tmp_path: Path) -> None:
    path = site_file(tmp_path, "tcp://192.0.2.1:4059", 'association = "meter_raeder"')
    result = run("config", "check", path)
    assert result.exit_code == 2
    assert "one of firmware, meter_reader" in result.stderr


def test_the_example_loads_and_fits_the_schema(tmp_path: Path) -> None:
    example = run("config", "example").stdout
    schema = json.loads(run("config", "schema").stdout)
    jsonschema.validate(tomllib.loads(example), schema)
    path = tmp_path / "site.toml"
    path.write_text(example)
    assert run("config", "check", path).exit_code == 0


# -- keys ------------------------------------------------------------------------------------------


def test_imported_keys_are_sealed_and_private(laptop: Laptop, tmp_path: Path) -> None:
    site = site_file(tmp_path, "tcp://192.0.2.1:4059")
    keys = laptop.bench["WRAPPER"].keys_file
    first = laptop.run("keys", "import", "--config", site, "M1", keys)
    assert first.exit_code == 0, first.output
    assert first.stdout == "M1: 6 keys imported\n"
    keystore, kek = tmp_path / "keystore.json", tmp_path / "kek"
    for path in (keystore, kek):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert leaks(keystore.read_text(), secrets_of(keys)) == []
    held, given = Keystore.open(keystore, kek).get(MeterId("M1")), load_keys_file(keys)
    for name in ("lls_password", "hls_secret", "guek", "gak"):
        assert getattr(held, name) == getattr(given, name)
    again = laptop.run("keys", "import", "--config", site, "M1", keys)
    assert again.stdout == "M1: 0 keys imported\n"
    assert "keystore does not exist" not in run("config", "check", site).stderr


@pytest.mark.parametrize("which", ["keys", "kek", "keystore.json"])
def test_files_that_others_may_open_are_refused(laptop: Laptop, tmp_path: Path, which: str) -> None:
    site = site_file(tmp_path, "tcp://192.0.2.1:4059")
    keys = laptop.changed_keys("WRAPPER")
    assert laptop.run("keys", "import", "--config", site, "M1", keys).exit_code == 0
    (keys if which == "keys" else tmp_path / which).chmod(0o640)
    result = laptop.run("keys", "import", "--config", site, "M2", keys)
    assert result.exit_code == 2
    assert "0640" in result.stderr
    assert result.stdout == ""


# -- run -------------------------------------------------------------------------------------------


@contextmanager
def running(site: Path) -> Iterator[subprocess.Popen[str]]:
    with (site.parent / "log").open("w") as log:
        process = subprocess.Popen(
            [*PROGRAM, "run", "--config", str(site), "--log-json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate(timeout=30)


def rows(database: Path, view: str, columns: str = "1") -> list[tuple[object, ...]]:
    """Of a file that another process writes; none while it is not there yet."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        if not opened.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [view]).fetchall():
            return []
        return opened.execute(f"SELECT {columns} FROM {view} ORDER BY 1").fetchall()


@pytest.fixture
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A meter at the host's time, installed three days ago."""
    now_s = int(time.time())
    installed = datetime.fromtimestamp(now_s + ZONE_S - 3 * DAY_S, UTC).date()
    scenario = f"""
seed = 7
installed = {installed}
[[meter]]
serial = "M1"
model = "single_phase"
encoding = "integer"
wire = "tcp"
"""
    bench = Bench(tmp_path_factory.mktemp("living"), scenario, lambda: int(time.time()))
    bench.start()
    yield bench
    bench.stop()


def test_the_service_stores_rows_and_stops_when_asked(living: Bench, tmp_path: Path) -> None:
    site = site_file(tmp_path, living["M1"].url)
    (tmp_path / "witness").mkdir()
    assert run("keys", "import", "--config", site, "M1", living["M1"].keys_file).exit_code == 0
    database = tmp_path / "readings.db"
    deadline = time.monotonic() + 60
    with running(site) as process:
        while not rows(database, "v_instantaneous"):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    log = (tmp_path / "log").read_text()
    assert all(json.loads(line) for line in log.splitlines())
    assert leaks(log, secrets_of(living["M1"].keys_file)) == []
    daily = list(living.truth("M1").daily_rows(int(time.time())))[-2:]
    assert rows(database, "v_daily_load", "time_utc, meter, wh_import, time_quality")[-2:] == [
        (f"{datetime.fromtimestamp(row.captured_at_s, UTC):%F %T}", "M1", row.shown.import_wh, "ok")
        for row in daily
    ]
    blocks = rows(database, "v_block_load", "time_utc, wh_import, average_v")
    assert len(blocks) >= 40
    assert all(value is not None for row in blocks for value in row)
    names = {name for (name,) in rows(database, "v_instantaneous", "name")}
    assert {"voltage_v", "energy_import_wh"} <= names


def test_a_service_without_meters_in_reach_stops_when_asked(tmp_path: Path) -> None:
    site = site_file(tmp_path, "tcp://127.0.0.1:1")
    (tmp_path / "witness").mkdir()
    keys = tmp_path / "keys.toml"
    keys.write_text(f'lls_password = "x"\nguek = "{"11" * 16}"\ngak = "{"22" * 16}"\n')
    keys.chmod(0o600)
    assert run("keys", "import", "--config", site, "M1", keys).exit_code == 0
    with running(site) as process:
        log = tmp_path / "log"
        deadline = time.monotonic() + 60
        while "wire is not there" not in log.read_text():
            assert time.monotonic() < deadline
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (tmp_path / "counters.db").stat().st_mode & 0o077 == 0


UPLINK = """
[uplink]
host = "broker.example.org"
{more}
[uplink.tls]
{tls}
[[uplink.backend_key]]
id = "b"
public_key = "5433e87f9a0c4362ed05843f72f4b468b8ff86099f11b666941b2648676165e9"
"""
LOGIN = 'username = "gw-1"\npassword_file = "password"'


@pytest.mark.parametrize(
    ("more", "tls", "mode", "said"),
    [
        (LOGIN, "", None, "must exist"),
        (LOGIN, "", 0o644, "chmod 600"),
        ("", 'ca_file = "nowhere.pem"', None, "nowhere.pem"),
    ],
)
def test_files_of_the_uplink_that_cannot_be_used_are_told(
    tmp_path: Path, more: str, tls: str, mode: int | None, said: str
) -> None:
    site = site_file(tmp_path, "tcp://127.0.0.1:1", UPLINK.format(more=more, tls=tls))
    (tmp_path / "witness").mkdir()
    create_kek(tmp_path / "kek")
    if mode is not None:
        (tmp_path / "password").write_text("hunter2")
        (tmp_path / "password").chmod(mode)
    result = run("run", "--config", site)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "hunter2" not in result.output


def test_the_version_is_told_wherever_it_runs_from() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert re.fullmatch(r"\S+, version (\d\S+|unpackaged)\n", result.stdout)
