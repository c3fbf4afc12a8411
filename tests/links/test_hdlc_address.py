"""HDLC addresses both ways."""

import pytest

from gateway.dlms.hdlc import HdlcAddress
from gateway.errors import DecodeError, UsageError

ADDRESSES = [
    (HdlcAddress(0), "01"),
    (HdlcAddress(16), "21"),
    (HdlcAddress(127), "ff"),
    (HdlcAddress(1, 17, 2), "0223"),
    (HdlcAddress(0, 0, 2), "0001"),
    (HdlcAddress(4, 65, 2), "0883"),
    (HdlcAddress(127, 127, 2), "feff"),
    (HdlcAddress(1, 17, 4), "00020023"),
    (HdlcAddress(0x3FFF, 0x3FFF, 4), "fefefeff"),
    (HdlcAddress(0x0102, 0x2345, 4), "04048c8b"),
]


@pytest.mark.parametrize(("address", "text"), ADDRESSES)
def test_an_address_is_written_and_read(address: HdlcAddress, text: str) -> None:
    assert address.encode().hex() == text
    assert HdlcAddress.decode(bytes.fromhex(text)) == address


@pytest.mark.parametrize("text", ["", "20", "0202", "020203", "02020202", "0202020203", "2121"])
def test_octets_that_are_no_address_are_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        HdlcAddress.decode(bytes.fromhex(text))


@pytest.mark.parametrize(
    ("upper", "lower", "length", "said"),
    [
        (128, None, 1, "0 to 127"),
        (-1, None, 1, "0 to 127"),
        (1, 128, 2, "lower HDLC address 128"),
        (16384, 1, 4, "0 to 16383"),
        (1, 1, 3, "1, 2 or 4 octets, not 3"),
        (1, 17, 1, "both parts"),
        (1, None, 2, "both parts"),
    ],
)
def test_an_address_that_cannot_be_written_says_why(
    upper: int, lower: int | None, length: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        HdlcAddress(upper, lower, length)
