"""What meters push: believed under their keys, stored once, told by name within seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.config import PushListener
from gateway.dlms import axdr
from gateway.dlms.apdu import DataNotification, EventNotification, LongInvokeId
from gateway.dlms.security import SecurityPolicy
from gateway.model import Obis, ProfileKind, Secret
from gateway.profile import load_profile
from gateway.service.push import PushFigure
from hil_tests.emulator import octets
from hil_tests.emulator.household import DAY_S
from hil_tests.emulator.incidents import Incident
from hil_tests.emulator.push import PushSource, push_source, wrapped
from hil_tests.emulator.push_setups import PushSetup
from tests.emulator.rig import INSTALLED_S
from tests.service.world import START_S, World

SETTINGS = PushListener(host="127.0.0.1")
ALERT = PushSetup.ALERT


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, push=SETTINGS)


def source_of(world: World, **options: object) -> PushSource:
    return push_source(world.rig.meter, world.rig.keys, SecurityPolicy.BOTH, **options)  # type: ignore[arg-type]


def at_its_time(world: World, act: Callable[[], object]) -> Callable[[], None]:
    def acting() -> None:
        world.rig.now_s = world.clock.now_us() // 1_000_000
        act()

    return acting


def test_last_gasp_and_first_breath_are_told_in_a_second_and_the_log_adds_its_source(
    world: World,
) -> None:
    meter, source = world.rig.meter, source_of(world)
    meter.incidents.listeners.append(lambda *_: world.port.call(source.frame(ALERT)))
    told_at: list[float] = []

    def cut() -> None:
        meter.happen(Incident.POWER_CUT)

    def back() -> None:
        told_at.extend(world.backend.events_at.values())
        meter.happen(Incident.POWER_CUT, ended=True)

    world.run(3 * 3600, (600, at_its_time(world, cut)), (900, at_its_time(world, back)))
    assert [round(at - 600, 0) for at in told_at] == [0]
    gone, again = START_S + 600, START_S + 900
    assert world.backend.named_events() == [
        ("power_failure", "ended", again, "log"),
        ("power_failure", "ended", again, "push"),
        ("power_failure", "occurred", gone, "log"),
        ("power_failure", "occurred", gone, "push"),
    ]
    for message in world.backend.events.values():
        for one in message.events:
            assert one.timed_by_meter
            assert one.evidence.server_system_title == world.rig.keys.server_title
            assert one.evidence.invocation_counter is not None


def figures(world: World, *frames: bytes, seconds: float = 60, sender: str = "10.9.9.9"):
    service = world.run(
        seconds,
        *(
            (10 + n, lambda frame=frame: world.port.call(frame, sender))
            for n, frame in enumerate(frames)
        ),
    )
    assert service.push is not None
    return {PushFigure(name): count for name, count in service.push.figures.items() if count}


def test_a_frame_that_is_sent_again_is_believed_once_also_after_a_restart(world: World) -> None:
    source = source_of(world)
    older = source.frame(ALERT)
    world.rig.meter.happen(Incident.MAGNET)
    frame = source.frame(ALERT)
    assert figures(world, frame, frame) == {PushFigure.TAKEN: 1, PushFigure.REPEATED: 1}
    assert figures(world, frame, older) == {PushFigure.REPEATED: 2}
    pushed = [one for one in world.backend.named_events() if one[3] == "push"]
    assert len(pushed) == len(world.pushes) == 1


def test_a_message_repeated_under_a_new_counter_is_stored_and_told_once(world: World) -> None:
    source = source_of(world)
    world.rig.meter.happen(Incident.MAGNET)
    body = source.body(ALERT)
    frames = [source.framed(body) for _ in range(3)]
    assert figures(world, *frames) == {PushFigure.TAKEN: 1, PushFigure.REPEATED: 2}
    assert len(world.pushes) == 1


def test_an_older_counter_is_never_believed_again(world: World) -> None:
    source = source_of(world)
    first = source.frame(ALERT)
    world.rig.meter.happen(Incident.MAGNET)
    second = source.frame(ALERT)
    assert figures(world, second, first) == {PushFigure.TAKEN: 1, PushFigure.REPEATED: 1}


@pytest.mark.parametrize("octet", [8, 20, 30, 40, -1])
def test_a_changed_octet_is_refused_and_spends_no_counter(world: World, octet: int) -> None:
    world.rig.meter.happen(Incident.MAGNET)
    frame = source_of(world).frame(ALERT)
    forged = bytearray(frame)
    forged[octet] ^= 1
    counts = figures(world, bytes(forged), frame)
    assert counts.pop(PushFigure.TAKEN) == 1
    assert sum(counts.values()) == 1


def test_another_key_is_refused(world: World) -> None:
    source = source_of(world)
    source.keys = replace(source.keys, guek=Secret(bytes(16)))
    assert figures(world, source.frame(ALERT)) == {PushFigure.REFUSED: 1}


def test_a_plain_message_is_refused_unless_the_profile_allows_it(world: World) -> None:
    world.rig.meter.happen(Incident.MAGNET)
    source = source_of(world)
    source.policy = SecurityPolicy.NONE
    frame = source.frame(ALERT)
    assert figures(world, frame) == {PushFigure.REFUSED: 1}
    assert world.pushes == []
    known = load_profile(world.profile)
    assert known.push is not None
    world.loaded[known.name] = replace(known, push=replace(known.push, plain=True))
    assert figures(world, frame) == {PushFigure.TAKEN: 1}
    assert figures(world, frame) == {PushFigure.REPEATED: 1}


def test_a_meter_that_is_known_by_its_address_alone_teaches_its_title(world: World) -> None:
    world.wire_lost = True
    source = source_of(world)
    frames = [source.frame(setup) for setup in (ALERT, PushSetup.DAILY_LOAD, PushSetup.BILLING)]
    assert figures(world, frames[0], sender="10.9.9.9") == {PushFigure.UNKNOWN: 1}
    assert figures(world, frames[1], sender="127.0.0.1") == {PushFigure.TAKEN: 1}
    assert figures(world, frames[2], sender="10.9.9.9") == {PushFigure.TAKEN: 1}


def test_a_device_id_of_no_meter_of_ours_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, push=SETTINGS)
    source = source_of(world)
    source.device_id = "EMUSOMEBODY"
    assert figures(world, source.frame(ALERT)) == {PushFigure.TAKEN: 1}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("setup", "kind"),
    [
        (PushSetup.BLOCK_LOAD, ProfileKind.BLOCK_LOAD),
        (PushSetup.DAILY_LOAD, ProfileKind.DAILY_LOAD),
        (PushSetup.BILLING, ProfileKind.BILLING),
        (PushSetup.INSTANTANEOUS, ProfileKind.INSTANTANEOUS),
    ],
)
def test_a_pushed_row_is_the_row_that_reading_gives(
    tmp_path: Path, setup: PushSetup, kind: ProfileKind, nested: bool
) -> None:
    # 1 May, 00:00: a block, a day and a month are captured at once.
    due_s = INSTALLED_S + 61 * DAY_S
    world = World(tmp_path, push=SETTINGS, now_s=due_s - 300)
    source = source_of(world, nested=nested)
    seen: list[int] = []

    def push() -> None:
        assert world.port.call(source.frame(setup))

    # Before the gateway can have read it: a row settles for a minute.
    service = world.run(
        700,
        (305, at_its_time(world, push)),
        (307, lambda: seen.extend(time for time, _ in world.backend.rows(kind.value))),
    )
    assert service.push is not None
    assert service.push.figures[PushFigure.TAKEN] == 1
    assert world.pushes == [], "it became a row"
    rows = world.backend.rows(kind.value)
    assert len(set(rows)) == len(rows) == len({time for time, _ in rows})
    assert service.wires[0].figures.conflicts == 0
    assert max(seen) == (due_s + 5 if kind is ProfileKind.INSTANTANEOUS else due_s)


def test_a_row_of_unknown_columns_is_evidence_and_is_fetched_by_reading(tmp_path: Path) -> None:
    world = World(tmp_path, push=SETTINGS)
    source = source_of(world)
    row = axdr.decode(source.read(Obis.parse("1.0.99.2.0.255")))
    assert isinstance(row.value, tuple)
    clock, *columns = row.value
    head = [octets.visible_string("EMUEM1"), octets.logical_name(PushSetup.DAILY_LOAD.obis), clock]
    fewer = axdr.encode(octets.structure(*head, *columns[:-1]))
    typed = axdr.encode(octets.structure(*head, *columns[:-1], octets.long_unsigned(1)))
    now = octets.date_time(START_S, world.rig.meter._rules)
    late = axdr.encode(octets.structure(*head[:2], now, *columns))
    frames = [source.framed(body) for body in (fewer, typed, late)]
    counts = figures(world, *frames, seconds=300)
    assert counts == {PushFigure.TAKEN: 3}
    assert len(world.pushes) == 3
    rows = world.backend.rows("daily_load")
    assert len(rows) == len({time for time, _ in rows}) == len(world.stored[ProfileKind.DAILY_LOAD])


def test_an_event_notification_tells_a_status_word_or_the_code_of_a_log(world: World) -> None:
    source = source_of(world)
    when = octets.date_time(START_S, world.rig.meter._rules).value
    assert isinstance(when, bytes)
    code = EventNotification(
        when, 1, Obis.parse("0.0.96.11.4.255"), 2, axdr.encode(octets.long_unsigned(201))
    )
    world.rig.meter.happen(Incident.COVER_OPEN)
    word = EventNotification(
        b"",
        1,
        Obis.parse("0.0.94.91.18.255"),
        2,
        axdr.encode(world.rig.meter.incidents.status_word()),
    )
    other = EventNotification(b"", 1, Obis.parse("0.0.96.1.0.255"), 2, b"\x0a\x01x")
    frames = [wrapped(source._protected(one.encode())) for one in (code, word, other)]
    assert figures(world, *frames) == {PushFigure.TAKEN: 3}
    pushed = [one for one in world.backend.named_events() if one[3] == "push"]
    assert ("magnetic_influence", "occurred", START_S, "push") in pushed
    assert [one[0] for one in pushed] == ["magnetic_influence", "meter_cover_open"]
    assert len(world.pushes) == 3
    by_meter = {
        one.kind.name: one.timed_by_meter
        for message in world.backend.events.values()
        for one in message.events
        if one.source.value == "push"
    }
    assert by_meter == {"magnetic_influence": True, "meter_cover_open": False}


def test_a_cleared_bit_is_told_as_concluded(world: World) -> None:
    meter, source = world.rig.meter, source_of(world)
    meter.happen(Incident.OVER_VOLTAGE)
    first = source.frame(ALERT)
    meter.happen(Incident.OVER_VOLTAGE, ended=True)
    second = source.frame(ALERT)
    figures(world, first, second)
    told = [one for one in world.backend.named_events() if one[3] != "log"]
    assert [one[:2] + one[3:] for one in told] == [
        ("over_voltage", "ended", "derived"),
        ("over_voltage", "occurred", "push"),
    ]


@pytest.mark.parametrize(
    "octets_sent",
    [
        b"\x00\x02\x00\x01\x00\x40\x00\x00",
        b"\x00\x01\x00\x01\x00\x40\xff\xff",
        wrapped(b""),
        wrapped(b"\xdb"),
        wrapped(b"\xc0\x01\xc1\x00"),
        wrapped(b"\x0f\x00\x00\x00\x01\x00"),
        wrapped(DataNotification(LongInvokeId(1), b"", b"\x12\x00\x01").encode()),
        wrapped(DataNotification(LongInvokeId(1), b"", b"\x02\x82\xff\xff").encode()),
        wrapped(DataNotification(LongInvokeId(1), b"", b"\x02\x01" * 40 + b"\x00").encode()),
    ],
)
def test_what_is_no_message_is_counted_and_harms_nobody(world: World, octets_sent: bytes) -> None:
    world.rig.meter.happen(Incident.MAGNET)
    counts = figures(world, octets_sent, source_of(world).frame(ALERT))
    assert counts.pop(PushFigure.TAKEN) == 1
    assert sum(counts.values()) == 1


def test_unknown_senders_are_counted_each_time_and_told_once(world: World) -> None:
    frame = bytearray(source_of(world).frame(ALERT))
    frame[10:18] = b"XXX12345"
    with capture_logs() as logs:
        assert figures(world, *[bytes(frame)] * 5) == {PushFigure.UNKNOWN: 5}
    told = [entry for entry in logs if entry["event"] == "pushed messages are not taken"]
    assert [entry["sender"] for entry in told] == [f"10.9.9.9 {b'XXX12345'.hex()}"]


def test_a_flood_of_one_meter_is_cut_and_costs_others_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, push=replace(SETTINGS, per_meter_minute=5))
    source = source_of(world)
    frames = [source.framed(source.body(ALERT) + b"") for _ in range(8)]
    service = world.run(30, *((10.0, lambda f=f: world.port.call(f)) for f in frames))
    assert service.push is not None
    counts = service.push.figures
    assert counts[PushFigure.DROPPED] == 3
    assert counts[PushFigure.TAKEN] + counts[PushFigure.REPEATED] == 5


def test_forged_messages_use_up_no_share_of_the_meter_that_they_name(tmp_path: Path) -> None:
    world = World(tmp_path, push=replace(SETTINGS, per_meter_minute=2))
    world.rig.meter.happen(Incident.MAGNET)
    forged = bytearray(source_of(world).frame(ALERT))
    forged[-1] ^= 1
    frames = [bytes(forged)] * 9 + [source_of(world).frame(ALERT)]
    service = world.run(30, *((10.0, partial(world.port.call, frame)) for frame in frames))
    assert service.push is not None
    assert service.push.figures[PushFigure.REFUSED] == 9
    assert service.push.figures[PushFigure.TAKEN] == 1


def test_a_flood_of_one_address_is_cut_before_anything_is_decoded(tmp_path: Path) -> None:
    world = World(tmp_path, push=replace(SETTINGS, per_address_minute=4))
    service = world.run(30, *((10.0, lambda: world.port.call(wrapped(b"\x00"))) for _ in range(9)))
    assert service.push is not None
    assert service.push.figures[PushFigure.DROPPED] == 5
    assert service.push.figures[PushFigure.REFUSED] == 4
