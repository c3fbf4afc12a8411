"""Starts a peer in its own virtual environment and reads the JSON document it prints."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PYTHON = ROOT / ".venv-peers/bin/python"


class PeerFailed(Exception):
    """The peer reported an error, or printed no document; the text says which."""


def run_peer(
    program: str, options: Sequence[str], standard_input: bytes = b"", *, timeout_s: float = 120.0
) -> dict[str, Any]:
    """Run ``hil_tests/peers/PROGRAM.py`` and return its document.

    Raises PeerFailed for an error in the document, for none, and after ``timeout_s``.
    """
    command = [str(PYTHON), str(FOLDER / f"{program}.py"), *options]
    try:
        done = subprocess.run(
            command, input=standard_input, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"{program}: no document within {timeout_s:g} s") from error
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise PeerFailed(f"{program}: {done.stderr.decode(errors='replace')[-2000:]}") from error
    if "error" in document:
        raise PeerFailed(f"{program}: {document['error']}")
    return document


def run_client(
    program: str,
    options: Mapping[str, object],
    secrets: Mapping[str, object],
    *,
    timeout_s: float = 120.0,
) -> dict[str, Any]:
    """Run a client with its options and with the secrets on standard input."""
    octets = json.dumps(secrets).encode()
    return run_peer(program, arguments_of(options), octets, timeout_s=timeout_s)


def arguments_of(options: Mapping[str, object]) -> list[str]:
    """``--name value`` each; None and False are left out, True stands without value."""
    arguments: list[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        arguments.append(f"--{name.replace('_', '-')}")
        if value is not True:
            arguments.append(str(value))
    return arguments
