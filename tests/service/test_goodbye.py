"""How a session ends: a stream is told, an HDLC link is disconnected and that is all."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.service.simulation import run_simulated
from gateway.url import TransportKind
from tests.emulator.rig import NOW_S, Rig, meter_scenario
from tests.service.test_shared_counters import CLOCK, READER, Reader
from tests.service.world import StationTransport

RLRQ = bytes.fromhex("62 03 80 01 00")
DISC = 0x53


class Recorded(StationTransport):
    """Keeps what was sent."""

    def __init__(self, rig: Rig) -> None:
        super().__init__([rig], lambda: NOW_S, lambda: False)
        self.sent: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self.sent.append(data)
        await super().send(data)


async def visit(reader: Reader, wire: StationTransport) -> None:
    opened = await reader.sessions.associate(reader.access, READER, wire)
    await opened.request(CLOCK)
    await reader.sessions.leave(reader.access, READER, opened)


@pytest.mark.parametrize(
    ("kind", "released"), [(TransportKind.TCP, True), (TransportKind.HDLC_TCP, False)]
)
def test_goodbye_is_a_release_over_a_stream_and_a_disconnection_over_hdlc(
    kind: TransportKind, released: bool, tmp_path: Path
) -> None:
    rig = Rig(meter_scenario(wire=kind.value))
    reader = Reader(rig, tmp_path, "EM1")
    reader.access = replace(reader.access, kind=kind, server_lower=17 if kind.is_hdlc else None)
    wire = Recorded(rig)
    run_simulated(visit(reader, wire))
    assert any(RLRQ in frame for frame in wire.sent) is released
    assert (kind.is_hdlc and wire.sent[-1][-4] == DISC) or wire.sent[-1].endswith(RLRQ)
