"""Two thousand connections on one loop: room for them, and no burst when they are opened."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.service.simulation import run_simulated
from gateway.transport.opening_pace import OpeningPace
from gateway.transport.tcp import TcpTransport

PROGRAM = """
import resource, sys
from gateway.errors import UsageError
from gateway.service.descriptors import make_room
soft, hard, needed = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    make_room(needed)
except UsageError as error:
    print(error)
else:
    print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "needed", "said"),
    [
        (256, 1000, 800, "800 1000\n"),
        (256, 1000, 200, "256 1000\n"),
        (256, 700, 701, "LimitNOFILE=701"),
    ],
)
def test_the_limit_is_raised_or_the_message_says_how(
    soft: int, hard: int, needed: int, said: str
) -> None:
    words = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(needed)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert said in done.stdout


def test_turns_come_one_after_the_other_and_idle_time_is_no_credit() -> None:
    async def scene() -> list[float]:
        pace = OpeningPace(per_s=10)
        loop = asyncio.get_running_loop()
        started: list[float] = []

        async def one() -> None:
            await pace.turn()
            started.append(loop.time())

        begun = loop.time()
        await asyncio.gather(*(one() for _ in range(5)))
        await asyncio.sleep(100)
        await asyncio.gather(*(one() for _ in range(3)))
        return [at - begun for at in started]

    times = run_simulated(scene())
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 100.4, 100.5, 100.6])


@contextmanager
def meter() -> Iterator[tuple[str, int]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()


def test_connections_are_opened_at_the_stated_rate() -> None:
    async def scene() -> float:
        with meter() as (host, port):
            pace = OpeningPace(per_s=100)
            wires = [TcpTransport(host, port, pace=pace) for _ in range(21)]
            loop = asyncio.get_running_loop()
            begun = loop.time()
            await asyncio.gather(*(wire.connect() for wire in wires))
            took_s = loop.time() - begun
            for wire in wires:
                await wire.close()
            return took_s

    assert asyncio.run(scene()) >= 0.2


def test_waiting_for_a_turn_is_not_counted_as_silence_of_the_meter() -> None:
    async def scene() -> None:
        with meter() as (host, port):
            pace = OpeningPace(per_s=4)
            await pace.turn()
            wire = TcpTransport(host, port, connect_timeout_s=0.1, pace=pace)
            await wire.connect()
            await wire.close()

    asyncio.run(scene())
