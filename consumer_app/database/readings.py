"""Rows in: many messages in one transaction, idempotent on what each row is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consumer_app.database.connect import Connection
from consumer_app.database.values import capture_list_to_json, values_to_json
from gateway.model import CaptureList
from gateway.uplink.message import Header, ReadingsMessage


class Written(NamedTuple):
    """What a transaction did: rows that were new, rows already there, conflicts found."""

    new_rows: int
    known_rows: int
    conflicts: int


def write_messages(
    connection: Connection, messages: Sequence[ReadingsMessage], *, now_s: int
) -> Written:
    """Store the rows of all messages and mark their sequence numbers as answered.

    A row that is there already is left as it is, so delivering a message again, in any order
    and with any neighbours, changes nothing. A row that differs from another at the same time
    is stored beside it and the time is flagged as a conflict for a person.
    """
    meters = numbers_of_meters(connection, {m.batch.meter for m in messages}, now_s)
    lists = _numbers_of_capture_lists(connection, {m.batch.capture_list for m in messages})
    streams = numbers_of_streams(connection, {_stream_of(m.header) for m in messages})
    connection.execute(
        "create temporary table if not exists incoming"
        " (like readings including defaults) on commit delete rows"
    )
    connection.execute("truncate incoming")
    rows = 0
    with connection.cursor().copy(
        "copy incoming (meter_no, profile, captured_at_s, digest, capture_list_no, time_quality,"
        " values, raw, received_at_us, server_system_title, invocation_counter, stream_no,"
        " sequence, ingested_at_s) from stdin"
    ) as copy:
        for message in messages:
            evidence = message.batch.evidence
            for row, digest in zip(message.batch.rows, message.digests, strict=True):
                rows += 1
                copy.write_row(
                    (
                        meters[message.batch.meter],
                        message.batch.profile.value,
                        row.captured_at_s,
                        digest,
                        lists[message.batch.capture_list.digest],
                        row.time_quality.value,
                        values_to_json(row.values),
                        row.raw or None,
                        evidence.received_at_us,
                        evidence.server_system_title,
                        evidence.invocation_counter,
                        streams[_stream_of(message.header)],
                        message.header.sequence,
                        now_s,
                    )
                )
    new_rows = connection.execute(
        # in key order, so that two writers never wait for each other in a circle
        "insert into readings select * from incoming"
        " order by meter_no, profile, captured_at_s, digest on conflict do nothing"
    ).rowcount
    conflicts = connection.execute(
        "insert into conflicts (meter_no, profile, captured_at_s, found_at_s)"
        " select distinct i.meter_no, i.profile, i.captured_at_s, %s::bigint"
        " from incoming i join readings r using (meter_no, profile, captured_at_s)"
        " where r.digest <> i.digest"
        # two events may share a second, and a meter with an unset clock stamps all rows 1970
        " and i.profile <> 'events' and i.time_quality <> 'invalid'"
        " order by 1, 2, 3 on conflict do nothing",
        (now_s,),
    ).rowcount
    mark_answered(connection, [message.header for message in messages])
    return Written(new_rows, rows - new_rows, conflicts)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that will never be stored: where it stood, why, and its octets for a person."""

    topic: str
    header: Header
    reason: str
    payload: bytes


def write_refusals(connection: Connection, refusals: Sequence[Refusal], *, now_s: int) -> None:
    """Keep refused messages and mark their sequence numbers as answered; idempotent."""
    for refusal in refusals:
        connection.execute(
            "insert into refused_messages"
            " (received_at_s, topic, gateway, stream, epoch, sequence, reason, payload)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            (
                now_s,
                refusal.topic,
                refusal.header.gateway,
                refusal.header.stream,
                refusal.header.epoch,
                refusal.header.sequence,
                refusal.reason,
                refusal.payload,
            ),
        )
    mark_answered(connection, [refusal.header for refusal in refusals])


def answered_ranges(
    connection: Connection, gateway: str, stream: str, epoch: str
) -> list[tuple[int, int]]:
    """Ranges (first, last) of sequence numbers that were answered, ascending."""
    rows = connection.execute(
        "select lower(part), upper(part) - 1 from streams, unnest(answered) as part"
        " where gateway = %s and stream = %s and epoch = %s order by 1",
        (gateway, stream, epoch),
    )
    return [(first, last) for first, last in rows]


def _stream_of(header: Header) -> tuple[str, str, str]:
    return header.gateway, header.stream, header.epoch


def numbers_of_meters(connection: Connection, meters: Iterable[str], now_s: int) -> dict[str, int]:
    """The numbers of meters by their names; made where a meter is new."""
    names = sorted(meters)
    connection.execute(
        "insert into meters (meter, first_seen_s)"
        " select name, %s from unnest(%s::text[]) as name on conflict do nothing",
        (now_s, names),
    )
    return dict(
        connection.execute("select meter, meter_no from meters where meter = any(%s)", (names,))
    )


def _numbers_of_capture_lists(
    connection: Connection, lists: Iterable[CaptureList]
) -> dict[bytes, int]:
    by_digest = {one.digest: one for one in lists}
    for digest in sorted(by_digest):
        connection.execute(
            "insert into capture_lists (digest, columns) values (%s, %s::jsonb)"
            " on conflict do nothing",
            (digest, capture_list_to_json(by_digest[digest])),
        )
    found = connection.execute(
        "select digest, capture_list_no from capture_lists where digest = any(%s)",
        (sorted(by_digest),),
    )
    return {bytes(digest): number for digest, number in found}


def numbers_of_streams(
    connection: Connection, streams: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], int]:
    """The numbers of streams by gateway, stream and epoch; made where one is new."""
    numbers = {}
    for gateway, stream, epoch in sorted(streams):
        connection.execute(
            "insert into streams (gateway, stream, epoch) values (%s, %s, %s)"
            " on conflict do nothing",
            (gateway, stream, epoch),
        )
        found = connection.execute(
            "select stream_no from streams where gateway = %s and stream = %s and epoch = %s",
            (gateway, stream, epoch),
        )
        numbers[gateway, stream, epoch] = int(found.fetchall()[0][0])
    return numbers


def mark_answered(connection: Connection, headers: Sequence[Header]) -> None:
    """Add the sequence numbers of these messages to what was answered."""
    numbers = numbers_of_streams(connection, {_stream_of(header) for header in headers})
    by_stream: dict[int, list[int]] = {}
    for header in headers:
        by_stream.setdefault(numbers[_stream_of(header)], []).append(header.sequence)
    for stream_no in sorted(by_stream):
        connection.execute(
            "update streams set answered = answered + ("
            " select range_agg(int8range(s, s + 1)) from unnest(%s::bigint[]) as s)"
            " where stream_no = %s",
            (by_stream[stream_no], stream_no),
        )
