"""How much of anything received this side is willing to hold."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a peer may send, so that none can exhaust memory or hold up a session.

    Passing one raises LimitExceeded. The defaults let every conforming meter through.
    """

    apdu_octets: int = 65_535
    """One APDU, reassembled from link segments: PDU sizes are negotiated, and the wrapper's
    length field is written, in 16 bits (IEC 62056-5-3, IEC 62056-47)."""

    transfer_octets: int = 4 * 1024 * 1024
    """All blocks of one block transfer together: the largest profile buffer seen (35 days of
    half hours, ten columns) is far below 1 MiB."""

    transfer_blocks: int = 65_535
    """Blocks of one general block transfer: their numbers have 16 bits and never start over."""

    fruitless_blocks: int = 256
    """General blocks in a row that bring nothing new (repetitions, empty ones): four of the
    longest windows, each repeated whole."""

    block_repeats: int = 8
    """Times in a row that missing general blocks are asked for again without one coming: a wire
    that loses as many windows in a row carries nothing. Beyond it the answer is missing."""

    nesting_depth: int = 16
    """Arrays and structures inside one another: COSEM attributes need 5 or 6."""

    array_elements: int = 200_000
    """Elements of one array or structure: every minute of 100 days, and some."""

    string_octets: int = 1024 * 1024
    """One octet-string, visible-string, utf8-string or bit-string (in octets)."""

    garbage_octets: int = 16_384
    """Octets that are no frame, since the last good one: 17 s of noise at 9600 baud, or
    eight longest frames spoilt in a row."""

    fruitless_frames: int = 256
    """Good link frames in a row that bring a waiting client no further ("receive ready",
    "not ready", repetitions): some 15 s of a meter's "not yet" at 9600 baud."""

    def of_blocks(self) -> Limits:
        """The same for an APDU that came in blocks: it may be as long as their transfer."""
        return replace(self, apdu_octets=max(self.apdu_octets, self.transfer_octets))
