"""What a gateway says of itself: birth, state, health, and results of commands.

Birth, state and health are the newest word and travel without a header, retained or repeated.
A result is a fact somebody waits for: it goes through the outbox like readings, under a header.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gateway.errors import DecodeError, UsageError
from gateway.uplink import topics, wire
from gateway.uplink.message import Header, checked_epoch, decode_header
from gateway.uplink.port import Presence, Publication
from gateway.uplink.topics import Kind, Topic, checked_name

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=500)]


class StreamPosition(wire.Shape, frozen=True, kw_only=True):
    """How far a stream's numbers have gone: the backend compares, behind means restored."""

    stream: _Name
    epoch: _Name
    sequence: _Count


class Birth(wire.Shape, frozen=True, kw_only=True):
    """Retained, once per connection. ``generation`` rises with every connection."""

    schema: Literal["smg.birth/1"] = "smg.birth/1"
    gateway: _Name
    generation: _Count
    at_s: _Count
    software: _Text
    streams: Annotated[list[StreamPosition], msgspec.Meta(max_length=16)]


class State(wire.Shape, frozen=True, kw_only=True):
    """Retained; the last will says "offline" with the generation of its own birth.

    A reader ignores an "offline" of an older generation: it is the echo of a connection that was
    replaced. ``at_s`` is None in a last will, which was written long before it is published.
    """

    schema: Literal["smg.state/1"] = "smg.state/1"
    gateway: _Name
    generation: _Count
    state: Literal["online", "offline"]
    at_s: _Count | None


class Health(wire.Shape, frozen=True, kw_only=True):
    """Figures by name, the unit in the name (``outbox_live_messages``, ``oldest_unsent_s``)."""

    schema: Literal["smg.health/1"] = "smg.health/1"
    gateway: _Name
    at_s: _Count
    figures: Annotated[dict[_Name, int], msgspec.Meta(max_length=200)]


class Result(wire.Shape, frozen=True, kw_only=True):
    """What became of a command; ``command`` is its issuer and sequence as ``issuer-sequence``."""

    schema: Literal["smg.result/1"] = "smg.result/1"
    command: _Name
    at_s: _Count
    outcome: Literal["done", "refused"]
    reason: _Text


Notice = Birth | State | Health | Result

_SHAPES: dict[Kind, type[Notice]] = {
    Kind.BIRTH: Birth,
    Kind.STATE: State,
    Kind.HEALTH: Health,
    Kind.RESULT: Result,
}


class _Schema(wire.Shape, frozen=True, kw_only=True):
    schema: str


def encode_notice(notice: Notice) -> bytes:
    """JSON octets; UsageError for values its schema does not allow."""
    octets = wire.encode(notice)
    try:
        wire.decode(octets, type(notice), "own notice")
    except DecodeError as wrong:
        raise UsageError(str(wrong)) from wrong
    return octets


def decode_notice(octets: bytes, topic: Topic) -> Notice:
    """Read the notice that ``topic`` announces; its gateway must be the topic's.

    Raises DecodeError or LimitExceeded; UsageError when ``topic`` carries no notice.
    """
    if topic.kind not in _SHAPES:
        raise UsageError(f"topic kind {topic.kind.value} carries no notice")
    # a default lets our own side omit the schema's name; the wire may not
    wire.decode(octets, _Schema, topic.kind.value)
    notice = wire.decode(octets, _SHAPES[topic.kind], topic.kind.value)
    said = notice.command if isinstance(notice, Result) else notice.gateway
    if said != (topic.command if isinstance(notice, Result) else topic.gateway):
        raise DecodeError(f"{topic.kind.value}: not what its topic says")
    if isinstance(notice, Birth):
        _checked_positions(notice)
    return notice


def decode_result(octets: bytes, topic: Topic) -> tuple[Header, Result]:
    """A result with the header that the backend commits."""
    notice = decode_notice(octets, topic)
    if not isinstance(notice, Result):
        raise UsageError(f"topic kind {topic.kind.value} carries no result")
    header = decode_header(octets)
    if header.gateway != topic.gateway:
        raise DecodeError("result: not what its topic says")
    return header, notice


def presence(birth: Birth) -> Presence:
    """The births, last will and farewell of one connection, all of one generation."""
    gateway, generation = checked_name("gateway", birth.gateway), birth.generation

    def state(word: Literal["online", "offline"], at_s: int | None) -> Publication:
        notice = State(gateway=gateway, generation=generation, state=word, at_s=at_s)
        return Publication(topics.plain(gateway, Kind.STATE), encode_notice(notice), retain=True)

    born = Publication(topics.plain(gateway, Kind.BIRTH), encode_notice(birth), retain=True)
    gone = state("offline", None)
    return Presence(gone, (born, state("online", birth.at_s)), gone)


def _checked_positions(birth: Birth) -> None:
    try:
        for position in birth.streams:
            checked_name("stream", position.stream)
            checked_epoch(position.epoch)
    except UsageError as wrong:
        raise DecodeError(f"birth: {wrong}") from wrong
