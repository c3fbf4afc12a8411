"""gateway read --set: what the meter holds arrives to the last digit, over every wire."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from gateway.model import Obis
from hil_tests.emulator.incidents import Incident
from tests.cli.bench import NOW_S, Bench, Laptop, block_value, dotted, register_now

WIRES = ["WRAPPER", "DATAGRAM", "HDLC", "BUS"]
IST = timezone(timedelta(minutes=330))
CLOCK = "0.0.1.0.0.255"
MORNING = ("--from", "2026-05-01T10:00", "--to", "2026-05-01T12:00")


def local(utc_s: int) -> str:
    return datetime.fromtimestamp(utc_s, IST).isoformat()


def only_buffer(document: Any) -> Any:
    [buffer] = document["buffers"]
    return buffer


@pytest.mark.parametrize("serial", WIRES)
def test_the_nameplate_says_who_the_meter_is(laptop: Laptop, serial: str) -> None:
    buffer = only_buffer(laptop.document(serial, "--set", "nameplate"))
    [row] = buffer["rows"]
    named = dict(zip([c["name"] for c in buffer["columns"]], row["values"], strict=True))
    assert named["serial_number"] == serial
    assert named["device_id"] == f"EMU{serial}"
    assert named["firmware_version"] == "EMU-1.0"
    assert named["meter_type"] == (7 if serial == "HDLC" else 6)


@pytest.mark.parametrize("serial", WIRES)
def test_present_values_are_the_meters_own(bench: Bench, laptop: Laptop, serial: str) -> None:
    buffer = only_buffer(laptop.document(serial, "--set", "instantaneous"))
    [row] = buffer["rows"]
    compared = 0
    for column, value in zip(buffer["columns"], row["values"], strict=True):
        name = dotted(column)
        if name == CLOCK:
            assert value == local(NOW_S)
        elif column["class"] == 3 and name != "0.0.0.1.2.255":
            assert value == register_now(bench, serial, name), name
            compared += 1
    assert compared >= 12
    title = bench.fleet.document()["meters"][list(bench.fleet.meters).index(serial)]
    assert buffer["server_system_title"] == title["server_system_title"]
    assert buffer["invocation_counter"] > 0


@pytest.mark.parametrize("serial", [*WIRES, "OPTICAL"])
def test_daily_registers_are_the_meters_own(bench: Bench, laptop: Laptop, serial: str) -> None:
    span = ("--from", "2026-04-25T00:00", "--to", "2026-05-01T00:00")
    buffer = only_buffer(laptop.document(serial, "--set", "daily", *span))
    names = [dotted(column) for column in buffer["columns"]]
    found = [dict(zip(names, row["values"], strict=True)) for row in buffer["rows"]]
    wanted = [
        {
            CLOCK: local(row.captured_at_s),
            "1.0.1.8.0.255": row.shown.import_wh,
            "1.0.9.8.0.255": row.shown.import_vah,
            "1.0.2.8.0.255": row.shown.export_wh,
            "1.0.10.8.0.255": row.shown.export_vah,
        }
        for row in bench.truth(serial).daily_rows(NOW_S)
    ]
    assert found == wanted[-7:]
    assert [c["unit"] for c in buffer["columns"]] == [None, "Wh", "VAh", "Wh", "VAh"]


@pytest.mark.parametrize("serial", WIRES)
def test_load_of_a_morning_is_the_meters_own(bench: Bench, laptop: Laptop, serial: str) -> None:
    buffer = only_buffer(laptop.document(serial, "--set", "block", *MORNING))
    ends = range(NOW_S - 62 - 7200, NOW_S, 1800)
    assert [row["captured_at"] for row in buffer["rows"]] == [
        datetime.fromtimestamp(end_s, UTC).isoformat() for end_s in ends
    ]
    entry = bench[serial].scenario
    compared = 0
    for row, end_s in zip(buffer["rows"], ends, strict=True):
        for column, value in zip(buffer["columns"], row["values"], strict=True):
            if dotted(column) == CLOCK:
                assert value == local(end_s)
            elif column["class"] == 3:
                assert value == block_value(bench, entry, dotted(column), end_s)
                compared += 1
    assert compared >= 5 * 7


@pytest.mark.parametrize("serial", ["ECHO", "DIRECT"])
def test_every_kind_of_optical_head_is_read(bench: Bench, laptop: Laptop, serial: str) -> None:
    found = laptop.document(serial, "--obis", "1-0:1.8.0*255")
    assert found["value"] == register_now(bench, serial, "1.0.1.8.0.255")


def test_datagrams_that_get_lost_are_asked_for_again(bench: Bench, laptop: Laptop) -> None:
    words = ("--set", "block", *MORNING)
    lossy = only_buffer(laptop.document("LOSSY", *words, timeout="0.3"))
    ends = range(NOW_S - 62 - 7200, NOW_S, 1800)
    assert [row["captured_at"] for row in lossy["rows"]] == [
        datetime.fromtimestamp(end_s, UTC).isoformat() for end_s in ends
    ]
    energy = [dotted(column) for column in lossy["columns"]].index("1.0.1.29.0.255")
    entry = bench["LOSSY"].scenario
    assert [row["values"][energy] for row in lossy["rows"]] == [
        block_value(bench, entry, "1.0.1.29.0.255", end_s) for end_s in ends
    ]


def test_json_numbers_keep_the_digits_that_the_meter_sent(laptop: Laptop) -> None:
    result = laptop.read("WRAPPER", "--json", "--set", "block", *MORNING)
    buffer = only_buffer(json.loads(result.stdout, parse_float=str))
    names = [column["name"] for column in buffer["columns"]]
    scaler = buffer["columns"][names.index("average_current_a")]["scaler"]
    currents = [row["values"][names.index("average_current_a")] for row in buffer["rows"]]
    assert scaler == -2
    assert all(len(text.partition(".")[2]) == 2 for text in currents)


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC"])
def test_csv_has_a_head_and_a_line_for_each_row_whatever_their_number(
    laptop: Laptop, serial: str
) -> None:
    one = ("--from", "2026-05-01T12:00", "--to", "2026-05-01T12:00")
    for span, count in ((MORNING, 5), (one, 1)):
        document = only_buffer(laptop.document(serial, "--set", "block", *span))
        result = laptop.read(serial, "--csv", "--set", "block", *span)
        head, *rows = csv.reader(io.StringIO(result.stdout, newline=""))
        assert len(rows) == count
        assert head[0] == "clock"
        assert all(len(row) == len(head) == len(document["columns"]) for row in rows)
        numbers = [[Decimal(cell) for cell in row[1:]] for row in rows]
        assert numbers == [row["values"][1:] for row in document["rows"]]


def test_times_are_the_meters_unless_they_have_an_offset(laptop: Laptop) -> None:
    found = [
        [row["captured_at"] for row in only_buffer(laptop.document("WRAPPER", *words))["rows"]]
        for words in (
            ("--set", "block", *MORNING),
            ("--set", "block", "--from", "2026-05-01T04:30Z", "--to", "2026-05-01T12:00+05:30"),
            ("--set", "block", "--from", "2026-05-01T10:00Z", "--to", "2026-05-01T12:00Z"),
        )
    ]
    assert len(found[0]) == 5
    assert found[1] == found[0]
    assert found[2] == []


def test_without_rows_that_is_said_beside_the_output(laptop: Laptop) -> None:
    result = laptop.read("WRAPPER", "--set", "daily", "--from", "2027-01-01", "--to", "2027-01-02")
    assert result.exit_code == 0
    assert result.stderr == "daily_load: the meter has no rows for this time\n"


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC"])
def test_billing_rows_are_registers_at_the_ends_of_months(laptop: Laptop, serial: str) -> None:
    buffer = only_buffer(laptop.document(serial, "--set", "billing"))
    names = [column["name"] for column in buffer["columns"]]
    assert names[:3] == ["billing_date", "average_power_factor", "energy_import_wh"]
    assert buffer["rows"]
    for row in buffer["rows"]:
        assert row["values"][0].endswith("-01T00:00:00+05:30")
        stated, taken = (
            datetime.fromisoformat(at) for at in (row["values"][0], row["captured_at"])
        )
        assert stated == taken


def take_away(bench: Bench, patch: pytest.MonkeyPatch, serial: str, *names: str) -> None:
    """Let a meter have fewer buffers than its profile says."""
    meter = bench[serial].meter
    gone = {Obis.parse(name) for name in names}
    kept = {key: one for key, one in meter._objects.items() if key[1] not in gone}
    patch.setattr(meter, "_objects", kept)
    patch.setattr(meter, "_names", {obis for _, obis in kept})


@pytest.mark.parametrize(
    ("name", "logs"),
    [("events", [f"0.0.99.98.{number}.255" for number in range(7)]), ("daily", ["1.0.99.2.0.255"])],
)
def test_a_buffer_that_the_meter_has_not_is_named(
    bench: Bench, laptop: Laptop, monkeypatch: pytest.MonkeyPatch, name: str, logs: list[str]
) -> None:
    take_away(bench, monkeypatch, "WRAPPER", *logs)
    result = laptop.read("WRAPPER", "--set", name)
    assert result.exit_code == 1
    assert result.stderr.startswith("PeerRefused: GET of ")
    assert name[:5] in result.stderr
    assert "object-undefined" in result.stderr
    assert result.stdout == ""


def test_one_log_that_the_meter_has_not_costs_the_others_nothing(
    bench: Bench, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_away(bench, monkeypatch, "WRAPPER", "0.0.99.98.1.255")
    result = laptop.read("WRAPPER", "--set", "events", "--json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["buffers"]) == 6
    assert "events/current" in result.stderr


def test_a_table_reads_downwards_when_there_is_one_row(laptop: Laptop) -> None:
    text = laptop.read("HDLC", "--set", "instantaneous").stdout
    lines = [line for line in text.splitlines() if "energy_import_wh" in line]
    assert len(lines) == 1
    assert "[Wh]" in lines[0]


def test_a_table_has_a_line_for_each_of_several_rows(laptop: Laptop) -> None:
    text = laptop.read("HDLC", "--set", "block", *MORNING).stdout
    lines = [line for line in text.splitlines() if "2026-05-01T" in line]
    assert [line.split("│")[1].strip() for line in lines] == [
        f"2026-05-01T{time}:00+05:30" for time in ("10:00", "10:30", "11:00", "11:30", "12:00")
    ]


@pytest.mark.parametrize("profile_set", ["nameplate", "instantaneous", "daily", "block"])
def test_the_settings_client_reads_the_same(laptop: Laptop, profile_set: str) -> None:
    span = MORNING if profile_set == "block" else ()
    if profile_set == "daily":
        span = ("--from", "2026-04-29", "--to", "2026-05-01")
    words = ("--set", profile_set, *span)
    reader = only_buffer(laptop.document("WRAPPER", *words))
    settings = only_buffer(laptop.document("WRAPPER", *words, client="us"))
    assert [row["values"] for row in settings["rows"]] == [row["values"] for row in reader["rows"]]
    assert reader["rows"]


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC"])
def test_any_time_may_be_asked_for(laptop: Laptop, serial: str) -> None:
    span = ("--from", "0001-01-01", "--to", "9999-12-31T23:59:59")
    buffer = only_buffer(laptop.document(serial, "--set", "daily", *span))
    assert len(buffer["rows"]) == 62


@pytest.mark.parametrize("serial", ["WRAPPER", "HDLC"])
def test_event_logs_are_all_there_with_the_names_of_their_events(
    bench: Bench, laptop: Laptop, serial: str
) -> None:
    meter = bench[serial].meter
    meter.happen(Incident.OVER_VOLTAGE)
    meter.happen(Incident.OVER_VOLTAGE, ended=True)
    meter.happen(Incident.COVER_OPEN)
    document = laptop.document(serial, "--set", "events")
    buffers = {buffer["buffer"]: buffer["rows"] for buffer in document["buffers"]}
    assert len(buffers) == 7
    named = [(row["event"], row["phase"]) for row in buffers["events/voltage"]]
    assert named == [("over_voltage", "occurred"), ("over_voltage", "ended")]
    (opened,) = buffers["events/non_rollover"]
    assert opened["event"] == "meter_cover_open"
    assert opened["captured_at"] == "2026-05-01T06:31:02+00:00"
    assert buffers["events/power"] == []
    told = laptop.read(serial, "--set", "events")
    assert "over_voltage" in told.stdout
    assert "meter_cover_open" in told.stdout
