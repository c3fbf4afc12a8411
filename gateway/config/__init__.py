"""The site file: what one gateway is, where its meters are, where its readings go."""

from __future__ import annotations

from gateway.config.loader import example, load_site, schema
from gateway.config.words import (
    BackendKey,
    CallingMeter,
    Clocks,
    CoverageTarget,
    Gateway,
    Listener,
    ListenerTls,
    Meter,
    MeterFile,
    PushListener,
    Reading,
    Site,
    Stores,
    Tls,
    Uplink,
    Wire,
)

__all__ = [
    "BackendKey",
    "CallingMeter",
    "Clocks",
    "CoverageTarget",
    "Gateway",
    "Listener",
    "ListenerTls",
    "Meter",
    "MeterFile",
    "PushListener",
    "Reading",
    "Site",
    "Stores",
    "Tls",
    "Uplink",
    "Wire",
    "example",
    "load_site",
    "schema",
]
