"""The identity of readings.db towards the backend: stream, epoch, sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.errors import StoreError
from gateway.store.database import Database
from gateway.store.migrations import meta, set_meta
from gateway.store.opening import is_behind
from gateway.store.witness import Mark, Witness

STREAM: Final = "readings"
EPOCH_OCTETS: Final = 8
EPOCHS_KEPT: Final = 1000
"""Far more than the backend tells of; a service that starts again and again fills no disk."""


class Stream:
    """Numbers of messages: (epoch, sequence) is never given to two different messages.

    An epoch is one opening of the file, so that a copy put back, whatever was put back with it,
    never shares one with the file that sent: what the backend once answered to that file says
    nothing about this one. Pending messages keep their numbers, and under the new epoch those are
    new names. Bodies hold no header, so nothing is encoded again.
    """

    def __init__(
        self, database: Database, witness: Witness, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._witness = witness
        self._random_bytes = random_bytes
        self.epoch = ""

    def open(self, *, gateway_id: str, now_us: int) -> bool:
        """Begin a new epoch; return whether the file was restored.

        Raises StoreError for a file of another gateway.
        """
        owner = meta(self._database, "gateway_id")
        if owner not in (None, gateway_id):
            raise StoreError(f"{self._database.path}: belongs to gateway {owner}, not {gateway_id}")
        epoch = meta(self._database, "epoch")
        restored, reason = False, "created"
        if epoch is not None:
            reason = "opened"
            restored, _ = is_behind(
                self._witness,
                STREAM,
                total=self.newest_sequence,
                knows=self._knows,
                epoch=epoch,
            )
            if restored:
                reason = "restored: the file is behind its witness"
        with self._database.transaction():
            set_meta(self._database, "gateway_id", gateway_id)
            self._begin_epoch(reason, now_us)
        self._witness.write(STREAM, Mark(self.epoch, 0))
        return restored

    @property
    def newest_sequence(self) -> int:
        """The last sequence number that a message was stored under, 0 before the first."""
        value = self._database.value("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")
        return int(value or 0)

    def about_to_send(self, sequence: int) -> None:
        """Make it known outside the file, before it happens, that ``sequence`` leaves."""
        self._witness.write(STREAM, Mark(self.epoch, sequence))

    def backend_high_water(self, epoch: str, sequence: int, now_us: int) -> bool:
        """Compare with the highest number the backend has seen; True: a new epoch was begun.

        The backend knowing an epoch that this file never had, or a higher number of the present
        one, means that this file is not the one that sent it.
        """
        if epoch == self.epoch and sequence <= self.newest_sequence:
            return False
        if epoch != self.epoch and self._knows(epoch):
            return False
        with self._database.transaction() as connection:
            self._begin_epoch("restored: the file is behind the backend", now_us)
            connection.execute(
                "INSERT INTO epochs (epoch, own, begun_at_us, reason)"
                " VALUES (?, 0, ?, 'seen at the backend') ON CONFLICT DO NOTHING",
                (epoch, now_us),
            )
        return True

    def _knows(self, epoch: str) -> bool:
        found = self._database.value("SELECT count(*) FROM epochs WHERE epoch = ?", [epoch])
        return bool(found)

    def _begin_epoch(self, reason: str, now_us: int) -> None:
        self._database.rows(
            "DELETE FROM epochs WHERE epoch NOT IN"
            " (SELECT epoch FROM epochs ORDER BY begun_at_us DESC LIMIT ?)",
            [EPOCHS_KEPT],
        )
        epoch = self._random_bytes(EPOCH_OCTETS).hex()
        self._database.rows(
            "INSERT INTO epochs (epoch, own, begun_at_us, reason) VALUES (?, 1, ?, ?)",
            [epoch, now_us, reason],
        )
        set_meta(self._database, "epoch", epoch)
        self.epoch = epoch
