"""Named events as JSON messages, both directions: what happened at one meter, with its octets.

An event is the same event when meter, name, phase and time are the same, however it became known:
the backend joins what was pushed and what the log says later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from gateway.errors import DecodeError, LimitExceeded, UsageError
from gateway.events import EventKind, EventPhase, EventSource, MeterEvent
from gateway.model import MeterId, TimeQuality
from gateway.uplink import wire
from gateway.uplink.message import (
    EpochSeconds,
    EvidenceShape,
    Header,
    checked_meter,
    decode_header,
    evidence_shape,
    read_evidence,
)
from gateway.uplink.topics import Kind, Topic

EVENTS_SCHEMA: Final = "smg.events/1"
MAX_EVENTS: Final = 100
MAX_EVENT_RAW_OCTETS: Final = 2048
"""A row of an event log has some 60 octets, a pushed alert fewer; what is longer is cut off here
and whole in the gateway's store. A hundred such events fit into one message."""

_Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]{1,64}$")]
_Log = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]{0,64}$")]
_Code = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class _Event(wire.Shape, frozen=True, kw_only=True):
    name: _Name
    phase: EventPhase
    log: _Log
    code: _Code | None
    at_s: EpochSeconds
    time_quality: TimeQuality
    timed_by: Literal["meter", "gateway"]
    source: EventSource
    raw: bytes
    evidence: EvidenceShape


class _Body(wire.Shape, frozen=True, kw_only=True):
    schema: Literal["smg.events/1"]
    meter: str
    events: list[_Event]


@dataclass(frozen=True, slots=True)
class EventsMessage:
    """An events message as received."""

    header: Header
    meter: MeterId
    events: tuple[MeterEvent, ...]


def encode_events(meter: MeterId, events: Sequence[MeterEvent]) -> bytes:
    """Body of an events message (its header comes in front when it is sent).

    Raises UsageError for no events or more than MAX_EVENTS, and for what the schema forbids.
    """
    if not 1 <= len(events) <= MAX_EVENTS:
        raise UsageError(f"a message has 1 to {MAX_EVENTS} events")
    shape = _Body(
        schema=EVENTS_SCHEMA, meter=checked_meter(meter), events=[_shape(one) for one in events]
    )
    octets = wire.encode(shape, wire.MAX_BODY_OCTETS)
    try:
        wire.decode(octets, _Body, "own events message")
    except DecodeError as wrong:
        raise UsageError(str(wrong)) from wrong
    return octets


def event_bodies(meter: MeterId, events: Sequence[MeterEvent]) -> Iterator[bytes]:
    """The bodies that carry these events, in their order."""
    for start in range(0, len(events), MAX_EVENTS):
        yield encode_events(meter, events[start : start + MAX_EVENTS])


def decode_events(octets: bytes, topic: Topic | None = None) -> EventsMessage:
    """Read an events message; with ``topic``, refuse one that speaks for another sender.

    Raises DecodeError or LimitExceeded.
    """
    body = wire.decode(octets, _Body, "events message")
    if len(body.events) > MAX_EVENTS:
        raise LimitExceeded(f"events message: more than {MAX_EVENTS} events")
    if not body.events:
        raise DecodeError("events message: no events")
    header = decode_header(octets)
    try:
        meter = checked_meter(body.meter)
    except UsageError as wrong:
        raise DecodeError(f"events message: {wrong}") from wrong
    if topic is not None and topic != Topic(header.gateway, Kind.EVENTS, meter=meter):
        raise DecodeError("events message: gateway or meter is not its topic's")
    return EventsMessage(header, meter, tuple(_event(one) for one in body.events))


def _shape(event: MeterEvent) -> _Event:
    return _Event(
        name=event.kind.name,
        phase=event.kind.phase,
        log=event.kind.log,
        code=event.kind.code,
        at_s=event.at_s,
        time_quality=event.time_quality,
        timed_by="meter" if event.timed_by_meter else "gateway",
        source=event.source,
        raw=event.raw[:MAX_EVENT_RAW_OCTETS],
        evidence=evidence_shape(event.evidence),
    )


def _event(shape: _Event) -> MeterEvent:
    if len(shape.raw) > MAX_EVENT_RAW_OCTETS:
        raise LimitExceeded(f"event with more than {MAX_EVENT_RAW_OCTETS} raw octets")
    return MeterEvent(
        kind=EventKind(shape.name, shape.phase, shape.log, shape.code),
        at_s=shape.at_s,
        time_quality=shape.time_quality,
        timed_by_meter=shape.timed_by == "meter",
        source=shape.source,
        raw=shape.raw,
        evidence=read_evidence(shape.evidence),
    )
