"""Names of the values in push lists of customer interfaces, and what their makers scale by.

Some makers send lists without scalers, or without logical names: then the maker's description of
the interface is the only key to them (Kaifa MA304 list 1 to 3, Kamstrup Omnipower, Aidon 6xxx; each
proved by a capture). Nothing is guessed for other makers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from gateway.dlms.inspection.bodies import shown_number
from gateway.errors import UsageError
from gateway.model import Obis

_NAMES: Final[Mapping[tuple[int, ...], str]] = {
    (0, 0, 5): "meter_id",
    (0, 2, 129): "list_ver_id",
    (1, 7, 0): "active_power_import",
    (2, 7, 0): "active_power_export",
    (3, 7, 0): "reactive_power_import",
    (4, 7, 0): "reactive_power_export",
    (31, 7, 0): "current_l1",
    (51, 7, 0): "current_l2",
    (71, 7, 0): "current_l3",
    (32, 7, 0): "voltage_l1",
    (52, 7, 0): "voltage_l2",
    (72, 7, 0): "voltage_l3",
    (1, 8, 0): "active_power_import_total",
    (2, 8, 0): "active_power_export_total",
    (3, 8, 0): "reactive_power_import_total",
    (4, 8, 0): "reactive_power_export_total",
    (96, 1, 0): "meter_id",
    (96, 1, 1): "meter_type",
    (96, 1, 7): "meter_type",
}
"""Value groups C, D, E -> name (IEC 62056-6-1 for electricity)."""
_CLOCK_GROUPS: Final = (1, 0, 0)
_CLOCK: Final = "meter_datetime"

_LIST_1: Final = ("active_power_import",)
_LIST_2: Final = (
    "list_ver_id",
    "meter_id",
    "meter_type",
    "active_power_import",
    "active_power_export",
    "reactive_power_import",
    "reactive_power_export",
    "current_l1",
    "current_l2",
    "current_l3",
    "voltage_l1",
    "voltage_l2",
    "voltage_l3",
)
_LIST_3: Final = (
    *_LIST_2,
    _CLOCK,
    "active_power_import_total",
    "active_power_export_total",
    "reactive_power_import_total",
    "reactive_power_export_total",
)


@dataclass(frozen=True, slots=True)
class _Maker:
    """``scalers``: decimal exponents by name prefix or suffix, for values sent without one.

    ``lists``: names by place, for lists of so many values without logical names.
    """

    scalers: Mapping[str, int] = field(default_factory=dict)
    lists: tuple[tuple[str, ...], ...] = ()


_MAKERS: Final[Mapping[str, _Maker]] = {
    "Aidon": _Maker(),
    "Kaifa": _Maker({"current_": -3, "voltage_": -1}, (_LIST_1, _LIST_2, _LIST_3)),
    "Kamstrup": _Maker({"current_": -2, "_total": 1}),
}


def name_of(obis: str) -> str:
    """Name of a logical name such as ``1.0.1.7.0.255``; "" where it has none here."""
    try:
        octets = Obis.parse(obis).octets
    except UsageError:
        return ""
    groups = tuple(octets[2:5])
    if groups == _CLOCK_GROUPS:
        return _CLOCK if octets[0] == 0 else ""
    return _NAMES.get(groups, "")


def named_fields(
    make: str,
    *,
    named: Mapping[str, Mapping[str, object]],
    positions: Sequence[object],
    unnamed: Sequence[object],
    apdu_date_time: object,
) -> dict[str, object]:
    """Values of a push list by name, scaled as its maker means them; {} for an unknown maker."""
    maker = _MAKERS.get(make)
    if maker is None:
        return {}
    fields: dict[str, object] = {"meter_manufacturer": make}
    if apdu_date_time is not None:
        fields[_CLOCK] = apdu_date_time
    for obis, entry in named.items():
        if name := name_of(obis):
            value = entry["value"]
            fields[name] = value if "unit" in entry else _scaled(maker, name, value)
    if named and unnamed and isinstance(unnamed[0], str):
        fields.setdefault("list_ver_id", unnamed[0])
    if not named:
        names = next((names for names in maker.lists if len(names) == len(positions)), ())
        for name, value in zip(names, positions, strict=False):
            fields[name] = _scaled(maker, name, value)
    return fields


def _scaled(maker: _Maker, name: str, value: object) -> object:
    if not isinstance(value, int):
        return value
    exponent = next(
        (scaler for part, scaler in maker.scalers.items() if part in name),
        0,
    )
    return shown_number(Decimal(value).scaleb(exponent))
