"""An optical head on a pseudo terminal: sign-on, echo, speeds, and each way it does not work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.hdlc.frame import decode_frame, encode_frame
from gateway.dlms.sign_on import SignOnTiming
from gateway.errors import (
    DecodeError,
    GatewayError,
    LinkLost,
    NoAnswer,
    PeerRefused,
    RemoteProtocolError,
)
from gateway.transport.echo import EchoFilter
from gateway.transport.optical import OpticalTransport
from gateway.url import SignOnUse
from hil_tests.emulator.optical_head import OpticalWire
from hil_tests.emulator.station import Spoiler
from tests.emulator.rig import Rig, meter_scenario
from tests.emulator.test_fleet import NoWaiting, first_octets
from tests.links.line import chunkings

QUICK = SignOnTiming(
    wake_up_s=0.2, wake_up_rest_s=0.05, answer_s=0.3, reaction_s=0.02, settle_s=0.02
)
Body = Callable[[OpticalTransport], Awaitable[None]]


def under_a_head(
    tmp_path: Path,
    faults: str,
    body: Body,
    *,
    sign_on: SignOnUse = SignOnUse.AUTO,
    address: str = "",
    wake_up: bool = False,
    baud: int = 9600,
) -> None:
    """Run ``body`` with a transport, not yet connected, at an emulated meter."""

    async def scene() -> None:
        rig = Rig(meter_scenario(faults, wire="optical"))
        head = OpticalWire(
            tmp_path / "EM1",
            lambda: rig.station,
            Spoiler(rig.scenario.faults, "EM1"),
            rig.scenario.faults,
            NoWaiting(),
        )
        await head.start()
        transport = OpticalTransport(
            str(tmp_path / "EM1"),
            baud=baud,
            sign_on=sign_on,
            address=address,
            wake_up=wake_up,
            timing=QUICK,
        )
        try:
            async with asyncio.timeout(20):
                await body(transport)
        finally:
            await transport.close()
            await head.stop()

    asyncio.run(scene())


async def speaks_hdlc(transport: OpticalTransport) -> None:
    """SNRM is answered by UA, and by nothing else."""
    await transport.connect()
    await links(transport)


async def links(transport: OpticalTransport) -> None:
    await transport.begin_link()
    await transport.send(first_octets("hdlc+tcp"))
    answer = b""
    while not (answer.endswith(b"\x7e") and len(answer) > 1):
        answer += await transport.receive(1)
    assert answer[:2] == b"\x7e\xa0"
    assert answer[6:7] == b"\x73" or answer[5:6] == b"\x73", answer.hex(" ")


WAYS_IN = [
    "",
    "faults.head_echoes = true",
    "faults.no_confirmation = true",
    "faults.head_echoes = true\nfaults.no_confirmation = true",
    "faults.baud_identification = 0",
    "faults.baud_identification = 4",
    "faults.split_octets = 1",
    "faults.hdlc_at_once = true",
    "faults.hdlc_at_once = true\nfaults.head_echoes = true",
]


@pytest.mark.parametrize("faults", WAYS_IN)
def test_hdlc_begins_whatever_the_head_and_the_meter_are_like(tmp_path: Path, faults: str) -> None:
    under_a_head(tmp_path, faults, speaks_hdlc)


def test_a_meter_that_has_to_be_woken_is_woken(tmp_path: Path) -> None:
    faults = "faults.head_echoes = true"
    under_a_head(tmp_path, faults, speaks_hdlc, sign_on=SignOnUse.ALWAYS, wake_up=True)


def test_a_meter_with_another_address_is_silent(tmp_path: Path) -> None:
    under_a_head(tmp_path, "", speaks_hdlc, sign_on=SignOnUse.ALWAYS, address="EM1")
    with pytest.raises(NoAnswer, match="nobody answers the sign-on"):
        under_a_head(tmp_path, "", speaks_hdlc, sign_on=SignOnUse.ALWAYS, address="EM2")


def test_a_line_that_is_slower_than_the_meter_stays_slow(tmp_path: Path) -> None:
    under_a_head(tmp_path, "faults.baud_identification = 6", speaks_hdlc, baud=9600)


def test_a_meter_without_sign_on_is_read_without_one(tmp_path: Path) -> None:
    under_a_head(tmp_path, "faults.hdlc_at_once = true", speaks_hdlc, sign_on=SignOnUse.NEVER)


@pytest.mark.parametrize(
    ("faults", "kind", "said"),
    [
        ("faults.silent = true", NoAnswer, "nothing received"),
        ("faults.stays_slow = true", NoAnswer, "nothing received"),
        ("faults.reads_out = true", PeerRefused, "answered by a readout"),
        ("faults.babbles = true", DecodeError, "no identification"),
        ("faults.baud_identification = 8", RemoteProtocolError, "proposes speed '8'"),
    ],
)
def test_each_way_it_does_not_work_has_its_own_error(
    tmp_path: Path, faults: str, kind: type[GatewayError], said: str
) -> None:
    async def body(transport: OpticalTransport) -> None:
        await speaks_hdlc(transport)

    with pytest.raises(kind, match=said) as caught:
        under_a_head(tmp_path, faults, body)
    assert type(caught.value) is kind


def test_a_head_that_is_unplugged_during_the_sign_on_is_a_lost_link(tmp_path: Path) -> None:
    async def body(transport: OpticalTransport) -> None:
        await transport.connect()
        asyncio.get_running_loop().call_later(0.05, transport._lose, "the device vanished")
        with pytest.raises(LinkLost, match="vanished"):
            await transport.begin_link()

    under_a_head(tmp_path, "faults.silent = true", body)


def test_a_meter_that_still_speaks_hdlc_is_talked_to_at_its_speed(tmp_path: Path) -> None:
    async def body(transport: OpticalTransport) -> None:
        await speaks_hdlc(transport)
        # No disconnection reached it: it does not hear a sign-on.
        await links(transport)

    faults = "faults.baud_identification = 4"
    under_a_head(tmp_path, faults, body, sign_on=SignOnUse.ALWAYS)


def test_after_goodbye_the_meter_is_signed_on_to_again(tmp_path: Path) -> None:
    async def body(transport: OpticalTransport) -> None:
        await transport.connect()
        for _ in range(2):
            await links(transport)
            snrm = decode_frame(first_octets("hdlc+tcp"))
            await transport.send(encode_frame(snrm.destination + snrm.source, 0x53))
            assert await transport.receive(1)

    under_a_head(tmp_path, "", body, sign_on=SignOnUse.ALWAYS)


# -- the echo, without a head ---------------------------------------------------------------------


def heard_through(filter_: EchoFilter, octets: bytes, chunks: list[bytes]) -> bytes:
    assert octets == b"".join(chunks)
    return b"".join(filter_.received(chunk) for chunk in chunks)


def test_an_echo_is_taken_away_in_any_chunking() -> None:
    for chunks in chunkings(b"/?!\r\n/APA5x\r\n"):
        head = EchoFilter()
        head.sent(b"/?!\r\n")
        assert heard_through(head, b"/?!\r\n/APA5x\r\n", chunks) == b"/APA5x\r\n"
        assert head.echoes is True
        head.sent(b"\x06252\r\n")
        assert head.received(b"\x06252\r\n\x06252\r\n") == b"\x06252\r\n"


def test_without_an_echo_everything_is_passed_on_in_any_chunking() -> None:
    for chunks in chunkings(b"/APA5x\r\n"):
        head = EchoFilter()
        head.sent(b"/?!\r\n")
        assert heard_through(head, b"/APA5x\r\n", chunks) == b"/APA5x\r\n"
        assert head.echoes is False
        head.sent(b"\x06252\r\n")
        assert head.received(b"\x06252\r\n") == b"\x06252\r\n", "the meter's own confirmation"


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5), st.booleans())
def test_what_a_meter_says_comes_through_whole(answers: list[bytes], echoes: bool) -> None:
    head = EchoFilter()
    for number, answer in enumerate(answers):
        asked = b"?" + bytes([number]) + answer
        head.sent(asked)
        arrived = asked + b"!" + answer if echoes else b"!" + answer
        assert head.received(arrived) == b"!" + answer
    assert head.echoes is echoes
