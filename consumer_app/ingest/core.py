"""Deliveries in, answers out: one transaction for many messages.

Every message that says who it is gets an answer, committed or refused with a reason, so that
nothing waits in a gateway's outbox for ever. An answer is given only after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consumer_app.database.connect import Database
from consumer_app.database.readings import Refusal, Written, write_messages, write_refusals
from gateway.errors import DecodeError, GatewayError, LimitExceeded, UsageError
from gateway.uplink import topics
from gateway.uplink.message import Header, ReadingsMessage, decode_header, decode_readings
from gateway.uplink.port import Received

MAX_REASON = 300
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
    """What became of the deliveries of one call, in their order."""

    answers: tuple[Answer, ...]
    unidentified: tuple[Unidentified, ...]
    written: Written


def ingest_messages(database: Database, deliveries: Sequence[Received], *, now_s: int) -> Outcome:
    """Store readings messages and say which were committed and which refused.

    Raises NoAnswer, StoreFull or StoreError when the database cannot take anything now: then
    nothing was stored and nobody is to be answered.
    """
    messages: list[tuple[Received, ReadingsMessage]] = []
    refusals: list[Refusal] = []
    unidentified: list[Unidentified] = []
    for delivery in deliveries:
        read = _read(delivery)
        if isinstance(read, ReadingsMessage):
            messages.append((delivery, read))
        elif isinstance(read, Refusal):
            refusals.append(read)
        else:
            unidentified.append(read)
    try:
        written = _store(database, [message for _, message in messages], refusals, now_s)
        answers = [Answer(message.header) for _, message in messages]
    except UsageError:
        # some message holds what the database can never take: find it, store the others
        written, answers = _store_one_by_one(database, messages, refusals, now_s)
    answers.extend(Answer(refusal.header, refusal.reason) for refusal in refusals)
    return Outcome(tuple(answers), tuple(unidentified), written)


def _read(delivery: Received) -> ReadingsMessage | Refusal | Unidentified:
    try:
        topic = topics.parse(delivery.topic)
    except DecodeError as error:
        return Unidentified(delivery.topic, str(error))
    try:
        return decode_readings(delivery.payload, topic)
    except (DecodeError, LimitExceeded) as error:
        reason = str(error)
    try:
        header = decode_header(delivery.payload)
    except GatewayError:
        return Unidentified(delivery.topic, reason)
    if header.gateway != topic.gateway:
        # the topic is what the broker lets this sender use: another's number is not to be answered
        return Unidentified(delivery.topic, reason)
    return _refusal(delivery, header, reason)


def _refusal(delivery: Received, header: Header, reason: str) -> Refusal:
    return Refusal(
        topic=delivery.topic,
        header=header,
        reason=reason.replace("\0", "")[:MAX_REASON],
        payload=delivery.payload[:MAX_KEPT_PAYLOAD_OCTETS],
    )


def _store(
    database: Database,
    messages: Sequence[ReadingsMessage],
    refusals: Sequence[Refusal],
    now_s: int,
) -> Written:
    written = Written(0, 0, 0)
    with database.transaction() as connection:
        if messages:
            written = write_messages(connection, messages, now_s=now_s)
        if refusals:
            write_refusals(connection, refusals, now_s=now_s)
    return written


def _store_one_by_one(
    database: Database,
    messages: Sequence[tuple[Received, ReadingsMessage]],
    refusals: list[Refusal],
    now_s: int,
) -> tuple[Written, list[Answer]]:
    totals = Written(0, 0, 0)
    answers = []
    for delivery, message in messages:
        try:
            written = _store(database, [message], [], now_s)
        except UsageError as error:
            refusals.append(_refusal(delivery, message.header, str(error)))
        else:
            totals = Written(*(a + b for a, b in zip(totals, written, strict=True)))
            answers.append(Answer(message.header))
    _store(database, [], refusals, now_s)
    return totals, answers
