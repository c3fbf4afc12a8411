"""After a restart a meter is asked for what is missing, and for nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.model import ProfileKind
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
