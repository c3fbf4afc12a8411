"""Shapes of the API's answers.

Numbers of energy, voltage and the like are decimal strings, exact to the last digit the meter
sent; times are ISO 8601 with the site's offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from consumer_app.consumption import Gap
from consumer_app.load import BlockGap, Quantity
from gateway.events import EventPhase, EventSource
from gateway.model import TimeQuality


@dataclass(frozen=True, slots=True)
class Problem:
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """Connection number and access code."""

    connection: str
    code: str


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; valid for seven days or until the access code is changed."""

    token: str
    connection: str


@dataclass(frozen=True, slots=True)
class InstallationOut:
    """A meter at the connection; ``valid_to`` null means that it stands there now."""

    meter: str
    valid_from: str
    valid_to: str | None


@dataclass(frozen=True, slots=True)
class ConnectionOut:
    """A connection."""

    connection: str
    name: str
    sanctioned_load_w: int
    phases: int
    category: str
    installations: list[InstallationOut]


@dataclass(frozen=True, slots=True)
class RegisterOut:
    """A cumulative import register with its evidence.

    ``raw`` is the base64 of the row's octets as the meter sent them (null where only values
    travel), ``capture_list`` the digest of the columns and scalers that explain it. It proves
    where the figure comes from; it does not prove who made the octets.
    """

    meter: str
    obis: str
    wh: str
    at: str
    time_quality: TimeQuality
    received_at: str
    raw: str | None
    row_digest: str
    capture_list: str
    server_system_title: str | None
    invocation_counter: int | None


@dataclass(frozen=True, slots=True)
class DayOut:
    """Energy of a local day: closing minus opening register, or the reason why it is unknown."""

    date: str
    meter: str | None
    units_wh: str | None
    gap: Gap | None
    opening: RegisterOut | None
    closing: RegisterOut | None


@dataclass(frozen=True, slots=True)
class DailyOut:
    """Days in order, both ends included."""

    connection: str
    zone: str
    days: list[DayOut]


@dataclass(frozen=True, slots=True)
class BlockOut:
    """One capture period; ``v`` and ``a`` have one entry a phase (R, Y, B)."""

    start: str
    end: str
    wh: str | None
    v: list[str | None]
    a: list[str | None]
    gap: BlockGap | None


@dataclass(frozen=True, slots=True)
class LoadOut:
    """Blocks of a local day; ``period_s`` null where no block was ever read around it."""

    connection: str
    date: str
    zone: str
    period_s: int | None
    blocks: list[BlockOut]


@dataclass(frozen=True, slots=True)
class ValueOut:
    """A value of the snapshot; ``unit`` is "" for plain numbers."""

    quantity: Quantity
    obis: str
    value: str
    unit: str


@dataclass(frozen=True, slots=True)
class LatestOut:
    """The newest snapshot; ``at`` null where none was ever read."""

    connection: str
    meter: str | None
    at: str | None
    age_s: int | None
    supply_connected: bool | None
    values: list[ValueOut]


@dataclass(frozen=True, slots=True)
class RegisterNowOut:
    """The newest register and the energy since the last midnight, each null where unknown."""

    connection: str
    register: RegisterOut | None
    age_s: int | None
    units_today_wh: str | None


@dataclass(frozen=True, slots=True)
class EventOut:
    """Something that happened at the meter.

    ``phase`` says whether it began or ended; what has no end only occurs. ``at`` is by the clock
    that ``timed_by`` names, null where it cannot be believed. ``sources`` are all who told it: the
    meter's event log, a message that it pushed, or a conclusion of the gateway.
    """

    meter: str
    name: str
    phase: EventPhase
    log: str
    code: int | None
    at: str | None
    time_quality: TimeQuality
    timed_by: Literal["meter", "gateway"]
    first_received_at: str
    sources: list[EventSource]


@dataclass(frozen=True, slots=True)
class EventsOut:
    """Events, newest first; ``next`` is the ``before`` of the following page, null at the end."""

    connection: str
    zone: str
    events: list[EventOut]
    next: str | None
