"""SET data and ACTION parameters in blocks: what arrives, and what either side refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms import apdu, axdr
from gateway.dlms.apdu import AttributeItem, Conformance, DataBlock, InvokeId, MethodItem
from gateway.dlms.association.long_requests import Block, LongReceiver, LongRequest
from gateway.dlms.association.requests import Action, Answer, AssociationOpened, Refused, Set
from gateway.dlms.association.settings import CLIENT_CONFORMANCE, Authentication
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.security import SecurityPolicy
from gateway.errors import RemoteProtocolError
from gateway.model import Obis
from tests.association.test_association_pair import (
    LINKS,
    LONG,
    LONG_VALUE,
    REGISTER,
    RELAY,
    Pair,
    settings,
)

INVOKE = InvokeId(3)
BOTH = Conformance.BLOCK_TRANSFER_WITH_SET | Conformance.BLOCK_TRANSFER_WITH_ACTION
FIRST_SET = apdu.SetRequestFirstBlock(
    INVOKE, AttributeItem(3, REGISTER, 2), DataBlock(False, 1, b"\x09\x02")
)
FIRST_ACTION = apdu.ActionRequestFirstBlock(
    INVOKE, MethodItem(70, RELAY, 1), DataBlock(False, 1, b"\x09\x02")
)


def opened_pair(link: str, policy: SecurityPolicy | None) -> Pair:
    pair = Pair(link, *settings(Authentication.LLS, policy))
    assert isinstance(pair.open(), AssociationOpened)
    return pair


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("policy", [None, SecurityPolicy.BOTH], ids=["plain", "ciphered"])
def test_long_data_reach_the_object_model_whole(link: str, policy: SecurityPolicy | None) -> None:
    pair = opened_pair(link, policy)
    assert isinstance(pair.ask(Set(3, REGISTER, 2, LONG_VALUE)), Answer)
    assert pair.objects.value == LONG_VALUE
    assert isinstance(pair.ask(Action(70, RELAY, 2, LONG_VALUE)), Answer)
    assert pair.objects.actions == [(2, LONG_VALUE)]
    assert pair.ask(Set(3, LONG, 2, LONG_VALUE)) == Refused("SET", "read-write-denied")
    assert pair.ask(Action(70, LONG, 2, LONG_VALUE)) == Refused("ACTION", "object-undefined")
    assert isinstance(pair.ask(Set(3, REGISTER, 2, b"\x11\x07")), Answer)
    assert pair.objects.value == b"\x11\x07"
    longest = max(len(sent) for sent in pair.to_server)
    assert longest < 700  # One APDU of 512 octets, with what the link puts around it.


def test_blocks_are_not_sent_where_they_were_not_agreed_on() -> None:
    client, server = settings(Authentication.NONE, None)
    pair = Pair("wrapper", client, replace(server, conformance=CLIENT_CONFORMANCE & ~BOTH))
    pair.open()
    assert isinstance(pair.ask(Set(3, REGISTER, 2, LONG_VALUE)), Answer)
    assert pair.to_server[1][8:10] == b"\xc1\x01"


@given(st.binary(min_size=1, max_size=400), st.integers(49, 120), st.booleans())
def test_what_is_cut_into_blocks_is_put_together_again(
    octets: bytes, max_pdu: int, of_set: bool
) -> None:
    data = axdr.encode(Data(Tag.OCTET_STRING, octets))
    request = Set(3, REGISTER, 2, data) if of_set else Action(70, RELAY, 1, data)
    long = LongRequest.of(request, INVOKE, AssociationOpened(BOTH, max_pdu, None))
    if long is None:
        assert len(data) <= max_pdu - 48
        return
    receiver = LongReceiver(1000)
    octets_out = long.next()
    for number in range(1, len(data) + 1):
        assert len(octets_out) <= max_pdu
        block = apdu.decode_apdu(octets_out)
        assert isinstance(block, Block)
        taken = receiver.take(block)
        if not isinstance(taken, bytes):
            assert isinstance(taken, (apdu.SetRequestNormal, apdu.ActionRequestNormal))
            assert taken.data == data
            assert long.sent
            return
        octets_out = long.after(number)
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("blocks", "result"),
    [
        ([apdu.SetRequestBlock(INVOKE, DataBlock(True, 2, b"\x01"))], 18),
        ([FIRST_SET, apdu.SetRequestBlock(INVOKE, DataBlock(True, 3, b"\x01"))], 19),
        ([FIRST_SET, apdu.SetRequestBlock(InvokeId(4), DataBlock(True, 2, b"\x01"))], 19),
        ([FIRST_SET, apdu.SetRequestBlock(INVOKE, DataBlock(True, 2, bytes(99)))], 17),
        ([FIRST_SET, apdu.SetRequestBlock(INVOKE, DataBlock(False, 2, b""))], 17),
        ([FIRST_ACTION, apdu.SetRequestBlock(INVOKE, DataBlock(True, 2, b"\x01"))], 18),
        ([apdu.ActionRequestBlock(INVOKE, DataBlock(True, 2, b"\x01"))], 16),
        ([FIRST_ACTION, apdu.ActionRequestBlock(INVOKE, DataBlock(True, 3, b"\x01"))], 15),
        ([FIRST_ACTION, apdu.ActionRequestBlock(INVOKE, DataBlock(True, 2, bytes(99)))], 15),
    ],
)
def test_a_block_out_of_place_or_too_much_is_refused_by_its_standard_name(
    blocks: list[Block], result: int
) -> None:
    receiver = LongReceiver(100)
    for block in blocks[:-1]:
        receiver.take(block)
    answer = receiver.take(blocks[-1])
    assert isinstance(answer, bytes)
    refused = apdu.decode_apdu(answer)
    assert isinstance(refused, (apdu.SetResponseLastBlock, apdu.ActionResponseNormal))
    assert refused.result == result


def test_another_request_ends_a_long_one() -> None:
    receiver = LongReceiver(100)
    receiver.take(FIRST_SET)
    receiver.abandon()
    answer = receiver.take(apdu.SetRequestBlock(INVOKE, DataBlock(True, 2, b"\x01")))
    assert answer == apdu.SetResponseLastBlock(INVOKE, 18, 2).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (apdu.SetResponseBlock(InvokeId(1), 2), "block 2 was acknowledged, sent was block 1"),
        (apdu.SetResponseNormal(InvokeId(1), 0), "before the last block"),
        (apdu.SetResponseLastBlock(InvokeId(1), 0, 1), "before the last block"),
        (apdu.ActionResponseNextBlock(InvokeId(1), 1), "answers a Set request"),
    ],
)
def test_an_answer_that_does_not_fit_the_blocks_sent_ends_the_session(
    answer: apdu.Apdu, said: str
) -> None:
    pair = opened_pair("wrapper", None)
    pair.client.send(Set(3, REGISTER, 2, LONG_VALUE))
    octets = answer.encode()
    head = bytes.fromhex("0001 0001 0020") + len(octets).to_bytes(2, "big")
    pair.client.receive_data(head + octets)
    with pytest.raises(RemoteProtocolError, match=said):
        pair.client.next_event()
    assert pair.objects.value == axdr.encode(Data(Tag.DOUBLE_LONG_UNSIGNED, 950))


def test_an_acknowledged_block_that_was_never_sent_ends_the_session() -> None:
    pair = opened_pair("wrapper", None)
    pair.client.send(Set(3, Obis(bytes(6)), 2, b"\x00"))
    octets = apdu.SetResponseBlock(InvokeId(1), 1).encode()
    pair.client.receive_data(bytes.fromhex("0001 0001 0020 0007") + octets)
    with pytest.raises(RemoteProtocolError, match="none was sent"):
        pair.client.next_event()


GURUX_BLOCKS = [
    "c102c100010000010000ff02000000000001150928000102030405060708090a0b0c0d0e0f101112",
    "c103c1010000000215131415161718191a1b1c1d1e1f2021222324252627",
    "c304c100010000010000ff010000000001160928000102030405060708090a0b0c0d0e0f10111213",
    "c306c10100000002141415161718191a1b1c1d1e1f2021222324252627",
]
"""A SET and an ACTION of 40 octets in blocks, as gurux-dlms cuts them for 40-octet PDUs."""


def test_blocks_as_gurux_dlms_cuts_them_are_put_together() -> None:
    receiver = LongReceiver(100)
    whole = []
    for text in GURUX_BLOCKS:
        block = apdu.decode_apdu(bytes.fromhex(text))
        assert isinstance(block, Block)
        assert block.encode().hex() == text
        taken = receiver.take(block)
        if not isinstance(taken, bytes):
            whole.append(taken)
    data = axdr.encode(Data(Tag.OCTET_STRING, bytes(range(40))))
    clock = Obis.parse("0-0:1.0.0*255")
    assert whole == [
        apdu.SetRequestNormal(InvokeId(1), 1, clock, 2, data),
        apdu.ActionRequestNormal(InvokeId(1), 1, clock, 1, data),
    ]
