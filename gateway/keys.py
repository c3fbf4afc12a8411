"""Meter keys at rest: each sealed by a data key, each data key wrapped by one from another file.

AES-256-GCM throughout. A sealed secret is bound to meter, role and version by its associated
data, so entries cannot be exchanged within the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigError, SecurityError, UsageError
from gateway.files import locked, read_private, replace_file
from gateway.model import MeterId, Secret

KEK_OCTETS: Final = 32
TITLE_OCTETS: Final = 8
_NONCE_OCTETS: Final = 12
_VERSION: Final = 1
_MAX_SECRET_OCTETS: Final = 64


class Role(StrEnum):
    """What a secret is for; the names are those of the keys file."""

    LLS_PASSWORD = "lls_password"  # noqa: S105 - a name
    HLS_SECRET = "hls_secret"  # noqa: S105 - a name
    GUEK = "guek"
    GAK = "gak"
    DEDICATED = "dedicated"
    MASTER = "master"


_AES_KEYS: Final = (Role.GUEK, Role.GAK, Role.DEDICATED, Role.MASTER)
_TITLES: Final = ("client_system_title", "server_system_title")


class State(StrEnum):
    """Where a version of a secret stands."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    """Replaced; kept, because a meter may turn out not to have taken the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKeys:
    """Secrets of one meter, None where there is none. Titles are 8 octets and no secret."""

    lls_password: Secret | None = None
    hls_secret: Secret | None = None
    guek: Secret | None = None
    gak: Secret | None = None
    dedicated: Secret | None = None
    master: Secret | None = None
    client_system_title: bytes | None = None
    server_system_title: bytes | None = None

    def __post_init__(self) -> None:
        for role in Role:
            secret = self.secret(role)
            if secret is None:
                continue
            if role in _AES_KEYS and len(secret) != 16:
                raise UsageError(f"{role.value}: suite 0 keys have 16 octets, not {len(secret)}")
            if not 1 <= len(secret) <= _MAX_SECRET_OCTETS:
                raise UsageError(f"{role.value}: 1 to {_MAX_SECRET_OCTETS} octets")
        for name in _TITLES:
            title: bytes | None = getattr(self, name)
            if title is not None and len(title) != TITLE_OCTETS:
                raise UsageError(f"{name}: a system title has 8 octets, not {len(title)}")

    def secret(self, role: Role) -> Secret | None:
        """The secret of a role."""
        found: Secret | None = getattr(self, role.value)
        return found

    def require(self, role: Role) -> Secret:
        """The secret of a role; raise UsageError naming the role if it is missing."""
        found = self.secret(role)
        if found is None:
            raise UsageError(f"no {role.value} is known for this meter")
        return found

    @property
    def key_id(self) -> str:
        """Which global encryption key this is, without saying it; "" without one.

        32 bits of a digest: two keys that share it only share one sequence of counters.
        """
        if self.guek is None:
            return ""
        return hashlib.sha256(b"smg key id\0" + self.guek.reveal()).digest()[:4].hex()


@dataclass(frozen=True, slots=True)
class _Entry:
    meter: str
    role: Role
    version: int
    state: State
    kek_id: str
    wrapped_key: bytes
    sealed: bytes

    @property
    def associated(self) -> bytes:
        return json.dumps([self.meter, self.role.value, self.version]).encode()


class Keystore:
    """Secrets of all meters in one file (mode 0600); the key that opens it is in another."""

    def __init__(
        self,
        path: Path,
        kek: Secret,
        entries: Iterable[_Entry],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._path = path
        self._kek = kek
        self._kek_id = _kek_id(kek)
        self._entries = tuple(entries)
        self._random_bytes = random_bytes

    @classmethod
    def open(
        cls, path: Path, kek_file: Path, *, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> Keystore:
        """Open; a file that does not exist is an empty keystore.

        Raises ConfigError for files that are not private or not what they should be.
        """
        kek = _read_kek(kek_file)
        return cls(path, kek, _read_entries(path), random_bytes)

    def meters(self) -> list[MeterId]:
        """Meters that have secrets here."""
        return [MeterId(meter) for meter in sorted({entry.meter for entry in self._entries})]

    def get(self, meter: MeterId) -> MeterKeys:
        """The active secrets of a meter; ConfigError if there are none.

        Raises SecurityError where the key encryption key is another one, or an entry was changed.
        """
        active = [e for e in self._entries if e.meter == meter and e.state is State.ACTIVE]
        if not active:
            raise ConfigError(
                str(self._path), "meter", meter, "has no keys here: gateway keys import"
            )
        secrets: dict[str, Any] = {entry.role.value: self._unseal(entry) for entry in active}
        return MeterKeys(**secrets)

    def import_keys(self, meter: MeterId, keys: MeterKeys) -> int:
        """Seal the secrets of a meter and write the file; how many were new.

        A secret that is there already stays as it is; another one replaces it as the next
        version, and the former is kept as expired. Titles are not kept: they are no secret.
        """
        with locked(self._path):
            # another command may have imported since this keystore was opened
            self._entries = _read_entries(self._path)
            changed = 0
            for role in Role:
                secret = keys.secret(role)
                if secret is not None:
                    changed += self._add(meter, role, secret)
            if changed:
                self._write()
        return changed

    def _add(self, meter: str, role: Role, secret: Secret) -> bool:
        same = [e for e in self._entries if e.meter == meter and e.role is role]
        active = [entry for entry in same if entry.state is State.ACTIVE]
        if any(self._unseal(entry) == secret for entry in active):
            return False
        others = [entry for entry in self._entries if entry not in active]
        former = [replace(entry, state=State.EXPIRED) for entry in active]
        version = max((entry.version for entry in same), default=0) + 1
        made = self._seal(meter, role, version, secret)
        self._entries = (*others, *former, made)
        return True

    def _seal(self, meter: str, role: Role, version: int, secret: Secret) -> _Entry:
        data_key = self._random_bytes(KEK_OCTETS)
        empty = _Entry(meter, role, version, State.ACTIVE, self._kek_id, b"", b"")
        return replace(
            empty,
            wrapped_key=self._encrypt(self._kek.reveal(), data_key, empty.associated),
            sealed=self._encrypt(data_key, secret.reveal(), empty.associated),
        )

    def _encrypt(self, key: bytes, plain: bytes, associated: bytes) -> bytes:
        nonce = self._random_bytes(_NONCE_OCTETS)
        return nonce + AESGCM(key).encrypt(nonce, plain, associated)

    def _unseal(self, entry: _Entry) -> Secret:
        what = f"{self._path}: {entry.role.value} of {entry.meter}"
        if entry.kek_id != self._kek_id:
            raise SecurityError(
                f"{what} is wrapped by key {entry.kek_id}, and {self._kek_id} was given"
            )
        try:
            data_key = _decrypt(self._kek.reveal(), entry.wrapped_key, entry.associated)
            return Secret(_decrypt(data_key, entry.sealed, entry.associated))
        except InvalidTag:
            raise SecurityError(f"{what} was changed: its tag does not verify") from None

    def _write(self) -> None:
        document = {
            "version": _VERSION,
            "entries": [
                asdict(entry)
                | {
                    "wrapped_key": b64encode(entry.wrapped_key).decode(),
                    "sealed": b64encode(entry.sealed).decode(),
                }
                for entry in sorted(self._entries, key=lambda e: (e.meter, e.role, e.version))
            ],
        }
        replace_file(self._path, json.dumps(document, indent=1).encode() + b"\n")


def create_kek(path: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
    """Make a key encryption key file; raise ConfigError if it exists."""
    if path.exists():
        raise ConfigError(str(path), "file", path.name, "exists already, and is never replaced")
    replace_file(path, random_bytes(KEK_OCTETS).hex().encode() + b"\n")


def load_keys_file(path: Path) -> MeterKeys:
    """Read the keys of one meter from TOML (mode 0600), as laptop commands use it.

    ``lls_password`` is text; ``hls_secret``, ``guek``, ``gak``, ``dedicated``, ``master``,
    ``client_system_title`` and ``server_system_title`` are hex; all are optional. Raises
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
    most = f"1 to {_MAX_SECRET_OCTETS} octets"
    if not isinstance(value, str):
        raise ConfigError(str(path), name, Hidden(), "must be a string")
    if name == Role.LLS_PASSWORD:
        octets, allowed, fits = value.encode(), f"text, {most}", _fits(value.encode())
        return _checked(path, name, octets, allowed, fits)
    try:
        octets = bytes.fromhex(value)
    except ValueError:
        raise ConfigError(str(path), name, Hidden(), "must be hex digits") from None
    if name in _TITLES:
        allowed = f"hex of {TITLE_OCTETS} octets"
        return _checked(path, name, octets, allowed, len(octets) == TITLE_OCTETS).reveal()
    if name in _AES_KEYS:
        return _checked(path, name, octets, "hex of 16 octets", len(octets) == 16)
    return _checked(path, name, octets, f"hex, {most}", _fits(octets))


def _fits(octets: bytes) -> bool:
    return 1 <= len(octets) <= _MAX_SECRET_OCTETS


def _checked(path: Path, name: str, octets: bytes, allowed: str, fits: bool) -> Secret:
    if not fits:
        raise ConfigError(str(path), name, Hidden(), f"must be {allowed}; {len(octets)} given")
    return Secret(octets)


def _decrypt(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    if len(sealed) < _NONCE_OCTETS + 16:
        raise InvalidTag
    return AESGCM(key).decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], associated)


def _kek_id(kek: Secret) -> str:
    return hashlib.sha256(b"smg kek id\0" + kek.reveal()).digest()[:8].hex()


def _read_kek(path: Path) -> Secret:
    octets = read_private(path, max_octets=256)
    if len(octets) != KEK_OCTETS:
        try:
            octets = bytes.fromhex(octets.decode("ascii"))
        except ValueError:
            octets = b""
    if len(octets) != KEK_OCTETS:
        raise ConfigError(str(path), "file", Hidden(), "must hold 32 octets, raw or as hex")
    return Secret(octets)


def _read_entries(path: Path) -> tuple[_Entry, ...]:
    if not path.exists():
        return ()
    octets = read_private(path)
    try:
        document = json.loads(octets)
        if document["version"] != _VERSION:
            raise ValueError("version")
        return tuple(_entry(fields) for fields in document["entries"])
    except (ValueError, TypeError, KeyError):
        allowed = f"must be a keystore of version {_VERSION}"
        raise ConfigError(str(path), "file", path.name, allowed) from None


def _entry(fields: dict[str, Any]) -> _Entry:
    return _Entry(
        meter=str(fields["meter"]),
        role=Role(fields["role"]),
        version=int(fields["version"]),
        state=State(fields["state"]),
        kek_id=str(fields["kek_id"]),
        wrapped_key=b64decode(fields["wrapped_key"], validate=True),
        sealed=b64decode(fields["sealed"], validate=True),
    )
