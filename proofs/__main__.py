"""``scripts/prove NAME``: shows one promise; without a name, lists them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import GatewayError
from proofs import PROOFS, Options, report, run


@click.command("prove")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of what is random.")
@click.option("--long", "is_long", is_flag=True, help="The thorough form; takes its time.")
@click.option("--save", "saves", is_flag=True, help="Keep the figures in docs.")
def main(name: str | None, seed: int, *, as_json: bool, is_long: bool, saves: bool) -> None:
    """Show the promise NAME of the product on this machine; without NAME, list the promises.

    Exit code 0: it holds. 1: it does not. 2: there is no such proof.
    """
    if name is None:
        _list(as_json=as_json)
        return
    try:
        with _progress(name) as tell:
            document = run(name, Options(seed=seed, long=is_long, tell=tell))
    except GatewayError as error:
        click.echo(f"prove {name}: {type(error).__name__}: {error}", err=True)
        sys.exit(error.exit_code)
    if saves:
        report.save(document, taken_on=datetime.now(UTC).date().isoformat())
        report.write_pages()
    if as_json:
        click.echo(json.dumps(document, indent=2, default=str))
    else:
        _print(document)
    sys.exit(0 if document["ok"] else 1)


def _list(*, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({name: proof.sentence for name, proof in PROOFS.items()}, indent=2))
        return
    for name, proof in PROOFS.items():
        click.echo(f"{name:<10}{proof.sentence}")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[str], None]]:
    """A line that changes on a terminal, one line for each text elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: click.echo(f"prove {name}: {text}", err=True)
        return
    with console.status(f"prove {name}") as status:
        yield lambda text: status.update(Text(f"prove {name}: {text}"))


def _print(document: dict[str, Any]) -> None:
    table = Table(show_header=False)
    for key, value in document.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        table.add_row(Text(key.replace("_", " ")), Text(text))
    Console().print(table)


if __name__ == "__main__":
    main(prog_name="prove")
