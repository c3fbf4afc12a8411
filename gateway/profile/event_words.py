"""The words of a firmware profile that speak of events and of what a meter pushes."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from gateway.model import ProfileKind
from gateway.profile.strict_toml import ObisText, Table, table

EventCode = Annotated[int, Field(ge=0, le=0xFFFF)]
"""Long-unsigned at most (IS 15959-2 event codes)."""
StatusBit = Annotated[int, Field(ge=0, le=127)]
"""Bit of the event status word, 0 leftmost."""
Name = Annotated[str, Field(min_length=1)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
"""A name as it stands in messages."""


@table
class EventName:
    """Where one event stands: codes of its log, bits of the event status word.

    ``bit`` is set as long as it lasts; ``bit_occurs`` and ``bit_ends`` are set by the moment that
    they name, and that they are cleared says nothing.
    """

    occurs: EventCode | None = None
    ends: EventCode | None = None
    bit: StatusBit | None = None
    bit_occurs: StatusBit | None = None
    bit_ends: StatusBit | None = None

    @property
    def codes(self) -> tuple[int, ...]:
        """The codes that there are."""
        return tuple(code for code in (self.occurs, self.ends) if code is not None)

    @property
    def bits(self) -> tuple[int, ...]:
        """The bits that there are."""
        places = (self.bit, self.bit_occurs, self.bit_ends)
        return tuple(bit for bit in places if bit is not None)


class PushKind(StrEnum):
    """What a push setup object sends."""

    INSTANTANEOUS = "instantaneous"
    ALERT = "alert"
    """The event status word."""
    BLOCK_LOAD = "block_load"
    DAILY_LOAD = "daily_load"
    BILLING = "billing"

    @property
    def rows(self) -> ProfileKind | None:
        """The buffer whose rows are sent; None for an alert."""
        return None if self is PushKind.ALERT else ProfileKind(self.value)


@table
class Push:
    """What the meter sends unasked, and how far it is believed."""

    association: Name = "push"
    """Whose keys and counter protect it."""
    plain: bool = False
    """Believe what is not ciphered; anybody can send that."""
    setups: Table[PushKind, ObisText] = field(default_factory=dict)
    """Push setup objects (class 40): their name in a message says what it carries."""
