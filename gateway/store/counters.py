"""counters.db: system titles and invocation counters, shared by service and laptop commands.

A GCM nonce is system title and counter, and must never repeat under one key. So:

* a counter is durable before it is handed out, and is never lowered;
* each (gateway, client SAP) has a title of its own, and a new one after any restore;
* one sequence belongs to each (meter, client SAP), because a meter keeps one received counter per
  client whatever the title or key; and one to each (key, client SAP), because meters that were
  given the same key also share its nonces. A reserved counter is above both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import SecurityError, UsageError
from gateway.files import locked
from gateway.store.database import Database, Journal
from gateway.store.migrations import Schema, meta, set_meta
from gateway.store.opening import OpenReport, is_behind, open_database
from gateway.store.witness import Mark, Witness

STORE: Final = "counters"
FIRST: Final = 1
"""A meter that has seen nothing compares with 0."""
LAST: Final = 0xFFFF_FFFF
ALARM_AT: Final = 0xE000_0000
"""From here on a key has an eighth of its life left: time to change it."""
_BORROWED_MAX: Final = 1 << 31
"""A lost file's highest counter is taken over only up to here: one key that is nearly spent must
not spend all others."""

SCHEMA: Final = Schema(
    "counters",
    (
        (
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
            "CREATE TABLE epochs (epoch TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
            """CREATE TABLE titles (
                gateway_id TEXT NOT NULL,
                client_sap INTEGER NOT NULL,
                title BLOB NOT NULL UNIQUE CHECK (length(title) = 8),
                PRIMARY KEY (gateway_id, client_sap)
            ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE counters (
                scope TEXT NOT NULL CHECK (scope IN ('meter', 'key')),
                name TEXT NOT NULL,
                client_sap INTEGER NOT NULL,
                next INTEGER NOT NULL,
                PRIMARY KEY (scope, name, client_sap)
            ) STRICT, WITHOUT ROWID""",
            # a reason to say no that does not depend on any caller
            """CREATE TRIGGER counters_are_never_lowered BEFORE UPDATE ON counters
                WHEN new.next < old.next BEGIN SELECT RAISE(ABORT, 'a counter is never lowered');
                END""",
            """CREATE TABLE received (
                meter TEXT NOT NULL,
                server_title BLOB NOT NULL,
                client_sap INTEGER NOT NULL,
                key_id TEXT NOT NULL,
                last INTEGER NOT NULL,
                PRIMARY KEY (meter, server_title, client_sap, key_id)
            ) STRICT, WITHOUT ROWID""",
        ),
        (
            # what was believed of unauthenticated answers, on the last day that one was
            """CREATE TABLE jumps (
                meter TEXT NOT NULL,
                client_sap INTEGER NOT NULL,
                day INTEGER NOT NULL,
                jumped INTEGER NOT NULL,
                PRIMARY KEY (meter, client_sap)
            ) STRICT, WITHOUT ROWID""",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class CounterKey:
    """Whose counter.

    ``meter`` is its serial, or its URL where the serial is not known yet; ``client_sap`` the
    client it is read as; ``key_id`` the identity of the key in use (``MeterKeys.key_id``).
    """

    meter: str
    client_sap: int
    key_id: str


class CounterStore:
    """One counters.db. Safe between threads and processes."""

    def __init__(
        self,
        database: Database,
        witness: Witness,
        *,
        gateway_id: str,
        maker: bytes,
        random_bytes: Callable[[int], bytes],
        report: OpenReport,
    ) -> None:
        self._database = database
        self._witness = witness
        self._gateway_id = gateway_id
        self._maker = maker
        self._random_bytes = random_bytes
        self._lock = threading.RLock()
        self.report = report

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        gateway_id: str,
        witness: Witness,
        random_bytes: Callable[[int], bytes],
        maker: str = "SMG",
    ) -> CounterStore:
        """Open or make the file.

        A file that is behind its witness (or has none) was restored: its counters are raised
        above all that may have been used, and all titles are renewed. ``maker`` are the three
        letters of the manufacturer (FLAG) that a system title begins with.
        """
        if not (len(maker) == 3 and maker.isascii() and maker.isalpha()):
            raise UsageError(f"the maker of a system title is 3 ASCII letters, not {maker!r}")
        # two processes may find the file missing, or behind, at the same moment
        with locked(path):
            opened = open_database(path, Journal.DELETE, SCHEMA)
            try:
                restored = _take_up(opened.database, witness, random_bytes)
            except BaseException:
                opened.database.close()
                raise
        return cls(
            opened.database,
            witness,
            gateway_id=gateway_id,
            maker=maker.encode(),
            random_bytes=random_bytes,
            report=OpenReport(opened.created, restored, opened.quarantined, opened.damage),
        )

    def close(self) -> None:
        """Close the file; what was reserved and not used is lost, which is harmless."""
        with self._lock:
            self._database.close()

    def client_title(self, client_sap: int) -> bytes:
        """The system title (8 octets) of this gateway as that client; made at the first call."""
        with self._transaction():
            self._database.rows(
                "INSERT INTO titles VALUES (?, ?, ?) ON CONFLICT (gateway_id, client_sap)"
                " DO NOTHING",
                [self._gateway_id, client_sap, self._maker + self._random_bytes(5)],
            )
            title: bytes = self._database.value(
                "SELECT title FROM titles WHERE gateway_id = ? AND client_sap = ?",
                [self._gateway_id, client_sap],
            )
        return title

    def renew_titles(self) -> None:
        """Forget all titles: whenever any store of this gateway turned out to be restored."""
        with self._transaction():
            self._database.rows("DELETE FROM titles")

    def peek(self, key: CounterKey) -> int:
        """The counter that would be reserved next."""
        with self._lock:
            return max(self._next("meter", key.meter, key), self._next("key", key.key_id, key))

    def reserve(self, key: CounterKey, count: int = 1) -> int:
        """Reserve ``count`` counters in a row; the first one. Durable before it returns.

        Raises SecurityError when the key is spent; StoreFull or StoreError when nothing could be
        made durable: then no frame may leave.
        """
        if count < 1:
            raise UsageError("at least one counter is reserved")
        with self._transaction():
            first = self.peek(key)
            if first + count - 1 > LAST:
                raise SecurityError(
                    f"invocation counters of {key.meter} as client {key.client_sap} are exhausted:"
                    " change the key"
                )
            self._advance(key, first + count)
            mark = _mark(self._database)
        # after the commit, so that a crash in between cannot look like a restore
        self._witness.write(STORE, mark)
        return first

    def raise_floor(self, key: CounterKey, at_least: int, *, day: int, day_limit: int) -> None:
        """Let the next counter be ``at_least`` or more, where a meter wants higher ones.

        What a meter's public association says is not authenticated, and a jump spends the key's
        life: whoever sits on the line may not walk it to its end. So all jumps of one ``day`` (any
        number that rises with the days) together are at most ``day_limit``; SecurityError for what
        goes beyond. Never lowers.
        """
        with self._transaction():
            jump = at_least - self.peek(key)
            if jump <= 0 and at_least <= LAST:
                return
            jumped = self._jumped(key, day)
            if jumped + jump > day_limit or at_least > LAST:
                raise SecurityError(
                    f"{key.meter} asks for invocation counter {at_least}, {jump} above ours;"
                    f" at most {day_limit} is believed a day, {jumped} were today"
                )
            self._database.rows(
                "INSERT INTO jumps VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET day = excluded.day, jumped = excluded.jumped",
                [key.meter, key.client_sap, day, jumped + jump],
            )
            self._advance(key, at_least)
            mark = _mark(self._database)
        self._witness.write(STORE, mark)

    def _jumped(self, key: CounterKey, day: int) -> int:
        return int(
            self._database.value(
                "SELECT jumped FROM jumps WHERE meter = ? AND client_sap = ? AND day = ?",
                [key.meter, key.client_sap, day],
            )
            or 0
        )

    def nearly_exhausted(self, alarm_at: int = ALARM_AT) -> list[tuple[str, int, int]]:
        """(meter, client SAP, next counter) of those past the alarm threshold."""
        with self._lock:
            rows = self._database.rows(
                "SELECT name, client_sap, next FROM counters WHERE scope = 'meter' AND next >= ?"
                " ORDER BY name, client_sap",
                [alarm_at],
            )
        return [(meter, client_sap, following) for meter, client_sap, following in rows]

    def last_received(self, key: CounterKey, server_title: bytes) -> int:
        """The highest counter believed from a meter under this key and title, -1 if none."""
        with self._lock:
            found: int | None = self._database.value(
                "SELECT last FROM received WHERE meter = ? AND server_title = ?"
                " AND client_sap = ? AND key_id = ?",
                [key.meter, server_title, key.client_sap, key.key_id],
            )
        return -1 if found is None else found

    def received(self, key: CounterKey) -> dict[bytes, int]:
        """The highest counter believed from a meter under this key, by its system title."""
        with self._lock:
            rows = self._database.rows(
                "SELECT server_title, last FROM received"
                " WHERE meter = ? AND client_sap = ? AND key_id = ?",
                [key.meter, key.client_sap, key.key_id],
            )
        return dict(rows)

    def meters_of_title(self, server_title: bytes) -> list[str]:
        """The meters that were ever believed under a system title."""
        with self._lock:
            rows = self._database.rows(
                "SELECT DISTINCT meter FROM received WHERE server_title = ?", [server_title]
            )
        return [meter for (meter,) in rows]

    def note_received(self, key: CounterKey, server_title: bytes, counter: int) -> None:
        """Remember a verified counter, so that what was recorded cannot be played later."""
        with self._transaction():
            self._database.rows(
                "INSERT INTO received VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET last = max(last, excluded.last)",
                [key.meter, server_title, key.client_sap, key.key_id, counter],
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._database.transaction():
            yield

    def _next(self, scope: str, name: str, key: CounterKey) -> int:
        found = self._database.value(
            "SELECT next FROM counters WHERE scope = ? AND name = ? AND client_sap = ?",
            [scope, name, key.client_sap],
        )
        return int(found if found is not None else meta(self._database, "floor") or FIRST)

    def _advance(self, key: CounterKey, following: int) -> None:
        spent = 0
        for scope, name in (("meter", key.meter), ("key", key.key_id)):
            before = self._database.value(
                "SELECT next FROM counters WHERE scope = ? AND name = ? AND client_sap = ?",
                [scope, name, key.client_sap],
            )
            spent += following - (FIRST if before is None else before)
            self._database.rows(
                "INSERT INTO counters VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET next = excluded.next",
                [scope, name, key.client_sap, following],
            )
        set_meta(self._database, "spent", str(_number(self._database, "spent") + spent))


def _number(database: Database, key: str) -> int:
    return int(meta(database, key) or 0)


def _mark(database: Database) -> Mark:
    """How far the file has gone: counters spent in all, and the highest one of any key."""
    highest = int(database.value("SELECT max(next) FROM counters") or FIRST)
    floor = _number(database, "floor")
    return Mark(meta(database, "epoch") or "", _number(database, "spent"), max(highest, floor))


def _take_up(database: Database, witness: Witness, random_bytes: Callable[[int], bytes]) -> bool:
    """Begin a new life of a new or restored file; whether it was restored."""

    def knows(epoch: str) -> bool:
        return bool(database.value("SELECT count(*) FROM epochs WHERE epoch = ?", [epoch]))

    epoch = meta(database, "epoch")
    mine = _mark(database)
    behind, mark = is_behind(witness, STORE, total=mine.total, knows=knows, epoch=mine.epoch)
    if epoch is None or behind:
        with database.transaction():
            if mark is not None:
                _raise_above(database, mine, mark)
            database.rows("DELETE FROM titles")
            made = random_bytes(8).hex()
            database.rows("INSERT INTO epochs VALUES (?)", [made])
            set_meta(database, "epoch", made)
    witness.write(STORE, _mark(database))
    return behind and epoch is not None


def _raise_above(database: Database, mine: Mark, mark: Mark) -> None:
    """Raise all counters above any that the lost file can have given out.

    No key can have used more than the whole file did since the backup, nor passed the highest
    counter of all; the smaller bound holds.
    """
    bound = min(mark.highest, _BORROWED_MAX)
    if mark.epoch == mine.epoch:
        bound = mark.highest
        missed = mark.total - mine.total
    else:
        missed = bound
    database.rows("UPDATE counters SET next = max(next, min(next + ?1, ?2))", [missed, bound])
    floor = max(_number(database, "floor"), min(FIRST + missed, bound))
    set_meta(database, "floor", str(floor))
