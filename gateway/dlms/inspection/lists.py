"""Names of the values in push lists of customer interfaces, scaled as their makers mean them.

What a maker means is data (``gateway.profile.push_lists``); only the standard's names are here.
Nothing is guessed for a maker without a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from gateway.dlms.inspection.bodies import shown_number
from gateway.errors import UsageError
from gateway.model import Obis
from gateway.profile.push_lists import PushLists

_CLOCK: Final = "meter_datetime"
_CURRENT: Final = 255
"""Value group F of what is not a value of an earlier billing period."""
_NAMES: Final[Mapping[tuple[int, ...], str]] = {
    (0, 1, 0, 0): _CLOCK,
    (0, 96, 1, 0): "meter_id",
    (1, 1, 7, 0): "active_power_import",
    (1, 2, 7, 0): "active_power_export",
    (1, 3, 7, 0): "reactive_power_import",
    (1, 4, 7, 0): "reactive_power_export",
    (1, 31, 7, 0): "current_l1",
    (1, 51, 7, 0): "current_l2",
    (1, 71, 7, 0): "current_l3",
    (1, 32, 7, 0): "voltage_l1",
    (1, 52, 7, 0): "voltage_l2",
    (1, 72, 7, 0): "voltage_l3",
    (1, 1, 8, 0): "active_power_import_total",
    (1, 2, 8, 0): "active_power_export_total",
    (1, 3, 8, 0): "reactive_power_import_total",
    (1, 4, 8, 0): "reactive_power_export_total",
}
"""Value groups A, C, D, E -> name, on any channel B.

IEC 62056-6-1: abstract objects (A = 0) clock and device ID 1; electricity (A = 1) by quantity C,
instantaneous (D = 7) or time integral 1 (D = 8), total (E = 0).
"""


def name_of(obis: str, maker: PushLists | None = None) -> str:
    """Name of a logical name such as ``1.0.1.7.0.255``; "" where it has none here.

    What a maker calls it goes before what the standard does.
    """
    try:
        logical_name = Obis.parse(obis)
    except UsageError:
        return ""
    if maker is not None and logical_name in maker.names:
        return maker.names[logical_name]
    medium, _, quantity, processing, tariff, period = logical_name.octets
    if period != _CURRENT:
        return ""
    return _NAMES.get((medium, quantity, processing, tariff), "")


def named_fields(
    maker: PushLists,
    *,
    named: Mapping[str, Mapping[str, object]],
    positions: Sequence[object],
    unnamed: Sequence[object],
    apdu_date_time: object,
) -> dict[str, object]:
    """Values of a push list by name, scaled as its maker means them."""
    fields: dict[str, object] = {"meter_manufacturer": maker.make}
    if apdu_date_time is not None:
        fields[_CLOCK] = apdu_date_time
    for obis, entry in named.items():
        if name := name_of(obis, maker):
            value = entry["value"]
            fields[name] = value if "unit" in entry else _scaled(maker, name, value)
    if maker.first_element and named and unnamed and isinstance(unnamed[0], str):
        fields.setdefault(maker.first_element, unnamed[0])
    if not named:
        for name, value in zip(maker.list_of(len(positions)), positions, strict=False):
            fields[name] = _scaled(maker, name, value)
    return fields


def _scaled(maker: PushLists, name: str, value: object) -> object:
    if not isinstance(value, int):
        return value
    return shown_number(Decimal(value).scaleb(maker.scalers.get(name, 0)))
