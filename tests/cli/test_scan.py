"""gateway scan: what is wrong at a meter has its own name, and what is right is shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from hil_tests.emulator.catalogue import BILLING, DAILY_LOAD, Model
from tests.cli.bench import Laptop

DONE, REFUSED, USAGE, NO_ANSWER, SECURITY = range(5)
CLIENTS = [("public", 16), ("meter_reader", 32), ("utility_settings", 48), ("firmware", 80)]


def scan(
    laptop: Laptop, serial: str, *words: str, keys: Path | None = None, url: str | None = None
) -> tuple[int, dict[str, Any]]:
    meter = laptop.bench[serial]
    result = laptop.run(
        "scan",
        url or meter.url,
        "--json",
        *("--keys", keys or meter.keys_file),
        *("--state", laptop.state),
        *("--timeout", "1"),
        *words,
    )
    found = json.loads(result.stdout)
    return result.exit_code, {one["association"]: one for one in found["associations"]}


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
def test_each_association_that_opens_shows_its_objects(laptop: Laptop, serial: str) -> None:
    code, found = scan(laptop, serial)
    assert code == DONE
    assert list(found)[:3] == ["public", "meter_reader", "utility_settings"]
    for name, client in CLIENTS[:3]:
        assert (found[name]["client"], found[name]["outcome"]) == (client, "open")
        assert found[name]["device_name"].startswith("EMU")
    shown = {one["obis"] for one in found["meter_reader"]["objects"]}
    assert {"0-0:1.0.0*255", "1-0:99.2.0*255"} <= shown
    assert len(found["public"]["objects"]) < len(shown)


def test_columns_are_read_where_they_are_asked_for(laptop: Laptop) -> None:
    _, found = scan(laptop, "WRAPPER", "--columns")
    columns = found["meter_reader"]["columns"]
    for buffer, expected in (
        ("1-0:99.2.0*255", DAILY_LOAD),
        ("1-0:98.1.0*255", BILLING[Model.SINGLE_PHASE]),
    ):
        assert [c["obis"] for c in columns[buffer]] == [str(c.obis) for c in expected]
    assert columns["1-0:99.2.0*255"][1] == {
        "class": 3,
        "obis": "1-0:1.8.0*255",
        "attribute": 2,
        "scaler": 1,
        "unit": "Wh",
    }


def test_a_wrong_key_is_told_from_a_refused_password(laptop: Laptop) -> None:
    keys = laptop.changed_keys("WRAPPER", guek="77" * 16)
    code, found = scan(laptop, "WRAPPER", keys=keys)
    assert code == DONE, "the public client still opens"
    assert found["meter_reader"]["outcome"] == "wrong key"
    keys = laptop.changed_keys("WRAPPER", lls_password="not the password")
    _, found = scan(laptop, "WRAPPER", keys=keys)
    assert found["meter_reader"]["outcome"] == "rejected"
    assert "authentication-failure" in found["meter_reader"]["detail"]
    assert found["utility_settings"]["outcome"] == "open"


def test_missing_keys_are_named_and_nothing_is_tried_without_them(laptop: Laptop) -> None:
    _, found = scan(laptop, "WRAPPER", keys=laptop.changed_keys("WRAPPER", hls_secret=None))
    assert found["utility_settings"]["outcome"] == "not tried"
    assert "hls_secret" in found["utility_settings"]["detail"]
    assert found["meter_reader"]["outcome"] == "open"


def test_a_wrong_address_is_no_answer_to_the_link(laptop: Laptop) -> None:
    code, found = scan(laptop, "HDLC", "--server", "99")
    assert code == NO_ANSWER
    assert {one["outcome"] for one in found.values()} == {"no answer"}
    assert "nobody answers the opening of the link" in found["public"]["detail"]


def test_a_meter_that_hears_and_says_nothing_is_linked_and_not_associated(laptop: Laptop) -> None:
    code, found = scan(laptop, "SILENT")
    assert code == NO_ANSWER
    assert found["public"]["outcome"] == "linked, not associated"
    assert "the AARQ is not answered" in found["public"]["detail"]


def test_a_wire_that_is_not_there_ends_the_scan(laptop: Laptop) -> None:
    result = laptop.run("scan", "tcp://127.0.0.1:9", "--timeout", "1", "--state", laptop.state)
    assert result.exit_code == NO_ANSWER
    assert result.stderr.startswith("LinkLost")


def test_people_read_a_table(laptop: Laptop) -> None:
    meter = laptop.bench["WRAPPER"]
    words = ("--keys", meter.keys_file, "--state", laptop.state)
    text = laptop.run("scan", meter.url, *words).stdout
    assert "utility_settings" in text
    assert "EMUWRAPPER" in text
