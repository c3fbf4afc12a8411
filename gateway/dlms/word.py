"""Names that tables are looked up by."""

from __future__ import annotations

from enum import Enum


class Word(Enum):
    """An enumeration whose members are quick keys: each is one object, and hashes as that.

    ``Enum`` hashes a member's name in Python instead, at every look-up of a state table.
    """

    __hash__ = object.__hash__
