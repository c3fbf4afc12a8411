"""The product's client reads emulated meters, joined in memory: whole sessions, and faults."""

from __future__ import annotations

from itertools import count

import pytest

from gateway.dlms import reading
from gateway.dlms.association.requests import Action, Get
from gateway.dlms.classes import DISCONNECT_CONTROL, ClassId
from gateway.dlms.limits import Limits
from gateway.dlms.plan import Span
from gateway.dlms.selective_access import EntryDescriptor
from gateway.dlms.values import to_rows
from gateway.errors import NoAnswer, PeerRefused, SecurityError
from gateway.model import CaptureObject, Obis, Row, TimeQuality
from hil_tests.emulator.station import Station
from tests.emulator.rig import NOW_S, RULES, Client, Rig, meter_scenario

BLOCK = Obis.parse("1-0:99.1.0*255")
DAILY = Obis.parse("1-0:99.2.0*255")
SNAPSHOT = Obis.parse("1-0:94.91.0*255")
SCALERS = {
    SNAPSHOT: Obis.parse("1-0:94.91.3*255"),
    BLOCK: Obis.parse("1-0:94.91.4*255"),
    DAILY: Obis.parse("1-0:94.91.5*255"),
}
ENERGIES = {
    BLOCK: ("1-0:1.29.0*255", "1-0:9.29.0*255", "1-0:2.29.0*255", "1-0:10.29.0*255"),
    DAILY: ("1-0:1.8.0*255", "1-0:9.8.0*255", "1-0:2.8.0*255", "1-0:10.8.0*255"),
}
LIMITS = Limits()
DAY_S = 86_400
MIDNIGHT = NOW_S - 50_000

WIRES = ["tcp", "hdlc+tcp"]
CIPHERINGS = ["none", "authenticated", "encrypted", "both"]


def read(client: Client, profile: Obis, access: object = None) -> list[Row]:
    """Rows of a profile as the product reads and scales them."""
    capture_list = client.run(reading.read_capture_list(profile, SCALERS[profile]))
    buffer = client.run(reading.read_buffer(profile, access, LIMITS))  # type: ignore[arg-type]
    rows, _ = to_rows(buffer.rows, capture_list, RULES, period_s=1800, received_at_s=NOW_S)
    places = [
        [column.source.obis for column in capture_list.columns].index(Obis.parse(name))
        for name in ENERGIES.get(profile, ())
    ]
    return [
        Row(row.captured_at_s, tuple(row.values[at] for at in places) or row.values, row.raw)
        for row in rows
    ]


def expected(rig: Rig, profile: Obis) -> list[tuple[int, tuple[object, ...]]]:
    truth = rig.truth.block_rows(NOW_S) if profile == BLOCK else rig.truth.daily_rows(NOW_S)
    return [(row.captured_at_s, tuple(row.shown)) for row in truth]


def plain(rows: list[Row]) -> list[tuple[int, tuple[object, ...]]]:
    return [(row.captured_at_s, row.values) for row in rows]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("encoding", ["integer", "float32"])
@pytest.mark.parametrize("model", ["single_phase", "three_phase"])
def test_what_a_meter_reader_reads_is_the_truth_to_the_last_digit(wire, encoding, model):
    text = f'model = "{model}"\nencoding = "{encoding}"\nexports = true'
    rig = Rig(meter_scenario(text, wire=wire))
    client = rig.client("meter_reader")
    client.open()
    assert plain(read(client, DAILY)) == expected(rig, DAILY)
    day = reading.range_of(Span(MIDNIGHT - DAY_S + 1, MIDNIGHT), RULES)
    blocks = [row for row in expected(rig, BLOCK) if MIDNIGHT - DAY_S < row[0] <= MIDNIGHT]
    assert len(blocks) == 48
    assert plain(read(client, BLOCK, day)) == blocks
    (now,) = read(client, SNAPSHOT)
    assert now.captured_at_s == NOW_S
    client.close()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("ciphering", CIPHERINGS)
@pytest.mark.parametrize("mechanism", ["hls2", "gmac"])
def test_utility_settings_drive_the_switch_under_every_protection(wire, ciphering, mechanism):
    text = f'ciphering = "{ciphering}"\nsettings_authentication = "{mechanism}"'
    rig = Rig(meter_scenario(text, wire=wire))
    client = rig.client("utility_settings")
    client.open()
    for method, connected in ((1, False), (2, True)):
        client.ask(Action(ClassId.DISCONNECT_CONTROL, DISCONNECT_CONTROL, method, b"\x0f\x00"))
        answer = client.ask(Get(ClassId.DISCONNECT_CONTROL, DISCONNECT_CONTROL, 2))
        assert answer.data == bytes((3, connected))
        assert rig.meter.switch.connected is connected
        assert (answer.invocation_counter is not None) == (ciphering != "none")
    client.close()


@pytest.mark.parametrize("wire", WIRES)
def test_the_public_association_reads_the_clock_and_the_counters(wire):
    rig = Rig(meter_scenario(wire=wire))
    reader = rig.client("meter_reader", counters=count(500))
    reader.open()
    reader.ask(Get(ClassId.CLOCK, Obis.parse("0-0:1.0.0*255"), 2))
    reader.close()
    public = rig.client("public")
    public.open()
    counter = public.run(reading.read_counter(Obis.parse("0-0:43.1.2*255")))
    assert counter == rig.meter.last_received["meter_reader"] >= 501
    assert public.run(reading.read_counter(Obis.parse("0-0:43.1.3*255"))) == 0
    with pytest.raises(PeerRefused, match="read-write-denied"):
        public.ask(Get(ClassId.REGISTER, Obis.parse("1-0:1.8.0*255"), 2))
    public.close()


@pytest.mark.parametrize("wire", WIRES)
def test_a_counter_that_was_used_before_is_refused_on_a_new_connection_too(wire):
    rig = Rig(meter_scenario(wire=wire))
    for counters, accepted in ((count(100), True), (count(90), False), (count(200), True)):
        rig.station = Station(rig.scenario, rig.keys, rig.meter)
        client = rig.client("meter_reader", counters=counters)
        if accepted:
            client.open()
            client.close()
        else:
            with pytest.raises((PeerRefused, SecurityError)):
                client.open()
    assert rig.meter.counters_refused == 1


def test_another_client_on_the_same_wire_begins_afresh():
    rig = Rig(meter_scenario(wire="hdlc+tcp"))
    for name in ("public", "meter_reader", "utility_settings", "public"):
        client = rig.client(name, counters=count(rig.meter.last_received[name] + 1))
        client.open()
        client.close()


def test_the_whole_block_load_comes_through_block_transfer():
    rig = Rig(meter_scenario("capture_period_s = 900\npdu_octets = 300", wire="hdlc+tcp"))
    client = rig.client("meter_reader")
    assert client.open().max_pdu_octets == 300
    assert plain(read(client, BLOCK)) == expected(rig, BLOCK)
    client.close()


@pytest.mark.parametrize("wire", WIRES)
def test_entries_select_the_newest_rows(wire):
    rig = Rig(meter_scenario(wire=wire))
    client = rig.client("meter_reader")
    client.open()
    assert plain(read(client, DAILY, EntryDescriptor(45, 0))) == expected(rig, DAILY)[-2:]
    client.close()


@pytest.mark.parametrize(("octets", "address"), [(1, 17), (2, 16), (2, 126), (4, 300), (4, 16_382)])
def test_meters_answer_at_addresses_of_one_two_and_four_octets(octets, address):
    text = f"address_octets = {octets}\naddress = {address}"
    client = Rig(meter_scenario(text, wire="hdlc+tcp")).client("meter_reader")
    client.open()
    client.close()


# Faults


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault", ["silent = true", "answers_at = 99"])
def test_a_silent_meter_and_a_wrong_address_look_like_silence(wire, fault):
    rig = Rig(meter_scenario(f"faults.{fault}", wire=wire))
    with pytest.raises(NoAnswer):
        rig.client("public").open()


@pytest.mark.parametrize("wire", WIRES)
def test_a_refused_association_names_its_reason(wire):
    rig = Rig(meter_scenario("faults.refuse_with = 13", wire=wire))
    with pytest.raises(PeerRefused, match="authentication-failure"):
        rig.client("meter_reader").open()


def test_a_wrong_address_of_one_octet_looks_like_silence():
    rig = Rig(meter_scenario("address_octets = 1\nfaults.answers_at = 99", wire="hdlc+tcp"))
    with pytest.raises(NoAnswer):
        rig.client("public").open()


def test_a_client_that_the_meter_does_not_know_gets_no_answer():
    rig = Rig(meter_scenario())
    station = rig.station
    assert station.receive(bytes.fromhex("0001 0011 0001 0001 60")) == b""
    assert station.receive(bytes.fromhex("0001 0010 0001 0001 60")) != b""


def test_octets_that_break_the_link_end_it_and_the_meter_waits_for_the_next():
    rig = Rig(meter_scenario())
    assert rig.station.receive(bytes.fromhex("0002 0010 0001 0001 60")) == b""
    client = rig.client("public")
    client.open()


def test_noise_before_each_answer_is_no_obstacle_on_hdlc():
    rig = Rig(meter_scenario("faults.noise_octets = 30\nfaults.split_octets = 7", wire="hdlc+tcp"))
    client = rig.client("meter_reader")
    client.open()
    assert plain(read(client, DAILY)) == expected(rig, DAILY)
    client.close()


def test_lost_answers_are_asked_for_again_and_nothing_comes_twice():
    rig = Rig(meter_scenario("faults.drop_every = 4", wire="hdlc+tcp"))
    client = rig.client("meter_reader")
    client.open()
    assert plain(read(client, DAILY)) == expected(rig, DAILY)
    client.close()


def test_a_lost_clock_is_read_as_invalid():
    rig = Rig(meter_scenario("faults.clock_at_1970 = true"))
    client = rig.client("meter_reader")
    client.open()
    capture_list = client.run(reading.read_capture_list(SNAPSHOT, SCALERS[SNAPSHOT]))
    buffer = client.run(reading.read_buffer(SNAPSHOT, None, LIMITS))
    rows, _ = to_rows(buffer.rows, capture_list, RULES, period_s=0, received_at_s=NOW_S)
    assert rows[0].time_quality is TimeQuality.INVALID


@pytest.mark.parametrize(
    ("fault", "moved"),
    [("export_columns_first = true", DAILY), ("extra_column = true", BLOCK)],
)
def test_changed_columns_change_the_capture_list_and_no_value(fault, moved):
    before, after = Rig(meter_scenario()), Rig(meter_scenario(f"faults.{fault}"))
    digests = set()
    for rig in (before, after):
        client = rig.client("meter_reader")
        client.open()
        digests.add(client.run(reading.read_capture_list(moved, SCALERS[moved])).digest)
        assert plain(read(client, moved)) == expected(rig, moved)
    assert len(digests) == 2


def test_a_changed_scaler_changes_the_capture_list_and_the_digits_shown():
    rig = Rig(meter_scenario("faults.energy_scaler_shift = -1"))
    client = rig.client("meter_reader")
    client.open()
    capture_list = client.run(reading.read_capture_list(DAILY, SCALERS[DAILY]))
    scalers = {column.source: column.scaler for column in capture_list.columns}
    assert scalers[CaptureObject(3, Obis.parse("1-0:1.8.0*255"), 2)] == 0
    assert plain(read(client, DAILY)) == expected(rig, DAILY)
