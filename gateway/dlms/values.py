"""From what a meter sent to exact values: scalers joined by logical name, times resolved.

A scaler belongs to an attribute of an object, never to a position (real scaler profiles hold fewer
columns than the value profile): it is found by (class, logical name, attribute).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from operator import call
from typing import Any, Final

from gateway.dlms.axdr import Data, Tag, float_to_decimal
from gateway.dlms.classes import (
    BILLING_DATE,
    CAPTURE_TIMES,
    CLOCK_TIME,
    ClassId,
    scaler_source,
)
from gateway.dlms.cosem_time import Resolver, TimeRules
from gateway.dlms.rows import PlainValue, RawRow
from gateway.errors import DecodeError, MeterChanged
from gateway.model import (
    DATA_TYPE_NAMES,
    CaptureList,
    CaptureObject,
    Column,
    Instant,
    Obis,
    Row,
    TimeQuality,
    Value,
)

ScalerUnit = tuple[int, int]
"""Decimal exponent and COSEM unit code."""

_NUMBERS: Final = frozenset(
    {
        Tag.DOUBLE_LONG,
        Tag.DOUBLE_LONG_UNSIGNED,
        Tag.BCD,
        Tag.INTEGER,
        Tag.LONG,
        Tag.UNSIGNED,
        Tag.LONG_UNSIGNED,
        Tag.LONG64,
        Tag.LONG64_UNSIGNED,
        Tag.ENUM,
    }
)
_FLOATS: Final = frozenset({Tag.FLOAT32, Tag.FLOAT64})
_AS_THEY_ARE: Final = frozenset(
    {
        Tag.NULL,
        Tag.DONT_CARE,
        Tag.BOOLEAN,
        Tag.BIT_STRING,
        Tag.OCTET_STRING,
        Tag.VISIBLE_STRING,
        Tag.UTF8_STRING,
        Tag.DATE,
        Tag.TIME,
        Tag.COMPACT_ARRAY,
    }
)


def read_capture_objects(data: Data) -> tuple[CaptureObject, ...]:
    """``capture_objects`` (class 7 attribute 3): array of {class, logical name, attribute, index}.

    Raises DecodeError for any other shape.
    """
    if data.tag != Tag.ARRAY:
        raise DecodeError("capture_objects is not an array")
    return tuple(_capture_object(entry) for entry in _children(data))


def _capture_object(entry: Data) -> CaptureObject:
    match [(child.tag, child.value) for child in _children(entry)]:
        case [
            (Tag.LONG_UNSIGNED, int(class_id)),
            (Tag.OCTET_STRING, bytes(name)),
            (Tag.INTEGER, int(attribute)),
            (Tag.LONG_UNSIGNED, int(index)),
        ] if len(name) == 6:
            return CaptureObject(class_id, Obis(name), attribute, index)
        case _:
            raise DecodeError(
                "a capture object is not {long-unsigned class, logical name, integer attribute,"
                " long-unsigned index}"
            )


def read_scaler_unit(data: Data) -> ScalerUnit:
    """``scaler_unit`` of a register: structure {integer, enum}. Raises DecodeError."""
    match [(child.tag, child.value) for child in _children(data)]:
        case [(Tag.INTEGER, int(scaler)), (Tag.ENUM, int(unit))]:
            return scaler, unit
        case _:
            raise DecodeError("scaler_unit is not {integer, enum}")


def _children(data: Data) -> tuple[Data, ...]:
    if not isinstance(data.value, tuple):
        raise DecodeError(f"{DATA_TYPE_NAMES.get(data.tag, data.tag)} where a structure belongs")
    return data.value


def join_scalers(
    sources: Sequence[CaptureObject], scalers: Mapping[CaptureObject, ScalerUnit]
) -> CaptureList:
    """Columns with the scaler that belongs to each; None where the object has none.

    ``scalers`` is keyed by the scaler_unit attribute itself (class, logical name, attribute).
    """
    return CaptureList(tuple(_column(source, scalers) for source in sources))


def _column(source: CaptureObject, scalers: Mapping[CaptureObject, ScalerUnit]) -> Column:
    wanted = scaler_source(source)
    found = scalers.get(wanted) if wanted is not None else None
    return Column(source, *found) if found is not None else Column(source)


def missing_scalers(capture_list: CaptureList) -> tuple[CaptureObject, ...]:
    """The scaler_unit attributes that are still to be read for these columns."""
    wanted = (scaler_source(c.source) for c in capture_list.columns if c.scaler is None)
    return tuple(source for source in wanted if source is not None)


def is_time(source: CaptureObject) -> bool:
    """Whether a captured octet-string of 12 is a date-time by what it was captured from."""
    return (
        source == CLOCK_TIME
        or source.obis == BILLING_DATE
        or CAPTURE_TIMES.get(source.class_id) == source.attribute
    )


Converter = Callable[[Any], Value]
"""From a value as ``axdr.Data`` holds it to the exact value it means."""


def to_value(raw: PlainValue, tag: int, column: Column, rules: TimeRules) -> Value:
    """One exact value. Raises MeterChanged for a number whose register's scaler is unknown.

    A float32 that is not a number becomes None: its octets stay in the row.
    """
    return converter(tag, column, Resolver(rules))(raw)


def converter(tag: int, column: Column, resolver: Resolver) -> Converter:
    """How values of this type in this column are converted; raises as ``to_value``."""
    if tag in _NUMBERS:
        unit = _unit(column)
        return Decimal if unit is None else unit.__mul__
    if tag in _FLOATS:
        return _float_converter(_unit(column))
    if tag == Tag.DATE_TIME:
        return resolver
    if tag == Tag.OCTET_STRING and is_time(column.source):
        return lambda octets: resolver(octets) if len(octets) == 12 else octets
    if tag in _AS_THEY_ARE:
        return _as_it_is
    raise DecodeError(f"column {column.source} holds {DATA_TYPE_NAMES.get(tag, tag)}")


def _unit(column: Column) -> Decimal | None:
    """What numbers of this column count in: 1E-2 where the scaler is -2; None where it has none.

    Multiplying by it moves the point and keeps every digit, trailing zeros too.
    """
    if column.scaler is not None:
        return Decimal((0, (1,), column.scaler))
    if scaler_source(column.source) is not None:
        raise MeterChanged(f"column {column.source}: a number without its register's scaler")
    return None


def _float_converter(unit: Decimal | None) -> Converter:
    def convert(octets: bytes) -> Decimal | None:
        try:
            number = float_to_decimal(octets)
        except DecodeError:
            return None
        return number if unit is None else number * unit

    return convert


def _as_it_is(raw: Value) -> Value:
    return raw


NO_TIME_S: Final = 0
"""Capture time of a row whose time is not known; its quality is INVALID."""

_When = tuple[int, TimeQuality]


def to_rows(
    raw_rows: Sequence[RawRow],
    capture_list: CaptureList,
    rules: TimeRules,
    *,
    period_s: int,
    received_at_s: int,
    stamped_before_s: int = 0,
    unscaled: Collection[CaptureObject] = frozenset(),
) -> tuple[tuple[Row, ...], CaptureList]:
    """Scaled rows, and the capture list with the types that were seen.

    The capture time is the clock column wherever it stands, else the billing date, else (a
    snapshot without a clock) the time of reception. A null clock counts on from the row before
    by ``period_s``. The clock stands ``stamped_before_s`` before the capture (a meter that stamps
    the start of its intervals). Numbers of ``unscaled`` columns stay octets where their scaler
    could not be read. A row of another width is kept raw, without values; raises MeterChanged when
    none of them fits.
    """
    columns = capture_list.columns
    clock = _clock_index(columns)
    resolver = Resolver(rules)
    rows: list[Row] = []
    before: _When | None = None
    types = [column.type_name for column in columns]
    tags: tuple[int, ...] | None = None
    converters: tuple[Converter, ...] = ()
    for raw in raw_rows:
        if len(raw.values) != len(columns):
            # Kept as it came, for a person to see; its neighbours are not lost for it.
            rows.append(Row(NO_TIME_S, (None,) * len(columns), raw.raw, TimeQuality.INVALID))
            continue
        if raw.tags != tags:
            tags = raw.tags
            converters = _converters(tags, columns, resolver, unscaled)
            types = [DATA_TYPE_NAMES[t] if t else old for t, old in zip(tags, types, strict=True)]
        values = tuple(map(call, converters, raw.values))
        before = _captured(values, clock, before, period_s, received_at_s)
        known = clock is not None and before[1] is not TimeQuality.INVALID
        at_s = before[0] + stamped_before_s if known else before[0]
        rows.append(Row(at_s, values, raw.raw, before[1]))
    if raw_rows and before is None:
        raise MeterChanged(
            f"rows have {len(raw_rows[0].values)} columns where the capture list has {len(columns)}"
        )
    typed = tuple(replace(c, type_name=t) for c, t in zip(columns, types, strict=True))
    return tuple(rows), CaptureList(typed)


def _converters(
    tags: Sequence[int],
    columns: Sequence[Column],
    resolver: Resolver,
    unscaled: Collection[CaptureObject],
) -> tuple[Converter, ...]:
    return tuple(
        _left_as_octets
        if c.scaler is None and c.source in unscaled and (t in _NUMBERS or t in _FLOATS)
        else converter(t, c, resolver)
        for t, c in zip(tags, columns, strict=True)
    )


def _left_as_octets(_: Any) -> Value:
    return None


def _clock_index(columns: Sequence[Column]) -> int | None:
    for wanted in (CLOCK_TIME.obis, BILLING_DATE):
        for index, column in enumerate(columns):
            if column.source.obis == wanted and column.source.class_id in (
                ClassId.CLOCK,
                ClassId.REGISTER,
                ClassId.DATA,
            ):
                return index
    return None


def _captured(
    values: tuple[Value, ...],
    clock: int | None,
    before: _When | None,
    period_s: int,
    received_at_s: int,
) -> _When:
    if clock is None:
        return received_at_s, TimeQuality.OK
    when = values[clock]
    if when is None and before is not None and before[1] is not TimeQuality.INVALID:
        return before[0] + period_s, TimeQuality.DERIVED
    if isinstance(when, Instant) and when.utc_s is not None:
        return max(when.utc_s, NO_TIME_S), when.quality
    # Nothing tells when. Not the time of reception: the same row read twice is one row.
    return NO_TIME_S, TimeQuality.INVALID
