"""What a data link promises to the application layer, whatever its framing.

A link is sans-io: octets go in with ``receive_data``, events come out of ``next_event``,
octets for the wire out of ``data_to_send``. Time-outs belong to the driver, which answers
one with ``retransmit``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from gateway.dlms.word import Word


class Role(Word):
    """Which end of the link this side is."""

    CLIENT = auto()
    """The reader: speaks first (HDLC primary station)."""
    SERVER = auto()
    """The meter: answers (HDLC secondary station)."""


class NeedData(Enum):
    """Type of ``NEED_DATA``; an enum so that type checkers narrow ``event is NEED_DATA``."""

    NEED_DATA = auto()


NEED_DATA: Final = NeedData.NEED_DATA
"""Nothing to tell until more octets arrive."""


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """The link is connected.

    A server may see it again: a client started afresh, and whatever was associated over the
    link is gone.
    """


@dataclass(frozen=True, slots=True)
class ApduReceived:
    """One whole APDU, without link or LLC header."""

    apdu: bytes


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The link is disconnected; no further event follows until it is connected again.

    ``reason`` is for people: "disconnected", "end of stream".
    """

    reason: str


LinkEvent = LinkOpened | ApduReceived | LinkClosed


class Link(Protocol):
    """A data link that carries whole APDUs between one client and one server."""

    releases: bool
    """Whether disconnecting also releases the association, as with HDLC: one association goes with
    one connection (Green Book, COSEM-RELEASE without use of RLRQ/RLRE)."""
    streams: bool
    """Whether several APDUs may follow one another in one direction; HDLC in normal response mode
    carries one in each turn."""

    @property
    def client_sap(self) -> int | None:
        """The client's address (upper HDLC address, wPort): which association it wants.

        None at a server that nobody called yet, and where the framing has no addresses.
        """

    def connect(self) -> None:
        """Ask for the link (HDLC client: queue SNRM), or open it at once (wrapper, bare).

        Framings without an opening of their own also open with the first APDU that arrives, so
        a server need not call this; a HDLC server must not (LocalProtocolError).
        """

    def disconnect(self) -> None:
        """Client: ask for the end of the link (HDLC: queue DISC), or close it at once."""

    def send_apdu(self, apdu: bytes) -> None:
        """Queue one whole APDU; header and segmentation happen inside.

        Raises LocalProtocolError when the link is not open or it is not this side's turn.
        """

    def receive_data(self, data: bytes) -> None:
        """Take octets as they came, in any chunking; ``b""`` is the end of the stream.

        Only stores them: what is wrong with them is raised by ``next_event``.
        """

    def next_event(self) -> LinkEvent | NeedData:
        """The next thing that happened, or NEED_DATA.

        Call until NEED_DATA after each ``receive_data``, then send ``data_to_send()``: the
        link answers by itself (segments, acknowledgements). Raises RemoteProtocolError or
        PeerRefused; after a RemoteProtocolError the link stays in its error state for good.
        """

    def data_to_send(self) -> bytes:
        """Drain the octets queued for the wire; ``b""`` when there are none."""

    def retransmit(self) -> bool:
        """After a time-out: queue the last unanswered frame again.

        False when nothing can be repeated: no frame is unanswered, or the framing runs over
        a reliable stream.
        """
