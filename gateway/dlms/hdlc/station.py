"""What both stations of an HDLC connection keep and do: state, sequence numbers, segments.

Inside this package only; ``HdlcLink`` is what others use.
"""

from __future__ import annotations

from gateway.dlms.hdlc.assembly import Assembly, llc_header
from gateway.dlms.hdlc.frame import POLL_FINAL, Frame, FrameType, encode_frame
from gateway.dlms.hdlc.parameters import HdlcParameters
from gateway.dlms.hdlc.states import State, Step, after
from gateway.dlms.limits import Limits
from gateway.dlms.link import ApduReceived, LinkEvent, Role


class Station:
    """One end of the connection. ``send_sequence`` is V(S), ``receive_sequence`` V(R)."""

    def __init__(
        self,
        role: Role,
        *,
        client: bytes,
        server: bytes,
        parameters: HdlcParameters,
        limits: Limits,
        tolerant: bool,
    ) -> None:
        peer = Role.SERVER if role is Role.CLIENT else Role.CLIENT
        self.role = role
        self.client = client
        """Address on the wire; b"" at a server that takes any client and has none."""
        self.server = server
        self.wanted = parameters
        self.agreed = parameters
        self.limits = limits
        self.tolerant = tolerant
        self.state = State.DISCONNECTED
        self.send_sequence = 0
        self.receive_sequence = 0
        self.last = b""
        """Client: the frame that waits for an answer. Server: its last answer to an I frame."""
        self.outgoing: list[bytes] = []
        self.fruitless = 0
        """Frames received in a row that brought no step forward."""
        self._numbered = Assembly(peer, limits)
        self._unnumbered = Assembly(peer, limits)
        self._payload = b""
        self._sent = 0

    def step(self, step: Step) -> None:
        """Go to the state that follows; raise LocalProtocolError when there is none."""
        self.state = after(self.role, self.state, step)
        self.fruitless = 0

    def reset(self, peer: HdlcParameters) -> None:
        """Begin a connection: parameters agreed, numbers at 0, nothing half done."""
        self.agreed = self.wanted.agreed_with(peer)
        self.send_sequence = self.receive_sequence = 0
        self.last = b""
        self._numbered.clear()
        self._unnumbered.clear()

    def frame(self, control: int, information: bytes = b"", segmented: bool = False) -> bytes:
        """A frame to the peer, poll/final bit set: at window 1 each one passes the turn."""
        to, by = self.server, self.client
        if self.role is Role.SERVER:
            to, by = by, to
        return encode_frame(to + by, control | POLL_FINAL, information, segmented)

    def send(self, frame: bytes) -> None:
        """Queue a frame, and keep it for repetition."""
        self.last = frame
        self.outgoing.append(frame)

    def repeat(self) -> None:
        """Queue the kept frame again."""
        if self.last:
            self.outgoing.append(self.last)

    def receive_ready(self) -> bytes:
        """An RR frame that acknowledges everything received."""
        return self.frame(self.receive_sequence << 5 | FrameType.RR.value)

    def begin_sending(self, apdu: bytes) -> None:
        """Send the first segment of an APDU."""
        self.step(Step.APDU_GIVEN)
        self._payload = llc_header(self.role) + apdu
        self._sent = 0
        self.send_segment()

    def send_segment(self) -> None:
        """Send the next segment of the APDU under way."""
        start = self._sent
        self._sent = end = start + self.agreed.max_information_transmit
        more = end < len(self._payload)
        control = self.receive_sequence << 5 | self.send_sequence << 1
        self.send(self.frame(control, self._payload[start:end], more))
        self.send_sequence = (self.send_sequence + 1) & 7
        self.fruitless = 0
        if not more:
            self.step(Step.LAST_SEGMENT_SENT)

    def is_repetition(self, frame: Frame) -> bool:
        """An I frame that was received before: the peer did not see the answer."""
        return frame.send_sequence == (self.receive_sequence - 1) & 7

    def acknowledges(self, frame: Frame) -> bool:
        """Whether N(R) acknowledges everything this side sent."""
        return self.tolerant or frame.receive_sequence == self.send_sequence

    def acknowledges_all_but_last(self, frame: Frame) -> bool:
        """Whether N(R) says that the last I frame was not received."""
        return frame.receive_sequence == (self.send_sequence - 1) & 7

    def accept(self, frame: Frame) -> LinkEvent | None:
        """Take the I frame whose turn it is; acknowledge a segment, deliver the last."""
        self.receive_sequence = (self.receive_sequence + 1) & 7
        apdu = self._numbered.add(frame)
        if apdu is None:
            self.step(Step.SEGMENT_RECEIVED)
            self.send(self.receive_ready())
            return None
        self.step(Step.LAST_SEGMENT_RECEIVED)
        return ApduReceived(apdu)

    def on_unnumbered_information(self, frame: Frame) -> LinkEvent | None:
        """UI: a push, or an unconfirmed request; it changes no state."""
        apdu = self._unnumbered.add(frame)
        return None if apdu is None else ApduReceived(apdu)
