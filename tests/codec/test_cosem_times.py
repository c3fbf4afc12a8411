"""COSEM date-times: exact octets, and instants that depend on the profile alone."""

import os
import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.cosem_time import (
    DEVIATION_NOT_SPECIFIED,
    SANE_FLOOR_S,
    CosemDate,
    CosemDateTime,
    CosemTime,
    TimeRules,
    ZeroDate,
    from_utc,
    resolve,
)
from gateway.errors import DecodeError, UsageError
from gateway.model import Instant, TimeQuality

INDIA = TimeRules(zone_minutes=330, deviation_sign=1)
BLUE_BOOK_INDIA = TimeRules(zone_minutes=330)
CENTRAL_EUROPE = TimeRules(zone_minutes=60)
NO_INSTANT = Instant(None, "", TimeQuality.INVALID)


def when(text: str) -> CosemDateTime:
    return CosemDateTime.from_octets(bytes.fromhex(text))


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_each_field_has_its_octets() -> None:
    octets = bytes.fromhex("07E90717 03 081E18FF 014A 00")
    read = CosemDateTime.from_octets(octets)
    assert read == CosemDateTime(CosemDate(2025, 7, 23, 3), CosemTime(8, 30, 24), 330, 0)
    assert read.to_octets() == octets
    assert CosemDate.from_octets(octets[:5]) == read.date
    assert CosemTime.from_octets(octets[5:9]) == read.time


def test_a_date_time_of_nothing_is_all_wild_cards() -> None:
    octets = bytes.fromhex("FFFF FF FF FF FF FF FF FF 8000 FF")
    assert CosemDateTime(CosemDate(), CosemTime()).to_octets() == octets
    assert CosemDateTime.from_octets(octets).deviation_minutes == DEVIATION_NOT_SPECIFIED


@given(st.binary(min_size=12, max_size=12))
def test_any_twelve_octets_survive_and_have_an_instant_or_none(octets: bytes) -> None:
    read = CosemDateTime.from_octets(octets)
    assert read.to_octets() == octets
    for rules in (INDIA, BLUE_BOOK_INDIA):
        instant = resolve(read, rules)
        if instant.utc_s is None:
            assert instant == NO_INSTANT
        else:
            assert utc(instant.local) == instant.utc_s


@pytest.mark.parametrize("length", [0, 4, 5, 11, 13])
def test_another_number_of_octets_is_refused(length: int) -> None:
    with pytest.raises(DecodeError, match="date-time has 12 octets"):
        CosemDateTime.from_octets(bytes(length))
    if length != 5:
        with pytest.raises(DecodeError, match="date has 5 octets"):
            CosemDate.from_octets(bytes(length))
    if length != 4:
        with pytest.raises(DecodeError, match="time has 4 octets"):
            CosemTime.from_octets(bytes(length))


@pytest.mark.parametrize(
    ("text", "rules", "local", "quality"),
    [
        # A real Indian meter: +330 for IST.
        ("07E90717 03 081E18FF 014A 00", INDIA, "2025-07-23T08:30:24+05:30", "ok"),
        # The same under the Blue Book's sign is eleven hours off: the profile must say which.
        ("07E90717 03 081E18FF 014A 00", BLUE_BOOK_INDIA, "2025-07-23T08:30:24-05:30", "ok"),
        ("07E90717 03 081E18FF FEB6 00", BLUE_BOOK_INDIA, "2025-07-23T08:30:24+05:30", "ok"),
        # The sign trap the other way, settled by the profile.
        (
            "07E90717 03 081E18FF FEB6 00",
            TimeRules(330, 1, use_deviation=False),
            "2025-07-23T08:30:24+05:30",
            "ok",
        ),
        ("07E90717 03 081E18FF 8000 00", INDIA, "2025-07-23T08:30:24+05:30", "ok"),
        ("07E90717 FF 081E18FF 8000 FF", INDIA, "2025-07-23T08:30:24+05:30", "ok"),
        # Central European summer time, with status 0x80: the deviation says all.
        ("07E5091B 01 092F0F00 FF88 80", CENTRAL_EUROPE, "2021-09-27T09:47:15+02:00", "ok"),
        ("07E60B0C 06 10360000 FFC4 00", CENTRAL_EUROPE, "2022-11-12T16:54:00+01:00", "ok"),
        ("07E40115 02 100000FF 0000 00", CENTRAL_EUROPE, "2020-01-21T16:00:00+00:00", "ok"),
        # Second and hundredths not specified; second 0 is what a capture means.
        ("07E90717 03 0800FFFF 8000 00", INDIA, "2025-07-23T08:00:00+05:30", "ok"),
        ("07E8021D 04 00000000 8000 00", INDIA, "2024-02-29T00:00:00+05:30", "ok"),
        # Clock status: invalid value, invalid status; doubtful alone is still a time.
        ("07E90717 03 081E18FF 8000 01", INDIA, "2025-07-23T08:30:24+05:30", "invalid"),
        ("07E90717 03 081E18FF 8000 08", INDIA, "2025-07-23T08:30:24+05:30", "invalid"),
        ("07E90717 03 081E18FF 8000 02", INDIA, "2025-07-23T08:30:24+05:30", "ok"),
        # A deviation of no zone on earth: the profile's zone, and no trust.
        ("07E90717 03 081E18FF 7000 00", INDIA, "2025-07-23T08:30:24+05:30", "invalid"),
        ("07E90717 03 081E18FF 0349 00", INDIA, "2025-07-23T08:30:24+05:30", "invalid"),
        ("07E90717 03 081E18FF 0348 00", INDIA, "2025-07-23T08:30:24+14:00", "ok"),
        # Clocks that lost their battery.
        ("07B20101 04 00000000 8000 00", INDIA, "1970-01-01T00:00:00+05:30", "invalid"),
        ("07D00101 06 00000000 8000 00", INDIA, "2000-01-01T00:00:00+05:30", "invalid"),
    ],
)
def test_a_date_time_means_one_instant(
    text: str, rules: TimeRules, local: str, quality: str
) -> None:
    assert resolve(when(text), rules) == Instant(utc(local), local, TimeQuality(quality))


@pytest.mark.parametrize(
    "text",
    [
        "FFFFFFFF FF FFFFFFFF 014A 00",  # maximum demand that never was, at a real meter
        "00000000 00 00000000 0000 00",
        "00000101 FF 00000000 8000 00",
        "07E90000 FF 00000000 8000 00",
        "07E9021D FF 00000000 8000 00",  # 29 February of a common year
        "07E90DFE FF 00000000 8000 00",
        "07E907FE FF 00000000 8000 00",  # last day of the month: a rule, not a date
        "07E9FD01 FF 00000000 8000 00",
        "FFFF0717 FF 00000000 8000 00",
        "07E90717 03 FF0000FF 8000 00",
        "07E90717 03 18000000 8000 00",
        "07E90717 03 083C0000 8000 00",
        "07E90717 03 08003C00 8000 00",
    ],
)
def test_a_date_that_is_not_specified_or_cannot_be_has_no_instant(text: str) -> None:
    assert resolve(when(text), INDIA) == NO_INSTANT


def test_a_zero_date_is_no_date_where_the_profile_says_so() -> None:
    rules = TimeRules(330, 1, zero_date=ZeroDate.NOT_SPECIFIED)
    assert resolve(when("07B20101 04 00000000 8000 00"), rules) == NO_INSTANT
    assert resolve(when("07D00101 06 00000000 8000 00"), rules) == NO_INSTANT
    assert resolve(when("07E90717 03 00000000 8000 00"), rules).utc_s is not None


def test_the_floor_is_the_first_second_of_2010() -> None:
    utc_rules = TimeRules(0)
    assert utc("2010-01-01T00:00:00+00:00") == SANE_FLOOR_S
    before = resolve(from_utc(SANE_FLOOR_S - 1, utc_rules), utc_rules)
    assert before == Instant(SANE_FLOOR_S - 1, "2009-12-31T23:59:59+00:00", TimeQuality.INVALID)
    assert resolve(from_utc(SANE_FLOOR_S, utc_rules), utc_rules).quality is TimeQuality.OK


rules_strategy = st.builds(
    TimeRules, st.integers(-840, 840), st.sampled_from([-1, 1]), st.sampled_from(list(ZeroDate))
)


@given(st.integers(SANE_FLOOR_S, 4_102_444_800), rules_strategy)
def test_an_instant_survives_the_way_to_the_meter_and_back(utc_s: int, rules: TimeRules) -> None:
    named = from_utc(utc_s, rules)
    assert CosemDateTime.from_octets(named.to_octets()) == named
    for form in (named, named.without_deviation):
        instant = resolve(form, rules)
        assert (instant.utc_s, instant.quality) == (utc_s, TimeQuality.OK)
    local = datetime.fromisoformat(resolve(named, rules).local)
    assert local.isoweekday() == named.date.weekday


def test_a_bound_states_the_deviation_with_the_profiles_sign() -> None:
    utc_s = utc("2025-07-22T18:30:00+00:00")
    assert from_utc(utc_s, INDIA).to_octets() == bytes.fromhex("07E90717 03 00000000 014A 00")
    assert from_utc(utc_s, BLUE_BOOK_INDIA).to_octets() == bytes.fromhex(
        "07E90717 03 00000000 FEB6 00"
    )
    assert from_utc(utc_s, INDIA).without_deviation.to_octets() == bytes.fromhex(
        "07E90717 03 00000000 8000 FF"
    )


@pytest.fixture
def far_away_host() -> Iterator[None]:
    """A host whose own zone is as wrong as it can be."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/Los_Angeles"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("far_away_host")
def test_the_zone_of_the_host_does_not_matter() -> None:
    assert time.timezone == 8 * 3600
    instant = resolve(when("07E90717 03 081E18FF 8000 00"), INDIA)
    assert instant.utc_s == utc("2025-07-23T03:00:24+00:00")
    assert from_utc(instant.utc_s, INDIA).time == CosemTime(8, 30, 24, 0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: TimeRules(841),
        lambda: TimeRules(0, 0),
        lambda: CosemDate(year=0x10000).to_octets(),
        lambda: CosemTime(hour=256).to_octets(),
        lambda: CosemDateTime(CosemDate(), CosemTime(), 40_000).to_octets(),
        lambda: from_utc(10**15, INDIA),
        lambda: from_utc(-(10**12), INDIA),
    ],
)
def test_what_has_no_octets_is_a_usage_error(build: object) -> None:
    assert callable(build)
    with pytest.raises(UsageError):
        build()
