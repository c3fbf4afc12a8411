"""Which rows share a message: bounded by their number, and by the octets of its body."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.model import Batch, Row
from gateway.uplink.wire import MessageTooLarge

NewRow = tuple[Row, bytes]
"""A row and its digest."""


class Packed(NamedTuple):
    """Rows of one message and its body; ``too_large`` says why it can never be sent, or ""."""

    rows: Sequence[NewRow]
    body: bytes
    too_large: str = ""


def packed(
    batch: Batch, rows: Sequence[NewRow], most: int, encode: Callable[[Batch], bytes]
) -> Iterator[Packed]:
    """``rows`` of ``batch`` in their order, at most ``most`` in a message.

    What ``encode`` finds too large (MessageTooLarge) is halved until it fits; a row that does not
    fit alone comes without a body. Raises whatever else ``encode`` raises.
    """
    waiting = [rows[start : start + most] for start in range(0, len(rows), most)]
    waiting.reverse()
    while waiting:
        some = waiting.pop()
        try:
            body = encode(replace(batch, rows=tuple(row for row, _ in some)))
        except MessageTooLarge as error:
            if len(some) == 1:
                yield Packed(some, b"", str(error))
            else:
                half = len(some) // 2
                waiting += [some[half:], some[:half]]
        else:
            yield Packed(some, body)
