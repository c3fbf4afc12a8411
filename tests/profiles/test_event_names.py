"""Codes of the logs and bits of the status word have stable names, from the profile alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigErrors
from gateway.events import EventKind, EventPhase, EventSource
from gateway.profile import event_of_code, load_profile, load_profiles, status_changes

PROFILE = load_profile("is15959_part2_single_phase")
OCCURRED, ENDED = EventPhase.OCCURRED, EventPhase.ENDED


def word(*bits: int) -> str:
    return "".join("1" if bit in bits else "0" for bit in range(128))


@pytest.mark.parametrize(
    ("log", "code", "name", "phase"),
    [
        ("voltage", 7, "over_voltage", OCCURRED),
        ("voltage", 8, "over_voltage", ENDED),
        ("power", 101, "power_failure", OCCURRED),
        ("power", 102, "power_failure", ENDED),
        ("control", 301, "load_disconnected", OCCURRED),
        ("control", 302, "load_disconnected", ENDED),
        ("non_rollover", 251, "meter_cover_open", OCCURRED),
        ("transaction", 158, "load_limit_set", OCCURRED),
        ("other", 217, "code_217", OCCURRED),
    ],
)
def test_a_code_has_one_name_and_an_unknown_one_keeps_its_number(log, code, name, phase) -> None:
    assert event_of_code(PROFILE, log, code) == EventKind(name, phase, log, code)


def test_every_code_of_every_shipped_profile_has_a_name() -> None:
    for profile in load_profiles().values():
        for log, codes in profile.events.items():
            for code in codes:
                assert not event_of_code(profile, log, code).name.startswith("code_"), code


def changes(before: str, after: str) -> list[tuple[str, str, str, int | None, str]]:
    return [
        (kind.name, kind.phase.value, kind.log, kind.code, source.value)
        for kind, source in status_changes(PROFILE, before, after)
    ]


def test_last_gasp_and_first_breath_are_the_codes_of_the_power_log() -> None:
    assert changes("", word(85)) == [("power_failure", "occurred", "power", 101, "push")]
    assert changes(word(85), word(86)) == [("power_failure", "ended", "power", 102, "push")]


def test_a_bit_that_lasts_ends_when_it_is_cleared_and_that_is_concluded() -> None:
    assert changes(word(3), word()) == [("over_voltage", "ended", "voltage", 8, "derived")]
    assert changes(word(84), "") == [("load_disconnected", "ended", "control", 302, "derived")]


def test_what_stays_set_is_told_once_and_an_opened_cover_has_no_end() -> None:
    assert changes(word(3, 81), word(3, 81)) == []
    assert changes(word(83), word()) == []


def test_an_unlisted_bit_keeps_its_number() -> None:
    assert changes("", word(119)) == [("bit_119", "occurred", "status_word", None, "push")]


@given(st.text("01", max_size=128), st.text("01", max_size=128))
def test_no_two_changes_of_one_word_are_the_same_event(before: str, after: str) -> None:
    kinds = [kind for kind, _ in status_changes(PROFILE, before, after)]
    assert len({(kind.name, kind.phase) for kind in kinds}) == len(kinds)
    told = {s for _, s in status_changes(PROFILE, before, after)}
    assert told <= {EventSource.PUSH, EventSource.DERIVED}


HEAD = """
description = "x"
association.public = { client = 16 }
time = { zone_minutes = 330, deviation_sign = 1 }
events.power = { 101 = "power failure" }
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("event_names = { a = { occurs = 102 } }", "must be a code of"),
        ("event_names = { a = { occurs = 101 }, b = { ends = 101 } }", "must stand once"),
        ("event_names = { a = { bit = 3 }, b = { bit_occurs = 3 } }", "must stand once"),
        ("event_names = { a = { bit = 128 } }", "128"),
        ('events_as_of = "yesterday"', "2025-07-23"),
        ('push = { association = "push" }', "must be one of public"),
        ('push = { association = "public", setups = { tamper = "0-0:25.9.0*255" } }', "tamper"),
    ],
)
def test_a_fault_in_the_list_names_its_place(tmp_path, text, fault) -> None:
    (tmp_path / "one.toml").write_text(HEAD + text)
    with pytest.raises(ConfigErrors, match=fault):
        load_profile("one", tmp_path)
