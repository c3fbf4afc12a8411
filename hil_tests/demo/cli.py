"""``scripts/demo``: starts everything, says where the page is, and stops everything again."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from gateway.errors import GatewayError, UsageError
from hil_tests.demo.folder import Plan
from hil_tests.demo.line import Line
from hil_tests.demo.processes import StopSignals
from hil_tests.demo.progress import ReadingProgress
from hil_tests.demo.watch import compare_line, wait_complete

SCENARIO: Final = Path(__file__).parents[1] / "scenarios" / "demo.toml"
_ARRIVE_S: Final = 540.0
"""Six meters share a line of 9600 baud: their octets alone need a good part of this."""
_COMPARE_S: Final = 60.0
_LOOK_S: Final = 2.0
_INTERRUPTED: Final = 130


@click.command("demo")
@click.option("--once", is_flag=True, help="Compare the page with the meters' truth, then end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: one JSON document.")
@click.option("--directory", type=click.Path(path_type=Path), help="Run directory; kept.")
@click.option(
    "--scenario",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=SCENARIO,
    help="Another fleet of emulated meters.",
)
def main(*, once: bool, as_json: bool, directory: Path | None, scenario: Path) -> None:
    """Run the whole product on this machine, against emulated meters.

    Ctrl-C stops it. With --once the exit code is 0 only if every figure on the page is exactly
    what its meter holds.
    """
    began_s = time.monotonic()
    plan = Plan(scenario=scenario)
    try:
        if as_json and not once:
            raise UsageError("--json goes with --once")
        with StopSignals() as signals, run_directory(directory) as root:
            line = Line(plan, root, pause=signals.pause, tell=_tell)
            if not once:
                _stay(line)
                return
            document = _once(line, began_s)
    except GatewayError as error:
        click.echo(f"demo: {type(error).__name__}: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _tell("stopped")
        sys.exit(_INTERRUPTED if once else 0)
    _print(document, as_json=as_json)
    sys.exit(0 if document["ok"] else 1)


@contextmanager
def run_directory(kept: Path | None) -> Iterator[Path]:
    """The directory of a run: the one given, which stays, or one that goes with the run."""
    if kept is not None:
        yield kept
        return
    # Not TemporaryDirectory: a database that is slow to go must not hide why a run failed.
    fresh = Path(tempfile.mkdtemp(prefix="smart-meter-demo-"))
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _once(line: Line, began_s: float) -> dict[str, Any]:
    with line:
        _tell(f"everything runs; the page: {line.address}")
        with _progress(line) as progress:
            complete = wait_complete(line, progress.show, timeout_s=_ARRIVE_S)
        if not complete:
            _tell(f"not everything came in time{line.gateway.tail()}")
        _tell("comparing")
        findings = compare_line(line, timeout_s=_COMPARE_S if complete else 0)
    return {
        **findings.document(),
        "seconds": round(time.monotonic() - began_s, 1),
        "ok": findings.ok,
    }


def _stay(line: Line) -> None:
    with line:
        consumer = line.consumers[0]
        click.echo(f"The consumer's page:  {line.address}")
        click.echo(f"Connection number:    {consumer.number}")
        click.echo(f"Access code:          {consumer.code.reveal().decode()}")
        click.echo(f"All other consumers:  {line.folder.account_file}")
        click.echo("Ctrl-C stops everything.")
        with _progress(line) as progress:
            wait_complete(line, progress.show, timeout_s=None)
        _tell("everything is on the page; new readings follow as the meters make them")
        while True:
            line.check()
            line.pause(_LOOK_S)


def _progress(line: Line) -> ReadingProgress:
    wires = {one.serial: one.bus or one.wire.value for one in line.scenario.meters}
    return ReadingProgress(wires, Console(stderr=True), _tell)


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for key, value in document.items():
        click.echo(f"{key.replace('_', ' '):<18} {value}")


def _tell(text: str) -> None:
    click.echo(f"demo: {text}", err=True)
