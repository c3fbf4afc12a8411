"""Lists of writes and methods, and return parameters that come in blocks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms import apdu, axdr
from gateway.dlms.apdu import (
    ActionOutcome,
    AttributeItem,
    Conformance,
    DataBlock,
    InvokeId,
    MethodItem,
    read_long_outcome,
)
from gateway.dlms.association.long_answers import LongAnswer
from gateway.dlms.association.long_requests import Block, LongReceiver, LongRequest
from gateway.dlms.association.requests import (
    Action,
    ActionList,
    Answer,
    AssociationOpened,
    Get,
    Refused,
    Request,
    Set,
    SetList,
)
from gateway.dlms.association.services import encode_request
from gateway.dlms.association.settings import CLIENT_CONFORMANCE, Authentication
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.limits import Limits
from gateway.dlms.security import SecurityPolicy
from gateway.errors import (
    DecodeError,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
)
from gateway.model import Obis
from tests.association.test_association_pair import (
    LONG,
    LONG_VALUE,
    REGISTER,
    RELAY,
    Objects,
    Pair,
    settings,
)
from tests.association.test_general_blocks import general_pair, give, serve

INVOKE = InvokeId(1)
SHORT = b"\x11\x07"
NO_BLOCKS = ~(Conformance.BLOCK_TRANSFER_WITH_SET | Conformance.BLOCK_TRANSFER_WITH_ACTION)


@dataclass
class Returning(Objects):
    """Objects whose relay returns what it is given."""

    sets: list[bytes] = field(default_factory=list)

    def set(self, association: str, class_id: int, obis: Obis, attribute: int, data: bytes) -> None:
        super().set(association, class_id, obis, attribute, data)
        self.sets.append(data)

    def action(
        self, association: str, class_id: int, obis: Obis, method: int, data: bytes | None
    ) -> bytes | None:
        super().action(association, class_id, obis, method, data)
        return data


def opened(
    policy: SecurityPolicy | None = None,
    *,
    link: str = "wrapper",
    window: int | None = None,
    conformance: Conformance = CLIENT_CONFORMANCE,
) -> Pair:
    client, server = settings(Authentication.LLS, policy)
    client = replace(client, general_block_window=window)
    server = replace(server, general_block_window=window, conformance=conformance)
    pair = Pair(link, client, server, objects=Returning())
    assert isinstance(pair.open(), AssociationOpened)
    return pair


WRITES = SetList(
    (Set(3, REGISTER, 2, SHORT), Set(3, LONG, 2, SHORT), Set(3, REGISTER, 2, LONG_VALUE))
)
METHODS = ActionList(
    (
        Action(70, RELAY, 1, LONG_VALUE),
        Action(70, REGISTER, 1, SHORT),
        Action(70, RELAY, 2),
        Action(70, RELAY, 2, SHORT),
    )
)
WRITTEN = (b"", Refused("SET", "read-write-denied"), b"")
RETURNED = (LONG_VALUE, Refused("ACTION", "object-undefined"), b"", SHORT)


@pytest.mark.parametrize("link", ["wrapper", "hdlc"])
@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH], ids=["plain", "ciphered"])
@pytest.mark.parametrize("window", [None, 1, 9])
def test_each_item_of_a_list_has_its_own_outcome(
    link: str, policy: SecurityPolicy | None, window: int | None
) -> None:
    pair = opened(policy, link=link, window=window)
    answer = pair.ask(WRITES)
    assert isinstance(answer, Answer)
    assert answer.items == WRITTEN
    assert isinstance(pair.objects, Returning)
    assert pair.objects.sets == [SHORT, LONG_VALUE]
    answer = pair.ask(METHODS)
    assert isinstance(answer, Answer)
    assert answer.items == RETURNED
    assert pair.objects.actions == [(1, LONG_VALUE), (2, None), (2, SHORT)]


@pytest.mark.parametrize("request_list", [WRITES, METHODS])
def test_a_list_is_one_request_where_no_blocks_were_agreed_on(
    request_list: SetList | ActionList,
) -> None:
    pair = opened(conformance=CLIENT_CONFORMANCE & NO_BLOCKS)
    answer = pair.ask(request_list)
    assert isinstance(answer, Answer)
    assert answer.items == (WRITTEN if request_list is WRITES else RETURNED)
    assert len(pair.to_server) == 2


@pytest.mark.parametrize("request_list", [WRITES, METHODS])
def test_lists_that_were_not_agreed_on_are_not_sent(request_list: Request) -> None:
    pair = opened(conformance=CLIENT_CONFORMANCE & ~Conformance.MULTIPLE_REFERENCES)
    with pytest.raises(LocalProtocolError, match="multiple references"):
        pair.client.send(request_list)
    assert isinstance(pair.ask(Set(3, REGISTER, 2, SHORT)), Answer)


@pytest.mark.parametrize("link", ["wrapper", "hdlc"])
@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH], ids=["plain", "ciphered"])
def test_long_return_parameters_come_in_blocks(link: str, policy: SecurityPolicy | None) -> None:
    pair = opened(policy, link=link)
    answer = pair.ask(Action(70, RELAY, 2, LONG_VALUE))
    assert isinstance(answer, Answer)
    assert answer.data == LONG_VALUE
    assert max(map(len, pair.to_client)) < 700
    assert isinstance(pair.ask(Action(70, RELAY, 2, SHORT)), Answer)


def test_what_cannot_be_sent_leaves_the_association_as_it_is() -> None:
    pair = opened()
    # 50 names of ten octets do not fit into 512.
    with pytest.raises(LocalProtocolError, match="do not fit into 512 octets"):
        pair.client.send(SetList(tuple(Set(3, REGISTER, 2, SHORT) for _ in range(50))))
    assert isinstance(pair.ask(Set(3, REGISTER, 2, SHORT)), Answer)
    pair = general_pair(limits=Limits(transfer_blocks=4))
    with pytest.raises(LocalProtocolError, match="too many blocks"):
        pair.client.send(Set(3, REGISTER, 2, LONG_VALUE))
    assert isinstance(pair.ask(Set(3, REGISTER, 2, SHORT)), Answer)


def test_a_list_whose_names_alone_do_not_fit_is_not_sent() -> None:
    narrow = AssociationOpened(CLIENT_CONFORMANCE, 80, None)
    many = SetList(tuple(Set(3, REGISTER, 2, SHORT) for _ in range(4)))
    with pytest.raises(LocalProtocolError, match="do not fit into 80 octets"):
        LongRequest.of(many, INVOKE, narrow)


@given(
    st.lists(st.binary(max_size=120), min_size=1, max_size=5),
    st.integers(110, 200),
    st.booleans(),
)
def test_lists_cut_into_blocks_are_put_together_again(
    octets: list[bytes], max_pdu: int, of_set: bool
) -> None:
    values = [axdr.encode(Data(Tag.OCTET_STRING, one)) for one in octets]
    request: SetList | ActionList = (
        SetList(tuple(Set(3, REGISTER, 2, one) for one in values))
        if of_set
        else ActionList(tuple(Action(70, RELAY, 1, one) for one in values))
    )
    long = LongRequest.of(request, INVOKE, AssociationOpened(CLIENT_CONFORMANCE, max_pdu, None))
    if long is None:
        assert sum(map(len, values)) <= max_pdu - 48
        return
    receiver = LongReceiver(2000)
    sent = long.next()
    for number in range(1, 1000):
        assert len(sent) <= max_pdu
        block = apdu.decode_apdu(sent)
        assert isinstance(block, Block)
        taken = receiver.take(block)
        if not isinstance(taken, bytes):
            assert isinstance(taken, (apdu.SetRequestWithList, apdu.ActionRequestWithList))
            assert taken.values == tuple(values)
            assert len(taken.items) == len(values)
            assert long.sent
            return
        sent = long.after(number)
    raise AssertionError("no end")


# --- what does not fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_sent", "answer", "said"),
    [
        (WRITES, apdu.SetResponseWithList(INVOKE, (0, 0)), "before the last block"),
        (WRITES, apdu.SetResponseLastBlock(INVOKE, 0, 1), "before the last block"),
        (
            SetList(WRITES.items[:2]),
            apdu.SetResponseWithList(INVOKE, (0,)),
            "1 results answer a list of 2",
        ),
        (
            SetList(WRITES.items[:2]),
            apdu.SetResponseLastBlock(INVOKE, 0, 1),
            "one success answers a SetList",
        ),
        (
            ActionList(METHODS.items[1:]),
            apdu.ActionResponseNormal(INVOKE, 0),
            "one success answers a ActionList",
        ),
        (
            ActionList(METHODS.items[1:]),
            apdu.ActionResponseWithList(INVOKE, (ActionOutcome(0),) * 4),
            "4 results answer a list of 3",
        ),
        (
            Action(70, RELAY, 2),
            apdu.ActionResponseWithList(INVOKE, (ActionOutcome(0),)),
            "answers a Action request",
        ),
        (
            Action(70, RELAY, 2),
            apdu.ActionResponseBlock(INVOKE, DataBlock(False, 2, b"\x00")),
            "block 2 came where block 1 belongs",
        ),
        (
            Action(70, RELAY, 2),
            apdu.ActionResponseBlock(INVOKE, DataBlock(False, 1, b"")),
            "an empty block that is not the last",
        ),
        (
            Action(70, RELAY, 2, LONG_VALUE),
            apdu.ActionResponseBlock(INVOKE, DataBlock(False, 1, b"\x00")),
            "before the last block",
        ),
    ],
)
def test_an_answer_that_does_not_fit_the_request_ends_the_session(
    request_sent: Request, answer: apdu.Apdu, said: str
) -> None:
    pair = opened()
    pair.client.send(request_sent)
    with pytest.raises(RemoteProtocolError, match=said):
        give(pair, answer.encode())


@pytest.mark.parametrize(
    ("request_sent", "answer", "refused"),
    [
        (
            WRITES,
            apdu.SetResponseLastBlock(INVOKE, 17, 1),
            Refused("SET", "long-set-aborted"),
        ),
        (
            METHODS,
            apdu.ActionResponseNormal(INVOKE, 15),
            Refused("ACTION", "long-action-aborted"),
        ),
    ],
)
def test_a_list_may_be_refused_as_a_whole(
    request_sent: Request, answer: apdu.Apdu, refused: Refused
) -> None:
    pair = opened()
    pair.client.send(request_sent)
    assert give(pair, answer.encode()) == refused


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (encode_request(WRITES, INVOKE), Conformance.MULTIPLE_REFERENCES),
        (
            apdu.SetRequestFirstBlock(
                INVOKE, AttributeItem(3, REGISTER, 2), DataBlock(True, 1, SHORT)
            ).encode(),
            Conformance.BLOCK_TRANSFER_WITH_SET,
        ),
        (
            apdu.ActionRequestFirstBlock(
                INVOKE, MethodItem(70, RELAY, 2), DataBlock(True, 1, SHORT)
            ).encode(),
            Conformance.BLOCK_TRANSFER_WITH_ACTION,
        ),
    ],
)
def test_a_server_serves_only_what_was_agreed_on(asked: bytes, missing: Conformance) -> None:
    pair = opened(conformance=CLIENT_CONFORMANCE & ~missing)
    assert serve(pair, asked) == [b"\xd8\x02\x02"]
    assert pair.objects == Returning()


def test_another_request_ends_a_long_answer() -> None:
    pair = opened()
    following = apdu.GetRequestNext(INVOKE, 1).encode()
    long = apdu.GetRequestNormal(INVOKE, 7, LONG, 2).encode()
    short = apdu.GetRequestNormal(INVOKE, 3, REGISTER, 2).encode()
    refused = apdu.GetResponseWithDatablock(INVOKE, True, 1, error=16).encode()
    assert serve(pair, long, short, following)[-1] == refused


def test_an_answer_in_blocks_is_bounded() -> None:
    client, server = settings(Authentication.LLS, None)
    pair = Pair("wrapper", replace(client, limits=Limits(transfer_octets=1000)), server)
    pair.open()
    with pytest.raises(LimitExceeded, match="beyond 1000 octets"):
        pair.ask(Get(7, LONG, 2))


def test_a_list_in_blocks_that_is_no_list_is_aborted_and_nothing_is_written() -> None:
    item = AttributeItem(3, REGISTER, 2)
    for data in (b"\x02\x11\x01\x11\x02", b"\x01\x11", b"\x01\x11\x01\x00"):
        receiver = LongReceiver(100)
        block = apdu.SetRequestListFirstBlock(INVOKE, (item,), DataBlock(True, 1, data))
        assert receiver.take(block) == apdu.SetResponseLastBlock(INVOKE, 17, 1).encode()


def test_blocks_of_an_answer_are_asked_for_in_turn_and_by_their_own_service() -> None:
    def begun() -> LongAnswer:
        answer = LongAnswer()
        first = answer.begin(apdu.ActionRequestNextBlock, INVOKE, b"abcde", 3)
        expected = apdu.ActionResponseBlock(INVOKE, DataBlock(False, 1, b"abc"))
        assert first == expected.encode()
        return answer

    asked = apdu.ActionRequestNextBlock(INVOKE, 1)
    last = apdu.ActionResponseBlock(INVOKE, DataBlock(True, 2, b"de"))
    answer = begun()
    assert answer.after(asked) == last.encode()
    none_left = apdu.ActionResponseNormal(INVOKE, 16).encode()
    assert answer.after(apdu.ActionRequestNextBlock(INVOKE, 2)) == none_left
    aborted = apdu.ActionResponseNormal(INVOKE, 15).encode()
    assert begun().after(apdu.ActionRequestNextBlock(INVOKE, 2)) == aborted
    no_get = apdu.GetResponseWithDatablock(INVOKE, True, 1, error=16).encode()
    answer = begun()
    assert answer.after(apdu.GetRequestNext(INVOKE, 1)) == no_get
    assert answer.after(asked) == none_left


@pytest.mark.parametrize(
    ("octets", "outcome"),
    [
        ("00 01 00 0903AABBCC", ActionOutcome(0, b"\x09\x03\xaa\xbb\xcc")),
        ("00 00", ActionOutcome(0)),
        ("03 00", ActionOutcome(3)),
        ("01 01 01 FA", ActionOutcome(1, error=250)),
        # As gurux-dlms cuts it: the return parameters alone.
        ("0903AABBCC", ActionOutcome(0, b"\x09\x03\xaa\xbb\xcc")),
    ],
)
def test_an_outcome_that_came_in_blocks_is_read_in_both_forms(
    octets: str, outcome: ActionOutcome
) -> None:
    assert read_long_outcome(bytes.fromhex(octets)) == outcome


@pytest.mark.parametrize("octets", ["", "00", "00 01", "00 01 02 11 01", "00 00 00"])
def test_what_is_no_outcome_is_refused(octets: str) -> None:
    with pytest.raises(DecodeError):
        read_long_outcome(bytes.fromhex(octets))
