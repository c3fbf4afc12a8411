"""gateway read: each failure is one clear line and the exit code that scripts rely on."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.keys import load_keys_file
from gateway.model import MeterId
from gateway.store.counters import CounterKey, CounterStore
from gateway.store.witness import Witness
from tests.cli.bench import Bench, Laptop, leaks, secrets_of

DONE, REFUSED, USAGE, NO_ANSWER, SECURITY = range(5)
CLOCK = ("--obis", "0-0:1.0.0*255")
ENERGY = ("--obis", "1-0:1.8.0*255")


def failed(result: object, code: int, *words: str) -> None:
    """One line on standard error with these words, nothing on standard output."""
    stdout, stderr = getattr(result, "stdout", ""), getattr(result, "stderr", "")
    assert getattr(result, "exit_code", None) == code, stderr
    assert stdout == ""
    assert stderr.count("\n") == 1, stderr
    for word in words:
        assert word in stderr


# -- 1: the meter says no --------------------------------------------------------------------------


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
def test_a_wrong_password_is_refused(laptop: Laptop, serial: str) -> None:
    keys = laptop.changed_keys(serial, lls_password="not the password")
    failed(laptop.read(serial, *CLOCK, keys=keys), REFUSED, "authentication-failure")


def test_a_wrong_hls_secret_is_refused(laptop: Laptop) -> None:
    keys = laptop.changed_keys("WRAPPER", hls_secret="55" * 16)
    failed(laptop.read("WRAPPER", *CLOCK, keys=keys, client="us"), REFUSED, "PeerRefused")


def test_a_meter_that_knows_no_mode_e_is_told_from_a_silent_one(laptop: Laptop) -> None:
    failed(laptop.read("READOUT", *CLOCK), REFUSED, "mode E was answered by a readout")


def test_a_datagram_that_is_no_pdu_is_named(laptop: Laptop) -> None:
    failed(laptop.read("NOISY", *CLOCK), REFUSED, "is not one wrapper PDU")


@pytest.mark.parametrize("options", [{}, {"profile": "generic", "auth": "lls", "security": "both"}])
def test_an_object_that_is_not_there_is_named(laptop: Laptop, options: dict[str, str]) -> None:
    result = laptop.read("WRAPPER", "--obis", "1-0:77.8.0*255", **options)
    failed(result, REFUSED, "GET of 1-0:77.8.0*255 attribute 2 refused: object-undefined")


@pytest.mark.parametrize("options", [{}, {"profile": "generic"}])
def test_an_object_that_nobody_may_read_is_not_called_missing(
    laptop: Laptop, options: dict[str, str]
) -> None:
    result = laptop.read("WRAPPER", *ENERGY, client="public", **options)
    failed(result, REFUSED, "1-0:1.8.0*255 attribute 2 refused: read-write-denied")


def test_a_refused_buffer_is_named(laptop: Laptop) -> None:
    result = laptop.read("WRAPPER", "--set", "nameplate", client="public")
    failed(result, REFUSED, "nameplate (0-0:94.91.10*255)", "read-write-denied")


def test_an_unknown_mechanism_is_named_by_the_standards_reason(laptop: Laptop) -> None:
    result = laptop.read(
        "WRAPPER", *CLOCK, profile="generic", client="us", auth="lls", security="both"
    )
    failed(result, REFUSED, "authentication-mechanism-name-not-recognised")


# -- 2: the call is wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (CLOCK, {"profile": "is15960"}, "must be one of is15959, is15959_part1"),
        (CLOCK, {"url": "tcp//127.0.0.1"}, "not a transport URL"),
        (CLOCK, {"url": "tcp://127.0.0.1:4059?sever=1"}, "did you mean 'server'"),
        (CLOCK, {"url": "modbus-rtu:///dev/ttyUSB0"}, "not supported yet"),
        ((), {}, "say one of --set and --obis"),
        ((*CLOCK, "--set", "daily"), {}, "say one of --set and --obis"),
        ((*CLOCK, "--json", "--csv"), {}, "say one of --json and --csv"),
        ((*CLOCK, "--from", "2026-05-01"), {}, "--from and --to belong to --set"),
        (("--set", "nameplate", "--to", "2026-05-01"), {}, "that have a history"),
        (("--set", "daily", "--from", "yesterday"), {}, "not a time: 'yesterday'"),
        (("--set", "daily", "--from", "2026-05-02", "--to", "2026-05-01"), {}, "is later than"),
        (("--set", "daily"), {"profile": "generic"}, "knows no buffer of --set daily"),
        (("--obis", "1-0:1.8.0"), {}, "not an OBIS code"),
        (("--obis", "1-0:1.8.0*255:x"), {}, "not an attribute number: 'x'"),
        (("--obis", "1-0:1.8.0*255:"), {}, "not an attribute number"),
        (("--obis", "1-0:1.8.0*255:--2"), {}, "not an attribute number"),
        (("--obis", "1-0:1.8.0*255:²"), {}, "not an attribute number"),
        (("--obis", "1-0:1.8.0*255:400"), {}, "not an attribute number: '400'"),
        (("--obis", "1-0:1.8.0*256"), {}, "not an OBIS code"),
        (CLOCK, {"client": "admin"}, "has no association 'admin'"),
        (CLOCK, {"client": "99"}, "has no association '99'"),
        (CLOCK, {"client": "admin", "profile": "generic"}, "mr, us, public or a number"),
        (CLOCK, {"client": "-5", "profile": "generic"}, "mr, us, public or a number"),
        (CLOCK, {"client": "70000", "profile": "generic"}, "70000"),
        (CLOCK, {"server": "-1"}, "-1"),
        (CLOCK, {"server": "70000"}, "70000"),
        (CLOCK, {"timeout": "0"}, "--timeout 0"),
        (CLOCK, {"timeout": "-3"}, "--timeout -3"),
        (CLOCK, {"timeout": "nan"}, "--timeout nan"),
        (CLOCK, {"timeout": "inf"}, "--timeout inf"),
        (CLOCK, {"auth": "lls"}, "belong to --profile generic"),
        (CLOCK, {"keys": "/nowhere/keys.toml"}, "/nowhere/keys.toml"),
        (CLOCK, {"keys": None}, "needs lls_password, guek, gak"),
        (CLOCK, {"keys": None, "client": "us"}, "needs hls_secret, guek, gak"),
        (CLOCK, {"keys": None, "profile": "generic", "auth": "gmac"}, "needs guek, gak"),
        (CLOCK, {"keys": None, "profile": "generic", "auth": "lls"}, "needs lls_password"),
        (CLOCK, {"state": "/proc/nowhere"}, "--state /proc/nowhere: cannot be made"),
    ],
    ids=str,
)
def test_a_wrong_call_is_told_and_nothing_is_sent(
    bench: Bench,
    laptop: Laptop,
    words: tuple[str, ...],
    options: dict[str, str | None],
    said: str,
) -> None:
    before = bench.fleet.stats()["WRAPPER"].octets_in
    failed(laptop.read("WRAPPER", *words, **options), USAGE, said)
    assert bench.fleet.stats()["WRAPPER"].octets_in == before


@pytest.mark.parametrize("server", ["128", "16384"])
def test_an_address_that_does_not_fit_is_told(laptop: Laptop, server: str) -> None:
    result = laptop.read("HDLC", *CLOCK, server=server, timeout="0.5")
    assert result.exit_code == (NO_ANSWER if server == "128" else USAGE)


def test_a_keys_file_that_others_may_read_is_not_used(laptop: Laptop) -> None:
    keys = laptop.changed_keys("WRAPPER")
    keys.chmod(0o644)
    failed(laptop.read("WRAPPER", *CLOCK, keys=keys), USAGE, "0644", "chmod 600")


@pytest.mark.parametrize("role", ["lls_password", "guek", "gak"])
def test_a_key_that_is_missing_is_named(laptop: Laptop, role: str) -> None:
    keys = laptop.changed_keys("WRAPPER", **{role: None})
    failed(laptop.read("WRAPPER", *CLOCK, keys=keys), USAGE, f"needs {role}:")


@pytest.mark.parametrize(
    ("role", "value"), [("guek", "00"), ("gak", "no hex at all"), ("gauk", "11" * 16)]
)
def test_a_keys_file_that_is_wrong_is_told_without_its_values(
    laptop: Laptop, role: str, value: str
) -> None:
    keys = laptop.changed_keys("WRAPPER", **{role: value})
    result = laptop.read("WRAPPER", *CLOCK, keys=keys)
    failed(result, USAGE, role)
    assert value not in result.stderr.replace(str(keys), "")


# -- 3: nobody answers -----------------------------------------------------------------------------


def test_a_closed_port_is_no_answer(laptop: Laptop) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = laptop.read("WRAPPER", *CLOCK, url=f"tcp://127.0.0.1:{port}")
    failed(result, NO_ANSWER, f"127.0.0.1:{port}")


def test_a_device_that_is_not_there_is_no_answer(laptop: Laptop) -> None:
    failed(laptop.read("BUS", *CLOCK, url="serial:///dev/nothing"), NO_ANSWER, "/dev/nothing")


def test_a_silent_meter_is_no_answer(laptop: Laptop) -> None:
    failed(laptop.read("SILENT", *CLOCK, timeout="0.3"), NO_ANSWER, "nothing received")


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
def test_a_wrong_address_is_no_answer(laptop: Laptop, serial: str) -> None:
    result = laptop.read(serial, *CLOCK, server="99", timeout="0.3", client="public")
    failed(result, NO_ANSWER, "NoAnswer")


# -- 4: what protects data failed ------------------------------------------------------------------


@pytest.mark.parametrize("role", ["guek", "gak"])
@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
@pytest.mark.parametrize("client", ["mr", "us"])
def test_a_wrong_key_is_a_matter_of_security(
    laptop: Laptop, serial: str, role: str, client: str
) -> None:
    keys = laptop.changed_keys(serial, **{role: "55" * 16})
    result = laptop.read(serial, *CLOCK, keys=keys, client=client)
    failed(result, SECURITY, "SecurityError", "other keys")


def test_a_meter_under_another_title_is_not_believed(laptop: Laptop) -> None:
    keys = laptop.changed_keys("WRAPPER", server_system_title="454d550102030405")
    failed(laptop.read("WRAPPER", *CLOCK, keys=keys), SECURITY, "system title")


Change = Callable[[CounterStore, CounterKey, bytes], None]


def edit_counters(bench: Bench, laptop: Laptop, change: Change) -> None:
    """Change the laptop's counter store as another session would have."""
    meter = bench["WRAPPER"]
    keys = load_keys_file(meter.keys_file)
    store = CounterStore.open(
        laptop.state / "counters.db",
        gateway_id="laptop",
        witness=Witness(laptop.state / "witness.json"),
        random_bytes=os.urandom,
    )
    title = keys.server_system_title
    assert title is not None
    change(store, CounterKey(MeterId(meter.url), 32, keys.key_id), title)
    store.close()


def test_an_answer_with_a_counter_seen_before_is_refused(bench: Bench, laptop: Laptop) -> None:
    laptop.document("WRAPPER", *CLOCK)

    def seen(store: CounterStore, key: CounterKey, title: bytes) -> None:
        assert store.last_received(key, title) > 0
        store.note_received(key, title, 1 << 31)

    edit_counters(bench, laptop, seen)
    failed(laptop.read("WRAPPER", *ENERGY), SECURITY, "counter")


def test_a_meter_that_is_asked_in_plain_text_where_it_wants_keys_says_no(laptop: Laptop) -> None:
    result = laptop.read("WRAPPER", *CLOCK, profile="generic", auth="lls")
    failed(result, REFUSED, "application-context-name-not-supported")


def test_less_protection_than_the_meter_wants_is_refused(laptop: Laptop) -> None:
    result = laptop.read("WRAPPER", *CLOCK, profile="generic", auth="lls", security="authenticated")
    assert result.exit_code in (REFUSED, SECURITY)
    assert result.stdout == ""


# -- the program itself ----------------------------------------------------------------------------


def test_as_a_program_it_exits_with_the_code_and_no_traceback(
    bench: Bench, laptop: Laptop, tmp_path: Path
) -> None:
    meter = bench["WRAPPER"]
    wrong = laptop.changed_keys("WRAPPER", gak="55" * 16)
    for keys, code in ((meter.keys_file, DONE), (wrong, SECURITY)):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "gateway.cli.main", "read", meter.url, *CLOCK),
                *("--profile", "is15959_part2_single_phase", "--keys", str(keys)),
            ],
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert leaks(done.stdout + done.stderr, secrets_of(keys)) == []
    assert (tmp_path / "smart-meter-gateway" / "counters.db").exists()
