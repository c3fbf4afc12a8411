"""A comparison that cannot find a difference proves nothing: each kind of difference is found."""

from decimal import Decimal

import pytest

from proofs.comparison import Comparison, normal_form

STATED = {
    "1.0.1.8.0.255": {"value": Decimal("12.5"), "unit": "Wh"},
    "rows": [1, 2],
    "final": True,
    "name": "KFM_001",
    "when": "2019-12-16 07:59:40",
    "mechanism": None,
}
FOUND = {
    "1.0.1.8.0.255": {"value": Decimal("12.50"), "unit": "Wh", "more": 1},
    "rows": [1, Decimal("2.0")],
    "final": True,
    "name": "KFM_001",
    "when": "2019-12-16T07:59:40",
    "mechanism": None,
    "more": [1, 2, 3],
}


def differences(stated: object, found: object) -> list[str]:
    comparison = Comparison()
    comparison.compare(stated, found, "file")
    return comparison.differences


def test_found_values_may_be_more_than_the_stated_ones_and_every_stated_one_is_counted() -> None:
    comparison = Comparison()
    comparison.compare(STATED, FOUND, "file")
    assert comparison.differences == []
    assert comparison.values == 8


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("1.0.1.8.0.255", {"value": Decimal("12.51"), "unit": "Wh"}, "file.1.0.1.8.0.255.value"),
        ("1.0.1.8.0.255", {"value": Decimal("12.5"), "unit": "kWh"}, "file.1.0.1.8.0.255.unit"),
        ("1.0.1.8.0.255", {"value": Decimal("12.5")}, "file.1.0.1.8.0.255.unit"),
        ("1.0.1.8.0.255", 12, "file.1.0.1.8.0.255.value"),
        ("rows", [1], "file.rows"),
        ("rows", [2, 1], "file.rows[0]"),
        ("rows", "12", "file.rows"),
        ("final", 1, "file.final"),
        ("final", False, "file.final"),
        ("name", "KFM_002", "file.name"),
        ("name", None, "file.name"),
        ("when", "2019-12-16T07:59:41", "file.when"),
        ("when", "2019-12-16T07:59:40+00:00", "file.when"),
        ("mechanism", "LLS", "file.mechanism"),
        ("mechanism", False, "file.mechanism"),
    ],
)
def test_a_value_that_differs_is_named_with_its_place(key: str, value: object, place: str) -> None:
    found = differences(STATED, {**FOUND, key: value})
    assert found
    assert found[0].startswith(f"{place}: stated ")


@pytest.mark.parametrize("key", STATED)
def test_a_value_that_is_missing_is_named(key: str) -> None:
    found = {name: value for name, value in FOUND.items() if name != key}
    assert [text.split(":")[-1] for text in differences(STATED, found)]


def test_a_number_is_no_text_and_text_is_no_number() -> None:
    assert differences(5, "5")
    assert differences("5", 5)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2019-12-16 07:59:40", "2019-12-16T07:59:40"),
        ("2019-12-16T07:59:40", "2019-12-16T07:59:40"),
        ("2020-01-21T16:00:00+00:00", "2020-01-21T16:00:00+00:00"),
        ("2019-12-16 07:59", "2019-12-16 07:59"),
    ],
)
def test_only_the_space_of_a_local_time_is_made_equal(text: str, normal: str) -> None:
    assert normal_form(text) == normal
