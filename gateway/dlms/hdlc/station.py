"""What both stations of an HDLC connection keep and do: state, sequence numbers, windows.

Go-back-N: frames are taken in sequence only. Whoever has the turn learns from N(R) which frames
to send again, so nothing received out of sequence is kept (ISO/IEC 13239, checkpointing).

Inside this package only; ``HdlcLink`` is what others use.
"""

from __future__ import annotations

from gateway.dlms.hdlc.assembly import Assembly, llc_header
from gateway.dlms.hdlc.frame import POLL_FINAL, Frame, FrameType, encode_frame
from gateway.dlms.hdlc.parameters import HdlcParameters
from gateway.dlms.hdlc.states import FRUITLESS, State, Step, after
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
        self.unacknowledged = 0
        """Number of the oldest frame that the peer did not acknowledge; V(S) when there is none."""
        self.receive_sequence = 0
        self.loss_told = False
        """The peer has told that it misses what was sent last, or cannot: see ``go_on``."""
        self.gap_told = False
        """The peer has been told which frame is missing, and nothing came of it yet."""
        self.last = b""
        """Client: the frame that passed the turn, and waits for an answer."""
        self.outgoing: list[bytes] = []
        self.fruitless = 0
        """Frames received in a row that brought no step forward."""
        self._numbered = Assembly(peer, limits)
        self._unnumbered = Assembly(peer, limits)
        self._payload = b""
        self._start = 0
        """Where in the payload frame ``unacknowledged`` begins."""
        self._told = 0
        """The N(R) sent last: the peer counts its window from there."""

    def step(self, step: Step) -> None:
        """Go to the state that follows; raise LocalProtocolError when there is none."""
        self.state = after(self.role, self.state, step)
        if step not in FRUITLESS:
            self.fruitless = 0

    def reset(self, peer: HdlcParameters) -> None:
        """Begin a connection: parameters agreed, numbers at 0, nothing half done."""
        self.agreed = self.wanted.agreed_with(peer)
        self.send_sequence = self.unacknowledged = self.receive_sequence = self._told = 0
        self.loss_told = self.gap_told = False
        self.last = b""
        self._numbered.clear()
        self._unnumbered.clear()

    def frame(
        self, control: int, information: bytes = b"", segmented: bool = False, final: bool = True
    ) -> bytes:
        """A frame to the peer; ``final`` sets the poll/final bit, which passes the turn."""
        to, by = self.server, self.client
        if self.role is Role.SERVER:
            to, by = by, to
        if final:
            control |= POLL_FINAL
        return encode_frame(to + by, control, information, segmented)

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
        self._told = self.receive_sequence
        return self.frame(self.receive_sequence << 5 | FrameType.RR.value)

    def begin_sending(self, apdu: bytes) -> None:
        """Send the first window of an APDU."""
        self.step(Step.APDU_GIVEN)
        self._payload = llc_header(self.role) + apdu
        self._start = 0
        self._send_window()

    def go_on(self) -> None:
        """Send the next window; what the peer did not acknowledge, and all after it, once more.

        The same N(R) may come again because an acknowledgement was sent twice. To go back for
        each would double all that follows, so ``loss_told`` keeps a client to one for each step
        forward or time-out. For a lone frame there is none: were it lost, nothing would have
        come, since it passed the turn and the server speaks only when it has it.
        """
        if not self.outstanding:
            self._send_window()
            return
        self.step(Step.WENT_BACK)
        self._send_window()
        self.loss_told = True

    def _send_window(self) -> None:
        """As many segments as the window takes, from the oldest that is not acknowledged on."""
        octets = self.agreed.max_information_transmit
        number = self.unacknowledged
        start = self._start
        end = min(start + octets * self.agreed.window_transmit, len(self._payload))
        self._told = self.receive_sequence
        while True:
            stop = start + octets
            more = stop < len(self._payload)
            final = stop >= end
            control = self.receive_sequence << 5 | number << 1
            frame = self.frame(control, self._payload[start:stop], more, final)
            self.outgoing.append(frame)
            number = (number + 1) & 7
            if final:
                break
            start = stop
        self.last = frame
        self.send_sequence = number
        self.loss_told = start == self._start
        if not more:
            self.step(Step.LAST_SEGMENT_SENT)

    @property
    def outstanding(self) -> int:
        """How many of the frames sent the peer has not acknowledged."""
        return (self.send_sequence - self.unacknowledged) & 7

    def acknowledge(self, frame: Frame) -> int | None:
        """Take N(R): how many of the frames sent are left that the peer did not receive.

        None where N(R) is none of the numbers from the oldest frame outstanding up to V(S).
        """
        outstanding = self.outstanding
        left = 0 if self.tolerant else (self.send_sequence - frame.receive_sequence) & 7
        if left > outstanding:
            return None
        if left < outstanding:
            self.unacknowledged = (self.send_sequence - left) & 7
            self._start += (outstanding - left) * self.agreed.max_information_transmit
            self.loss_told = False
            self.fruitless = 0
        return left

    def takes_turn(self, frame: Frame) -> bool:
        """Whether a frame passed the turn; at window 1 each does, its poll/final bit or not."""
        return frame.poll_final or self.agreed.window_receive == 1

    def is_after_gap(self, frame: Frame) -> bool:
        """An I frame of the peer's window whose turn is not yet: one before it was lost."""
        room = self.agreed.window_receive - ((self.receive_sequence - self._told) & 7)
        return 0 < (frame.send_sequence - self.receive_sequence) & 7 < room

    def is_repetition(self, frame: Frame) -> bool:
        """An I frame that was received before: the peer did not see the answer."""
        age = (self.receive_sequence - 1 - frame.send_sequence) & 7
        return age < self.agreed.window_receive

    def accept(self, frame: Frame) -> LinkEvent | None:
        """Take the I frame whose turn it is; acknowledge a window, deliver the last segment."""
        self.receive_sequence = (self.receive_sequence + 1) & 7
        self.gap_told = False
        apdu = self._numbered.add(frame)
        if apdu is None:
            self.step(Step.SEGMENT_RECEIVED)
            if self.takes_turn(frame):
                self.send(self.receive_ready())
            return None
        self.step(Step.LAST_SEGMENT_RECEIVED)
        return ApduReceived(apdu)

    def on_unnumbered_information(self, frame: Frame) -> LinkEvent | None:
        """UI: a push, or an unconfirmed request; it changes no state."""
        apdu = self._unnumbered.add(frame)
        return None if apdu is None else ApduReceived(apdu)
