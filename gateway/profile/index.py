"""The table of all profiles, as a page: what each is for, how it deviates and what proves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields

from gateway.profile.agreement import STATED
from gateway.profile.quirks import SWITCHES, Quirk
from gateway.profile.words import FirmwareProfile

_HEAD = """\
# Firmware profiles

<!-- Made by `gateway profile index` from firmware_profiles; do not edit. -->

One TOML for each make and firmware of a meter. A profile that says what it is chosen by is found
by `profile = "auto"`; one that does not is a base for others, or the shape of a make whose
nameplate is not known yet, and is named by hand. Quirks come with the reason why these meters need
them; those of a profile hold for all that are built on it. Captures are octets with the exact
values that they mean: *captured* ones were sent by a real meter, *synthetic* ones were encoded for
the purpose or sent by the emulator. Tests decode every one of them.
"""

_QUIRKS = """\
## Quirks

The list is closed. A *switch* changes what the core does; a *stated* one is carried out by the
words of the profile that are named here, and never stands without them; a *borne* one needs none.
"""


def index_page(profiles: Mapping[str, FirmwareProfile]) -> str:
    """Markdown; ``profiles`` by name."""
    head = (
        "profile",
        "standard",
        "phases",
        "relay",
        "transformers",
        "chosen by",
        "quirks",
        "captures",
    )
    lines = [
        _HEAD,
        *_table(head, (_row(profile, profiles) for profile in profiles.values())),
        "",
        _QUIRKS,
        *_table(("quirk", "kind", "carried out by", "of"), _quirk_rows(profiles)),
    ]
    return "\n".join(lines) + "\n"


def _row(profile: FirmwareProfile, profiles: Mapping[str, FirmwareProfile]) -> Iterator[str]:
    base = profiles.get(profile.inherits[0]) if profile.inherits else None
    yield f"`{profile.name}`: {profile.description}" + (f"; on `{base.name}`" if base else "")
    yield profile.standard
    yield str(profile.phases or "")
    yield "yes" if profile.relay else "no"
    yield _transformers(profile)
    yield "<br>".join(_claims(profile)) or "its name"
    inherited = base.quirks if base else {}
    own = {quirk: why for quirk, why in profile.quirks.items() if inherited.get(quirk) != why}
    dropped = [quirk for quirk in inherited if quirk not in profile.quirks]
    yield "<br>".join(
        (
            *(f"`{quirk.value}`: {why}" for quirk, why in own.items()),
            *(f"without `{quirk.value}`" for quirk in dropped),
        )
    )
    yield _proof(profile, profiles)


def _transformers(profile: FirmwareProfile) -> str:
    """Where the ratios stand, and which side the registers count."""
    transformer = profile.transformer
    if transformer is None:
        return ""
    ratios = [str(one) for one in (transformer.current_ratio, transformer.voltage_ratio) if one]
    return f"ratios {', '.join(ratios)}; registers: {transformer.registers}"


def _claims(profile: FirmwareProfile) -> Iterator[str]:
    match = profile.match
    if match is None:
        return
    for word in fields(match):
        wanted = getattr(match, word.name)
        if wanted:
            yield f"{word.name.replace('_', ' ')} {' or '.join(map(str, wanted))}"


def _proof(profile: FirmwareProfile, profiles: Mapping[str, FirmwareProfile]) -> str:
    """How many captures it has itself, and how many the profiles beneath it."""

    def counted(names: Iterable[str]) -> str:
        found = Counter(
            capture.provenance.value
            for name in names
            if name in profiles
            for capture in profiles[name].captures
        )
        return ", ".join(f"{number} {kind}" for kind, number in sorted(found.items())) or "none"

    beneath = f"; beneath {counted(profile.inherits)}" if profile.inherits else ""
    return counted((profile.name,)) + beneath


def _quirk_rows(profiles: Mapping[str, FirmwareProfile]) -> Iterator[tuple[str, ...]]:
    for quirk in Quirk:
        kind = "switch" if quirk in SWITCHES else "stated" if quirk in STATED else "borne"
        words = f"`{STATED[quirk][0]}`" if quirk in STATED else ""
        named = [f"`{name}`" for name, profile in profiles.items() if quirk in profile.quirks]
        yield f"`{quirk.value}`", kind, words, ", ".join(named) or "none of these"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    cells = tuple(head)
    yield "| " + " | ".join(cells) + " |"
    yield "|" + "---|" * len(cells)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
