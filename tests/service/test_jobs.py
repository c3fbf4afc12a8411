"""Management jobs in the whole service: queued, carried out, resumed, rested, and audited."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gateway.config import Reading
from gateway.dlms.apdu.results import DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data
from gateway.dlms.classes import SERIAL_NUMBER, ClassId
from gateway.dlms.management.steps import Outcome
from gateway.keys import Keystore, Role
from gateway.model import MeterId, Obis, ProfileKind, Secret
from gateway.poller import Priority
from gateway.service.jobs import MAY_BEGIN_WITHIN_S
from gateway.store.jobs import JobRecord, JobState, JobStep, JobStore, NewJob
from hil_tests.emulator import octets
from hil_tests.emulator.configuration import PAYMENT_MODE
from hil_tests.emulator.image import BLOCK_OCTETS, make_image
from tests.management.driver import spoil
from tests.service.world import World

EM1 = MeterId("EM1")
READING = Reading(daily_days=1, block_days=1, instantaneous_s=300)


def add(world: World, kind: str, within_s: int = MAY_BEGIN_WITHIN_S, **parameters: Any) -> int:
    """Put a job in from outside, as a command line does."""
    store = JobStore.open(world.site().stores.jobs_file)
    now_us = world.now_s * 1_000_000
    job = NewJob(
        meter=EM1,
        kind=kind,
        parameters=parameters,
        asked_by="anita",
        not_before_us=now_us,
        not_after_us=now_us + within_s * 1_000_000,
    )
    number = store.add(job, now_us)
    store.close()
    return number


def record(world: World, number: int) -> JobRecord:
    store = JobStore.open(world.site().stores.jobs_file)
    found = store.get(number)
    store.close()
    return found


def audit(world: World, number: int) -> list[JobStep]:
    store = JobStore.open(world.site().stores.jobs_file)
    found = store.steps(number)
    store.close()
    return found


def steps(world: World, number: int) -> list[str]:
    return [one.step for one in audit(world, number)]


def keystore(world: World) -> Keystore:
    stores = world.site().stores
    return Keystore.open(stores.keystore, stores.kek_file)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, reading=READING)


def test_a_job_that_was_queued_is_carried_out_and_every_step_is_in_the_audit(world):
    number = add(world, "payment_mode", mode="prepaid", expect_mode="postpaid")
    world.run(60)
    done = record(world, number)
    assert (done.state, done.outcome) == (JobState.CLOSED, Outcome.DONE)
    assert world.rig.meter.configuration.value(PAYMENT_MODE).value == 1
    assert steps(world, number) == ["begun", "present", "sending", "after", "closed"]


def test_a_job_that_the_profile_or_the_precondition_forbids_is_refused_with_the_reason(world):
    numbers = {
        "901 s is not one of": add(world, "demand_period", period_s=901),
        "profile": add(world, "prepaid_mirrors", balance_paise=100),
        "as the job expects it": add(
            world, "metering_mode", mode="import_export", expect_mode="import_export"
        ),
        "no kind of job": add(world, "open_the_relay"),
        "not the image": add(
            world, "firmware_image", file=__file__, sha256="0", identifier="x", version="y"
        ),
    }
    world.run(300)
    for told, number in numbers.items():
        refused = record(world, number)
        assert refused.outcome is Outcome.REFUSED, told
        assert (
            told.replace("not one of", "is not one of") in refused.reason or told in refused.reason
        )
    assert world.rig.meter.configuration.writes == 0


def test_a_meter_that_is_not_there_rests_the_job_longer_each_time_and_ends_it_at_its_time(world):
    number = add(world, "display_message", within_s=4 * 3600, text="Hello")
    world.wire_lost = True
    world.run(2 * 3600)
    assert record(world, number).state is JobState.WAITING
    tried = len(steps(world, number))
    assert 5 <= tried <= 8
    world.run(4 * 3600)
    ended = record(world, number)
    assert ended.outcome is Outcome.CANCELLED
    assert "no time left" in ended.reason


def test_a_job_survives_the_end_of_the_service_and_is_done_by_the_next(world):
    number = add(world, "display_message", text="Hello")
    world.wire_lost = True
    world.run(30)
    world.wire_lost = False
    world.run(120)
    assert record(world, number).outcome is Outcome.DONE


def test_another_meter_than_the_jobs_is_not_written_to(world):
    number = add(world, "display_message", text="Hello")
    shown = octets.visible_string("OTHER")
    spoil(world.rig, ClassId.DATA, SERIAL_NUMBER, attributes={2: lambda: shown})
    world.run(60)
    refused = record(world, number)
    assert refused.outcome is Outcome.REFUSED
    assert "meter OTHER answers" in refused.reason
    assert world.rig.meter.configuration.writes == 0


def test_a_relay_that_waits_comes_before_an_image_and_the_image_goes_on_after_it(world, tmp_path):
    file = tmp_path / "image"
    octets = make_image("EMU-2.0", 50 * BLOCK_OCTETS)
    file.write_bytes(octets)
    number = add(
        world,
        "firmware_image",
        file=str(file),
        sha256=sha256(octets).hexdigest(),
        identifier="EMU2",
        version="EMU-2.0",
    )
    waited: list[float] = []

    def relay_wanted() -> None:
        async def relay(_: object) -> None:
            waited.append(asyncio.get_running_loop().time() - asked_s)

        asked_s = asyncio.get_running_loop().time()
        poller, _ = world.service.jobs.wires[EM1]
        tasks.append(asyncio.ensure_future(poller.submit(relay, Priority.RELAY)))

    tasks: list[asyncio.Future[None]] = []
    take = world.rig.meter.image._take_block

    def block_taken(data: Data | None) -> None:
        take(data)
        if world.rig.meter.image.blocks_taken == 10 and not tasks:
            relay_wanted()

    transfer = Obis.parse("0-0:44.0.0*255")
    spoil(world.rig, ClassId.IMAGE_TRANSFER, transfer, methods={2: block_taken})
    world.run(900)
    assert record(world, number).outcome is Outcome.DONE
    assert world.rig.meter.image.version == "EMU-2.0"
    assert world.rig.meter.image.blocks_taken == 50
    assert "something more urgent waits for the wire" in [
        one.detail for one in audit(world, number)
    ]
    assert waited[0] < 0.5


def test_all_secrets_are_rotated_and_reading_goes_on_under_the_new_ones(world):
    world.run(600)
    before = keystore(world).get(EM1)
    rows = len(world.stored[ProfileKind.INSTANTANEOUS])
    number = add(world, "rotate_secrets")
    world.run(1200)
    done = record(world, number)
    assert done.outcome is Outcome.DONE, done.reason
    assert done.reason == "lls_password, hls_secret, hls_secret_firmware, guek, gak"
    after = keystore(world).get(EM1)
    mine = world.rig.keys
    for name in ("lls_password", "hls_secret", "hls_secret_firmware", "guek", "gak"):
        assert getattr(after, name) == getattr(mine, name) != getattr(before, name), name
    assert after.master == before.master
    assert len(world.stored[ProfileKind.INSTANTANEOUS]) > rows + 2
    assert world.rig.meter.counters_refused == 0


def test_another_meter_that_holds_the_same_keys_is_not_given_new_ones(world):
    number = add(world, "rotate_secrets")
    shown = octets.visible_string("OTHER")
    spoil(world.rig, ClassId.DATA, SERIAL_NUMBER, attributes={2: lambda: shown})
    world.run(300)
    refused = record(world, number)
    assert refused.outcome is Outcome.REFUSED
    assert "meter OTHER answers" in refused.reason
    assert world.rig.keys.changes == 0
    assert keystore(world).pending() == []


def test_a_meter_that_shows_its_number_to_nobody_is_proved_by_its_keys(world):
    number = add(world, "rotate_secrets", secrets="guek")

    def hidden() -> NoReturn:
        raise AccessRefused(DataAccessResult.READ_WRITE_DENIED)

    spoil(world.rig, ClassId.DATA, SERIAL_NUMBER, attributes={2: hidden})
    world.run(300)
    assert record(world, number).outcome is Outcome.DONE
    assert keystore(world).get(EM1).guek == world.rig.keys.guek


@pytest.mark.parametrize(
    "faults", ["", "faults.new_keys_at_once = true", "faults.forgets_counters = true"]
)
@pytest.mark.parametrize("wire", ["tcp", "hdlc+tcp"])
def test_meters_differ_in_when_a_key_holds_and_none_is_lost(tmp_path, wire, faults):
    world = World(tmp_path, faults=faults, wire=wire, reading=READING)
    number = add(world, "rotate_secrets", secrets="guek,gak")
    world.run(1200)
    assert record(world, number).outcome is Outcome.DONE
    held = keystore(world).get(EM1)
    assert (held.guek, held.gak) == (world.rig.keys.guek, world.rig.keys.gak)
    assert world.stored[ProfileKind.INSTANTANEOUS]


def test_a_secret_in_doubt_without_a_job_is_settled_at_the_start(world):
    world.run(60)
    keys = keystore(world)
    keys.propose(EM1, Role.GUEK, Secret(bytes(16)))
    world.run(120)
    assert keystore(world).pending() == []
    assert keystore(world).get(EM1).guek == world.rig.keys.guek
    store = JobStore.open(world.site().stores.jobs_file)
    (job,) = store.listed(all_jobs=True)
    assert (job.asked_by, job.outcome) == ("service", Outcome.DONE)
    store.close()


def test_a_secret_that_the_meter_took_and_nobody_heard_of_is_found(world):
    world.run(60)
    keys = keystore(world)
    keys.propose(EM1, Role.GUEK, Secret(bytes(16)))
    world.rig.keys.change("guek", Secret(bytes(16)))
    world.run(600)
    assert keystore(world).get(EM1).guek == world.rig.keys.guek
    assert keystore(world).pending() == []


def test_a_meter_that_knows_neither_secret_is_asked_ever_more_seldom_and_nothing_is_given_up(world):
    world.run(60)
    keys = keystore(world)
    keys.propose(EM1, Role.GUEK, Secret(bytes(16)))
    world.rig.keys.change("guek", Secret(bytes(range(200, 216))))
    world.run(3 * 86_400)
    assert keystore(world).proposed(EM1) is Role.GUEK
    store = JobStore.open(world.site().stores.jobs_file)
    (job,) = store.listed()
    assert job.state is JobState.WAITING
    attempts = [one for one in store.steps(job.id) if one.step == "begun"]
    assert 60 < len(attempts) < 90  # hourly after the first few
    store.close()
