"""Values of rows: converters and resolvers that remember give what forgetful ones give."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.axdr import Tag
from gateway.dlms.cosem_time import CosemDateTime, Resolver, TimeRules, ZeroDate, resolve
from gateway.dlms.rows import RawRow
from gateway.dlms.values import to_rows, to_value
from gateway.errors import DecodeError, MeterChanged
from gateway.model import CaptureList, CaptureObject, Column, Instant, Obis, TimeQuality

RULES = TimeRules(330, 1)
CLOCK = Column(CaptureObject(8, Obis.parse("0-0:1.0.0*255"), 2))
ENERGY = Column(CaptureObject(3, Obis.parse("1-0:1.29.0*255"), 2), -2, 30)
TIME = bytes.fromhex("07E90717 03 081E18FF 014A 00")

few = st.sampled_from([0, 1, 8, 23, 24, 59, 60, 0xFF])
date_times = st.builds(
    lambda date, time, end: bytes.fromhex(date) + bytes(time) + bytes.fromhex(end),
    st.sampled_from(["07E9071703", "07E9071704", "07E9022FFF", "07B2010104", "FFFFFFFFFF"]),
    st.tuples(few, few, few, few),
    st.sampled_from(["014A00", "014A01", "FEB600", "8000FF", "700000"]),
)


@given(st.lists(st.one_of(date_times, st.binary(min_size=12, max_size=12))))
@pytest.mark.parametrize(
    "rules", [RULES, TimeRules(60), TimeRules(330, zero_date=ZeroDate.NOT_SPECIFIED)], ids=str
)
def test_a_resolver_gives_what_each_date_time_alone_means(
    rules: TimeRules, octets: list[bytes]
) -> None:
    resolver = Resolver(rules)
    assert [resolver(o) for o in octets] == [
        resolve(CosemDateTime.from_octets(o), rules) for o in octets
    ]


@pytest.mark.parametrize("length", [0, 8, 11, 13])
def test_a_resolver_refuses_another_number_of_octets_also_on_a_known_day(length: int) -> None:
    resolver = Resolver(RULES)
    resolver(TIME)
    with pytest.raises(DecodeError, match="date-time has 12 octets"):
        resolver(TIME[:5] + bytes(max(0, length - 8)) + TIME[9:][: max(0, length - 5)])


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-128, 127))
def test_a_scaler_moves_the_point_and_keeps_every_digit(number: int, scaler: int) -> None:
    tag = Tag.LONG64_UNSIGNED if number >= 0 else Tag.LONG64
    value = to_value(number, tag, replace(ENERGY, scaler=scaler), RULES)
    assert isinstance(value, Decimal)
    assert value.as_tuple() == Decimal(number).scaleb(scaler).as_tuple()


def row(*cells: tuple[int, int | bytes | None]) -> RawRow:
    return RawRow(b"", tuple(tag for tag, _ in cells), tuple(value for _, value in cells))


def test_rows_of_changing_types_are_each_read_by_their_own() -> None:
    rows, typed = to_rows(
        [
            row((Tag.OCTET_STRING, TIME), (Tag.DOUBLE_LONG_UNSIGNED, 100)),
            row((Tag.NULL, None), (Tag.FLOAT32, bytes.fromhex("41200000"))),
            row((Tag.DATE_TIME, TIME), (Tag.NULL, None)),
            row((Tag.OCTET_STRING, TIME[:5]), (Tag.LONG, -5)),
        ],
        CaptureList((CLOCK, ENERGY)),
        RULES,
        period_s=1800,
        received_at_s=7,
    )
    when = resolve(CosemDateTime.from_octets(TIME), RULES)
    assert isinstance(when, Instant)
    assert [r.values for r in rows] == [
        (when, Decimal("1.00")),
        (None, Decimal("0.1")),
        (when, None),
        (TIME[:5], Decimal("-0.05")),
    ]
    assert when.utc_s is not None
    assert [r.captured_at_s for r in rows] == [when.utc_s, when.utc_s + 1800, when.utc_s, 0]
    assert [c.type_name for c in typed.columns] == ["octet-string", "long"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_row_of_another_width_is_kept_raw_and_costs_its_neighbours_nothing(number: int) -> None:
    good = row((Tag.OCTET_STRING, TIME), (Tag.LONG, 1))
    narrow = RawRow(b"narrow", (Tag.OCTET_STRING,), (TIME,))
    rows, _ = to_rows(
        [good] * number + [narrow] + [good],
        CaptureList((CLOCK, ENERGY)),
        RULES,
        period_s=0,
        received_at_s=7,
    )
    assert [r.values[1] for r in rows] == [Decimal("0.01")] * number + [None, Decimal("0.01")]
    kept = rows[number]
    assert (kept.raw, kept.captured_at_s) == (b"narrow", 0)
    assert kept.time_quality is TimeQuality.INVALID


def test_rows_that_all_have_another_width_mean_a_changed_meter() -> None:
    rows = [row((Tag.OCTET_STRING, TIME))] * 2
    with pytest.raises(MeterChanged, match="1 columns where the capture list has 2"):
        to_rows(rows, CaptureList((CLOCK, ENERGY)), RULES, period_s=0, received_at_s=0)


def test_a_row_without_an_instant_has_no_time_however_often_it_is_read() -> None:
    unset = b"\xff" * 12
    rows = [
        row((Tag.OCTET_STRING, unset), (Tag.LONG, 1)),
        row((Tag.NULL, None), (Tag.LONG, 2)),
        row((Tag.OCTET_STRING, TIME), (Tag.LONG, 3)),
        row((Tag.NULL, None), (Tag.LONG, 4)),
    ]
    for received_at_s in (7, 1_800_000_000):
        read, _ = to_rows(
            rows, CaptureList((CLOCK, ENERGY)), RULES, period_s=60, received_at_s=received_at_s
        )
        when_s = read[2].captured_at_s
        assert [r.captured_at_s for r in read] == [0, 0, when_s, when_s + 60]
        assert [r.time_quality.value for r in read] == ["invalid", "invalid", "ok", "derived"]


def test_a_number_without_its_scaler_is_refused_and_other_values_are_not() -> None:
    unknown = replace(ENERGY, scaler=None)
    for tag, value in ((Tag.LONG, 5), (Tag.FLOAT32, bytes(4))):
        with pytest.raises(MeterChanged, match="without its register's scaler"):
            to_value(value, tag, unknown, RULES)
    assert to_value(None, Tag.NULL, unknown, RULES) is None
    assert to_value(TIME, Tag.OCTET_STRING, unknown, RULES) == TIME


def test_a_structure_in_a_row_is_refused() -> None:
    with pytest.raises(DecodeError, match="holds structure"):
        to_value((), Tag.STRUCTURE, ENERGY, RULES)


def test_a_float_that_is_no_number_has_no_value() -> None:
    assert to_value(bytes.fromhex("7FC00000"), Tag.FLOAT32, ENERGY, RULES) is None


def test_a_clock_at_the_intervals_start_gives_the_time_of_capture_and_keeps_the_octets() -> None:
    rows = [
        row((Tag.OCTET_STRING, TIME), (Tag.LONG_UNSIGNED, 75)),
        row((Tag.NULL, None), (Tag.LONG_UNSIGNED, 80)),
        row((Tag.OCTET_STRING, b"\xff" * 12), (Tag.LONG_UNSIGNED, 85)),
    ]
    columns = CaptureList((CLOCK, ENERGY))
    at_end, _ = to_rows(rows, columns, RULES, period_s=900, received_at_s=5)
    at_start, _ = to_rows(rows, columns, RULES, period_s=900, received_at_s=5, stamped_before_s=900)
    times = [one.captured_at_s for one in at_end]
    assert [one.captured_at_s for one in at_start] == [times[0] + 900, times[1] + 900, 0]
    assert [one.values for one in at_start] == [one.values for one in at_end]
    assert [one.raw for one in at_start] == [one.raw for one in at_end]


def test_a_row_without_a_clock_is_not_moved() -> None:
    rows = [row((Tag.LONG_UNSIGNED, 75))]
    found, _ = to_rows(
        rows, CaptureList((ENERGY,)), RULES, period_s=900, received_at_s=5, stamped_before_s=900
    )
    assert found[0].captured_at_s == 5


@pytest.mark.parametrize(
    ("tag", "number"), [(Tag.INTEGER, 100), (Tag.FLOAT32, bytes.fromhex("3F800000"))]
)
def test_a_number_without_scaler_is_octets_only_where_the_profile_names_the_column(
    tag: int, number: int | bytes
) -> None:
    bare = replace(ENERGY, scaler=None, unit=None)
    rows = [row((Tag.LONG_UNSIGNED, 75), (tag, number))]
    other = replace(bare, source=CaptureObject(3, Obis.parse("1-0:84.6.0*255"), 2))
    columns = CaptureList((ENERGY, other))
    with pytest.raises(MeterChanged, match="without its register's scaler"):
        to_rows(rows, columns, RULES, period_s=0, received_at_s=0)
    with pytest.raises(MeterChanged):
        to_rows(rows, columns, RULES, period_s=0, received_at_s=0, unscaled={ENERGY.source})
    found, _ = to_rows(rows, columns, RULES, period_s=0, received_at_s=0, unscaled={other.source})
    assert found[0].values == (Decimal("0.75"), None)
    known = CaptureList((ENERGY, replace(other, scaler=-2)))
    found, _ = to_rows(rows, known, RULES, period_s=0, received_at_s=0, unscaled={other.source})
    assert found[0].values[1] is not None, "a scaler that was read after all is used"
