"""Options shared by the commands that talk to one meter, and what they build."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.config import load_site
from gateway.errors import UsageError
from gateway.keys import Keystore, MeterKeys, load_keys_file
from gateway.model import MeterId, Obis
from gateway.profile import (
    AUTO,
    GENERIC_BASE,
    Association,
    Authentication,
    Ciphering,
    FirmwareProfile,
    KeyName,
    Time,
    load_profile,
    load_profile_file,
    load_profiles,
)
from gateway.service.clock import SystemClock
from gateway.service.identity import ask_nameplate, choose_for
from gateway.service.reader import OnDemandReader
from gateway.service.scanner import missing_keys
from gateway.service.sessions import PUBLIC, MeterAccess, SessionMaker
from gateway.session import Timing
from gateway.store.counters import CounterStore
from gateway.store.thread import StoreThread
from gateway.store.witness import Witness
from gateway.transport import open_transport
from gateway.url import TransportUrl, parse_url

CLIENTS: Final = {"mr": "meter_reader", "us": "utility_settings", "public": "public"}
GENERIC: Final = "generic"
_GIVE_KEYS: Final = "give a --keys file with it"
MAX_TIMEOUT_S: Final = 3600
_SECRETS: Final = {
    Authentication.LLS: KeyName.LLS_PASSWORD,
    Authentication.HLS2: KeyName.HLS_SECRET,
}
_ANY_COUNTER: Final = Obis.parse("0-0:43.1.0*255")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterOptions:
    """The command line's words for one meter."""

    url: str
    profile: str
    client: str
    server: int | None
    keys: Path | None
    state: Path | None
    timeout_s: float
    auth: str | None = None
    security: str | None = None


def default_state_directory() -> Path:
    """Where a laptop keeps its counters: $XDG_STATE_HOME, else ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME")
    root = Path(base) if base else Path.home() / ".local" / "state"
    return root / "smart-meter-gateway"


def generic_profile(options: MeterOptions) -> FirmwareProfile:
    """A profile that knows nothing but what the command line says."""
    base = load_profile(GENERIC_BASE)
    named = CLIENTS.get(options.client)
    client = _number(options.client) if named is None else base.association(named).client
    known = [one.counter for one in base.associations.values() if one.client == client]
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
        counter=(known[0] if known else None) or _ANY_COUNTER,
    )
    return FirmwareProfile(
        name=GENERIC,
        description="what the command line says",
        associations={GENERIC: association, PUBLIC: base.association(PUBLIC)},
        time=Time(zone_minutes=330, deviation_sign=1),
    )


def _number(client: str) -> int:
    if not (client.isascii() and client.isdigit() and len(client) <= 5):
        raise UsageError(f"--client {client}: mr, us, public or a number is wanted")
    return int(client)


def _association(profile: FirmwareProfile, client: str) -> str:
    """The name of the profile's association for a client word, name or SAP."""
    if client.isascii() and client.isdigit():
        for name, association in profile.associations.items():
            if association.client == _number(client):
                return name
    name = CLIENTS.get(client, client)
    profile.association(name)
    return name


@dataclass(frozen=True, slots=True)
class CounterFiles:
    """Where the counters of this gateway or laptop are kept."""

    gateway_id: str
    counters: Path
    witness: Path


def _laptop(state: Path) -> CounterFiles:
    return CounterFiles("laptop", state / "counters.db", state / "witness.json")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a meter is, how it is talked to, and as which client."""

    url: TransportUrl
    access: MeterAccess
    association: str
    counters: CounterFiles

    @property
    def profile(self) -> FirmwareProfile:
        """What is known of the meter's model."""
        return self.access.profile


def resolve(options: MeterOptions) -> Target:
    """What the options mean; raise UsageError or ConfigError before anything is sent."""
    url = parse_url(options.url)
    if not 0 < options.timeout_s <= MAX_TIMEOUT_S:
        raise UsageError(f"--timeout {options.timeout_s:g}: above 0, at most {MAX_TIMEOUT_S} s")
    keys = load_keys_file(options.keys) if options.keys else MeterKeys()
    if options.profile == GENERIC:
        profile, association = generic_profile(options), GENERIC
    else:
        if options.auth or options.security:
            raise UsageError("--auth and --security belong to --profile generic")
        profile = _profile(options.profile)
        association = _association(profile, options.client)
    server = options.server if options.server is not None else url.server
    access = MeterAccess(
        meter=MeterId(str(url)),
        profile=profile,
        keys=keys,
        kind=url.kind,
        server_lower=server,
        timing=Timing(answer_s=options.timeout_s),
        auto=options.profile == AUTO,
    )
    state = options.state or default_state_directory()
    target = Target(url, access, association, _laptop(state))
    if not access.auto:
        # Before anything is sent.
        _check_keys(access, association, _GIVE_KEYS)
    return target


def resolve_meter(site_file: Path, serial: str, client: str, timeout_s: float) -> Target:
    """A meter of a site, with the site's keys and counters; raise UsageError or ConfigError."""
    site = load_site(site_file)
    found = [(wire, meter) for wire, meter in site.meters if meter.serial == serial]
    if not found:
        raise UsageError(f"meter {serial!r} is not in {site_file}")
    ((wire, meter),) = found
    if meter.profile == AUTO:
        raise UsageError(
            f"meter {serial}: its site says profile = {AUTO!r}; name its profile there"
        )
    profile = load_profile(meter.profile, site.profiles)
    association = _association(profile, client)
    stores = site.stores
    access = MeterAccess(
        meter=meter.serial,
        profile=profile,
        keys=Keystore.open(stores.keystore, stores.kek_file).get(meter.keys_of),
        kind=wire.url.kind,
        server_lower=wire.server_of(meter),
        timing=Timing(answer_s=timeout_s),
    )
    _check_keys(access, association, "gateway keys import puts it into the keystore")
    files = CounterFiles(site.gateway.id, stores.counters, stores.witness)
    return Target(wire.url, access, association, files)


def _profile(name: str) -> FirmwareProfile:
    """A shipped profile, or one in a file: whatever has a folder or the ending of one."""
    if name == AUTO:
        return load_profile(GENERIC_BASE)
    path = Path(name)
    return load_profile_file(path) if path.suffix or path.name != name else load_profile(name)


def _check_keys(access: MeterAccess, association: str, remedy: str) -> None:
    """Raise UsageError for secrets that the association needs and nobody gave."""
    wanted = access.profile.association(association)
    missing = missing_keys(access, wanted)
    if missing:
        raise UsageError(f"client {wanted.client} needs {', '.join(missing)}: {remedy}")


async def identified(target: Target) -> Target:
    """The target with the profile that fits what the meter says, where ``auto`` was asked for.

    Raises NoProfileFits, UsageError for missing keys, and as a session does.
    """
    if not target.access.auto:
        return target
    profiles = load_profiles()
    async with counters_of(target) as counters:
        transport = open_transport(target.url)
        await transport.connect()
        try:
            sessions = SessionMaker(counters, SystemClock())
            nameplate = await ask_nameplate(target.access, sessions, transport, profiles)
        finally:
            await transport.close()
    profile = choose_for(target.access, profiles.values(), nameplate)
    known = replace(target, access=replace(target.access, profile=profile, auto=False))
    _check_keys(known.access, known.association, _GIVE_KEYS)
    return known


@asynccontextmanager
async def counters_of(target: Target) -> AsyncIterator[StoreThread[CounterStore]]:
    """The counters that this laptop or this site keeps."""
    files = target.counters
    state = files.counters.parent
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"--state {state}: cannot be made: {error.strerror}") from None
    counters = await StoreThread.open(
        lambda: CounterStore.open(
            files.counters,
            gateway_id=files.gateway_id,
            witness=Witness(files.witness),
            random_bytes=secrets.token_bytes,
        ),
        name="counters",
    )
    try:
        yield counters
    finally:
        await counters.close()


@asynccontextmanager
async def reader(target: Target) -> AsyncIterator[OnDemandReader]:
    """An open session with the meter; everything is closed at the end."""
    async with counters_of(target) as counters:
        transport = open_transport(target.url)
        await transport.connect()
        try:
            clock = SystemClock()
            sessions = SessionMaker(counters, clock)
            opened = OnDemandReader(target.access, target.association, sessions, clock)
            try:
                await opened.open(transport)
                yield opened
            finally:
                await opened.close()
        finally:
            await transport.close()
