"""Bare APDUs: the transport already delivers them whole (UDP, captures, tests)."""

from __future__ import annotations

from collections import deque

from gateway.dlms.limits import Limits
from gateway.dlms.link import (
    NEED_DATA,
    ApduReceived,
    LinkClosed,
    LinkEvent,
    LinkOpened,
    NeedData,
)
from gateway.errors import LimitExceeded, LocalProtocolError

_LIMITS = Limits()


class BareLink:
    """A ``Link`` without framing: one APDU per ``receive_data`` and per ``data_to_send``.

    It opens at ``connect`` or with the first APDU that arrives.
    """

    releases = False
    streams = True

    def __init__(self, *, limits: Limits = _LIMITS) -> None:
        self._limit = limits.apdu_octets
        self._events: deque[LinkEvent] = deque()
        self._outgoing: deque[bytes] = deque()
        self._is_open = False
        self._is_closed = False
        self._failure: LimitExceeded | None = None

    @property
    def client_sap(self) -> int | None:
        """None: there are no addresses."""
        return None

    def connect(self) -> None:
        """Open at once; raise LocalProtocolError when it is open or was closed."""
        if self._is_open or self._is_closed:
            raise LocalProtocolError("a bare link is connected once")
        self._open()

    def disconnect(self) -> None:
        """Close at once; raise LocalProtocolError when not open."""
        self._as_open("disconnect")
        self._close("disconnected")

    def send_apdu(self, apdu: bytes) -> None:
        """Queue one APDU; raise LocalProtocolError when not open."""
        self._as_open("send")
        self._outgoing.append(apdu)

    def receive_data(self, data: bytes) -> None:
        """Take one whole APDU; ``b""`` is the end of the stream."""
        if self._failure or self._is_closed:
            return
        if not data:
            self._close("end of stream")
            return
        if not self._is_open:
            self._open()
        if len(data) > self._limit:
            self._failure = LimitExceeded(
                f"APDU of {len(data)} octets: at most {self._limit} are allowed"
            )
            return
        self._events.append(ApduReceived(data))

    def next_event(self) -> LinkEvent | NeedData:
        """The next event or NEED_DATA; raise LimitExceeded for good."""
        if self._events:
            return self._events.popleft()
        if self._failure:
            raise self._failure
        return NEED_DATA

    def data_to_send(self) -> bytes:
        """The next APDU queued, or ``b""``: call until it is empty."""
        return self._outgoing.popleft() if self._outgoing else b""

    def retransmit(self) -> bool:
        """False: nothing here knows what was answered."""
        return False

    def _open(self) -> None:
        self._is_open = True
        self._events.append(LinkOpened())

    def _close(self, reason: str) -> None:
        self._is_open = False
        self._is_closed = True
        self._events.append(LinkClosed(reason))

    def _as_open(self, what: str) -> None:
        if not self._is_open or self._failure:
            raise LocalProtocolError(f"a bare link that is not open cannot {what}")
