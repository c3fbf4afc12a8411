"""What a meter says of itself and its associations: names, counters, rights, security."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from gateway.dlms.association.settings import Authentication
from gateway.dlms.axdr import Data
from gateway.dlms.classes import (
    CURRENT_ASSOCIATION,
    AssociationMethod,
    ClassId,
    SecuritySetupMethod,
)
from gateway.model import Obis
from hil_tests.emulator import octets
from hil_tests.emulator.objects import (
    FIRMWARE,
    METER_READER,
    PUBLIC,
    UTILITY_SETTINGS,
    CosemObject,
    Method,
    Setter,
    constant,
    data_object,
)

LOGICAL_DEVICE: Final = 1
"""SAP of the management logical device."""
_SUITE_0: Final = 0
_ASSOCIATED: Final = 2
_CONTEXT_NAME: Final = bytes.fromhex("60857405080101")
_CONTEXT_CIPHERED: Final = bytes.fromhex("60857405080103")
_MECHANISM_NAME: Final = bytes.fromhex("608574050802")


class AssociationName(NamedTuple):
    """An association: its client SAP and the last group but one of its objects' names."""

    name: str
    client_sap: int
    instance: int

    @property
    def obis(self) -> Obis:
        """Logical name of its Association LN object."""
        return Obis.parse(f"0.0.40.0.{self.instance}.255")

    @property
    def counter(self) -> str:
        """Logical name of its invocation counter."""
        return f"0.0.43.1.{self.instance}.255"


ASSOCIATIONS: Final = (
    AssociationName(PUBLIC, 16, 1),
    AssociationName(METER_READER, 32, 2),
    AssociationName(UTILITY_SETTINGS, 48, 3),
    AssociationName(FIRMWARE, 80, 5),
)
BY_NAME: Final = {association.name: association for association in ASSOCIATIONS}


def resolve_current(association: str, class_id: int, obis: Obis) -> Obis:
    """The object that 0-0:40.0.0*255, "the current association", stands for."""
    if class_id == ClassId.ASSOCIATION_LN and obis == CURRENT_ASSOCIATION:
        return BY_NAME[association].obis
    return obis


def counter_objects(last_received: Mapping[str, int]) -> list[CosemObject]:
    """Invocation counters: the highest counter received from each client (0 before any)."""

    def reader(name: str) -> Callable[[], Data]:
        return lambda: octets.double_long_unsigned(max(last_received[name], 0))

    return [data_object(a.counter, reader(a.name), public=True) for a in ASSOCIATIONS]


def naming_objects(device_name: bytes) -> list[CosemObject]:
    """Logical device name and SAP assignment."""
    entry = octets.structure(octets.long_unsigned(LOGICAL_DEVICE), octets.octet_string(device_name))
    sap = CosemObject(
        class_id=ClassId.SAP_ASSIGNMENT,
        obis=Obis.parse("0.0.41.0.0.255"),
        attributes={2: constant(octets.array((entry,)))},
        public=True,
    )
    name = data_object("0.0.42.0.0.255", octets.octet_string(device_name), public=True)
    return [name, sap]


def security_objects(server_title: bytes, policy: int, transfer: Method) -> list[CosemObject]:
    """Security setup (class 64) of the ciphered associations; keys are never readable."""
    return [
        CosemObject(
            class_id=ClassId.SECURITY_SETUP,
            obis=Obis.parse(f"0.0.43.0.{association.instance}.255"),
            attributes={
                2: constant(octets.enum(policy)),
                3: constant(octets.enum(_SUITE_0)),
                4: constant(octets.octet_string(b"")),
                5: constant(octets.octet_string(server_title)),
            },
            methods={SecuritySetupMethod.KEY_TRANSFER: transfer},
        )
        for association in ASSOCIATIONS
        if association.name != PUBLIC
    ]


def association_objects(
    listed: Callable[[], Iterable[CosemObject]],
    mechanisms: Mapping[str, Authentication],
    ciphered: Callable[[str], bool],
    secret_setter: Callable[[str], Setter],
) -> list[CosemObject]:
    """Association LN (class 15) objects; ``listed`` gives the whole object model."""
    return [
        _association(association, listed, mechanisms[association.name], ciphered, secret_setter)
        for association in ASSOCIATIONS
    ]


def _association(
    association: AssociationName,
    listed: Callable[[], Iterable[CosemObject]],
    mechanism: Authentication,
    ciphered: Callable[[str], bool],
    secret_setter: Callable[[str], Setter],
) -> CosemObject:
    name = association.name
    take = secret_setter(name)
    is_high = mechanism not in (Authentication.NONE, Authentication.LLS)

    def take_high(data: Data | None) -> None:
        take(octets.NULL if data is None else data)

    context = _CONTEXT_CIPHERED if ciphered(name) else _CONTEXT_NAME

    def object_list() -> Data:
        entries = sorted(listed(), key=lambda item: (item.class_id, item.obis))
        return octets.array(
            item.list_entry(name) for item in entries if item.public or name != PUBLIC
        )

    return CosemObject(
        class_id=ClassId.ASSOCIATION_LN,
        obis=association.obis,
        version=1,
        attributes={
            2: object_list,
            3: constant(
                octets.structure(
                    octets.integer(association.client_sap), octets.long_unsigned(LOGICAL_DEVICE)
                )
            ),
            4: constant(octets.octet_string(context)),
            6: constant(octets.octet_string(_MECHANISM_NAME + bytes([mechanism]))),
            8: constant(octets.enum(_ASSOCIATED)),
            9: constant(octets.logical_name(Obis.parse(f"0.0.43.0.{association.instance}.255"))),
        },
        setters={7: take} if mechanism is Authentication.LLS else {},
        methods={AssociationMethod.CHANGE_HLS_SECRET: take_high} if is_high else {},
        hidden=frozenset({7}),
        public=association.name == PUBLIC,
    )
