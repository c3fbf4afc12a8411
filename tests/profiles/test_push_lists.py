"""Push lists of makers: strict files, each word of them proved by a recorded push."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.dlms.inspection import explain_capture, name_of, read_capture
from gateway.errors import ConfigError, ConfigErrors
from gateway.profile import load_profile, load_profiles, profile_names
from gateway.profile.push_lists import (
    PushLists,
    RecordedPush,
    load_push_lists,
    shipped_push_lists,
)

RECORDED = Path(__file__).parents[1] / "captures"
SHIPPED = load_push_lists()
PROOFS = [
    pytest.param(lists, capture, id=f"{capture.recorded}-{capture.frame}")
    for lists in SHIPPED.values()
    for capture in lists.captures
]

GOOD = """
make = "Maker"
description = "a meter"
source = "its interface description"
first_element = "list_ver_id"
[names]
"1-1:96.1.1*255" = "meter_type"
[scalers]
current_l1 = -2
[[list]]
name = "short"
values = ["current_l1"]
[[capture]]
recorded = "a_push"
[capture.values]
list_ver_id = "V1"
meter_type = "T"
current_l1 = "0.57"
"""


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def faults(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_push_lists(folder)
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else [caught.value]
    return [str(error) for error in errors]


def document(recorded: str) -> dict[str, Any]:
    return tomllib.loads((RECORDED / f"{recorded}.toml").read_text(encoding="utf-8"))


def found(lists: PushLists | None, push: RecordedPush) -> dict[str, object]:
    capture = read_capture(document(push.recorded), push.recorded)
    decoded = cast("dict[str, Any]", explain_capture(capture, maker=lists)["decoded"])
    message = decoded["message" if capture.layout == "message" else f"frame_{push.frame}"]
    return cast("dict[str, object]", message.get("decoded_fields", {}))


def spoken(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


# --- proof ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("lists", "push"), PROOFS)
def test_a_recorded_push_gives_exactly_the_values_that_the_file_says(
    lists: PushLists, push: RecordedPush
) -> None:
    fields = {name: spoken(value) for name, value in found(lists, push).items()}
    assert fields == {"meter_manufacturer": lists.make, **push.values}


@pytest.mark.parametrize(("lists", "push"), PROOFS)
def test_the_proof_is_a_push_of_the_same_maker(lists: PushLists, push: RecordedPush) -> None:
    assert document(push.recorded)["make"] == lists.make


def test_without_the_makers_file_nothing_is_guessed() -> None:
    for lists in SHIPPED.values():
        for push in lists.captures:
            assert found(None, push) == {}


def test_the_makers_with_recorded_pushes_have_a_file() -> None:
    assert set(SHIPPED) == {"Aidon", "Kaifa", "Kamstrup"}


@pytest.mark.parametrize(
    ("obis", "by_standard", "by_kamstrup"),
    [
        ("1.1.96.1.1.255", "", "meter_type"),
        ("1.1.1.7.0.255", "active_power_import", "active_power_import"),
        ("0.1.1.0.0.255", "meter_datetime", "meter_datetime"),
        ("7.0.1.7.0.255", "", ""),  # gas
        ("1.0.1.8.0.101", "", ""),  # an earlier billing period
        ("1.0.1.8.1.255", "", ""),  # one tariff
        ("nonsense", "", ""),
    ],
)
def test_a_logical_name_is_the_makers_before_it_is_the_standards(
    obis: str, by_standard: str, by_kamstrup: str
) -> None:
    assert name_of(obis) == by_standard
    assert name_of(obis, SHIPPED["Kamstrup"]) == by_kamstrup


# --- files ---------------------------------------------------------------------------------


def test_what_a_file_says_is_found_by_make(tmp_path: Path) -> None:
    lists = load_push_lists(write(tmp_path, any_name=GOOD))["Maker"]
    assert (lists.first_element, dict(lists.scalers)) == ("list_ver_id", {"current_l1": -2})
    assert [*lists.names.values()] == ["meter_type"]
    assert lists.list_of(1) == ("current_l1",)
    assert lists.list_of(2) == ()
    assert lists.captures[0].frame == 0
    with pytest.raises(TypeError):
        lists.scalers["voltage_l1"] = 0  # type: ignore[index]


WRONG = [
    ("make =", 'colour = "red"\nmake =', "m.toml: colour = '(not shown)'", "unknown key"),
    ("[scalers]", "[scaler]", "m.toml: scaler", "did you mean 'scalers'?"),
    ('make = "Maker"', "", "m.toml: make = '(missing)'", "required"),
    ('make = "Maker"', 'make = ""', "m.toml: make", "at least 1 character"),
    ('source = "its interface description"', "", "m.toml: source", "required"),
    ("= -2", '= "-2"', "m.toml: scalers.current_l1 = '-2'", "integer"),
    ("= -2", "= -2.0", "m.toml: scalers.current_l1", "integer"),
    ("= -2", "= 128", "m.toml: scalers.current_l1 = 128", "less than or equal to 127"),
    ("1-1:96.1.1*255", "96.1.1", "m.toml: names", "not an OBIS code"),
    ('["current_l1"]', "[]", "m.toml: list[0 short].values", "at least 1 item"),
    ('name = "short"', "", "m.toml: list[0].name", "required"),
    ('name = "short"', 'name = "short"\nplace = 1', "m.toml: list[0 short].place", "unknown key"),
    ('"a_push"', '"a_push"\nframe = -1', "m.toml: capture[0].frame = -1", "greater than or"),
    ('"0.57"', "0.57", "m.toml: capture[0].values.current_l1", "valid string"),
    (
        '["current_l1"]',
        '["current_l1", "current_l1"]',
        "m.toml: list[0 short].values = 'current_l1'",
        "must stand once",
    ),
    (
        "[[capture]]",
        '[[list]]\nname = "again"\nvalues = ["meter_type"]\n[[capture]]',
        "m.toml: list[1 again].values = 1",
        "no other list",
    ),
    (
        'values = ["current_l1"]',
        'values = ["current_l1", "current_l2"]',
        "m.toml: list[0 short].values",
        "needs a capture with all these values",
    ),
    ("= -2", "= -2\ncurent_l1 = -2", "m.toml: scalers = 'curent_l1'", "needs a capture"),
    ('= "meter_type"', '= "meter_typ"', "m.toml: names = 'meter_typ'", "needs a capture"),
    ('= "list_ver_id"', '= "list"', "m.toml: first_element = 'list'", "needs a capture"),
]


@pytest.mark.parametrize(
    ("old", "new", "says"), [(wrong[0], wrong[1], wrong[2:]) for wrong in WRONG]
)
def test_a_fault_names_file_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, says: tuple[str, ...]
) -> None:
    assert old in GOOD
    told = "\n".join(faults(write(tmp_path, m=GOOD.replace(old, new, 1))))
    assert all(part in told for part in says), told


def test_a_file_without_proof_is_refused(tmp_path: Path) -> None:
    text = GOOD.partition("[[capture]]")[0]
    assert any("capture = '(missing)'" in told for told in faults(write(tmp_path, m=text)))


def test_a_maker_has_one_file(tmp_path: Path) -> None:
    (told,) = faults(write(tmp_path, a=GOOD, b=GOOD))
    assert told == "b.toml: make = 'Maker': must have one file only"


def test_a_folder_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="readable folder"):
        load_push_lists(tmp_path / "none")


def test_push_lists_are_no_firmware_profiles() -> None:
    shipped = profile_names(shipped_push_lists())
    assert shipped == ["aidon", "kaifa", "kamstrup"]
    assert not set(shipped) & set(profile_names())
    assert not set(shipped) & set(load_profiles())
    with pytest.raises(ConfigError, match="must be one of is15959"):
        load_profile("push_lists/kaifa")
