"""``gateway``: the command line. Exit codes: 0 done, 1 no, 2 usage, 3 no answer, 4 security."""

from __future__ import annotations

import click

from gateway.cli.read import read_command


@click.group()
@click.version_option(package_name="smart-meter-gateway")
def main() -> None:
    """Read DLMS/COSEM meters and keep what they said provable."""


main.add_command(read_command)


if __name__ == "__main__":
    main()
