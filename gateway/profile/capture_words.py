"""The proof that travels with a profile: octets, and exactly what they mean under it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from gateway.errors import UsageError
from gateway.profile.event_words import Name
from gateway.profile.strict_toml import table, text_as


class Provenance(StrEnum):
    """Where a capture's octets come from."""

    CAPTURED = "captured"
    SYNTHETIC = "synthetic"


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UsageError("octets are written in hexadecimal, e.g. 12 59D7") from None


@table
class CapturedValue:
    """One value that a capture's octets decode to.

    ``of`` names a column or object of the profile. ``expect`` is the exact text of the value:
    digits as the scaler leaves them, ISO 8601 with offset for a time ("" where not specified),
    "true"/"false", hexadecimal for octets.
    """

    of: Name
    scaler: Annotated[int, Field(ge=-128, le=127)] | None = None
    unit: str = ""
    expect: str


@table
class Capture:
    """Octets, and exactly what they mean under this profile: the proof that travels with it.

    ``profile`` names the buffer that a row belongs to, "" for the value of a single object. One
    value: ``octets`` are its A-XDR data; more: a structure of them.
    """

    what: Name
    profile: str = ""
    provenance: Provenance
    source: Name
    octets: Annotated[bytes, text_as(_octets)]
    values: Annotated[tuple[CapturedValue, ...], Field(min_length=1)]
