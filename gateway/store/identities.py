"""What each meter said of itself when its profile was chosen."""

from __future__ import annotations

from gateway.model import MeterId
from gateway.store.database import Database
from gateway.store.migrations import meta, set_meta


class Identities:
    """One text for each meter; lost with the file without harm, as meters are asked again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, meter: MeterId) -> str | None:
        """The text that was put last."""
        return meta(self._database, _key(meter))

    def put(self, meter: MeterId, text: str) -> None:
        """Keep a text durably in place of the one before."""
        with self._database.transaction():
            set_meta(self._database, _key(meter), text)


def _key(meter: MeterId) -> str:
    return f"identity of {meter}"
