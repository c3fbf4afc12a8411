"""What a meter pushes without an AARQ: whose it is, whether it rises, what is believed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from gateway.dlms.apdu import DataNotification, EventNotification, LongInvokeId, decode_apdu
from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.pre_established import listener, teller, title_of
from gateway.dlms.association.requests import (
    AssociationOpened,
    EventReport,
    Get,
    Notification,
)
from gateway.dlms.association.server import ServerConnection
from gateway.dlms.association.states import State
from gateway.dlms.bare import BareLink
from gateway.dlms.link import NEED_DATA
from gateway.dlms.security import GlobalKeys
from gateway.errors import DecodeError, LocalProtocolError, SecurityError
from gateway.model import Obis, Secret
from gateway.profile import Association, Ciphering, CipheringStyle, load_profile
from tests.association.test_association_pair import KEYS, SERVER_TITLE, Objects

PUSH = load_profile("is15959_part2").association("push")
PUSH_SETUP = Obis.parse("0-0:25.9.0*255")
TOLD = DataNotification(LongInvokeId(9), bytes(range(12)), b"\x02\x01\x11\x05")
EVENT = EventNotification(b"", 1, Obis.parse("0-0:94.91.18*255"), 2, b"\x04\x08\x80")


class Counters:
    """What a listener keeps of each sender; ``asked`` has what it was asked, in order."""

    def __init__(self) -> None:
        self.highest: dict[bytes, int] = {}
        self.asked: list[tuple[bytes, int]] = []

    def rises(self, title: bytes, counter: int) -> bool:
        self.asked.append((title, counter))
        if counter <= self.highest.get(title, -1):
            return False
        self.highest[title] = counter
        return True


def meter(
    association: Association = PUSH, *, start: int = 56_530, keys: GlobalKeys = KEYS
) -> ServerConnection:
    settings = teller(
        association,
        keys,
        name="push",
        own_title=SERVER_TITLE,
        reserve=itertools.count(start).__next__,
        max_pdu_octets=128,
    )
    link = BareLink()
    link.connect()
    connection = ServerConnection(link, settings, Objects())
    assert connection.next_event() is NEED_DATA
    return connection


def told(connection: ServerConnection, apdu: DataNotification | EventNotification) -> list[bytes]:
    """The APDUs that a meter sends to tell this."""
    connection.notify(apdu)
    return list(iter(connection.data_to_send, b""))


def hearing(
    counters: Counters,
    association: Association = PUSH,
    *,
    keys: GlobalKeys | None = KEYS,
    peer_title: bytes | None = None,
) -> ClientConnection:
    settings = listener(
        association,
        keys,
        rises=counters.rises,
        peer_title=peer_title,
    )
    connection = ClientConnection(BareLink(), settings)
    connection.open()
    assert isinstance(connection.next_event(), AssociationOpened)
    return connection


def hear(connection: ClientConnection, *octets: bytes) -> object:
    for one in octets:
        connection.receive_data(one)
    return connection.next_event()


@pytest.mark.parametrize("ciphering", list(Ciphering))
@pytest.mark.parametrize("style", list(CipheringStyle))
def test_what_a_meter_tells_is_heard_as_the_profile_says(
    ciphering: Ciphering, style: CipheringStyle
) -> None:
    association = replace(PUSH, ciphering=ciphering, ciphering_style=style)
    counters = Counters()
    sender = meter(association)
    listening = hearing(counters, association, peer_title=SERVER_TITLE)
    protects = ciphering is not Ciphering.NONE
    title, counter = (SERVER_TITLE, 56_530) if protects else (None, None)
    event = hear(listening, *told(sender, TOLD))
    assert event == Notification(9, bytes(range(12)), TOLD.data, title, counter)
    report = hear(listening, *told(sender, EVENT))
    assert isinstance(report, EventReport)
    assert (report.obis, report.data) == (EVENT.obis, EVENT.data)
    assert counters.asked == ([(title, 56_530), (title, 56_531)] if protects else [])
    assert listening.state is State.READY


def test_the_tags_are_the_standards() -> None:
    glo = replace(PUSH, ciphering_style=CipheringStyle.GLO)
    assert told(meter(glo), EVENT)[0][0] == 0xCA
    # There is no glo-data-notification: in both styles the general form carries it.
    for association in (glo, PUSH):
        assert told(meter(association), TOLD)[0][0] == 0xDB
    assert told(meter(), EVENT)[0][0] == 0xDB


def test_a_listener_in_one_style_hears_both() -> None:
    glo = replace(PUSH, ciphering_style=CipheringStyle.GLO)
    listening = hearing(Counters(), glo)
    assert isinstance(hear(listening, *told(meter(), EVENT)), EventReport)
    # From now on the title is known, which glo leaves out.
    assert isinstance(hear(listening, *told(meter(glo, start=60_000), EVENT)), EventReport)


def test_a_glo_event_of_an_unknown_sender_is_not_believed() -> None:
    glo = replace(PUSH, ciphering_style=CipheringStyle.GLO)
    with pytest.raises(SecurityError, match="title is not known"):
        hear(hearing(Counters(), glo), *told(meter(glo), EVENT))


def test_a_counter_is_judged_by_its_keeper_across_listeners() -> None:
    counters = Counters()
    sender = meter()
    recorded = told(sender, TOLD)
    assert isinstance(hear(hearing(counters), *recorded), Notification)
    with pytest.raises(SecurityError, match="does not rise"):
        hear(hearing(counters), *recorded)
    assert isinstance(hear(hearing(counters), *told(sender, TOLD)), Notification)
    assert counters.highest == {SERVER_TITLE: 56_531}


def test_what_is_forged_moves_no_counter() -> None:
    counters = Counters()
    genuine = told(meter(), TOLD)[0]
    wrong = GlobalKeys(encryption=Secret(bytes(16)), authentication=KEYS.authentication)
    forgeries = [
        told(meter(keys=wrong, start=1 << 31), TOLD)[0],
        TOLD.encode(),
        genuine[:-1] + bytes([genuine[-1] ^ 1]),
        genuine.replace((56_530).to_bytes(4, "big"), b"\xff\xff\xff\xff"),
    ]
    for forged in forgeries:
        listening = hearing(counters)
        with pytest.raises(SecurityError):
            hear(listening, forged)
        assert listening.state is State.ERROR
    assert counters.asked == []
    assert isinstance(hear(hearing(counters), genuine), Notification)


def test_a_push_longer_than_an_apdu_comes_in_blocks_or_is_lost() -> None:
    association = replace(PUSH, general_block_window=8)
    body = b"\x09\x82\x03\xe8" + bytes(1000)
    sender = meter(association)
    blocks = told(sender, replace(TOLD, data=body))
    assert len(blocks) > 8
    assert {block[0] for block in blocks} == {0xE0}
    counters = Counters()
    event = hear(hearing(counters, association), *blocks[:3], blocks[2], *blocks[3:])
    assert isinstance(event, Notification)
    assert event.data == body
    # Blocks that nobody acknowledges and that were lost are lost; what follows is heard.
    listening = hearing(counters, association)
    assert hear(listening, *blocks[:2], *blocks[3:]) is NEED_DATA
    assert listening.data_to_send() == b""
    assert isinstance(hear(listening, *told(sender, replace(TOLD, data=body))), Notification)
    # Nothing else says that two blocks are of one push, so they must follow each other.
    late = told(sender, replace(TOLD, data=body))
    late[2], late[3] = late[3], late[2]
    assert hear(listening, *late) is NEED_DATA


def test_the_title_says_whose_keys_to_try() -> None:
    assert title_of(told(meter(), TOLD)[0]) == SERVER_TITLE
    assert title_of(TOLD.encode()) is None
    glo = replace(PUSH, ciphering_style=CipheringStyle.GLO)
    assert title_of(told(meter(glo), EVENT)[0]) is None
    with pytest.raises(DecodeError):
        title_of(b"\xdb\x08")


def test_a_tagged_date_time_is_taken_where_the_profile_has_the_quirk() -> None:
    tagged = replace(TOLD, tagged_date_time=True).encode()
    plain = replace(PUSH, ciphering=Ciphering.NONE)
    with pytest.raises(DecodeError, match="tagged octet-string"):
        hear(hearing(Counters(), plain), tagged)
    settings = listener(plain, None, rises=Counters().rises, tagged_date_time=True)
    connection = ClientConnection(BareLink(), settings)
    connection.open()
    connection.next_event()
    event = hear(connection, tagged)
    assert isinstance(event, Notification)
    assert event.date_time == TOLD.date_time
    assert isinstance(decode_apdu(tagged, tagged_date_time=True), DataNotification)


def test_a_listener_sends_nothing() -> None:
    with pytest.raises(LocalProtocolError, match="sends nothing"):
        hearing(Counters()).send(Get(1, PUSH_SETUP, 2))


def test_what_is_no_pre_established_association_is_none() -> None:
    reader = load_profile("is15959_part2").association("meter_reader")
    for make in (
        lambda: listener(reader, KEYS, rises=Counters().rises),
        lambda: teller(reader, KEYS, name="x", own_title=SERVER_TITLE, reserve=lambda: 1),
    ):
        with pytest.raises(LocalProtocolError, match="client 32 associates by AARQ"):
            make()
    with pytest.raises(LocalProtocolError, match="client 64 ciphers, and no keys were given"):
        listener(PUSH, None, rises=Counters().rises)
