"""What every command prints: one JSON document, CSV or a table on standard output, errors beside.

JSON numbers keep every digit the meter sent; logs and errors go to standard error.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import click
import msgspec
import structlog
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNFOLDED: Final = 1000
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


def print_json(document: object) -> None:
    """One JSON document, indented, Decimal as exact numbers."""
    octets = msgspec.json.format(_JSON.encode(document), indent=2)
    click.echo(octets.decode())


def print_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """RFC 4180 with a head line."""
    writer = csv.writer(sys.stdout)
    writer.writerow(head)
    writer.writerows(rows)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; a row that is alone, or too wide for the terminal, is read downwards."""
    # What goes to a file or a pager is not folded.
    console = Console() if sys.stdout.isatty() else Console(width=_UNFOLDED)
    table = _table(title, [name.replace("_", " ") for name in head], rows)
    if len(rows) != 1 and console.measure(table).minimum <= console.width:
        console.print(table)
        return
    for number, row in enumerate(rows, 1):
        place = f"{title} {number}/{len(rows)}" if len(rows) > 1 else title
        console.print(_table(place, ("name", "value"), list(zip(head, row, strict=True))))


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else printable(str(cell))) for cell in row))
    return table


def printable(text: str) -> str:
    """Text of a meter as a terminal may show it: control characters written as escapes."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def software_version() -> str:
    """The version of the installed distribution; "unpackaged" where it runs from a checkout."""
    try:
        return version("smart-meter-gateway")
    except PackageNotFoundError:
        return "unpackaged"


def say(text: str) -> None:
    """A line for people on standard error."""
    click.echo(text, err=True)


def log_to_stderr(*, as_json: bool = False) -> None:
    """Send logs to standard error, so that standard output stays one document."""
    renderer = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the error tree into exit codes: 1 peer said no, 2 usage, 3 no answer, 4 security."""
    try:
        yield
    except GatewayError as error:
        say(f"{type(error).__name__}: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
