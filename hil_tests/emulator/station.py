"""One meter at the end of one wire: a link, and whichever association a client opened on it."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from hashlib import shake_256
from typing import Final

from gateway.dlms.apdu import Aare, ExceptionResponse, Rlre, decode_apdu
from gateway.dlms.apdu.results import ServiceError, StateError
from gateway.dlms.association.server import ServerConnection
from gateway.dlms.association.settings import Authentication, ServerSettings
from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.link import (
    NEED_DATA,
    ApduReceived,
    Link,
    LinkClosed,
    LinkEvent,
    LinkOpened,
    NeedData,
    Role,
)
from gateway.dlms.security import GlobalKeys, ProtectionSettings, SecurityPolicy
from gateway.dlms.wrapper import DatagramWrapperLink, WrapperLink
from gateway.errors import RemoteProtocolError
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.image import PowerCut
from hil_tests.emulator.keys import MeterKeys
from hil_tests.emulator.meter import Meter
from hil_tests.emulator.objects import FIRMWARE, METER_READER, PUBLIC, UTILITY_SETTINGS
from hil_tests.emulator.scenario import (
    Ciphering,
    MeterScenario,
    SettingsAuthentication,
    WireKind,
)
from hil_tests.emulator.system import ASSOCIATIONS, LOGICAL_DEVICE
from hil_tests.emulator.trouble import Misfortunes, Sending

_REFUSED_RELEASE: Final = ExceptionResponse(
    StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED
)

POLICIES = {
    Ciphering.NONE: SecurityPolicy.NONE,
    Ciphering.AUTHENTICATED: SecurityPolicy.AUTHENTICATED,
    Ciphering.ENCRYPTED: SecurityPolicy.ENCRYPTED,
    Ciphering.BOTH: SecurityPolicy.BOTH,
}


def mechanisms(scenario: MeterScenario) -> dict[str, Authentication]:
    """Authentication mechanism of each association."""
    gmac = scenario.settings_authentication is SettingsAuthentication.GMAC
    return {
        PUBLIC: Authentication.NONE,
        METER_READER: Authentication.LLS,
        UTILITY_SETTINGS: Authentication.HLS_GMAC if gmac else Authentication.HLS_AES,
        FIRMWARE: Authentication.HLS_AES,
    }


def hdlc_address(upper: int, lower: int, length: int) -> HdlcAddress:
    """An address of 1, 2 or 4 octets; the physical device has no place in the first."""
    return HdlcAddress(upper, None if length == 1 else lower, length)


def make_link(scenario: MeterScenario) -> Link:
    """The meter's end of its wire, for any client."""
    faults = scenario.faults
    if scenario.wire is WireKind.WRAPPER:
        wport = LOGICAL_DEVICE if faults.answers_at is None else faults.answers_at
        return WrapperLink(Role.SERVER, client_wport=None, server_wport=wport)
    if scenario.wire is WireKind.UDP:
        return DatagramWrapperLink(Role.SERVER, client_wport=None, server_wport=LOGICAL_DEVICE)
    upper, lower = LOGICAL_DEVICE, scenario.address
    if faults.answers_at is not None and scenario.address_octets == 1:
        upper = faults.answers_at
    elif faults.answers_at is not None:
        lower = faults.answers_at
    return HdlcLink(
        Role.SERVER,
        client=None,
        server=hdlc_address(upper, lower, scenario.address_octets),
        parameters=HdlcParameters.both_ways(scenario.information_octets, scenario.window),
    )


def offer(scenario: MeterScenario, keys: MeterKeys, meter: Meter, name: str) -> ServerSettings:
    """One association as the meter offers it now."""
    policy = POLICIES[scenario.ciphering]
    mechanism = mechanisms(scenario)[name]
    keyed = name != PUBLIC and (policy or mechanism is Authentication.HLS_GMAC)
    protection = ProtectionSettings(
        keys=GlobalKeys(encryption=keys.guek, authentication=keys.gak),
        own_title=keys.server_title,
        policy=policy,
        reserve=partial(next, keys.counters),
        received_floor=meter.last_received[name],
    )
    return ServerSettings(
        name=name,
        authentication=mechanism,
        lls_password=keys.lls_password,
        hls_secret=keys.hls_secret_firmware if name == FIRMWARE else keys.hls_secret,
        protection=protection if keyed else None,
        max_pdu_octets=scenario.pdu_octets,
        general_block_window=scenario.general_block_window or None,
        refuse_with=scenario.faults.refuse_with,
        random_bytes=secrets.token_bytes,
    )


_AARQ = b"\x60"


class Station:
    """Octets in, octets out; keeps the meter's received counters up to date."""

    def __init__(self, scenario: MeterScenario, keys: MeterKeys, meter: Meter) -> None:
        self._scenario = scenario
        self._link = make_link(scenario)
        self._offers: Mapping[int, Callable[[], ServerSettings]] = {
            association.client_sap: partial(offer, scenario, keys, meter, association.name)
            for association in ASSOCIATIONS
        }
        self._names = {association.client_sap: association.name for association in ASSOCIATIONS}
        self._meter = meter
        self._events: deque[LinkEvent] = deque()
        self._connection: ServerConnection | None = None
        self._made_at = 0
        """How many secrets had been changed when the connection was made."""
        self.linked = False
        """Whether a client's link is open."""

    @property
    def turnaround_ms(self) -> int:
        """Between the last octet heard and the first sent."""
        return self._scenario.turnaround_ms

    def receive(self, data: bytes) -> bytes:
        """Take octets from the wire; what the meter sends after its turnaround.

        A meter never gives up: octets that break the link end it, and it waits for the next.
        """
        if self._scenario.faults.silent or self._meter.is_away():
            self.begin_anew()
            return b""
        if not self._meter.powered:
            self._link = make_link(self._scenario)
            self._connection = None
            return b""
        self._link.receive_data(data)
        try:
            while (event := self._link.next_event()) is not NEED_DATA:
                self._pass_on(event)
        except (RemoteProtocolError, PowerCut):
            self.begin_anew()
            return b""
        return self._link.data_to_send()

    def begin_anew(self) -> None:
        """Link and association are gone."""
        self._link = make_link(self._scenario)
        self._events.clear()
        self._connection = None
        self.linked = False

    def _pass_on(self, event: LinkEvent) -> None:
        self.linked = not isinstance(event, LinkClosed)
        keys = self._meter.keys
        is_aarq = isinstance(event, ApduReceived) and event.apdu[:1] == _AARQ
        renewed = is_aarq and self._connection is not None and keys.changes != self._made_at
        if isinstance(event, LinkOpened) or renewed:
            self._made_at = keys.changes
            make = self._offers.get(self._link.client_sap or 0)
            # A client SAP that the meter does not know gets no answer at all.
            passed = _PassedLink(self._link, self._events, self._scenario.faults)
            self._connection = make and ServerConnection(passed, make(), self._meter)
        if renewed:
            self._events.append(LinkOpened())
        if self._connection is None:
            return
        self._events.append(event)
        if self._scenario.faults.new_keys_at_once:
            keys.on_change = self._rekey
        refused = self._connection.counters_refused
        while self._connection.next_event() is not NEED_DATA:
            continue
        self._meter.counters_refused += self._connection.counters_refused - refused
        if keys.changes == self._made_at or not self._scenario.faults.forgets_counters:
            name = self._names[self._link.client_sap or 0]
            counters = self._meter.last_received
            counters[name] = max(counters[name], self._connection.last_received_counter)

    def _rekey(self) -> None:
        keys = self._meter.keys
        if self._connection is not None:
            self._connection.rekey(GlobalKeys(encryption=keys.guek, authentication=keys.gak))


class _PassedLink:
    """A link whose events were already taken: to choose the association by who called.

    What the meter's faults do to the APDUs of opening and leaving is done here.
    """

    def __init__(self, link: Link, events: deque[LinkEvent], faults: Faults) -> None:
        self._events = events
        self._link = link
        self._faults = faults
        self.releases = link.releases
        self.streams = link.streams
        self.connect = link.connect
        self.disconnect = link.disconnect
        self.receive_data = link.receive_data
        self.data_to_send = link.data_to_send
        self.retransmit = link.retransmit

    @property
    def client_sap(self) -> int | None:
        """The client that opened it."""
        return self._link.client_sap

    def send_apdu(self, apdu: bytes) -> None:
        """Queue an APDU as this meter words it."""
        worded = _worded(apdu, self._faults)
        if worded is not None:
            self._link.send_apdu(worded)

    def next_event(self) -> LinkEvent | NeedData:
        """The next event that the station passed on."""
        return self._events.popleft() if self._events else NEED_DATA


def _worded(apdu: bytes, faults: Faults) -> bytes | None:
    """An AARE or RLRE as a meter with these faults sends it; None where it says nothing."""
    if faults.no_user_information and apdu[0] == Aare.TAG:
        aare = decode_apdu(apdu)
        if isinstance(aare, Aare) and aare.accepted:
            return replace(aare, user_information=None).encode()
    if faults.release_unanswered and apdu[0] == Rlre.TAG:
        return None
    if faults.release_refused and apdu[0] == Rlre.TAG:
        return _REFUSED_RELEASE.encode()
    return apdu


class Spoiler:
    """What the wire does to a meter's answers, as its faults say; the same in every run."""

    def __init__(self, faults: Faults, name: str, misfortunes: Misfortunes | None = None) -> None:
        self._faults = faults
        self._name = name
        self._misfortunes = misfortunes
        self._answers = 0

    def answer(self, station: Station, data: bytes) -> Sending:
        """What comes back from the station at the end of this wire, with what befalls it."""
        if self._misfortunes is None:
            return Sending(station.receive(data))
        answer = b"" if self._misfortunes.mute else station.receive(data)
        if not answer:
            return Sending()
        sending = self._misfortunes.befall(answer)
        if sending.forgets:
            station.begin_anew()
        return sending

    def pieces(self, answer: bytes) -> list[bytes]:
        """The writes that an answer becomes; none when it is lost."""
        if not answer:
            return []
        self._answers += 1
        faults = self._faults
        if faults.drop_every and self._answers % faults.drop_every == 0:
            return []
        if faults.noise_octets:
            key = f"{self._name}/{self._answers}".encode()
            answer = shake_256(key).digest(faults.noise_octets) + answer
        size = faults.split_octets or len(answer)
        return [answer[at : at + size] for at in range(0, len(answer), size)]
