"""Which profile is a meter's: what it says of itself against what profiles claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from typing import Final

from gateway.errors import ConfigError, ConfigErrors, NoProfileFits
from gateway.profile.words import FirmwareProfile, Match

AUTO: Final = "auto"
"""In place of a profile's name: the meter is asked, and the one profile that fits is taken."""
GENERIC_BASE: Final = "is15959_part2"
"""Whose associations and addresses hold for a meter that is not known yet."""
_NEAR_MOST: Final = 4
"""Profiles named in an error: more help nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nameplate:
    """What a meter says of itself, by the words of ``[match]``; None where it says nothing."""

    logical_device_name: str | None = None
    manufacturer: str | None = None
    firmware: str | None = None
    meter_type: int | None = None
    category: str | None = None

    def __str__(self) -> str:
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return ", ".join(f"{name} {value!r}" for name, value in said.items()) or "nothing"

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to ask for."""
        return None not in asdict(self).values()


def choose(profiles: Iterable[FirmwareProfile], nameplate: Nameplate) -> FirmwareProfile:
    """The one profile that claims a meter; of a profile and its base, the profile.

    A word of ``[match]`` that the meter did not tell fits nothing, and a profile that could still
    be meant forbids the choice of another. Raises NoProfileFits.
    """
    claims = {profile.name: (profile, profile.match) for profile in profiles if profile.match}
    wrong = {name: list(_wrong(match, nameplate)) for name, (_, match) in claims.items()}
    untold = {name: _untold(match, nameplate) for name, (_, match) in claims.items()}
    open_names = [name for name in claims if not wrong[name]]
    # Whoever knows more goes before what it is built on.
    beneath = {base for name in open_names for base in claims[name][0].inherits}
    nearest = [name for name in open_names if name not in beneath]
    if len(nearest) == 1 and not untold[nearest[0]]:
        return claims[nearest[0]][0]
    told = {
        name: "; ".join((*wrong[name], *untold[name])) or "fits"
        for name in nearest or sorted(claims, key=lambda name: len(wrong[name]))
    }
    raise NoProfileFits(
        str(nameplate), [f"{name} ({why})" for name, why in list(told.items())[:_NEAR_MOST]]
    )


def _claimed(match: Match) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The words of a ``[match]`` that are given."""
    for word in fields(match):
        wanted = getattr(match, word.name)
        if wanted:
            yield word.name, wanted


def _wrong(match: Match, nameplate: Nameplate) -> Iterator[str]:
    for name, wanted in _claimed(match):
        said = getattr(nameplate, name)
        if said is not None and not any(_fits(one, said) for one in wanted):
            yield f"{name} is {' or '.join(map(str, wanted))}"


def _untold(match: Match, nameplate: Nameplate) -> list[str]:
    return [
        f"{name} was not told" for name, _ in _claimed(match) if getattr(nameplate, name) is None
    ]


def _fits(wanted: object, said: object) -> bool:
    if isinstance(wanted, str) and isinstance(said, str):
        return fits(wanted, said)
    return wanted == said


def fits(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern (``*`` any characters, ``?`` one character)."""
    reached = _past_stars({0}, pattern)
    for sign in text:
        stepped = set()
        for at in reached:
            if at < len(pattern) and pattern[at] == "*":
                stepped.add(at)
            elif at < len(pattern) and pattern[at] in ("?", sign):
                stepped.add(at + 1)
        reached = _past_stars(stepped, pattern)
    return len(pattern) in reached


def check_matches(profiles: Iterable[FirmwareProfile]) -> None:
    """Raise ConfigErrors when two profiles claim one meter and neither is built on the other.

    A profile that inherits from another claims its meters before it: it knows more.
    """
    faults = [
        ConfigError(
            f"{one.name}.toml",
            "match",
            f"overlaps {other.name}.toml",
            "a meter must match one profile only; narrow one of them",
        )
        for one, other in combinations(profiles, 2)
        if _claim_alike(one, other)
    ]
    if faults:
        raise ConfigErrors(faults)


def _claim_alike(one: FirmwareProfile, other: FirmwareProfile) -> bool:
    if one.match is None or other.match is None:
        return False
    if one.name in other.inherits or other.name in one.inherits:
        return False
    return matches_overlap(one.match, other.match)


def matches_overlap(one: Match, other: Match) -> bool:
    """Whether some meter fits both."""
    types = (
        not one.meter_type or not other.meter_type or set(one.meter_type) & set(other.meter_type)
    )
    return bool(types) and all(
        _some_pair_meets(patterns, others)
        for patterns, others in (
            (one.logical_device_name, other.logical_device_name),
            (one.manufacturer, other.manufacturer),
            (one.firmware, other.firmware),
            (one.category, other.category),
        )
    )


def _some_pair_meets(patterns: Sequence[str], others: Sequence[str]) -> bool:
    if not patterns or not others:
        return True
    return any(patterns_meet(pattern, other) for pattern in patterns for other in others)


def patterns_meet(one: str, other: str) -> bool:
    """Whether some text fits both patterns (``*`` any characters, ``?`` one character).

    ``reached`` holds the positions in ``other`` at which a common text may stand after the part
    of ``one`` that was walked.
    """
    reached = _past_stars({0}, other)
    for sign in one:
        if sign == "*":
            # Anything may follow: every later position of ``other`` can be reached.
            reached = set(range(min(reached), len(other) + 1)) if reached else set()
            continue
        stepped = set()
        for at in reached:
            if at < len(other) and other[at] == "*":
                stepped.add(at)
            elif at < len(other) and (sign == "?" or other[at] in ("?", sign)):
                stepped.add(at + 1)
        reached = _past_stars(stepped, other)
    return len(other) in reached


def _past_stars(positions: set[int], pattern: str) -> set[int]:
    """The same positions, and those behind stars that match nothing."""
    reached = set(positions)
    for at in sorted(positions):
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            reached.add(at)
    return reached
