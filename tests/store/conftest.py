"""Parts of the stores' tests: real files in a directory of their own, batches with known truth."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.model import (
    Batch,
    CaptureList,
    CaptureObject,
    Column,
    Evidence,
    Instant,
    MeterId,
    Obis,
    ProfileKind,
    Row,
    TimeQuality,
)
from gateway.store.counters import CounterStore
from gateway.store.readings import ReadingsStore
from gateway.store.witness import Witness

ROOT = Path(__file__).resolve().parents[2]
DAY_S = 86_400


def column(class_id: int, obis: str, scaler: int | None = None, unit: int | None = None) -> Column:
    type_name = "octet-string" if unit is None else "double-long-unsigned"
    return Column(CaptureObject(class_id, Obis.parse(obis), 2), scaler, unit, type_name)


DAILY = CaptureList(
    (
        column(8, "0-0:1.0.0*255"),
        column(3, "1-0:1.8.0*255", 1, 30),
        column(3, "1-0:9.8.0*255", -1, 31),
    )
)


def daily_row(time_s: int, wh: int, quality: TimeQuality = TimeQuality.OK) -> Row:
    clock = Instant(time_s, f"at {time_s}", quality)
    values = (clock, Decimal(wh), Decimal(wh + 5) / 10)
    return Row(time_s, values, f"{time_s}:{wh}".encode(), quality)


def make_batch(
    *times_wh: tuple[int, int],
    meter: str = "M1",
    profile: ProfileKind = ProfileKind.DAILY_LOAD,
    captures: CaptureList = DAILY,
    received_at_us: int = 1_000_000,
    quality: TimeQuality = TimeQuality.OK,
) -> Batch:
    rows = tuple(daily_row(time_s, wh, quality) for time_s, wh in times_wh)
    evidence = Evidence(received_at_us, b"SMG\1\2\3\4\5", 7)
    return Batch(MeterId(meter), profile, captures, rows, evidence)


def encode(batch: Batch) -> bytes:
    """Names each row of a message, so that a test sees where it went."""
    rows = ",".join(row.raw.decode() for row in batch.rows)
    return f'{{"{batch.meter} {batch.profile.value} {rows}"}}'.encode()


class Site:
    """A directory with both stores and their witness, opened as often as a test wants."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.readings_path = directory / "readings.db"
        self.counters_path = directory / "counters.db"
        self.witness = Witness(directory / "witness.json")
        self._open: list[ReadingsStore | CounterStore] = []
        self._times = itertools.count(1)

    def readings(self, **options: object) -> ReadingsStore:
        settings = {
            "gateway_id": "gw-1",
            "witness": self.witness,
            "random_bytes": os.urandom,
            "now_us": next(self._times),
        }
        store = ReadingsStore.open(self.readings_path, **(settings | options))  # type: ignore[arg-type]
        self._open.append(store)
        return store

    def counters(self, **options: object) -> CounterStore:
        settings = {"gateway_id": "gw-1", "witness": self.witness, "random_bytes": os.urandom}
        store = CounterStore.open(self.counters_path, **(settings | options))  # type: ignore[arg-type]
        self._open.append(store)
        return store

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


@pytest.fixture
def batch() -> Callable[..., Batch]:
    return make_batch


@pytest.fixture
def body() -> Callable[[Batch], bytes]:
    return encode


@pytest.fixture
def start_worker() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start ``tests/store/workers.py`` in a process of its own; ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(job: str, directory: Path, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/store/workers.py"), job, str(directory), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
