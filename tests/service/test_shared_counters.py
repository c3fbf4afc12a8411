"""Service and laptop commands at one meter: with one counter store, or each with its own."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dlms.association.requests import Get
from gateway.errors import PeerRefused, SecurityError
from gateway.keys import MeterKeys
from gateway.model import MeterId, Obis
from gateway.profile import load_profile
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.service.simulation import run_simulated
from gateway.store.counters import CounterStore
from gateway.store.thread import InlineStore
from gateway.store.witness import Witness
from gateway.url import TransportKind
from hil_tests.emulator.station import Station
from tests.emulator.rig import NOW_S, SERVER_TITLE, Rig, meter_scenario
from tests.service.world import StationTransport

CLOCK = Get(8, Obis.parse("0-0:1.0.0*255"), 2)
PROFILE = load_profile("is15959_part2_single_phase")
READER = "meter_reader"
AARQ = 0x60


class Wire(StationTransport):
    """A connection of its own to the meter; remembers who was called."""

    def __init__(self, rig: Rig, faults: str) -> None:
        rig.station = Station(meter_scenario(faults), rig.keys, rig.meter)
        super().__init__([rig], lambda: NOW_S, lambda: False)
        self.clients: list[int] = []
        self.called_at_s: list[float] = []

    async def send(self, data: bytes) -> None:
        if data[8] == AARQ:
            self.clients.append(data[3])
            self.called_at_s.append(asyncio.get_running_loop().time())
        await super().send(data)


class Reader:
    """One process that reads the meter, under the name that it knows it by."""

    def __init__(self, rig: Rig, folder: Path, meter: str) -> None:
        folder.mkdir(exist_ok=True)
        store = CounterStore.open(
            folder / "counters.db",
            gateway_id=meter,
            witness=Witness(folder / "witness.json"),
            random_bytes=random.Random(meter).randbytes,
        )
        keys = MeterKeys(
            lls_password=rig.keys.lls_password,
            guek=rig.keys.guek,
            gak=rig.keys.gak,
            server_system_title=SERVER_TITLE,
        )
        self.access = MeterAccess(
            meter=MeterId(meter), profile=PROFILE, keys=keys, kind=TransportKind.TCP
        )
        self.sessions = SessionMaker(InlineStore(store), self, drift_limit=1000)
        self._rig = rig
        self.day = 20_000

    def now_us(self) -> int:
        """It is its own clock."""
        return self.day * 86_400_000_000

    def synchronised(self) -> bool:
        """As a host that is kept right."""
        return True

    def read(self, faults: str = "") -> bytes:
        """The clock, in a session of its own."""
        self.wire = Wire(self._rig, faults)
        return run_simulated(self._read())

    async def _read(self) -> bytes:
        opened = await self.sessions.associate(self.access, READER, self.wire)
        try:
            return (await opened.request(CLOCK)).data
        finally:
            await self.sessions.leave(self.access, READER, opened)


@pytest.fixture
def rig() -> Rig:
    return Rig(meter_scenario())


def test_two_readers_with_one_store_are_never_refused(rig: Rig, tmp_path: Path) -> None:
    service, laptop = Reader(rig, tmp_path, "EM1"), Reader(rig, tmp_path, "tcp://192.0.2.1:4059")
    for reader in (service, laptop, service, service, laptop, service):
        assert reader.read()[:2] == b"\x09\x0c"
    assert rig.meter.counters_refused == 0


def test_two_readers_with_stores_of_their_own_catch_up_with_each_other(
    rig: Rig, tmp_path: Path
) -> None:
    service, laptop = Reader(rig, tmp_path / "a", "EM1"), Reader(rig, tmp_path / "b", "EM1")
    counters = []
    for reader in (service, laptop, laptop, service, laptop, service, service):
        assert reader.read()[:2] == b"\x09\x0c"
        assert reader.wire.clients in ([32], [32, 16, 32], [16, 32])
        counters.append(rig.meter.last_received[READER])
    assert counters == sorted(set(counters))
    assert 0 < rig.meter.counters_refused <= 4, "asked once each time the other was ahead"


@pytest.mark.parametrize("pause_s", [0, 20])
def test_a_meter_has_its_pause_between_the_public_association_and_ours(
    rig: Rig, tmp_path: Path, pause_s: int
) -> None:
    reader = Reader(rig, tmp_path, "EM1")
    link = replace(PROFILE.link, association_pause_s=pause_s)
    reader.access = replace(reader.access, profile=replace(PROFILE, link=link))
    reader.read()
    assert reader.wire.clients == [16, 32]
    first_s, second_s = reader.wire.called_at_s
    assert pause_s <= second_s - first_s < pause_s + 1


def test_a_meter_that_claims_too_much_is_not_believed(rig: Rig, tmp_path: Path) -> None:
    reader = Reader(rig, tmp_path, "EM1")
    reader.read()
    rig.meter.last_received[READER] += 2000
    with pytest.raises(SecurityError, match="at most 1000 is believed"):
        reader.read()


def test_a_meter_that_claims_more_every_hour_is_believed_a_days_worth(
    rig: Rig, tmp_path: Path
) -> None:
    reader = Reader(rig, tmp_path, "EM1")
    reader.read()
    rig.meter.last_received[READER] += 900
    reader.read()
    rig.meter.last_received[READER] += 900
    for _ in range(3):
        with pytest.raises(SecurityError, match="at most 1000 is believed a day"):
            reader.read()
        assert reader.wire.clients == [32, 16], "asked once, and left alone"
    reader.day += 1
    assert reader.read()[:2] == b"\x09\x0c"


def test_a_refusal_for_another_reason_is_not_asked_about(rig: Rig, tmp_path: Path) -> None:
    reader = Reader(rig, tmp_path, "EM1")
    reader.read()
    assert reader.wire.clients == [16, 32], "the public client first, as nothing was known"
    with pytest.raises(PeerRefused, match="authentication-failure"):
        reader.read("faults.refuse_with = 13")
    assert reader.wire.clients == [32]
