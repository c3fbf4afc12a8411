"""GET, SET and ACTION on the object model, without any wire."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from gateway.dlms import axdr
from gateway.dlms.apdu.results import DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data, Tag, float_to_decimal
from gateway.dlms.classes import BILLING_DATE, CLOCK_TIME, ClassId
from gateway.dlms.cosem_time import CosemDateTime, from_utc, resolve
from gateway.dlms.rows import RawRow, decode_rows
from gateway.dlms.selective_access import (
    EntryDescriptor,
    OtherAccess,
    RangeDescriptor,
    clock_bound,
)
from gateway.dlms.values import read_capture_objects, read_scaler_unit
from gateway.model import CaptureObject, Obis, TimeQuality
from hil_tests.emulator.catalogue import BLOCK_LOAD, DAILY_LOAD, INSTANTANEOUS, NAMEPLATE, Model
from tests.emulator.rig import INSTALLED_S, NOW_S, RULES, Rig, meter_scenario

CLOCK = Obis.parse("0-0:1.0.0*255")
BLOCK = Obis.parse("1-0:99.1.0*255")
DAILY = Obis.parse("1-0:99.2.0*255")
SNAPSHOT = Obis.parse("1-0:94.91.0*255")
RELAY = Obis.parse("0-0:96.3.10*255")
LIMITER = Obis.parse("0-0:17.0.0*255")
ENERGY = Obis.parse("1-0:1.8.0*255")
MR, US, PUBLIC = "meter_reader", "utility_settings", "public"
DAY_S = 86_400

MODELS = [
    pytest.param(f'model = "{model}"\nencoding = "{encoding}"', id=f"{model} {encoding}")
    for model in ("single_phase", "three_phase")
    for encoding in ("integer", "float32")
]


def rig(text: str = "") -> Rig:
    return Rig(meter_scenario(text))


def value(rig: Rig, class_id: int, obis: Obis | str, attribute: int = 2, who: str = MR) -> Data:
    obis = obis if isinstance(obis, Obis) else Obis.parse(obis)
    return axdr.decode(rig.meter.get(who, class_id, obis, attribute, None))


def rows(rig: Rig, profile: Obis, access: object = None) -> list[RawRow]:
    return decode_rows(rig.meter.get(MR, 7, profile, 2, access))  # type: ignore[arg-type]


def at_s(row: RawRow) -> int | None:
    assert isinstance(row.values[0], bytes)
    return resolve(CosemDateTime.from_octets(row.values[0]), RULES).utc_s


def bounds(from_s: int, to_s: int, **options: object) -> RangeDescriptor:
    low, high = (clock_bound(from_utc(at, RULES).to_octets()) for at in (from_s, to_s))
    return RangeDescriptor(low, high, **options)  # type: ignore[arg-type]


def refused(rig: Rig, *arguments: object) -> int:
    with pytest.raises(AccessRefused) as caught:
        rig.meter.get(*arguments)  # type: ignore[arg-type]
    return caught.value.result


@pytest.mark.parametrize("text", MODELS)
def test_every_attribute_in_the_object_list_can_be_read_and_decoded(text):
    meter = rig(text)
    listed = value(meter, 15, "0-0:40.0.0*255", who=US)
    read = 0
    assert isinstance(listed.value, tuple)
    for entry in listed.value:
        class_id, _, name, rights = (field.value for field in entry.value)
        for attribute in rights[0].value:
            number, mode, _ = (field.value for field in attribute.value)
            if mode & 1:
                value(meter, class_id, Obis(name), number, who=US)
                read += 1
    assert read > 120


@pytest.mark.parametrize("text", MODELS)
@pytest.mark.parametrize(
    ("profile", "columns"),
    [("0-0:94.91.10*255", "nameplate"), ("1-0:94.91.0*255", "now"), ("1-0:99.1.0*255", "block")],
)
def test_profiles_hold_the_columns_of_their_category(text, profile, columns):
    meter = rig(text)
    model = meter.scenario.model
    expected = {"nameplate": NAMEPLATE, "now": INSTANTANEOUS[model], "block": BLOCK_LOAD[model]}
    captured = read_capture_objects(value(meter, 7, profile, 3))
    assert captured == expected[columns]
    row = rows(meter, Obis.parse(profile), EntryDescriptor(1, 1))[0]
    assert len(row.values) == len(captured)


def test_the_two_categories_have_as_many_columns_as_real_meters():
    smart = (Model.SINGLE_PHASE, Model.THREE_PHASE)
    assert [len(INSTANTANEOUS[model]) for model in smart] == [22, 35]
    assert [len(BLOCK_LOAD[model]) for model in smart] == [8, 13]
    assert len(DAILY_LOAD) == 5


@pytest.mark.parametrize("text", MODELS)
def test_scaler_profiles_hold_attribute_3_of_the_same_registers_in_the_same_order(text):
    meter = rig(text)
    for profile, scalers in (
        ("1-0:94.91.0*255", "1-0:94.91.3*255"),
        ("1-0:99.1.0*255", "1-0:94.91.4*255"),
        ("1-0:99.2.0*255", "1-0:94.91.5*255"),
    ):
        columns = read_capture_objects(value(meter, 7, profile, 3))
        found = read_capture_objects(value(meter, 7, scalers, 3))
        assert found == tuple(
            CaptureObject(column.class_id, column.obis, 3)
            for column in columns
            if column.class_id in {3, 4} and column.attribute == 2 and column.obis != BILLING_DATE
        )
        row = value(meter, 7, scalers).value
        assert isinstance(row, tuple)
        for column, cell in zip(found, row[0].value, strict=True):
            assert cell == value(meter, column.class_id, column.obis, column.attribute)


def test_a_single_phase_snapshot_has_22_columns_and_14_scalers_as_a_real_meter():
    meter = rig()
    assert len(read_capture_objects(value(meter, 7, "1-0:94.91.3*255", 3))) == 14


def scaled(meter: Rig, obis: Obis, tag: int, raw: object) -> Decimal:
    scaler, _ = read_scaler_unit(value(meter, ClassId.REGISTER, obis, 3))
    number = float_to_decimal(raw) if tag == Tag.FLOAT32 else Decimal(raw)  # type: ignore[arg-type]
    return number.scaleb(scaler)


@pytest.mark.parametrize("text", MODELS)
def test_block_and_daily_rows_are_the_truth_in_the_meters_digits(text):
    meter = rig(text + "\nexports = true\ncapture_period_s = 900")
    for profile, truth in (
        (BLOCK, list(meter.truth.block_rows(NOW_S))),
        (DAILY, list(meter.truth.daily_rows(NOW_S))),
    ):
        columns = [c.obis for c in read_capture_objects(value(meter, 7, profile, 3))]
        wanted = (
            ("1.29", "9.29", "2.29", "10.29") if profile == BLOCK else ("1.8", "9.8", "2.8", "10.8")
        )
        places = [columns.index(Obis.parse(f"1-0:{name}.0*255")) for name in wanted]
        found = rows(meter, profile)
        assert len(found) == len(truth)
        for row, expected in zip(found, truth, strict=True):
            assert at_s(row) == expected.captured_at_s
            shown = [scaled(meter, columns[i], row.tags[i], row.values[i]) for i in places]
            assert shown == list(expected.shown)


def test_block_load_holds_35_days_and_daily_load_70_rows():
    meter = rig("capture_period_s = 900")
    meter.now_s = INSTALLED_S + 90 * DAY_S
    for profile, depth in ((BLOCK, 3360), (DAILY, 70)):
        assert len(rows(meter, profile)) == depth
        assert value(meter, 7, profile, 7).value == depth
        assert value(meter, 7, profile, 8).value == depth


def test_a_new_row_appears_when_its_interval_is_over():
    meter = rig()
    meter.now_s = INSTALLED_S + 10 * DAY_S - 1
    before = (rows(meter, BLOCK)[-1], rows(meter, DAILY)[-1])
    meter.now_s += 1
    after = (rows(meter, BLOCK)[-1], rows(meter, DAILY)[-1])
    assert [at_s(row) for row in after] == [meter.now_s, meter.now_s]
    assert [at_s(row) for row in before] == [meter.now_s - 1800, meter.now_s - DAY_S]


def test_a_range_includes_both_ends():
    meter = rig()
    midnight = INSTALLED_S + 40 * DAY_S
    found = rows(meter, BLOCK, bounds(midnight, midnight + 3600))
    assert [at_s(row) for row in found] == [midnight, midnight + 1800, midnight + 3600]
    between = rows(meter, BLOCK, bounds(midnight + 1, midnight + 3599))
    assert [at_s(row) for row in between] == [midnight + 1800]
    assert rows(meter, BLOCK, bounds(midnight + 1, midnight + 1799)) == []


def test_a_bound_that_is_not_specified_is_open():
    meter = rig()
    open_bound = clock_bound(bytes.fromhex("FFFFFFFFFFFFFFFFFF8000FF"))
    since = clock_bound(from_utc(NOW_S - 3600, RULES).to_octets())
    assert len(rows(meter, BLOCK, RangeDescriptor(since, open_bound))) == 2
    everything = RangeDescriptor(open_bound, open_bound)
    assert rows(meter, BLOCK, everything) == rows(meter, BLOCK)


def test_a_range_may_pick_columns():
    meter = rig()
    energy = CaptureObject(3, Obis.parse("1-0:1.29.0*255"), 2)
    found = rows(meter, BLOCK, bounds(NOW_S - DAY_S, NOW_S, columns=(CLOCK_TIME, energy)))
    whole = rows(meter, BLOCK, bounds(NOW_S - DAY_S, NOW_S))
    assert [row.values for row in found] == [(row.values[0], row.values[2]) for row in whole]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [((1, 1), slice(0, 1)), ((3, 5), slice(2, 5)), ((46, 0), slice(45, 46)), ((47, 99), slice(0))],
)
def test_entries_count_from_1_and_0_means_the_last(entries, expected):
    meter = rig()
    assert rows(meter, DAILY, EntryDescriptor(*entries)) == rows(meter, DAILY)[expected]


@pytest.mark.parametrize(
    ("columns", "expected"), [((1, 2), slice(0, 2)), ((2, 2), slice(1, 2)), ((4, 0), slice(3, 5))]
)
def test_entries_may_pick_columns_by_number(columns, expected):
    meter = rig()
    found = rows(meter, DAILY, EntryDescriptor(1, 3, *columns))
    assert [row.values for row in found] == [r.values[expected] for r in rows(meter, DAILY)[:3]]


def test_what_cannot_be_selected_is_refused():
    meter = rig()
    other = CaptureObject(3, ENERGY, 2)
    number = Data(Tag.LONG_UNSIGNED, 1)
    good = bounds(NOW_S - 3600, NOW_S)
    ask = (MR, 7, BLOCK, 2)
    by_energy = RangeDescriptor(number, number, restricting=other)
    assert refused(meter, *ask, by_energy) == DataAccessResult.OBJECT_UNAVAILABLE
    unknown = bounds(NOW_S - 3600, NOW_S, columns=(other,))
    assert refused(meter, *ask, unknown) == DataAccessResult.OBJECT_UNAVAILABLE
    assert refused(meter, *ask, RangeDescriptor(number, number)) == DataAccessResult.TYPE_UNMATCHED
    short = RangeDescriptor(clock_bound(b"\x07"), clock_bound(b"\x07"))
    assert refused(meter, *ask, short) == DataAccessResult.TYPE_UNMATCHED
    assert refused(meter, *ask, OtherAccess(9, number)) == DataAccessResult.TYPE_UNMATCHED
    elsewhere = refused(meter, MR, 3, ENERGY, 2, good)
    assert elsewhere == DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    assert refused(meter, PUBLIC, 7, BLOCK, 2, good) == DataAccessResult.READ_WRITE_DENIED


def test_absent_objects_classes_and_attributes_are_told_apart():
    meter = rig()
    assert refused(meter, MR, 3, Obis.parse("1-0:99.9.9*255"), 2, None) == 4
    assert refused(meter, MR, 1, ENERGY, 2, None) == DataAccessResult.OBJECT_CLASS_INCONSISTENT
    assert refused(meter, MR, 3, ENERGY, 9, None) == DataAccessResult.OBJECT_UNDEFINED


def test_each_association_has_its_own_rights():
    meter = rig()
    assert value(meter, 8, CLOCK, who=PUBLIC)
    assert value(meter, 1, "0-0:43.1.3*255", who=PUBLIC).value == 0
    assert refused(meter, PUBLIC, 3, ENERGY, 2, None) == DataAccessResult.READ_WRITE_DENIED
    mode = axdr.encode(Data(Tag.ENUM, 4))
    zero = axdr.encode(Data(Tag.INTEGER, 0))
    for who in (PUBLIC, MR):
        for call in (
            lambda who=who: meter.meter.set(who, 70, RELAY, 4, mode),
            lambda who=who: meter.meter.action(who, 70, RELAY, 1, zero),
        ):
            with pytest.raises(AccessRefused) as caught:
                call()
            assert caught.value.result == DataAccessResult.READ_WRITE_DENIED
    meter.meter.set(US, 70, RELAY, 4, mode)
    assert value(meter, 70, RELAY, 4).value == 4


def members(data: Data) -> tuple[Data, ...]:
    """What an array or structure holds."""
    assert isinstance(data.value, tuple)
    return data.value


def test_the_object_list_states_the_rights_of_whoever_asks():
    meter = rig()

    def relay(who: str) -> list[tuple[object, ...]]:
        for entry in members(value(meter, 15, "0-0:40.0.0*255", who=who)):
            fields = members(entry)
            if fields[2].value == RELAY.octets:
                return [
                    tuple(field.value for field in members(right)[:2])
                    for rights in members(fields[3])
                    for right in members(rights)
                ]
        return []

    assert relay(US) == [(1, 1), (2, 1), (3, 1), (4, 3), (1, 1), (2, 1)]
    assert relay(MR) == [(1, 1), (2, 1), (3, 1), (4, 1), (1, 0), (2, 0)]
    assert relay(PUBLIC) == []


def test_an_association_object_never_tells_its_secret():
    meter = rig()
    for who in (MR, US):
        assert refused(meter, who, 15, Obis.parse("0-0:40.0.2*255"), 7, None) == 3


def test_the_load_switch_opens_and_closes_and_says_so():
    meter = rig()
    zero = axdr.encode(Data(Tag.INTEGER, 0))

    def state() -> tuple[object, object]:
        return value(meter, 70, RELAY, 2).value, value(meter, 70, RELAY, 3).value

    assert state() == (True, 1)
    assert meter.meter.action(US, 70, RELAY, 1, zero) is None
    assert state() == (False, 0)
    meter.meter.action(US, 70, RELAY, 2, zero)
    assert state() == (True, 1)


@pytest.mark.parametrize(
    ("method", "data", "result"),
    [(1, None, 12), (1, b"\x11\x00", 12), (1, b"\x0f", 12), (3, b"\x0f\x00", 4)],
)
def test_a_method_called_wrongly_moves_nothing(method, data, result):
    meter = rig()
    with pytest.raises(AccessRefused) as caught:
        meter.meter.action(US, 70, RELAY, method, data)
    assert caught.value.result == result
    assert meter.meter.switch.connected


@pytest.mark.parametrize("text", MODELS)
def test_the_load_limit_is_105_percent_of_the_highest_current(text):
    meter = rig(text)
    limit_w = 15_120 if "single" in text else 75_600
    limit = value(meter, 71, LIMITER, 3)
    number = float_to_decimal(limit.value) if limit.tag == Tag.FLOAT32 else limit.value  # type: ignore[arg-type]
    assert number == limit_w
    meter.meter.set(US, 71, LIMITER, 4, axdr.encode(Data(Tag.DOUBLE_LONG_UNSIGNED, 5000)))
    again = value(meter, 71, LIMITER, 4)
    assert (float_to_decimal(again.value) if again.tag == Tag.FLOAT32 else again.value) == 5000  # type: ignore[arg-type]


def test_the_clock_can_be_set_and_rows_follow_it():
    meter = rig()
    wanted_s = NOW_S + 7200
    octets = axdr.encode(Data(Tag.OCTET_STRING, from_utc(wanted_s, RULES).to_octets()))
    meter.meter.set(US, 8, CLOCK, 2, octets)
    meter.now_s += 5
    shown = value(meter, 8, CLOCK).value
    assert resolve(CosemDateTime.from_octets(shown), RULES).utc_s == wanted_s + 5  # type: ignore[arg-type]
    assert at_s(rows(meter, BLOCK)[-1]) == wanted_s + 5 - (wanted_s + 5 - INSTALLED_S) % 1800


@pytest.mark.parametrize("data", ["0c0141", "0902ffff", "090cffffffffffffffffff800000", "12"])
def test_a_clock_is_not_set_to_nonsense(data):
    meter = rig()
    with pytest.raises(AccessRefused):
        meter.meter.set(US, 8, CLOCK, 2, bytes.fromhex(data))
    shown = value(meter, 8, CLOCK).value
    assert resolve(CosemDateTime.from_octets(shown), RULES).utc_s == NOW_S  # type: ignore[arg-type]


def test_a_snapshot_is_of_one_instant():
    ticks = iter(range(NOW_S, NOW_S + 100))
    meter = rig()
    meter.meter.time._now_s = lambda: next(ticks)
    (row,) = rows(meter, SNAPSHOT)
    columns = [c.obis for c in INSTANTANEOUS[meter.scenario.model]]
    energy = columns.index(ENERGY)
    truth = meter.truth.register_at(at_s(row))  # type: ignore[arg-type]
    assert scaled(meter, ENERGY, row.tags[energy], row.values[energy]) == truth.shown.import_wh


# Faults


def test_a_clock_that_lost_its_power_shows_1970_and_keeps_its_rows():
    meter = rig("faults.clock_at_1970 = true")
    meter.now_s += 60
    shown = resolve(CosemDateTime.from_octets(value(meter, 8, CLOCK).value), RULES)  # type: ignore[arg-type]
    assert (shown.utc_s, shown.quality) == (60, TimeQuality.INVALID)
    assert at_s(rows(meter, DAILY)[-1]) == NOW_S - (NOW_S - INSTALLED_S) % DAY_S
    octets = axdr.encode(Data(Tag.OCTET_STRING, from_utc(NOW_S, RULES).to_octets()))
    meter.meter.set(US, 8, CLOCK, 2, octets)
    shown = resolve(CosemDateTime.from_octets(value(meter, 8, CLOCK).value), RULES)  # type: ignore[arg-type]
    assert shown.utc_s == NOW_S


def test_duplicate_rows_come_twice_and_are_equal():
    whole = rows(rig(), DAILY)
    found = rows(rig("faults.duplicate_rows = true"), DAILY)
    repeated = [a for a, b in pairwise(found) if a == b]
    assert len(found) == len(whole) + len(repeated)
    assert len(repeated) == 12
    assert list(dict.fromkeys(found)) == whole


def test_an_unsorted_ring_holds_the_same_rows_in_another_order():
    whole = rows(rig(), BLOCK)
    found = rows(rig("faults.unsorted_rows = true"), BLOCK)
    assert found != whole
    assert sorted(found, key=lambda row: at_s(row) or 0) == whole
    falls = sum(1 for a, b in pairwise(found) if (at_s(a) or 0) > (at_s(b) or 0))
    assert falls == 1


def test_another_column_order_is_told_by_the_capture_objects():
    plain, changed = rig(), rig("faults.export_columns_first = true")
    columns = read_capture_objects(value(changed, 7, DAILY, 3))
    assert columns == DAILY_LOAD[:1] + DAILY_LOAD[3:] + DAILY_LOAD[1:3]
    for before, after in zip(rows(plain, DAILY), rows(changed, DAILY), strict=True):
        assert after.values == before.values[:1] + before.values[3:] + before.values[1:3]


def test_an_extra_column_stands_at_the_end():
    plain, changed = rig(), rig("faults.extra_column = true")
    for before, after in zip(rows(plain, BLOCK), rows(changed, BLOCK), strict=True):
        assert after.values == (*before.values, 0)


def test_a_changed_scaler_changes_the_numbers_with_it():
    plain, changed = rig(), rig("faults.energy_scaler_shift = -1")
    assert read_scaler_unit(value(plain, 3, ENERGY, 3)) == (1, 30)
    assert read_scaler_unit(value(changed, 3, ENERGY, 3)) == (0, 30)
    before, after = (value(each, 3, ENERGY).value for each in (plain, changed))
    assert after // 10 == before  # type: ignore[operator]
