"""The backend's configuration: one TOML file, with what a container sets in its environment.

```toml
[site]
zone = "Asia/Kolkata"                     # where days begin and end
utility = "Kanpur Electricity"            # the name at the top of the page

[database]
url = "dbname=meters"                     # libpq; SMG_DATABASE_URL stands over it

[web]                                     # consumer-app serve
host = "127.0.0.1"
port = 8080
secure_cookie = true                      # false only where there is no TLS in front
trusted_proxies = ["10.0.0.5"]            # whose X-Forwarded-For is believed; default: nobody's
session_secret_file = "session-secret"    # mode 0600, 16 octets or more

[mqtt]                                    # consumer-app ingest
host = "broker.example"
port = 8883
client_id = "consumer-app-ingest"
tls = true                                # false only to a loopback address
ca_file = "ca.pem"
certificate_file = "ingest.pem"
key_file = "ingest.key"
username = "ingest"
password_file = "ingest-password"         # mode 0600

[downlink]                                # who signs what goes down
issuer = "backend"
key_id = "backend-1"
signing_key_file = "signing-key"          # mode 0600, an Ed25519 seed as 64 hex digits
```

Paths are relative to the file.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from zoneinfo import ZoneInfo

from consumer_app.site_time import site_zone
from gateway.errors import ConfigError, UsageError
from gateway.model import Secret
from gateway.uplink.port import TlsFiles

DATABASE_VARIABLE = "SMG_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where the MQTT broker is and how to trust it."""

    host: str
    port: int
    client_id: str
    tls: TlsFiles | None
    username: str
    password: Secret | None


@dataclass(frozen=True, slots=True)
class AppConfig:
    """Everything ``serve`` and ``ingest`` need. Secrets are read once and never shown."""

    database_url: Secret
    zone: ZoneInfo
    utility: str
    session_secret: Secret | None
    secure_cookie: bool
    trusted_proxies: tuple[str, ...]
    host: str
    port: int
    broker: BrokerConfig | None
    signing_key: Secret | None
    signing_key_id: str
    issuer: str


class _Table:
    """A TOML table that names file and key in every complaint and refuses unknown keys."""

    _WORDS: ClassVar = {
        str: "text",
        int: "a whole number",
        bool: "true or false",
        dict: "a table",
        list: "a list",
    }

    def __init__(self, file: str, name: str, values: Mapping[str, Any]) -> None:
        self._file = file
        self._name = name
        self._left = dict(values)

    def take(self, key: str, kind: type[Any], default: Any = None) -> Any:
        if key not in self._left:
            if default is None:
                raise ConfigError(self._file, self._path(key), None, "is needed")
            return default
        value = self._left.pop(key)
        if type(value) is not kind:
            raise ConfigError(self._file, self._path(key), value, f"must be {self._WORDS[kind]}")
        return value

    def table(self, key: str) -> _Table | None:
        values = self.take(key, dict, {})
        return _Table(self._file, self._path(key), values) if values else None

    def path(self, key: str) -> Path | None:
        text = self.take(key, str, "")
        return Path(self._file).parent / text if text else None

    def secret(self, key: str) -> Secret | None:
        path = self.path(key)
        return None if path is None else read_secret(path, self._file, self._path(key))

    def refuse(self, key: str, value: object, allowed: str) -> NoReturn:
        raise ConfigError(self._file, self._path(key), value, allowed)

    def finish(self) -> None:
        for key, value in self._left.items():
            raise ConfigError(self._file, self._path(key), value, "is not a key of this file")

    def _path(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


def read_secret(path: Path, file: str, key: str) -> Secret:
    """The octets of a file that only its owner may read; ConfigError otherwise."""
    try:
        mode = path.stat().st_mode
        octets = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(file, key, str(path), f"cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(file, key, str(path), "must have mode 0600")
    if not octets:
        raise ConfigError(file, key, str(path), "is empty")
    return Secret(octets)


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> AppConfig:
    """Read the file; ConfigError names file, key, value and what is allowed.

    ``SMG_DATABASE_URL`` stands over ``database.url``, so that a password need not be in a file.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    top = _Table(str(path), "", values)
    site = top.table("site") or _Table(str(path), "site", {})
    database = top.table("database") or _Table(str(path), "database", {})
    web = top.table("web") or _Table(str(path), "web", {})
    url = database.take("url", str, "")
    url = environment.get(DATABASE_VARIABLE, url)
    if not url:
        raise ConfigError(str(path), "database.url", None, f"is needed, or {DATABASE_VARIABLE}")
    downlink = top.table("downlink")
    broker = top.table("mqtt")
    config = AppConfig(
        database_url=Secret(url.encode()),
        zone=site_zone(site.take("zone", str, "Asia/Kolkata")),
        utility=site.take("utility", str, "Smart Meter"),
        session_secret=web.secret("session_secret_file"),
        secure_cookie=web.take("secure_cookie", bool, True),
        trusted_proxies=_proxies(web),
        host=web.take("host", str, "127.0.0.1"),
        port=_port(web, str(path), "web.port", 8080),
        broker=None if broker is None else _broker(broker, str(path)),
        signing_key=None if downlink is None else _signing_key(downlink),
        signing_key_id="" if downlink is None else downlink.take("key_id", str),
        issuer="" if downlink is None else downlink.take("issuer", str, "backend"),
    )
    for table in (top, site, database, web, downlink, broker):
        if table is not None:
            table.finish()
    return config


def _signing_key(table: _Table) -> Secret | None:
    """An Ed25519 seed, kept as 64 hex digits."""
    text = table.secret("signing_key_file")
    if text is None:
        return None
    try:
        return Secret(bytes.fromhex(text.reveal().decode("ascii")))
    except ValueError:
        table.refuse("signing_key_file", "...", "must hold an Ed25519 seed as 64 hex digits")


def _proxies(table: _Table) -> tuple[str, ...]:
    """Addresses and networks of reverse proxies, as text."""
    given: list[object] = table.take("trusted_proxies", list, [])
    for one in given:
        try:
            ip_network(str(one))
        except ValueError:
            table.refuse("trusted_proxies", one, "is an IP address or a network, such as 10.0.0.5")
    return tuple(str(one) for one in given)


def _port(table: _Table, file: str, name: str, default: int) -> int:
    port: int = table.take("port", int, default)
    if not 0 <= port <= 65_535:
        raise ConfigError(file, name, port, "is 0 to 65535")
    return port


def _broker(table: _Table, file: str) -> BrokerConfig:
    host = table.take("host", str)
    if not re.fullmatch(r"[A-Za-z0-9.:-]+", host):
        raise ConfigError(file, "mqtt.host", host, "is a host name or an address")
    return BrokerConfig(
        host=host,
        port=_port(table, file, "mqtt.port", 8883),
        client_id=table.take("client_id", str, "consumer-app-ingest"),
        # without TLS only a loopback address is taken (gateway.uplink.mqtt)
        tls=TlsFiles(
            ca_file=table.path("ca_file"),
            certificate_file=table.path("certificate_file"),
            key_file=table.path("key_file"),
        )
        if table.take("tls", bool, True)
        else None,
        username=table.take("username", str, ""),
        password=table.secret("password_file"),
    )
