"""Frame sequences of windows, written out by hand, and how to play them to either station.

One row is one frame on the line: who sends it (C client, S server), the control field in hex, its
information (``q2`` the third segment of the request, ``a0`` the first one of the answer, ``+`` when
the segmentation bit is set), and what the line does to it (``lost``, ``twice``). ``T`` is the
client's time-out. Behind ``|`` stands the reason. The control field is read as
``N(R) 3 bits, P/F 1 bit, N(S) 3 bits, 0`` for I frames, ``N(R), P/F, 0001 | 0101 | 1001`` for RR,
RNR and REJ (ISO/IEC 13239, 5.5.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.dlms.link import Role
from tests.links.line import TO_CLIENT, TO_SERVER, frame

SEGMENT_OCTETS = 16
_LETTERS = {"q": b"\xe6\xe6\x00", "a": b"\xe6\xe7\x00"}


@dataclass(frozen=True, slots=True)
class Row:
    """One frame, or the client's time-out (``sender`` None)."""

    sender: Role | None
    octets: bytes
    copies: int
    """How many of it arrive."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One exchange in full; ``player`` None means that both stations can be put to it."""

    name: str
    window: int
    request: int
    """Segments."""
    answer: int
    text: str
    player: Role | None = None

    def rows(self) -> Iterator[Row]:
        """The rows in order."""
        for line in self.text.strip().splitlines():
            words = line.partition("|")[0].split()
            if words == ["T"]:
                yield Row(None, b"", 0)
                continue
            side, control, *rest = words
            copies = {"lost": 0, "twice": 2}.get(rest[-1] if rest else "", 1)
            information = rest[0] if rest and rest[0][0] in "qa" else ""
            octets = frame(
                TO_SERVER if side == "C" else TO_CLIENT,
                int(control, 16),
                self._segment(information.rstrip("+")) if information else b"",
                segmented=information.endswith("+"),
            )
            yield Row({"C": Role.CLIENT, "S": Role.SERVER}[side], octets, copies)

    def apdu(self, letter: str) -> bytes:
        """The request ``q`` or the answer ``a`` whole."""
        count = self.request if letter == "q" else self.answer
        return bytes(n % 200 for n in range(SEGMENT_OCTETS * count - 5 - 3))

    def _segment(self, name: str) -> bytes:
        whole = _LETTERS[name[0]] + self.apdu(name[0])
        at = SEGMENT_OCTETS * int(name[1:])
        return whole[at : at + SEGMENT_OCTETS]


SEQUENCES = [
    Sequence(
        "a late acknowledgement of a lone frame sends nothing twice",
        1,
        2,
        1,
        """
        C 10 q0+
        S 31
        C 12 q1
        T
        C 12 q1
        S 31     | N(R) 1 again: had q1 been lost both times, nothing would have come
        S 50 a0
        """,
        Role.CLIENT,
    ),
    Sequence(
        "a lone frame that is rejected goes again",
        1,
        1,
        1,
        """
        C 10 q0
        S 19     | REJ, N(R) 0: asked for by name, so it is no late copy
        C 10 q0
        S 30 a0
        """,
        Role.CLIENT,
    ),
    Sequence(
        "two segments of a request are acknowledged at once",
        2,
        3,
        1,
        """
        C 00 q0+ | N(S) 0; another frame of the window follows, so no poll
        C 12 q1+ | N(S) 1; the window is full, so it polls
        S 51     | N(R) 2: both arrived
        C 14 q2  | N(S) 2, the last segment
        S 70 a0  | the answer acknowledges the rest: N(R) 3
        """,
    ),
    Sequence(
        "an answer comes two by two",
        2,
        1,
        5,
        """
        C 10 q0
        S 20 a0+ | N(S) 0, N(R) 1, not final: the client keeps silent
        S 32 a1+ | N(S) 1, final
        C 51     | N(R) 2 asks for the rest
        S 24 a2+
        S 36 a3+
        C 91
        S 38 a4  | alone in its window, so final
        """,
    ),
    Sequence(
        "what follows a lost segment of an answer is not taken",
        2,
        1,
        3,
        """
        C 10 q0
        S 20 a0+ lost
        S 32 a1+ | N(S) 1 where 0 is due: not taken, but the turn is passed
        C 11     | N(R) 0: go back
        S 20 a0+
        S 32 a1+
        C 51
        S 34 a2
        """,
    ),
    Sequence(
        "a lost final frame is missed after a time-out",
        2,
        1,
        3,
        """
        C 10 q0
        S 20 a0+
        S 32 a1+ lost
        T        | nobody has the turn
        C 31     | N(R) 1: what came need not come again
        S 22 a1+ | the window counts from N(R), so this one is not the last
        S 34 a2
        """,
    ),
    Sequence(
        "what follows a lost segment of a request is not taken",
        2,
        3,
        1,
        """
        C 00 q0+ lost
        C 12 q1+
        S 11     | N(R) 0: go back
        C 00 q0+
        C 12 q1+
        S 51
        C 14 q2
        S 70 a0
        """,
    ),
    Sequence(
        "a lost poll is sent again alone",
        2,
        3,
        1,
        """
        C 00 q0+
        C 12 q1+ lost
        T
        C 12 q1+ | the frame that passes the turn; the server tells what else is missing
        S 51
        C 14 q2
        S 70 a0
        """,
    ),
    Sequence(
        "a lost acknowledgement costs no segment twice",
        2,
        3,
        1,
        """
        C 00 q0+
        C 12 q1+
        S 51 lost
        T
        C 12 q1+ | N(S) 1 once more: known, so not taken, but answered
        S 51
        C 14 q2
        S 70 a0
        """,
    ),
    Sequence(
        "a whole lost answer comes again, its request counts once",
        2,
        1,
        3,
        """
        C 10 q0
        S 20 a0+ lost
        S 32 a1+ lost
        T
        C 10 q0
        S 20 a0+
        S 32 a1+
        C 51
        S 34 a2
        """,
    ),
    Sequence(
        "copies made by the line are answered by the server and passed over by the client",
        2,
        3,
        3,
        """
        C 00 q0+ twice
        C 12 q1+ twice
        S 51
        S 51     | for the second poll
        C 14 q2 twice | the first RR; the second acknowledges nothing new and is late
        S 60 a0+
        S 72 a1+
        S 60 a0+ | for the second poll
        S 72 a1+ | N(S) 1 is known by now: final, but it gets no second RR
        C 51
        S 74 a2
        """,
    ),
    Sequence(
        "a busy meter is asked until it is ready, then sent what it did not take",
        2,
        3,
        1,
        """
        C 00 q0+
        C 12 q1+
        S 35     | RNR, N(R) 1: took the first, no room for the second
        C 11     | ready yet?
        S 35
        C 11
        S 31     | RR, N(R) 1
        C 02 q1+ | the window counts from N(R): q2 fits in as well
        C 14 q2
        S 70 a0
        """,
        Role.CLIENT,
    ),
    Sequence(
        "a busy meter may have dropped a lone frame",
        2,
        1,
        1,
        """
        C 10 q0
        S 15     | RNR, N(R) 0
        C 11
        S 11     | RR, N(R) 0: without the RNR this would be a late copy
        C 10 q0
        S 30 a0
        """,
        Role.CLIENT,
    ),
    Sequence(
        "a meter that rejects is obeyed",
        2,
        3,
        1,
        """
        C 00 q0+
        C 12 q1+
        S 39     | REJ, N(R) 1
        C 02 q1+
        C 14 q2
        S 70 a0
        """,
        Role.CLIENT,
    ),
    Sequence(
        "an acknowledgement that is not final leaves the turn with the meter",
        2,
        3,
        1,
        """
        C 00 q0+
        C 12 q1+
        S 21     | RR, N(R) 1, not final
        S 51     | RR, N(R) 2, final
        C 14 q2
        S 70 a0
        """,
        Role.CLIENT,
    ),
    Sequence(
        "a meter may use less than its window",
        2,
        1,
        3,
        """
        C 10 q0
        S 30 a0+ | final, though one more would be allowed
        C 31
        S 22 a1+
        S 34 a2
        """,
        Role.CLIENT,
    ),
    Sequence(
        "a client that rejects is obeyed",
        2,
        1,
        3,
        """
        C 10 q0
        S 20 a0+
        S 32 a1+
        C 39     | REJ, N(R) 1
        S 22 a1+
        S 34 a2
        """,
        Role.SERVER,
    ),
    Sequence(
        "a busy client is told of life and sent nothing until it is ready",
        2,
        1,
        3,
        """
        C 10 q0
        S 20 a0+
        S 32 a1+
        C 35     | RNR, N(R) 1
        S 31
        C 31     | RR, N(R) 1
        S 22 a1+
        S 34 a2
        """,
        Role.SERVER,
    ),
    Sequence(
        "frames without poll bit are not answered",
        2,
        2,
        1,
        """
        C 00 q0+ twice
        C 04 q1  | N(S) 2 where 1 is due: not taken, not answered
        C 01     | RR without poll
        C 05     | RNR without poll
        C 12 q1
        S 50 a0
        """,
        Role.SERVER,
    ),
    Sequence(
        "seven segments are acknowledged at once, and numbers count modulo 8",
        7,
        9,
        1,
        """
        C 00 q0+
        C 02 q1+
        C 04 q2+
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6+ | N(S) 6, the seventh: poll
        S f1     | N(R) 7
        C 0e q7+ | N(S) 7
        C 10 q8  | N(S) 0, the ninth
        S 30 a0  | N(R) 1
        """,
    ),
    Sequence(
        "an answer comes seven by seven",
        7,
        1,
        16,
        """
        C 10 q0
        S 20 a0+
        S 22 a1+
        S 24 a2+
        S 26 a3+
        S 28 a4+
        S 2a a5+
        S 3c a6+ | final
        C f1     | N(R) 7
        S 2e a7+ | N(S) 7
        S 20 a8+ | N(S) 0 a second time, eight frames after the first
        S 22 a9+
        S 24 a10+
        S 26 a11+
        S 28 a12+
        S 3a a13+
        C d1     | N(R) 6
        S 2c a14+
        S 3e a15
        """,
    ),
    Sequence(
        "from a lost segment of an answer on all come again, and the window moves on",
        7,
        1,
        9,
        """
        C 10 q0
        S 20 a0+
        S 22 a1+
        S 24 a2+
        S 26 a3+ lost
        S 28 a4+
        S 2a a5+
        S 3c a6+
        C 71     | N(R) 3: three of seven are acknowledged
        S 26 a3+
        S 28 a4+
        S 2a a5+
        S 2c a6+ | final before, in the middle of the window now
        S 2e a7+
        S 30 a8
        """,
    ),
    Sequence(
        "a second loss of an answer is told at once, the same one after a time-out",
        7,
        1,
        9,
        """
        C 10 q0
        S 20 a0+
        S 22 a1+
        S 24 a2+ lost
        S 26 a3+
        S 28 a4+
        S 2a a5+
        S 3c a6+ twice
        C 51     | N(R) 2, once: a second RR would have all come twice
        S 24 a2+
        S 26 a3+ lost
        S 28 a4+
        S 2a a5+
        S 2c a6+
        S 2e a7+
        S 30 a8
        C 71     | N(R) 3
        S 26 a3+ lost
        S 28 a4+
        S 2a a5+
        S 2c a6+
        S 2e a7+
        S 30 a8
        T        | N(R) 3 was told, and this may have been a copy of the answer before
        C 71
        S 26 a3+ lost
        S 28 a4+
        S 2a a5+
        S 2c a6+
        S 2e a7+
        S 30 a8
        C 71     | after a time-out it is told at once again
        S 26 a3+
        S 28 a4+
        S 2a a5+
        S 2c a6+
        S 2e a7+
        S 30 a8
        """,
    ),
    Sequence(
        "a second loss of a request is mended at once",
        7,
        7,
        1,
        """
        C 00 q0+
        C 02 q1+ lost
        C 04 q2+
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6
        S 31     | N(R) 1
        C 02 q1+
        C 04 q2+
        C 06 q3+ lost
        C 08 q4+
        C 0a q5+
        C 1c q6
        S 71     | N(R) 3: a step forward since
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6
        S f0 a0
        """,
    ),
    Sequence(
        "from a lost segment of a request on all go again, and the window moves on",
        7,
        9,
        1,
        """
        C 00 q0+
        C 02 q1+
        C 04 q2+
        C 06 q3+ lost
        C 08 q4+
        C 0a q5+
        C 1c q6+
        S 71     | N(R) 3
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 0c q6+
        C 0e q7+
        C 10 q8  | N(S) 0, the last segment
        S 30 a0
        """,
    ),
    Sequence(
        "the lost tail of a window is asked for after a time-out",
        7,
        1,
        9,
        """
        C 10 q0
        S 20 a0+
        S 22 a1+
        S 24 a2+
        S 26 a3+
        S 28 a4+
        S 2a a5+ lost
        S 3c a6+ lost
        T
        C b1     | N(R) 5
        S 2a a5+
        S 2c a6+
        S 2e a7+
        S 30 a8
        """,
    ),
    Sequence(
        "the same loss twice waits for the time-out, so that late copies cannot multiply",
        7,
        7,
        1,
        """
        C 00 q0+ lost
        C 02 q1+
        C 04 q2+
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6
        S 11     | N(R) 0: go back
        C 00 q0+ lost
        C 02 q1+
        C 04 q2+
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6
        S 11     | lost again, or a copy of the first RR: who knows
        T        | lost again
        C 1c q6
        S 11
        C 00 q0+
        C 02 q1+
        C 04 q2+
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6
        S f0 a0
        """,
    ),
    Sequence(
        "a poll that came twice sends the next window twice and no more",
        7,
        9,
        1,
        """
        C 00 q0+
        C 02 q1+
        C 04 q2+
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6+ twice
        S f1
        S f1     | acknowledges nothing of q7 and q8: lost, or late
        C 0e q7+
        C 10 q8
        C 0e q7+
        C 10 q8
        S 30 a0  | the request was delivered once
        S 30 a0  | for the second poll; its N(S) is known to the client
        """,
    ),
    Sequence(
        "a meter that took four of seven is sent the other three",
        7,
        8,
        1,
        """
        C 00 q0+
        C 02 q1+
        C 04 q2+
        C 06 q3+
        C 08 q4+
        C 0a q5+
        C 1c q6+
        S 95     | RNR, N(R) 4
        C 11
        S 91     | RR, N(R) 4
        C 08 q4+
        C 0a q5+
        C 0c q6+
        C 1e q7
        S 10 a0  | N(R) 0: eight were counted
        """,
        Role.CLIENT,
    ),
    Sequence(
        "answers to a request that was repeated too early are taken once",
        7,
        1,
        2,
        """
        C 10 q0
        T        | the answer was only slow
        C 10 q0
        S 20 a0+
        S 32 a1
        S 20 a0+
        S 32 a1
        """,
    ),
]
