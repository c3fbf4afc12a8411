"""Strict JSON on the wire: every message is encoded and decoded here.

Unknown fields are tolerated (fields may be added within a major version), missing ones and
wrong types are refused, and a number with a fraction or exponent never becomes an integer.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from gateway.errors import DecodeError, LimitExceeded, UsageError

T = TypeVar("T")

MAX_MESSAGE_OCTETS = 512 * 1024
"""Below the 1 MiB that brokers allow by default, above 96 rows of 116 columns with raw octets."""

MAX_BODY_OCTETS = MAX_MESSAGE_OCTETS - 256
"""A body waits without its header; the longest header still fits in front of the longest body."""


class MessageTooLarge(UsageError):
    """What is to be said does not fit into one message: say it in several."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object; subclasses name its fields."""


def encode(shape: Shape, limit: int = MAX_MESSAGE_OCTETS) -> bytes:
    """JSON octets; UsageError when text cannot be UTF-8, MessageTooLarge over the limit."""
    try:
        octets = msgspec.json.encode(shape)
    except UnicodeEncodeError as wrong:
        raise UsageError(f"message text cannot be UTF-8: {wrong.reason}") from wrong
    if len(octets) > limit:
        raise MessageTooLarge(f"message of {len(octets)} octets; at most {limit}")
    return octets


def decode(octets: bytes, shape: type[T], what: str) -> T:
    """Read one JSON object of ``shape``; DecodeError or LimitExceeded otherwise."""
    if len(octets) > MAX_MESSAGE_OCTETS:
        raise LimitExceeded(f"{what} of {len(octets)} octets; at most {MAX_MESSAGE_OCTETS}")
    try:
        return msgspec.json.decode(octets, type=shape)
    except msgspec.DecodeError as wrong:
        raise DecodeError(f"{what}: {str(wrong)[:300]}") from wrong
    except UnicodeDecodeError as wrong:
        raise DecodeError(f"{what}: not UTF-8 ({wrong.reason})") from wrong
    except RecursionError as wrong:
        raise LimitExceeded(f"{what}: nested too deeply") from wrong
