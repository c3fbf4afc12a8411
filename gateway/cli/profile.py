"""``gateway profile``: check profile files, bring them into the one layout, show their table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from gateway.cli.output import exit_codes, say
from gateway.errors import ConfigError, ConfigErrors, UsageError
from gateway.files import replace_file
from gateway.profile import load_profile_file, load_profiles
from gateway.profile.canonical import canonical
from gateway.profile.index import index_page
from gateway.profile.strict_toml import read_text


@click.group("profile")
def profile_group() -> None:
    """Check, lay out or list firmware profiles."""


@profile_group.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
def check_command(paths: tuple[Path, ...]) -> None:
    """Name every fault of the files, or of all files in the folders, and of their layout.

    In a folder no two profiles may claim one meter.
    """
    with exit_codes():
        files = list(_files(paths))
        faults: list[ConfigError] = []
        for file in files:
            try:
                load_profile_file(file)
                text = read_text(file)
                if canonical(text, file.name) != text:
                    allowed = f"the one layout; gateway profile fmt {file} writes it"
                    faults.append(ConfigError(file.name, "(file)", "(not shown)", allowed))
            except ConfigErrors as several:
                faults += several.errors
            except ConfigError as error:
                faults.append(error)
        if faults:
            raise ConfigErrors(faults)
        for folder in paths:
            if folder.is_dir():
                load_profiles(folder)
        click.echo(f"profiles: {len(files)}, all in order")


@profile_group.command("fmt")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
def format_command(paths: tuple[Path, ...]) -> None:
    """Bring files, or all files in folders, into the one layout; comments stay."""
    with exit_codes():
        for file in _files(paths):
            text = read_text(file)
            laid_out = canonical(text, file.name)
            if laid_out != text:
                replace_file(file, laid_out.encode(), mode=0o644)
                say(f"laid out: {file}")


@profile_group.command("index")
def index_command() -> None:
    """Print the table of the shipped profiles as a page (docs/profiles.md)."""
    with exit_codes():
        click.echo(index_page(load_profiles()), nl=False)


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.toml"))
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"{path}: neither a file nor a folder")
