"""Raw octets of real Indian single-phase meters: types, scalers and times as they were seen."""

from decimal import Decimal

import pytest

from gateway.dlms import axdr
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.cosem_time import CosemDateTime, TimeRules, resolve
from gateway.model import Instant, TimeQuality, unit_name

INDIA = TimeRules(zone_minutes=330, deviation_sign=1)


@pytest.mark.parametrize(
    ("octets", "scaler", "unit", "value", "symbol"),
    [
        ("12 59D7", -2, 35, "229.99", "V"),
        ("12 0000", -2, 33, "0.00", "A"),
        ("0F 64", -2, 255, "1.00", ""),
        ("12 01F4", -1, 44, "50.0", "Hz"),
        ("06 00000000", 0, 27, "0", "W"),
        ("06 00000000", 0, 28, "0", "VA"),
        ("06 0000005F", 1, 30, "950", "Wh"),
        ("06 00000069", 1, 31, "1050", "VAh"),
        ("06 00097E90", 0, 6, "622224", "min"),
        ("06 0000001D", 0, 255, "29", ""),
        ("11 9B", 0, 255, "155", ""),
    ],
)
def test_a_register_keeps_the_digits_the_meter_sent(
    octets: str, scaler: int, unit: int, value: str, symbol: str
) -> None:
    data = axdr.decode(bytes.fromhex(octets))
    assert isinstance(data.value, int)
    assert f"{Decimal(data.value).scaleb(scaler):f}" == value
    assert unit_name(unit) == symbol
    assert axdr.encode(data) == bytes.fromhex(octets)


def test_the_clock_states_the_indian_deviation_with_a_plus() -> None:
    data = axdr.decode(bytes.fromhex("09 0C 07E9 07 17 03 08 1E 18 FF 014A 00"))
    assert isinstance(data.value, bytes)
    when = CosemDateTime.from_octets(data.value)
    assert when.deviation_minutes == 330
    assert resolve(when, INDIA) == Instant(1_753_239_624, "2025-07-23T08:30:24+05:30")


def test_a_maximum_demand_that_never_was_has_no_time() -> None:
    data = axdr.decode(bytes.fromhex("09 0C FF FF FF FF FF FF FF FF FF 01 4A 00"))
    assert isinstance(data.value, bytes)
    assert resolve(CosemDateTime.from_octets(data.value), INDIA) == Instant(
        None, "", TimeQuality.INVALID
    )


def test_a_key_transfer_has_the_shape_of_the_field() -> None:
    wrapped = bytes(range(24))
    octets = bytes.fromhex("01 01 02 02 16 00 09 18") + wrapped
    transfer = Data(
        Tag.ARRAY,
        (Data(Tag.STRUCTURE, (Data(Tag.ENUM, 0), Data(Tag.OCTET_STRING, wrapped))),),
    )
    assert axdr.encode(transfer) == octets
    assert axdr.decode(octets) == transfer


def test_a_unit_without_a_name_here_is_shown_by_its_code() -> None:
    assert unit_name(77) == "unit 77"
    assert unit_name(None) == ""
