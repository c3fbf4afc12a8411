"""The account file a utility imports: connections, the meters that stood there, access codes.

```toml
[[connection]]
number = "4501234567"
name = "Sushila Devi"
sanctioned_load_w = 2000
phases = 1
category = "LMV-1"
gateway = "gw-kanpur-1"
access_code = "a code of 8 characters or more"     # optional; kept as a scrypt hash only

[[connection.installation]]
meter = "SA1231166"
from = 2026-09-01T00:00:00+05:30
to = 2026-12-01T00:00:00+05:30                     # optional; none: it stands there now
```
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, UsageError
from gateway.model import Account, ConnectionNo, Installation, MeterId, Secret
from gateway.uplink.topics import MAX_METER_OCTETS, checked_name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TEXT = 200
_KEYS = {
    "number": str,
    "name": str,
    "sanctioned_load_w": int,
    "phases": int,
    "category": str,
    "gateway": str,
}


@dataclass(frozen=True, slots=True)
class ImportedAccount:
    """One connection of an account file."""

    account: Account
    gateway: str
    access_code: Secret | None


def read_account_file(path: Path) -> tuple[ImportedAccount, ...]:
    """Read and check a whole file; ConfigError names file, key, value and what is allowed."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    _refuse_unknown(str(path), "", values, {"connection"})
    tables = _tables(str(path), "connection", values.get("connection", []))
    accounts = tuple(_account(str(path), key, table) for key, table in tables)
    numbers = [one.account.connection for one in accounts]
    for number in numbers:
        if numbers.count(number) > 1:
            raise ConfigError(str(path), "connection.number", number, "stands twice")
    return accounts


def _account(file: str, key: str, table: dict[str, Any]) -> ImportedAccount:
    _refuse_unknown(file, key, table, {*_KEYS, "access_code", "installation"})
    for name, kind in _KEYS.items():
        value = table.get(name)
        if type(value) is not kind or (isinstance(value, str) and not 0 < len(value) <= _MAX_TEXT):
            allowed = "a whole number" if kind is int else f"text of 1 to {_MAX_TEXT} characters"
            raise ConfigError(file, f"{key}.{name}", value, f"must be {allowed}")
    if not 0 < table["sanctioned_load_w"] < 2**31:
        raise ConfigError(
            file, f"{key}.sanctioned_load_w", table["sanctioned_load_w"], "is above 0 W"
        )
    if table["phases"] not in {1, 3}:
        raise ConfigError(file, f"{key}.phases", table["phases"], "is 1 or 3")
    try:
        gateway = checked_name("gateway", table["gateway"])
    except UsageError as error:
        raise ConfigError(file, f"{key}.gateway", table["gateway"], str(error)) from error
    number = ConnectionNo(table["number"])
    installations = tuple(
        _installation(file, name, number, entry)
        for name, entry in _tables(file, f"{key}.installation", table.get("installation", []))
    )
    code = table.get("access_code")
    if code is not None and not isinstance(code, str):
        # its value is never shown
        raise ConfigError(file, f"{key}.access_code", "...", "must be text")
    return ImportedAccount(
        Account(
            connection=number,
            name=table["name"],
            sanctioned_load_w=table["sanctioned_load_w"],
            phases=table["phases"],
            category=table["category"],
            installations=installations,
        ),
        gateway,
        None if code is None else Secret(code.encode()),
    )


def _installation(file: str, key: str, number: ConnectionNo, table: dict[str, Any]) -> Installation:
    _refuse_unknown(file, key, table, {"meter", "from", "to"})
    meter = table.get("meter")
    if not isinstance(meter, str) or not 0 < len(meter.encode()) <= MAX_METER_OCTETS:
        raise ConfigError(file, f"{key}.meter", meter, "must be the serial number on the nameplate")
    from_s = _instant_s(file, f"{key}.from", table.get("from"))
    to_s = None if "to" not in table else _instant_s(file, f"{key}.to", table["to"])
    if to_s is not None and to_s <= from_s:
        raise ConfigError(file, f"{key}.to", str(table["to"]), "must be after from")
    return Installation(number, MeterId(meter), from_s, to_s)


def _instant_s(file: str, key: str, value: object) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None:
        allowed = "must be a date and time with its offset, such as 2026-09-01T00:00:00+05:30"
        raise ConfigError(file, key, None if value is None else str(value), allowed)
    at_s = (value - _EPOCH) // timedelta(seconds=1)
    if at_s < 0:
        raise ConfigError(file, key, str(value), "must not be before 1970")
    return at_s


def _tables(file: str, key: str, value: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ConfigError(file, key, "...", f"must be tables, each under [[{key}]]")
    return [(f"{key}[{place}]", one) for place, one in enumerate(value)]


def _refuse_unknown(file: str, key: str, table: dict[str, Any], known: set[str]) -> None:
    for name in table:
        if name not in known:
            path = f"{key}.{name}" if key else name
            raise ConfigError(
                file, path, "...", f"is unknown; known are {', '.join(sorted(known))}"
            )
