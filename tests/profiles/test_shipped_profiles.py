"""Every shipped profile proves itself: strict, unambiguous, its octets decode as it says."""

from collections import Counter
from contextlib import suppress
from dataclasses import fields
from decimal import Decimal
from fnmatch import fnmatchcase as fnmatch
from itertools import product
from pathlib import Path

import pytest

from gateway.dlms import axdr
from gateway.dlms.classes import scaler_source
from gateway.dlms.cosem_time import TimeRules, ZeroDate
from gateway.dlms.values import to_value
from gateway.errors import NoProfileFits
from gateway.model import UNIT_NAMES, Column, Instant, ProfileKind, Value
from gateway.profile import (
    SWITCHES,
    Attribute,
    Capture,
    FirmwareProfile,
    Match,
    Nameplate,
    Provenance,
    Quirk,
    choose,
    load_profile,
    load_profiles,
    named_attributes,
    profile_names,
    shipped_profiles,
)
from gateway.profile.agreement import STATED
from gateway.profile.canonical import canonical
from gateway.profile.index import index_page

PROFILES = load_profiles()
SINGLE = "is15959_part2_single_phase"
THREE = "is15959_part2_three_phase"

WHOLE = [profile for profile in PROFILES.values() if profile.phases is not None]
"""Profiles that a meter is read with; the others are bases."""

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
        # Nobody can read the scaler of such a column: a number in it says nothing.
        "null"
        if named[value.of].unlisted and value.scaler is None
        else spoken(
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
    for profile in WHOLE:
        captures = [
            c for name in (profile.name, *profile.inherits) for c in PROFILES[name].captures
        ]
        proved = {capture.profile.split("/")[0] for capture in captures}
        assert proved >= {generic.kind.value for generic in profile.profile_generics}, profile.name
        objects = {value.of for capture in captures for value in capture.values}
        assert "clock" in objects
        if profile.relay:
            assert {"relay_output_state", "load_limit_active"} <= objects, profile.name
        if profile.display:
            assert "balance" in objects


def test_every_profile_has_proof_of_its_own() -> None:
    assert [name for name, profile in PROFILES.items() if not profile.captures] == []


def test_a_profile_of_float32_registers_shows_them_and_no_other_is_all_float32() -> None:
    for profile in WHOLE:
        shown = {
            element.tag
            for capture in profile.captures
            if capture.profile == "daily_load"
            for element in children(capture)
        }
        is_float = shown == {axdr.Tag.OCTET_STRING, axdr.Tag.FLOAT32}
        assert is_float == (Quirk.FLOAT32_REGISTERS in profile.quirks), profile.name


def children(capture: Capture) -> tuple[axdr.Data, ...]:
    data = axdr.decode(capture.octets)
    assert isinstance(data.value, tuple)
    return data.value


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
        (SINGLE, ProfileKind.BILLING, 31),
        (f"{SINGLE}_unlisted_column", ProfileKind.BILLING, 32),
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
        assert profile.inherits == ("is15959_part2", "is15959")
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


# -- matching: no meter has two profiles -----------------------------------------------------------


def test_no_meter_fits_two_shipped_profiles_by_enumeration() -> None:
    """Every nameplate that can be made of the words in the files and of foreign ones."""
    claims = [p.match for p in PROFILES.values() if p.match is not None]
    types = {n for match in claims for n in match.meter_type} | {0, None}
    texts = {
        word: {text for match in claims for text in getattr(match, word)} | {"other", None}
        for word in ("logical_device_name", "manufacturer", "firmware", "category")
    }
    chosen = Counter[str]()
    for meter_type, name, maker, firmware, category in product(types, *texts.values()):
        nameplate = Nameplate(
            logical_device_name=name,
            manufacturer=maker,
            firmware=firmware,
            meter_type=meter_type,
            category=category,
        )
        with suppress(NoProfileFits):
            chosen[choose(PROFILES.values(), nameplate).name] += 1
        fitting = [p.name for p in PROFILES.values() if p.match and fits_whole(p.match, nameplate)]
        assert len(fitting) <= 1, nameplate
    assert set(chosen) == {p.name for p in PROFILES.values() if p.match is not None}


def fits_whole(match: Match, nameplate: Nameplate) -> bool:
    """The plain meaning of ``[match]``, by the library's own patterns."""
    return all(
        any(
            said == one or (isinstance(one, str) and isinstance(said, str) and fnmatch(said, one))
            for one in wanted
        )
        for word in fields(match)
        if (wanted := getattr(match, word.name))
        for said in [getattr(nameplate, word.name)]
    )


def test_the_table_of_profiles_is_the_one_that_the_files_give() -> None:
    page = Path(__file__).parents[2] / "docs" / "profiles.md"
    assert page.read_text("utf-8") == index_page(PROFILES), (
        "gateway profile index > docs/profiles.md"
    )


@pytest.mark.parametrize("name", profile_names())
def test_every_file_is_in_the_one_layout(name: str) -> None:
    text = shipped_profiles().joinpath(f"{name}.toml").read_text("utf-8")
    assert canonical(text, name) == text, "gateway profile fmt firmware_profiles"


def test_every_quirk_of_the_list_is_a_switch_or_stated_or_borne() -> None:
    borne = {Quirk.FLOAT32_REGISTERS, Quirk.SHORT_SCALER_PROFILE}
    assert {*SWITCHES, *STATED, *borne} == set(Quirk)
    assert not SWITCHES & set(STATED)
