"""Keys of emulated meters: drawn anew in each run directory, never in a scenario.

A run in a directory that has keys goes on with them, and with invocation counters above all
that were used, so that a restarted meter is the same meter.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import shake_256
from itertools import count
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.model import Secret

_KEY_OCTETS: Final = 16
_COUNTERS_PER_RUN: Final = 1 << 20
_NAMES: Final = ("hls_secret", "guek", "gak")


@dataclass(frozen=True, slots=True)
class MeterKeys:
    """Secrets and titles of one meter; ``counters`` yields its own invocation counters."""

    lls_password: Secret
    hls_secret: Secret
    guek: Secret
    gak: Secret
    server_title: bytes
    counters: Iterator[int]


def server_title(manufacturer: str, serial: str) -> bytes:
    """System title: three-letter manufacturer code and five octets of the serial's digest."""
    return manufacturer.encode("ascii") + shake_256(serial.encode()).digest(5)


def keys_for(directory: Path, serial: str, manufacturer: str) -> tuple[MeterKeys, Path]:
    """Keys of a meter and the file that holds them; raise ConfigError for a damaged file."""
    path = directory / f"{serial}.toml"
    title = server_title(manufacturer, serial)
    if not path.exists():
        write_private(path, _fresh(title))
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
        drawn = {name: Secret(bytes.fromhex(held[name])) for name in _NAMES}
        password = Secret(held["lls_password"].encode("ascii"))
    except (tomllib.TOMLDecodeError, KeyError, ValueError, AttributeError, TypeError):
        raise ConfigError(str(path), "(file)", serial, "keys as this program wrote them") from None
    return MeterKeys(
        lls_password=password,
        hls_secret=drawn["hls_secret"],
        guek=drawn["guek"],
        gak=drawn["gak"],
        server_title=title,
        counters=_counters(directory / f"{serial}.counter"),
    ), path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _fresh(title: bytes) -> str:
    lines = [f'lls_password = "{secrets.token_hex(_KEY_OCTETS // 2)}"']
    lines += [f'{name} = "{secrets.token_hex(_KEY_OCTETS)}"' for name in _NAMES]
    lines.append(f'server_system_title = "{title.hex()}"')
    return "\n".join(lines) + "\n"


def _counters(path: Path) -> Iterator[int]:
    """Counters of this run; the next run's begin is written before the first is used."""
    first = int(path.read_text(encoding="ascii")) if path.exists() else 1
    write_private(path, f"{first + _COUNTERS_PER_RUN}\n")
    return count(first)
