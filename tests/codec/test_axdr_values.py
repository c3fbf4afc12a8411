"""A-XDR: every data type both ways from one table, and what is refused."""

import struct
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.limits import Limits
from gateway.errors import DecodeError, GatewayError, LimitExceeded, UsageError
from gateway.model import DATA_TYPE_NAMES
from tests.codec.material import trees

CASES: list[tuple[Data, str]] = [
    (Data(Tag.NULL, None), "00"),
    (Data(Tag.ARRAY, ()), "01 00"),
    (Data(Tag.ARRAY, (Data(Tag.UNSIGNED, 1), Data(Tag.UNSIGNED, 2))), "01 02 1101 1102"),
    (Data(Tag.STRUCTURE, (Data(Tag.INTEGER, -2), Data(Tag.ENUM, 35))), "02 02 0FFE 1623"),
    (Data(Tag.STRUCTURE, (Data(Tag.ARRAY, (Data(Tag.NULL, None),)),)), "02 01 01 01 00"),
    (Data(Tag.BOOLEAN, True), "03 01"),
    (Data(Tag.BOOLEAN, False), "03 00"),
    (Data(Tag.BIT_STRING, ""), "04 00"),
    (Data(Tag.BIT_STRING, "101"), "04 03 A0"),
    (Data(Tag.BIT_STRING, "0000000110"), "04 0A 0180"),
    (Data(Tag.DOUBLE_LONG, -1), "05 FFFFFFFF"),
    (Data(Tag.DOUBLE_LONG_UNSIGNED, 622_224), "06 00097E90"),
    (Data(Tag.OCTET_STRING, b""), "09 00"),
    (Data(Tag.OCTET_STRING, b"\x01\x00\x01"), "09 03 010001"),
    (Data(Tag.OCTET_STRING, bytes(128)), "09 8180" + "00" * 128),
    (Data(Tag.OCTET_STRING, bytes(300)), "09 82012C" + "00" * 300),
    (Data(Tag.VISIBLE_STRING, "SA1231166"), "0A 09 534131323331313636"),
    (Data(Tag.VISIBLE_STRING, "25°C"), "0A 04 3235B043"),
    (Data(Tag.UTF8_STRING, "मीटर"), "0C 0C E0A4AEE0A580E0A49FE0A4B0"),
    (Data(Tag.BCD, 0x42), "0D 42"),
    (Data(Tag.INTEGER, -128), "0F 80"),
    (Data(Tag.LONG, -2), "10 FFFE"),
    (Data(Tag.UNSIGNED, 155), "11 9B"),
    (Data(Tag.LONG_UNSIGNED, 22_999), "12 59D7"),
    (Data(Tag.COMPACT_ARRAY, b"\x12\x04\x00\x01\x00\x02"), "13 12 04 0001 0002"),
    (Data(Tag.LONG64, -5), "14 FFFFFFFFFFFFFFFB"),
    (Data(Tag.LONG64_UNSIGNED, 2**64 - 1), "15 FFFFFFFFFFFFFFFF"),
    (Data(Tag.ENUM, 30), "16 1E"),
    (Data(Tag.FLOAT32, b"\x40\x93\xd7\x0a"), "17 4093D70A"),
    (Data(Tag.FLOAT64, b"\x40\x12\x7a\xe1\x47\xae\x14\x7b"), "18 40127AE147AE147B"),
    (Data(Tag.DATE_TIME, bytes(range(12))), "19 000102030405060708090A0B"),
    (Data(Tag.DATE, b"\x07\xe9\x07\x17\x03"), "1A 07E9071703"),
    (Data(Tag.TIME, b"\x08\x1e\x18\xff"), "1B 081E18FF"),
    (Data(Tag.DELTA_INTEGER, -1), "1C FF"),
    (Data(Tag.DELTA_LONG, -1), "1D FFFF"),
    (Data(Tag.DELTA_DOUBLE_LONG, -1), "1E FFFFFFFF"),
    (Data(Tag.DELTA_UNSIGNED, 255), "1F FF"),
    (Data(Tag.DELTA_LONG_UNSIGNED, 65_535), "20 FFFF"),
    (Data(Tag.DELTA_DOUBLE_LONG_UNSIGNED, 2**32 - 1), "21 FFFFFFFF"),
    (Data(Tag.DONT_CARE, None), "FF"),
]
ids = [text[:16] for _, text in CASES]


@pytest.mark.parametrize(("data", "text"), CASES, ids=ids)
def test_octets_become_the_value(data: Data, text: str) -> None:
    octets = bytes.fromhex(text)
    assert axdr.decode(octets) == data
    assert axdr.decode_at(b"\xaa" + octets + b"\xbb", 1) == (data, 1 + len(octets))


@pytest.mark.parametrize(("data", "text"), CASES, ids=ids)
def test_the_value_becomes_the_octets(data: Data, text: str) -> None:
    assert axdr.encode(data) == bytes.fromhex(text)


@pytest.mark.parametrize(("data", "text"), CASES, ids=ids)
def test_a_value_cut_at_any_octet_is_refused(data: Data, text: str) -> None:
    octets = bytes.fromhex(text)
    for end in range(len(octets)):
        with pytest.raises(DecodeError):
            axdr.decode(octets[:end])


def test_the_table_holds_every_data_type() -> None:
    assert {data.tag for data, _ in CASES} == set(DATA_TYPE_NAMES)


def test_every_other_tag_is_refused() -> None:
    for tag in set(range(256)) - set(DATA_TYPE_NAMES):
        with pytest.raises(DecodeError, match=f"{tag} is no DLMS data type"):
            axdr.decode(bytes([tag]) + bytes(20))


def test_a_boolean_is_true_for_any_octet_but_zero() -> None:
    assert axdr.decode(b"\x03\xff").value is True


@pytest.mark.parametrize("text", ["09 8103 AABBCC", "09 820003 AABBCC", "09 8400000003 AABBCC"])
def test_lengths_in_longer_forms_than_needed_are_taken(text: str) -> None:
    assert axdr.decode(bytes.fromhex(text)) == Data(Tag.OCTET_STRING, b"\xaa\xbb\xcc")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("09 80", "length in 0 octets"),
        ("09 85 0000000001 AA", "length in 5 octets"),
        ("09 FF", "length in 127 octets"),
        ("09 05 AABB", "5 octets claimed in 2"),
        ("09 84 FFFFFFFF", "allowed are"),
        ("04 11 AABB", "17 bits claimed in 2"),
        ("0C 02 C328", "not UTF-8"),
        ("01 7F 1101", "127 elements claimed in 2"),
        ("01 84 7FFFFFFF 00", "allowed are"),
        ("11 01 00", "1 octet.s. behind a complete value"),
        ("", "ends inside"),
        ("13 13 00", "type 19 cannot be described"),
        ("13 07 00", "type 7 cannot be described"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises((DecodeError, LimitExceeded), match=said):
        axdr.decode(bytes.fromhex(text))


def test_octets_behind_a_value_are_allowed_by_name() -> None:
    assert axdr.decode(b"\x11\x05\x00\x00", ignore_trailing=True) == Data(Tag.UNSIGNED, 5)


def test_limits_hold_at_their_edge() -> None:
    limits = Limits(nesting_depth=2, array_elements=3, string_octets=4)
    nested = bytes.fromhex("0101 0101 1101")
    assert axdr.decode(nested, limits=limits)
    with pytest.raises(LimitExceeded, match="deeper than 2"):
        axdr.decode(b"\x02\x01" + nested, limits=limits)
    assert axdr.decode(b"\x01\x03\x00\x00\x00", limits=limits)
    with pytest.raises(LimitExceeded, match="4 elements, allowed are 3"):
        axdr.decode(b"\x01\x04\x00\x00\x00\x00", limits=limits)
    for tag in (0x09, 0x0A, 0x0C):
        assert axdr.decode(bytes([tag, 4]) + b"abcd", limits=limits)
        with pytest.raises(LimitExceeded, match="5 octets, allowed are 4"):
            axdr.decode(bytes([tag, 5]) + b"abcde", limits=limits)
    with pytest.raises(LimitExceeded, match="33 bits, allowed are 32"):
        axdr.decode(b"\x04\x21" + bytes(5), limits=limits)


@pytest.mark.parametrize("head", ["02 01", "01 01", "01 8101"])
def test_nesting_without_end_is_no_recursion_without_end(head: str) -> None:
    with pytest.raises(LimitExceeded):
        axdr.decode(bytes.fromhex(head) * 20_000)
    with pytest.raises(LimitExceeded):
        axdr.decode(b"\x13" + b"\x02\x01" * 20_000)


@pytest.mark.parametrize(
    "data",
    [
        Data(Tag.UNSIGNED, 256),
        Data(Tag.UNSIGNED, "5"),
        Data(Tag.BOOLEAN, 1),
        Data(Tag.FLOAT32, b"\0\0\0"),
        Data(Tag.DATE_TIME, bytes(13)),
        Data(Tag.BIT_STRING, "102"),
        Data(Tag.VISIBLE_STRING, "मीटर"),
        Data(Tag.OCTET_STRING, None),
        Data(Tag.NULL, 0),
        Data(Tag.STRUCTURE, (Data(Tag.LONG, 40_000),)),
        Data(7, None),
        Data(256, None),
    ],
)
def test_a_value_of_another_type_is_a_usage_error(data: Data) -> None:
    with pytest.raises(UsageError):
        axdr.encode(data)


def test_a_wrong_value_that_may_be_a_secret_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        axdr.encode(Data(Tag.UNSIGNED, b"hunter2"))
    assert "hunter2" not in str(caught.value)


@given(trees)
def test_any_tree_survives_the_way_there_and_back(tree: Data) -> None:
    octets = axdr.encode(tree)
    assert axdr.decode(octets) == tree
    assert axdr.encode(axdr.decode(octets)) == octets


@given(st.binary(max_size=200))
def test_random_octets_end_in_a_value_or_a_typed_error(octets: bytes) -> None:
    try:
        data = axdr.decode(octets, ignore_trailing=True)
        if data.tag == Tag.COMPACT_ARRAY and isinstance(data.value, bytes):
            axdr.expand_compact_array(data.value)
    except GatewayError:
        return
    assert data.tag in DATA_TYPE_NAMES


# --- compact-array -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packed", "expanded"),
    [
        ("12 04 0001 0002", "01 02 120001 120002"),
        (
            "0202 06 09 0C 00000001 02AABB 00000002 00",
            "01 02 0202 0600000001 0902AABB0202 0600000002 0900",
        ),
        ("0202 00 11 02 0708", "01 02 0202 00 1107 0202 00 1108"),
        ("01 0002 11 04 01020304", "01 02 0102 1101 1102 0102 1103 1104"),
        ("0202 01 0001 03 0F 04 01FE 0005", "01 02 0202 0101 0301 0FFE 0202 0101 0300 0F05"),
        ("11 00", "01 00"),
    ],
)
def test_a_compact_array_expands_by_its_description(packed: str, expanded: str) -> None:
    array = axdr.expand_compact_array(bytes.fromhex(packed))
    assert axdr.encode(array) == bytes.fromhex(expanded)


@pytest.mark.parametrize(
    "packed",
    [
        "12 04 0001 0002",
        "0202 06 09 0C 00000001 02AABB 00000002 00",
        "0202 00 11 02 0708",
        "01 0002 11 04 01020304",
        "0202 01 0001 03 0F 04 01FE 0005",
    ],
)
def test_an_array_packs_to_the_compact_array_that_expands_to_it(packed: str) -> None:
    array = axdr.expand_compact_array(bytes.fromhex(packed))
    assert axdr.pack_compact_array(array) == Data(Tag.COMPACT_ARRAY, bytes.fromhex(packed))


@given(st.data())
def test_what_packs_expands_to_the_same(data: st.DataObject) -> None:
    array = Data(Tag.ARRAY, (data.draw(trees),) * data.draw(st.integers(1, 5)))
    try:
        packed = axdr.pack_compact_array(array)
    except UsageError:
        return
    assert isinstance(packed.value, bytes)
    assert axdr.decode(axdr.encode(packed)) == packed
    assert axdr.expand_compact_array(packed.value) == array


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        ("11 05", "an array with elements"),
        ("01 00", "an array with elements"),
        ("01 02 1105 120005", "2 descriptions"),
        ("01 02 0101 1105 0102 1105 1106", "2 descriptions"),
        ("01 01 0100", "array of 0 elements"),
        ("01 01 00", "without octets"),
        ("01 01 13 11 01 05", "cannot be described"),
    ],
)
def test_what_no_compact_array_can_hold_is_refused(octets: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        axdr.pack_compact_array(axdr.decode(bytes.fromhex(octets)))


def test_a_compact_array_that_describes_very_much_is_refused() -> None:
    # Three nested arrays of 65,535 around null-data and one octet.
    bomb = bytes.fromhex("0202 01FFFF 01FFFF 01FFFF 00 11 01 05")
    with pytest.raises(LimitExceeded, match="more than"):
        axdr.expand_compact_array(bomb)


@pytest.mark.parametrize(
    "packed", ["00 01 05", "12 03 000102", "12 02 0001 FF", "12", "0202 12", "01 00", ""]
)
def test_a_compact_array_that_does_not_fit_is_refused(packed: str) -> None:
    with pytest.raises(DecodeError):
        axdr.expand_compact_array(bytes.fromhex(packed))


# --- floats --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "exact"),
    [
        ("4093D70A", "4.62"),
        ("00000000", "0"),
        ("80000000", "0"),
        ("3F800000", "1"),
        ("BF7374BC", "-0.951"),
        ("476C4000", "6.048E+4"),
        ("45926683", "4684.814"),
        ("466C4000", "1.512E+4"),
        ("7F7FFFFF", "3.4028235E+38"),
        ("00000001", "1E-45"),
        ("40127AE147AE147B", "4.62"),
        ("3FB999999999999A", "0.1"),
        ("7FEFFFFFFFFFFFFF", "1.7976931348623157E+308"),
    ],
)
def test_a_float_becomes_the_shortest_decimal(octets: str, exact: str) -> None:
    assert str(axdr.float_to_decimal(bytes.fromhex(octets))) == str(Decimal(exact))


@pytest.mark.parametrize("octets", ["7F800000", "FF800000", "7FC00000", "7FF0000000000000", "00"])
def test_what_is_no_number_is_refused(octets: str) -> None:
    with pytest.raises(DecodeError):
        axdr.float_to_decimal(bytes.fromhex(octets))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(number=2.0**-24)
@example(number=2.0**-126)
@example(number=2.0**90)
@example(number=-(2.0**-149))
@example(number=9.5367431640625e-07)
def test_no_shorter_decimal_lies_nearest_to_a_float32(number: float) -> None:
    octets = struct.pack(">f", number)
    value = axdr.float_to_decimal(octets)
    exact = Fraction(number)
    (bits,) = struct.unpack(">I", octets)
    neighbours = [
        Fraction(struct.unpack(">f", struct.pack(">I", other))[0])
        for other in (bits - 1, bits + 1)
        if other >= 0 and other >> 31 == bits >> 31 and other & 0x7F800000 != 0x7F800000
    ]
    assert all(abs(Fraction(value) - exact) <= abs(Fraction(value) - n) for n in neighbours)
    digits = len(value.as_tuple().digits)
    for rounding in (ROUND_FLOOR, ROUND_CEILING):
        if digits > 1 and abs(exact) < Fraction(2) ** 127:
            shorter = Context(prec=digits - 1, rounding=rounding).create_decimal(Decimal(number))
            assert any(
                abs(Fraction(shorter) - exact) >= abs(Fraction(shorter) - n) for n in neighbours
            )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_decimal_of_a_float64_becomes_the_same_octets(number: float) -> None:
    value = axdr.float_to_decimal(struct.pack(">d", number))
    assert float(value) == number
    assert len(value.as_tuple().digits) <= len(Decimal(repr(number)).as_tuple().digits)
