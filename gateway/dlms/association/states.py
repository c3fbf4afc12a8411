"""Every state of an application association, and every step between states.

Rule: nothing outside this file moves a state, and a step that is not in the table is illegal.
A step is named for what happened on the wire, so that the table reads as the exchange does.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import auto
from typing import Final

from gateway.dlms.link import Role
from gateway.dlms.word import Word
from gateway.errors import LocalProtocolError


class State(Word):
    """Where an association stands."""

    IDLE = auto()
    LINKING = auto()
    """Client: the data link is being connected."""
    LINKED = auto()
    """Server: link up, nobody associated."""
    ASSOCIATING = auto()
    """Client: AARQ sent, AARE awaited."""
    AUTHENTICATING = auto()
    """HLS passes 3 and 4 are under way; nothing else may be asked."""
    READY = auto()
    BUSY = auto()
    """Client: a confirmed request is unanswered, or its blocks are not complete."""
    RELEASING = auto()
    """Client: RLRQ sent."""
    UNLINKING = auto()
    """Client: the data link is being disconnected."""
    CLOSED = auto()
    ERROR = auto()


class Step(Word):
    """What happened."""

    CONNECT = auto()
    LINK_OPENED = auto()
    PRE_ESTABLISHED = auto()
    ASKED = auto()
    ACCEPTED = auto()
    CHALLENGED = auto()
    PROVEN = auto()
    REQUESTED = auto()
    BLOCK = auto()
    ANSWERED = auto()
    NOTIFIED = auto()
    RELEASE = auto()
    RELEASED = auto()
    GAVE_UP = auto()
    """The peer did not answer a release or disconnect in time."""
    LINK_CLOSED = auto()
    FAILED = auto()


_CLIENT: Final[Mapping[State, Mapping[Step, State]]] = {
    State.IDLE: {Step.CONNECT: State.LINKING, Step.RELEASE: State.CLOSED},
    State.LINKING: {
        Step.ASKED: State.ASSOCIATING,
        Step.PRE_ESTABLISHED: State.READY,
        Step.RELEASE: State.UNLINKING,
        Step.LINK_CLOSED: State.CLOSED,
    },
    State.ASSOCIATING: {
        Step.ACCEPTED: State.READY,
        Step.CHALLENGED: State.AUTHENTICATING,
        Step.NOTIFIED: State.ASSOCIATING,
        Step.RELEASE: State.UNLINKING,
        Step.LINK_CLOSED: State.CLOSED,
    },
    State.AUTHENTICATING: {
        Step.PROVEN: State.READY,
        Step.NOTIFIED: State.AUTHENTICATING,
        Step.RELEASE: State.UNLINKING,
        Step.LINK_CLOSED: State.CLOSED,
    },
    State.READY: {
        Step.REQUESTED: State.BUSY,
        Step.NOTIFIED: State.READY,
        Step.RELEASE: State.RELEASING,
        Step.LINK_CLOSED: State.CLOSED,
    },
    State.BUSY: {
        Step.BLOCK: State.BUSY,
        Step.ANSWERED: State.READY,
        Step.NOTIFIED: State.BUSY,
        # A session that gave up on an answer still says goodbye: an association left open
        # blocks the meter until its own time-out.
        Step.RELEASE: State.UNLINKING,
        Step.LINK_CLOSED: State.CLOSED,
    },
    State.RELEASING: {
        Step.RELEASED: State.UNLINKING,
        Step.NOTIFIED: State.RELEASING,
        Step.GAVE_UP: State.UNLINKING,
        Step.LINK_CLOSED: State.CLOSED,
    },
    State.UNLINKING: {
        Step.NOTIFIED: State.UNLINKING,
        Step.GAVE_UP: State.CLOSED,
        Step.LINK_CLOSED: State.CLOSED,
    },
    State.CLOSED: {},
    # Nothing is believed any more, but the meter is still told that we leave.
    State.ERROR: {Step.RELEASE: State.UNLINKING, Step.LINK_CLOSED: State.ERROR},
}

_SERVER: Final[Mapping[State, Mapping[Step, State]]] = {
    State.IDLE: {Step.LINK_OPENED: State.LINKED},
    State.LINKED: {
        Step.LINK_OPENED: State.LINKED,
        Step.ACCEPTED: State.READY,
        Step.CHALLENGED: State.AUTHENTICATING,
        Step.LINK_CLOSED: State.IDLE,
    },
    State.AUTHENTICATING: {
        Step.PROVEN: State.READY,
        Step.RELEASED: State.LINKED,
        Step.LINK_OPENED: State.LINKED,
        Step.LINK_CLOSED: State.IDLE,
    },
    State.READY: {
        Step.REQUESTED: State.READY,
        Step.RELEASED: State.LINKED,
        Step.LINK_OPENED: State.LINKED,
        Step.LINK_CLOSED: State.IDLE,
    },
}

TRANSITIONS: Final = {Role.CLIENT: _CLIENT, Role.SERVER: _SERVER}
"""role -> state -> step -> next state; FAILED leads to ERROR from everywhere."""


class AssociationState:
    """Walks the table for one side."""

    __slots__ = ("_table", "now")

    def __init__(self, role: Role) -> None:
        self._table = TRANSITIONS[role]
        self.now = State.IDLE

    def allows(self, step: Step) -> bool:
        """Whether the step is legal now."""
        return step in self._table[self.now]

    def move(self, step: Step) -> None:
        """Take a step; raise LocalProtocolError where the table has none."""
        if step is Step.FAILED:
            self.now = State.ERROR
            return
        try:
            self.now = self._table[self.now][step]
        except KeyError:
            raise LocalProtocolError(f"{step.name} is not possible while {self.now.name}") from None
