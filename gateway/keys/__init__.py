"""Meter keys: in memory, in a keys file, and at rest in the keystore."""

from __future__ import annotations

from gateway.keys.keys_file import load_keys_file
from gateway.keys.keystore import Keystore, State, create_kek
from gateway.keys.meter_keys import MeterKeys, Role

__all__ = [
    "Keystore",
    "MeterKeys",
    "Role",
    "State",
    "create_kek",
    "load_keys_file",
]
