"""Values that every room of the house shares: frozen, slotted, exact.

Numbers are ``decimal.Decimal`` built from the integer mantissa and the decimal scaler that
the meter sent, so they keep its digits; nothing here is a binary float.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType, NoReturn

from gateway.errors import UsageError

MeterId = NewType("MeterId", str)
"""Meter serial number as the nameplate states it (0-0:96.1.0*255)."""

ConnectionNo = NewType("ConnectionNo", str)
"""The utility's connection (account) number of a consumer."""

_OBIS = re.compile(r"(\d+)[.-](\d+)[.:](\d+)[.](\d+)[.](\d+)[.*](\d+)", re.ASCII)


class Secret:
    """Octets that never show: not in repr, str, format, pickles or exceptions.

    ``reveal()`` is the one way to the octets, so that a search for it finds every user.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def reveal(self) -> bytes:
        """The octets themselves; never keep or print the result."""
        return self._octets

    def __len__(self) -> int:
        return len(self._octets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        raise TypeError("a secret is not a key of anything")

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is never pickled")


@dataclass(frozen=True, slots=True, order=True)
class Obis:
    """COSEM logical name: six value groups A-F (IEC 62056-6-1)."""

    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != 6:
            raise UsageError(f"an OBIS code has 6 octets, not {len(self.octets)}")

    @classmethod
    def parse(cls, text: str) -> Obis:
        """Read ``1-0:1.8.0*255`` or ``1.0.1.8.0.255``; raise UsageError otherwise."""
        found = _OBIS.fullmatch(text.strip())
        groups = [int(group) for group in found.groups()] if found else []
        if not groups or any(group > 255 for group in groups):
            raise UsageError(f"not an OBIS code: {text!r} (write 1-0:1.8.0*255)")
        return cls(bytes(groups))

    def __str__(self) -> str:
        a, b, c, d, e, f = self.octets
        return f"{a}-{b}:{c}.{d}.{e}*{f}"

    @property
    def dotted(self) -> str:
        """The six groups joined by dots, as vendors and capture files write them."""
        return ".".join(map(str, self.octets))


class ProfileKind(StrEnum):
    """The sets of data a meter is read for (IS 15959-2 profile names)."""

    NAMEPLATE = "nameplate"
    INSTANTANEOUS = "instantaneous"
    BLOCK_LOAD = "block_load"
    DAILY_LOAD = "daily_load"
    BILLING = "billing"
    EVENTS = "events"

    @property
    def is_register_row(self) -> bool:
        """Whether rows are cumulative registers that money is computed from."""
        return self in (ProfileKind.DAILY_LOAD, ProfileKind.BILLING)


def buffer_label(kind: ProfileKind, log: str = "") -> str:
    """What a meter's buffer is called: ``block_load``, or ``events/voltage``."""
    return f"{kind}/{log}" if log else str(kind)


class TimeQuality(StrEnum):
    """How far the capture time of a row can be trusted."""

    OK = "ok"
    DERIVED = "derived"
    """Null clock in a profile row, counted up with the capture period."""
    UNVERIFIED = "unverified"
    """The meter does not let its clock be read, so nothing is known of it."""
    DRIFTED = "drifted"
    """The meter's clock was further from the host's than the site allows."""
    UNSYNCHRONISED = "unsynchronised"
    """The host's own clock was not synchronised when the row was received."""
    INVALID = "invalid"
    """Clock status says invalid, or a date that cannot be (1970, not specified)."""


DATA_TYPE_NAMES = {
    0: "null-data",
    1: "array",
    2: "structure",
    3: "boolean",
    4: "bit-string",
    5: "double-long",
    6: "double-long-unsigned",
    9: "octet-string",
    10: "visible-string",
    12: "utf8-string",
    13: "bcd",
    15: "integer",
    16: "long",
    17: "unsigned",
    18: "long-unsigned",
    19: "compact-array",
    20: "long64",
    21: "long64-unsigned",
    22: "enum",
    23: "float32",
    24: "float64",
    25: "date-time",
    26: "date",
    27: "time",
    28: "delta-integer",
    29: "delta-long",
    30: "delta-double-long",
    31: "delta-unsigned",
    32: "delta-long-unsigned",
    33: "delta-double-long-unsigned",
    255: "dont-care",
}

NO_UNIT: Final = 255

UNIT_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "a",
        2: "mo",
        3: "wk",
        4: "d",
        5: "h",
        6: "min",
        7: "s",
        8: "°",
        9: "°C",
        10: "currency",
        11: "m",
        12: "m/s",
        13: "m³",
        14: "m³ corrected",
        15: "m³/h",
        16: "m³/h corrected",
        17: "m³/d",
        18: "m³/d corrected",
        19: "l",
        20: "kg",
        21: "N",
        22: "Nm",
        23: "Pa",
        24: "bar",
        25: "J",
        26: "J/h",
        27: "W",
        28: "VA",
        29: "var",
        30: "Wh",
        31: "VAh",
        32: "varh",
        33: "A",
        34: "C",
        35: "V",
        36: "V/m",
        37: "F",
        38: "Ω",
        39: "Ωm²/m",
        40: "Wb",
        41: "T",
        42: "A/m",
        43: "H",
        44: "Hz",
        45: "1/Wh",
        46: "1/varh",
        47: "1/VAh",
        48: "V²h",
        49: "A²h",
        50: "kg/s",
        51: "S",
        52: "K",
        53: "1/V²h",
        54: "1/A²h",
        55: "1/m³",
        56: "%",
        57: "Ah",
        60: "Wh/m³",
        61: "J/m³",
        62: "mol%",
        63: "g/m³",
        64: "Pa s",
        65: "J/kg",
        66: "g/cm²",
        67: "atm",
        70: "dBm",
        71: "dBµV",
        72: "dB",
        253: "reserved",
        254: "other",
        NO_UNIT: "",
    }
)
"""Unit code -> its symbol; "" for a count."""


def unit_name(code: int | None) -> str:
    """The symbol of a unit code; "" where there is none, ``unit 77`` for a code unknown here."""
    if code is None:
        return ""
    return UNIT_NAMES.get(code, f"unit {code}")


@dataclass(frozen=True, slots=True, order=True)
class CaptureObject:
    """One entry of ``capture_objects`` (class 7 attribute 3)."""

    class_id: int
    obis: Obis
    attribute: int
    data_index: int = 0

    def __str__(self) -> str:
        return f"{self.class_id}/{self.obis}/{self.attribute}"


@dataclass(frozen=True, slots=True)
class Column:
    """A capture object with what is needed to read its values.

    ``scaler`` is the decimal exponent and ``unit`` the COSEM unit code (Blue Book class 3,
    scaler_unit); both None where the object has none (clock, Data, strings). ``type_name`` is
    the DLMS type the meter sent last, "" before a row was seen.
    """

    source: CaptureObject
    scaler: int | None = None
    unit: int | None = None
    type_name: str = ""


@dataclass(frozen=True, slots=True)
class CaptureList:
    """The columns of a profile buffer in force, with scalers: the key to its raw rows."""

    columns: tuple[Column, ...]

    @property
    def digest(self) -> bytes:
        """16 octets that change when any column, scaler or unit changes (not the type)."""
        text = ";".join(
            f"{c.source.class_id},{c.source.obis},{c.source.attribute},{c.source.data_index},"
            f"{c.scaler},{c.unit}"
            for c in self.columns
        )
        return hashlib.sha256(text.encode()).digest()[:16]


@dataclass(frozen=True, slots=True)
class Instant:
    """A COSEM date-time resolved with the profile's zone and deviation sign.

    ``utc_s`` is None when the date is not specified or impossible. ``local`` is ISO 8601 as the
    meter meant it, with the offset where one is known.
    """

    utc_s: int | None
    local: str
    quality: TimeQuality = TimeQuality.OK


Value = Decimal | str | bytes | bool | Instant | None
"""A decoded, scaled value. Numbers are Decimal with the digits the meter sent."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a profile buffer, or one snapshot of a set of objects.

    ``captured_at_s`` is UTC epoch seconds of the capture time; ``raw`` the A-XDR octets of the
    row exactly as received (a snapshot: the structure that stands for it).
    """

    captured_at_s: int
    values: tuple[Value, ...]
    raw: bytes
    time_quality: TimeQuality = TimeQuality.OK


def row_digest(capture_list: bytes, raw: bytes) -> bytes:
    """Identity of a row's content: 16 octets over its capture list's digest and raw octets."""
    return hashlib.sha256(b"row\0" + capture_list + raw).digest()[:16]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where octets came from: what a posting or a page shows beside a figure.

    Proves traceability, not origin: DLMS keys are symmetric, so whoever holds them could have
    made the octets.
    """

    received_at_us: int
    server_system_title: bytes | None = None
    invocation_counter: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one meter and one buffer that were read under one capture list.

    ``log`` says which event log; "" for everything but events.
    """

    meter: MeterId
    profile: ProfileKind
    capture_list: CaptureList
    rows: tuple[Row, ...]
    evidence: Evidence
    log: str = ""

    @property
    def label(self) -> str:
        """The buffer: ``block_load``, or ``events/voltage``."""
        return buffer_label(self.profile, self.log)


@dataclass(frozen=True, slots=True)
class Installation:
    """A meter at a connection from one instant to another (UTC seconds, end None = open)."""

    connection: ConnectionNo
    meter: MeterId
    valid_from_s: int
    valid_to_s: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What the backend says of a connection; signed where it crosses a network."""

    connection: ConnectionNo
    name: str
    sanctioned_load_w: int
    phases: int
    category: str
    installations: tuple[Installation, ...]
