"""``meter-emulator``: runs a scenario's meters, or states their truth."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from gateway.errors import GatewayError
from hil_tests.emulator.fleet import FLEET_FILE, Fleet, meter_clock, truth_of
from hil_tests.emulator.keys import write_private
from hil_tests.emulator.remote import command_meter, serve_commands
from hil_tests.emulator.scenario import MeterScenario, Scenario, load_scenario
from hil_tests.emulator.truth import Shown, TruthRow


def main() -> None:
    """Entry point: errors of this product become a line and an exit code."""
    try:
        group()
    except GatewayError as error:
        click.echo(f"meter-emulator: {error}", err=True)
        sys.exit(error.exit_code)


@click.group()
def group() -> None:
    """Emulated DLMS meters with known truth and switchable faults."""


@group.command()
@click.argument("scenario", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--directory", type=click.Path(path_type=Path), help="Run directory; kept.")
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once all answer.")
def run(scenario: Path, directory: Path | None, ready_file: Path | None) -> None:
    """Serve the meters of SCENARIO until SIGINT or SIGTERM.

    The run directory gets keys (mode 0600), bus devices and fleet.json. SIGUSR1 writes
    stats.json and counters.json, which also stand there at the end.
    """
    loaded = load_scenario(scenario)
    if directory is not None:
        asyncio.run(_serve(loaded, directory, ready_file))
        return
    with tempfile.TemporaryDirectory(prefix="meter-emulator-") as fresh:
        asyncio.run(_serve(loaded, Path(fresh), ready_file))


async def _serve(scenario: Scenario, directory: Path, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        Fleet(scenario, directory) as fleet,
        await serve_commands(directory, lambda: fleet.pushers),
    ):
        loop.add_signal_handler(signal.SIGUSR1, fleet.write_stats)
        for running in fleet.meters.values():
            click.echo(f"{running.scenario.serial}  {running.url}")
        click.echo(f"{len(fleet.meters)} meters answer; {directory / FLEET_FILE}")
        if ready_file is not None:
            write_private(ready_file, f"{directory / FLEET_FILE}\n")
        stopped = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait((stopped, *fleet.tasks), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for task in ended - {stopped}:
            task.result()


@group.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("serial")
@click.option("--incident", help="power_cut, over_voltage, magnet, cover_open ...")
@click.option("--ended", is_flag=True, help="The incident is over.")
@click.option("--push", help="instantaneous, alert, block_load, daily_load or billing.")
@click.option("--push-to", help="host:port that the meter pushes to from now on.")
def provoke(
    directory: Path,
    serial: str,
    incident: str | None,
    ended: bool,
    push: str | None,
    push_to: str | None,
) -> None:
    """Let something happen to meter SERIAL of the run in DIRECTORY."""
    command: dict[str, object] = {"push_to": push_to, "push": push, "incident": incident}
    given = {name: value for name, value in command.items() if value is not None}
    command_meter(directory, meter=serial, ended=ended, **given)


@group.command()
@click.argument("scenario", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--at", "at_s", type=int, help="UTC epoch seconds; default: the meters' now.")
@click.option("--blocks", is_flag=True, help="Block load rows too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def truth(scenario: Path, at_s: int | None, blocks: bool, as_json: bool) -> None:
    """State what the meters of SCENARIO hold, without asking any meter."""
    loaded = load_scenario(scenario)
    now_s = meter_clock(loaded)() if at_s is None else at_s
    if not as_json:
        for meter in loaded.meters:
            for day, shown, _ in truth_of(loaded, meter).days(now_s):
                click.echo(f"{meter.serial}  {day}  {shown.import_wh:f} Wh")
        return
    meters = [_document(loaded, meter, now_s, blocks) for meter in loaded.meters]
    document = {"at_s": now_s, "zone_minutes": loaded.zone_minutes, "meters": meters}
    click.echo(json.dumps(document, indent=1))


def _document(scenario: Scenario, meter: MeterScenario, now_s: int, blocks: bool) -> dict[str, Any]:
    oracle = truth_of(scenario, meter)
    document: dict[str, Any] = {
        "serial": meter.serial,
        "model": meter.model,
        "encoding": meter.encoding,
        "days": [
            {"date": day, "shown": _shown(shown), "exact": exact._asdict()}
            for day, shown, exact in oracle.days(now_s)
        ],
        "daily_rows": [_row(row) for row in oracle.daily_rows(now_s)],
    }
    if blocks:
        document["capture_period_s"] = meter.capture_period_s
        document["block_rows"] = [_row(row) for row in oracle.block_rows(now_s)]
    return document


def _row(row: TruthRow) -> dict[str, Any]:
    return {
        "captured_at_s": row.captured_at_s,
        "shown": _shown(row.shown),
        "exact": row.exact._asdict(),
    }


def _shown(shown: Shown) -> dict[str, str]:
    return {name: _plain(value) for name, value in shown._asdict().items()}


def _plain(value: Decimal) -> str:
    """Digits without an exponent and without zeros behind the point."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


if __name__ == "__main__":
    main()
