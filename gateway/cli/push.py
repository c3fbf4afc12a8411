"""``gateway push``: what a meter sends unasked, and where to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from gateway.cli.connect import MeterOptions, Target, reader, resolve, resolve_meter
from gateway.cli.output import exit_codes, log_to_stderr, print_json, print_table
from gateway.dlms.axdr import Data
from gateway.dlms.push_setup import (
    Change,
    PushAttribute,
    destination_value,
    objects_value,
    read_push_setup,
    retries_value,
    seconds_value,
    shown,
    windows_value,
    write_push_setup,
)
from gateway.errors import UsageError
from gateway.model import Obis

T = TypeVar("T")


@click.group("push")
def push_group() -> None:
    """What meters send unasked."""


@push_group.command("configure")
@click.argument("url", required=False)
@click.option("--profile", help="Firmware profile, with URL.")
@click.option("--keys", type=click.Path(path_type=Path), help="Keys file, with URL.")
@click.option("--state", type=click.Path(path_type=Path), help="Folder of the counter store.")
@click.option("--server", type=int, help="Meter address on its wire, with URL.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Site file.")
@click.option("--meter", help="Serial number of a meter of the site file, in place of URL.")
@click.option("--client", default="us", show_default=True, help="us, or another with the right.")
@click.option(
    "--timeout", "timeout_s", type=float, default=20.0, show_default=True, help="Seconds to wait."
)
@click.option(
    "--setup",
    "setup_name",
    required=True,
    help="alert, instantaneous, block_load, daily_load, billing, or a logical name.",
)
@click.option("--destination", help="host:port that is pushed to.")
@click.option("--object", "objects", multiple=True, help="class/object/attribute that is sent.")
@click.option("--window", "windows", multiple=True, help="Daily, like 18:00-20:00; else never.")
@click.option("--always", is_flag=True, help="No communication window: at any time.")
@click.option("--randomisation", type=int, help="Seconds over which the start is spread.")
@click.option("--retries", type=int, help="How often it is tried again.")
@click.option("--repetition-delay", type=int, help="Seconds between two attempts.")
@click.option("--dry-run", is_flag=True, help="Show what differs, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def configure_command(
    url: str | None,
    profile: str | None,
    keys: Path | None,
    state: Path | None,
    server: int | None,
    config_file: Path | None,
    meter: str | None,
    client: str,
    timeout_s: float,
    setup_name: str,
    destination: str | None,
    objects: tuple[str, ...],
    windows: tuple[str, ...],
    always: bool,
    randomisation: int | None,
    retries: int | None,
    repetition_delay: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write a push setup object of the meter at URL, or of METER of a site, and read it back.

    What no option names stays as it is. Without any, the present values are shown.
    """
    log_to_stderr()
    with exit_codes():
        if windows and always:
            raise UsageError("say one of --window and --always")
        values: dict[PushAttribute, Data | None] = {
            PushAttribute.OBJECTS: objects_value(objects) if objects else None,
            PushAttribute.DESTINATION: _made(destination_value, destination),
            PushAttribute.WINDOWS: windows_value(windows) if windows or always else None,
            PushAttribute.RANDOMISATION_S: _made(seconds_value, randomisation),
            PushAttribute.RETRIES: _made(retries_value, retries),
            PushAttribute.REPETITION_DELAY_S: _made(seconds_value, repetition_delay),
        }
        wanted = {name: value for name, value in values.items() if value is not None}
        options = MeterOptions(
            url=url or "",
            profile=profile or "",
            client=client,
            server=server,
            keys=keys,
            state=state,
            timeout_s=timeout_s,
        )
        target = _target(options, config_file, meter)
        setup = _setup(target, setup_name)
        document = asyncio.run(_configure(target, setup, wanted, dry_run=dry_run))
        if as_json:
            print_json(document)
        else:
            _print(document)


def _made(make: Callable[[T], Data], value: T | None) -> Data | None:
    return None if value is None else make(value)


def _target(options: MeterOptions, site_file: Path | None, meter: str | None) -> Target:
    """The meter that is meant: of a site, or at a URL with what belongs to it."""
    if meter is not None:
        if site_file is None or options.url or options.profile or options.keys:
            raise UsageError("--meter goes with --config, and without URL, --profile and --keys")
        return resolve_meter(site_file, meter, options.client, options.timeout_s)
    if not options.url or not options.profile:
        raise UsageError("say a URL with --profile, or --meter with --config")
    return resolve(options)


def _setup(target: Target, name: str) -> Obis:
    """A push setup by what it sends, as the firmware profile has it, or by its logical name."""
    push = target.profile.push
    named = {} if push is None else {str(kind): obis for kind, obis in push.setups.items()}
    if name in named:
        return named[name]
    try:
        return Obis.parse(name)
    except UsageError:
        known = ", ".join(named) or "none"
        raise UsageError(
            f"profile {target.profile.name} has no push setup {name!r}: it has {known};"
            " a logical name is understood too"
        ) from None


async def _configure(
    target: Target, setup: Obis, wanted: Mapping[PushAttribute, Data], *, dry_run: bool
) -> dict[str, object]:
    async with reader(target) as opened:
        changes = await opened.run(read_push_setup(setup, wanted))
        needed = any(change.is_needed for change in changes)
        after = changes
        if needed and not dry_run:
            after = await opened.run(write_push_setup(setup, changes))
    return {
        "setup": str(setup),
        "dry_run": dry_run,
        "written": needed and not dry_run,
        "attributes": [_attribute(before, now) for before, now in zip(changes, after, strict=True)],
    }


def _attribute(before: Change, now: Change) -> dict[str, object]:
    name = before.attribute
    return {
        "name": name.name.lower(),
        "attribute": name.value,
        "before": shown(name, before.before),
        "wanted": shown(name, before.wanted),
        "differs": before.is_needed,
        "now": shown(name, now.before),
    }


def _print(document: dict[str, object]) -> None:
    attributes = document["attributes"]
    assert isinstance(attributes, list)
    names = ["name", "before", "wanted", "now"]
    title = f"push setup {document['setup']}" + (" (dry run)" if document["dry_run"] else "")
    print_table(title, names, [[_text(one[name]) for name in names] for one in attributes])


def _text(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
