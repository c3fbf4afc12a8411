"""TCP wrapper and bare links."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.bare import BareLink
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, LinkClosed, LinkOpened, Role
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, UsageError
from tests.links import line
from tests.links.line import drain, feed

REQUEST = bytes.fromhex("0001 0010 0001 0004") + b"ask?"
ANSWER = bytes.fromhex("0001 0001 0010 0003") + b"yes"


def client(**changes: Any) -> WrapperLink:
    link = WrapperLink(Role.CLIENT, **({"client_wport": 16, "server_wport": 1} | changes))
    link.connect()
    assert drain(link) == [LinkOpened()]
    return link


def server(**changes: Any) -> WrapperLink:
    return WrapperLink(Role.SERVER, **({"client_wport": None, "server_wport": 1} | changes))


def test_request_and_answer_carry_the_ports_of_both_ends() -> None:
    asking, meter = client(), server()
    asking.send_apdu(b"ask?")
    assert asking.data_to_send() == REQUEST
    assert feed(meter, REQUEST) == [LinkOpened(), ApduReceived(b"ask?")]
    assert meter.client_sap == 16
    meter.send_apdu(b"yes")
    assert meter.data_to_send() == ANSWER
    assert feed(asking, ANSWER) == [ApduReceived(b"yes")]
    assert asking.data_to_send() == b""


def test_frames_are_cut_the_same_in_any_chunking() -> None:
    for chunks in line.chunkings(ANSWER + ANSWER[:6] + b"\x00\x00" + ANSWER):
        assert feed(client(), *chunks) == [
            ApduReceived(b"yes"),
            ApduReceived(b""),
            ApduReceived(b"yes"),
        ]


BREACHES = [
    ("0000 0001 0010 0003", "version 0, expected 1"),
    ("7ea0 0802 2321 93bd", "version 32416, expected 1"),
    ("0001 0002 0010 0003", "from wPort 2 to 16, expected client 16 and server 1"),
    ("0001 0001 0030 0003", "from wPort 1 to 48"),
    ("0001 0010 0001 0003", "from wPort 16 to 1"),
    ("0001 0001 0010 0065", "length 101: at most 100"),
]


@pytest.mark.parametrize(("header", "said"), BREACHES)
def test_a_breach_is_told_from_the_header_alone_and_for_good(header: str, said: str) -> None:
    link = client(limits=Limits(apdu_octets=100))
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match=said):
            feed(link, bytes.fromhex(header))
    assert link.data_to_send() == b""
    with pytest.raises(LocalProtocolError):
        link.send_apdu(b"")
    with pytest.raises(LocalProtocolError):
        link.connect()


def test_a_server_of_one_client_refuses_others() -> None:
    with pytest.raises(RemoteProtocolError, match="expected client 48"):
        feed(server(client_wport=48), REQUEST)


def test_another_client_on_the_same_stream_begins_afresh() -> None:
    link = server()
    other = REQUEST[:3] + b"\x30" + REQUEST[4:]
    opened, asked = LinkOpened(), ApduReceived(b"ask?")
    assert feed(link, REQUEST + REQUEST + other) == [opened, asked, asked, opened, asked]
    assert link.client_sap == 48
    link.send_apdu(b"yes")
    assert link.data_to_send() == ANSWER[:5] + b"\x30" + ANSWER[6:]


@pytest.mark.parametrize(
    ("octets", "reason"), [(b"", "end of stream"), (ANSWER[:9], "end of stream inside an APDU")]
)
def test_the_end_of_the_stream_is_told_after_what_came_before(octets: bytes, reason: str) -> None:
    link = client()
    link.receive_data(ANSWER + octets)
    link.receive_data(b"")
    assert drain(link) == [ApduReceived(b"yes"), LinkClosed(reason)]
    assert feed(link, ANSWER, b"") == []
    with pytest.raises(LocalProtocolError):
        link.send_apdu(b"")


def test_a_wrapper_closes_at_once_and_repeats_nothing() -> None:
    link = client()
    link.send_apdu(b"ask?")
    assert not link.retransmit()
    link.disconnect()
    assert drain(link) == [LinkClosed("disconnected")]
    for step in (link.connect, link.disconnect):
        with pytest.raises(LocalProtocolError):
            step()


def test_what_the_wrapper_cannot_carry_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="65535"):
        client().send_apdu(bytes(65536))
    with pytest.raises(UsageError, match="wPort 65536"):
        client(server_wport=65536)
    with pytest.raises(UsageError, match="of its own"):
        client(client_wport=None)
    with pytest.raises(LocalProtocolError, match="not open"):
        server().send_apdu(b"")


frames = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.binary(max_size=300).map(lambda apdu: b"\0\1\0\1\0\x10" + len(apdu).to_bytes(2) + apdu),
    ),
    max_size=6,
).map(b"".join)


@given(octets=frames, cuts=st.lists(st.integers(0, 900), max_size=8))
def test_random_octets_give_the_same_events_or_error_in_any_chunking(
    octets: bytes, cuts: list[int]
) -> None:
    def outcome(chunks: list[bytes]) -> list[object]:
        link = client()
        told: list[object] = []
        try:
            for chunk in filter(None, chunks):
                link.receive_data(chunk)
                while (event := link.next_event()) is not NEED_DATA:
                    told.append(event)
        except RemoteProtocolError as error:
            told.append(str(error))
        return told

    places = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    assert outcome([octets[a:b] for a, b in pairwise(places)]) == outcome([octets])


@given(apdus=st.lists(st.binary(max_size=5000), max_size=5))
def test_any_apdu_passes_the_wrapper(apdus: list[bytes]) -> None:
    wire = line.Line(client(), server(), lambda request: request[::-1])
    for apdu in apdus:
        wire.client.send_apdu(apdu)
        wire.run()
    assert wire.requests == apdus
    assert wire.answers == [apdu[::-1] for apdu in apdus]


def test_a_bare_link_carries_apdus_as_they_are() -> None:
    asking, meter = BareLink(), BareLink()
    asking.connect()
    assert drain(asking) == [LinkOpened()]
    asking.send_apdu(b"ask?")
    asking.send_apdu(b"and?")
    for apdu in (b"ask?", b"and?"):
        assert asking.data_to_send() == apdu
    assert asking.data_to_send() == b""
    assert feed(meter, b"ask?", b"and?") == [
        LinkOpened(),
        ApduReceived(b"ask?"),
        ApduReceived(b"and?"),
    ]
    assert meter.client_sap is None
    assert not meter.retransmit()
    assert feed(meter, b"") == [LinkClosed("end of stream")]
    assert feed(meter, b"late") == []


def test_a_bare_link_is_opened_once_and_closed_once() -> None:
    link = BareLink()
    with pytest.raises(LocalProtocolError, match="not open cannot send"):
        link.send_apdu(b"")
    link.connect()
    with pytest.raises(LocalProtocolError, match="once"):
        link.connect()
    link.disconnect()
    assert drain(link) == [LinkOpened(), LinkClosed("disconnected")]
    with pytest.raises(LocalProtocolError, match="not open cannot disconnect"):
        link.disconnect()


def test_a_bare_apdu_past_the_limit_is_refused_for_good() -> None:
    link = BareLink(limits=Limits(apdu_octets=10))
    assert feed(link, bytes(10)) == [LinkOpened(), ApduReceived(bytes(10))]
    for _ in range(2):
        with pytest.raises(LimitExceeded, match="at most 10"):
            feed(link, bytes(11))
    with pytest.raises(LocalProtocolError):
        link.send_apdu(b"")
