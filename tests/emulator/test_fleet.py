"""A whole fleet on real sockets and a real pseudo terminal, in one loop and in its own process."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from gateway.dlms.link import NEED_DATA
from gateway.errors import ConfigError, UsageError
from gateway.transport.port import Transport
from gateway.transport.serial import SerialTransport
from gateway.transport.tcp import TcpTransport
from gateway.url import TransportKind, parse_url
from hil_tests.emulator.fleet import Fleet
from hil_tests.emulator.keys import keys_for
from hil_tests.emulator.scenario import load_scenario, parse_scenario
from tests.emulator.rig import Rig, meter_scenario

FOLDER = Path(__file__).resolve().parents[2] / "hil_tests/scenarios"
SMOKE = FOLDER / "smoke.toml"


class NoWaiting:
    """A wire clock on which everything is due: the terminal without its pace."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep_until(self, due_ns: int) -> None:
        await asyncio.sleep(0)


def smoke_fleet(directory: Path) -> Fleet:
    return Fleet(load_scenario(SMOKE), directory, wire_clock=NoWaiting())


def first_octets(wire: str) -> bytes:
    """What a public client sends first: SNRM for address 17, or a wrapped AARQ."""
    connection = Rig(meter_scenario(wire=wire)).client("public").connection
    connection.open()
    assert connection.next_event() is NEED_DATA
    return connection.data_to_send()


async def ask(url: str, octets: bytes) -> bytes:
    parsed = parse_url(url)
    transport: Transport = (
        SerialTransport(parsed.device, baud=parsed.baud)
        if parsed.kind is TransportKind.SERIAL
        else TcpTransport(parsed.host, parsed.port)
    )
    await transport.connect()
    try:
        await transport.send(octets)
        return await transport.receive(10)
    finally:
        await transport.close()


def test_every_wire_of_the_fleet_answers_at_the_url_it_states(tmp_path):
    async def run() -> None:
        async with smoke_fleet(tmp_path) as fleet:
            document = json.loads((tmp_path / "fleet.json").read_text())
            urls = {meter["wire"]: meter["url"] for meter in document["meters"]}
            assert urls.keys() == {"bus", "tcp", "hdlc+tcp"}
            for wire in ("bus", "hdlc+tcp"):
                answer = await ask(urls[wire], first_octets("hdlc+tcp"))
                assert answer[0] == 0x7E
            answer = await ask(urls["tcp"], first_octets("tcp"))
            assert answer[8] == 0x61
            stats = fleet.stats()
            assert stats["bench"].octets_in == len(first_octets("hdlc+tcp"))
            assert stats["bench"].octets_out > 0
            assert stats["bench"].turnarounds == 1

    asyncio.run(run())


def test_keys_are_private_and_no_public_file_names_them(tmp_path):
    async def run() -> None:
        async with smoke_fleet(tmp_path):
            public = (tmp_path / "fleet.json").read_text()
            for path in (*tmp_path.glob("keys/*.toml"), tmp_path / "fleet.json"):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
            for path in tmp_path.glob("keys/*.toml"):
                held = tomllib.loads(path.read_text())
                assert held.keys() == {
                    "lls_password",
                    "hls_secret",
                    "guek",
                    "gak",
                    "hls_secret_firmware",
                    "master",
                    "server_system_title",
                }
                for name in ("lls_password", "hls_secret", "guek", "gak"):
                    assert held[name] not in public
            assert len(list(tmp_path.glob("keys/*.toml"))) == 3

    asyncio.run(run())


def test_a_meter_started_again_keeps_its_keys_and_counts_on(tmp_path):
    first, path = keys_for(tmp_path, "EM1", "EMU")
    used = [next(first.counters) for _ in range(5)]
    again, same = keys_for(tmp_path, "EM1", "EMU")
    assert path == same
    assert again.guek == first.guek
    assert next(again.counters) > max(used)
    other, _ = keys_for(tmp_path, "EM2", "EMU")
    assert other.guek != first.guek
    assert other.server_title != first.server_title


def test_a_damaged_keys_file_is_named(tmp_path):
    (tmp_path / "EM1.toml").write_text("guek = 5\n")
    with pytest.raises(ConfigError, match=r"EM1\.toml"):
        keys_for(tmp_path, "EM1", "EMU")


def test_a_clock_before_the_installation_is_refused(tmp_path):
    scenario = load_scenario(SMOKE)

    async def run() -> None:
        async with Fleet(scenario, tmp_path, now_s=lambda: scenario.installed_s):
            pytest.fail("it started")

    with pytest.raises(UsageError, match="installation"):
        asyncio.run(run())


def test_a_turnaround_on_tcp_delays_the_answer_and_is_counted(tmp_path):
    meter = (
        SMOKE.read_text()
        .split("[[meter]]")[2]
        .replace('wire = "tcp"', 'wire = "tcp"\nturnaround_ms = 5')
    )
    head = "seed = 7\ninstalled = 2026-03-01\nstart = 2026-05-01T12:00:00Z\n[[meter]]"
    scenario = parse_scenario(head + meter)

    async def run() -> None:
        async with Fleet(scenario, tmp_path) as fleet:
            (running,) = fleet.meters.values()
            begun = time.monotonic_ns()
            answer = await ask(running.url, first_octets("tcp"))
            assert time.monotonic_ns() - begun >= 5_000_000
            assert answer[8] == 0x61
            assert fleet.stats()[running.scenario.serial].turnaround_ns == 5_000_000

    asyncio.run(run())


def test_the_terminal_is_gone_when_the_fleet_stops(tmp_path):
    async def run() -> None:
        async with smoke_fleet(tmp_path):
            assert (tmp_path / "bench").is_symlink()
            assert (tmp_path / "bench").exists()

    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(run())
    assert not (tmp_path / "bench").is_symlink()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_a_scenario_until_it_is_told_to_stop(tmp_path, number):
    ready = tmp_path / "ready"
    arguments = ["-m", "hil_tests.emulator.cli", "run", str(SMOKE)]
    options = ["--directory", str(tmp_path / "run"), "--ready-file", str(ready)]
    process = subprocess.Popen(
        [sys.executable, *arguments, *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[-1].startswith("3 meters answer")
        document = json.loads((tmp_path / "run/fleet.json").read_text())
        url = next(m["url"] for m in document["meters"] if m["wire"] == "tcp")
        assert asyncio.run(ask(url, first_octets("tcp")))[8] == 0x61
        process.send_signal(number)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert ready.read_text().strip() == str(tmp_path / "run/fleet.json")
    stats = json.loads((tmp_path / "run/stats.json").read_text())
    assert stats["SM2000001"]["turnarounds"] == 1


def test_a_mistake_in_a_scenario_is_one_line_and_exit_code_2(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("seed = 1\n")
    arguments = [sys.executable, "-m", "hil_tests.emulator.cli", "run", str(broken)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("meter-emulator: ")
    assert len(result.stderr.splitlines()) == 1
