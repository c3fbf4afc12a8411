"""Settings are read, written once, read back exactly; silence is found out by reading."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.association.requests import Get
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.cosem_time import from_utc
from gateway.dlms.management.steps import Mark, Outcome, Result, StepKind, is_open, until_halt
from gateway.dlms.management.writing import Bits, Write, encode_as, is_so, write_all
from gateway.errors import NoAnswer, UsageError
from gateway.model import CaptureObject, Obis
from tests.emulator.rig import NOW_S, RULES, Rig, meter_scenario
from tests.management.driver import Driver, is_change, spoil

LIMIT = CaptureObject(71, Obis.parse("0-0:17.0.0*255"), 4)
ACTIVE = CaptureObject(71, Obis.parse("0-0:17.0.0*255"), 3)
PERIOD = CaptureObject(1, Obis.parse("1-0:0.8.0*255"), 2)
BALANCE = CaptureObject(1, Obis.parse("0-0:94.96.24*255"), 2)
BALANCE_TIME = CaptureObject(1, Obis.parse("0-0:94.96.25*255"), 2)
MESSAGE = CaptureObject(1, Obis.parse("0-0:96.13.1*255"), 2)
FILTER = CaptureObject(1, Obis.parse("0-0:94.91.26*255"), 2)
SERIAL = CaptureObject(1, Obis.parse("0-0:96.1.0*255"), 2)


def limit(watts: int, **other) -> Write:
    return Write(
        name="load_limit",
        target=LIMIT,
        wanted=Decimal(watts),
        tag=Tag.DOUBLE_LONG_UNSIGNED,
        effective=ACTIVE,
        **other,
    )


def run(driver: Driver, *writes: Write) -> Result:
    result = driver.attempt(lambda history: write_all(writes, history))
    assert isinstance(result, Result)
    return result


@pytest.mark.parametrize("encoding", ["integer", "float32"])
def test_a_load_limit_is_written_and_read_back_exactly_in_whatever_type_the_meter_shows(encoding):
    driver = Driver(Rig(meter_scenario(f'encoding = "{encoding}"')))
    assert run(driver, limit(5000)) == Result(Outcome.DONE)
    assert driver.kinds() == ["present", "sending", "after", "after"]
    before = driver.history[0].octets
    shown = Decimal(15120)
    assert is_so(axdr.decode(before), shown)
    assert driver.history[1].octets == bytes.fromhex("06 00001388")
    assert is_so(axdr.decode(driver.history[2].octets), Decimal(5000))
    assert not is_open(driver.history)


def test_what_is_so_already_is_not_written():
    driver = Driver(Rig(meter_scenario()))
    assert run(driver, limit(15120)) == Result(Outcome.ALREADY_SO)
    assert driver.changes == []
    assert driver.kinds() == ["present"]


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (limit(5000, expected=Decimal(4000)), "does not stand as the job expects it"),
        (Write(name="period", target=PERIOD, wanted=Decimal("900.5")), "no whole number"),
        (Write(name="period", target=PERIOD, wanted=Decimal(70000)), "no whole number"),
        (Write(name="period", target=PERIOD, wanted="900"), "cannot hold"),
        (Write(name="message", target=MESSAGE, wanted="₹"), "cannot show"),
        (
            Write(
                name="nothing", target=CaptureObject(1, Obis.parse("0-0:9.9.9*255"), 2), wanted=""
            ),
            "object-undefined",
        ),
    ],
)
def test_a_precondition_that_does_not_hold_refuses_before_anything_is_sent(write, reason):
    driver = Driver(Rig(meter_scenario()))
    result = run(driver, write)
    assert result.outcome is Outcome.REFUSED
    assert reason in result.reason
    assert driver.changes == []


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (Write(name="period", target=PERIOD, wanted=Decimal(777)), "other-reason"),
        (Write(name="serial", target=SERIAL, wanted="X"), "read-write-denied"),
        (
            Write(name="period", target=PERIOD, wanted=Decimal(1800), tag=Tag.UNSIGNED),
            "no whole number",
        ),
        (
            Write(name="period", target=PERIOD, wanted=Decimal(1800), tag=Tag.LONG64),
            "type-unmatched",
        ),
    ],
)
def test_the_meters_no_is_told_with_its_reason_and_what_stands_there_is_kept(write, reason):
    driver = Driver(Rig(meter_scenario()))
    result = run(driver, write)
    assert result.outcome is Outcome.REFUSED
    assert reason in result.reason
    if driver.changes:
        assert driver.history[-1].octets == driver.history[0].octets


def test_a_limit_is_raised_and_never_lowered_where_that_could_cut_a_home():
    driver = Driver(Rig(meter_scenario()))
    lower = run(driver, limit(15119, only_raised=True))
    assert lower == Result(Outcome.REFUSED, "load_limit: is not lowered by a job")
    assert driver.changes == []
    assert run(driver, limit(15121, only_raised=True)) == Result(Outcome.DONE)
    text = Write(name="message", target=MESSAGE, wanted="x", only_raised=True)
    assert run(driver, text).outcome is Outcome.REFUSED


def test_several_mirrors_are_written_in_one_job_each_with_its_evidence():
    driver = Driver(Rig(meter_scenario()))
    now = from_utc(NOW_S, RULES)
    writes = (
        Write(name="balance", target=BALANCE, wanted=Decimal(-200)),
        Write(name="balance_time", target=BALANCE_TIME, wanted=now),
        Write(name="message", target=MESSAGE, wanted="Recharge soon"),
        Write(name="filter", target=FILTER, wanted=Bits(128, frozenset({3, 85}))),
    )
    assert run(driver, *writes) == Result(Outcome.DONE)
    held = driver.rig.meter.configuration
    assert held.value(BALANCE.obis) == Data(Tag.DOUBLE_LONG, -200)
    assert held.value(BALANCE_TIME.obis).value == now.to_octets()
    assert held.value(MESSAGE.obis).value == "Recharge soon"
    text = held.value(FILTER.obis).value
    assert isinstance(text, str)
    assert [at for at, bit in enumerate(text) if bit == "1"] == [3, 85]
    assert run(driver, *writes) == Result(Outcome.DONE)  # history: it was this job that did it
    assert held.writes == 4


def test_an_answer_that_got_lost_is_found_out_by_reading_and_nothing_is_sent_again():
    driver = Driver(Rig(meter_scenario()), loses=is_change)
    with pytest.raises(NoAnswer):
        run(driver, limit(5000))
    assert is_open(driver.history)
    driver.loses = lambda _: False
    assert run(driver, limit(5000)) == Result(Outcome.DONE)
    assert len(driver.changes) == 1
    assert not is_open(driver.history)


def test_a_request_that_got_lost_is_sent_again_only_after_the_old_value_was_read():
    driver = Driver(Rig(meter_scenario()))
    lost = Mark(StepKind.SENDING, "load_limit", octets=bytes.fromhex("06 00001388"))
    before = Mark(StepKind.PRESENT, "load_limit", octets=bytes.fromhex("06 00003B10"))
    driver.history = [before, lost]
    assert run(driver, limit(5000)) == Result(Outcome.DONE)
    assert driver.kinds()[2:] == ["after", "present", "sending", "after", "after"]
    assert driver.history[2].detail == "not taken"


def test_a_value_that_somebody_else_wrote_meanwhile_is_left_alone():
    driver = Driver(Rig(meter_scenario()), loses=is_change)
    with pytest.raises(NoAnswer):
        run(driver, limit(5000))
    driver.loses = lambda _: False
    run(Driver(driver.rig), limit(7000))
    result = run(driver, limit(5000))
    assert result.outcome is Outcome.DIFFERS
    assert len(driver.changes) == 1


def test_a_meter_that_never_takes_a_value_is_not_asked_for_ever():
    driver = Driver(Rig(meter_scenario()))
    before = Mark(StepKind.PRESENT, "load_limit", octets=bytes.fromhex("06 00003B10"))
    sending = Mark(StepKind.SENDING, "load_limit", octets=bytes.fromhex("06 00001388"))
    driver.history = [before, sending, before, sending, before, sending]
    result = run(driver, limit(5000))
    assert result.outcome is Outcome.REFUSED
    assert "never taken" in result.reason
    assert driver.changes == []


def test_a_meter_that_reads_back_otherwise_ends_the_job_with_what_it_reads():
    driver = Driver(Rig(meter_scenario()))
    spoil(driver.rig, 71, LIMIT.obis, setters={4: lambda _: None})
    result = run(driver, limit(5000))
    assert result.outcome is Outcome.DIFFERS
    assert "15120" in result.reason


def test_a_limit_that_is_taken_and_not_in_force_differs():
    driver = Driver(Rig(meter_scenario()))
    shows = Data(Tag.DOUBLE_LONG_UNSIGNED, 15120)
    spoil(driver.rig, 71, LIMIT.obis, attributes={3: lambda: shows})
    result = run(driver, limit(5000))
    assert result.outcome is Outcome.DIFFERS
    assert "another one is in force" in result.reason


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**6), max_value=10**6
    ),
    st.integers(-3, 3),
    st.sampled_from([Tag.DOUBLE_LONG, Tag.LONG_UNSIGNED, Tag.FLOAT32, Tag.FLOAT64, Tag.LONG64]),
)
def test_a_number_that_can_be_encoded_reads_back_as_exactly_itself(number, scaler, tag):
    try:
        data = encode_as(number, tag, scaler)
    except UsageError:
        return
    again = axdr.decode(axdr.encode(data))
    assert is_so(again, number, scaler)
    assert not is_so(again, number + 1, scaler)


def test_a_bit_outside_the_string_is_a_mistake_of_the_caller():
    with pytest.raises(UsageError, match="128"):
        Bits(128, frozenset({128}))


def test_a_job_is_run_up_to_its_next_halt():
    job = write_all([limit(5000)])
    procedure = until_halt(job)
    assert next(procedure) == Get(71, LIMIT.obis, 4)
