"""Whether two profiles could both claim one meter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from gateway.errors import ConfigError, ConfigErrors
from gateway.profile.words import FirmwareProfile, Match


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
