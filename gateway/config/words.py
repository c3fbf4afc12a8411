"""What a site file says, as frozen values: one gateway, its stores, uplink, wires and meters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.errors import UsageError
from gateway.model import MeterId
from gateway.profile.strict_toml import table, text_as
from gateway.url import TransportUrl, parse_url

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


Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
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
        paths = (self.readings, self.counters, self.witness, self.keystore, self.kek_file)
        if len(set(paths)) != len(paths):
            raise ValueError("readings, counters, witness, keystore and kek_file are five files")


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
    daily_days: Annotated[int, Field(ge=1, le=400)] = 35
    block_days: BlockDays = 35
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

    def server_of(self, meter: Meter) -> int | None:
        """A meter's address: its own, else the URL's; None means the profile's."""
        return self.url.server if meter.server is None else meter.server


@table
class MeterFile(Meter):
    """One file of ``site.d``: a meter, and either the wire it is on or the URL it has alone."""

    wire: Name | None = None
    url: Url | None = None

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
    coverage: tuple[CoverageTarget, ...] = (
        CoverageTarget(within_hours=8, percent=95),
        CoverageTarget(within_hours=12, percent=98),
    )
    profiles: Path | None = None
    """Folder of firmware profiles, looked in before those that come with the product."""
    wires: Annotated[tuple[Wire, ...], Field(alias="wire")] = field(default=())

    @property
    def meters(self) -> Iterator[tuple[Wire, Meter]]:
        """Every meter with its wire."""
        return ((wire, meter) for wire in self.wires for meter in wire.meters)
