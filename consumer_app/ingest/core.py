"""Deliveries in, answers out: one transaction for many messages.

Every message that says who it is gets an answer, committed or refused with a reason, so that
nothing waits in a gateway's outbox for ever. An answer is given only after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer_app.database.connect import Database
from consumer_app.database.events import write_events
from consumer_app.database.readings import Refusal, Written, write_messages, write_refusals
from consumer_app.database.status import StoredResult, write_results
from gateway.errors import DecodeError, GatewayError, LimitExceeded, UsageError
from gateway.uplink import topics
from gateway.uplink.events import EventsMessage, decode_events
from gateway.uplink.message import Header, ReadingsMessage, decode_header, decode_readings
from gateway.uplink.notices import decode_result
from gateway.uplink.port import Received
from gateway.uplink.topics import Kind

MAX_REASON = 200
"""What a commit can carry (``gateway.uplink.command``)."""

MAX_KEPT_PAYLOAD_OCTETS = 64 * 1024


class Answer(NamedTuple):
    """What the backend says of one message; ``refused`` is the reason, None when committed."""

    header: Header
    refused: str | None = None


class Unidentified(NamedTuple):
    """A delivery that does not say who it is: nobody can be answered."""

    topic: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the deliveries of one call."""

    answers: tuple[Answer, ...]
    unidentified: tuple[Unidentified, ...]
    written: Written
    results: tuple[StoredResult, ...]
    new_events: int = 0


@dataclass(slots=True)
class _Sorted:
    """Deliveries by what they turned out to be."""

    messages: list[tuple[Received, ReadingsMessage]] = field(default_factory=list)
    events: list[tuple[Received, EventsMessage]] = field(default_factory=list)
    results: list[StoredResult] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    unidentified: list[Unidentified] = field(default_factory=list)


def ingest_messages(database: Database, deliveries: Sequence[Received], *, now_s: int) -> Outcome:
    """Store readings, events and results, and say what was committed and what refused.

    Raises NoAnswer, StoreFull or StoreError when the database cannot take anything now: then
    nothing was stored and nobody is to be answered.
    """
    found = _Sorted()
    for delivery in deliveries:
        _sort(delivery, found)
    try:
        messages = [message for _, message in found.messages]
        events = [message for _, message in found.events]
        written, new_events = _store(
            database, messages, events, found.results, found.refusals, now_s
        )
        headers = [*(m.header for m in messages), *(m.header for m in events)]
        answers = [Answer(header) for header in headers]
    except UsageError:
        # some message holds what the database can never take: find it, store the others
        written, new_events, answers = _store_one_by_one(database, found, now_s)
    answers.extend(Answer(result.header) for result in found.results)
    answers.extend(Answer(refusal.header, refusal.reason) for refusal in found.refusals)
    return Outcome(
        tuple(answers), tuple(found.unidentified), written, tuple(found.results), new_events
    )


def _sort(delivery: Received, found: _Sorted) -> None:
    try:
        topic = topics.parse(delivery.topic)
    except DecodeError as error:
        found.unidentified.append(Unidentified(delivery.topic, str(error)))
        return
    try:
        if topic.kind is Kind.RESULT:
            header, result = decode_result(delivery.payload, topic)
            found.results.append(
                StoredResult(header, result.command, result.outcome, result.reason, result.at_s)
            )
        elif topic.kind is Kind.EVENTS:
            found.events.append((delivery, decode_events(delivery.payload, topic)))
        else:
            found.messages.append((delivery, decode_readings(delivery.payload, topic)))
        return
    except (DecodeError, LimitExceeded) as error:
        reason = str(error)
    try:
        header = decode_header(delivery.payload)
    except GatewayError:
        found.unidentified.append(Unidentified(delivery.topic, reason))
        return
    if header.gateway == topic.gateway:
        found.refusals.append(_refusal(delivery, header, reason))
    else:
        # the topic is what the broker lets this sender use: another's number is not answered
        found.unidentified.append(Unidentified(delivery.topic, reason))


def _refusal(delivery: Received, header: Header, reason: str) -> Refusal:
    return Refusal(
        topic=delivery.topic,
        header=header,
        reason=reason.replace("\0", "")[:MAX_REASON],
        payload=delivery.payload[:MAX_KEPT_PAYLOAD_OCTETS],
    )


def _store(
    database: Database,
    messages: Sequence[ReadingsMessage] = (),
    events: Sequence[EventsMessage] = (),
    results: Sequence[StoredResult] = (),
    refusals: Sequence[Refusal] = (),
    now_s: int = 0,
) -> tuple[Written, int]:
    written, new_events = Written(0, 0, 0), 0
    with database.transaction() as connection:
        if messages:
            written = write_messages(connection, messages, now_s=now_s)
        if events:
            new_events = write_events(connection, events, now_s=now_s)
        if results:
            write_results(connection, results)
        if refusals:
            write_refusals(connection, refusals, now_s=now_s)
    return written, new_events


def _store_one_by_one(
    database: Database, found: _Sorted, now_s: int
) -> tuple[Written, int, list[Answer]]:
    totals, new_events = Written(0, 0, 0), 0
    answers = []
    both: list[tuple[Received, ReadingsMessage | EventsMessage]] = [*found.messages, *found.events]
    for delivery, message in both:
        try:
            if isinstance(message, EventsMessage):
                written, new = _store(database, events=[message], now_s=now_s)
            else:
                written, new = _store(database, messages=[message], now_s=now_s)
        except UsageError as error:
            found.refusals.append(_refusal(delivery, message.header, str(error)))
        else:
            totals = Written(*(a + b for a, b in zip(totals, written, strict=True)))
            new_events += new
            answers.append(Answer(message.header))
    results, found.results = found.results, []
    for result in results:
        try:
            _store(database, results=[result])
        except UsageError as error:
            found.unidentified.append(Unidentified(result.command, str(error)))
        else:
            found.results.append(result)
    refusals, found.refusals = found.refusals, []
    for refusal in refusals:
        try:
            _store(database, refusals=[refusal], now_s=now_s)
        except UsageError as error:
            found.unidentified.append(Unidentified(refusal.topic, str(error)))
        else:
            found.refusals.append(refusal)
    return totals, new_events, answers
