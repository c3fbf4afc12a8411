"""Sign-on of IEC 62056-21 protocol mode E: from 300 baud 7E1 to HDLC at the agreed speed. Sans-io.

It stands beside the links because it is the opening of an HDLC link on an optical port (Green
Book, use of HDLC with IEC 62056-21 mode E), and so that an emulated meter speaks it with the same
words. It is the reader's side; a meter's side needs ``Identification`` and ``Acknowledgement``
only. The transport below does what it says: sets the line, sends, and tells the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import auto
from typing import Final

from gateway.dlms.word import Word
from gateway.errors import DecodeError, LocalProtocolError, NoAnswer, PeerRefused
from gateway.errors import RemoteProtocolError as Breach
from gateway.url import CharacterFormat

BAUD_OF: Final = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200}
"""Baud rate identifications of modes C and E (IEC 62056-21, 6.3.14 item 13 c)."""
_ID_OF: Final = {baud: identification for identification, baud in BAUD_OF.items()}
_START_BAUD: Final = 300
_BITS_PER_CHARACTER: Final = 10
_LINE_OCTETS: Final = 64
"""An identification has 23 characters at most, and a few of noise are borne."""
_NOISE_OCTETS: Final = 256
_ACK, _NAK, _SOH, _STX = b"\x06", b"\x15", b"\x01", b"\x02"
_HDLC: Final = "2"
"""Both for "protocol control: HDLC" and for "mode control: binary" (Annex E)."""
_IDENTIFICATION: Final = re.compile(
    rb"/(?P<maker>[A-Za-z]{3})(?P<baud>[\x21-\x7e])(?P<text>[\x20-\x2e\x30-\x7e]{0,32})"
)
_ACKNOWLEDGEMENT: Final = re.compile(rb"\x06([0-9])([0-9A-I])([0-9A-Z])")


@dataclass(frozen=True, slots=True)
class Line:
    """How the port is to be set."""

    baud: int
    characters: CharacterFormat

    def duration_s(self, octets: int) -> float:
        """How long so many octets take on it."""
        return octets * _BITS_PER_CHARACTER / self.baud


START: Final = Line(_START_BAUD, CharacterFormat.SEVEN_EVEN_ONE)


@dataclass(frozen=True, slots=True)
class Identification:
    """``/XXXZ...``: the maker's three letters, the speed it proposes, and what it is.

    ``text`` begins with a backslash and 2 where the meter says that it knows mode E; not all say.
    """

    maker: str
    baud_id: str
    text: str = ""

    @classmethod
    def decode(cls, line: bytes) -> Identification:
        """Read one without CR LF; raise DecodeError. What stands before the ``/`` is noise."""
        found = _IDENTIFICATION.fullmatch(line, max(0, line.rfind(b"/")))
        if found is None:
            raise DecodeError(f"not an identification of IEC 62056-21 (/XXXZ...): {line.hex(' ')}")
        return cls(*(part.decode("ascii") for part in found.groups()))

    def encode(self) -> bytes:
        """As it goes over the line."""
        return f"/{self.maker}{self.baud_id}{self.text}\r\n".encode("ascii")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """``ACK V Z Y``: the reader's choice of procedure, speed and mode."""

    protocol: str
    baud_id: str
    mode: str

    @classmethod
    def decode(cls, line: bytes) -> Acknowledgement:
        """Read one without CR LF; raise DecodeError."""
        found = _ACKNOWLEDGEMENT.fullmatch(line)
        if found is None:
            raise DecodeError(f"not an acknowledgement of IEC 62056-21: {line.hex(' ')}")
        return cls(*(part.decode("ascii") for part in found.groups()))

    @property
    def is_mode_e(self) -> bool:
        """Whether it asks for HDLC."""
        return self.protocol == self.mode == _HDLC

    def encode(self) -> bytes:
        """As it goes over the line."""
        return _ACK + f"{self.protocol}{self.baud_id}{self.mode}\r\n".encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOnTiming:
    """Seconds, as IEC 62056-21 gives them (6.4.3, 7, Annex B for waking up)."""

    wake_up_s: float = 2.2
    """Zeros are sent for 2.1 s to 2.3 s, and after the last one"""
    wake_up_rest_s: float = 1.6
    """1.5 s to 1.7 s pass."""
    answer_s: float = 1.5
    """A meter answers within 1500 ms, and between two characters no more pass."""
    reaction_s: float = 0.25
    """The reader waits 200 ms and more before it answers."""
    settle_s: float = 0.3
    """Between the change of speed and the first HDLC frame; 200 ms and more."""
    tries: int = 2
    """How often the request is sent."""


class State(Word):
    """Where the reader stands."""

    IDLE = auto()
    WAKING = auto()
    RESTING = auto()
    ASKING = auto()
    """The request is out, the identification awaited."""
    REACTING = auto()
    """Identified; the acknowledgement is not sent before its time."""
    SELECTING = auto()
    """The acknowledgement is out; a meter may confirm it with the same message."""
    SETTLING = auto()
    """The line has its new speed; HDLC does not begin before its time."""
    READY = auto()


class Step(Word):
    """What happened."""

    BEGUN = auto()
    BEGUN_ASLEEP = auto()
    """The meter has to be woken first."""
    TIME_PASSED = auto()
    IDENTIFIED = auto()
    CONFIRMED = auto()


TABLE: Final[Mapping[State, Mapping[Step, State]]] = {
    State.IDLE: {Step.BEGUN: State.ASKING, Step.BEGUN_ASLEEP: State.WAKING},
    State.WAKING: {Step.TIME_PASSED: State.RESTING},
    State.RESTING: {Step.TIME_PASSED: State.ASKING},
    State.ASKING: {Step.TIME_PASSED: State.ASKING, Step.IDENTIFIED: State.REACTING},
    State.REACTING: {Step.TIME_PASSED: State.SELECTING},
    # Many meters do not confirm: they change speed and wait for HDLC.
    State.SELECTING: {Step.CONFIRMED: State.SETTLING, Step.TIME_PASSED: State.SETTLING},
    State.SETTLING: {Step.TIME_PASSED: State.READY},
    State.READY: {},
}
"""state -> step -> next state; each state is entered by what ``SignOn`` does there."""


class SignOn:
    """The reader's side. ``now_s`` is any monotonic time in seconds.

    ``line`` is how the port has to be set now; set it before sending ``data_to_send``. Wait for
    octets until ``due_s``, then call ``pass_time``. It is done when ``is_ready``. Raises NoAnswer
    (silence), DecodeError (octets, but no identification), PeerRefused (no mode E here),
    RemoteProtocolError (a speed that nobody knows).
    """

    def __init__(
        self,
        *,
        now_s: float,
        address: str = "",
        wake_up: bool = False,
        max_baud: int = 9600,
        timing: SignOnTiming | None = None,
    ) -> None:
        self._timing = timing or SignOnTiming()
        self._request = f"/?{address}!\r\n".encode("ascii")
        self._max_baud = max_baud
        self._received = b""
        self._heard = 0
        self._sample = b""
        self._tries = 0
        self._outgoing = b""
        self.state = State.IDLE
        self.line = START
        self.due_s = now_s
        """When ``pass_time`` is wanted, unless octets come before."""
        self.identification: Identification | None = None
        self._acknowledgement = Acknowledgement(_HDLC, "0", _HDLC)
        self._on_entry: Mapping[State, Callable[[float], None]] = {
            State.WAKING: self._wake,
            State.RESTING: self._rest,
            State.ASKING: self._ask,
            State.REACTING: self._react,
            State.SELECTING: self._select,
            State.SETTLING: self._settle,
        }
        self._move(Step.BEGUN_ASLEEP if wake_up else Step.BEGUN, now_s)

    @property
    def is_ready(self) -> bool:
        """Whether HDLC may begin on ``line``."""
        return self.state is State.READY

    def data_to_send(self) -> bytes:
        """Drain the characters for the line."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def pass_time(self, now_s: float) -> None:
        """The time is ``due_s`` or later."""
        if self.state is State.ASKING and self._tries >= self._timing.tries:
            raise self._no_identification()
        if self.state is State.SELECTING and self._received.startswith(_ACK):
            raise DecodeError(f"an acknowledgement without its end: {self._received.hex(' ')}")
        self._move(Step.TIME_PASSED, now_s)

    def receive_data(self, data: bytes, now_s: float) -> None:
        """Take characters, in any chunking."""
        if self.state not in (State.ASKING, State.SELECTING):
            return  # late: what matters now is the time
        self._heard += len(data)
        self._sample = (self._sample + data)[:16]
        self.due_s = max(self.due_s, now_s + self._timing.answer_s)
        self._received += data
        if self.state is State.SELECTING:
            self._check_selected(now_s)
            return
        *lines, self._received = self._received.split(b"\r\n")
        for line in lines:
            if self._is_asking and not self._is_echo(line):
                self._take_identification(line, now_s)
        self._received = self._received[-_LINE_OCTETS:]
        if self._is_asking and self._heard > _NOISE_OCTETS:
            raise self._no_identification()

    @property
    def _is_asking(self) -> bool:
        return self.state is State.ASKING

    def _is_echo(self, line: bytes) -> bool:
        return line.endswith(self._request.removesuffix(b"\r\n"))

    def _take_identification(self, line: bytes, now_s: float) -> None:
        try:
            found = Identification.decode(line)
        except DecodeError:
            return  # noise, or a damaged one: it is asked for again
        if found.baud_id not in BAUD_OF:
            if found.baud_id.isdigit():
                known = ", ".join(f"{key} ({baud} baud)" for key, baud in BAUD_OF.items())
                raise Breach(
                    f"the meter {found} proposes speed {found.baud_id!r}: known are {known}"
                )
            raise PeerRefused("sign-on", f"meter {found} speaks IEC 62056-21 mode A or B, not E")
        self.identification = found
        # Where the meter is too fast for this line it stays at 300 baud (6.3.14 item 13 c).
        baud = BAUD_OF[found.baud_id] if BAUD_OF[found.baud_id] <= self._max_baud else _START_BAUD
        self._acknowledgement = Acknowledgement(_HDLC, _ID_OF[baud], _HDLC)
        self._move(Step.IDENTIFIED, now_s)

    def _check_selected(self, now_s: float) -> None:
        """Whether the meter confirmed, or does something else than mode E."""
        wanted = self._acknowledgement.encode()
        held = self._received
        for sign, meaning in ((_STX, "a readout"), (_SOH, "programming mode"), (_NAK, "a no")):
            if held.startswith(sign):
                raise PeerRefused("sign-on", f"mode E was answered by {meaning} ({held.hex(' ')})")
        if held.startswith(wanted):
            self._move(Step.CONFIRMED, now_s)
        elif held.startswith(_ACK) and b"\r\n" in held:
            raise PeerRefused("sign-on", f"mode E was answered by another choice: {held.hex(' ')}")
        elif not wanted.startswith(held) and not held.startswith(_ACK):
            self._received = b""  # noise, as of a confirmation at the new speed

    def _no_identification(self) -> NoAnswer | DecodeError:
        if not self._heard:
            return NoAnswer(
                f"nobody answers the sign-on at {_START_BAUD} baud ({self._tries} times asked):"
                " head in place? or the meter speaks HDLC directly (sign_on=never)"
            )
        return DecodeError(
            f"{self._heard} characters came, but no identification of IEC 62056-21 (/XXXZ...);"
            f" they begin {self._sample.hex(' ')}"
        )

    # -- the table, and what is done on entering each state ------------------------------------

    def _move(self, step: Step, now_s: float) -> None:
        try:
            self.state = TABLE[self.state][step]
        except KeyError:
            raise LocalProtocolError(
                f"sign-on: {step.name} is not possible while {self.state.name}"
            ) from None
        if self.state in self._on_entry:
            self._on_entry[self.state](now_s)

    def _send(self, characters: bytes, now_s: float, then_s: float) -> None:
        """Queue characters; time passes ``then_s`` after the last of them has left."""
        self._received = b""
        self._outgoing = characters
        self.due_s = now_s + self.line.duration_s(len(characters)) + then_s

    def _wake(self, now_s: float) -> None:
        count = round(self._timing.wake_up_s / self.line.duration_s(1))
        self._send(bytes(count), now_s, 0)

    def _rest(self, now_s: float) -> None:
        self.due_s = now_s + self._timing.wake_up_rest_s

    def _ask(self, now_s: float) -> None:
        self._tries += 1
        self._send(self._request, now_s, self._timing.answer_s)

    def _react(self, now_s: float) -> None:
        self.due_s = now_s + self._timing.reaction_s

    def _select(self, now_s: float) -> None:
        self._send(self._acknowledgement.encode(), now_s, self._timing.answer_s)

    def _settle(self, now_s: float) -> None:
        self.line = Line(BAUD_OF[self._acknowledgement.baud_id], CharacterFormat.EIGHT_NONE_ONE)
        self.due_s = now_s + self._timing.settle_s
