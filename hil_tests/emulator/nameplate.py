"""What a meter says of itself that never changes, but for the version of its firmware."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gateway.dlms.axdr import Data
from hil_tests.emulator import octets
from hil_tests.emulator.catalogue import Model
from hil_tests.emulator.encodings import Encoding
from hil_tests.emulator.household import DAY_S
from hil_tests.emulator.objects import CosemObject, Getter, data_object

MANUFACTURER: Final = "EMU"
"""Three-letter manufacturer code (FLAG) of emulated meters; nobody's in the field."""


def nameplate_objects(
    model: Model,
    encoding: Encoding,
    serial: str,
    *,
    version: Callable[[], str],
    tampers: Callable[[], int],
) -> Iterator[CosemObject]:
    """Nameplate, counts and periods (class 1)."""
    single = model is Model.SINGLE_PHASE
    small = encoding is Encoding.INTEGER
    count = octets.double_long_unsigned if small else octets.long_unsigned
    programmed = octets.unsigned if small else octets.long_unsigned
    text = octets.visible_string
    values: dict[str, Data | Getter] = {
        "0.0.96.1.0.255": text(serial),
        "0.0.96.1.2.255": text(MANUFACTURER + serial),
        "0.0.96.1.1.255": text("Emulated Meters"),
        "1.0.0.2.0.255": lambda: text(version()),
        "0.0.94.91.9.255": octets.unsigned(6 if single else 7),
        "0.0.94.91.11.255": text("D1" if single else "D2"),
        "0.0.94.91.12.255": text("(10-60) A" if single else "(10-100) A"),
        "0.0.96.1.4.255": octets.long_unsigned(2025),
        "0.0.94.91.0.255": lambda: count(tampers()),
        "0.0.0.1.0.255": octets.double_long_unsigned(0),
        "0.0.96.2.0.255": programmed(0),
        "0.0.96.7.0.255": octets.double_long_unsigned(0),
        "0.0.96.10.1.255": octets.unsigned(0),
        "0.1.96.12.5.255": octets.unsigned(0),
        "1.0.0.8.5.255": octets.double_long_unsigned(DAY_S),
    }
    for name, value in values.items():
        yield data_object(name, value, public=name == "0.0.96.1.0.255")
