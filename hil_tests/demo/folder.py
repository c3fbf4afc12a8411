"""The run directory: what each part is told, and the secrets of one run.

``database/`` lies beside the folders that keep keys, because the database's system user has to
reach it; every other folder is closed to everybody but its owner.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.keys import Keystore, create_kek, load_keys_file
from gateway.model import MeterId, Secret
from gateway.uplink.port import TlsFiles
from gateway.uplink.signature import SigningKey
from hil_tests.certificates import RunCertificates, make_certificates, write_private
from hil_tests.demo.consumers import Consumer, account_file
from hil_tests.demo.toml import text
from hil_tests.emulator.fleet import FLEET_FILE

GATEWAY_ID: Final = "demo-substation"
_GATEWAY_USER: Final = "gateway"
_BACKEND_USER: Final = "backend"
_KEY_ID: Final = "demo-backend"
_SECRET_OCTETS: Final = 32
PROFILES: Final = {
    "single_phase": "is15959_part2_single_phase",
    "three_phase": "is15959_part2_three_phase",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which meters stand there, and how much of each is read.

    ``bus_block_days`` is for the slow lines, ``block_days`` for all others. ``instantaneous_s``
    is the cadence of present values. At ``push_port`` the gateway listens to what meters push;
    None: it does not.
    """

    scenario: Path
    daily_days: int = 35
    block_days: int = 35
    bus_block_days: int = 2
    instantaneous_s: int = 60
    events_s: int = 3600
    push_port: int | None = None


class RunFolder:
    """Folders, files and secrets of one run below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("meters", "gateway", "backend", "tls", "broker", "logs"):
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
        self.meters = self.root / "meters"
        self.gateway = self.root / "gateway"
        self.backend = self.root / "backend"
        self.broker = self.root / "broker"
        self.database = self.root / "database"
        self.site_file = self.gateway / "site.toml"
        self.app_file = self.backend / "consumer-app.toml"
        self.account_file = self.backend / "accounts.toml"
        self.readings_file = self.gateway / "readings.db"
        self.certificates: RunCertificates = make_certificates(
            self.root / "tls", [_GATEWAY_USER, _BACKEND_USER]
        )
        self.broker_users = {name: _fresh_secret() for name in (_GATEWAY_USER, _BACKEND_USER)}
        self._signing_key = SigningKey.generate(_KEY_ID)

    def log(self, name: str) -> Path:
        """Where a process writes what it has to say."""
        return self.root / "logs" / f"{name}.log"

    def fleet(self) -> dict[str, Any]:
        """``fleet.json``: where each emulated meter is."""
        document: dict[str, Any] = json.loads((self.meters / FLEET_FILE).read_text("utf-8"))
        return document

    def write_backend(self, *, database_url: str, broker_port: int, web_port: int) -> None:
        """``consumer-app.toml`` and the secrets it names."""
        password = self.broker_users[_BACKEND_USER]
        write_private(self.backend / "mqtt-password", password.reveal())
        write_private(self.backend / "session-secret", _fresh_secret().reveal())
        seed = self._signing_key.seed.reveal().hex()
        write_private(self.backend / "signing-key", seed.encode())
        content = f"""[site]
zone = "Asia/Kolkata"
utility = "Demo Vidyut Vitran Nigam"

[database]
url = {text(database_url)}

[web]
host = "127.0.0.1"
port = {web_port}
secure_cookie = false
session_secret_file = "session-secret"

[mqtt]
host = "127.0.0.1"
port = {broker_port}
username = {text(_BACKEND_USER)}
password_file = "mqtt-password"
{_tls_files(self.certificates.clients[_BACKEND_USER])}
[downlink]
issuer = "backend"
key_id = {text(_KEY_ID)}
signing_key_file = "signing-key"
"""
        write_private(self.app_file, content.encode())

    def write_accounts(
        self, consumers: Sequence[Consumer], *, installed_s: int, zone_minutes: int
    ) -> None:
        """``accounts.toml``: connections, meters and access codes."""
        content = account_file(
            consumers, gateway=GATEWAY_ID, installed_s=installed_s, zone_minutes=zone_minutes
        )
        write_private(self.account_file, content.encode())

    def write_gateway(self, plan: Plan, *, broker_port: int) -> None:
        """``site.toml`` with every meter of the fleet, and the secrets it names."""
        password = self.broker_users[_GATEWAY_USER]
        write_private(self.gateway / "mqtt-password", password.reveal())
        fleet = self.fleet()
        content = f"""[gateway]
id = {text(GATEWAY_ID)}
zone_minutes = {fleet["zone_minutes"]}
trust_host_clock = true  # the meters' clock is this host's

[stores]
readings = {text(self.readings_file)}
counters = "counters.db"
witness = "witness.json"
keystore = "keystore.json"
kek_file = "kek"

[uplink]
host = "127.0.0.1"
port = {broker_port}
username = {text(_GATEWAY_USER)}
password_file = "mqtt-password"

[uplink.tls]
{_tls_files(self.certificates.clients[_GATEWAY_USER])}
[[uplink.backend_key]]
id = {text(_KEY_ID)}
public_key = {text(self._signing_key.public_octets.hex())}

[reading]
instantaneous_s = {plan.instantaneous_s}
events_s = {plan.events_s}
daily_days = {plan.daily_days}
block_days = {plan.block_days}
"""
        if plan.push_port is not None:
            content += f'\n[push]\nhost = "127.0.0.1"\ntcp_port = {plan.push_port}\n'
        content += "".join(_wire(wire, plan) for wire in _wires(fleet))
        write_private(self.site_file, content.encode())

    def import_meter_keys(self) -> None:
        """Put the keys that the emulated meters drew into the gateway's keystore."""
        kek_file = self.gateway / "kek"
        if not kek_file.exists():
            create_kek(kek_file)
        keystore = Keystore.open(self.gateway / "keystore.json", kek_file)
        for meter in self.fleet()["meters"]:
            keys = load_keys_file(Path(meter["keys_file"]))
            keystore.import_keys(MeterId(meter["serial"]), keys)


@dataclass(frozen=True, slots=True)
class _Wire:
    name: str
    url: str
    is_bus: bool
    meters: tuple[dict[str, Any], ...]


def _wires(fleet: dict[str, Any]) -> list[_Wire]:
    meters = fleet["meters"]
    buses = [
        _Wire(
            bus["name"],
            f"serial://{bus['device']}?baud={bus['baud']}",
            True,
            tuple(meter for meter in meters if meter["bus"] == bus["name"]),
        )
        for bus in fleet["buses"]
    ]
    alone = [
        _Wire(meter["serial"], meter["url"], False, (meter,))
        for meter in meters
        if not meter["bus"]
    ]
    return buses + alone


def _wire(wire: _Wire, plan: Plan) -> str:
    lines = ["", "[[wire]]", f"name = {text(wire.name)}", f"url = {text(wire.url)}"]
    if wire.is_bus:
        lines.append(f"block_days = {plan.bus_block_days}")
    for meter in wire.meters:
        lines += ["", "[[wire.meter]]", f"serial = {text(meter['serial'])}"]
        lines.append(f"profile = {text(PROFILES[meter['model']])}")
        if wire.is_bus:
            lines.append(f"server = {meter['address']}")
    return "\n".join(lines) + "\n"


def _tls_files(files: TlsFiles) -> str:
    return (
        f"ca_file = {text(files.ca_file)}\n"
        f"certificate_file = {text(files.certificate_file)}\n"
        f"key_file = {text(files.key_file)}\n"
    )


def _fresh_secret() -> Secret:
    return Secret(secrets.token_hex(_SECRET_OCTETS).encode())
