"""From files to a firmware profile: found, inherited, checked, frozen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from gateway.errors import ConfigError, ConfigErrors
from gateway.profile.agreement import disagreements, management_faults
from gateway.profile.capture_words import Capture
from gateway.profile.matching import check_matches
from gateway.profile.strict_toml import NOT_SHOWN, read_toml, suggestion, validate
from gateway.profile.words import Attribute, FirmwareProfile

_ADAPTER: Final = TypeAdapter(FirmwareProfile)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,63}", re.ASCII)
_OWN_KEYS: Final = ("match", "capture")
"""What is not inherited: a claim on meters, and proof of this firmware's octets."""
_IDENTITY: Final = {"object": ("name",), "profile_generic": ("kind", "log")}
"""Lists of tables that merge entry by entry, and what makes two entries the same."""
Folders = tuple[Traversable, ...]
"""Where profiles are looked for, the first one first."""
_LOADER_KEYS: Final = ("name", "inherits")


def shipped_profiles() -> Traversable:
    """The folder of profiles that comes with the product."""
    return files("firmware_profiles")


def profile_names(folder: Traversable | None = None) -> list[str]:
    """Names of all profiles in a folder, sorted; raise ConfigError if it cannot be read."""
    folder = folder or shipped_profiles()
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        raise ConfigError(str(folder), "(folder)", error.strerror, "a readable folder") from None
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


@cache
def profile_schema() -> dict[str, Any]:
    """JSON Schema of a profile without what it inherits; properties in the order of the words."""
    return _ADAPTER.json_schema()


def load_profile(name: str, folder: Traversable | None = None) -> FirmwareProfile:
    """Load one profile with everything it inherits.

    It is looked for in ``folder`` first, then among the profiles shipped with the product. Raises
    ConfigError or ConfigErrors naming file and key.
    """
    return _load(name, _folders(folder), ())[0]


def load_profile_file(path: Path) -> FirmwareProfile:
    """Load a profile from a file of its own; what it inherits lies beside it or is shipped."""
    if path.suffix != ".toml":
        raise ConfigError(str(path), "(file)", path.name, "the name of a profile, or a .toml file")
    return load_profile(path.stem, path.parent)


def check_profile_path(path: Path) -> None:
    """Raise ConfigError for a path that no new profile can be written to."""
    if path.suffix != ".toml" or not _NAME.fullmatch(path.stem):
        allowed = "a name of a-z, 0-9 and _ that ends in .toml"
        raise ConfigError(str(path), "(file)", path.name, allowed)
    if path.exists():
        raise ConfigError(str(path), "(file)", path.name, "a new file: this one is there already")


def load_profiles(folder: Traversable | None = None) -> dict[str, FirmwareProfile]:
    """Every profile of a folder; raise ConfigErrors also when two of them claim one meter."""
    profiles = {name: load_profile(name, folder) for name in profile_names(folder)}
    check_matches(profiles.values())
    return profiles


def _folders(folder: Traversable | None) -> Folders:
    return (shipped_profiles(),) if folder is None else (folder, shipped_profiles())


def _load(
    name: str, folders: Folders, children: tuple[str, ...]
) -> tuple[FirmwareProfile, dict[str, Any]]:
    """A profile, and the merged document that it was made from."""
    file = f"{name}.toml"
    document = _read(name, folders, children[-1] if children else None)
    base_name = document.pop("inherit", None)
    left_out = document.pop("without", [])
    inherits: tuple[str, ...] = ()
    inherited: dict[str, Any] = {}
    if base_name is not None:
        # The base is checked whole, by itself: its faults are told as its own.
        base, base_document = _load(
            _base_name(base_name, (*children, name)), folders, (*children, name)
        )
        inherited = {key: value for key, value in base_document.items() if key not in _OWN_KEYS}
        inherits = (base.name, *base.inherits)
    document = merge(leave_out(inherited, left_out, file), document)
    profile = validate(_ADAPTER, {**document, "name": name, "inherits": inherits}, file)
    faults = list(_faults(profile, file))
    if faults:
        raise ConfigErrors(faults)
    return profile, document


def _base_name(base_name: object, chain: tuple[str, ...]) -> str:
    file = f"{chain[-1]}.toml"
    if not isinstance(base_name, str):
        raise ConfigError(file, "inherit", NOT_SHOWN, "must be the name of a profile")
    if base_name in chain:
        circle = " -> ".join((*chain, base_name))
        raise ConfigError(file, "inherit", base_name, f"must not lead back: {circle}")
    return base_name


def _read(name: str, folders: Folders, child: str | None) -> dict[str, Any]:
    asked_by, key = (f"{child}.toml", "inherit") if child else (str(folders[0]), "profile")
    known = {entry: folder for folder in reversed(folders) for entry in profile_names(folder)}
    if not _NAME.fullmatch(name) or name not in known:
        names = dict.fromkeys(entry for folder in folders for entry in profile_names(folder))
        hint = suggestion(name, names)
        raise ConfigError(asked_by, key, name, f"must be one of {', '.join(names)}{hint}")
    document = read_toml(known[name] / f"{name}.toml")
    for key in _LOADER_KEYS:
        if key in document:
            raise ConfigError(
                f"{name}.toml", key, NOT_SHOWN, "not written: the file's name and inherit say it"
            )
    return document


def leave_out(inherited: Mapping[str, Any], places: object, file: str) -> dict[str, Any]:
    """What a base says, without the places that the child's ``without`` names.

    A place is a table (``relay``), a key of one (``quirks.no_release``), however deep, or an entry
    of a list (``object.clock``, ``profile_generic.events/control``). Raises ConfigError for a place
    that the base does not have.
    """
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        raise ConfigError(file, "without", NOT_SHOWN, "must be a list of places of the base")
    left = dict(inherited)
    for place in places:
        key, _, name = place.partition(".")
        held = left.get(key)
        if isinstance(held, dict) and "." in name:
            left[key] = leave_out(held, [name], file)
            continue
        members = _members(held, key) if name else {}
        if (name or key) not in (members if name else left):
            known = members if name and members else left
            hint = suggestion(name or key, known)
            text = f"must be what the base has: {', '.join(known) or 'nothing'}{hint}"
            raise ConfigError(file, "without", place, text)
        if not name:
            del left[key]
        elif isinstance(held, dict):
            left[key] = {one: value for one, value in held.items() if one != name}
        else:
            left[key] = [value for one, value in members.items() if one != name]
    return left


def _members(held: object, key: str) -> dict[str, Any]:
    """The entries of a table or list by the names that ``without`` knows them by."""
    if isinstance(held, dict):
        return held
    if key not in _IDENTITY or not isinstance(held, list):
        return {}
    return {
        "/".join(str(entry[part]) for part in _IDENTITY[key] if entry.get(part)): entry
        for entry in held
    }


def merge(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """The base's document with the child's over it: tables merge, other values are replaced.

    Entries of ``object`` and ``profile_generic`` merge with the base's entry of the same identity;
    new ones come behind.
    """
    merged = dict(base)
    for key, value in child.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(below, value)
        elif key in _IDENTITY and isinstance(below, list) and isinstance(value, list):
            merged[key] = _merge_entries(below, value, _IDENTITY[key])
        else:
            merged[key] = value
    return merged


def _merge_entries(base: list[Any], child: list[Any], identity: tuple[str, ...]) -> list[Any]:
    merged = list(base)
    for entry in child:
        place = _place(entry, merged, identity)
        if place is None:
            merged.append(entry)
        else:
            merged[place] = merge(merged[place], entry)
    return merged


def _place(entry: Any, entries: list[Any], identity: tuple[str, ...]) -> int | None:
    if not isinstance(entry, dict):
        return None
    wanted = [entry.get(key) for key in identity]
    for index, other in enumerate(entries):
        if isinstance(other, dict) and [other.get(key) for key in identity] == wanted:
            return index
    return None


def _faults(profile: FirmwareProfile, file: str) -> Iterator[ConfigError]:
    """What only the whole profile can show."""
    yield from _twice(file, "object", [entry.name for entry in profile.objects])
    yield from _twice(file, "profile_generic", [p.label for p in profile.profile_generics])
    codes = [f"{code}" for log in profile.events.values() for code in log]
    yield from _twice(file, "events", codes)
    yield from _event_name_faults(profile, file)
    for key, part in (("relay", profile.relay), ("push", profile.push)):
        if part is not None and part.association not in profile.associations:
            known = ", ".join(sorted(profile.associations))
            yield ConfigError(
                file, f"{key}.association", part.association, f"must be one of {known}"
            )
    if profile.push is not None:
        yield from _twice(file, "push.setups", [str(name) for name in profile.push.setups.values()])
    yield from management_faults(profile, file)
    yield from disagreements(profile, file)
    for index, capture in enumerate(profile.captures):
        yield from _capture_faults(profile, capture, file, f"capture[{index}]")


def _event_name_faults(profile: FirmwareProfile, file: str) -> Iterator[ConfigError]:
    """Codes and bits that two names claim, and codes that no log has."""
    names = profile.event_names.values()
    yield from _twice(file, "event_names (codes)", [f"{c}" for one in names for c in one.codes])
    yield from _twice(file, "event_names (bits)", [f"{b}" for one in names for b in one.bits])
    known = {code for log in profile.events.values() for code in log}
    for name, one in profile.event_names.items():
        for code in one.codes:
            if code not in known:
                yield ConfigError(file, f"event_names.{name}", code, "must be a code of [events]")


def _twice(file: str, key: str, names: list[str]) -> Iterator[ConfigError]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield ConfigError(file, key, name, "must stand once")


def _capture_faults(
    profile: FirmwareProfile, capture: Capture, file: str, key: str
) -> Iterator[ConfigError]:
    named = named_attributes(profile, capture)
    if not named:
        labels = ", ".join(p.label for p in profile.profile_generics)
        yield ConfigError(file, f"{key}.profile", capture.profile, f"must be one of {labels}")
        return
    for index, value in enumerate(capture.values):
        if value.of not in named:
            hint = suggestion(value.of, named)
            place = capture.profile or "objects"
            yield ConfigError(
                file, f"{key}.values[{index}].of", value.of, f"is not among {place}{hint}"
            )


def named_attributes(profile: FirmwareProfile, capture: Capture) -> dict[str, Attribute]:
    """What the values of a capture may be ``of``; empty when its profile is not there."""
    if not capture.profile:
        return {entry.name: entry for entry in profile.writable_objects}
    for generic in profile.profile_generics:
        if generic.label == capture.profile:
            return {column.name: column for column in generic.columns}
    return {}
