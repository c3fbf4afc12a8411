"""Commands to running emulated meters from another process: what is to happen to them now.

A Unix socket in the run directory takes one JSON object a line and answers with one: ``meter`` (its
serial) and either ``incident`` (with ``ended``), ``push`` (a setup), or ``push_to`` (host:port).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gateway.errors import LinkLost, PeerRefused, UsageError
from hil_tests.emulator.incidents import Incident
from hil_tests.emulator.push import Pusher
from hil_tests.emulator.push_setups import PushSetup

SOCKET: Final = "control"
_ANSWER_S: Final = 10
_LINE_OCTETS: Final = 4096


async def serve_commands(
    directory: Path, pushers: Callable[[], dict[str, Pusher]]
) -> asyncio.Server:
    """Listen in a run directory."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            try:
                obey(pushers(), json.loads(line))
                told: dict[str, str] = {}
            except (UsageError, ValueError) as error:
                told = {"error": str(error)}
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        finally:
            writer.close()

    path = directory / SOCKET
    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(answer, path, limit=_LINE_OCTETS)


def obey(pushers: dict[str, Pusher], command: dict[str, Any]) -> None:
    """Carry out a command; raise UsageError for one that cannot be."""
    serial = command.get("meter")
    pusher = pushers.get(str(serial))
    if pusher is None:
        raise UsageError(f"meter {serial!r} is none of {', '.join(pushers)}")
    if "incident" in command:
        incident = _named(Incident, command["incident"])
        ended = bool(command.get("ended"))
        if ended and incident.value.ends is None:
            raise UsageError(f"{incident.name.lower()} has no end")
        pusher.meter.happen(incident, ended=ended)
    elif "push" in command:
        pusher.push(_named(PushSetup, command["push"]))
    elif "push_to" in command:
        host, _, port = str(command["push_to"]).rpartition(":")
        if not port.isdigit():
            raise UsageError("push_to is host:port")
        pusher.meter.push_setups.send_to((host, int(port)))
    else:
        raise UsageError("a command has incident, push or push_to")


def _named(kind: Any, name: object) -> Any:
    found = kind.__members__.get(str(name).upper())
    if found is None:
        allowed = ", ".join(name.lower() for name in kind.__members__)
        raise UsageError(f"{name!r} is none of {allowed}")
    return found


def command_meter(directory: Path, **command: object) -> None:
    """Send a command to the meters of a run directory. Raises LinkLost, PeerRefused."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(_ANSWER_S)
        try:
            link.connect(str(directory / SOCKET))
            link.sendall(json.dumps(command).encode() + b"\n")
            told = json.loads(link.makefile().readline())
        except (OSError, ValueError) as error:
            raise LinkLost(f"{directory / SOCKET}: no meters answer: {error}") from error
    if "error" in told:
        raise PeerRefused("command", told["error"])
