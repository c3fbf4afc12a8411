"""Connections to PostgreSQL: a pool, transactions, and errors of this product's own tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
import psycopg.errors
from psycopg_pool import ConnectionPool

from gateway.errors import NoAnswer, StoreError, StoreFull, UsageError

Connection = psycopg.Connection[Any]
"""A connection inside a transaction, as the functions of this package take it."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn psycopg's errors into ours, by what the caller should do.

    NoAnswer: the database is away, try again. StoreFull: its disk is full, try again.
    UsageError: these values can never be stored. StoreError: anything else (not migrated).
    """
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise StoreFull(f"the database has no room: {_first_line(error)}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise NoAnswer(f"the database does not answer: {_first_line(error)}") from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise UsageError(f"the database cannot hold this: {_first_line(error)}") from error
    except psycopg.Error as error:
        raise StoreError(f"the database refused: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


class Database:
    """A pool of connections to one PostgreSQL database; context manager.

    ``url`` is a libpq connection string, ``wait_s`` how long a caller waits for a connection
    before NoAnswer. Making the object never fails: a database may come up later.
    """

    def __init__(
        self, url: str, *, connections: int = 8, wait_s: float = 5.0, opened: bool = True
    ) -> None:
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            timeout=wait_s,
            # a connection that died while it lay in the pool is replaced, not handed out
            check=ConnectionPool.check_connection,
            # sessions never rely on the server's zone or wait for ever on a lock
            kwargs={"options": "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000"},
            # waits between attempts to reach a database that is away
            reconnect_timeout=30.0,
            open=opened,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back on any exception."""
        with translated_errors(), self._pool.connection() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that may fail without the rest; errors as in Database."""
    with translated_errors(), connection.transaction():
        yield
