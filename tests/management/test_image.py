"""A firmware image: resumed where it was cut, verified, checked, activated, proved."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.dlms.association.requests import Action
from gateway.dlms.classes import ClassId, ImageMethod
from gateway.dlms.cosem_time import from_utc
from gateway.dlms.management.image import Image, ImagePlan, transfer_image
from gateway.dlms.management.steps import Outcome, PutOff, Result
from gateway.errors import NoAnswer, UsageError
from gateway.model import CaptureObject, Obis
from hil_tests.emulator.image import BLOCK_OCTETS, make_image
from tests.emulator.rig import NOW_S, RULES, Rig, meter_scenario
from tests.management.driver import Driver, is_change, spoil

OCTETS = make_image("EMU-2.0", 10 * BLOCK_OCTETS + 7)
IMAGE = Image(identifier=b"EMU2", octets=OCTETS, version="EMU-2.0", signature=OCTETS[-32:])
PLAN = ImagePlan(
    image=IMAGE,
    transfer=Obis.parse("0-0:44.0.0*255"),
    version=CaptureObject(ClassId.DATA, Obis.parse("1-0:0.2.0*255"), 2),
    schedule=Obis.parse("0-0:15.0.2*255"),
)


def made(text: str = "") -> Driver:
    return Driver(Rig(meter_scenario(text)), association="firmware")


def to_end(driver: Driver, plan: ImagePlan = PLAN, attempts: int = 40) -> Result:
    """Attempts until the end, each after the rest that the one before wanted."""
    for _ in range(attempts):
        try:
            ended = driver.attempt(partial(transfer_image, plan))
        except NoAnswer:
            driver.rig.now_s += 60
            continue
        if isinstance(ended, Result):
            return ended
        driver.rig.now_s += ended.seconds
        plan = replace(plan, in_s=plan.in_s - ended.seconds)
    raise AssertionError("no end")


def sent_blocks(driver: Driver) -> int:
    return sum(
        isinstance(one, Action) and one.method == ImageMethod.BLOCK_TRANSFER for one in driver.asked
    )


def test_an_image_is_brought_verified_activated_and_proved_by_the_version_read_after():
    driver = made()
    assert to_end(driver) == Result(Outcome.DONE)
    store = driver.rig.meter.image
    assert store.version == "EMU-2.0"
    assert sent_blocks(driver) == store.blocks_taken == 11
    again = Driver(driver.rig, association="firmware")
    assert to_end(again) == Result(Outcome.ALREADY_SO)
    assert again.changes == []


@pytest.mark.parametrize("block", [0, 1, 5, 10])
def test_a_power_cut_in_a_block_costs_that_block_only(block):
    driver = made(f"faults.power_cut_in_block = {block}")
    assert to_end(driver) == Result(Outcome.DONE)
    assert driver.rig.meter.image.initiations == 1
    assert sent_blocks(driver) == 12
    assert driver.rig.meter.image.blocks_taken == 11


@pytest.mark.parametrize("cut", range(1, 16))
def test_a_session_cut_after_any_request_is_gone_on_from(cut):
    driver = made()
    driver.loses = lambda one: is_change(one) and len(driver.changes) == cut
    assert to_end(driver) == Result(Outcome.DONE)
    assert driver.rig.meter.image.version == "EMU-2.0"
    # Only an initiation that nobody answered is made again, for a meter forgets its blocks by it.
    assert driver.rig.meter.image.initiations == (2 if cut == 1 else 1)
    assert driver.rig.meter.image.blocks_taken == 11


def test_a_slow_verification_is_waited_for_within_bounds():
    driver = made("faults.slow_verification = 5")
    assert to_end(driver) == Result(Outcome.DONE)
    never = made("faults.slow_verification = 100000")
    ended = to_end(never)
    assert ended.outcome is Outcome.REFUSED
    assert never.rig.now_s - NOW_S < 3600


def test_an_image_that_the_meter_finds_damaged_is_never_activated():
    damaged = OCTETS[:500] + bytes([OCTETS[500] ^ 1]) + OCTETS[501:]
    driver = made()
    ended = to_end(driver, replace(PLAN, image=replace(IMAGE, octets=damaged)))
    assert ended.outcome is Outcome.REFUSED
    assert "status is 4" in ended.reason
    assert driver.rig.meter.image.version == "EMU-1.0"


@pytest.mark.parametrize("wrong", ["identifier", "signature"])
def test_another_image_than_the_one_meant_is_refused_before_activation(wrong):
    driver = made()
    meant = replace(IMAGE, signature=bytes(32)) if wrong == "signature" else IMAGE
    if wrong == "identifier":
        store = driver.rig.meter.image
        taken = store._initiate

        def renamed(data):
            taken(data)
            store._identifier = b"OTHER"

        spoil(driver.rig, 18, PLAN.transfer, methods={1: renamed})
    ended = to_end(driver, replace(PLAN, image=meant))
    assert ended.outcome is Outcome.REFUSED
    assert "another image" in ended.reason
    assert driver.rig.meter.image.version == "EMU-1.0"
    assert not any(isinstance(one, Action) and one.method == 4 for one in driver.asked)


def test_a_transfer_that_another_client_began_is_not_gone_on_with():
    driver = made()
    other = Image(identifier=b"OTHER", octets=make_image("EMU-9", 900), version="EMU-9")
    begun = Driver(driver.rig, association="firmware")
    begun.loses = lambda _: len(begun.changes) == 3
    with pytest.raises(NoAnswer):
        begun.attempt(lambda h: transfer_image(replace(PLAN, image=other), h))
    assert to_end(driver) == Result(Outcome.DONE)
    assert driver.rig.meter.image.version == "EMU-2.0"


def test_a_scheduled_activation_is_written_waited_for_and_proved():
    driver = made()
    plan = replace(PLAN, at=from_utc(NOW_S + 7200, RULES), in_s=7200)
    waits = driver.attempt(lambda history: transfer_image(plan, history))
    assert isinstance(waits, PutOff)
    assert waits.seconds == 7260
    early = driver.attempt(lambda history: transfer_image(replace(plan, in_s=100), history))
    assert early == PutOff(160, "the image waits for its time")
    driver.rig.now_s += 7260
    assert to_end(driver, replace(plan, in_s=-60)) == Result(Outcome.DONE)
    assert not any(isinstance(one, Action) and one.method == 4 for one in driver.asked)


def test_an_activation_that_never_shows_is_told_after_bounded_looks():
    driver = made()
    spoil(driver.rig, 18, PLAN.transfer, methods={4: lambda _: None})
    ended = to_end(driver)
    assert ended.outcome is Outcome.DIFFERS
    assert "the former version runs" in ended.reason


def test_a_long_image_lets_the_wire_go_between_its_parts():
    octets = make_image("EMU-3.0", 200 * BLOCK_OCTETS)
    plan = replace(PLAN, image=Image(identifier=b"EMU3", octets=octets, version="EMU-3.0"))
    driver = made()
    first = driver.attempt(lambda history: transfer_image(plan, history))
    assert first == PutOff(0, "64 of 200 blocks are there")
    assert to_end(driver, plan) == Result(Outcome.DONE)
    assert driver.rig.meter.image.blocks_taken == 200


def test_the_utility_settings_association_cannot_bring_an_image():
    driver = Driver(Rig(meter_scenario()))
    ended = driver.attempt(lambda history: transfer_image(PLAN, history))
    assert isinstance(ended, Result)
    assert ended.outcome is Outcome.REFUSED


def test_an_image_without_octets_or_name_is_no_image():
    with pytest.raises(UsageError):
        Image(identifier=b"x", octets=b"", version="1")
    with pytest.raises(UsageError):
        Image(identifier=b"", octets=b"x", version="1")
