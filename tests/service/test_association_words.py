"""Words of a profile's association become what is on the wire."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dlms.association.requests import Get
from gateway.keys import MeterKeys
from gateway.model import MeterId, Obis, Secret
from gateway.profile import Association, load_profile
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.service.simulation import run_simulated
from gateway.store.counters import CounterStore
from gateway.store.thread import InlineStore
from gateway.store.witness import Witness
from gateway.url import TransportKind
from tests.emulator.rig import NOW_S, SERVER_TITLE, Rig, meter_scenario
from tests.service.world import StationTransport

CAPTURE = Get(7, Obis.parse("1-0:99.1.0*255"), 3)
PROFILE = load_profile("is15959_part2_single_phase")
READER = "meter_reader"
HEAD = 8


class Wire(StationTransport):
    """Keeps the tags of the APDUs that the client sent."""

    def __init__(self, rig: Rig) -> None:
        super().__init__([rig], lambda: NOW_S, lambda: False)
        self.tags: list[int] = []

    async def send(self, data: bytes) -> None:
        self.tags.append(data[HEAD])
        await super().send(data)


def tags(tmp_path: Path, association: Association, stored: Secret | None = None) -> list[int]:
    """Tags of what a session sends that reads a long attribute."""
    rig = Rig(meter_scenario("pdu_octets = 100\ngeneral_block_window = 4"))
    store = CounterStore.open(
        tmp_path / "counters.db",
        gateway_id="EM1",
        witness=Witness(tmp_path / "witness.json"),
        random_bytes=random.Random(1).randbytes,
    )
    keys = MeterKeys(
        lls_password=rig.keys.lls_password,
        guek=rig.keys.guek,
        gak=rig.keys.gak,
        dedicated=stored,
        server_system_title=SERVER_TITLE,
    )
    profile = replace(PROFILE, associations={**PROFILE.associations, READER: association})
    access = MeterAccess(meter=MeterId("EM1"), profile=profile, keys=keys, kind=TransportKind.TCP)
    sessions = SessionMaker(InlineStore(store), Clock())
    wire = Wire(rig)

    async def scene() -> bytes:
        opened = await sessions.associate(access, READER, wire)
        try:
            return (await opened.request(CAPTURE)).data
        finally:
            await sessions.leave(access, READER, opened)

    assert run_simulated(scene())[:1] == b"\x01"
    asked = wire.tags.index(0x60, wire.tags.index(0x62))  # behind the public association
    return wire.tags[asked:]


class Clock:
    """A day in the life of a host that is kept right."""

    def now_us(self) -> int:
        """Microseconds of UTC."""
        return 20_000 * 86_400_000_000

    def synchronised(self) -> bool:
        """It is."""
        return True


@pytest.mark.parametrize("stored", [None, Secret(bytes(16))], ids=["fresh", "stored"])
def test_dedicated_ciphering_and_general_blocks_are_used_where_the_profile_says_so(
    tmp_path: Path, stored: Secret | None
) -> None:
    association = replace(
        PROFILE.association(READER), dedicated_ciphering=True, general_block_window=4
    )
    aarq, request, *acknowledgements, release = tags(tmp_path, association, stored)
    assert (aarq, request, release) == (0x60, 0xD0, 0x62)
    assert set(acknowledgements) == {0xE0}


def test_neither_is_used_where_the_profile_says_nothing(tmp_path: Path) -> None:
    aarq, *requests, release = tags(tmp_path, PROFILE.association(READER), Secret(bytes(16)))
    assert (aarq, release) == (0x60, 0x62)
    assert set(requests) == {0xC8}
