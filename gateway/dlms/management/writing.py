"""Attributes that are written: present value first, then the write, then read back exactly.

A value is encoded in the type that the meter itself gave when it was read, because makes differ in
it; a profile may state the type where a meter takes another one than it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.association.requests import Answer, Get, Set
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.cosem_time import CosemDateTime
from gateway.dlms.management.steps import (
    SENDINGS,
    History,
    Mark,
    Outcome,
    Result,
    StepKind,
    Steps,
    last_mark,
    refused,
    sendings,
)
from gateway.dlms.reading import Procedure
from gateway.errors import DecodeError, PeerRefused, UsageError
from gateway.model import DATA_TYPE_NAMES, CaptureObject


@dataclass(frozen=True, slots=True)
class Bits:
    """A bit-string by the places that are set; bit 0 is the leftmost."""

    length: int
    on: frozenset[int]

    def __post_init__(self) -> None:
        beyond = sorted(bit for bit in self.on if not 0 <= bit < self.length)
        if beyond:
            raise UsageError(f"bits {beyond} do not stand in a bit-string of {self.length}")

    @property
    def text(self) -> str:
        """As ``Data`` holds it."""
        return "".join("1" if bit in self.on else "0" for bit in range(self.length))


Wanted = Decimal | str | Bits | CosemDateTime | Data
"""A number in the unit stated, a text, bits, a time, or a structure whose type is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One attribute as it shall be.

    ``scaler``: number = raw x 10^scaler. ``tag`` is the type to write in; None is the type read.
    ``expected`` is what must stand there before (compare and set). ``effective`` is another
    attribute that takes the value over, read back as well. ``only_raised`` refuses a number below
    the present one.
    """

    name: str
    target: CaptureObject
    wanted: Wanted
    scaler: int = 0
    tag: int | None = None
    expected: Wanted | None = None
    effective: CaptureObject | None = None
    only_raised: bool = False


_INTEGERS: Final = {
    Tag.INTEGER: (-0x80, 0x7F),
    Tag.LONG: (-0x8000, 0x7FFF),
    Tag.DOUBLE_LONG: (-0x8000_0000, 0x7FFF_FFFF),
    Tag.LONG64: (-(1 << 63), (1 << 63) - 1),
    Tag.UNSIGNED: (0, 0xFF),
    Tag.ENUM: (0, 0xFF),
    Tag.LONG_UNSIGNED: (0, 0xFFFF),
    Tag.DOUBLE_LONG_UNSIGNED: (0, 0xFFFF_FFFF),
    Tag.LONG64_UNSIGNED: (0, (1 << 64) - 1),
}
_TEXTS: Final = {
    Tag.VISIBLE_STRING: "latin-1",
    Tag.OCTET_STRING: "latin-1",
    Tag.UTF8_STRING: "utf-8",
}


def encode_as(wanted: Wanted, tag: int, scaler: int = 0) -> Data:
    """The value in a type; raise UsageError where the type cannot hold exactly it."""
    match wanted:
        case Data():
            return wanted
        case Decimal():
            return _number(wanted.scaleb(-scaler), tag)
        case Bits() if tag == Tag.BIT_STRING:
            return Data(tag, wanted.text)
        case CosemDateTime() if tag in (Tag.OCTET_STRING, Tag.DATE_TIME):
            return Data(tag, wanted.to_octets())
        case str() if tag in _TEXTS:
            try:
                octets = wanted.encode(_TEXTS[Tag(tag)])
            except UnicodeEncodeError:
                raise UsageError(f"{wanted!r} has characters that the meter cannot show") from None
            return Data(tag, octets if tag == Tag.OCTET_STRING else wanted)
    raise UsageError(f"a {_type_name(tag)} cannot hold {wanted!r}")


def _number(raw: Decimal, tag: int) -> Data:
    if tag in (Tag.FLOAT32, Tag.FLOAT64):
        return Data(tag, axdr.decimal_to_float(raw, 4 if tag == Tag.FLOAT32 else 8))
    if tag not in _INTEGERS:
        raise UsageError(f"a {_type_name(tag)} cannot hold a number")
    low, high = _INTEGERS[Tag(tag)]
    if raw != int(raw) or not low <= raw <= high:
        raise UsageError(f"{raw} is no whole number of a {_type_name(tag)} ({low}..{high})")
    return Data(tag, int(raw))


def _type_name(tag: int) -> str:
    return DATA_TYPE_NAMES.get(tag, f"type {tag}")


def is_so(present: Data, wanted: Wanted, scaler: int = 0) -> bool:
    """Whether a value that was read is exactly the wanted one, in whatever type."""
    if isinstance(wanted, Decimal):
        number = _read_number(present)
        return number is not None and number.scaleb(scaler) == wanted
    try:
        return encode_as(wanted, present.tag, scaler) == present
    except UsageError:
        return False


def _rises(present: Data, write: Write) -> bool:
    number = _read_number(present)
    if number is None or not isinstance(write.wanted, Decimal):
        return False
    return number.scaleb(write.scaler) <= write.wanted


def _read_number(data: Data) -> Decimal | None:
    if data.tag in (Tag.FLOAT32, Tag.FLOAT64) and isinstance(data.value, bytes):
        try:
            return axdr.float_to_decimal(data.value)
        except DecodeError:
            return None
    return Decimal(data.value) if data.tag in _INTEGERS and isinstance(data.value, int) else None


def write_all(writes: Sequence[Write], history: History = ()) -> Steps[Result]:
    """Make each attribute so, in order; the first that does not become so ends the job."""
    changed = False
    for write in writes:
        result = yield from _write(write, history)
        if result.outcome not in (Outcome.DONE, Outcome.ALREADY_SO):
            return result
        changed |= result.outcome is Outcome.DONE
    return Result(Outcome.DONE if changed else Outcome.ALREADY_SO)


def _write(write: Write, history: History) -> Steps[Result]:
    try:
        present = yield from _read(write.target)
    except PeerRefused as refusal:
        return refused(write.name, refusal)
    value = axdr.decode(present)
    sent = sendings(history, write.name)
    before = last_mark(history, StepKind.PRESENT, write.name)
    if is_so(value, write.wanted, write.scaler):
        kind = StepKind.AFTER if sent else StepKind.PRESENT
        yield Mark(kind, write.name, "found so", present)
        return Result(Outcome.DONE if sent else Outcome.ALREADY_SO)
    if sent and before is not None and present != before.octets:
        yield Mark(StepKind.AFTER, write.name, "neither as before nor as sent", present)
        return Result(Outcome.DIFFERS, f"{write.name}: is neither what was sent nor as before")
    if sent:
        yield Mark(StepKind.AFTER, write.name, "not taken", present)
        if len(sent) >= SENDINGS:
            return Result(Outcome.REFUSED, f"{write.name}: sent {len(sent)} times, never taken")
    if write.expected is not None and not is_so(value, write.expected, write.scaler):
        yield Mark(StepKind.PRESENT, write.name, "not as expected", present)
        return Result(Outcome.REFUSED, f"{write.name}: does not stand as the job expects it")
    if write.only_raised and not _rises(value, write):
        yield Mark(StepKind.PRESENT, write.name, "would be lowered", present)
        return Result(Outcome.REFUSED, f"{write.name}: is not lowered by a job")
    try:
        tag = write.tag if write.tag is not None else value.tag
        octets = axdr.encode(encode_as(write.wanted, tag, write.scaler))
    except UsageError as error:
        return Result(Outcome.REFUSED, f"{write.name}: {error}")
    yield Mark(StepKind.PRESENT, write.name, octets=present)
    return (yield from _send(write, octets))


def _send(write: Write, octets: bytes) -> Steps[Result]:
    yield Mark(StepKind.SENDING, write.name, octets=octets)
    target = write.target
    refusal: PeerRefused | None = None
    try:
        yield Set(target.class_id, target.obis, target.attribute, octets)
    except PeerRefused as said:
        refusal = said
    # Also after a no: what stands there now is what counts, and what is kept.
    after = yield from _read(target)
    yield Mark(StepKind.AFTER, write.name, "" if refusal is None else str(refusal), after)
    is_taken = is_so(axdr.decode(after), write.wanted, write.scaler)
    if refusal is not None and not is_taken:
        return refused(write.name, refusal)
    if not is_taken:
        return Result(Outcome.DIFFERS, f"{write.name}: reads {axdr.decode(after).value!r}")
    if write.effective is not None:
        shown = yield from _read(write.effective)
        yield Mark(StepKind.AFTER, write.name, "in force", shown)
        if not is_so(axdr.decode(shown), write.wanted, write.scaler):
            return Result(Outcome.DIFFERS, f"{write.name}: taken, and another one is in force")
    return Result(Outcome.DONE)


def _read(target: CaptureObject) -> Procedure[bytes]:
    answer: Answer = yield Get(target.class_id, target.obis, target.attribute)
    return answer.data
