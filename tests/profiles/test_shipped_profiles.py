"""Every shipped profile proves itself: strict, unambiguous, its octets decode as it says."""

from decimal import Decimal

import pytest

from gateway.dlms import axdr
from gateway.dlms.classes import scaler_source
from gateway.dlms.cosem_time import TimeRules, ZeroDate
from gateway.dlms.values import to_value
from gateway.model import UNIT_NAMES, Column, Instant, ProfileKind, Value
from gateway.profile import (
    Attribute,
    Capture,
    FirmwareProfile,
    Provenance,
    load_profile,
    load_profiles,
    named_attributes,
    profile_names,
)

PROFILES = load_profiles()
SINGLE = "is15959_part2_single_phase"
THREE = "is15959_part2_three_phase"

CAPTURES = [
    pytest.param(profile, capture, id=f"{name}: {capture.what}")
    for name, profile in PROFILES.items()
    for capture in profile.captures
]

UNIT_CODES = {symbol: code for code, symbol in UNIT_NAMES.items() if symbol}


def spoken(value: Value) -> str:
    """A value as captures write it."""
    match value:
        case Decimal():
            return format(value, "f")
        case Instant():
            return value.local
        case bool():
            return str(value).lower()
        case bytes():
            return value.hex()
        case None:
            return "null"
        case str():
            return value


def decoded(profile: FirmwareProfile, capture: Capture) -> list[str]:
    rules = TimeRules(
        profile.time.zone_minutes,
        profile.time.deviation_sign,
        ZeroDate(profile.time.zero_date),
        profile.time.use_deviation,
    )
    data = axdr.decode(capture.octets)
    elements = [data]
    if data.tag == axdr.Tag.STRUCTURE and len(capture.values) > 1:
        assert isinstance(data.value, tuple)
        elements = list(data.value)
    named = named_attributes(profile, capture)
    return [
        spoken(
            to_value(
                element.value,
                element.tag,
                Column(named[value.of].source, value.scaler, UNIT_CODES.get(value.unit)),
                rules,
            )
        )
        for element, value in zip(elements, capture.values, strict=True)
    ]


@pytest.mark.parametrize(("profile", "capture"), CAPTURES)
def test_a_captures_octets_decode_to_exactly_what_it_says(
    profile: FirmwareProfile, capture: Capture
) -> None:
    assert decoded(profile, capture) == [value.expect for value in capture.values]


@pytest.mark.parametrize(("profile", "capture"), CAPTURES)
def test_a_captures_octets_encode_back_to_themselves(
    profile: FirmwareProfile, capture: Capture
) -> None:
    assert axdr.encode(axdr.decode(capture.octets)) == capture.octets


@pytest.mark.parametrize(("profile", "capture"), CAPTURES)
def test_a_captures_unit_belongs_to_a_scaler_and_is_a_cosem_unit(
    profile: FirmwareProfile, capture: Capture
) -> None:
    for value in capture.values:
        assert not value.unit or (value.scaler is not None and value.unit in UNIT_CODES)


def test_a_capture_of_a_row_has_a_value_for_every_column() -> None:
    for profile in PROFILES.values():
        for capture in profile.captures:
            if capture.profile and len(capture.values) > 1:
                columns = list(named_attributes(profile, capture))
                assert [value.of for value in capture.values] == columns, capture.what


def test_every_family_of_objects_has_a_capture() -> None:
    for name in (SINGLE, THREE):
        profile = PROFILES[name]
        base = PROFILES["is15959_part2"]
        proved = {c.profile for c in (*profile.captures, *base.captures)}
        for kind in ProfileKind:
            assert any(label.split("/")[0] == kind for label in proved), (name, kind)
        objects = {v.of for c in (*profile.captures, *base.captures) for v in c.values}
        assert {"clock", "relay_output_state", "load_limit_active", "balance"} <= objects


def test_the_raw_registers_of_a_real_meter_are_among_the_proof() -> None:
    real = [c for c in PROFILES[SINGLE].captures if c.provenance is Provenance.CAPTURED]
    octets = {(c.values[0].of, c.octets.hex()): c.values[0].expect for c in real}
    assert octets["voltage_v", "1259d7"] == "229.99"
    assert octets["energy_import_wh", "060000005f"] == "950"
    assert octets["clock", "090c07e9071703081e18ff014a00"] == "2025-07-23T08:30:24+05:30"
    assert octets["maximum_demand_w_time", "090cffffffffffffffffff014a00"] == ""
    assert len(real) >= 14


def columns(name: str, kind: ProfileKind) -> tuple[Attribute, ...]:
    return PROFILES[name].profile_generic(kind).columns


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        (SINGLE, ProfileKind.NAMEPLATE, 8),
        (SINGLE, ProfileKind.INSTANTANEOUS, 22),
        (SINGLE, ProfileKind.BLOCK_LOAD, 8),
        (SINGLE, ProfileKind.DAILY_LOAD, 5),
        (SINGLE, ProfileKind.BILLING, 32),
        (THREE, ProfileKind.NAMEPLATE, 8),
        (THREE, ProfileKind.INSTANTANEOUS, 35),
        (THREE, ProfileKind.BLOCK_LOAD, 13),
        (THREE, ProfileKind.DAILY_LOAD, 5),
        (THREE, ProfileKind.BILLING, 63),
    ],
)
def test_each_set_of_data_has_the_columns_of_the_dumps(
    name: str, kind: ProfileKind, count: int
) -> None:
    assert len(columns(name, kind)) == count
    assert len({column.source for column in columns(name, kind)}) == count


def test_every_base_says_what_a_gateway_needs_for_a_meter() -> None:
    for name in (SINGLE, THREE):
        profile = load_profile(name)
        assert profile.inherits == ("is15959_part2",)
        assert profile.association("public").client == 16
        assert profile.association("meter_reader").key_names == {"lls_password", "guek", "gak"}
        assert profile.association("utility_settings").authentication == "hls2"
        for kind in (ProfileKind.DAILY_LOAD, ProfileKind.BLOCK_LOAD):
            assert profile.profile_generic(kind).scaler_profile is not None
            assert profile.profile_generic(kind).cadence_s is not None
        logs = {p.log for p in profile.profile_generics if p.kind is ProfileKind.EVENTS}
        assert logs == set(profile.events)


def test_a_column_named_for_a_unit_is_one_that_has_a_scaler_or_is_a_limit() -> None:
    for profile in PROFILES.values():
        for generic in profile.profile_generics:
            for column in generic.columns:
                if column.name.endswith(("_v", "_a", "_w", "_va", "_wh", "_vah", "_hz", "_varh")):
                    limit = column.class_id == 71
                    assert limit or scaler_source(column.source) is not None, column


def test_no_profile_file_lies_beside_those_that_are_checked() -> None:
    assert list(PROFILES) == profile_names()
    assert {SINGLE, THREE, "is15959_part2"} <= set(PROFILES)
