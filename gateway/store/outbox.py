"""Messages that wait for the backend: they leave when it has answered, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import UsageError
from gateway.model import ProfileKind
from gateway.store.database import Database
from gateway.store.stream import Stream
from gateway.uplink.outbox import Lane

MAX_REASON: Final = 200
FETCH_OCTETS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to store: ``kind`` and ``subject`` (a meter, a command) make its topic.

    ``body`` has no header: epoch and sequence are put in front when it is sent.
    """

    kind: str
    subject: str
    lane: Lane
    body: bytes
    profile: ProfileKind | None = None


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A message as it is to be sent: its header is made from ``epoch`` and ``sequence``."""

    epoch: str
    sequence: int
    lane: Lane
    kind: str
    subject: str
    profile: ProfileKind | None
    body: bytes
    created_at_us: int


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a commit changed.

    ``other_epoch``: it spoke of another life of this file, so nothing was touched. ``restored``:
    it answered numbers this file never gave out, so the file is not the one that sent them;
    nothing was deleted and a new epoch has begun.
    """

    deleted: int = 0
    refused: int = 0
    other_epoch: bool = False
    restored: bool = False


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """Messages waiting, by lane, and since when the oldest waits."""

    live: int
    backlog: int
    oldest_at_us: int | None
    refused: int


class Outbox:
    """The outbox of one file. Not thread-safe; owned by the store's thread."""

    def __init__(self, database: Database, stream: Stream) -> None:
        self._database = database
        self._stream = stream

    def insert(self, message: NewMessage, now_us: int) -> int:
        """Store a message inside the caller's transaction; its sequence number."""
        profile = None if message.profile is None else message.profile.value
        inserted = self._database.value(
            "INSERT INTO outbox (lane, kind, subject, profile, created_at_us, payload)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING sequence",
            [message.lane.value, message.kind, message.subject, profile, now_us, message.body],
        )
        return int(inserted)

    def refuse(self, sequence: int, reason: str, now_us: int) -> int:
        """Put a message aside inside the caller's transaction; how many were moved: 1 or 0."""
        moved = self._database.connection.execute(
            "INSERT INTO refused SELECT ?, sequence, kind, subject, profile,"
            " created_at_us, payload, ?, ? FROM outbox WHERE sequence = ?",
            (self._stream.epoch, now_us, reason[:MAX_REASON], sequence),
        ).rowcount
        self._database.connection.execute("DELETE FROM outbox WHERE sequence = ?", (sequence,))
        return moved

    def pending(
        self, lane: Lane, after_sequence: int, limit: int, *, max_octets: int = FETCH_OCTETS
    ) -> list[OutboxEntry]:
        """The next messages of a lane, rising; at least one if there is any.

        They are about to leave, so the witness names them before this returns. Raises StoreFull
        or StoreError when it cannot.
        """
        entries: list[OutboxEntry] = []
        octets = 0
        rows = self._database.rows(
            "SELECT sequence, kind, subject, profile, created_at_us, payload FROM outbox"
            " WHERE lane = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            [lane.value, after_sequence, limit],
        )
        for sequence, kind, subject, profile, created_at_us, body in rows:
            octets += len(body)
            if entries and octets > max_octets:
                break
            known = None if profile is None else ProfileKind(profile)
            entries.append(
                OutboxEntry(
                    self._stream.epoch, sequence, lane, kind, subject, known, body, created_at_us
                )
            )
        if entries:
            self._stream.about_to_send(entries[-1].sequence)
        return entries

    def commit(
        self,
        epoch: str,
        committed: Iterable[tuple[int, int]],
        refused: Sequence[tuple[int, str]],
        now_us: int,
    ) -> CommitResult:
        """Apply the backend's answer; idempotent.

        ``committed`` are ranges of sequence numbers, both ends included. Refused messages move
        to the table ``refused`` with the reason; one that is in both stays with us, refused.
        Raises UsageError for a range that ends before it begins.
        """
        if epoch != self._stream.epoch:
            return CommitResult(other_epoch=True)
        ranges = [*committed]
        if any(not 0 < first <= last for first, last in ranges):
            raise UsageError("a committed range has 0 < first <= last")
        named = [last for _, last in ranges] + [sequence for sequence, _ in refused]
        if self._stream.backend_high_water(epoch, max(named, default=0), now_us):
            return CommitResult(restored=True)
        with self._database.transaction() as connection:
            moved = sum(self.refuse(sequence, reason, now_us) for sequence, reason in refused)
            deleted = sum(
                connection.execute(
                    "DELETE FROM outbox WHERE sequence BETWEEN ? AND ?", bounds
                ).rowcount
                for bounds in ranges
            )
        return CommitResult(deleted=deleted, refused=moved)

    def depth(self) -> OutboxDepth:
        """How much waits."""
        counts = dict(self._database.rows("SELECT lane, count(*) FROM outbox GROUP BY lane"))
        oldest = self._database.value("SELECT created_at_us FROM outbox ORDER BY sequence LIMIT 1")
        refused: int = self._database.value("SELECT count(*) FROM refused")
        return OutboxDepth(
            counts.get(Lane.LIVE.value, 0), counts.get(Lane.BACKLOG.value, 0), oldest, refused
        )
