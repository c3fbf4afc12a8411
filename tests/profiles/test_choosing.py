"""Which profile is a meter's: one, or an error that says what was read and what came near."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigErrors, NoProfileFits
from gateway.profile import (
    Association,
    FirmwareProfile,
    Match,
    Nameplate,
    Time,
    check_matches,
    choose,
    matches_overlap,
)
from gateway.profile.matching import fits


def profile(name: str, match: Match | None, *inherits: str) -> FirmwareProfile:
    return FirmwareProfile(
        name=name,
        description=name,
        match=match,
        inherits=inherits,
        associations={"reader": Association(client=32)},
        time=Time(zone_minutes=330, deviation_sign=-1),
    )


BASE = profile("base", None)
SMART = profile("smart", Match(meter_type=(6,), category=("D1",)), "base")
MAKE = profile("make", Match(manufacturer=("Maker*",), meter_type=(6,)), "smart", "base")
FIRMWARE = profile(
    "firmware", Match(manufacturer=("Maker*",), firmware=("2.*",)), "make", "smart", "base"
)
LARGE = profile("large", Match(meter_type=(7,), category=("D2",)), "base")
ALL = [BASE, SMART, MAKE, FIRMWARE, LARGE]


def said(**words: object) -> Nameplate:
    whole = {
        "logical_device_name": "XYZ1",
        "manufacturer": "Other",
        "firmware": "1.0",
        "meter_type": 6,
        "category": "D1",
    }
    return Nameplate(**{**whole, **words})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nameplate", "name"),
    [
        (said(), "smart"),
        (said(meter_type=7, category="D2"), "large"),
        (said(manufacturer="Maker & Sons"), "make"),
        (said(manufacturer="Maker & Sons", firmware="2.7"), "firmware"),
    ],
)
def test_the_profile_that_knows_most_is_taken(nameplate: Nameplate, name: str) -> None:
    assert choose(ALL, nameplate).name == name


def test_no_fit_says_what_was_read_and_what_each_near_profile_wants() -> None:
    with pytest.raises(NoProfileFits) as caught:
        choose(ALL, said(meter_type=9, category="D9"))
    assert caught.value.read == (
        "logical_device_name 'XYZ1', manufacturer 'Other', firmware '1.0', meter_type 9,"
        " category 'D9'"
    )
    assert "smart (meter_type is 6; category is D1)" in caught.value.near
    assert caught.value.exit_code == 2


def test_more_than_one_fit_is_no_fit_and_names_them() -> None:
    twin = profile("twin", Match(category=("D?",)), "base")
    with pytest.raises(NoProfileFits) as caught:
        choose([*ALL, twin], said())
    assert set(caught.value.near) == {"smart (fits)", "twin (fits)"}


def test_what_was_not_told_fits_nothing_and_forbids_the_choice_of_a_base() -> None:
    """The firmware could be the one that the nearer profile is for."""
    with pytest.raises(NoProfileFits, match=r"firmware \(firmware was not told\)"):
        choose(ALL, said(manufacturer="Maker", firmware=None))
    assert choose(ALL, said(firmware=None)).name == "smart"


def test_bases_are_never_chosen() -> None:
    with pytest.raises(NoProfileFits, match="near are none"):
        choose([BASE], said())


TEXTS = ["".join(text) for length in range(4) for text in product("ab", repeat=length)]
PATTERNS = st.lists(st.text("ab?*", max_size=3), max_size=2).map(tuple)
MATCHES = st.builds(
    Match,
    manufacturer=PATTERNS,
    category=PATTERNS,
    meter_type=st.lists(st.integers(0, 2), max_size=2).map(tuple),
)


def claims(match: Match, nameplate: Nameplate) -> bool:
    text = nameplate.manufacturer or ""
    category = nameplate.category or ""
    return (
        (not match.manufacturer or any(fits(one, text) for one in match.manufacturer))
        and (not match.category or any(fits(one, category) for one in match.category))
        and (not match.meter_type or nameplate.meter_type in match.meter_type)
    )


@given(MATCHES, MATCHES)
@settings(max_examples=150, deadline=None)
def test_matches_overlap_exactly_when_some_meter_fits_both(one: Match, other: Match) -> None:
    found = any(
        claims(one, plate) and claims(other, plate)
        for text, category in product(TEXTS, repeat=2)
        for meter_type in range(3)
        for plate in [Nameplate(manufacturer=text, category=category, meter_type=meter_type)]
    )
    # Texts of three letters are not all there are: two patterns may meet in longer ones only.
    assert not found or matches_overlap(one, other)
    if not matches_overlap(one, other):
        check_matches([profile("one", one), profile("other", other)])
    else:
        with pytest.raises(ConfigErrors):
            check_matches([profile("one", one), profile("other", other)])


@given(st.lists(MATCHES, max_size=4), st.sampled_from(TEXTS), st.integers(0, 2))
@settings(max_examples=150, deadline=None)
def test_profiles_that_do_not_overlap_leave_one_choice_at_most(
    matches: list[Match], text: str, meter_type: int
) -> None:
    profiles = [profile(f"p{number}", match) for number, match in enumerate(matches)]
    nameplate = Nameplate(
        manufacturer=text, category=text, meter_type=meter_type, firmware="", logical_device_name=""
    )
    fitting = [p.name for p in profiles if p.match and claims(p.match, nameplate)]
    if len(fitting) == 1:
        assert choose(profiles, nameplate).name == fitting[0]
    else:
        with pytest.raises(NoProfileFits):
            choose(profiles, nameplate)
