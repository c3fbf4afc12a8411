"""``gateway keys``: put a meter's secrets into the keystore."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.output import exit_codes
from gateway.config import load_site
from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId


@click.group("keys")
def keys_group() -> None:
    """Keys of the meters, encrypted under the gateway's own key."""


@keys_group.command("import")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), required=True, help="Site file."
)
@click.argument("meter")
@click.argument("file", type=click.Path(path_type=Path))
def import_command(config_file: Path, meter: str, file: Path) -> None:
    """Import the keys of METER from FILE (TOML, mode 0600) into the site's keystore.

    The keystore and its own key are made where there are none yet.
    """
    with exit_codes():
        stores = load_site(config_file).stores
        if not stores.kek_file.exists():
            create_kek(stores.kek_file)
        keystore = Keystore.open(stores.keystore, stores.kek_file)
        count = keystore.import_keys(MeterId(meter), load_keys_file(file))
        click.echo(f"{meter}: {count} keys imported")
