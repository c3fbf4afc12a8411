"""What a meter says of itself, and the counts it keeps: plain Data objects (class 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from gateway.model import CaptureObject, Obis
from hil_tests.emulator import catalogue, octets
from hil_tests.emulator.catalogue import Model
from hil_tests.emulator.encodings import Encoding
from hil_tests.emulator.household import DAY_S
from hil_tests.emulator.objects import CosemObject, Getter, data_object
from hil_tests.emulator.octets import Data

MANUFACTURER: Final = "EMU"
"""Three-letter manufacturer code (FLAG) of emulated meters; nobody's in the field."""
MAKER: Final = "Emulated Meters"

_KINDS: Final = {
    Model.SINGLE_PHASE: (6, "D1", "(10-60) A"),
    Model.THREE_PHASE: (7, "D2", "(10-100) A"),
    Model.CT_THREE_PHASE: (8, "D3", "-/5 A"),
    Model.PART1_SINGLE_PHASE: (1, "D", "(5-30) A"),
    Model.PART1_THREE_PHASE: (3, "A", "-/5 A"),
}
"""Meter type, category and current rating; only the first two models' are a real meter's."""
CURRENT_RATIO, VOLTAGE_RATIO = 40, 1
"""200/5 A, at the low-voltage line."""


_PREPAID: Final = range(19, 26)
"""Value group E of the prepaid objects, at 0-0:94.96.x or 0-0:94.91.x."""


def nameplate_columns(model: Model) -> tuple[CaptureObject, ...]:
    """What the nameplate profile captures."""
    more = catalogue.TRANSFORMER_RATIOS if model is Model.CT_THREE_PHASE else ()
    return catalogue.NAMEPLATE + more


def nameplate_objects(
    model: Model, *, serial: str, device_id: str, maker: str, firmware: Callable[[], str]
) -> Iterator[CosemObject]:
    """The objects that the nameplate profile captures."""
    meter_type, category, rating = _KINDS[model]
    text = octets.visible_string
    values: dict[str, Data | Getter] = {
        "0.0.96.1.0.255": text(serial),
        "0.0.96.1.2.255": text(device_id),
        "0.0.96.1.1.255": text(maker),
        "1.0.0.2.0.255": lambda: text(firmware()),
        "0.0.94.91.9.255": octets.unsigned(meter_type),
        "0.0.94.91.11.255": text(category),
        "0.0.94.91.12.255": text(rating),
        "0.0.96.1.4.255": octets.long_unsigned(2025),
    }
    if model is Model.CT_THREE_PHASE:
        values["1.0.0.4.2.255"] = octets.long_unsigned(CURRENT_RATIO)
        values["1.0.0.4.3.255"] = octets.long_unsigned(VOLTAGE_RATIO)
    for name, value in values.items():
        yield data_object(name, value, public=name == "0.0.96.1.0.255")


def count_objects(encoding: Encoding, tampers: Callable[[], int]) -> Iterator[CosemObject]:
    """Counts of events, and the period of the daily profile, which nobody changes."""
    small = encoding is Encoding.INTEGER
    count = octets.double_long_unsigned if small else octets.long_unsigned
    programmed = octets.unsigned if small else octets.long_unsigned
    values: dict[str, Data | Getter] = {
        "0.0.94.91.0.255": lambda: count(tampers()),
        "0.0.0.1.0.255": octets.double_long_unsigned(0),
        "0.0.96.2.0.255": programmed(0),
        "0.0.96.7.0.255": octets.double_long_unsigned(0),
        "0.0.96.10.1.255": octets.unsigned(0),
        "0.1.96.12.5.255": octets.unsigned(0),
        "1.0.0.8.5.255": octets.double_long_unsigned(DAY_S),
    }
    for name, value in values.items():
        yield data_object(name, value)


def at_94_91(item: CosemObject) -> CosemObject:
    """A prepaid object at its place in the other family; any other object as it is."""
    a, b, c, d, e, f = item.obis.octets
    is_prepaid = (a, b, c, d) == (0, 0, 94, 96) and e in _PREPAID
    return replace(item, obis=Obis(bytes((a, b, c, 91, e, f)))) if is_prepaid else item
