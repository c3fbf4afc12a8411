"""Keys of emulated meters: drawn anew in each run directory, never in a scenario.

A run in a directory that has keys goes on with them, and with invocation counters above all
that were used, so that a restarted meter is the same meter.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import shake_256
from itertools import count
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.model import Secret

_KEY_OCTETS: Final = 16
_COUNTERS_PER_RUN: Final = 1 << 20
_NAMES: Final = ("hls_secret", "hls_secret_firmware", "guek", "gak", "master")


@dataclass(slots=True)
class MeterKeys:
    """Secrets and titles of one meter; ``counters`` yields its own invocation counters.

    A secret that is changed holds for the next association; ``file`` keeps it, if there is one.
    """

    lls_password: Secret
    hls_secret: Secret
    guek: Secret
    gak: Secret
    server_title: bytes
    counters: Iterator[int]
    hls_secret_firmware: Secret
    master: Secret
    file: Path | None = None
    on_change: Callable[[], None] | None = None
    """Told of each change at once."""
    changes: int = 0
    """Secrets that were changed so far."""

    def change(self, name: str, secret: Secret) -> None:
        """Take another secret, durably."""
        setattr(self, name, secret)
        self.changes += 1
        if self.file is not None:
            write_private(self.file, self._text())
        if self.on_change is not None:
            self.on_change()

    def _text(self) -> str:
        return _lines(
            self.server_title,
            self.lls_password.reveal().decode("latin-1"),
            {name: getattr(self, name).reveal().hex() for name in _NAMES},
        )


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
        hls_secret_firmware=drawn["hls_secret_firmware"],
        guek=drawn["guek"],
        gak=drawn["gak"],
        master=drawn["master"],
        server_title=title,
        counters=_counters(directory / f"{serial}.counter"),
        file=path,
    ), path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _fresh(title: bytes) -> str:
    drawn = {name: secrets.token_hex(_KEY_OCTETS) for name in _NAMES}
    return _lines(title, secrets.token_hex(_KEY_OCTETS // 2), drawn)


def _lines(title: bytes, password: str, keys: Mapping[str, str]) -> str:
    lines = [f'lls_password = "{password}"']
    lines += [f'{name} = "{text}"' for name, text in keys.items()]
    lines.append(f'server_system_title = "{title.hex()}"')
    return "\n".join(lines) + "\n"


def _counters(path: Path) -> Iterator[int]:
    """Counters of this run; the next run's begin is written before the first is used."""
    first = int(path.read_text(encoding="ascii")) if path.exists() else 1
    write_private(path, f"{first + _COUNTERS_PER_RUN}\n")
    return count(first)
