"""The service as a whole: nothing lost, nothing doubled, whatever goes wrong around it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from gateway.model import ProfileKind
from hil_tests.emulator.household import DAY_S
from tests.emulator.rig import INSTALLED_S
from tests.service.world import START_S, World

BLOCK, DAILY = ProfileKind.BLOCK_LOAD, ProfileKind.DAILY_LOAD


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def assert_all_there_once(world: World, blocks: int = 48, days: int = 3) -> None:
    """Everything stored is at the backend, once, and the outbox is empty."""
    for profile in ("daily_load", "block_load"):
        rows = world.backend.rows(profile)
        assert len(set(rows)) == len(rows), f"{profile} rows doubled"
    assert len(world.backend.rows("daily_load")) >= days
    assert len(world.backend.rows("block_load")) >= blocks
    for kind in (DAILY, BLOCK):
        assert {t for t, _ in world.backend.rows(kind.value)} == set(world.stored[kind])
    assert (world.depth.live, world.depth.backlog, world.depth.refused) == (0, 0, 0)


def test_what_is_missing_is_read_once_and_reaches_the_backend(world: World) -> None:
    service = world.run(600)
    assert_all_there_once(world)
    assert len(world.backend.rows("nameplate")) == 1
    assert service.wires[0].figures.conflicts == 0
    assert service.wires[0].figures.duplicates == 0


def test_the_values_at_the_backend_are_the_meters_truth(world: World) -> None:
    world.run(600)
    compared = 0
    for message in world.backend.messages.values():
        batch = message.batch
        if batch.profile is not DAILY:
            continue
        column = next(
            index
            for index, c in enumerate(batch.capture_list.columns)
            if c.source.obis.dotted == "1.0.1.8.0.255"
        )
        for row in batch.rows:
            truth = world.rig.truth.register_at(row.captured_at_s)
            assert row.values[column] == truth.shown.import_wh
            assert row.raw, "register rows travel with their raw octets"
            compared += 1
    assert compared >= 3


def test_three_days_pass_and_each_row_is_read_when_it_is_due(world: World) -> None:
    world.run(3 * DAY_S)
    assert_all_there_once(world, blocks=48 * 4 - 4, days=6)
    times = [t for t, _ in sorted(world.backend.rows("block_load"))]
    assert all(b - a == 1800 for a, b in itertools.pairwise(times))


@pytest.mark.timeout(300)
def test_a_month_is_read_when_the_meter_has_closed_it(world: World) -> None:
    days_to_may = (INSTALLED_S + 61 * DAY_S - START_S) / DAY_S
    service = world.run((days_to_may + 0.1) * DAY_S)
    months = [INSTALLED_S + days * DAY_S for days in (0, 31, 61)]
    assert [t for t, _ in world.backend.rows("billing")] == months
    assert world.stored[ProfileKind.BILLING] == months
    assert service.wires[0].figures.duplicates == 0
    closing = next(
        message.batch
        for _, message in sorted(world.backend.messages.items(), reverse=True)
        if message.batch.profile is ProfileKind.BILLING
    )
    (row,) = closing.rows
    names = [column.source.obis.dotted for column in closing.capture_list.columns]
    truth = world.rig.truth.register_at(months[-1])
    assert row.values[names.index("1.0.1.8.0.255")] == truth.shown.import_wh
    assert row.raw, "what a month is settled by travels with its raw octets"


def test_a_restart_reads_nothing_again(world: World) -> None:
    world.run(600)
    before = len(world.backend.messages)
    service = world.run(300)
    assert service.wires[0].figures.duplicates == 0
    new = list(world.backend.messages.values())[before:]
    assert {m.batch.profile.value for m in new} <= {"instantaneous", "block_load"}


@pytest.mark.timeout(300)
def test_reading_goes_on_while_the_broker_is_away_for_weeks(world: World) -> None:
    world.broker.stop()
    world.run(14 * DAY_S, (13 * DAY_S, world.broker.start))
    assert_all_there_once(world, blocks=48 * 13, days=14)


def test_a_backend_that_is_away_loses_nothing(world: World) -> None:
    world.backend.away = True

    def back() -> None:
        world.backend.away = False

    world.run(2 * DAY_S, (DAY_S, back))
    assert_all_there_once(world)


def test_a_broker_that_repeats_everything_doubles_nothing(world: World) -> None:
    world.broker.copies = 3
    world.run(600)
    assert_all_there_once(world)


def test_a_refused_message_leaves_the_outbox_and_is_kept_with_its_reason(world: World) -> None:
    world.backend.refuse = lambda m: (
        "meter unknown" if m.batch.profile is ProfileKind.NAMEPLATE else None
    )
    world.run(600)
    assert world.depth.live == 0
    assert world.depth.refused == 1


def test_a_forged_commit_deletes_nothing(world: World) -> None:
    from gateway.uplink import topics
    from gateway.uplink.command import Commit, sign_command
    from gateway.uplink.port import Publication
    from gateway.uplink.signature import SigningKey
    from gateway.uplink.topics import Kind
    from tests.service.world import GATEWAY

    world.backend.away = True
    forger = SigningKey.generate("backend-1")

    def forge() -> None:
        commit = Commit(
            issuer="backend",
            gateway=GATEWAY,
            issued_at_s=0,
            stream="readings",
            epoch=world.store.stream.epoch,
            committed=((1, 1000),),
        )
        topic = topics.plain(GATEWAY, Kind.COMMIT)
        world.broker.deliver(Publication(topic, sign_command(commit, forger)))

    service = world.run(600, (300, forge))
    assert world.depth.live + world.depth.backlog > 0
    assert service.uplink is not None
    assert service.uplink.figures.down_rejected == 1


def test_a_wire_that_vanishes_and_comes_back_is_read_again(world: World) -> None:
    def lose() -> None:
        world.wire_lost = True

    def find() -> None:
        world.wire_lost = False

    world.run(2 * DAY_S, (600, lose), (DAY_S, find))
    assert_all_there_once(world)


def test_rows_carry_the_doubt_about_an_unsynchronised_host(tmp_path: Path) -> None:
    world = World(tmp_path, synchronised=False)
    world.run(600)
    qualities = {
        row.time_quality.value
        for m in world.backend.messages.values()
        if m.batch.profile is BLOCK
        for row in m.batch.rows
    }
    assert qualities == {"unsynchronised"}


def test_invocation_counters_never_repeat_across_restarts(world: World) -> None:
    for _ in range(3):
        world.run(1200)
    # The meter refuses a counter that does not rise: a repeated one would show as a failure.
    assert world.run(600).wires[0].figures.failures == 0
    assert world.rig.meter.last_received["meter_reader"] > 0
    assert world.now_s > START_S


def test_a_restored_file_gets_a_new_epoch_and_new_titles_when_the_backend_tells(
    world: World,
) -> None:
    """An old copy of all files, witness included, so that only the backend can know."""
    import shutil

    world.run(600)
    copy = world.directory.parent / "copy"
    shutil.copytree(world.directory, copy)
    world.run(DAY_S)
    epochs_before = {epoch for epoch, _ in world.backend.messages}
    newest, last_epoch = max((sequence, epoch) for epoch, sequence in world.backend.messages)
    titles_before = world.titles
    shutil.rmtree(world.directory)
    shutil.copytree(copy, world.directory)

    world.run(2 * DAY_S, (5, lambda: world.tell_newest(last_epoch, newest)))
    assert {epoch for epoch, _ in world.backend.messages} - epochs_before
    assert world.titles != titles_before
    assert world.depth.live == world.depth.backlog == 0
    for kind in (DAILY, BLOCK):
        assert {t for t, _ in world.backend.rows(kind.value)} >= set(world.stored[kind])


@pytest.mark.parametrize("broken", ["depth", "pending", "commit"])
def test_an_error_of_the_outbox_is_survived_and_everything_is_committed(
    world: World, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    from gateway.errors import StoreError
    from gateway.store.outbox import Outbox

    honest, calls = getattr(Outbox, broken), []

    def once(outbox: Outbox, *given: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise StoreError("the disk stuttered")
        return honest(outbox, *given, **named)

    monkeypatch.setattr(Outbox, broken, once)
    world.run(DAY_S)
    assert len(calls) > 2
    assert_all_there_once(world)


def test_an_uplink_whose_messages_end_unasked_is_made_anew(world: World) -> None:
    from tests.service.world import GATEWAY

    def end_messages() -> None:
        world.broker._links[GATEWAY]._inbox.close()

    world.run(DAY_S, (1200, end_messages))
    assert_all_there_once(world)


def test_account_data_that_cannot_be_applied_is_refused_upwards_with_the_reason(
    world: World,
) -> None:
    from gateway.model import Account, ConnectionNo, Installation, MeterId
    from gateway.uplink import topics
    from gateway.uplink.command import AccountData, sign_command
    from gateway.uplink.port import Publication
    from gateway.uplink.topics import Kind
    from tests.service.world import GATEWAY

    def account(number: str) -> Account:
        place = Installation(ConnectionNo(number), MeterId("EM1"), START_S)
        return Account(ConnectionNo(number), "name", 2000, 1, "LMV-1", (place,))

    def say(sequence: int, *numbers: str) -> None:
        data = AccountData(
            "backend", GATEWAY, START_S, sequence, START_S + DAY_S, tuple(map(account, numbers))
        )
        topic = topics.plain(GATEWAY, Kind.ACCOUNT)
        world.broker.deliver(Publication(topic, sign_command(data, world.key)))

    world.run(600, (10, lambda: say(1, "100")), (20, lambda: say(2, "100", "200")))
    assert world.account_of == "100"
    results = {r.command: (r.outcome, r.reason) for r in world.backend.results}
    assert results["backend-1"] == ("done", "")
    outcome, reason = results["backend-2"]
    assert outcome == "refused"
    assert "EM1" in reason
    assert world.depth.live == 0
