"""A session whose wire loses general blocks: they are asked for again, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import Get
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.link import Role
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import NoAnswer
from gateway.model import Obis
from gateway.service.simulation import run_simulated
from gateway.session import session
from tests.poller.test_session_with_meter import TIMING, Wire

OBJECTS = Get(15, Obis.parse("0-0:40.0.0*255"), 2)
BLOCKS = "pdu_octets = 64\ngeneral_block_window = 3"
BEFORE = 3
"""Sendings until the first window streams: AARQ, GET, the acknowledgement of the first block."""


class Lossy(Wire):
    """Loses whole answers, or of an answer the frames that ``keeps`` does not."""

    def __init__(
        self,
        lost: Callable[[int], bool] = lambda _: False,
        keeps: Callable[[int, int], bool] = lambda *_: True,
    ) -> None:
        super().__init__("tcp", BLOCKS, lost)
        self._keeps = keeps

    async def send(self, data: bytes) -> None:
        await super().send(data)
        kept = []
        for number, octets in enumerate(frames(b"".join(self._answers))):
            if self._keeps(len(self.sent), number):
                kept.append(octets)
        self._answers = [b"".join(kept)] if kept else []


def frames(octets: bytes) -> list[bytes]:
    found = []
    while octets:
        end = 8 + int.from_bytes(octets[6:8], "big")
        found.append(octets[:end])
        octets = octets[end:]
    return found


def read(wire: Wire) -> tuple[bytes, float]:
    """The object list, and how long it took."""
    link = WrapperLink(Role.CLIENT, client_wport=16, server_wport=1)
    settings = ClientSettings(random_bytes=bytes, general_block_window=3)

    async def scene() -> tuple[bytes, float]:
        async with session(ClientConnection(link, settings), wire, TIMING) as opened:
            answer = await opened.request(OBJECTS)
            return answer.data, asyncio.get_running_loop().time()

    return run_simulated(scene())


WHOLE, UNDISTURBED_S = read(Lossy())


@pytest.mark.parametrize(
    "lost", [{BEFORE}, {BEFORE + 1}, {BEFORE, BEFORE + 1}, {BEFORE, BEFORE + 2}]
)
def test_a_window_that_was_lost_comes_after_a_time_out(lost: set[int]) -> None:
    found, took_s = read(Lossy(lost=lost.__contains__))
    assert found == WHOLE
    assert took_s == pytest.approx(UNDISTURBED_S + len(lost) * TIMING.answer_s, abs=0.5)


@pytest.mark.parametrize("frame", [0, 1])
def test_a_gap_in_a_window_is_filled_without_waiting(frame: int) -> None:
    wire = Lossy(keeps=lambda answer, number: (answer, number) != (BEFORE, frame))
    found, took_s = read(wire)
    assert found == WHOLE
    assert took_s == pytest.approx(UNDISTURBED_S, abs=0.5)


def test_a_wire_that_lost_its_meter_is_given_up_after_the_usual_repeats() -> None:
    wire = Lossy(lost=lambda number: number >= BEFORE)
    with pytest.raises(NoAnswer):
        read(wire)
    assert len(wire.sent) == BEFORE + TIMING.repeats
