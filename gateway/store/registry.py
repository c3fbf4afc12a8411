"""Which meter stands at which connection, and since when: dated, with who said it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from gateway.errors import RemoteProtocolError, SecurityError
from gateway.model import Account, ConnectionNo, Installation, MeterId
from gateway.store.database import Database
from gateway.store.outbox import NewMessage, Outbox


class Registry:
    """Accounts and installations as the backend last said them. Times are UTC seconds."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def apply_accounts(
        self,
        issuer: str,
        sequence: int,
        accounts: Sequence[Account],
        now_us: int,
        *,
        result: NewMessage | None = None,
    ) -> None:
        """Replace all that this issuer said before; ``result`` goes out with the effect.

        All or nothing. A connection that is no longer stated is this gateway's no longer: its
        meters may stand elsewhere now, and its history stays. Raises SecurityError for a sequence
        that does not rise (a replay), RemoteProtocolError when a meter would stand at two places
        at one time.
        """
        with self._database.transaction():
            self._take_sequence(issuer, sequence, now_us)
            # all removals first: a meter may move between two accounts of one message
            self._remove(issuer, accounts, sequence, now_us)
            for account in accounts:
                self._write(account, issuer, sequence, now_us)
            self._check_overlaps()
            if result is not None:
                self._outbox.insert(result, now_us)

    def last_sequence(self, issuer: str) -> int:
        """The last sequence number applied, 0 if none."""
        found = self._database.value("SELECT sequence FROM issuers WHERE issuer = ?", [issuer])
        return int(found or 0)

    def accounts(self) -> list[Account]:
        """All accounts with their dated installations, by connection."""
        rows = self._database.rows(
            "SELECT connection, name, sanctioned_load_w, phases, category FROM accounts"
            " ORDER BY connection"
        )
        places: dict[str, list[Installation]] = {}
        for one in self.installations():
            places.setdefault(one.connection, []).append(one)
        return [
            Account(
                ConnectionNo(number),
                name,
                sanctioned_load_w,
                phases,
                category,
                tuple(places.get(number, ())),
            )
            for number, name, sanctioned_load_w, phases, category in rows
        ]

    def installations(self) -> list[Installation]:
        """All installations, by meter and time."""
        rows = self._database.rows(
            "SELECT connection, meter, valid_from_s, valid_to_s FROM installations"
            " ORDER BY meter, valid_from_s"
        )
        return [
            Installation(ConnectionNo(number), MeterId(meter), valid_from_s, valid_to_s)
            for number, meter, valid_from_s, valid_to_s in rows
        ]

    def connection_of(self, meter: MeterId, at_s: int) -> ConnectionNo | None:
        """Where a meter stood at an instant; an end is exclusive."""
        found = self._database.value(
            "SELECT connection FROM installations WHERE meter = ? AND valid_from_s <= ?"
            " AND (valid_to_s IS NULL OR valid_to_s > ?)",
            [meter, at_s, at_s],
        )
        return None if found is None else ConnectionNo(found)

    def meters_of(self, connection: ConnectionNo, at_s: int) -> list[MeterId]:
        """The meters at a connection at an instant: a main meter, perhaps a check meter."""
        rows = self._database.rows(
            "SELECT meter FROM installations WHERE connection = ? AND valid_from_s <= ?"
            " AND (valid_to_s IS NULL OR valid_to_s > ?) ORDER BY meter",
            [connection, at_s, at_s],
        )
        return [MeterId(meter) for (meter,) in rows]

    def _take_sequence(self, issuer: str, sequence: int, now_us: int) -> None:
        last = self.last_sequence(issuer)
        if sequence <= last:
            raise SecurityError(
                f"sequence {sequence} of issuer {issuer!r} is not above {last}: replayed"
            )
        self._database.rows(
            "INSERT INTO issuers VALUES (?, ?, ?) ON CONFLICT (issuer) DO UPDATE"
            " SET sequence = excluded.sequence, applied_at_us = excluded.applied_at_us",
            [issuer, sequence, now_us],
        )

    def _remove(self, issuer: str, stated: Sequence[Account], sequence: int, now_us: int) -> None:
        numbers = {account.connection for account in stated}
        before = self._database.rows("SELECT connection FROM accounts WHERE issuer = ?", [issuer])
        for number in sorted(numbers | {number for (number,) in before}):
            self._database.rows("DELETE FROM installations WHERE connection = ?", [number])
            self._database.rows("DELETE FROM accounts WHERE connection = ?", [number])
            if number not in numbers:
                self._note(number, issuer, sequence, now_us, None)

    def _note(
        self, number: str, issuer: str, sequence: int, now_us: int, account: Account | None
    ) -> None:
        """What was said of a connection, for ever; null where it was stated no more."""
        said = json.dumps(None if account is None else asdict(account))
        self._database.rows(
            "INSERT INTO account_history (connection, issuer, sequence, applied_at_us,"
            " account_json) VALUES (?, ?, ?, ?, ?)",
            [number, issuer, sequence, now_us, said],
        )

    def _write(self, account: Account, issuer: str, sequence: int, now_us: int) -> None:
        self._database.rows(
            "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?)",
            [
                account.connection,
                account.name,
                account.sanctioned_load_w,
                account.phases,
                account.category,
                issuer,
            ],
        )
        for one in account.installations:
            if one.connection != account.connection:
                raise RemoteProtocolError(
                    f"account {account.connection} holds an installation of {one.connection}"
                )
            if one.valid_to_s is not None and one.valid_to_s <= one.valid_from_s:
                raise RemoteProtocolError(
                    f"meter {one.meter} at {one.connection}: ends before it begins"
                )
            taken = self._database.value(
                "SELECT connection FROM installations WHERE meter = ? AND valid_from_s = ?",
                [one.meter, one.valid_from_s],
            )
            if taken is not None:
                raise _overlap(one.meter, taken, one.connection)
            self._database.rows(
                "INSERT INTO installations VALUES (?, ?, ?, ?)",
                [one.meter, one.valid_from_s, one.valid_to_s, one.connection],
            )
        self._note(account.connection, issuer, sequence, now_us, account)

    def _check_overlaps(self) -> None:
        found = self._database.row(
            "SELECT a.meter, a.connection, b.connection FROM installations a"
            " JOIN installations b ON b.meter = a.meter AND b.valid_from_s > a.valid_from_s"
            " WHERE a.valid_to_s IS NULL OR a.valid_to_s > b.valid_from_s LIMIT 1"
        )
        if found is not None:
            raise _overlap(*found)


def _overlap(meter: str, one: str, other: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"meter {meter} would stand at {one} and {other} at one time")
