"""The meters are started once for all tests of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.cli.bench import Bench, Laptop


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    running = Bench(tmp_path_factory.mktemp("fleet"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def laptop(bench: Bench, tmp_path: Path) -> Iterator[Laptop]:
    keys = tmp_path / "keys"
    keys.mkdir()
    yield Laptop(bench, tmp_path / "state", keys)
    # The command sends its logs to the standard error that it was given, which is gone now.
    structlog.reset_defaults()
