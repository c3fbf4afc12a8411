"""The whole product as processes, from the meters to the page. Deselect: -m "not line"."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import load_site
from gateway.errors import NoAnswer
from gateway.model import Secret
from hil_tests.demo.cli import run_directory
from hil_tests.demo.folder import Plan
from hil_tests.demo.line import Line
from hil_tests.demo.processes import ROOT
from hil_tests.demo.watch import compare_line, wait_complete
from proofs.line import SCENARIO

pytestmark = pytest.mark.line

PLAN = Plan(scenario=SCENARIO, daily_days=4, block_days=3, bus_block_days=1)


@pytest.fixture
def root() -> Iterator[Path]:
    # not below pytest's own folder: that is closed to the database's system user
    with run_directory(None) as folder:
        yield folder


def processes_of(folder: Path) -> list[str]:
    """Command lines of every process that was started for a run in this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/" in words:
            found.append(words)
    return found


def secrets_of(line: Line) -> list[bytes]:
    named: list[Secret] = [one.code for one in line.consumers]
    named += line.folder.broker_users.values()
    files = ("session-secret", "signing-key", "mqtt-password")
    return [one.reveal() for one in named] + [
        (line.folder.backend / name).read_bytes() for name in files
    ]


def test_the_page_shows_what_the_meters_hold_on_all_three_wires(root: Path) -> None:
    shown: list[int] = []
    with Line(PLAN, root) as line:
        site = load_site(line.folder.site_file)
        assert [wire.block_days for wire in site.wires] == [1, None, None]
        complete = wait_complete(
            line, lambda arrived, _: shown.append(sum(arrived.values())), timeout_s=90
        )
        # Not earlier: one that was just forked still has the command line of its parent.
        running = processes_of(root)
        findings = compare_line(line, timeout_s=10)
        secrets = secrets_of(line)
    assert complete
    assert len(running) >= 6
    assert findings.mismatches == []
    assert findings.ok
    assert findings.days_compared == 3 * 4
    assert findings.blocks_compared >= 48 + 2 * 3 * 48
    assert shown == sorted(shown)
    assert processes_of(root) == []
    logs = b"".join(log.read_bytes() for log in (root / "logs").iterdir())
    assert not [one for one in secrets if one in logs]
    for folder in ("backend", "gateway", "tls", "meters", "broker", "logs"):
        assert (root / folder).stat().st_mode & 0o077 == 0


def test_a_part_that_does_not_come_up_is_named_and_nothing_goes_on(root: Path) -> None:
    line = Line(PLAN, root)
    write = line.folder.write_backend

    def with_a_fault(**settings: object) -> None:
        write(**settings)  # type: ignore[arg-type]
        file = line.folder.app_file
        file.write_text(file.read_text().replace("[mqtt]", "[mqtt]\ncolour = 'red'"))

    line.folder.write_backend = with_a_fault  # type: ignore[method-assign]
    with pytest.raises(NoAnswer, match=r"migrate ended with code 2(.|\n)*mqtt.colour"), line:
        pass
    assert processes_of(root) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_says_where_the_page_is_and_stops_cleanly(
    root: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "hil_tests.demo", "--directory", str(root)]
    process = subprocess.Popen(
        [*command, "--scenario", str(SCENARIO)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert lines[0].startswith("The consumer's page:  http://127.0.0.1:")
    assert lines[1].split()[-1] == "4501230001"
    assert lines[2].split()[-1] in (root / "backend/accounts.toml").read_text()
    assert process.returncode == 0
    assert told.endswith("demo: stopping\ndemo: stopped\n")
    assert processes_of(root) == []


def test_a_wish_to_stop_while_it_starts_is_granted_too(root: Path) -> None:
    command = [sys.executable, "-m", "hil_tests.demo", "--once", "--json", "--directory", str(root)]
    process = subprocess.Popen(
        [*command, "--scenario", str(SCENARIO)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "starting the meters" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert out == ""
    assert told.endswith("demo: stopped\n")
    assert processes_of(root) == []


def test_json_without_once_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "hil_tests.demo", "--json"]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "demo: UsageError: --json goes with --once\n"
