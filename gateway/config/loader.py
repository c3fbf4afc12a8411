"""From site.toml and site.d/*.toml to a Site, every fault of every file told at once."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from gateway.config.words import (
    CallingMeter,
    Listener,
    ListenerTls,
    Meter,
    MeterFile,
    Site,
    Stores,
    Tls,
    Uplink,
    Wire,
)
from gateway.errors import ConfigError, ConfigErrors
from gateway.profile import AUTO, GENERIC_BASE, FirmwareProfile, load_profile
from gateway.profile.strict_toml import read_toml, suggestion, validate

_SITE: Final = TypeAdapter(Site)
_METER_FILE: Final = TypeAdapter(MeterFile)

_PUBLIC: Final = "public"

T = TypeVar("T")
P = TypeVar("P", Site, Stores, Uplink, Tls, ListenerTls)


def load_site(path: Path) -> Site:
    """Read a site file and the meter files of the folder beside it (``site.d`` for ``site.toml``).

    Paths in the result are absolute or start where the site file lies. Raises ConfigErrors with
    every fault found; a single fault that stops the rest (no such file) as ConfigError.
    """
    faults: list[ConfigError] = []
    site = _read(path, _SITE, faults)
    meter_files = _meter_files(path, faults)
    if site is not None:
        site = _with_paths(site, path.parent)
        site = _with_meters(site, meter_files, path, faults)
        faults += _site_faults(site, str(path))
        faults += _listener_faults(site, str(path))
        faults += _meter_faults(site, _files_of(meter_files), str(path))
    if faults:
        raise ConfigErrors(faults)
    assert site is not None
    return site


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the site file; ``$defs.MeterFile`` is that of site.d/*.toml."""
    made = _SITE.json_schema()
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    meter_file = _METER_FILE.json_schema()
    made["$defs"].update(meter_file.pop("$defs", {}))
    made["$defs"]["MeterFile"] = meter_file
    return made


def example() -> str:
    """A commented site file that loads as it stands."""
    return files("gateway.config").joinpath("site.example.toml").read_text(encoding="utf-8")


def _read(path: Path, adapter: TypeAdapter[T], faults: list[ConfigError]) -> T | None:
    try:
        return validate(adapter, read_toml(path), str(path))
    except ConfigErrors as several:
        faults += several.errors
    except ConfigError as one:
        faults.append(one)
    return None


def _meter_files(path: Path, faults: list[ConfigError]) -> list[tuple[str, MeterFile]]:
    folder = path.with_suffix(".d")
    found = []
    for file in sorted(folder.glob("*.toml")):
        meter = _read(file, _METER_FILE, faults)
        if meter is not None:
            found.append((str(file), meter))
    return found


def _files_of(meter_files: list[tuple[str, MeterFile]]) -> dict[str, str]:
    return {meter.serial: file for file, meter in meter_files}


def _with_paths(site: Site, folder: Path) -> Site:
    site = replace(_rooted(site, folder), stores=_rooted(site.stores, folder))
    listeners = tuple(
        one if one.tls is None else replace(one, tls=_rooted(one.tls, folder))
        for one in site.listeners
    )
    site = replace(site, listeners=listeners)
    if site.uplink is None:
        return site
    uplink = _rooted(site.uplink, folder)
    if uplink.tls is not None:
        uplink = replace(uplink, tls=_rooted(uplink.tls, folder))
    return replace(site, uplink=uplink)


def _rooted(value: P, folder: Path) -> P:
    """The same with every Path field made to start at ``folder`` (absolute ones stay)."""
    held = {one.name: getattr(value, one.name) for one in fields(value)}
    paths: dict[str, Any] = {
        name: folder / path for name, path in held.items() if isinstance(path, Path)
    }
    return replace(value, **paths)


def _with_meters(
    site: Site, meter_files: list[tuple[str, MeterFile]], path: Path, faults: list[ConfigError]
) -> Site:
    wires = {wire.name: wire for wire in site.wires}
    listeners = {listener.name: listener for listener in site.listeners}
    faults += [
        ConfigError(str(path), f"wire[{index} {wire.name}].name", wire.name, "must stand once")
        for index, wire in enumerate(site.wires)
        if wires[wire.name] is not wire
    ]
    for file, entry in meter_files:
        meter = Meter(**{one.name: getattr(entry, one.name) for one in fields(Meter)})
        known_as = entry.device_name or entry.address
        if known_as and entry.wire not in listeners:
            key = "device_name" if entry.device_name else "address"
            text = "belongs to a meter that dials in: wire must name a listener"
            faults.append(ConfigError(file, key, str(known_as), text))
        if entry.url is not None:
            name = str(meter.serial)
            if name in wires:
                faults.append(ConfigError(file, "serial", name, "is the name of a wire already"))
            wires[name] = Wire(name=name, url=entry.url, meters=(meter,))
        elif entry.wire in wires:
            wire = wires[entry.wire]
            wires[entry.wire] = replace(wire, meters=(*wire.meters, meter))
        elif entry.wire in listeners:
            listener = listeners[entry.wire]
            try:
                caller = CallingMeter(
                    **{one.name: getattr(entry, one.name) for one in fields(CallingMeter)}
                )
                listeners[entry.wire] = replace(listener, meters=(*listener.meters, caller))
            except ValueError as error:
                faults.append(ConfigError(file, "wire", entry.wire, str(error)))
        else:
            places = [*wires, *listeners]
            known = ", ".join(places) or "none"
            hint = suggestion(entry.wire or "", places)
            faults.append(ConfigError(file, "wire", entry.wire, f"must be one of {known}{hint}"))
    return replace(site, wires=tuple(wires.values()), listeners=tuple(listeners.values()))


def _site_faults(site: Site, file: str) -> Iterator[ConfigError]:
    owners: dict[str, str] = {}
    names = {wire.name for wire in site.wires}
    for listener in site.listeners:
        if listener.name in names:
            key = f"listener {listener.name}.name"
            yield ConfigError(file, key, listener.name, "is another wire's or listener's already")
        names.add(listener.name)
    for wire in site.places:
        owner = owners.setdefault(wire.url.wire, wire.name)
        if owner != wire.name:
            yield ConfigError(
                file,
                f"{_kind_of(wire)} {wire.name}.url",
                str(wire.url),
                f"is the wire of {owner} already; put the meters of one wire together",
            )


def _listener_faults(site: Site, file: str) -> Iterator[ConfigError]:
    """Callers are asked who they are in a public association, so there has to be one."""
    for listener in site.listeners:
        key, name = f"listener {listener.name}.profile", listener.profile
        try:
            profile = load_profile(name, site.profiles)
        except ConfigError as error:
            yield ConfigError(file, key, name, error.allowed)
            continue
        if _PUBLIC not in profile.associations:
            yield ConfigError(file, key, name, f"has no association {_PUBLIC!r} to ask callers in")


def _meter_faults(site: Site, file_of: dict[str, str], site_file: str) -> Iterator[ConfigError]:
    profiles: dict[str, FirmwareProfile | None] = {}
    seen: dict[str, str] = {}
    for wire in site.places:
        addresses: dict[int | None, str] = {}
        for meter in wire.meters:
            file = file_of.get(meter.serial, site_file)
            key = f"meter {meter.serial}"
            place = f"{_kind_of(wire)} {wire.name}"
            if meter.serial in seen:
                text = f"stands on {seen[meter.serial]} already"
                yield ConfigError(file, f"{place}, {key}.serial", meter.serial, text)
            seen.setdefault(meter.serial, place)
            if meter.profile not in profiles:
                profiles[meter.profile] = yield from _profile(site, meter, file, key)
            profile = profiles[meter.profile]
            if profile is None:
                continue
            yield from _association_faults(profile, meter, file, key)
            if isinstance(wire, Listener):
                continue  # each has a connection of its own
            address = wire.server_of(meter)
            address = profile.link.server_lower if address is None else address
            other = addresses.setdefault(address, meter.serial)
            if other != meter.serial:
                text = f"is the address of {other} on wire {wire.name}; each meter has its own"
                yield ConfigError(file, f"{key}.server", address, text)


def _kind_of(place: Wire | Listener) -> str:
    return "wire" if isinstance(place, Wire) else "listener"


def _profile(
    site: Site, meter: Meter, file: str, key: str
) -> Generator[ConfigError, None, FirmwareProfile | None]:
    name = GENERIC_BASE if meter.profile == AUTO else meter.profile
    try:
        return load_profile(name, site.profiles)
    except ConfigErrors as several:
        yield from several.errors
    except ConfigError as error:
        yield ConfigError(file, f"{key}.profile", meter.profile, error.allowed)
    return None


def _association_faults(
    profile: FirmwareProfile, meter: Meter, file: str, key: str
) -> Iterator[ConfigError]:
    if meter.association not in profile.associations:
        known = ", ".join(sorted(profile.associations))
        hint = suggestion(meter.association, profile.associations)
        yield ConfigError(
            file, f"{key}.association", meter.association, f"must be one of {known}{hint}"
        )
