"""gateway read --obis: single attributes, with and without a profile that knows the meter."""

import csv
import io
from decimal import Decimal

import pytest

from tests.cli.bench import NOW_S, Bench, Laptop, dotted, register_now

ENERGY = "1-0:1.8.0*255"
GENERIC = {"profile": "generic"}
METER_READER = {**GENERIC, "client": "mr", "auth": "lls", "security": "both"}


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS"])
@pytest.mark.parametrize("obis", [ENERGY, "1-0:1.8.0*255:2", "1.0.1.8.0.255", "1.0.1.8.0.255:2"])
def test_a_register_comes_with_scaler_and_unit(
    bench: Bench, laptop: Laptop, serial: str, obis: str
) -> None:
    found = laptop.document(serial, "--obis", obis)
    floats = bench[serial].scenario.encoding == "float32"
    assert found["value"] == register_now(bench, serial, "1.0.1.8.0.255")
    assert (found["name"], found["class"], found["attribute"]) == ("energy_import_wh", 3, 2)
    assert (found["scaler"], found["unit"]) == (3 if floats else 1, "Wh")
    assert found["type"] == ("float32" if floats else "double-long-unsigned")
    assert found["raw"][:2] == ("17" if floats else "06")


def test_another_attribute_is_read_as_it_is(laptop: Laptop) -> None:
    found = laptop.document("WRAPPER", "--obis", f"{ENERGY}:3")
    assert (found["value"], found["type"], found["scaler"]) == ([1, 30], "structure", None)
    name = laptop.document("WRAPPER", "--obis", f"{ENERGY}:1")
    assert (name["value"], name["type"]) == ("0100010800ff", "octet-string")


@pytest.mark.parametrize(
    ("obis", "class_id", "kind"),
    [
        (ENERGY, 3, "double-long-unsigned"),
        ("0-0:96.1.0*255", 1, "visible-string"),
        ("1-0:1.6.0*255", 4, "long-unsigned"),
        ("0-0:1.0.0*255", 8, "octet-string"),
        ("1-0:99.1.0*255:4", 7, "double-long-unsigned"),
        ("0-0:96.3.10*255", 70, "boolean"),
        ("0-0:17.0.0*255:3", 71, "double-long-unsigned"),
        ("0-0:40.0.0*255", 15, "array"),
        ("0-0:41.0.0*255", 17, "array"),
        ("0-0:43.0.2*255", 64, "enum"),
    ],
)
def test_the_class_is_found_by_trying_where_no_profile_names_it(
    laptop: Laptop, obis: str, class_id: int, kind: str
) -> None:
    found = laptop.document("WRAPPER", "--obis", obis, **METER_READER)
    assert (found["class"], found["type"], found["name"]) == (class_id, kind, None)


def test_members_of_a_structure_are_values_too(bench: Bench, laptop: Laptop) -> None:
    [entry] = laptop.document("WRAPPER", "--obis", "0-0:41.0.0*255")["value"]
    assert entry == [1, b"EMUWRAPPER".hex()]


def test_an_object_as_csv_is_a_head_and_a_line(bench: Bench, laptop: Laptop) -> None:
    result = laptop.read("WRAPPER", "--csv", "--obis", ENERGY)
    head, row = csv.reader(io.StringIO(result.stdout, newline=""))
    found = dict(zip(head, row, strict=True))
    assert Decimal(found["value"]) == register_now(bench, "WRAPPER", dotted(found))
    assert (found["name"], found["unit"]) == ("energy_import_wh", "Wh")


def test_a_table_names_the_object(laptop: Laptop) -> None:
    text = laptop.read("WRAPPER", "--obis", "0-0:1.0.0*255").stdout
    assert "2026-05-01T12:01:02+05:30" in text
    assert " clock " in text


# -- generic: any meter, as the command line says --------------------------------------------------


@pytest.mark.parametrize(
    ("serial", "options"),
    [
        ("WRAPPER", METER_READER),
        ("HDLC", METER_READER),
        ("BUS", METER_READER),
        ("WRAPPER", {**METER_READER, "client": "32"}),
        ("WRAPPER", {**METER_READER, "client": "us", "auth": "hls2"}),
        ("HDLC", {**METER_READER, "client": "48", "auth": "hls2"}),
        ("GMAC", {**METER_READER, "client": "us", "auth": "gmac"}),
        ("PLAIN", {**METER_READER, "security": "none"}),
        ("PLAIN", {**GENERIC, "auth": "lls"}),
        ("PLAIN", {**GENERIC, "client": "us", "auth": "hls2"}),
        ("SEALED", {**METER_READER, "security": "authenticated"}),
        ("HIDDEN", {**METER_READER, "security": "encrypted"}),
        ("HIDDEN", {**METER_READER, "client": "us", "auth": "hls2", "security": "encrypted"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()),
)
def test_any_meter_is_read_with_what_the_command_line_says(
    bench: Bench, laptop: Laptop, serial: str, options: dict[str, str]
) -> None:
    found = laptop.document(serial, "--obis", ENERGY, **options)
    assert found["value"] == register_now(bench, serial, "1.0.1.8.0.255")
    protected = options.get("security", "none") != "none"
    assert (found["invocation_counter"] is not None) == protected


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC", "BUS", "PLAIN"])
def test_the_public_client_needs_no_keys(laptop: Laptop, serial: str) -> None:
    for options in ({**GENERIC, "client": "public"}, {"client": "public"}, {"client": "16"}):
        found = laptop.document(serial, "--obis", "0-0:1.0.0*255", keys=None, **options)
        assert found["value"] == "2026-05-01T12:01:02+05:30"
        assert found["server_system_title"] is None


def test_the_server_address_may_stand_in_the_url_or_beside_it(bench: Bench, laptop: Laptop) -> None:
    url, _, address = bench["BUS"].url.rpartition("&server=")
    assert address == "18"
    for serial, server in (("BUS", "18"), ("NEIGHBOUR", "17")):
        found = laptop.document(
            serial, "--obis", "0-0:96.1.0*255", url=url, server=server, client="mr"
        )
        assert found["value"] == serial


def test_the_clock_is_read_at_the_meters_time(laptop: Laptop) -> None:
    found = laptop.document("WRAPPER", "--obis", "0-0:1.0.0*255:2")
    assert found["raw"] == "090c07ea0501050c010200014a00"
    assert NOW_S == 1_777_617_062
