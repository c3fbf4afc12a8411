"""What the emulator's tests share: meters at a fixed time, and a client joined in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import (
    Answer,
    AssociationOpened,
    Event,
    Refused,
    Request,
)
from gateway.dlms.association.settings import Authentication, ClientSettings
from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.link import NEED_DATA, Link, Role
from gateway.dlms.security import GlobalKeys, ProtectionSettings
from gateway.dlms.wrapper import WrapperLink
from gateway.errors import NoAnswer, PeerRefused
from gateway.model import Secret
from hil_tests.emulator.encodings import Encoding
from hil_tests.emulator.household import DAY_S, Household, HouseholdSettings
from hil_tests.emulator.keys import MeterKeys
from hil_tests.emulator.meter import Meter, MeterSettings
from hil_tests.emulator.scenario import MeterScenario, WireKind, parse_scenario
from hil_tests.emulator.station import POLICIES, Spoiler, Station, hdlc_address, mechanisms
from hil_tests.emulator.system import BY_NAME
from hil_tests.emulator.truth import Truth

T = TypeVar("T")

ZONE_S = 19_800
RULES = TimeRules(330, 1)
INSTALLED_S = 1_772_303_400  # 2026-03-01 00:00 IST
NOW_S = INSTALLED_S + 45 * DAY_S + 50_000  # 2026-04-15 13:53:20 IST
SERVER_TITLE = b"EMU\x01\x02\x03\x04\x05"


def household(
    *, phases: int = 1, exports: bool = False, seed: int = 7, name: str = "EM1"
) -> Household:
    return Household(
        HouseholdSettings(
            seed=seed,
            name=name,
            phases=phases,
            exports=exports,
            zone_s=ZONE_S,
            installed_s=INSTALLED_S,
        )
    )


def meter_scenario(text: str = "", *, wire: str = "tcp") -> MeterScenario:
    """One meter from TOML lines (its faults as ``faults.silent = true``)."""
    head = f'[[meter]]\nserial = "EM1"\nwire = "{wire}"\n'
    model = "" if "model" in text else 'model = "single_phase"\n'
    encoding = "" if "encoding" in text else 'encoding = "integer"\n'
    return parse_scenario(f"seed = 7\n{head}{model}{encoding}{text}\n").meters[0]


@dataclass
class Rig:
    """A meter from a scenario, its keys, its oracle, and a clock that the test moves."""

    scenario: MeterScenario
    now_s: int = NOW_S
    meter: Meter = field(init=False)
    keys: MeterKeys = field(init=False)
    truth: Truth = field(init=False)

    def __post_init__(self) -> None:
        entry = self.scenario
        self.keys = MeterKeys(
            lls_password=Secret(b"a password"),
            hls_secret=Secret(bytes(range(16))),
            guek=Secret(bytes(range(16, 32))),
            gak=Secret(bytes(range(32, 48))),
            hls_secret_firmware=Secret(bytes(range(48, 64))),
            master=Secret(bytes(range(64, 80))),
            server_title=SERVER_TITLE,
            counters=count(1),
        )
        home = household(phases=entry.model.phases, exports=entry.exports)
        self.meter = Meter(
            MeterSettings(
                serial=entry.serial,
                model=entry.model,
                encoding=Encoding(entry.encoding),
                maker=entry.maker,
                firmware=entry.firmware,
                capture_period_s=entry.capture_period_s,
                mechanisms=mechanisms(entry),
                ciphered=bool(POLICIES[entry.ciphering]),
                faults=entry.faults,
            ),
            home,
            keys=self.keys,
            rules=RULES,
            now_s=lambda: self.now_s,
        )
        self.truth = Truth(
            home,
            entry.encoding,
            capture_period_s=entry.capture_period_s,
            energy_scaler_shift=entry.faults.energy_scaler_shift,
        )
        self.station = Station(entry, self.keys, self.meter)
        self.spoiler = Spoiler(entry.faults, entry.serial)

    def exchange(self, octets: bytes) -> Iterator[bytes]:
        """What comes back over the wire, piece by piece."""
        answer = self.station.receive(octets)
        if answer:
            yield from self.spoiler.pieces(answer)

    def client(
        self, name: str, *, counters: Iterator[int] | None = None, link: Link | None = None
    ) -> Client:
        """A client of one association, its counters at 1 and a link of its own unless given."""
        policy = POLICIES[self.scenario.ciphering]
        mechanism = mechanisms(self.scenario)[name]
        protected = name != "public" and (policy or mechanism is Authentication.HLS_GMAC)
        counters = counters or count(1)
        settings = ClientSettings(
            authentication=mechanism,
            lls_password=self.keys.lls_password,
            hls_secret=self.keys.hls_secret_firmware
            if name == "firmware"
            else self.keys.hls_secret,
            protection=ProtectionSettings(
                keys=GlobalKeys(encryption=self.keys.guek, authentication=self.keys.gak),
                own_title=b"TST\x00\x00\x00\x00\x01",
                policy=policy,
                reserve=lambda: next(counters),
            )
            if protected
            else None,
            random_bytes=lambda size: bytes(range(1, size + 1)),
        )
        link = link or self._link(BY_NAME[name].client_sap)
        return Client(ClientConnection(link, settings), self.exchange)

    def _link(self, client_sap: int) -> Link:
        entry = self.scenario
        if entry.wire is WireKind.WRAPPER:
            return WrapperLink(Role.CLIENT, client_wport=client_sap, server_wport=1)
        return HdlcLink(
            Role.CLIENT,
            client=HdlcAddress(client_sap),
            server=hdlc_address(1, entry.address, entry.address_octets),
            parameters=HdlcParameters.both_ways(max(512, entry.information_octets), entry.window),
        )


@dataclass
class Client:
    """Drives one ClientConnection; silence is a time-out at once."""

    connection: ClientConnection
    exchange: Callable[[bytes], Iterator[bytes]]
    patience: int = 3

    def open(self) -> AssociationOpened:
        self.connection.open()
        event = self._next()
        assert isinstance(event, AssociationOpened), event
        return event

    def ask(self, request: Request) -> Answer:
        self.connection.send(request)
        event = self._next()
        if isinstance(event, Refused):
            raise PeerRefused(event.service, event.reason)
        assert isinstance(event, Answer), event
        return event

    def run(self, procedure: Generator[Request, Answer, T]) -> T:
        """Drive a reading procedure to its result."""
        try:
            request = next(procedure)
            while True:
                try:
                    answer = self.ask(request)
                except PeerRefused as refusal:
                    request = procedure.throw(refusal)
                else:
                    request = procedure.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    def close(self) -> None:
        self.connection.close()
        self._next()

    def _next(self) -> Event:
        silences = 0
        while True:
            event = self.connection.next_event()
            if event is not NEED_DATA:
                return event
            if octets := self.connection.data_to_send():
                for piece in self.exchange(octets):
                    self.connection.receive_data(piece)
                    silences = 0
                continue
            silences += 1
            if silences > self.patience or not self.connection.handle_timeout():
                raise NoAnswer("the emulated meter is silent")
