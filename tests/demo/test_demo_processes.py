"""Processes of a run: what failed is named, and nothing is left behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from gateway.errors import NoAnswer
from hil_tests.demo.processes import Child, StopSignals


def python(folder: Path, text: str) -> Child:
    return Child("part", ["-c", text], folder / "part.log")


def waiting(folder: Path) -> Child:
    return python(folder, "import time; print('up', flush=True); time.sleep(60)")


def up(child: Child, starts: int = 1) -> bool:
    return child.log.read_bytes().count(b"up") == starts


def test_a_part_that_ends_by_itself_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = python(tmp_path, "print('port taken'); raise SystemExit(3)")
    child.start()
    with pytest.raises(NoAnswer, match=r"part ended with code 3; .*\nport taken"):
        child.wait_until(lambda: False, 30, time.sleep)
    child.stop()


def test_a_part_that_does_not_come_up_in_time_is_named(tmp_path: Path) -> None:
    child = waiting(tmp_path)
    child.start()
    child.wait_until(lambda: up(child), 30, time.sleep)
    with pytest.raises(NoAnswer, match="part is not ready after 0 s"):
        child.wait_until(lambda: False, 0, time.sleep)
    child.stop()
    assert not child.running


def test_a_command_of_the_start_must_end_well_and_in_time(tmp_path: Path) -> None:
    good = python(tmp_path, "pass")
    good.start()
    good.finish(30, time.sleep)
    bad = python(tmp_path, "raise SystemExit('no such table')")
    bad.start()
    with pytest.raises(NoAnswer, match="no such table"):
        bad.finish(30, time.sleep)
    bad.stop()
    slow = waiting(tmp_path)
    slow.start()
    with pytest.raises(NoAnswer, match="has not ended after 0 s"):
        slow.finish(0, time.sleep)
    slow.stop()


def test_a_part_is_killed_and_started_again_with_one_log(tmp_path: Path) -> None:
    child = waiting(tmp_path)
    for starts in (1, 2):
        child.start()
        child.wait_until(lambda: up(child, starts), 30, time.sleep)  # noqa: B023 - called at once
        child.kill()
        child.check()
        assert not child.running


def test_the_database_of_the_environment_is_not_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMG_DATABASE_URL", "dbname=production")
    child = python(tmp_path, "import os\nraise SystemExit('SMG_DATABASE_URL' in os.environ)")
    child.start()
    child.finish(30, time.sleep)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_is_known_at_the_next_pause_and_nowhere_else(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        signals.pause(0)
        os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            signals.pause(60)
    assert signal.getsignal(number) is before
