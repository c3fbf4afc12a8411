"""A-XDR (IEC 61334-6) for the DLMS data types (Blue Book 4.1.5): octets <-> ``Data``."""

from __future__ import annotations

from gateway.dlms.axdr.compact import expand_compact_array, pack_compact_array
from gateway.dlms.axdr.decoder import DEFAULT_LIMITS, decode, decode_at
from gateway.dlms.axdr.encoder import encode
from gateway.dlms.axdr.floats import decimal_to_float, float_to_decimal
from gateway.dlms.axdr.types import Data, Tag

__all__ = [
    "DEFAULT_LIMITS",
    "Data",
    "Tag",
    "decimal_to_float",
    "decode",
    "decode_at",
    "encode",
    "expand_compact_array",
    "float_to_decimal",
    "pack_compact_array",
]
