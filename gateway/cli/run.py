"""``gateway run``: the service, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from gateway.cli.output import exit_codes, log_to_stderr, software_version
from gateway.config import Site, load_site
from gateway.service.descriptors import descriptors_needed, make_room
from gateway.service.parts import open_parts, site_profiles
from gateway.service.supervisor import Service


@click.command("run")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), required=True, help="Site file."
)
@click.option("--log-json", is_flag=True, help="One JSON object per log line.")
def run_command(config_file: Path, log_json: bool) -> None:
    """Run the gateway of a site file."""
    log_to_stderr(as_json=log_json)
    with exit_codes():
        asyncio.run(_run(load_site(config_file)))


async def _run(site: Site) -> None:
    make_room(descriptors_needed(site))
    parts = await open_parts(site, site_profiles(site))
    try:
        service = Service(site, parts, software=f"smart-meter-gateway {software_version()}")
        running = asyncio.create_task(service.run(), name="service")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            # Asked to stop: what was acknowledged is stored, what was sent is in the outbox.
            return
    finally:
        await parts.close()
