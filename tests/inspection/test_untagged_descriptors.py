"""The body whose descriptors have no tags: read exactly, or refused where it is anything else."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.inspection.descriptors import with_named_values
from gateway.errors import RemoteProtocolError

DESCRIPTOR = bytes.fromhex("0003 0100010800FF 02")
PAIR = bytes.fromhex("0202") + DESCRIPTOR


def body(*pairs: bytes, first: bytes = b"\x16\x01") -> bytes:
    return b"\x02\x02" + first + b"\x01" + bytes([len(pairs)]) + b"".join(pairs)


@given(st.lists(st.integers(0, 0xFFFF_FFFF), max_size=5))
def test_each_value_stands_behind_its_logical_name(values: list[int]) -> None:
    pairs = [PAIR + b"\x06" + value.to_bytes(4, "big") for value in values]
    name = Data(Tag.OCTET_STRING, DESCRIPTOR[2:8])
    expected = tuple(
        Data(Tag.STRUCTURE, (name, Data(Tag.DOUBLE_LONG_UNSIGNED, value))) for value in values
    )
    decoded = axdr.decode(with_named_values(body(*pairs)))
    assert decoded.value == (Data(Tag.ENUM, 1), Data(Tag.ARRAY, expected))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x02\x03" + body(PAIR + b"\x0f\x01")[2:],
        body(PAIR + b"\x0f\x01")[:-1],
        body(PAIR + b"\x0f\x01") + b"\x00",
        body(b"\x02\x03" + DESCRIPTOR + b"\x0f\x01"),
        body(PAIR + b"\x0f\x01").replace(b"\x01\x01\x02\x02", b"\x02\x01\x02\x02"),
    ],
    ids=["empty", "three", "cut", "more", "pair of three", "no array"],
)
def test_a_body_of_another_shape_is_refused(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        with_named_values(octets)


@given(st.binary(max_size=80))
def test_any_octets_end_in_a_body_or_a_typed_error(octets: bytes) -> None:
    with suppress(RemoteProtocolError):
        axdr.decode(with_named_values(b"\x02\x02" + octets))
