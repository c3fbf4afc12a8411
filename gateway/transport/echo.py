"""The echo of an optical head: a reader that hears itself, found out and taken away. Sans-io."""

from __future__ import annotations


class EchoFilter:
    """Passes on what was received without what was sent, where the head gives that back.

    Whether it does is learned from the first answer: no answer of a meter begins with the whole
    of what it was asked (requests start "/?", frames carry their addresses the other way round).
    Octets that may still turn out to be an echo are held until that is known.
    """

    def __init__(self) -> None:
        self.echoes: bool | None = None
        """Whether the head echoes; None until something came back."""
        self._expected = b""
        self._matched = 0

    def sent(self, data: bytes) -> None:
        """Octets left; an echo of theirs comes before any answer."""
        if self.echoes is False:
            return
        # Until it is known whether it echoes, what was not given back never will be.
        under_way = self._expected[self._matched :] if self.echoes else b""
        self._expected, self._matched = under_way + data, 0

    def received(self, data: bytes) -> bytes:
        """What of ``data`` is no echo, with what was held back before it."""
        if self.echoes is False or not self._expected:
            return data
        awaited = self._expected[self._matched : self._matched + len(data)]
        if not data.startswith(awaited):
            held = self._expected[: self._matched]
            self._expected = b""
            if self.echoes is None:
                self.echoes = False
            return held + data
        self._matched += len(awaited)
        if self._matched == len(self._expected):
            self._expected, self.echoes = b"", True
        return data[len(awaited) :]
