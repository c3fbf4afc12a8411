"""Profile rows: the compiled layout gives what the general decoder gives, only sooner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.limits import Limits
from gateway.dlms.rows import RawRow, RowLayout, decode_rows, iter_rows
from gateway.errors import DecodeError, GatewayError, LimitExceeded
from tests.codec.material import capture, frames, scalars, trees


def row_octets(*columns: str) -> bytes:
    return bytes([2, len(columns)]) + bytes.fromhex("".join(columns))


def buffer_of(rows: list[bytes]) -> bytes:
    return axdr.encode(Data(Tag.ARRAY, ()))[:1] + bytes([len(rows)]) + b"".join(rows)


def by_general_decoder(buffer: bytes) -> list[RawRow]:
    """The oracle: the whole buffer through ``axdr.decode``, rows cut by re-encoding."""
    rows = axdr.decode(buffer).value
    assert isinstance(rows, tuple)
    found = []
    for row in rows:
        assert isinstance(row.value, tuple)
        tags, values = tuple(m.tag for m in row.value), tuple(m.value for m in row.value)
        found.append(RawRow(axdr.encode(row), tags, values))
    return found


CLOCK = "090C07E90717030800{minute:02X}FF014A00"


def block_row(minute: int, energy: int = 7) -> bytes:
    """A block load row of eight columns: clock, voltage, four energies, two currents."""
    clock = CLOCK.format(minute=minute)
    return row_octets(clock, "1259D7", *[f"06{energy:08X}"] * 4, "120001", "120002")


def test_rows_alike_come_with_octets_tags_and_values() -> None:
    rows = [block_row(0, 1), block_row(15, 2), block_row(30, 3)]
    found = decode_rows(buffer_of(rows))
    assert [row.raw for row in found] == rows
    assert found[2].tags == (9, 18, 6, 6, 6, 6, 18, 18)
    clock = bytes.fromhex(CLOCK.format(minute=30))[2:]
    assert found[2].values == (clock, 22_999, 3, 3, 3, 3, 1, 2)


@pytest.mark.parametrize(
    "odd",
    [
        row_octets("00", "1259D7", *["0600000001"] * 4, "120001", "120002"),  # null clock
        # The same lengths under other tags: the layout must not read them.
        row_octets(CLOCK.format(minute=1), "1059D7", *["05FFFFFFFF"] * 4, "10FFFF", "120002"),
        row_octets(CLOCK.format(minute=1), "1259D7", *["1740000000"] * 4, "120001", "120002"),
        row_octets("0A0C" + "41" * 12, "1259D7", *["0600000001"] * 4, "120001", "120002"),
        row_octets("1907E90717030800FF014A0000", "1259D7", "0600000001"),
        row_octets(CLOCK.format(minute=1)),
        row_octets("0900", "1259D7", *["0600000001"] * 4, "120001", "120002"),
        row_octets("0202110111 02".replace(" ", ""), "00"),
        row_octets("0403A0", "0C0141"),
        b"\x02\x00",
    ],
    ids=lambda row: row[:14].hex(),
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_row_of_another_shape_is_read_by_the_general_decoder(odd: bytes, place: int) -> None:
    rows = [block_row(0), block_row(15), block_row(30)]
    rows.insert(place, odd)
    buffer = buffer_of(rows)
    found = decode_rows(buffer)
    assert [row.raw for row in found] == rows
    assert found == by_general_decoder(buffer)


def test_runs_of_null_clocks_keep_their_columns() -> None:
    (buffer,) = frames("get_service_and_blocks")[9:]
    found = decode_rows(buffer)
    expected = capture("get_service_and_blocks")["expected"]["frame_9"]
    assert len(found) == expected["rows"]
    assert {len(row.values) for row in found} == {expected["columns"]}
    assert found[0].tags == (9, 17, 6, 6)
    assert found[0].values[1:] == (6, 1517, 1620)
    assert [row.values for row in found[1:]] == [(None, 6, 1517, 1620)] * 3


def test_a_buffer_cut_inside_a_row_gives_the_whole_rows_and_then_an_error() -> None:
    block = frames("get_service_and_blocks")[8][12:]
    with pytest.raises(DecodeError, match="1440 elements claimed in 1178"):
        decode_rows(block)
    found: list[RawRow] = []
    with pytest.raises(DecodeError, match="ends inside a value"):
        found.extend(iter_rows(b"\x01\x81\xff" + block[4:]))
    assert len(found) == 77
    # The first row has 28 octets, all others 15.
    odd = 1 + (block.index(b"\x11\x86") - 4 - 28) // 15
    assert [number for number, row in enumerate(found) if row.values[1] != 6] == [odd]
    assert {row.values[1:] for row in found} == {(6, 1517, 1620), (0x86, 1517, 1620)}
    assert found[0].tags[0] == Tag.OCTET_STRING
    assert {row.tags[0] for row in found[1:]} == {Tag.NULL}


values_of_shape = {
    "09": st.binary(min_size=12, max_size=12).map(lambda b: "090C" + b.hex()),
    "0A": st.text("AB", min_size=0, max_size=3).map(
        lambda t: axdr.encode(Data(Tag.VISIBLE_STRING, t)).hex()
    ),
    "12": st.integers(0, 65_535).map(lambda n: f"12{n:04X}"),
    "06": st.integers(0, 2**32 - 1).map(lambda n: f"06{n:08X}"),
    "17": st.binary(min_size=4, max_size=4).map(lambda b: "17" + b.hex()),
    "03": st.sampled_from(["0300", "0301"]),
    "00": st.just("00"),
    "FF": st.just("FF"),
}
shapes = st.lists(st.sampled_from(list(values_of_shape)), max_size=5)
rows_of_few_shapes = st.lists(shapes, min_size=1, max_size=6).flatmap(
    lambda known: st.lists(
        st.sampled_from(known).flatmap(
            lambda shape: st.tuples(*(values_of_shape[tag] for tag in shape)).map(
                lambda columns: row_octets(*columns)
            )
        ),
        max_size=30,
    )
)


@given(rows_of_few_shapes)
def test_rows_of_few_shapes_equal_the_general_decoder(rows: list[bytes]) -> None:
    buffer = buffer_of(rows)
    assert decode_rows(buffer) == by_general_decoder(buffer)


@given(st.lists(st.lists(trees, max_size=4).map(tuple), max_size=8))
def test_rows_of_any_values_equal_the_general_decoder(rows: list[tuple[Data, ...]]) -> None:
    array = Data(Tag.ARRAY, tuple(Data(Tag.STRUCTURE, row) for row in rows))
    assert decode_rows(axdr.encode(array)) == by_general_decoder(axdr.encode(array))


@given(st.lists(scalars, min_size=1, max_size=5))
def test_a_layout_matches_the_row_it_was_compiled_from(members: list[Data]) -> None:
    octets = axdr.encode(Data(Tag.STRUCTURE, tuple(members)))
    layout = RowLayout.compile(octets)
    has_none = {Tag.BIT_STRING, Tag.UTF8_STRING, Tag.COMPACT_ARRAY} & {m.tag for m in members}
    assert (layout is None) == bool(has_none)
    if layout is not None:
        row = RawRow(octets, tuple(m.tag for m in members), tuple(m.value for m in members))
        assert layout.run(octets, 0, 1) == [row]
        assert layout.run(octets * 3, len(octets), 1) == [row]
        assert layout.run(octets * 3, len(octets), 9) == [row] * 2
        assert layout.run(octets + octets[:-1], 0, 9) == [row]
        assert layout.run(octets[:-1], 0, 9) == []


@pytest.mark.parametrize("row", [b"", b"\x01\x00", b"\x02\x00", b"\x02\x01\x02\x01\x00"])
def test_what_has_no_fixed_shape_has_no_layout(row: bytes) -> None:
    assert RowLayout.compile(row) is None


@pytest.mark.parametrize(
    ("buffer", "said"),
    [
        ("", "not nothing"),
        ("02 01 1101", "not type 2"),
        ("01 01 1105", "row 0 is not a structure but type 17"),
        ("01 02 0201 1105 00", "row 1 is not a structure but type 0"),
        ("01 03 0201 1105", "ends inside"),
        ("01 7F 0201 1105", "127 elements claimed in 4"),
        ("01 01 0201 1105 00", "1 octet.s. behind the last row"),
        ("01", "ends before its length"),
    ],
)
def test_what_is_wrong_is_said(buffer: str, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        decode_rows(bytes.fromhex(buffer))


def test_octets_behind_the_last_row_are_allowed_by_name() -> None:
    buffer = buffer_of([block_row(0), block_row(15)])
    assert decode_rows(buffer + b"\x00\x00", ignore_trailing=True) == decode_rows(buffer)


def test_limits_hold_for_rows() -> None:
    with pytest.raises(LimitExceeded, match="3 elements, allowed are 2"):
        decode_rows(
            buffer_of([block_row(0)] * 3),
            limits=Limits(array_elements=2),
        )


@given(st.binary(max_size=80), st.integers(0, 255))
def test_a_spoilt_buffer_ends_in_rows_or_a_typed_error(junk: bytes, where: int) -> None:
    buffer = bytearray(buffer_of([block_row(0), block_row(15), block_row(30)]))
    at = where % len(buffer)
    buffer[at : at + len(junk)] = junk
    try:
        decode_rows(bytes(buffer))
    except GatewayError:
        return


def test_a_buffer_cut_at_any_octet_is_refused() -> None:
    buffer = buffer_of([block_row(0), block_row(15), block_row(30)])
    for end in range(len(buffer)):
        with pytest.raises(DecodeError):
            decode_rows(buffer[:end])
