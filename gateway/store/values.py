"""Values as JSON that people and SQL can read; the raw octets beside them stay the truth.

Numbers are in the base unit after the scaler: whole ones are JSON integers, others strings with
the digits the meter sent, never floats. Octets are ``0x...``, times ISO 8601 as the meter meant.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from gateway.model import Instant, Value

StoredValue = int | str | bool | None

_SQLITE_INTEGERS: Final = range(-(2**63), 2**63)


def values_to_json(values: Sequence[Value]) -> str:
    """JSON array, one element for each value."""
    return json.dumps(
        [_stored(value) for value in values], ensure_ascii=False, separators=(",", ":")
    )


def values_from_json(text: str) -> tuple[StoredValue, ...]:
    """The elements as stored: Decimals that were not whole come back as their digits."""
    return tuple(json.loads(text))


def _stored(value: Value) -> StoredValue:
    match value:
        case Decimal():
            return _number(value)
        case bytes():
            return f"0x{value.hex()}"
        case Instant():
            return value.local
        case _:
            return value


def _number(value: Decimal) -> int | str:
    if not value.is_finite():
        return str(value)
    text = f"{value:f}"
    # SQLite reads a larger JSON integer as a binary float
    return int(text) if "." not in text and int(text) in _SQLITE_INTEGERS else text
