"""Readings as JSON: one table in both directions, exactness, and refusals."""

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DecodeError, LimitExceeded, UsageError
from gateway.model import (
    Batch,
    CaptureList,
    CaptureObject,
    Column,
    Evidence,
    Instant,
    MeterId,
    Obis,
    ProfileKind,
    Row,
    TimeQuality,
    Value,
    row_digest,
)
from gateway.uplink.cells import Cell, Form, read_column, write_column
from gateway.uplink.message import (
    MAX_COLUMNS,
    MAX_ROWS,
    Header,
    carries_raw,
    decode_header,
    decode_readings,
    encode_readings,
    with_header,
)
from gateway.uplink.topics import Topic, parse, readings
from gateway.uplink.wire import MAX_MESSAGE_OCTETS

IST = "2026-11-23T00:00:00+05:30"
IST_S = 1795372200
HEADER = Header("gw1", "readings", "00112233aabbccdd", 17)

# values of a column, form, scaler, cells
COLUMNS: list[tuple[list[Value], Form, int | None, list[Cell]]] = [
    ([Decimal("123.40"), Decimal(5)], Form.NUMBER, -2, [12340, 500]),
    ([Decimal("1E+3"), Decimal("25E+2")], Form.NUMBER, 2, [10, 25]),
    ([Decimal("0.00"), Decimal(7)], Form.NUMBER, 0, [0, 7]),
    ([Decimal("0.00"), Decimal("0.0")], Form.NUMBER, -2, [0, 0]),
    ([Decimal(-(2**63)), None, Decimal(2**64 - 1)], Form.NUMBER, 0, [-(2**63), None, 2**64 - 1]),
    ([Decimal("3.4E+38"), Decimal("1E-45")], Form.NUMBER, -45, [34 * 10**82, 1]),
    ([True, False, None], Form.BOOLEAN, None, [1, 0, None]),
    (["", "विद्युत [x]", 'say "no"'], Form.TEXT, None, ["", "विद्युत [x]", 'say "no"']),
    ([b"", b"\x00\xff"], Form.OCTETS, None, ["", "00ff"]),
    ([None, None], Form.NULL, None, [None, None]),
    ([Instant(IST_S, IST), None], Form.TIME, None, [IST, None]),
    ([Instant(IST_S + 60, IST)], Form.TIME, None, [f"{IST}[_utc={IST_S + 60}]"]),
    ([Instant(None, IST)], Form.TIME, None, [f"{IST}[_utc=none]"]),
    (
        [Instant(None, "2026-**-23T00:00:00", TimeQuality.INVALID)],
        Form.TIME,
        None,
        ["2026-**-23T00:00:00[_quality=invalid]"],
    ),
    (
        [Instant(-5, "2026-11-23T00:00:00", TimeQuality.DERIVED)],
        Form.TIME,
        None,
        ["2026-11-23T00:00:00[_utc=-5][_quality=derived]"],
    ),
    ([Instant(None, "[_utc=7]")], Form.TIME, None, ["[_utc=7][_utc=none][_quality=ok]"]),
    (
        [Decimal("1.50"), "1", b"1", True, None, Instant(IST_S, IST)],
        Form.MIXED,
        None,
        ["n:150E-2", "t:1", "x:31", "b:1", None, f"i:{IST}"],
    ),
]


@pytest.mark.parametrize(("values", "form", "scaler", "cells"), COLUMNS)
def test_a_column_is_written_and_read_as_the_table_says(
    values: list[Value], form: Form, scaler: int | None, cells: list[Cell]
) -> None:
    assert write_column(values) == (form, scaler, cells)
    assert read_column(form, scaler, cells) == values


DECIMALS = st.builds(
    lambda sign, mantissa, exponent: Decimal(sign * mantissa).scaleb(exponent),
    st.sampled_from([1, -1]),
    st.integers(0, 10**27),
    st.integers(-350, 310),
)
INSTANTS = st.builds(
    Instant,
    st.none() | st.integers(-(10**11), 10**11),
    st.text(max_size=30)
    | st.just(IST)
    | st.datetimes().map(lambda when: when.isoformat(timespec="seconds") + "Z")
    | st.sampled_from(["[_utc=none]", "[_quality=ok]", "x[_utc=3][_quality=ok]", "["]),
    st.sampled_from(TimeQuality),
)
VALUES: dict[str, st.SearchStrategy[Value]] = {
    "double-long": DECIMALS,
    "visible-string": st.text(max_size=30),
    "octet-string": st.binary(max_size=30),
    "boolean": st.booleans(),
    "date-time": INSTANTS,
    "any": DECIMALS | st.text(max_size=9) | st.binary(max_size=9) | st.booleans() | INSTANTS,
}


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    columns = tuple(
        Column(
            CaptureObject(
                draw(st.integers(1, 200)),
                Obis(draw(st.binary(min_size=6, max_size=6))),
                draw(st.integers(-128, 127)),
                draw(st.integers(0, 65535)),
            ),
            draw(st.none() | st.integers(-128, 127)),
            draw(st.none() | st.integers(0, 255)),
            kind,
        )
        for kind in kinds
    )
    profile = draw(st.sampled_from(ProfileKind))
    rows = draw(
        st.lists(
            st.builds(
                Row,
                st.integers(0, 2**32),
                st.tuples(*(st.none() | VALUES[kind] for kind in kinds)),
                st.binary(max_size=20) if carries_raw(profile) else st.just(b""),
                st.sampled_from(TimeQuality),
            ),
            min_size=1,
            max_size=5,
        )
    )
    evidence = Evidence(
        draw(st.integers(0, 2**53)),
        draw(st.none() | st.binary(min_size=8, max_size=8)),
        draw(st.none() | st.integers(0, 2**32 - 1)),
    )
    meter = MeterId(draw(st.text(min_size=1, max_size=16)))
    return Batch(meter, profile, CaptureList(columns), tuple(rows), evidence)


@given(batch=batches())
def test_what_is_decoded_equals_what_was_encoded(batch: Batch) -> None:
    message = decode_readings(
        with_header(encode_readings(batch), HEADER),
        parse(readings("gw1", batch.meter, batch.profile)),
    )
    assert message.header == HEADER
    assert message.batch == batch
    assert message.digests == tuple(
        row_digest(batch.capture_list.digest, row.raw) for row in batch.rows
    )


@given(values=st.lists(DECIMALS, min_size=1, max_size=6))
def test_numbers_keep_the_smallest_exponent_of_their_column(values: list[Decimal]) -> None:
    form, scaler, cells = write_column(list(values))
    exponents = [value.as_tuple().exponent for value in values if value]
    if exponents:
        assert scaler == min(map(int, exponents))
    for read in read_column(form, scaler, cells):
        assert isinstance(read, Decimal)
        assert read.as_tuple().exponent == scaler


def daily_batch(profile: ProfileKind = ProfileKind.DAILY_LOAD) -> Batch:
    columns = (
        Column(CaptureObject(8, Obis.parse("0-0:1.0.0*255"), 2), type_name="octet-string"),
        Column(CaptureObject(3, Obis.parse("1-0:1.8.0*255"), 2), 0, 30, "double-long-unsigned"),
    )
    rows = tuple(
        Row(IST_S + day * 86400, (Instant(IST_S, IST), Decimal(1000 + day)), b"\x02\x02%d" % day)
        for day in range(2)
    )
    evidence = Evidence(1795372201000000, b"MTR12345", 41)
    return Batch(MeterId("SE 01/2"), profile, CaptureList(columns), rows, evidence)


def as_json(profile: ProfileKind = ProfileKind.DAILY_LOAD) -> Any:
    return json.loads(with_header(encode_readings(daily_batch(profile)), HEADER))


def octets(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_a_message_reads_as_documented() -> None:
    assert as_json() == {
        "gateway": "gw1",
        "stream": "readings",
        "epoch": "00112233aabbccdd",
        "sequence": 17,
        "schema": "smg.readings/1",
        "meter": "SE 01/2",
        "profile": "daily_load",
        "capture_list": "74d38b938deb7f298ea03f0fc3cd1246",
        "columns": [
            {
                "obis": "0-0:1.0.0*255",
                "class": 8,
                "attribute": 2,
                "data_index": 0,
                "unit": None,
                "object_scaler": None,
                "type": "octet-string",
                "form": "time",
                "scaler": None,
            },
            {
                "obis": "1-0:1.8.0*255",
                "class": 3,
                "attribute": 2,
                "data_index": 0,
                "unit": 30,
                "object_scaler": 0,
                "type": "double-long-unsigned",
                "form": "number",
                "scaler": 0,
            },
        ],
        "rows": [
            {
                "captured_at_s": IST_S,
                "digest": "a65fa386de9e4d8c50839c45f15716f1",
                "time_quality": "ok",
                "values": [IST, 1000],
                "raw": "AgIw",
            },
            {
                "captured_at_s": IST_S + 86400,
                "digest": "06422370d9e93469e4713f1a49e0b1d9",
                "time_quality": "ok",
                "values": [IST, 1001],
                "raw": "AgIx",
            },
        ],
        "evidence": {
            "received_at_us": 1795372201000000,
            "server_system_title": "4d54523132333435",
            "invocation_counter": 41,
        },
    }


@pytest.mark.parametrize("profile", ProfileKind)
def test_register_rows_and_nameplates_carry_their_raw_octets_and_others_do_not(
    profile: ProfileKind,
) -> None:
    document = as_json(profile)
    message = decode_readings(octets(document))
    expected = profile in (ProfileKind.DAILY_LOAD, ProfileKind.BILLING, ProfileKind.NAMEPLATE)
    assert all(("raw" in row) == expected for row in document["rows"])
    assert [row.raw for row in message.batch.rows] == (
        [b"\2\0020", b"\2\0021"] if expected else [b""] * 2
    )
    # the identity of a row is the same whether or not its octets travel
    assert message.digests == tuple(
        row_digest(message.batch.capture_list.digest, row.raw) for row in daily_batch().rows
    )


def test_the_header_changes_and_the_body_does_not() -> None:
    body = encode_readings(daily_batch())
    other = Header("gw1", "readings", "ffffffffffffffff", 1)
    assert with_header(body, HEADER).endswith(body[1:])
    assert decode_readings(with_header(body, other)).header == other
    assert decode_header(with_header(b'{"schema":"smg.unknown/9"}', HEADER)) == HEADER


def test_unknown_fields_are_tolerated_everywhere() -> None:
    document = as_json()
    document |= {"later": 1.5}
    document["columns"][0]["later"] = {"a": [1.5]}
    document["rows"][0]["later"] = None
    document["evidence"]["later"] = True
    assert decode_readings(octets(document)).batch == daily_batch()


@pytest.mark.parametrize("part", ["", "columns", "rows", "evidence"])
def test_a_missing_field_is_refused_by_name(part: str) -> None:
    whole = as_json()
    fields = list(whole if not part else whole[part] if part == "evidence" else whole[part][0])
    for field in fields:
        document = as_json()
        target = document if not part else document[part]
        del (target[0] if isinstance(target, list) else target)[field]
        expected = "carry raw" if field == "raw" else f"`{field}`"
        with pytest.raises(DecodeError, match=expected):
            decode_readings(octets(document))


def put(document: Any, path: str, value: object) -> Any:
    *parents, last = path.split(".")
    target = document
    for step in parents:
        target = target[int(step) if step.isdigit() else step]
    target[int(last) if last.isdigit() else last] = value
    return document


WRONG: list[tuple[str, object, str]] = [
    ("rows.0.values.1", 1000.0, "got `float`"),
    ("rows.0.values.1", 1.5, "got `float`"),
    ("rows.0.values.1", True, "got `bool`"),
    ("rows.0.values.1", [1], "got `array`"),
    ("rows.0.values.1", "1000", "form number"),
    ("rows.0.values.1", 10**2000, "form number"),
    ("rows.0.values.0", 5, "form time"),
    ("rows.0.values.0", f"{IST}[_quality=great]", "time quality"),
    ("rows.0.values", [1], "1 values for 2 columns"),
    ("rows.0.captured_at_s", 2**41, "captured_at_s"),
    ("rows.0.captured_at_s", 1.0, "captured_at_s"),
    ("rows.0.time_quality", "fine", "time_quality"),
    ("rows.0.digest", "00" * 15, "16 octets"),
    ("rows.0.digest", "00" * 16, "digest is not that of its raw octets"),
    ("rows.0.digest", "GG" * 16, "hex"),
    ("rows.0.raw", "AgIx", "digest is not that of its raw octets"),
    ("rows.0.raw", "A", "raw"),
    ("rows", [], "no rows"),
    ("columns", [], "no rows or no columns"),
    ("columns.1.obis", "1-0:1.8.0*256", "OBIS"),
    ("columns.1.unit", 27, "capture_list is not the digest"),
    ("columns.1.unit", 256, "unit"),
    ("columns.1.object_scaler", -1, "capture_list is not the digest"),
    ("columns.1.scaler", None, "scaler goes with form number"),
    ("columns.1.scaler", 1001, "beyond"),
    ("columns.0.scaler", 0, "scaler goes with form number"),
    ("columns.1.form", "boolean", "scaler goes with form number"),
    ("columns.1.form", "float", "form"),
    ("columns.1.class", -1, "class"),
    ("columns.1.type", "x" * 33, "type"),
    ("capture_list", "00" * 16, "capture_list is not the digest"),
    ("profile", "ledger", "profile"),
    ("schema", "smg.readings/2", "schema"),
    ("meter", "", "meter number"),
    ("meter", "9" * 65, "meter number"),
    ("gateway", "gw/1", "gateway"),
    ("gateway", "+", "gateway"),
    ("epoch", "0011", "epoch"),
    ("epoch", "00112233AABBCCDD", "epoch"),
    ("sequence", 0, "sequence"),
    ("sequence", 2**63, "sequence"),
    ("sequence", "17", "sequence"),
    ("evidence.server_system_title", "4d", "8 octets"),
    ("evidence.invocation_counter", 2**32, "invocation_counter"),
    ("evidence.received_at_us", -1, "received_at_us"),
]


@pytest.mark.parametrize(("path", "value", "says"), WRONG)
def test_a_wrong_field_is_refused_and_the_error_names_it(
    path: str, value: object, says: str
) -> None:
    with pytest.raises(DecodeError, match=says):
        decode_readings(octets(put(as_json(), path, value)))


@pytest.mark.parametrize(
    "topic",
    [
        Topic("gw2", parse("smg/1/gw1/birth").kind),
        parse("smg/1/gw2/readings/SE%2001%2F2/daily_load"),
        parse("smg/1/gw1/readings/SE%2001%2F3/daily_load"),
        parse("smg/1/gw1/readings/SE%2001%2F2/billing"),
    ],
)
def test_a_message_that_speaks_for_another_topic_is_refused(topic: Topic) -> None:
    with pytest.raises(DecodeError, match="topic"):
        decode_readings(octets(as_json()), topic)


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitExceeded, match="octets"):
        decode_readings(b" " * (MAX_MESSAGE_OCTETS + 1))
    many = as_json(ProfileKind.EVENTS)
    many["rows"] = many["rows"][:1] * (MAX_ROWS + 1)
    with pytest.raises(LimitExceeded, match="rows"):
        decode_readings(octets(many))
    wide = as_json()
    wide["columns"] = wide["columns"][:1] * (MAX_COLUMNS + 1)
    with pytest.raises(LimitExceeded, match="columns"):
        decode_readings(octets(wide))
    with pytest.raises(LimitExceeded, match="nested"):
        decode_readings(b'{"later":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


MESSAGE = with_header(encode_readings(daily_batch()), HEADER)


def test_every_beginning_of_a_message_is_refused_and_so_is_junk_around_it() -> None:
    for length in range(len(MESSAGE)):
        with pytest.raises(DecodeError):
            decode_readings(MESSAGE[:length])
    for junk in (b"\0" + MESSAGE, MESSAGE + b"}", MESSAGE + MESSAGE, b"\xef\xbb\xbf" + MESSAGE):
        with pytest.raises(DecodeError):
            decode_readings(junk)


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(MESSAGE) - 1), st.integers(0, 255)), min_size=1, max_size=4
    )
)
def test_a_damaged_message_ends_in_a_typed_error_or_reads(edits: list[tuple[int, int]]) -> None:
    damaged = bytearray(MESSAGE)
    for position, octet in edits:
        damaged[position] = octet
    for read in (decode_readings, decode_header):
        with suppress(DecodeError, LimitExceeded):
            read(bytes(damaged))


@given(junk=st.binary(max_size=200))
def test_any_octets_end_in_a_typed_error(junk: bytes) -> None:
    with pytest.raises((DecodeError, LimitExceeded)):
        decode_readings(junk)


def one_value(value: Value, rows: int = 1) -> Batch:
    column = Column(CaptureObject(1, Obis(bytes(6)), 2))
    row = Row(0, (value,), b"")
    return Batch(
        MeterId("m"), ProfileKind.EVENTS, CaptureList((column,)), (row,) * rows, Evidence(0)
    )


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (one_value(Decimal("NaN")), "NaN"),
        (one_value(Decimal("-Infinity")), "Infinity"),
        (one_value(Decimal("1E+1001")), "exponent"),
        (one_value("\ud800"), "UTF-8"),
        (one_value("x" * MAX_MESSAGE_OCTETS), "octets"),
        (one_value(None, rows=0), "1 to 1000 rows"),
        (one_value(None, rows=1001), "1 to 1000 rows"),
    ],
)
def test_what_cannot_travel_is_refused_where_it_is_made(batch: Batch, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        encode_readings(batch)


@pytest.mark.parametrize(
    ("form", "cell"),
    [
        (Form.BOOLEAN, 2),
        (Form.BOOLEAN, "1"),
        (Form.OCTETS, "0"),
        (Form.OCTETS, "FF"),
        (Form.TEXT, 1),
        (Form.NULL, 0),
        (Form.MIXED, "n:1"),
        (Form.MIXED, "n:1E1001"),
        (Form.MIXED, "n:1.5E0"),
        (Form.MIXED, "b:2"),
        (Form.MIXED, "q:1"),
        (Form.MIXED, "t"),
        (Form.MIXED, 5),
        (Form.TIME, 5),
    ],
)
def test_a_cell_that_is_not_of_its_form_is_refused(form: Form, cell: Cell) -> None:
    with pytest.raises(DecodeError):
        read_column(form, None, [cell])
