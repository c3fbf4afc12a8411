"""``gateway keys``: put a meter's secrets into the keystore, and have them changed."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from gateway.cli.jobs import Asked, queue
from gateway.cli.output import exit_codes
from gateway.config import load_site
from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId
from gateway.service.job_kinds import JobKind
from gateway.service.jobs import MAY_BEGIN_WITHIN_S


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


@keys_group.command("rotate")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), required=True, help="Site file."
)
@click.option("--secrets", help="Which, e.g. guek,gak; all that can be changed unless given.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.argument("meter")
def rotate_command(config_file: Path, secrets: str | None, meter: str, *, as_json: bool) -> None:
    """Change the secrets of METER: queued for the service, the same as jobs run rotate_secrets."""
    with exit_codes():
        words = {} if secrets is None else {"secrets": secrets}
        asked = Asked(JobKind.ROTATE_SECRETS, words, getpass.getuser(), MAY_BEGIN_WITHIN_S)
        queue(asked, config_file, meter, as_json=as_json)
