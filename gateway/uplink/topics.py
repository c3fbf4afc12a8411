"""Topic names under ``smg/1/{gateway}/``: built and read in one place.

A gateway's name is plain (letters, digits, ``_``, ``-``). A meter's number is whatever its
nameplate says, so every other octet of it is percent-encoded: no wild card, separator or blank
of a nameplate ever reaches a broker.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from gateway.errors import DecodeError, UsageError
from gateway.model import MeterId, ProfileKind

ROOT = "smg/1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_ENCODED = re.compile(r"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2}){1,192}", re.ASCII)
MAX_METER_OCTETS = 64


class Kind(StrEnum):
    """What a topic carries: the level after the gateway's name."""

    BIRTH = "birth"
    STATE = "state"
    READINGS = "readings"
    EVENTS = "events"
    HEALTH = "health"
    RESULT = "result"
    COMMIT = "commit"
    ACCOUNT = "account"

    @property
    def is_down(self) -> bool:
        """Whether the backend publishes it; every such message is signed."""
        return self in (Kind.COMMIT, Kind.ACCOUNT)


_DEEP: Final = {Kind.READINGS: "/+/+", Kind.EVENTS: "/+", Kind.RESULT: "/+"}
"""Kinds with further levels, as a subscription has them."""


class Topic(NamedTuple):
    """A topic read.

    ``meter`` for readings and events, ``profile`` for readings, ``command`` for results.
    """

    gateway: str
    kind: Kind
    meter: MeterId | None = None
    profile: ProfileKind | None = None
    command: str | None = None


def checked_name(what: str, name: str) -> str:
    """``name`` if it can stand in a topic as it is; UsageError otherwise."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{what} {name[:80]!r}: 1 to 64 letters, digits, _ or -, the first no _ or -"
        )
    return name


def plain(gateway: str, kind: Kind) -> str:
    """Topic of a kind that has no further levels."""
    if kind in _DEEP:
        raise UsageError(f"topic {kind.value} has further levels")
    return f"{ROOT}/{checked_name('gateway', gateway)}/{kind.value}"


def readings(gateway: str, meter: MeterId, profile: ProfileKind) -> str:
    """Topic of the readings of one meter and profile."""
    return f"{_of_meter(gateway, Kind.READINGS, meter)}/{profile.value}"


def events(gateway: str, meter: MeterId) -> str:
    """Topic of the events of one meter."""
    return _of_meter(gateway, Kind.EVENTS, meter)


def _of_meter(gateway: str, kind: Kind, meter: MeterId) -> str:
    if not 0 < len(meter.encode("utf-8", "replace")) <= MAX_METER_OCTETS:
        raise UsageError(f"meter number {meter[:80]!r}: 1 to {MAX_METER_OCTETS} octets of UTF-8")
    try:
        level = quote(meter, safe="")
    except UnicodeEncodeError as wrong:
        raise UsageError(f"meter number {meter[:80]!r}: not UTF-8") from wrong
    return f"{ROOT}/{checked_name('gateway', gateway)}/{kind.value}/{level}"


def result(gateway: str, command: str) -> str:
    """Topic of the result of one command."""
    return f"{ROOT}/{checked_name('gateway', gateway)}/result/{checked_name('command', command)}"


def downlink(gateway: str) -> tuple[str, ...]:
    """What a gateway subscribes to."""
    return tuple(plain(gateway, kind) for kind in Kind if kind.is_down)


def from_all_gateways() -> tuple[str, ...]:
    """What a backend subscribes to: filters with wild cards."""
    return tuple(f"{ROOT}/+/{kind.value}{_DEEP.get(kind, '')}" for kind in Kind if not kind.is_down)


def parse(topic: str) -> Topic:
    """Read a topic this module can build; DecodeError for any other."""
    levels = topic.split("/")
    if levels[:2] != ROOT.split("/") or not 4 <= len(levels) <= 6:
        raise DecodeError(f"topic {topic[:200]!r} is not {ROOT}/gateway/kind/...")
    gateway, kind_name, *rest = levels[2:]
    if not _NAME.fullmatch(gateway):
        raise DecodeError(f"topic {topic[:200]!r}: gateway name")
    try:
        kind = Kind(kind_name)
    except ValueError as wrong:
        raise DecodeError(f"topic {topic[:200]!r}: unknown kind") from wrong
    if kind is Kind.READINGS and len(rest) == 2:
        return Topic(gateway, kind, meter=_meter(rest[0]), profile=_profile(rest[1]))
    if kind is Kind.EVENTS and len(rest) == 1:
        return Topic(gateway, kind, meter=_meter(rest[0]))
    if kind is Kind.RESULT and len(rest) == 1 and _NAME.fullmatch(rest[0]):
        return Topic(gateway, kind, command=rest[0])
    if rest or kind in _DEEP:
        raise DecodeError(f"topic {topic[:200]!r}: levels after {kind.value}")
    return Topic(gateway, kind)


def _meter(level: str) -> MeterId:
    if not _ENCODED.fullmatch(level):
        raise DecodeError(f"topic level {level[:200]!r} is not a meter number")
    try:
        meter = unquote_to_bytes(level).decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise DecodeError(f"topic level {level!r} is not UTF-8") from wrong
    if quote(meter, safe="") != level:
        raise DecodeError(f"topic level {level!r} has a second spelling")
    return MeterId(meter)


def _profile(level: str) -> ProfileKind:
    try:
        return ProfileKind(level)
    except ValueError as wrong:
        raise DecodeError(f"topic level {level[:200]!r} is not a profile") from wrong
