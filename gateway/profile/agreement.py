"""Words of a profile that must agree with other words of it.

Quirks that other words carry out: name, reason and words stand together.

What a word says alone (``stamp = "start"``) may be a slip of the pen or a fact that somebody found
at a meter; with its quirk it has a reason, and the table of profiles can show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gateway.errors import ConfigError
from gateway.model import Obis, ProfileKind
from gateway.profile.quirks import Quirk
from gateway.profile.strict_toml import suggestion
from gateway.profile.words import Access, FirmwareProfile, Stamp

_IMPORT: Final = Obis.parse("1-0:1.8.0*255")
_EXPORT: Final = Obis.parse("1-0:2.8.0*255")
_FAMILY_94_91: Final = bytes((94, 91))


def exports_first(order: Sequence[Obis]) -> bool:
    """Whether columns in this order have the exported energy before the imported."""
    both = _IMPORT in order and _EXPORT in order
    return both and order.index(_EXPORT) < order.index(_IMPORT)


def at_94_91(obis: Obis) -> bool:
    """Whether an object is of the family 0-0:94.91.x."""
    return obis.octets[2:4] == _FAMILY_94_91


def _daily_exports_first(profile: FirmwareProfile) -> bool:
    return any(
        generic.kind is ProfileKind.DAILY_LOAD
        and exports_first([column.obis for column in generic.columns])
        for generic in profile.profile_generics
    )


def _is_read_by_entry(profile: FirmwareProfile) -> bool:
    return any(g.cadence_s and g.access is Access.ENTRY for g in profile.profile_generics)


def _mirrors_at_94_91(profile: FirmwareProfile) -> bool:
    shown = profile.display.objects if profile.display else ()
    return any(at_94_91(entry.obis) for entry in shown)


STATED: Final[Mapping[Quirk, tuple[str, Callable[[FirmwareProfile], bool]]]] = MappingProxyType(
    {
        Quirk.POSITIVE_DEVIATION: (
            "time.deviation_sign = 1",
            lambda profile: profile.time.deviation_sign == 1,
        ),
        Quirk.DEVIATION_NOT_BELIEVED: (
            "time.use_deviation = false",
            lambda profile: not profile.time.use_deviation,
        ),
        Quirk.STAMP_AT_START: (
            'a [[profile_generic]] with stamp = "start"',
            lambda profile: any(g.stamp is Stamp.START for g in profile.profile_generics),
        ),
        Quirk.RANGE_REFUSED: (
            'a [[profile_generic]] with cadence_s and access = "entry"',
            _is_read_by_entry,
        ),
        Quirk.EXPORT_COLUMNS_FIRST: (
            "the columns of daily_load with 1-0:2.8.0*255 before 1-0:1.8.0*255",
            _daily_exports_first,
        ),
        Quirk.UNLISTED_CAPTURE_OBJECT: (
            "a column with unlisted = true",
            lambda profile: any(g.unlisted for g in profile.profile_generics),
        ),
        Quirk.PREPAID_FAMILY_94_91: ("display objects at 0-0:94.91.x", _mirrors_at_94_91),
    }
)
"""Quirk -> the words that carry it out, and whether a profile has them."""


def disagreements(profile: FirmwareProfile, file: str) -> Iterator[ConfigError]:
    """Quirks without their words, and words without the quirk that gives their reason."""
    for quirk, (words, holds) in STATED.items():
        named = quirk in profile.quirks
        if named == holds(profile):
            continue
        value = "(given)" if named else "(missing)"
        text = f"goes with {words}" if named else f"gives the reason for {words}"
        yield ConfigError(file, f"quirks.{quirk.value}", value, text)


def management_faults(profile: FirmwareProfile, file: str) -> Iterator[ConfigError]:
    """What ``[management]`` names and the profile does not have."""
    management = profile.management
    if management is None:
        return
    objects = [entry.name for entry in profile.writable_objects]
    named: list[tuple[str, str, list[str]]] = []
    associations = sorted(profile.associations)
    named.append(("association", management.association, associations))
    for setting, entry in management.settings.items():
        named.append((f"setting.{setting}.object", entry.object, objects))
        if entry.effective is not None:
            named.append((f"setting.{setting}.effective", entry.effective, objects))
    image = management.image_transfer
    if image is not None:
        named.append(("image_transfer.association", image.association, associations))
        named.append(("image_transfer.version", image.version, objects))
    for secret, change in management.secrets.items():
        named.append((f"secret.{secret}.proven_by", change.proven_by, associations))
    for key, name, known in named:
        if name not in known:
            allowed = f"must be one of {', '.join(known)}{suggestion(name, known)}"
            yield ConfigError(file, f"management.{key}", name, allowed)
