"""Where a broker is and how to speak with it: settings and TLS, without any MQTT library."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from gateway.errors import ConfigError, UsageError
from gateway.model import Secret
from gateway.uplink.port import TlsFiles
from gateway.uplink.wire import MAX_MESSAGE_OCTETS


class MqttVersion(Enum):
    """Protocol version on the wire."""

    V311 = "3.1.1"
    V5 = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where the broker is and how to speak with it.

    Without ``tls`` only a loopback address is allowed. ``window`` bounds what is published and not
    yet acknowledged, ``inbox`` what has come in and is not yet read: beyond it a message is
    dropped and counted, since its sender repeats what it gets no answer to.
    """

    host: str
    port: int
    client_id: str
    tls: TlsFiles | None = field(default_factory=TlsFiles)
    username: str | None = None
    password: Secret | None = None
    version: MqttVersion = MqttVersion.V311
    subscriptions: tuple[str, ...] = ()
    window: int = 20
    inbox: int = 1000
    max_payload_octets: int = MAX_MESSAGE_OCTETS
    keepalive_s: int = 60
    connect_timeout_s: float = 10.0
    publish_timeout_s: float = 30.0
    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0
    stable_after_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.host or not 1 <= self.port <= 65535 or not self.client_id:
            raise UsageError("MQTT: host, port (1 to 65535) and client id are needed")
        if self.tls is None and not _is_loopback(self.host):
            raise UsageError(f"MQTT without TLS to {self.host}: only to a loopback address")
        if min(self.window, self.inbox, self.keepalive_s) < 1:
            raise UsageError("MQTT: window, inbox and keepalive_s are at least 1")

    def backoff_s(self, failures: int, *, retryable: bool) -> float:
        """The longest wait after so many failures on end; what needs a person waits longest."""
        if not retryable:
            return self.backoff_max_s
        return min(self.backoff_max_s, self.backoff_first_s * (1 << min(failures, 20)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or later with verification of the broker's name; ConfigError for a file at fault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load(files.ca_file, "ca_file", context.load_verify_locations)
    if files.certificate_file is not None:
        key_file = files.key_file
        _load(
            files.certificate_file,
            "certificate_file",
            lambda path: context.load_cert_chain(path, key_file, password=""),
        )
    return context


def _load(path: Path, key: str, load: Callable[[Path], None]) -> None:
    try:
        load(path)
    except (OSError, ssl.SSLError) as wrong:
        raise ConfigError("TLS", key, str(path), f"a readable PEM file: {wrong}") from wrong
