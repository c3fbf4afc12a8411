"""Client and server joined in memory, over each link: what a client asks is what it gets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from gateway.dlms import axdr
from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.association.requests import (
    Action,
    Answer,
    AssociationClosed,
    AssociationOpened,
    Event,
    Get,
    Refused,
    Request,
    Set,
)
from gateway.dlms.association.server import ServerConnection
from gateway.dlms.association.settings import (
    Authentication,
    ClientSettings,
    ServerSettings,
)
from gateway.dlms.association.states import State
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.hdlc import HdlcAddress, HdlcLink
from gateway.dlms.link import NEED_DATA, Link, Role
from gateway.dlms.security import (
    CipheringStyle,
    GlobalKeys,
    ProtectionSettings,
    SecurityPolicy,
)
from gateway.dlms.selective_access import SelectiveAccess
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import PeerRefused, RemoteProtocolError, SecurityError
from gateway.model import Obis, Secret

KEYS = GlobalKeys(
    encryption=Secret(bytes(range(16))), authentication=Secret(bytes(range(0xD0, 0xE0)))
)
CLIENT_TITLE = b"SMG\x00\x00\x00\x00\x01"
SERVER_TITLE = b"SA1\x00\x00\x00\x00\x02"
PASSWORD = Secret(b"lls-pass")
SECRET = Secret(b"sixteen octets!!")
REGISTER = Obis.parse("1-0:1.8.0*255")
LONG = Obis.parse("1-0:99.1.0*255")
RELAY = Obis.parse("0-0:96.3.10*255")
LONG_VALUE = axdr.encode(Data(Tag.OCTET_STRING, bytes(range(256)) * 20))


@dataclass
class Objects:
    """A meter with one register, one long value and one relay."""

    value: bytes = axdr.encode(Data(Tag.DOUBLE_LONG_UNSIGNED, 950))
    actions: list[tuple[int, bytes | None]] = field(default_factory=list)

    def get(
        self,
        association: str,
        class_id: int,
        obis: Obis,
        attribute: int,
        access: SelectiveAccess | None,
    ) -> bytes:
        assert association == "meter_reader"
        found = {REGISTER: self.value, LONG: LONG_VALUE}.get(obis)
        if found is None:
            raise AccessRefused(4)
        return found

    def set(self, association: str, class_id: int, obis: Obis, attribute: int, data: bytes) -> None:
        if obis != REGISTER:
            raise AccessRefused(3)
        self.value = data

    def action(
        self, association: str, class_id: int, obis: Obis, method: int, data: bytes | None
    ) -> bytes | None:
        if obis != RELAY:
            raise AccessRefused(4)
        self.actions.append((method, data))
        return None


def wrapper_links() -> tuple[Link, Link]:
    return (
        WrapperLink(Role.CLIENT, client_wport=32, server_wport=1),
        WrapperLink(Role.SERVER, client_wport=32, server_wport=1),
    )


def hdlc_links() -> tuple[Link, Link]:
    client, server = HdlcAddress(32), HdlcAddress(1, 17, length=2)
    return (
        HdlcLink(Role.CLIENT, client=client, server=server),
        HdlcLink(Role.SERVER, client=client, server=server),
    )


LINKS = {"wrapper": wrapper_links, "hdlc": hdlc_links}


def protection(
    role: Role,
    policy: SecurityPolicy,
    style: CipheringStyle = CipheringStyle.GLO,
    keys: GlobalKeys = KEYS,
    start: int = 1,
) -> ProtectionSettings:
    return ProtectionSettings(
        keys=keys,
        own_title=CLIENT_TITLE if role is Role.CLIENT else SERVER_TITLE,
        policy=policy,
        reserve=itertools.count(start).__next__,
        style=style,
    )


class Challenge:
    """Different octets each time, the same in each run."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def __call__(self, length: int) -> bytes:
        return bytes([next(self._count)]) * length


class Pair:
    """A client and a server with nothing but their octets between them."""

    def __init__(
        self,
        link: str,
        client: ClientSettings,
        server: ServerSettings,
        chunk: int | None = None,
        objects: Objects | None = None,
    ) -> None:
        client_link, server_link = LINKS[link]()
        if isinstance(server_link, WrapperLink):
            server_link.connect()
        self.objects = objects or Objects()
        self.client = ClientConnection(client_link, client)
        self.server = ServerConnection(server_link, server, self.objects)
        self._chunk = chunk
        self.to_client: list[bytes] = []
        self.to_server: list[bytes] = []

    def _feed(self, receiver: ClientConnection | ServerConnection, data: bytes) -> None:
        size = self._chunk or max(1, len(data))
        for start in range(0, len(data), size):
            receiver.receive_data(data[start : start + size])
            if isinstance(receiver, ServerConnection):
                while receiver.next_event() is not NEED_DATA:
                    pass

    def run(self) -> Event:
        """Carry octets to and fro until the client has something to tell."""
        for _ in range(2000):
            out = self.client.data_to_send()
            if out:
                self.to_server.append(out)
                self._feed(self.server, out)
            back = self.server.data_to_send()
            if back:
                self.to_client.append(back)
                self._feed(self.client, back)
            event = self.client.next_event()
            if event is not NEED_DATA:
                return event
            if not out and not back:
                pending = self.client.data_to_send()
                if not pending:
                    raise AssertionError("both sides wait")
                self.to_server.append(pending)
                self._feed(self.server, pending)
        raise AssertionError("no end")

    def open(self) -> Event:
        self.client.open()
        return self.run()

    def ask(self, request: Request) -> Event:
        self.client.send(request)
        return self.run()


def settings(
    authentication: Authentication,
    policy: SecurityPolicy | None,
    style: CipheringStyle = CipheringStyle.GLO,
) -> tuple[ClientSettings, ServerSettings]:
    gmac = authentication is Authentication.HLS_GMAC
    level = SecurityPolicy.NONE if policy is None else policy
    ciphers = policy is not None or gmac
    return (
        ClientSettings(
            authentication=authentication,
            lls_password=PASSWORD,
            hls_secret=SECRET,
            protection=protection(Role.CLIENT, level, style) if ciphers else None,
            random_bytes=Challenge(),
        ),
        ServerSettings(
            name="meter_reader",
            authentication=authentication,
            lls_password=PASSWORD,
            hls_secret=SECRET,
            protection=protection(Role.SERVER, level, start=900) if ciphers else None,
            random_bytes=lambda length: b"\xa5" * length,
            max_pdu_octets=512,
        ),
    )


POLICIES = [None, SecurityPolicy.AUTHENTICATED, SecurityPolicy.ENCRYPTED, SecurityPolicy.BOTH]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("authentication", list(Authentication))
@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: "plain" if p is None else p.name)
@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "byte by byte"])
def test_every_authentication_and_policy_reads_over_every_link(
    link: str, authentication: Authentication, policy: SecurityPolicy | None, chunk: int | None
) -> None:
    pair = Pair(link, *settings(authentication, policy), chunk)
    assert isinstance(pair.open(), AssociationOpened)
    answer = pair.ask(Get(3, REGISTER, 2))
    assert isinstance(answer, Answer)
    assert answer.data == axdr.encode(Data(Tag.DOUBLE_LONG_UNSIGNED, 950))
    long_answer = pair.ask(Get(7, LONG, 2))
    assert isinstance(long_answer, Answer)
    assert long_answer.data == LONG_VALUE
    if policy is not None:
        assert answer.server_system_title == SERVER_TITLE
        assert answer.invocation_counter is not None
        assert long_answer.invocation_counter is not None
        assert long_answer.invocation_counter > answer.invocation_counter
    pair.client.close()
    assert isinstance(pair.run(), AssociationClosed)
    assert pair.client.state is State.CLOSED


@pytest.mark.parametrize("style", list(CipheringStyle))
def test_set_and_action_reach_the_object_model_in_both_styles(style: CipheringStyle) -> None:
    pair = Pair("wrapper", *settings(Authentication.LLS, SecurityPolicy.BOTH, style))
    pair.open()
    new = axdr.encode(Data(Tag.DOUBLE_LONG_UNSIGNED, 7))
    assert pair.ask(Set(3, REGISTER, 2, new)) == Answer(b"", SERVER_TITLE, 901)
    assert pair.objects.value == new
    assert isinstance(pair.ask(Action(70, RELAY, 2, b"\x0f\x00")), Answer)
    assert pair.objects.actions == [(2, b"\x0f\x00")]
    marker = b"\xdb" if style is CipheringStyle.GENERAL_GLO else b"\xc9"
    assert pair.to_server[1][8:9] == marker


def test_a_refusal_is_named_and_leaves_the_association_open() -> None:
    pair = Pair("hdlc", *settings(Authentication.NONE, None))
    pair.open()
    unknown = Obis.parse("9-9:9.9.9*9")
    assert pair.ask(Get(3, unknown, 2)) == Refused("GET", "object-undefined")
    assert pair.ask(Set(3, unknown, 2, b"\x00")) == Refused("SET", "read-write-denied")
    assert pair.ask(Action(3, unknown, 1)) == Refused("ACTION", "object-undefined")
    assert isinstance(pair.ask(Get(3, REGISTER, 2)), Answer)


@pytest.mark.parametrize("policy", POLICIES[1:], ids=lambda p: p.name)
def test_a_wrong_authentication_key_is_refused_wherever_there_is_a_tag(
    policy: SecurityPolicy,
) -> None:
    client, server = settings(Authentication.LLS, policy)
    wrong = GlobalKeys(encryption=KEYS.encryption, authentication=Secret(b"\x01" * 16))
    other = ServerSettings(
        name=server.name,
        authentication=server.authentication,
        lls_password=PASSWORD,
        protection=protection(Role.SERVER, policy, keys=wrong),
        random_bytes=server.random_bytes,
    )
    pair = Pair("wrapper", client, other)
    if policy is SecurityPolicy.ENCRYPTED:
        assert isinstance(pair.open(), AssociationOpened)
    else:
        # The server cannot verify the AARQ's user information and says so.
        with pytest.raises((SecurityError, PeerRefused)):
            pair.open()


def test_a_wrong_lls_password_is_refused_by_its_standard_name() -> None:
    client, server = settings(Authentication.LLS, None)
    wrong = ClientSettings(
        authentication=Authentication.LLS,
        lls_password=Secret(b"wrong"),
        random_bytes=client.random_bytes,
    )
    with pytest.raises(PeerRefused, match="rejected-permanent, authentication-failure"):
        Pair("hdlc", wrong, server).open()


@pytest.mark.parametrize("authentication", [Authentication.HLS_AES, Authentication.HLS_GMAC])
def test_a_server_that_cannot_answer_our_challenge_is_not_believed(
    authentication: Authentication,
) -> None:
    client, server = settings(authentication, None)
    pair = Pair("wrapper", client, server)
    pair.client.open()
    assert pair.client.next_event() is NEED_DATA
    for _ in range(2):
        pair.server.receive_data(pair.client.data_to_send())
        while pair.server.next_event() is not NEED_DATA:
            pass
        reply = pair.server.data_to_send()
        if len(pair.to_client) == 1:
            reply = reply[:-1] + bytes([reply[-1] ^ 1])
        pair.to_client.append(reply)
        pair.client.receive_data(reply)
        if len(pair.to_client) == 2:
            with pytest.raises(SecurityError, match="does not verify"):
                pair.client.next_event()
            break
        assert pair.client.next_event() is NEED_DATA
    assert pair.client.state is State.ERROR


def opened_ciphered() -> Pair:
    pair = Pair("wrapper", *settings(Authentication.LLS, SecurityPolicy.BOTH))
    pair.open()
    return pair


def answer_to_get(pair: Pair) -> bytes:
    """The server's octets for one GET, not yet given to the client."""
    pair.client.send(Get(3, REGISTER, 2))
    pair.server.receive_data(pair.client.data_to_send())
    while pair.server.next_event() is not NEED_DATA:
        pass
    return pair.server.data_to_send()


def test_every_flipped_bit_of_a_protected_answer_is_refused() -> None:
    reference = answer_to_get(opened_ciphered())
    for position in range(8, len(reference)):
        for bit in range(8):
            pair = opened_ciphered()
            octets = bytearray(answer_to_get(pair))
            octets[position] ^= 1 << bit
            pair.client.receive_data(bytes(octets))
            try:
                event = pair.client.next_event()
            except (SecurityError, RemoteProtocolError):
                continue
            # A changed tag octet may make an exception-response of it: never data.
            assert isinstance(event, Refused)


def test_a_replayed_answer_is_refused() -> None:
    pair = opened_ciphered()
    octets = answer_to_get(pair)
    pair.client.receive_data(octets)
    assert isinstance(pair.client.next_event(), Answer)
    for _ in range(15):
        # The same invoke-id comes round, so that only the counter tells old from new.
        answer = pair.ask(Get(3, REGISTER, 2))
        assert isinstance(answer, Answer)
    pair.client.send(Get(3, REGISTER, 2))
    pair.client.receive_data(octets)
    with pytest.raises(SecurityError, match="does not rise"):
        pair.client.next_event()


def test_plain_text_is_refused_while_protection_is_on_and_an_exception_is_no_data() -> None:
    pair = opened_ciphered()
    answer_to_get(pair)
    plain = bytes.fromhex("C40141") + b"\x00" + axdr.encode(Data(Tag.DOUBLE_LONG_UNSIGNED, 1))
    header = bytes.fromhex("0001000100200000")[:6]
    pair.client.receive_data(header + len(plain).to_bytes(2, "big") + plain)
    with pytest.raises(SecurityError, match="plain GetResponseNormal"):
        pair.client.next_event()

    pair = opened_ciphered()
    answer_to_get(pair)
    pair.client.receive_data(header + b"\x00\x03\xd8\x01\x01")
    event = pair.client.next_event()
    assert event == Refused("request", "service-not-allowed, operation-not-possible")


def test_the_server_refuses_a_replayed_request_and_plain_text() -> None:
    pair = opened_ciphered()
    pair.client.send(Get(3, REGISTER, 2))
    request = pair.client.data_to_send()
    plain = bytes.fromhex("000100200001000D") + bytes.fromhex("C001C1000301000108 00FF0200")
    for octets, expected in ((request, None), (request, b"\xd8\x01\x06"), (plain, b"\xd8\x01\x05")):
        pair.server.receive_data(octets)
        while pair.server.next_event() is not NEED_DATA:
            pass
        reply = pair.server.data_to_send()[8:]
        if expected is None:
            assert reply[:1] == b"\xcc"
        else:
            assert reply == expected


def test_an_answer_nobody_asked_for_and_a_foreign_invoke_id_end_the_session() -> None:
    for octets in ("C40141000600000001", "C4014F000600000001"):
        pair = Pair("wrapper", *settings(Authentication.NONE, None))
        pair.open()
        if octets.startswith("C4014F"):
            pair.client.send(Get(3, REGISTER, 2))
        apdu = bytes.fromhex(octets)
        pair.client.receive_data(
            bytes.fromhex("000100010020") + len(apdu).to_bytes(2, "big") + apdu
        )
        with pytest.raises(RemoteProtocolError):
            pair.client.next_event()
        assert pair.client.state is State.ERROR


def test_an_answer_of_another_service_than_asked_ends_the_session() -> None:
    pair = Pair("wrapper", *settings(Authentication.NONE, None))
    pair.open()
    pair.client.send(Action(70, RELAY, 2, b"\x0f\x00"))
    apdu = bytes.fromhex("C40141000600000001")
    pair.client.receive_data(bytes.fromhex("000100010020") + len(apdu).to_bytes(2, "big") + apdu)
    with pytest.raises(RemoteProtocolError, match="answers a Action request"):
        pair.client.next_event()


def test_closing_after_an_error_still_disconnects_the_link() -> None:
    pair = Pair("hdlc", *settings(Authentication.LLS, SecurityPolicy.BOTH))
    pair.open()
    pair.client.send(Get(3, REGISTER, 2))
    pair.client.data_to_send()
    pair.client.close()
    assert isinstance(pair.run(), AssociationClosed)


def test_a_silent_release_gives_up_and_closes() -> None:
    pair = Pair("wrapper", *settings(Authentication.NONE, None))
    pair.open()
    pair.client.close()
    assert pair.client.data_to_send()[8] == 0x62
    assert pair.client.next_event() is NEED_DATA
    assert pair.client.handle_timeout()
    assert isinstance(pair.client.next_event(), AssociationClosed)
