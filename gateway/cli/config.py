"""``gateway config``: check a site file, print its schema, print a sample."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.output import exit_codes, print_json, say
from gateway.config import example, load_site, schema
from gateway.errors import ConfigError, ConfigErrors
from gateway.service.site_check import check_site


@click.group("config")
def config_group() -> None:
    """Check or explain the site file."""


@config_group.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document, of errors too.")
def check_command(file: Path, as_json: bool) -> None:
    """Name every error of FILE: file, key, value, what is allowed."""
    with exit_codes():
        try:
            site = load_site(file)
            remarks = check_site(site, str(file))
        except ConfigError as error:
            if as_json:
                print_json({"errors": [_as_fields(one) for one in _each(error)]})
            raise
        meters = sum(1 for _ in site.meters)
        if as_json:
            print_json(
                {
                    "gateway": site.gateway.id,
                    "wires": len(site.wires),
                    "meters": meters,
                    "remarks": remarks,
                }
            )
            return
        for remark in remarks:
            say(f"remark: {remark}")
        click.echo(f"{file}: gateway {site.gateway.id}, wires: {len(site.wires)}, meters: {meters}")


def _each(error: ConfigError) -> tuple[ConfigError, ...]:
    return error.errors if isinstance(error, ConfigErrors) else (error,)


def _as_fields(error: ConfigError) -> dict[str, str]:
    return {
        "file": error.file,
        "key": error.key,
        "value": str(error.value),
        "allowed": error.allowed,
    }


@config_group.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the site file."""
    print_json(schema())


@config_group.command("example")
def example_command() -> None:
    """Print a commented sample that loads as it stands."""
    click.echo(example(), nl=False)
