"""The billing profile of an emulated meter, recomputed here from the household's quarters."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from gateway.dlms import axdr
from gateway.dlms.axdr import Tag, float_to_decimal
from gateway.dlms.cosem_time import CosemDateTime, resolve
from gateway.dlms.rows import RawRow, decode_rows
from gateway.dlms.selective_access import EntryDescriptor
from gateway.dlms.values import read_capture_objects, read_scaler_unit
from gateway.model import CaptureObject, Obis
from hil_tests.emulator.catalogue import BILLING, Model
from hil_tests.emulator.household import DAY_S, QUARTER_S
from tests.emulator.rig import INSTALLED_S, NOW_S, RULES, ZONE_S, Rig, meter_scenario

PROFILE = Obis.parse("1-0:98.1.0*255")
BILLING_DATE = Obis.parse("0-0:0.1.2*255")
MODELS = [
    f'model = "{model}"\nencoding = "{encoding}"'
    for model in ("single_phase", "three_phase")
    for encoding in ("integer", "float32")
]


def read(rig: Rig, obis: Obis, class_id: int, attribute: int = 2, access: object = None) -> bytes:
    return rig.meter.get("meter_reader", class_id, obis, attribute, access)  # type: ignore[arg-type]


def billing(rig: Rig, access: object = None) -> tuple[tuple[CaptureObject, ...], list[RawRow]]:
    columns = read_capture_objects(axdr.decode(read(rig, PROFILE, 7, 3)))
    return columns, decode_rows(read(rig, PROFILE, 7, 2, access))


def instant(octets: Any) -> int | None:
    return resolve(CosemDateTime.from_octets(octets), RULES).utc_s


def local_day(utc_s: int) -> tuple[int, int]:
    at = datetime.fromtimestamp(utc_s + ZONE_S, UTC)
    return at.day, at.hour


def test_columns_are_the_core_that_makers_share() -> None:
    assert [len(BILLING[model]) for model in Model] == [27 if m.phases == 1 else 63 for m in Model]
    for model in Model:
        assert BILLING[model][0] == CaptureObject(3, BILLING_DATE, 2)
        assert len(set(BILLING[model])) == len(BILLING[model])


@pytest.mark.parametrize("text", MODELS)
def test_a_row_closes_each_month_with_registers_demand_and_zones(text: str) -> None:
    rig = Rig(meter_scenario(text))
    columns, rows = billing(rig)
    assert columns == BILLING[rig.scenario.model]
    assert [instant(row.values[0]) for row in rows] == [INSTALLED_S, INSTALLED_S + 31 * DAY_S]
    closed_s = INSTALLED_S + 31 * DAY_S
    assert local_day(closed_s) == (1, 0)
    cells = dict(zip(((c.obis.dotted, c.attribute) for c in columns), rows[1].values, strict=True))

    def number(name: str, class_id: int = 3) -> Fraction:
        scaler, _ = read_scaler_unit(axdr.decode(read(rig, Obis.parse(name), class_id, 3)))
        raw = cells[name, 2]
        value: Any = float_to_decimal(raw) if isinstance(raw, bytes) else raw
        return Fraction(value) * Fraction(10) ** scaler

    truth = rig.truth.register_at(closed_s).shown
    assert number("1.0.1.8.0.255") == number("1.0.1.8.1.255") == Fraction(truth.import_wh)
    assert number("1.0.9.8.0.255") == number("1.0.9.8.1.255") == Fraction(truth.import_vah)
    assert all(number(f"1.0.1.8.{zone}.255") == 0 for zone in range(2, 9))
    assert number("1.0.2.8.0.255") == Fraction(truth.export_wh)
    assert number("0.0.94.91.13.255") == 31 * 1440
    quarters = [
        (rig.meter.household.quarter_at(begin)[0], begin)
        for begin in range(INSTALLED_S, closed_s, QUARTER_S)
    ]
    highest = max(energy.import_wh for energy, _ in quarters)
    when_s = next(begin for energy, begin in quarters if energy.import_wh == highest) + QUARTER_S
    assert abs(number("1.0.1.6.0.255", 4) - highest * 4) <= highest * 4 * Fraction(1, 10**6)
    assert instant(cells["1.0.1.6.0.255", 5]) == when_s
    drawn = (sum(e.import_wh for e, _ in quarters), sum(e.import_vah for e, _ in quarters))
    assert abs(number("1.0.13.0.0.255") - Fraction(*drawn)) < Fraction(1, 100)


def test_only_the_first_zone_of_a_three_phase_meter_has_a_demand() -> None:
    columns, rows = billing(Rig(meter_scenario(MODELS[2])))
    cells = dict(zip(((c.obis.dotted, c.attribute) for c in columns), rows[1].values, strict=True))
    assert cells["1.0.1.6.1.255", 2] == cells["1.0.1.6.0.255", 2] != 0
    assert {cells[f"1.0.1.6.{zone}.255", 2] for zone in range(2, 9)} == {0}
    assert instant(cells["1.0.9.6.2.255", 5]) is None


def test_thirteen_months_are_kept_and_the_newest_can_be_picked() -> None:
    rig = Rig(meter_scenario(), now_s=INSTALLED_S + 500 * DAY_S)
    _, rows = billing(rig)
    times = [instant(row.values[0]) for row in rows]
    assert len(times) == 13
    assert times == sorted(times)  # type: ignore[type-var]
    assert {local_day(at_s or 0) for at_s in times} == {(1, 0)}
    _, newest = billing(rig, EntryDescriptor(12, 13))
    assert [row.values for row in newest] == [row.values for row in rows[-2:]]


def test_the_scaler_profile_names_the_registers_only() -> None:
    rig = Rig(meter_scenario(), now_s=NOW_S)
    scalers = Obis.parse("1-0:94.91.6*255")
    named = read_capture_objects(axdr.decode(read(rig, scalers, 7, 3)))
    wanted = [c.obis for c in BILLING[Model.SINGLE_PHASE] if c.attribute == 2]
    assert [c.obis for c in named] == [obis for obis in wanted if obis != BILLING_DATE]
    assert {c.attribute for c in named} == {3}
    (row,) = decode_rows(read(rig, scalers, 7))
    assert set(row.tags) == {Tag.STRUCTURE}
