"""A client over datagrams that are lost, doubled or late: asked again, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dlms.association.datagrams import DatagramClientConnection
from gateway.dlms.association.requests import (
    Action,
    Answer,
    AssociationOpened,
    Event,
    Get,
    Refused,
    Request,
)
from gateway.dlms.association.server import ServerConnection
from gateway.dlms.association.settings import Authentication, ClientSettings, ServerSettings
from gateway.dlms.link import NEED_DATA, Role
from gateway.dlms.security import SecurityPolicy
from gateway.dlms.wrapper import DatagramWrapperLink
from gateway.errors import NoAnswer, RemoteProtocolError
from tests.association.test_association_pair import (
    LONG,
    LONG_VALUE,
    PASSWORD,
    REGISTER,
    RELAY,
    Challenge,
    Objects,
    protection,
)

GET = Get(3, REGISTER, 2)
GET_LONG = Get(7, LONG, 2)
VALUE = Objects().value
Fate = Callable[[list[bytes]], list[bytes]]

FATES: dict[str, Fate] = {
    "passed": lambda held: [held.pop()],
    "lost": lambda held: (held.pop(), [])[1],
    "doubled": lambda held: [held[-1], held.pop()],
    "held back": lambda held: held[:0],
    "overtaken": lambda held: [held.pop(), *(held.pop() for _ in range(len(held)))],
}


class Net:
    """A client and a meter with datagrams between them, each of which has its fate."""

    def __init__(self, fates: Iterator[str], policy: SecurityPolicy = SecurityPolicy.BOTH) -> None:
        self.fates = fates
        self.objects = Objects()
        self.sent = 0
        self._held: list[bytes] = []
        self.client = DatagramClientConnection(
            DatagramWrapperLink(Role.CLIENT, client_wport=32, server_wport=1),
            ClientSettings(
                authentication=Authentication.LLS,
                lls_password=PASSWORD,
                protection=protection(Role.CLIENT, policy) if policy else None,
                random_bytes=Challenge(),
                max_pdu_octets=512,
            ),
        )
        self._link = DatagramWrapperLink(Role.SERVER, client_wport=None, server_wport=1)
        self.meter = ServerConnection(
            self._link,
            ServerSettings(
                name="meter_reader",
                authentication=Authentication.LLS,
                lls_password=PASSWORD,
                protection=protection(Role.SERVER, policy) if policy else None,
                max_pdu_octets=512,
                random_bytes=Challenge(),
            ),
            self.objects,
        )

    def open(self) -> Event:
        self.client.open()
        return self.next_event()

    def ask(self, request: Request) -> Event:
        self.client.send(request)
        return self.next_event()

    def next_event(self, patience: int = 60) -> Event:
        while True:
            event = self.client.next_event()
            if event is not NEED_DATA:
                return event
            if datagram := self.client.data_to_send():
                self.sent += 1
                self._cross(datagram)
            elif patience and self.client.handle_timeout():
                patience -= 1
            else:
                raise NoAnswer("silence")

    def _cross(self, datagram: bytes) -> None:
        self._link.receive_data(datagram)
        while self.meter.next_event() is not NEED_DATA:
            continue
        answer = self._link.data_to_send()
        if answer:
            self._held.append(answer)
            for arrived in FATES[next(self.fates)](self._held):
                self.client.receive_data(arrived)


def fates(*first: str) -> Iterator[str]:
    yield from first
    while True:
        yield "passed"


@pytest.mark.parametrize("policy", [SecurityPolicy.NONE, SecurityPolicy.BOTH])
@pytest.mark.parametrize("fate", FATES)
def test_a_value_and_a_long_one_are_read_whatever_befalls_one_answer(
    fate: str, policy: SecurityPolicy
) -> None:
    for spoilt in range(14):
        net = Net(fates(*["passed"] * spoilt, fate), policy)
        assert isinstance(net.open(), AssociationOpened)
        for request, value in ((GET, VALUE), (GET_LONG, LONG_VALUE), (GET, VALUE)):
            answer = net.ask(request)
            assert isinstance(answer, Answer), answer
            assert answer.data == value


@given(st.lists(st.sampled_from(list(FATES)), max_size=40))
@settings(max_examples=80, deadline=None)
def test_no_order_of_losses_gives_a_wrong_value(plan: list[str]) -> None:
    net = Net(fates(*plan))
    assert isinstance(net.open(), AssociationOpened)
    for request, value in ((GET, VALUE), (GET_LONG, LONG_VALUE), (GET, VALUE)):
        answer = net.ask(request)
        assert isinstance(answer, Answer), answer
        assert answer.data == value


def test_an_action_whose_answer_was_lost_is_never_asked_twice() -> None:
    net = Net(fates("passed", "lost"))
    net.open()
    with pytest.raises(NoAnswer):
        net.ask(Action(70, RELAY, 1, b"\x0f\x00"))
    assert net.objects.actions == [(1, b"\x0f\x00")]


def test_each_saying_has_a_counter_of_its_own() -> None:
    net = Net(fates("passed", "lost", "lost"))
    net.open()
    before = net.sent
    assert isinstance(net.ask(GET), Answer)
    assert net.sent == before + 3
    assert net.meter.counters_refused == 0


def test_a_refusal_is_passed_on_as_over_a_stream() -> None:
    net = Net(fates("passed", "lost"))
    net.open()
    assert isinstance(net.ask(Get(3, RELAY, 2)), Refused)


@pytest.mark.parametrize(
    "datagram",
    [
        b"\x00",
        bytes.fromhex("0001 0001 0020 0005 c4 01"),
        bytes.fromhex("0001 0001 0020 0001 c4 01"),
        bytes(8),
        bytes.fromhex("0001 0001 0020 0002 c401") * 2,
    ],
    ids=["short", "cut", "long", "empty header", "two in one"],
)
def test_a_datagram_that_is_not_one_pdu_ends_the_session_with_its_fault(datagram: bytes) -> None:
    net = Net(fates())
    net.open()
    net.client.send(GET)
    net.client.receive_data(datagram)
    with pytest.raises(RemoteProtocolError, match="wrapper"):
        net.client.next_event()
