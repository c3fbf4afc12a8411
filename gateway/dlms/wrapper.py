"""Wrapper (IEC 62056-47), over TCP and UDP: version, source and destination wPort, length, APDU."""

from __future__ import annotations

import struct
from collections import deque

from gateway.dlms.limits import Limits
from gateway.dlms.link import (
    NEED_DATA,
    ApduReceived,
    LinkClosed,
    LinkEvent,
    LinkOpened,
    NeedData,
    Role,
)
from gateway.errors import (
    DecodeError,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    UsageError,
)

VERSION = 1
_HEADER = struct.Struct(">HHHH")
_LIMITS = Limits()


class WrapperLink:
    """A ``Link`` over a stream of wrapper frames.

    It opens at ``connect`` or with the first frame that arrives. A server takes
    ``client_wport=None`` for any client; one that follows another on the same stream begins
    afresh (LinkOpened again), and ``client_sap`` tells who it is. Raises UsageError for wPorts
    outside 0..65535 and a client without one.
    """

    releases = False
    streams = True

    def __init__(
        self,
        role: Role,
        *,
        client_wport: int | None,
        server_wport: int,
        limits: Limits = _LIMITS,
    ) -> None:
        if client_wport is None and role is Role.CLIENT:
            raise UsageError("a wrapper client needs a wPort of its own")
        for wport in (client_wport or 0, server_wport):
            if not 0 <= wport <= 0xFFFF:
                raise UsageError(f"wPort {wport}: 0 to 65535 are allowed")
        self._role = role
        self._any_client = client_wport is None
        self._client = client_wport
        self._server = server_wport
        self._limit = limits.apdu_octets
        self._octets = b""
        self._outgoing: list[bytes] = []
        self._events: deque[LinkEvent] = deque()
        self._is_open = False
        self._is_closed = False
        self._stream_ended = False
        self._failure: RemoteProtocolError | None = None

    @property
    def client_sap(self) -> int | None:
        """The client's wPort; None at a server that takes any and has seen none."""
        return self._client

    def connect(self) -> None:
        """Open at once; raise LocalProtocolError when it is open or was closed."""
        if self._is_open or self._is_closed or self._failure:
            raise LocalProtocolError("a wrapper link is connected once, over a new stream")
        self._open()

    def disconnect(self) -> None:
        """Close at once; raise LocalProtocolError when not open."""
        self._as_open("disconnect")
        self._close("disconnected")

    def send_apdu(self, apdu: bytes) -> None:
        """Queue one APDU; raise LocalProtocolError when not open or above 65535 octets."""
        self._as_open("send")
        if len(apdu) > 0xFFFF:
            raise LocalProtocolError(f"APDU of {len(apdu)} octets: the wrapper carries 65535")
        client = self._client or 0
        ends = (client, self._server) if self._role is Role.CLIENT else (self._server, client)
        self._outgoing.append(_HEADER.pack(VERSION, *ends, len(apdu)) + apdu)

    def receive_data(self, data: bytes) -> None:
        """Take octets in any chunking; ``b""`` is the end of the stream."""
        if self._failure or self._is_closed or self._stream_ended:
            return
        self._octets = self._octets + data if self._octets else data
        self._stream_ended = not data

    def next_event(self) -> LinkEvent | NeedData:
        """The next event or NEED_DATA; raise RemoteProtocolError for good."""
        if self._failure:
            raise self._failure
        try:
            self._read_frame()
        except RemoteProtocolError as error:
            self._failure = error
            self._is_open = False
            self._outgoing.clear()
            raise
        return self._events.popleft() if self._events else NEED_DATA

    def data_to_send(self) -> bytes:
        """Drain the frames queued for the wire."""
        octets = b"".join(self._outgoing)
        self._outgoing.clear()
        return octets

    def retransmit(self) -> bool:
        """False: the stream under the wrapper repeats by itself."""
        return False

    def _read_frame(self) -> None:
        """Turn one frame, or the end of the stream, into events, unless some wait."""
        if self._events or self._is_closed:
            return
        octets = self._octets
        if len(octets) >= _HEADER.size:
            version, source, destination, length = _HEADER.unpack_from(octets)
            self._check(version, source, destination, length)
            end = _HEADER.size + length
            if len(octets) >= end:
                apdu = octets[_HEADER.size : end]
                self._octets = octets[end:]
                self._admit(source if self._role is Role.SERVER else destination)
                self._events.append(ApduReceived(apdu))
                return
        if self._stream_ended:
            self._close("end of stream inside an APDU" if octets else "end of stream")

    def _check(self, version: int, source: int, destination: int, length: int) -> None:
        if version != VERSION:
            raise RemoteProtocolError(f"wrapper version {version}, expected {VERSION}")
        client, server = source, destination
        if self._role is Role.CLIENT:
            client, server = server, client
        if server != self._server or (not self._any_client and client != self._client):
            raise RemoteProtocolError(
                f"wrapper frame from wPort {source} to {destination}, expected client "
                f"{'any' if self._any_client else self._client} and server {self._server}"
            )
        if length > self._limit:
            raise LimitExceeded(f"wrapper length {length}: at most {self._limit} octets")

    def _admit(self, client: int) -> None:
        if client != self._client:
            self._client = client
            self._is_open = False
        if not self._is_open:
            self._open()

    def _open(self) -> None:
        self._is_open = True
        self._events.append(LinkOpened())

    def _close(self, reason: str) -> None:
        self._is_open = False
        self._is_closed = True
        self._octets = b""
        self._events.append(LinkClosed(reason))

    def _as_open(self, what: str) -> None:
        if not self._is_open:
            raise LocalProtocolError(f"a wrapper link that is not open cannot {what}")


class DatagramWrapperLink(WrapperLink):
    """The same over datagrams: each ``receive_data`` brings one, which is one whole PDU.

    Raises DecodeError for a datagram that holds less or more. Nothing is repeated here: the
    association asks again, with a counter of its own (``association/datagrams.py``).
    """

    def __init__(
        self,
        role: Role,
        *,
        client_wport: int | None,
        server_wport: int,
        limits: Limits = _LIMITS,
    ) -> None:
        super().__init__(role, client_wport=client_wport, server_wport=server_wport, limits=limits)
        self._datagrams: deque[bytes] = deque()

    def receive_data(self, data: bytes) -> None:
        """Take one datagram; ``b""`` is the end."""
        if data:
            self._datagrams.append(data)
        else:
            super().receive_data(data)

    def _read_frame(self) -> None:
        if self._datagrams and not self._events and not self._is_closed:
            octets = self._octets = self._datagrams.popleft()
            length = _HEADER.unpack_from(octets)[3] if len(octets) >= _HEADER.size else 0
            if len(octets) != _HEADER.size + length:
                raise DecodeError(
                    f"a datagram of {len(octets)} octets is not one wrapper PDU"
                    f" ({_HEADER.size} octets and the {length} that its length field states)"
                )
        super()._read_frame()
