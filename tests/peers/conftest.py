"""One emulated fleet for all tests of this room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil_tests.peers.fleet import Fleet, running_fleet

SCENARIO = Path(__file__).parents[2] / "hil_tests/scenarios/peers.toml"


@pytest.fixture(scope="session")
def scenario() -> Path:
    return SCENARIO


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(SCENARIO, tmp_path_factory.mktemp("fleet")) as running:
        yield running
