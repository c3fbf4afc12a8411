"""Meter keys at rest: each sealed by a data key, each data key wrapped by one from another file.

AES-256-GCM throughout. A sealed secret is bound to meter, role and version by its associated
data, so entries cannot be exchanged within the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigError, SecurityError, UsageError
from gateway.files import locked, read_private, replace_file
from gateway.keys.keys_file import Hidden
from gateway.keys.meter_keys import MeterKeys, Role
from gateway.model import MeterId, Secret

KEK_OCTETS: Final = 32
_NONCE_OCTETS: Final = 12
_VERSION: Final = 1


class State(StrEnum):
    """Where a version of a secret stands."""

    NEW = "NEW"
    """Stored before it is sent to the meter, which may have it or not."""
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    """Replaced; kept, because a meter may turn out not to have taken the new one."""
    WITHDRAWN = "WITHDRAWN"
    """Proposed, and the meter answered under the former one; kept for the same reason."""


_NEXT_STATES: Final = {
    State.NEW: (State.ACTIVE, State.WITHDRAWN),
    State.ACTIVE: (State.EXPIRED,),
    State.EXPIRED: (),
    State.WITHDRAWN: (),
}


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
        return self.import_all({meter: keys})

    def import_all(self, keys: Mapping[MeterId, MeterKeys]) -> int:
        """The same for many meters, in one writing of the file."""
        changed = 0
        # another command may have imported since this keystore was opened
        with self._changing():
            for meter, held in keys.items():
                for role in Role:
                    secret = held.secret(role)
                    if secret is not None:
                        changed += self._add(meter, role, secret)
        return changed

    def proposed(self, meter: MeterId) -> Role | None:
        """The role whose NEW secret the meter may have or not; at most one at a time."""
        entry = self._new(meter)
        return None if entry is None else entry.role

    def newest_state(self, meter: MeterId, role: Role) -> State | None:
        """Where the newest version of a secret stands; None if there is none."""
        versions = self._of(meter, role)
        return max(versions, key=lambda entry: entry.version).state if versions else None

    def pending(self) -> list[MeterId]:
        """Meters that have a NEW secret."""
        return [MeterId(e.meter) for e in self._entries if e.state is State.NEW]

    def get_proposed(self, meter: MeterId) -> MeterKeys:
        """The secrets of a meter, the NEW one in its place; UsageError where none is NEW."""
        entry = self._new(meter)
        if entry is None:
            raise UsageError(f"{meter} has no new secret")
        changed: dict[str, Any] = {entry.role.value: self._unseal(entry)}
        return replace(self.get(meter), **changed)

    def propose(self, meter: MeterId, role: Role, secret: Secret) -> None:
        """Store a NEW secret, durably, before it is sent anywhere.

        Raises UsageError while another one of this meter is NEW, and for the active one again.
        """
        with self._changing():
            entry = self._new(meter)
            if entry is not None:
                raise UsageError(f"{meter} has a new {entry.role.value} that is not settled yet")
            if self.get(meter).require(role) == secret:
                raise UsageError(f"the new {role.value} of {meter} is the one it has")
            version = max(e.version for e in self._of(meter, role)) + 1
            self._entries = (*self._entries, self._seal(meter, role, version, State.NEW, secret))

    def promote(self, meter: MeterId) -> None:
        """The meter answered under the NEW secret: it is ACTIVE, the former one EXPIRED."""
        with self._changing():
            entry = self._required_new(meter)
            for former in self._of(meter, entry.role):
                if former.state is State.ACTIVE:
                    self._move(former, State.EXPIRED)
            self._move(entry, State.ACTIVE)

    def withdraw(self, meter: MeterId) -> None:
        """The meter answered under the former secret: the NEW one is WITHDRAWN."""
        with self._changing():
            self._move(self._required_new(meter), State.WITHDRAWN)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the file as it stands now; written at the end, nothing is kept of a failure."""
        with locked(self._path):
            before = self._entries = _read_entries(self._path)
            try:
                yield
                if self._entries != before:
                    self._write()
            except BaseException:
                self._entries = before
                raise

    def _of(self, meter: str, role: Role) -> list[_Entry]:
        return [e for e in self._entries if e.meter == meter and e.role is role]

    def _new(self, meter: str) -> _Entry | None:
        found = [e for e in self._entries if e.meter == meter and e.state is State.NEW]
        return found[0] if found else None

    def _required_new(self, meter: str) -> _Entry:
        entry = self._new(meter)
        if entry is None:
            raise UsageError(f"{meter} has no new secret")
        return entry

    def _move(self, entry: _Entry, state: State) -> None:
        if state not in _NEXT_STATES[entry.state]:
            raise UsageError(f"a secret that is {entry.state.value} does not become {state.value}")
        moved = replace(entry, state=state)
        self._entries = tuple(moved if one is entry else one for one in self._entries)

    def _add(self, meter: str, role: Role, secret: Secret) -> bool:
        same = self._of(meter, role)
        active = [entry for entry in same if entry.state is State.ACTIVE]
        if any(self._unseal(entry) == secret for entry in active):
            return False
        others = [entry for entry in self._entries if entry not in active]
        former = [replace(entry, state=State.EXPIRED) for entry in active]
        version = max((entry.version for entry in same), default=0) + 1
        made = self._seal(meter, role, version, State.ACTIVE, secret)
        self._entries = (*others, *former, made)
        return True

    def _seal(self, meter: str, role: Role, version: int, state: State, secret: Secret) -> _Entry:
        data_key = self._random_bytes(KEK_OCTETS)
        empty = _Entry(meter, role, version, state, self._kek_id, b"", b"")
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
