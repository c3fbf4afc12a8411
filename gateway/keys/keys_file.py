"""The keys file: secrets of one meter in TOML (mode 0600), as laptop commands use it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError
from gateway.files import read_private
from gateway.keys.meter_keys import (
    AES_KEYS,
    MAX_SECRET_OCTETS,
    TITLE_OCTETS,
    TITLES,
    MeterKeys,
    Role,
)
from gateway.model import Secret


def load_keys_file(path: Path) -> MeterKeys:
    """Read the keys of one meter from TOML (mode 0600), as laptop commands use it.

    ``lls_password`` is text; ``hls_secret``, ``hls_secret_firmware``, ``guek``, ``gak``,
    ``dedicated``, ``master``, ``client_system_title`` and ``server_system_title`` are hex; all are
    optional. Raises
    ConfigError, which never shows a value.
    """
    octets = read_private(path, max_octets=1 << 16)
    try:
        document = tomllib.loads(octets.decode())
    except UnicodeDecodeError:
        raise ConfigError(str(path), "file", path.name, "must be UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        # the message may quote what stands there, and that may be a key
        place = re.search(r"\(at [\w ,]+\)", str(error))
        where = place.group().strip("()") if place else "somewhere"
        raise ConfigError(str(path), "file", path.name, f"must be TOML; wrong {where}") from None
    allowed = [field.name for field in fields(MeterKeys)]
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name not in allowed:
            raise ConfigError(str(path), name, Hidden(), f"keys are {', '.join(allowed)}")
        found[name] = _keys_file_value(path, name, value)
    return MeterKeys(**found)


class Hidden:
    """Stands where an error would show a value."""

    def __repr__(self) -> str:
        return "<secret>"


def _keys_file_value(path: Path, name: str, value: object) -> Secret | bytes:
    most = f"1 to {MAX_SECRET_OCTETS} octets"
    if not isinstance(value, str):
        raise ConfigError(str(path), name, Hidden(), "must be a string")
    if name == Role.LLS_PASSWORD:
        octets, allowed, fits = value.encode(), f"text, {most}", _fits(value.encode())
        return _checked(path, name, octets, allowed, fits)
    try:
        octets = bytes.fromhex(value)
    except ValueError:
        raise ConfigError(str(path), name, Hidden(), "must be hex digits") from None
    if name in TITLES:
        allowed = f"hex of {TITLE_OCTETS} octets"
        return _checked(path, name, octets, allowed, len(octets) == TITLE_OCTETS).reveal()
    if name in AES_KEYS:
        return _checked(path, name, octets, "hex of 16 octets", len(octets) == 16)
    return _checked(path, name, octets, f"hex, {most}", _fits(octets))


def _fits(octets: bytes) -> bool:
    return 1 <= len(octets) <= MAX_SECRET_OCTETS


def _checked(path: Path, name: str, octets: bytes, allowed: str, fits: bool) -> Secret:
    if not fits:
        raise ConfigError(str(path), name, Hidden(), f"must be {allowed}; {len(octets)} given")
    return Secret(octets)
