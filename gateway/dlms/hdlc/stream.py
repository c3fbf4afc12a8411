"""Octets to frames, through noise.

The stream is cut by the length field. A start that turns out to be none (checks, closing flag,
length) is given up and the search goes on at the next flag after it, so a good frame is found
wherever it stands, also inside what a damaged start claimed for itself.
"""

from __future__ import annotations

from gateway.dlms.hdlc.frame import FLAG, Frame, read_frame
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, NeedData
from gateway.errors import DecodeError, LimitExceeded

_FLAG = b"\x7e"


class FrameStream:
    """Reader of one direction of a line.

    Call ``next_frame`` until NEED_DATA after each ``receive``: what is then held back is less
    than one frame. ``discarded_octets`` counts octets in no good frame, ``discarded_frames``
    starts of frame format type 3 that failed; flags are not counted.
    """

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.garbage_octets
        self._octets = b""
        self._position = 0
        self._silence = 0
        self._garbage = 0
        self.discarded_octets = 0
        self.discarded_frames = 0

    def receive(self, data: bytes) -> None:
        """Add octets in any chunking."""
        if self._position < len(self._octets):
            data = self._octets[self._position :] + data
        self._silence = max(0, self._silence - self._position)
        self._octets = data
        self._position = 0

    def note_silence(self) -> None:
        """The line fell silent: a frame that is incomplete now is not waited for any longer."""
        end = len(self._octets)
        # A last flag may be shared with the frame that comes after the silence.
        self._silence = end - 1 if self._octets.endswith(_FLAG) else end

    def next_frame(self) -> Frame | NeedData:
        """The next good frame; raise LimitExceeded when only garbage comes."""
        octets = self._octets
        while self._position < len(octets):
            start = self._position
            if start + 1 == len(octets) and octets[start] == FLAG and start >= self._silence:
                return NEED_DATA  # the closing flag of the frame before, most often
            if octets[start] != FLAG:
                self._discard(start)
                continue
            if octets.startswith(_FLAG, start + 1):  # two flags, or one and the next frame's own
                self._position += 1
                continue
            try:
                found = read_frame(octets, start)
            except DecodeError:
                self._give_up(start)
                continue
            if found is NEED_DATA:
                if start < self._silence:
                    self._give_up(start)
                    continue
                return NEED_DATA
            frame, self._position = found
            self._garbage = 0
            return frame
        return NEED_DATA

    def _give_up(self, start: int) -> None:
        if start + 1 < len(self._octets) and self._octets[start + 1] & 0xF0 == 0xA0:
            self.discarded_frames += 1
        self._discard(start + 1)

    def _discard(self, start: int) -> None:
        """Go to the next flag at or after ``start``; what lies before it is garbage."""
        flag = self._octets.find(_FLAG, start)
        self._position = len(self._octets) if flag < 0 else flag
        self.discarded_octets += self._position - start
        self._garbage += self._position - start
        if self._garbage > self._limit:
            raise LimitExceeded(
                f"{self._garbage} octets since the last good HDLC frame are none "
                f"(at most {self._limit} are borne)"
            )
