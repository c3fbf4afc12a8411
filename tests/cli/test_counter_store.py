"""The laptop's counters: durable, rising, and brought up to a meter that is further on."""

import shutil

import pytest

from tests.cli.bench import Bench, Laptop

CLOCK = ("--obis", "0-0:1.0.0*255")
GENERIC = {"profile": "generic", "auth": "lls", "security": "both"}
READER = "meter_reader"


def highest(bench: Bench, serial: str) -> int:
    return bench[serial].meter.last_received[READER]


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
def test_each_read_uses_higher_counters_than_the_one_before(
    bench: Bench, laptop: Laptop, serial: str
) -> None:
    laptop.document(serial, *CLOCK)
    refused, seen = bench[serial].meter.counters_refused, [highest(bench, serial)]
    for _ in range(3):
        laptop.document(serial, *CLOCK)
        seen.append(highest(bench, serial))
    assert seen == sorted(set(seen))
    assert bench[serial].meter.counters_refused == refused


@pytest.mark.parametrize("options", [{}, GENERIC], ids=["profile", "generic"])
def test_a_laptop_without_counters_asks_the_meter_first(
    bench: Bench, laptop: Laptop, options: dict[str, str]
) -> None:
    laptop.document("WRAPPER", *CLOCK)
    before, refused = highest(bench, "WRAPPER"), bench["WRAPPER"].meter.counters_refused
    shutil.rmtree(laptop.state)
    laptop.document("WRAPPER", *CLOCK, **options)
    assert highest(bench, "WRAPPER") > before
    assert bench["WRAPPER"].meter.counters_refused == refused


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
def test_a_laptop_that_another_reader_has_overtaken_catches_up(
    bench: Bench, laptop: Laptop, serial: str
) -> None:
    laptop.document(serial, *CLOCK)
    overtaken = highest(bench, serial) + 500
    bench[serial].meter.last_received[READER] = overtaken
    result = laptop.read(serial, *CLOCK)
    assert result.exit_code == 0, result.output
    assert "higher counters than ours" in result.stderr
    assert highest(bench, serial) > overtaken
    refused = bench[serial].meter.counters_refused
    laptop.document(serial, *CLOCK)
    assert bench[serial].meter.counters_refused == refused


def test_an_older_copy_of_the_counter_store_catches_up(bench: Bench, laptop: Laptop) -> None:
    laptop.document("WRAPPER", *CLOCK)
    copy = laptop.state.with_name("copy")
    shutil.copytree(laptop.state, copy)
    for _ in range(2):
        laptop.document("WRAPPER", *CLOCK)
    before = highest(bench, "WRAPPER")
    laptop.document("WRAPPER", *CLOCK, state=copy)
    assert highest(bench, "WRAPPER") > before


def test_a_jump_too_far_is_not_believed(bench: Bench, laptop: Laptop) -> None:
    laptop.document("GMAC", *CLOCK)
    bench["GMAC"].meter.last_received[READER] += 1 << 30
    for _ in range(2):
        result = laptop.read("GMAC", *CLOCK)
        assert result.exit_code == 4
        assert "is believed" in result.stderr
    bench["GMAC"].meter.last_received[READER] -= 1 << 30
    laptop.document("GMAC", *CLOCK)


def test_a_wrong_key_spends_no_counters_of_the_right_one(bench: Bench, laptop: Laptop) -> None:
    laptop.document("WRAPPER", *CLOCK)
    before = highest(bench, "WRAPPER")
    wrong = laptop.changed_keys("WRAPPER", gak="55" * 16)
    assert laptop.read("WRAPPER", *CLOCK, keys=wrong).exit_code == 4
    laptop.document("WRAPPER", *CLOCK)
    assert highest(bench, "WRAPPER") < before + 1000
