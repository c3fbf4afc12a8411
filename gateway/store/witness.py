"""The witness: a small file outside the backup set that says how far the stores had gone.

A database file put back from a backup is behind it, and so is known. Numbers are written here
before they leave the gateway, so a number that somebody may have seen is never given out again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import StoreCorrupt
from gateway.files import locked, replace_file


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one file had gone: its life (epoch) and the numbers given out within it.

    ``total`` rises with every number given out. ``highest`` is the greatest single number, for
    files that keep many counters.
    """

    epoch: str
    total: int
    highest: int = 0


class Witness:
    """Marks by store name in one JSON file; safe between processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, store: str) -> Mark | None:
        """The mark of a store, None if none was made; raise StoreCorrupt for a damaged file."""
        return self._read().get(store)

    def write(self, store: str, mark: Mark) -> None:
        """Record a mark; within one epoch numbers only rise. Durable before it returns."""
        with locked(self.path):
            try:
                marks = self._read()
            except StoreCorrupt:
                marks = {}  # the other stores then have no mark, which counts as restored
            before = marks.get(store)
            if before is not None and before.epoch == mark.epoch:
                total, highest = max(mark.total, before.total), max(mark.highest, before.highest)
                mark = Mark(mark.epoch, total, highest)
            if mark == before:
                return
            marks[store] = mark
            text = json.dumps(
                {
                    name: {"epoch": one.epoch, "total": one.total, "highest": one.highest}
                    for name, one in sorted(marks.items())
                },
                indent=1,
            )
            replace_file(self.path, text.encode() + b"\n")

    def _read(self) -> dict[str, Mark]:
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreCorrupt(f"{self.path}: cannot be read: {error.strerror}") from error
        try:
            return {name: _mark(fields) for name, fields in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise StoreCorrupt(f"{self.path}: not a witness file: {error}") from None


def _mark(fields: dict[str, object]) -> Mark:
    match fields:
        case {"epoch": str(epoch), "total": int(total), "highest": int(highest)}:
            return Mark(epoch, total, highest)
        case _:
            raise ValueError("a mark has epoch, total and highest")
