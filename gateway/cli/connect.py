"""Options shared by the commands that talk to one meter, and what they build."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import UsageError
from gateway.keys import MeterKeys, load_keys_file
from gateway.model import MeterId, Obis
from gateway.poller import Timing
from gateway.profile import (
    Association,
    Authentication,
    Ciphering,
    FirmwareProfile,
    KeyName,
    Time,
    load_profile,
)
from gateway.service.clock import SystemClock
from gateway.service.reader import OnDemandReader
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.store.counters import CounterStore
from gateway.store.thread import StoreThread
from gateway.store.witness import Witness
from gateway.transport import open_transport
from gateway.url import TransportUrl, parse_url

CLIENTS: Final = {"mr": "meter_reader", "us": "utility_settings", "public": "public"}
GENERIC: Final = "generic"
_SECRETS: Final = {
    Authentication.LLS: KeyName.LLS_PASSWORD,
    Authentication.HLS2: KeyName.HLS_SECRET,
}
_NO_COUNTER: Final = Obis.parse("0-0:43.1.0*255")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterOptions:
    """The command line's words for one meter."""

    url: str
    profile: str
    client: str
    server: int | None
    auth: str | None
    security: str | None
    keys: Path | None
    state: Path | None
    timeout_s: float


def default_state_directory() -> Path:
    """Where a laptop keeps its counters: $XDG_STATE_HOME, else ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME")
    root = Path(base) if base else Path.home() / ".local" / "state"
    return root / "smart-meter-gateway"


def generic_profile(options: MeterOptions) -> FirmwareProfile:
    """A profile that knows nothing but what the command line says."""
    try:
        client = int(options.client)
    except ValueError:
        sap = {"mr": 32, "us": 48, "public": 16}
        client = sap[options.client]
    authentication = Authentication(options.auth or "none")
    ciphering = Ciphering(options.security or "none")
    ciphers = ciphering is not Ciphering.NONE or authentication is Authentication.GMAC
    association = Association(
        client=client,
        authentication=authentication,
        ciphering=ciphering,
        secret=_SECRETS.get(authentication),
        encryption_key=KeyName.GUEK if ciphers else None,
        authentication_key=KeyName.GAK if ciphers else None,
        counter=_NO_COUNTER if ciphers else None,
    )
    return FirmwareProfile(
        name=GENERIC,
        description="what the command line says",
        associations={GENERIC: association},
        time=Time(zone_minutes=330, deviation_sign=1),
    )


def resolve(options: MeterOptions) -> tuple[TransportUrl, MeterAccess, str]:
    """URL, access and association name; raise UsageError or ConfigError."""
    url = parse_url(options.url)
    keys = load_keys_file(options.keys) if options.keys else MeterKeys()
    if options.profile == GENERIC:
        profile, association = generic_profile(options), GENERIC
    else:
        if options.auth or options.security:
            raise UsageError("--auth and --security belong to --profile generic")
        profile = load_profile(options.profile)
        association = CLIENTS.get(options.client, options.client)
        profile.association(association)
    server = options.server if options.server is not None else url.server
    access = MeterAccess(
        meter=MeterId(str(url)),
        profile=profile,
        keys=keys,
        kind=url.kind,
        server_lower=server,
        timing=Timing(answer_s=options.timeout_s),
    )
    return url, access, association


@asynccontextmanager
async def reader(options: MeterOptions) -> AsyncIterator[tuple[OnDemandReader, MeterAccess]]:
    """An open session with the meter; everything is closed at the end."""
    url, access, association = resolve(options)
    state = options.state or default_state_directory()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    counters = await StoreThread.open(
        lambda: CounterStore.open(
            state / "counters.db",
            gateway_id="laptop",
            witness=Witness(state / "witness.json"),
            random_bytes=secrets.token_bytes,
        ),
        name="counters",
    )
    try:
        transport = open_transport(url)
        await transport.connect()
        try:
            opened = OnDemandReader(access, association, SessionMaker(counters), SystemClock())
            try:
                await opened.open(transport)
                yield opened, access
            finally:
                await opened.close()
        finally:
            await transport.close()
    finally:
        await counters.close()
