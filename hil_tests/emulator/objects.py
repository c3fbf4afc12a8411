"""COSEM objects as an emulated meter holds them, and who may touch what.

Attribute and method numbers follow the Blue Book's class tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.apdu.results import ActionResult, DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data
from gateway.dlms.classes import LOGICAL_NAME, ClassId
from gateway.errors import DecodeError
from gateway.model import Obis
from hil_tests.emulator import octets

PUBLIC: Final = "public"
METER_READER: Final = "meter_reader"
UTILITY_SETTINGS: Final = "utility_settings"
FIRMWARE: Final = "firmware"
"""Names of the associations, as the firmware profiles call them."""

Getter = Callable[[], Data | bytes]
"""An attribute's value, or its A-XDR where that is made directly."""
Setter = Callable[[Data], None]
Method = Callable[[Data | None], None]


class Access(IntEnum):
    """Attribute access modes of Association LN, version 1."""

    NONE = 0
    READ = 1
    WRITE = 2
    READ_WRITE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CosemObject:
    """One object; attribute 1 is there without being named.

    ``public`` objects are what anybody may read without association keys. A setter raises
    AccessRefused(TYPE_UNMATCHED) for data of another type.
    """

    class_id: int
    obis: Obis
    version: int = 0
    attributes: Mapping[int, Getter] = field(default_factory=dict)
    setters: Mapping[int, Setter] = field(default_factory=dict)
    methods: Mapping[int, Method] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()
    """Attributes that exist and that nobody may read: secrets."""
    public: bool = False
    writers: frozenset[str] = frozenset({UTILITY_SETTINGS})
    """Associations that may write what has a setter, and invoke methods."""

    @property
    def key(self) -> tuple[int, Obis]:
        """Class and logical name."""
        return self.class_id, self.obis

    def access(self, association: str, attribute: int) -> Access:
        """What the association may do with an attribute."""
        writable = association in self.writers and attribute in self.setters
        if attribute in self.hidden:
            return Access.WRITE if writable else Access.NONE
        if association == PUBLIC and not self.public:
            return Access.NONE
        return Access.READ_WRITE if writable else Access.READ

    def may_invoke(self, association: str, method: int) -> bool:
        """Whether the association may invoke a method."""
        return association in self.writers and method in self.methods

    def get(self, association: str, attribute: int) -> bytes:
        """A-XDR of an attribute; raise AccessRefused."""
        if attribute != LOGICAL_NAME and attribute not in {*self.attributes, *self.hidden}:
            raise AccessRefused(DataAccessResult.OBJECT_UNDEFINED)
        if not self.access(association, attribute) & Access.READ:
            raise AccessRefused(DataAccessResult.READ_WRITE_DENIED)
        if attribute == LOGICAL_NAME:
            return octets.encode(octets.logical_name(self.obis))
        value = self.attributes[attribute]()
        return value if isinstance(value, bytes) else octets.encode(value)

    def set(self, association: str, attribute: int, data: Data) -> None:
        """Write an attribute; raise AccessRefused."""
        if attribute != LOGICAL_NAME and attribute not in {*self.attributes, *self.hidden}:
            raise AccessRefused(DataAccessResult.OBJECT_UNDEFINED)
        if not self.access(association, attribute) & Access.WRITE:
            raise AccessRefused(DataAccessResult.READ_WRITE_DENIED)
        self.setters[attribute](data)

    def invoke(self, association: str, method: int, data: Data | None) -> None:
        """Invoke a method; raise AccessRefused."""
        if method not in self.methods:
            raise AccessRefused(ActionResult.OBJECT_UNDEFINED)
        if not self.may_invoke(association, method):
            raise AccessRefused(ActionResult.READ_WRITE_DENIED)
        self.methods[method](data)

    def list_entry(self, association: str) -> Data:
        """The object's element of an association's object_list, with its access rights."""
        numbers = sorted({LOGICAL_NAME, *self.attributes, *self.hidden})
        attributes = (
            octets.structure(
                octets.integer(number),
                octets.enum(self.access(association, number)),
                self._selectors(number),
            )
            for number in numbers
        )
        methods = (
            octets.structure(
                octets.integer(number), octets.enum(self.may_invoke(association, number))
            )
            for number in sorted(self.methods)
        )
        return octets.structure(
            octets.long_unsigned(self.class_id),
            octets.unsigned(self.version),
            octets.logical_name(self.obis),
            octets.structure(octets.array(attributes), octets.array(methods)),
        )

    def _selectors(self, attribute: int) -> Data:
        if self.class_id == ClassId.PROFILE_GENERIC and attribute == 2:
            return octets.array((octets.integer(1), octets.integer(2)))
        return octets.NULL


def constant(value: Data) -> Getter:
    """A getter of something that never changes."""
    return lambda: value


def data_object(name: str, value: Data | Getter, *, public: bool = False) -> CosemObject:
    """Data (class 1): attribute 2 value."""
    getter = value if callable(value) else constant(value)
    return CosemObject(
        class_id=ClassId.DATA, obis=Obis.parse(name), attributes={2: getter}, public=public
    )


def register(name: str, value: Getter, scaler_unit: Data) -> CosemObject:
    """Register (class 3): attributes 2 value, 3 scaler_unit."""
    return CosemObject(
        class_id=ClassId.REGISTER,
        obis=Obis.parse(name),
        attributes={2: value, 3: constant(scaler_unit)},
    )


def decoded(data: bytes, refusal: int) -> Data:
    """A value that a client sent; AccessRefused with ``refusal`` for octets that are none."""
    try:
        return axdr.decode(data)
    except DecodeError:
        raise AccessRefused(refusal) from None


def by_key(objects: Iterable[CosemObject]) -> dict[tuple[int, Obis], CosemObject]:
    """Objects by class and logical name; two of one key are a mistake of the catalogue."""
    found: dict[tuple[int, Obis], CosemObject] = {}
    for item in objects:
        assert item.key not in found, f"two objects {item.class_id}/{item.obis}"
        found[item.key] = item
    return found
