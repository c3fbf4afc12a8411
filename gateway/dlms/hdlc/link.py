"""One HDLC connection, client or server, in normal response mode with windows of 1 to 7."""

from __future__ import annotations

from gateway.dlms.hdlc import client as client_station
from gateway.dlms.hdlc import server as server_station
from gateway.dlms.hdlc.address import HdlcAddress
from gateway.dlms.hdlc.frame import Frame
from gateway.dlms.hdlc.parameters import HdlcParameters
from gateway.dlms.hdlc.states import CLIENT_WAITS, State, Step
from gateway.dlms.hdlc.station import Station
from gateway.dlms.hdlc.stream import FrameStream
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, LinkClosed, LinkEvent, NeedData, Role
from gateway.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, UsageError

_STANDARD = HdlcParameters()
_LIMITS = Limits()


class HdlcLink:
    """A ``Link`` over HDLC.

    A server takes ``client=None`` for "whoever connects"; ``client_sap`` then tells who did.
    Frames of other stations are passed over and counted: a bus carries them.
    ``tolerate_frozen_receive_sequence`` is for meters whose N(R) does not count; what such a peer
    lost of a window nobody could tell, so it is sent one frame at a time.
    Raises UsageError for a client without address, and for a frozen N(R) with a larger window.
    """

    releases = True
    streams = False

    def __init__(
        self,
        role: Role,
        *,
        client: HdlcAddress | None,
        server: HdlcAddress,
        parameters: HdlcParameters = _STANDARD,
        limits: Limits = _LIMITS,
        tolerate_frozen_receive_sequence: bool = False,
    ) -> None:
        if client is None and role is Role.CLIENT:
            raise UsageError("an HDLC client needs an address of its own")
        if tolerate_frozen_receive_sequence and parameters.window_transmit != 1:
            raise UsageError(
                f"HDLC window of {parameters.window_transmit} frames to a peer whose N(R) does not "
                "count: set window_transmit to 1"
            )
        self._role = role
        self._any_client = client is None
        self._stream = FrameStream(limits)
        self._station = Station(
            role,
            client=client.encode() if client else b"",
            server=server.encode(),
            parameters=parameters,
            limits=limits,
            tolerant=tolerate_frozen_receive_sequence,
        )
        self._failure: RemoteProtocolError | None = None
        self._stream_ended = False
        self.foreign_frames = 0
        """Good frames of other stations."""

    @property
    def parameters(self) -> HdlcParameters:
        """What was agreed on; before that, what this side proposes."""
        return self._station.agreed

    @property
    def client_sap(self) -> int | None:
        """Upper address of the client; None at a server that takes any and has seen none."""
        octets = self._station.client
        return HdlcAddress.decode(octets).upper if octets else None

    @property
    def discarded_octets(self) -> int:
        """Octets received that belong to no good frame."""
        return self._stream.discarded_octets

    @property
    def discarded_frames(self) -> int:
        """Starts of frames received that failed a check."""
        return self._stream.discarded_frames

    def connect(self) -> None:
        """Queue SNRM; raise LocalProtocolError at a server or when not disconnected."""
        self._as_client("connect")
        client_station.connect(self._station)

    def disconnect(self) -> None:
        """Queue DISC; raise LocalProtocolError at a server or when not connected."""
        self._as_client("disconnect")
        client_station.disconnect(self._station)

    def send_apdu(self, apdu: bytes) -> None:
        """Queue the first window of segments; the others follow as the peer acknowledges.

        Raises LocalProtocolError unless a client is idle or a server was asked.
        """
        self._station.begin_sending(apdu)

    def receive_data(self, data: bytes) -> None:
        """Take octets in any chunking; ``b""`` is the end of the stream."""
        if self._failure or self._stream_ended:
            return
        if data:
            self._stream.receive(data)
        else:
            self._stream.note_silence()
            self._stream_ended = True

    def next_event(self) -> LinkEvent | NeedData:
        """The next event or NEED_DATA.

        Raises PeerRefused for "disconnected mode"; RemoteProtocolError (also LimitExceeded,
        DecodeError) for good, again at each further call.
        """
        if self._failure:
            raise self._failure
        station = self._station
        try:
            while (frame := self._stream.next_frame()) is not NEED_DATA:
                event = self._take(frame)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            station.step(Step.FAILED)
            station.outgoing.clear()
            self._failure = error
            raise
        if not self._stream_ended or station.state is State.ENDED:
            return NEED_DATA
        was_used = station.state is not State.DISCONNECTED
        station.step(Step.STREAM_ENDED)
        return LinkClosed("end of stream") if was_used else NEED_DATA

    def data_to_send(self) -> bytes:
        """Drain the frames queued for the wire."""
        outgoing = self._station.outgoing
        if not outgoing:
            return b""
        octets = b"".join(outgoing)
        outgoing.clear()
        return octets

    def retransmit(self) -> bool:
        """After silence: give up a half-received frame, and pass the turn to the peer again.

        The frame that passed it last goes once more; where an answer has begun, an RR for the
        rest. False when this side does not wait for an answer; a server never does.
        """
        self._stream.note_silence()
        if self._role is Role.SERVER or self._station.state not in CLIENT_WAITS:
            return False
        client_station.ask_again(self._station)
        return True

    def _as_client(self, what: str) -> None:
        if self._role is Role.SERVER:
            raise LocalProtocolError(f"an HDLC server does not {what}: its client does")

    def _take(self, frame: Frame) -> LinkEvent | None:
        station = self._station
        if self._role is Role.SERVER:
            if frame.destination != station.server or (
                not self._any_client and frame.source != station.client
            ):
                self.foreign_frames += 1
                return None
            return server_station.take(station, frame)
        if frame.destination != station.client or frame.source != station.server:
            self.foreign_frames += 1
            return None
        if station.state in CLIENT_WAITS:
            station.fruitless += 1
            if station.fruitless > station.limits.fruitless_frames:
                raise LimitExceeded(f"{station.fruitless} HDLC frames in a row without progress")
        return client_station.take(station, frame)
