"""Values and capture lists as JSON that keeps every digit.

A number is a JSON number (PostgreSQL keeps jsonb numbers as exact decimals), a string a string;
an instant is ``{"local": ..., "utc_s": ..., "quality": ...}``, octets are ``{"hex": ...}``, and a
text with characters that PostgreSQL cannot hold (NUL, surrogates) is ``{"text_hex": ...}``: meters
pad names with NUL, and a reading is not refused for that.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from gateway.errors import StoreCorrupt
from gateway.model import CaptureList, CaptureObject, Column, Instant, Obis, TimeQuality, Value

_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def values_to_json(values: tuple[Value, ...]) -> str:
    """JSON text of a row's values."""
    return f"[{','.join(_value_to_json(value) for value in values)}]"


def _value_to_json(value: Value) -> str:
    match value:
        case str() if _UNWRITABLE.search(value):
            return json.dumps({"text_hex": value.encode("utf-8", "surrogatepass").hex()})
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case Decimal():
            return format(value, "f")
        case bytes():
            return json.dumps({"hex": value.hex()})
        case Instant():
            return json.dumps(
                {"local": value.local, "utc_s": value.utc_s, "quality": value.quality.value}
            )


def values_from_json(text: str) -> tuple[Value, ...]:
    """The values again; StoreCorrupt for what ``values_to_json`` cannot have written."""
    try:
        items = json.loads(text, parse_int=Decimal, parse_float=Decimal)
        return tuple(_value_from_json(item) for item in items)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt(f"stored values cannot be read: {error!r}") from error


def _value_from_json(item: Any) -> Value:
    if item is None or isinstance(item, bool | str | Decimal):
        return item
    if "hex" in item:
        return bytes.fromhex(item["hex"])
    if "text_hex" in item:
        return bytes.fromhex(item["text_hex"]).decode("utf-8", "surrogatepass")
    utc_s = item["utc_s"]
    return Instant(
        utc_s=None if utc_s is None else int(utc_s),
        local=item["local"],
        quality=TimeQuality(item["quality"]),
    )


def capture_list_to_json(capture_list: CaptureList) -> str:
    """JSON text: one array a column: class, OBIS, attribute, index, scaler, unit, type."""
    return json.dumps(
        [
            [
                column.source.class_id,
                str(column.source.obis),
                column.source.attribute,
                column.source.data_index,
                column.scaler,
                column.unit,
                column.type_name,
            ]
            for column in capture_list.columns
        ]
    )


def capture_list_from_json(columns: list[list[Any]]) -> CaptureList:
    """The capture list again, from JSON already parsed."""
    try:
        return CaptureList(
            tuple(
                Column(CaptureObject(class_id, Obis.parse(obis), attribute, index), *rest)
                for class_id, obis, attribute, index, *rest in columns
            )
        )
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"a stored capture list cannot be read: {error!r}") from error
