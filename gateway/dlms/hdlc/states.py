"""Every state of an HDLC station, and every step between states.

Normal response mode, two-way alternate: the client (primary) speaks up to a window of frames, the
last of them with the poll bit; the server (secondary) answers with up to a window of its own, the
last with the final bit. Nothing outside this file names the state that follows a step, and a step
that is not in the table is illegal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import auto
from typing import Final

from gateway.dlms.link import Role
from gateway.dlms.word import Word
from gateway.errors import LocalProtocolError


class State(Word):
    """Where a station stands."""

    DISCONNECTED = auto()
    CONNECTING = auto()
    """Client: SNRM sent, UA awaited."""
    IDLE = auto()
    """Connected. Client: may ask. Server: waits to be asked."""
    SENDING = auto()
    """An APDU is on its way; its next segments wait for the peer to acknowledge the last window."""
    AWAITING = auto()
    """Client: the request is out, the answer has not begun."""
    RECEIVING = auto()
    """Some segments of an APDU were received, more follow."""
    REPLYING = auto()
    """Server: a whole request was delivered, the answer is the application's turn."""
    DISCONNECTING = auto()
    """Client: DISC sent."""
    ENDED = auto()
    """The stream under the link ended."""
    ERROR = auto()
    """The peer broke the protocol."""


class Step(Word):
    """What a station did or saw."""

    SNRM_SENT = auto()
    SNRM_RECEIVED = auto()
    UA_RECEIVED = auto()
    DM_RECEIVED = auto()
    DISC_SENT = auto()
    DISC_RECEIVED = auto()
    FRMR_SENT = auto()
    APDU_GIVEN = auto()
    """The application handed over what is to be sent."""
    LAST_SEGMENT_SENT = auto()
    WENT_BACK = auto()
    """Segments that the peer did not receive are sent again."""
    SEGMENT_RECEIVED = auto()
    LAST_SEGMENT_RECEIVED = auto()
    STREAM_ENDED = auto()
    FAILED = auto()


_RECEIVES = {Step.SEGMENT_RECEIVED: State.RECEIVING}
_SENDS = {Step.WENT_BACK: State.SENDING}

_CLIENT_LEAVES = {Step.DM_RECEIVED: State.DISCONNECTED, Step.DISC_SENT: State.DISCONNECTING}
_CLIENT_HEARS = _CLIENT_LEAVES | _RECEIVES | {Step.LAST_SEGMENT_RECEIVED: State.IDLE}

# The client may begin afresh or give an exchange up at any time.
_SERVER_HEARS = _RECEIVES | {
    Step.SNRM_RECEIVED: State.IDLE,
    Step.DISC_RECEIVED: State.DISCONNECTED,
    Step.FRMR_SENT: State.DISCONNECTED,
    Step.LAST_SEGMENT_RECEIVED: State.REPLYING,
}

_ANY = {Step.STREAM_ENDED: State.ENDED, Step.FAILED: State.ERROR}

TABLE: Final[Mapping[Role, Mapping[State, Mapping[Step, State]]]] = {
    Role.CLIENT: {
        State.DISCONNECTED: _ANY | {Step.SNRM_SENT: State.CONNECTING},
        State.CONNECTING: _ANY | _CLIENT_LEAVES | {Step.UA_RECEIVED: State.IDLE},
        State.IDLE: _ANY | _CLIENT_LEAVES | {Step.APDU_GIVEN: State.SENDING},
        State.SENDING: _ANY | _CLIENT_LEAVES | _SENDS | {Step.LAST_SEGMENT_SENT: State.AWAITING},
        State.AWAITING: _ANY | _CLIENT_HEARS | _SENDS,
        State.RECEIVING: _ANY | _CLIENT_HEARS,
        State.DISCONNECTING: _ANY
        | {Step.UA_RECEIVED: State.DISCONNECTED, Step.DM_RECEIVED: State.DISCONNECTED},
        State.ENDED: {},
        State.ERROR: {},
    },
    Role.SERVER: {
        State.DISCONNECTED: _ANY | {Step.SNRM_RECEIVED: State.IDLE},
        State.IDLE: _ANY | _SERVER_HEARS | _SENDS,
        State.RECEIVING: _ANY | _SERVER_HEARS,
        State.REPLYING: _ANY | _SERVER_HEARS | {Step.APDU_GIVEN: State.SENDING},
        State.SENDING: _ANY | _SERVER_HEARS | _SENDS | {Step.LAST_SEGMENT_SENT: State.IDLE},
        State.ENDED: {},
        State.ERROR: {},
    },
}

FRUITLESS: Final = frozenset({Step.WENT_BACK, Step.LAST_SEGMENT_SENT})
"""Steps that a peer can bring about again and again without any octet getting through."""

CLIENT_WAITS: Final = frozenset(
    {
        State.CONNECTING,
        State.SENDING,
        State.AWAITING,
        State.RECEIVING,
        State.DISCONNECTING,
    }
)
"""States in which a client has a frame out that the server must answer."""


def after(role: Role, state: State, step: Step) -> State:
    """The state that follows; raise LocalProtocolError when the step is not allowed."""
    try:
        return TABLE[role][state][step]
    except KeyError:
        raise LocalProtocolError(
            f"HDLC {role.name.lower()}: {step.name.lower()} is not allowed while "
            f"{state.name.lower()}"
        ) from None
