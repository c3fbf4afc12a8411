"""What a meter says of itself, asked for in the words that ``[match]`` is written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.dlms import axdr
from gateway.dlms.association.requests import Get
from gateway.dlms.reading import Procedure, read_many
from gateway.model import ProfileKind
from gateway.profile import Attribute, FirmwareProfile, Nameplate


def nameplate_words(profile: FirmwareProfile) -> dict[str, Attribute]:
    """Where a profile's meters keep what ``[match]`` asks for."""
    columns = {c.name: c for c in profile.profile_generic(ProfileKind.NAMEPLATE).columns}
    return {
        "logical_device_name": profile.attribute("logical_device_name"),
        "manufacturer": columns["manufacturer"],
        "firmware": columns["firmware_version"],
        "meter_type": columns["meter_type"],
        "category": columns["category"],
    }


def _plain(data: axdr.Data, wanted: type[int | str]) -> str | int | None:
    """A number, or a text without its padding; None for what is not ``wanted``."""
    value = data.value
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.strip("\0 ")
    return value if isinstance(value, wanted) and not isinstance(value, bool) else None


def read_nameplate(words: Mapping[str, Attribute], told: Nameplate) -> Procedure[Nameplate]:
    """``told``, and what else the current association tells."""
    wanted = {name: one for name, one in words.items() if getattr(told, name) is None}
    found = yield from read_many(
        [Get(one.class_id, one.obis, one.attribute) for one in wanted.values()]
    )
    said: dict[str, Any] = {
        name: _plain(data, int if name == "meter_type" else str)
        for name, data in zip(wanted, found, strict=True)
        if isinstance(data, axdr.Data)
    }
    return replace(told, **said)
