"""What a site file says, as frozen values: one gateway, its stores, uplink, wires and meters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.errors import UsageError
from gateway.model import MeterId
from gateway.profile.strict_toml import table, text_as
from gateway.url import TransportKind, TransportUrl, parse_url

DAY_S: Final = 86_400

_GATEWAY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_SERIAL: Final = re.compile(r"[!-~]{1,32}", re.ASCII)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def _gateway_id(text: str) -> str:
    if not _GATEWAY_ID.fullmatch(text):
        raise UsageError("must be 1 to 64 letters, digits, - or _: it stands in MQTT topics")
    return text


def _serial(text: str) -> MeterId:
    if not _SERIAL.fullmatch(text):
        raise UsageError("must be the nameplate's serial number: 1 to 32 printable characters")
    return MeterId(text)


def _public_key(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise UsageError("must be an Ed25519 public key: 64 hexadecimal digits")
    return octets


def _key_id(text: str) -> str:
    if not _KEY_ID.fullmatch(text):
        raise UsageError("must be 1 to 64 letters, digits, dots, _ or -")
    return text


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise UsageError("must be an IP address: 10.20.0.17") from None


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise UsageError(f"must be a network: 10.20.0.0/16 ({error})") from None


IpAddress = Annotated[IPv4Address | IPv6Address | None, text_as(_address)]
Network = IPv4Network | IPv6Network
Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Milliseconds = Annotated[int, Field(ge=0, le=10_000)]
BlockDays = Annotated[int, Field(ge=1, le=400)]
Serial = Annotated[MeterId, text_as(_serial)]
Url = Annotated[TransportUrl, text_as(parse_url)]


@table
class Gateway:
    """Who this gateway is."""

    id: Annotated[str, text_as(_gateway_id)]
    zone_minutes: Annotated[int, Field(ge=-840, le=840)] = 330
    """The site's local time minus UTC, for views and figures; meters have their profile's."""
    trust_host_clock: bool = False
    """Take the host's clock for right although its kernel does not say that it is synchronised."""


@table
class Stores:
    """Files of this gateway; relative paths start at the site file's folder."""

    readings: Path
    counters: Path
    witness: Path
    """Outside the backup set: it is what tells a restored backup from the living files."""
    keystore: Path
    jobs: Path | None = None
    """Management jobs and their audit; jobs.db beside the counters where it is not said."""
    kek_file: Path
    """Key that the keystore's entries are encrypted under; mode 0600."""
    max_mib: Positive = 2048
    """What readings.db may hold before the oldest bulk readings go."""
    bulk_days: Positive = 400
    record_days: Positive = 1200
    """Daily registers, billing and events; they go last."""

    def __post_init__(self) -> None:
        if self.bulk_days > self.record_days:
            raise ValueError("bulk_days must be at most record_days")
        paths = (
            self.readings,
            self.counters,
            self.witness,
            self.keystore,
            self.kek_file,
            self.jobs_file,
        )
        if len(set(paths)) != len(paths):
            raise ValueError(
                "readings, counters, witness, keystore, jobs and kek_file are six files"
            )

    @property
    def jobs_file(self) -> Path:
        """Where the jobs are."""
        return self.jobs or self.counters.with_name("jobs.db")


@table
class BackendKey:
    """A key whose signature is believed on what comes down: commits and account data.

    It speaks for ``issuer`` alone; an issuer may have several keys, while one takes over.
    """

    id: Annotated[str, text_as(_key_id)]
    public_key: Annotated[bytes, text_as(_public_key)]
    issuer: Annotated[str, Field(min_length=1, max_length=64)] = "backend"


@table
class Tls:
    """PEM files; without ``ca_file`` the system's certificates are believed."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")


@table
class Uplink:
    """The MQTT broker, and whose signatures count."""

    host: Name
    port: Annotated[int, Field(ge=1, le=65535)] = 8883
    client_id: str = ""
    """"" means the gateway's id."""
    mqtt_version: Literal["3.1.1", "5"] = "3.1.1"
    tls: Tls | None = None
    """Without this table the connection is plain, which is allowed to a loopback host only."""
    username: str | None = None
    password_file: Path | None = None
    window: Annotated[int, Field(ge=1, le=1000)] = 20
    """Messages published and not yet committed."""
    backend_keys: Annotated[tuple[BackendKey, ...], Field(alias="backend_key", min_length=1)]

    def __post_init__(self) -> None:
        if self.tls is None and self.host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("a host that is not loopback needs the table tls (it may be empty)")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file belong together")
        names = [key.id for key in self.backend_keys]
        if len(set(names)) != len(names):
            raise ValueError("a backend_key.id stands twice")


@table
class Reading:
    """How often each set is read and how far back rows are wanted."""

    instantaneous_s: Annotated[int, Field(ge=10, le=DAY_S)] = 900
    nameplate_s: Annotated[int, Field(ge=3600)] = 30 * DAY_S
    events_s: Annotated[int, Field(ge=10, le=DAY_S)] = 3600
    """Event logs; what a meter pushes is there at once."""
    daily_days: Annotated[int, Field(ge=1, le=400)] = 35
    block_days: BlockDays = 35
    connections_per_s: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How many TCP connections are opened in a second at most."""
    verify_capture_list_s: Annotated[int, Field(ge=60)] = DAY_S
    drift_limit_s: Annotated[int, Field(ge=1, le=3600)] = 120
    """A meter clock further from the host's than this marks its rows as drifted."""


@table
class Clocks:
    """When meters' clocks are set to the host's; only while that is synchronised.

    A meter lets its clock be set if its profile says how (``time.set_clock``).
    """

    set: bool = False
    above_s: Annotated[int, Field(ge=5, le=3600)] = 60
    """A smaller drift is left alone."""
    most_s: Annotated[int, Field(ge=5, le=40 * DAY_S)] = 3600
    """A larger one has another cause than a quartz: it is told, and a person decides."""
    margin_s: Annotated[int, Field(ge=5, le=300)] = 30
    """Kept to both ends of the capture interval."""
    crossing: bool = False
    """Set a clock also where its drift spans the end of an interval; rows of it are marked."""

    def __post_init__(self) -> None:
        if self.above_s >= self.most_s:
            raise ValueError("above_s must be less than most_s")


@table
class PushListener:
    """Where meters call in by themselves, and how much of them is taken."""

    host: Name
    """Address to listen at; "::" or "0.0.0.0" for all of this machine's."""
    tcp_port: Port | None = 4059
    udp_port: Port | None = None
    max_message_octets: Annotated[int, Field(ge=64, le=65_535)] = 8192
    max_connections: Annotated[int, Field(ge=1, le=20_000)] = 500
    per_meter_minute: Annotated[int, Field(ge=1, le=6000)] = 30
    """Messages of one meter in a minute; what is above is dropped and counted."""
    per_address_minute: Annotated[int, Field(ge=1, le=100_000)] = 6000
    """The same of one address: many meters may stand behind one."""

    def __post_init__(self) -> None:
        if self.tcp_port is None and self.udp_port is None:
            raise ValueError("tcp_port or udp_port is needed")


@table
class CoverageTarget:
    """So much of the previous day's data is to be there so many hours after midnight."""

    within_hours: Annotated[int, Field(ge=1, le=240)]
    percent: Annotated[int, Field(ge=1, le=100)]


@table
class Meter:
    """One meter on a wire."""

    serial: Serial
    profile: Name
    """Name of a firmware profile, or "auto": the one whose [match] fits what the meter says."""
    server: Annotated[int, Field(ge=0, le=0x3FFF)] | None = None
    """Address on the wire: physical HDLC address, or wPort; the profile's where not given."""
    association: Name = "meter_reader"
    keys: str = ""
    """Name of its secrets in the keystore; "" means its serial number."""

    turnaround_ms: Milliseconds | None = None
    """Silence before it is spoken to again; the profile's where not given."""

    @property
    def keys_of(self) -> MeterId:
        """Whose secrets of the keystore are used."""
        return MeterId(self.keys) if self.keys else self.serial


@table
class Wire:
    """One bus, line or connection with the meters on it; it has one owner."""

    name: Name
    url: Url
    meters: Annotated[tuple[Meter, ...], Field(alias="meter")] = ()
    block_days: BlockDays | None = None
    """In place of ``reading.block_days``: a slow line with many meters carries less history."""
    gap_ms: Milliseconds = 0
    """Silence between two meters on the wire."""

    def server_of(self, meter: Meter) -> int | None:
        """A meter's address: its own, else the URL's; None means the profile's."""
        return self.url.server if meter.server is None else meter.server


@table
class CallingMeter(Meter):
    """A meter that dials in, and by what it is known: one of the two, or both together."""

    device_name: str = ""
    """Logical device name, as its public association shows it to anybody who asks."""
    address: IpAddress = None
    """Where it calls from. Without ``device_name`` that alone is believed."""

    def __post_init__(self) -> None:
        if not self.device_name and self.address is None:
            raise ValueError("a meter that dials in is known by device_name or address")


@table
class ListenerTls:
    """PEM files; with ``client_ca_file`` a caller needs a certificate that it signed."""

    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None


@table
class Listener:
    """A port that meters dial in to: the wrapper or HDLC on a TCP stream."""

    name: Name
    url: Url
    """Where it listens: tcp://0.0.0.0:4059, or hdlc+tcp://..."""
    networks: Annotated[tuple[Annotated[Network, text_as(_network)], ...], Field(min_length=1)]
    """Whoever calls from elsewhere is turned away unheard."""
    tls: ListenerTls | None = None
    profile: Name = "is15959_part2"
    """Whose link and public association are used to ask who is calling."""
    max_connections: Annotated[int, Field(ge=1, le=20_000)] = 1000
    max_unidentified: Annotated[int, Field(ge=1, le=1000)] = 32
    identify_s: Annotated[int, Field(ge=1, le=600)] = 30
    """Time for a caller to say who it is."""
    meters: Annotated[tuple[CallingMeter, ...], Field(alias="meter")] = ()
    block_days: BlockDays | None = None

    def __post_init__(self) -> None:
        if self.url.kind not in (TransportKind.TCP, TransportKind.HDLC_TCP):
            raise ValueError("url must be tcp:// or hdlc+tcp://")
        known = [meter.device_name or str(meter.address) for meter in self.meters]
        twice = sorted({one for one in known if known.count(one) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands for two meters")

    def server_of(self, meter: Meter) -> int | None:
        """A meter's address: its own, else the URL's; None means the profile's."""
        return self.url.server if meter.server is None else meter.server


@table
class MeterFile(Meter):
    """One file of ``site.d``: a meter, and either the wire it is on or the URL it has alone.

    ``wire`` may name a listener; ``device_name`` and ``address`` are then as in its table.
    """

    wire: Name | None = None
    url: Url | None = None
    device_name: str = ""
    address: IpAddress = None

    def __post_init__(self) -> None:
        if (self.wire is None) == (self.url is None):
            raise ValueError("either wire (a wire of the site file) or url, not both")


@table
class Site:
    """A gateway's whole configuration; made by ``load_site``."""

    gateway: Gateway
    stores: Stores
    uplink: Uplink | None = None
    """None: readings are kept here and sent nowhere."""
    reading: Reading = Reading()
    clocks: Clocks = Clocks()
    push: PushListener | None = None
    """None: what meters push is not listened to."""
    coverage: tuple[CoverageTarget, ...] = (
        CoverageTarget(within_hours=8, percent=95),
        CoverageTarget(within_hours=12, percent=98),
    )
    profiles: Path | None = None
    """Folder of firmware profiles, looked in before those that come with the product."""
    wires: Annotated[tuple[Wire, ...], Field(alias="wire")] = field(default=())
    listeners: Annotated[tuple[Listener, ...], Field(alias="listener")] = field(default=())

    @property
    def meters(self) -> Iterator[tuple[Wire | Listener, Meter]]:
        """Every meter with its wire, or the listener that it dials in to."""
        return ((place, meter) for place in self.places for meter in place.meters)

    @property
    def places(self) -> tuple[Wire | Listener, ...]:
        """Where meters are."""
        return (*self.wires, *self.listeners)
