"""What gateways say of themselves, and what became of commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString, NamedTuple

from consumer_app.database.connect import Connection
from consumer_app.database.readings import mark_answered
from gateway.errors import UsageError
from gateway.uplink.message import Header
from gateway.uplink.notices import Birth, Health, Notice, State, StreamPosition


class StoredResult(NamedTuple):
    """The result of a command, with the number under which it is to be answered."""

    header: Header
    command: str
    outcome: str
    reason: str
    at_s: int


def write_results(connection: Connection, results: Sequence[StoredResult]) -> None:
    """Keep results and mark their sequence numbers as answered; idempotent."""
    for result in results:
        connection.execute(
            "insert into results (gateway, command, outcome, reason, at_s)"
            " values (%s, %s, %s, %s, %s) on conflict do nothing",
            (result.header.gateway, result.command, result.outcome, result.reason, result.at_s),
        )
    mark_answered(connection, [result.header for result in results])


EPOCHS_TOLD = 3
"""Newest epochs of a stream that a gateway is told of when it comes up."""


def seen_positions(connection: Connection, gateway: str) -> list[StreamPosition]:
    """The highest number seen of each of a gateway's newest epochs."""
    rows = connection.execute(
        "select stream, epoch, newest from ("
        " select stream, epoch, upper(answered) - 1 as newest, row_number()"
        "  over (partition by stream order by stream_no desc) as place"
        " from streams where gateway = %s and not isempty(answered)) as told"
        " where place <= %s order by stream, place desc",
        (gateway, EPOCHS_TOLD),
    ).fetchall()
    return [StreamPosition(stream=s, epoch=e, sequence=n) for s, e, n in rows]


_NOTICES: dict[type[Notice], LiteralString] = {
    Birth: """
        insert into gateways (gateway, birth, birth_at_s) values (%s, %s::jsonb, %s)
        on conflict (gateway) do update
        set birth = excluded.birth, birth_at_s = excluded.birth_at_s""",
    # an "offline" of an older generation is the echo of a connection that was replaced
    State: """
        insert into gateways (gateway, state, state_at_s) values (%s, %s::jsonb, %s)
        on conflict (gateway) do update
        set state = excluded.state, state_at_s = excluded.state_at_s
        where coalesce((gateways.state->>'generation')::bigint, 0)
              <= (excluded.state->>'generation')::bigint""",
    Health: """
        insert into gateways (gateway, health, health_at_s) values (%s, %s::jsonb, %s)
        on conflict (gateway) do update
        set health = excluded.health, health_at_s = excluded.health_at_s""",
}


def write_notice(
    connection: Connection, gateway: str, notice: Notice, octets: bytes, *, now_s: int
) -> None:
    """Keep the newest birth, state or health of a gateway; ``octets`` is its JSON."""
    statement = _NOTICES.get(type(notice))
    if statement is None:
        raise UsageError(f"{type(notice).__name__} is not a gateway's own state")
    connection.execute(statement, (gateway, octets.decode(), now_s))
