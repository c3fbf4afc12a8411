"""Several attributes in one exchange, and what a meter says unasked within a session."""

from dataclasses import replace

import pytest

from gateway.dlms import axdr
from gateway.dlms.apdu import Conformance, EventNotification, GetResponseWithList, InvokeId
from gateway.dlms.association.requests import (
    LISTS,
    Action,
    ActionList,
    Answer,
    EventReport,
    Get,
    GetList,
    Refused,
    Set,
    SetList,
)
from gateway.dlms.association.settings import CLIENT_CONFORMANCE, Authentication
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.reading import one_by_one, read_many, write_many
from gateway.dlms.security import SecurityPolicy
from gateway.errors import LocalProtocolError, PeerRefused, RemoteProtocolError
from gateway.model import Obis
from tests.association.test_association_pair import (
    LINKS,
    LONG,
    LONG_VALUE,
    REGISTER,
    SERVER_TITLE,
    Pair,
    settings,
)

ENERGY = axdr.encode(Data(Tag.DOUBLE_LONG_UNSIGNED, 950))
UNKNOWN = Obis.parse("9-9:9.9.9*9")
STATUS_WORD = Obis.parse("0-0:94.91.18*255")
SHORT = GetList((Get(3, REGISTER, 2), Get(3, UNKNOWN, 2), Get(3, REGISTER, 2)))


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH])
@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "byte by byte"])
def test_each_attribute_of_a_list_has_its_own_answer(
    link: str, policy: SecurityPolicy | None, chunk: int | None
) -> None:
    pair = Pair(link, *settings(Authentication.LLS, policy), chunk)
    pair.open()
    answer = pair.ask(SHORT)
    assert isinstance(answer, Answer)
    assert answer.items == (ENERGY, Refused("GET", "object-undefined"), ENERGY)
    assert answer.data == b""
    assert answer.server_system_title == (SERVER_TITLE if policy else None)


@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH])
def test_a_long_list_comes_in_blocks(policy: SecurityPolicy | None) -> None:
    pair = Pair("wrapper", *settings(Authentication.LLS, policy))
    pair.open()
    answer = pair.ask(GetList((Get(7, LONG, 2), Get(3, UNKNOWN, 2), Get(7, LONG, 2))))
    assert isinstance(answer, Answer)
    assert answer.items == (LONG_VALUE, Refused("GET", "object-undefined"), LONG_VALUE)
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


def test_a_list_that_was_not_agreed_on_is_not_sent() -> None:
    client, server = settings(Authentication.NONE, None)
    narrow = CLIENT_CONFORMANCE & ~Conformance.MULTIPLE_REFERENCES
    pair = Pair("wrapper", client, replace(server, conformance=narrow))
    pair.open()
    assert not pair.client.takes_lists
    with pytest.raises(LocalProtocolError, match="multiple references"):
        pair.client.send(SHORT)
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_more_or_fewer_results_than_asked_end_the_session(count: int) -> None:
    pair = Pair("wrapper", *settings(Authentication.NONE, None))
    pair.open()
    pair.client.send(SHORT)
    pair.client.data_to_send()
    forged = GetResponseWithList(InvokeId(1), (ENERGY,) * count).encode()
    header = bytes.fromhex("0001 0001 0020") + len(forged).to_bytes(2, "big")
    pair.client.receive_data(header + forged)
    with pytest.raises(RemoteProtocolError, match=f"{count} results answer a list of 3"):
        pair.client.next_event()


def test_what_a_meter_reports_unasked_is_told_and_the_answer_still_comes() -> None:
    pair = Pair("wrapper", *settings(Authentication.NONE, None))
    pair.open()
    pair.client.send(Get(3, REGISTER, 2))
    word = axdr.encode(Data(Tag.BIT_STRING, "1" * 8))
    report = EventNotification(b"", 1, STATUS_WORD, 2, word).encode()
    header = bytes.fromhex("0001 0001 0020") + len(report).to_bytes(2, "big")
    pair.client.receive_data(header + report)
    assert pair.client.next_event() == EventReport(b"", 1, STATUS_WORD, 2, word)
    answer = pair.run()
    assert isinstance(answer, Answer)
    assert answer.data == ENERGY


# --- procedures ----------------------------------------------------------------------------


def drive(procedure, meter) -> tuple[object, list[object]]:
    """Run a procedure against a function; its result and what it asked."""
    asked: list[object] = []
    try:
        request = next(procedure)
        while True:
            asked.append(request)
            try:
                answer = meter(request)
            except PeerRefused as refusal:
                request = procedure.throw(refusal)
            else:
                request = procedure.send(answer)
    except StopIteration as done:
        return done.value, asked


def single(request: Get | Set | Action) -> Answer:
    if request.obis == UNKNOWN:
        raise PeerRefused("GET", "object-undefined")
    return Answer(ENERGY, SERVER_TITLE, 5)


def listing(request: Get | GetList | SetList) -> Answer:
    if not isinstance(request, LISTS):
        return single(request)
    items: list[bytes | Refused] = []
    for item in request.items:
        try:
            items.append(single(item).data)
        except PeerRefused as refusal:
            items.append(Refused(refusal.service, refusal.reason))
    return Answer(b"", SERVER_TITLE, 5, tuple(items))


def liar(request: Get | GetList | SetList) -> Answer:
    if isinstance(request, LISTS):
        raise PeerRefused("request", "service-unknown, operation-not-possible")
    return single(request)


WANTED = [Get(3, REGISTER, 2), Get(3, UNKNOWN, 2)] * 8


IN_EVERY_WAY = pytest.mark.parametrize(
    ("meter", "wrap", "requests"),
    [
        (listing, lambda procedure: procedure, 2),
        (listing, one_by_one, 16),
        (liar, lambda procedure: procedure, 2 + 16),
    ],
    ids=["in lists", "one by one", "a meter that agreed and refuses"],
)


@IN_EVERY_WAY
def test_many_attributes_are_read_alike_in_every_way(meter, wrap, requests: int) -> None:
    found, asked = drive(wrap(read_many(WANTED)), meter)
    assert len(asked) == requests
    values = [one.value if isinstance(one, Data) else one.reason for one in found]  # type: ignore[attr-defined]
    assert values == [950, "object-undefined"] * 8


@IN_EVERY_WAY
def test_many_attributes_are_written_alike_in_every_way(meter, wrap, requests: int) -> None:
    writes = [Set(3, REGISTER, 2, ENERGY), Set(3, UNKNOWN, 2, ENERGY)] * 8
    found, asked = drive(wrap(write_many(writes)), meter)
    assert len(asked) == requests
    assert [one and one.reason for one in found] == [None, "object-undefined"] * 8  # type: ignore[attr-defined]


def test_methods_of_a_list_are_invoked_singly_once_each_where_lists_were_not_agreed_on() -> None:
    def procedure():
        return (yield ActionList((Action(70, REGISTER, 1), Action(70, UNKNOWN, 1)))).items

    items, asked = drive(one_by_one(procedure()), single)
    assert items == (ENERGY, Refused("GET", "object-undefined"))
    assert asked == [Action(70, REGISTER, 1), Action(70, UNKNOWN, 1)]


def test_a_refusal_reaches_the_procedure_also_when_it_is_asked_one_by_one() -> None:
    def procedure():
        try:
            yield Get(3, UNKNOWN, 2)
        except PeerRefused as refusal:
            return refusal.reason

    assert drive(one_by_one(procedure()), single)[0] == "object-undefined"
