"""What meters send unasked: kept once, with the events that it tells, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.model import Evidence, MeterId
from gateway.store.database import Database
from gateway.store.outbox import NewMessage, Outbox
from gateway.store.sources import Sources


@dataclass(frozen=True, slots=True)
class PushedMessage:
    """One message of a meter: the object that it is of, and its A-XDR body."""

    meter: MeterId
    object: str
    raw: bytes
    evidence: Evidence

    @property
    def digest(self) -> bytes:
        """What makes it the same message when it is sent again: object and body, 16 octets."""
        return hashlib.sha256(b"push\0" + self.object.encode() + b"\0" + self.raw).digest()[:16]


class Pushes:
    """Pushed messages and the last event status word of each meter."""

    def __init__(self, database: Database, outbox: Outbox, sources: Sources) -> None:
        self._database = database
        self._outbox = outbox
        self._sources = sources

    def add(
        self,
        message: PushedMessage,
        notes: Callable[[str], Sequence[NewMessage]],
        *,
        word: str | None = None,
    ) -> tuple[int, ...] | None:
        """Keep a message and what ``notes`` says of it; None for one that is there already.

        ``word`` is the event status word in it; ``notes`` is given the one before, "" if none.
        Returns the sequence numbers of the messages to send. Raises StoreFull: nothing was kept.
        """
        evidence, digest = message.evidence, message.digest
        with self._database.transaction() as connection:
            meter_id = self._sources.meter_id(message.meter)
            added = connection.execute(
                "INSERT INTO pushes (meter_id, object, digest, received_at_us,"
                " server_system_title, invocation_counter, raw) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (
                    meter_id,
                    message.object,
                    digest,
                    evidence.received_at_us,
                    evidence.server_system_title,
                    evidence.invocation_counter,
                    message.raw,
                ),
            ).rowcount
            if not added:
                return None
            before: str | None = self._database.value(
                "SELECT word FROM status_words WHERE meter_id = ?", [meter_id]
            )
            if word is not None:
                self._database.rows(
                    "INSERT INTO status_words VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
                    " SET word = excluded.word, received_at_us = excluded.received_at_us",
                    [meter_id, word, evidence.received_at_us],
                )
            told = notes(before or "")
            return tuple(self._outbox.insert(one, evidence.received_at_us) for one in told)

    def kept(self, meter: MeterId) -> list[PushedMessage]:
        """All that is kept of a meter, oldest first."""
        rows = self._database.rows(
            "SELECT object, raw, received_at_us, server_system_title, invocation_counter"
            " FROM pushes WHERE meter_id = (SELECT id FROM meters WHERE meter = ?) ORDER BY id",
            [meter],
        )
        return [
            PushedMessage(meter, name, raw, Evidence(received_at_us, title, counter))
            for name, raw, received_at_us, title, counter in rows
        ]
