"""Values of a column <-> integers, strings and null of a JSON row. Exact, no floats.

A column travels in one *form*: ``number`` (integers, with one decimal exponent for the column),
``boolean`` (0 or 1), ``text``, ``octets`` (hex), ``time`` (ISO 8601 as the meter meant it),
``null`` (nothing but nulls), or ``mixed`` where a meter changed type between rows: strings with
a form letter before a colon.

A time says more than ISO 8601 holds, so what it cannot say follows in brackets, in the manner of
RFC 9557: ``[_utc=SECONDS]`` where the instant does not follow from the text (``none``: no such
instant), ``[_quality=WORD]`` where it is not "ok".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from enum import StrEnum
from typing import NamedTuple

from gateway.errors import DecodeError, UsageError
from gateway.model import Instant, TimeQuality, Value

Cell = int | str | None

MAX_EXPONENT = 1000
"""Decimal exponents travel within +-this; a float64 needs 340."""
MAX_DIGITS = 2000
"""Digits of an integer; a column that spans all of float64 needs 650."""
_TOO_LARGE = 10**MAX_DIGITS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_TIME = re.compile(
    r"(?P<local>.*?)"
    r"(?:\[_utc=(?P<utc>-?\d{1,12}|none)\])?"
    r"(?:\[_quality=(?P<quality>[a-z]{1,20})\])?",
    re.ASCII | re.DOTALL,
)
_INTEGER = re.compile(rf"-?\d{{1,{MAX_DIGITS}}}E-?\d{{1,4}}", re.ASCII)


class Form(StrEnum):
    """How the cells of a column are written."""

    NULL = "null"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    OCTETS = "octets"
    TIME = "time"
    MIXED = "mixed"


class WireColumn(NamedTuple):
    """Cells of one column with what is needed to read them; ``scaler`` for numbers only."""

    form: Form
    scaler: int | None
    cells: list[Cell]


def _exact() -> Context:
    return Context(prec=MAX_DIGITS + 10, Emin=MIN_EMIN, Emax=MAX_EMAX)


def write_column(values: Sequence[Value]) -> WireColumn:
    """Write the values of one column; UsageError for a number that has no exact decimal form."""
    forms = {_form(value) for value in values if value is not None}
    if not forms:
        return WireColumn(Form.NULL, None, [None] * len(values))
    if len(forms) > 1:
        return WireColumn(Form.MIXED, None, [_write_mixed(value) for value in values])
    form = forms.pop()
    if form is Form.NUMBER:
        return _write_numbers(values)
    write = _WRITERS[form]
    return WireColumn(form, None, [None if value is None else write(value) for value in values])


def read_column(form: Form, scaler: int | None, cells: Sequence[Cell]) -> list[Value]:
    """The values of one column; DecodeError for a cell that is not of its form."""
    if (form is Form.NUMBER) != (scaler is not None):
        raise DecodeError(f"a scaler goes with form number and no other, not {form.value}")
    if scaler is not None and abs(scaler) > MAX_EXPONENT:
        raise DecodeError(f"scaler {scaler} is beyond +-{MAX_EXPONENT}")
    if form is Form.NUMBER:
        exact = _exact()
        return [_number(cell, scaler or 0, exact) for cell in cells]
    read = _READERS[form]
    return [None if cell is None else read(cell) for cell in cells]


def _form(value: Value) -> Form:
    match value:
        case bool():
            return Form.BOOLEAN
        case Decimal():
            return Form.NUMBER
        case str():
            return Form.TEXT
        case bytes():
            return Form.OCTETS
        case Instant():
            return Form.TIME
        case None:
            return Form.NULL


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > MAX_EXPONENT:
        raise UsageError(f"number {str(value)[:40]} has no exponent within +-{MAX_EXPONENT}")
    return exponent


def _write_numbers(values: Sequence[Value]) -> WireColumn:
    numbers = [value for value in values if isinstance(value, Decimal)]
    exponents = [_exponent(number) for number in numbers]
    # a zero may carry any exponent and must not lengthen its neighbours
    scaler = min([e for e, n in zip(exponents, numbers, strict=True) if n] or exponents)
    exact = _exact()
    cells: list[Cell] = []
    for value in values:
        if isinstance(value, Decimal):
            if value.adjusted() - scaler >= MAX_DIGITS:
                raise UsageError(f"numbers of one column span more than {MAX_DIGITS} digits")
            cells.append(int(exact.scaleb(value, -scaler)))
        else:
            cells.append(None)
    return WireColumn(Form.NUMBER, scaler, cells)


def _number(cell: Cell, scaler: int, exact: Context) -> Value:
    if cell is None:
        return None
    if not isinstance(cell, int) or abs(cell) >= _TOO_LARGE:
        raise DecodeError(f"a cell of form number is an integer of {MAX_DIGITS} digits or null")
    return exact.scaleb(Decimal(cell), scaler)


def _write_time(value: Value) -> str:
    if not isinstance(value, Instant):
        raise UsageError("not a time")
    # a bracket in the text itself could be taken for a suffix: then both suffixes are written
    always = "[" in value.local
    text = value.local
    if always or _utc_s(value.local) != value.utc_s:
        text += f"[_utc={'none' if value.utc_s is None else value.utc_s}]"
    if always or value.quality is not TimeQuality.OK:
        text += f"[_quality={value.quality.value}]"
    return text


def _utc_s(local: str) -> int | None:
    if not _ISO.fullmatch(local):
        return None
    try:
        return (datetime.fromisoformat(local) - _EPOCH) // timedelta(seconds=1)
    except ValueError:
        return None


def _read_time(cell: Cell) -> Instant:
    found = _TIME.fullmatch(_string(cell, Form.TIME))
    if found is None:
        raise DecodeError("a cell of form time is ISO 8601 with suffixes")
    local, utc, quality = found["local"], found["utc"], found["quality"] or "ok"
    utc_s = _utc_s(local) if utc is None else None if utc == "none" else int(utc)
    try:
        return Instant(utc_s, local, TimeQuality(quality))
    except ValueError as wrong:
        raise DecodeError(f"time quality {quality!r} is unknown") from wrong


def _string(cell: Cell, form: Form) -> str:
    if not isinstance(cell, str):
        raise DecodeError(f"a cell of form {form.value} is a string or null")
    return cell


def _read_octets(cell: Cell) -> bytes:
    return read_hex(_string(cell, Form.OCTETS), "a cell of form octets")


def read_hex(text: str, what: str, octets: int | None = None) -> bytes:
    """Lower-case hex without blanks, of ``octets`` octets where given; DecodeError otherwise."""
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", text, re.ASCII):
        raise DecodeError(f"{what} is lower-case hex")
    if octets is not None and len(text) != 2 * octets:
        raise DecodeError(f"{what} has {octets} octets, not {len(text) // 2}")
    return bytes.fromhex(text)


def _read_boolean(cell: Cell) -> bool:
    if cell not in (0, 1) or not isinstance(cell, int):
        raise DecodeError("a cell of form boolean is 0, 1 or null")
    return bool(cell)


def _read_null(cell: Cell) -> Value:
    raise DecodeError("a cell of form null is null")


_LETTERS = {Form.BOOLEAN: "b", Form.NUMBER: "n", Form.TEXT: "t", Form.OCTETS: "x", Form.TIME: "i"}
_FORM_OF_LETTER = {letter: form for form, letter in _LETTERS.items()}


def _write_mixed(value: Value) -> Cell:
    if value is None:
        return None
    form = _form(value)
    if isinstance(value, Decimal):
        column = _write_numbers([value])
        return f"n:{column.cells[0]}E{column.scaler}"
    return f"{_LETTERS[form]}:{_WRITERS[form](value)}"


def _read_mixed(cell: Cell) -> Value:
    letter, colon, text = _string(cell, Form.MIXED).partition(":")
    if not colon or letter not in _FORM_OF_LETTER:
        raise DecodeError("a cell of form mixed begins with a form letter and a colon")
    form = _FORM_OF_LETTER[letter]
    if form is Form.NUMBER:
        if not _INTEGER.fullmatch(text):
            raise DecodeError("a number of form mixed is written like 12345E-2")
        mantissa, _, exponent = text.partition("E")
        return read_column(Form.NUMBER, int(exponent), [int(mantissa)])[0]
    if form is Form.BOOLEAN:
        return _read_boolean({"0": 0, "1": 1}.get(text))
    return _READERS[form](text)


_WRITERS: dict[Form, Callable[[Value], Cell]] = {
    Form.BOOLEAN: lambda value: int(value is True),
    Form.TEXT: str,
    Form.OCTETS: lambda value: value.hex() if isinstance(value, bytes) else None,
    Form.TIME: _write_time,
}
_READERS: dict[Form, Callable[[Cell], Value]] = {
    Form.NULL: _read_null,
    Form.BOOLEAN: _read_boolean,
    Form.TEXT: lambda cell: _string(cell, Form.TEXT),
    Form.OCTETS: _read_octets,
    Form.TIME: _read_time,
    Form.MIXED: _read_mixed,
}
