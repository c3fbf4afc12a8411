"""After a restart a meter is asked for what is missing, and for nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dlms.plan import stored_period_s
from gateway.model import ProfileKind
from hil_tests.emulator.household import DAY_S
from tests.service.world import World


@pytest.mark.parametrize("wire", ["tcp", "hdlc+tcp"])
def test_a_meter_with_a_longer_period_than_its_profile_is_not_asked_for_rows_in_between(
    tmp_path: Path, wire: str
) -> None:
    world = World(tmp_path, wire=wire)
    world.run(600)
    assert len(world.stored[ProfileKind.BLOCK_LOAD]) >= 48
    exchanges: list[int] = []
    exchange = world.rig.exchange

    def counted(data: bytes) -> Iterator[bytes]:
        exchanges.append(len(data))
        yield from exchange(data)

    world.rig.exchange = counted  # type: ignore[assignment, method-assign]
    world.run(200)
    assert exchanges == []
    before = len(world.stored[ProfileKind.BLOCK_LOAD])
    world.run(2 * 1800)
    assert len(world.stored[ProfileKind.BLOCK_LOAD]) == before + 2


@pytest.mark.parametrize(
    ("captured", "period_s"),
    [
        ((), 900),
        ((1800,), 900),
        ((0, 1800, 3600), 1800),
        ((3600, 0, 1800, 9000), 1800),
        ((0, 900, 2700), 900),
        ((0, DAY_S), DAY_S),
        # shorter than the profile says, no divisor of a day, longer than a day: no period
        ((0, 3, 1800), 900),
        ((0, 1700), 900),
        ((0, 2 * DAY_S), 900),
    ],
)
def test_stored_times_show_a_period_that_can_be_one(
    captured: tuple[int, ...], period_s: int
) -> None:
    assert stored_period_s(captured, default_s=900) == period_s
