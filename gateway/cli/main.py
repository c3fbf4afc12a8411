"""``gateway``: the command line. Exit codes: 0 done, 1 no, 2 usage, 3 no answer, 4 security."""

from __future__ import annotations

import click

from gateway.cli.config import config_group
from gateway.cli.decode import decode_command
from gateway.cli.jobs import jobs_group
from gateway.cli.keys import keys_group
from gateway.cli.output import software_version
from gateway.cli.profile import profile_group
from gateway.cli.push import push_group
from gateway.cli.read import read_command
from gateway.cli.run import run_command
from gateway.cli.scan import scan_command


@click.group()
@click.version_option(software_version())
def main() -> None:
    """Read DLMS/COSEM meters and keep what they said provable."""


for _command in (
    run_command,
    read_command,
    scan_command,
    decode_command,
    jobs_group,
    config_group,
    keys_group,
    push_group,
    profile_group,
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
