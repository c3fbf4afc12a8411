"""What the codec tests share: capture files, value trees, and one table of APDUs."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gateway.dlms import apdu, axdr
from gateway.dlms.apdu import (
    ActionOutcome,
    AttributeItem,
    Conformance,
    DataBlock,
    InvokeId,
    LongInvokeId,
    MethodItem,
)
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.selective_access import EntryDescriptor, OtherAccess, RangeDescriptor, clock_bound
from gateway.model import CaptureObject, Obis, Secret

CAPTURES = Path(__file__).resolve().parent.parent / "captures"
LLC = bytes.fromhex("E6E700")


def capture(name: str) -> dict[str, Any]:
    """One capture file; numbers with a point as Decimal."""
    text = (CAPTURES / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)


def frames(name: str) -> list[bytes]:
    """The APDUs of a capture, without LLC octets."""
    octets = [bytes.fromhex(frame) for frame in capture(name)["frames_hex"]]
    return [frame.removeprefix(LLC) for frame in octets]


# --- value trees ---------------------------------------------------------------------------


def _numbers(tag: int, low: int, high: int) -> st.SearchStrategy[Data]:
    return st.integers(low, high).map(lambda number: Data(tag, number))


def _octets(tag: int, count: int) -> st.SearchStrategy[Data]:
    return st.binary(min_size=count, max_size=count).map(lambda octets: Data(tag, octets))


latin_text = st.text(st.characters(max_codepoint=255), max_size=140)
scalars = st.one_of(
    st.just(Data(Tag.NULL, None)),
    st.just(Data(Tag.DONT_CARE, None)),
    st.booleans().map(lambda flag: Data(Tag.BOOLEAN, flag)),
    st.text("01", max_size=40).map(lambda bits: Data(Tag.BIT_STRING, bits)),
    _numbers(Tag.DOUBLE_LONG, -(2**31), 2**31 - 1),
    _numbers(Tag.DOUBLE_LONG_UNSIGNED, 0, 2**32 - 1),
    st.binary(max_size=300).map(lambda octets: Data(Tag.OCTET_STRING, octets)),
    latin_text.map(lambda text: Data(Tag.VISIBLE_STRING, text)),
    st.text(max_size=80).map(lambda text: Data(Tag.UTF8_STRING, text)),
    _numbers(Tag.BCD, 0, 255),
    _numbers(Tag.INTEGER, -128, 127),
    _numbers(Tag.LONG, -(2**15), 2**15 - 1),
    _numbers(Tag.UNSIGNED, 0, 255),
    _numbers(Tag.LONG_UNSIGNED, 0, 2**16 - 1),
    st.binary(max_size=200).map(
        lambda octets: Data(Tag.COMPACT_ARRAY, b"\x11" + axdr.encode(Data(9, octets))[1:])
    ),
    _numbers(Tag.LONG64, -(2**63), 2**63 - 1),
    _numbers(Tag.LONG64_UNSIGNED, 0, 2**64 - 1),
    _numbers(Tag.ENUM, 0, 255),
    _octets(Tag.FLOAT32, 4),
    _octets(Tag.FLOAT64, 8),
    _octets(Tag.DATE_TIME, 12),
    _octets(Tag.DATE, 5),
    _octets(Tag.TIME, 4),
    _numbers(Tag.DELTA_INTEGER, -128, 127),
    _numbers(Tag.DELTA_LONG, -(2**15), 2**15 - 1),
    _numbers(Tag.DELTA_DOUBLE_LONG, -(2**31), 2**31 - 1),
    _numbers(Tag.DELTA_UNSIGNED, 0, 255),
    _numbers(Tag.DELTA_LONG_UNSIGNED, 0, 2**16 - 1),
    _numbers(Tag.DELTA_DOUBLE_LONG_UNSIGNED, 0, 2**32 - 1),
)
trees = st.recursive(
    scalars,
    lambda inner: st.builds(
        Data,
        st.sampled_from([Tag.ARRAY, Tag.STRUCTURE]),
        st.lists(inner, max_size=6).map(tuple),
    ),
    max_leaves=20,
)

# --- APDUs ---------------------------------------------------------------------------------

CLOCK = Obis.parse("0-0:1.0.0*255")
BLOCK_LOAD = Obis.parse("1-0:99.1.0*255")
RELAY = Obis.parse("0-0:96.3.10*255")
TITLE = b"MMM\0\0\xbc\x61\x4e"
HIGH = InvokeId()
LOW = InvokeId(15, confirmed=False, high_priority=False)
PROPOSED = Conformance.GET | Conformance.SELECTIVE_ACCESS | Conformance.BLOCK_TRANSFER_WITH_GET
COLUMN = CaptureObject(3, Obis.parse("1-0:1.29.0*255"), 2)
FROM = clock_bound(bytes.fromhex("07E90717030000000001 4A00"))
TO = clock_bound(bytes.fromhex("07E90717FF173B3BFF800000"))

APDUS: list[tuple[Any, str]] = [
    (apdu.InitiateRequest(PROPOSED, 1200), "01 00 00 00 06 5F1F0400 001014 04B0"),
    (
        apdu.InitiateRequest(PROPOSED, 0xFFFF, Secret(bytes(16)), False, 3),
        "01 0110 00000000000000000000000000000000 0100 0103 06 5F1F0400 001014 FFFF",
    ),
    (apdu.InitiateResponse(PROPOSED, 500), "08 00 06 5F1F0400 001014 01F4 0007"),
    (apdu.InitiateResponse(PROPOSED, 500, 0), "08 0100 06 5F1F0400 001014 01F4 0007"),
    (apdu.ConfirmedServiceError(1, 6, 1), "0E 01 06 01"),
    (apdu.ExceptionResponse(1, 5), "D8 01 05"),
    (apdu.ExceptionResponse(2, 6, 15_450), "D8 02 06 00003C5A"),
    (
        apdu.DataNotification(LongInvokeId(475), b"", b"\x11\x05"),
        "0F 000001DB 00 1105",
    ),
    (
        apdu.DataNotification(
            LongInvokeId(1, True, True, True, True), bytes(range(12)), b"\x02\x01\x00"
        ),
        "0F F0000001 0C 000102030405060708090A0B 020100",
    ),
    (
        apdu.Aarq(apdu.ApplicationContext.LN, b"\x01"),
        "60 10 A109060760857405080101 BE03040101",
    ),
    (
        apdu.Aarq(3, b"\x21", apdu.Mechanism.HLS, Secret(b"challeng"), TITLE),
        (
            "60 35 A109060760857405080103 A60A04084D4D4D0000BC614E 8A020780"
            "8B0760857405080202 AC0A80086368616C6C656E67 BE03040121"
        ),
    ),
    (
        apdu.Aare(1, 0, 0, b"\x08"),
        "61 1C A109060760857405080101 A203020100 A305A103020100 BE03040108",
    ),
    (apdu.Aare(1, 0, 0), "61 17 A109060760857405080101 A203020100 A305A103020100"),
    (
        apdu.Aare(1, 2, 2, None, apdu.DiagnosticSource.ACSE_SERVICE_PROVIDER),
        "61 17 A109060760857405080101 A203020102 A305A203020102",
    ),
    (
        apdu.Aare(3, 0, 14, b"\x28", 1, apdu.Mechanism.HLS_GMAC, b"chal", TITLE),
        (
            "61 3D A109060760857405080103 A203020100 A305A10302010E A40A04084D4D4D0000BC614E"
            "88020780 890760857405080205 AA0680046368616C BE03040128"
        ),
    ),
    (apdu.Rlrq(), "62 03 800100"),
    (apdu.Rlrq(None), "62 00"),
    (apdu.Rlre(30, b"\x28"), "63 08 80011E BE03040128"),
    (
        apdu.GetRequestNormal(HIGH, 8, CLOCK, 2),
        "C0 01 C1 0008 0000010000FF 02 00",
    ),
    (
        apdu.GetRequestNormal(LOW, 7, BLOCK_LOAD, 2, EntryDescriptor(1, 96)),
        "C0 01 0F 0007 0100630100FF 02 01 02 0204 0600000001 0600000060 120001 120000",
    ),
    (
        apdu.GetRequestNormal(HIGH, 7, BLOCK_LOAD, 2, RangeDescriptor(FROM, TO, columns=(COLUMN,))),
        (
            "C0 01 C1 0007 0100630100FF 02 01 01 0204 0204 120008 09060000010000FF 0F02 120000"
            "090C 07E907170300000000014A00 090C 07E90717FF173B3BFF800000"
            "0101 0204 120003 09060100011D00FF 0F02 120000"
        ),
    ),
    (
        apdu.GetRequestNormal(HIGH, 15, CLOCK, -1, OtherAccess(2, Data(Tag.ARRAY, ()))),
        "C0 01 C1 000F 0000010000FF FF 01 02 0100",
    ),
    (apdu.GetRequestNext(HIGH, 3), "C0 02 C1 00000003"),
    (
        apdu.GetRequestWithList(
            HIGH,
            (
                apdu.AttributeItem(3, Obis.parse("1-0:1.8.0*255"), 2),
                apdu.AttributeItem(7, BLOCK_LOAD, 2, EntryDescriptor(1, 96)),
            ),
        ),
        (
            "C0 03 C1 02 0003 0100010800FF 02 00"
            "0007 0100630100FF 02 01 02 0204 0600000001 0600000060 120001 120000"
        ),
    ),
    (
        apdu.GetResponseWithList(HIGH, (b"\x06\0\0\x13\x91", 3, b"\x02\x01\x00")),
        "C4 03 C1 03 00 0600001391 01 03 00 020100",
    ),
    (apdu.GetResponseWithList(LOW, ()), "C4 03 0F 00"),
    (
        apdu.EventNotification(b"", 1, Obis.parse("0-0:94.91.18*255"), 2, b"\x04\x08\x80"),
        "C2 00 0001 00005E5B12FF 02 040880",
    ),
    (
        apdu.EventNotification(bytes(range(12)), 8, CLOCK, 2, b"\x00"),
        "C2 01 0C 000102030405060708090A0B 0008 0000010000FF 02 00",
    ),
    (apdu.GetResponseNormal(HIGH, b"\x06\0\0\x13\x91"), "C4 01 C1 00 0600001391"),
    (apdu.GetResponseNormal(HIGH, error=3), "C4 01 C1 01 03"),
    (apdu.GetResponseWithDatablock(HIGH, False, 1, b"\x01\x05"), "C4 02 C1 00 00000001 00 02 0105"),
    (apdu.GetResponseWithDatablock(HIGH, True, 9, error=1), "C4 02 C1 01 00000009 01 01"),
    (
        apdu.SetRequestNormal(HIGH, 8, CLOCK, 2, b"\x09\x01\xaa"),
        "C1 01 C1 0008 0000010000FF 02 00 0901AA",
    ),
    (
        apdu.SetRequestNormal(HIGH, 7, BLOCK_LOAD, 2, b"\x00", EntryDescriptor(1, 2, 3, 4)),
        "C1 01 C1 0007 0100630100FF 02 01 02 0204 0600000001 0600000002 120003 120004 00",
    ),
    (apdu.SetResponseNormal(HIGH, 0), "C5 01 C1 00"),
    (apdu.SetResponseNormal(HIGH, 77), "C5 01 C1 4D"),
    (
        apdu.ActionRequestNormal(HIGH, 70, RELAY, 1, b"\x0f\x00"),
        "C3 01 C1 0046 000060030AFF 01 01 0F00",
    ),
    (
        apdu.ActionRequestNormal(HIGH, 70, RELAY, 2),
        "C3 01 C1 0046 000060030AFF 02 00",
    ),
    (apdu.ActionResponseNormal(HIGH, 0), "C7 01 C1 00 00"),
    (apdu.ActionResponseNormal(HIGH, 0, b"\x09\x01\xaa"), "C7 01 C1 00 01 00 0901AA"),
    (apdu.ActionResponseNormal(HIGH, 1, error=250), "C7 01 C1 01 01 01 FA"),
    (
        apdu.SetRequestFirstBlock(
            HIGH, AttributeItem(8, CLOCK, 2), DataBlock(False, 1, b"\x09\x01")
        ),
        "C1 02 C1 0008 0000010000FF 02 00 00 00000001 02 0901",
    ),
    (
        apdu.SetRequestFirstBlock(
            HIGH, AttributeItem(7, BLOCK_LOAD, 2, EntryDescriptor(1, 2)), DataBlock(True, 1, b"")
        ),
        (
            "C1 02 C1 0007 0100630100FF 02 01 02 0204 0600000001 0600000002 120001 120000"
            "01 00000001 00"
        ),
    ),
    (apdu.SetRequestBlock(HIGH, DataBlock(True, 2, b"\xaa")), "C1 03 C1 01 00000002 01 AA"),
    (
        apdu.SetRequestWithList(
            HIGH,
            (AttributeItem(8, CLOCK, 2), AttributeItem(8, CLOCK, 3)),
            (b"\x09\x01\xaa", b"\x10\x00\x00"),
        ),
        "C1 04 C1 02 0008 0000010000FF 02 00 0008 0000010000FF 03 00 02 0901AA 100000",
    ),
    (apdu.SetRequestWithList(HIGH, (), ()), "C1 04 C1 00 00"),
    (
        apdu.SetRequestListFirstBlock(
            HIGH, (AttributeItem(8, CLOCK, 2),), DataBlock(False, 1, b"\x01\x09")
        ),
        "C1 05 C1 01 0008 0000010000FF 02 00 00 00000001 02 0109",
    ),
    (apdu.SetResponseBlock(HIGH, 1), "C5 02 C1 00000001"),
    (apdu.SetResponseLastBlock(HIGH, 3, 2), "C5 03 C1 03 00000002"),
    (apdu.SetResponseListLastBlock(HIGH, (0, 3), 2), "C5 04 C1 02 00 03 00000002"),
    (apdu.SetResponseWithList(HIGH, (0, 12)), "C5 05 C1 02 00 0C"),
    (apdu.ActionRequestNextBlock(HIGH, 3), "C3 02 C1 00000003"),
    (
        apdu.ActionRequestWithList(
            HIGH, (MethodItem(70, RELAY, 1), MethodItem(70, RELAY, 2)), (b"\x0f\x00", b"\x00")
        ),
        "C3 03 C1 02 0046 000060030AFF 01 0046 000060030AFF 02 02 0F00 00",
    ),
    (
        apdu.ActionRequestFirstBlock(HIGH, MethodItem(70, RELAY, 1), DataBlock(False, 1, b"\x0f")),
        "C3 04 C1 0046 000060030AFF 01 00 00000001 01 0F",
    ),
    (
        apdu.ActionRequestListFirstBlock(
            HIGH, (MethodItem(70, RELAY, 1),), DataBlock(False, 1, b"\x01\x0f")
        ),
        "C3 05 C1 01 0046 000060030AFF 01 00 00000001 02 010F",
    ),
    (apdu.ActionRequestBlock(HIGH, DataBlock(True, 2, b"\x00")), "C3 06 C1 01 00000002 01 00"),
    (apdu.ActionResponseBlock(HIGH, DataBlock(True, 1, b"\x00")), "C7 02 C1 01 00000001 01 00"),
    (
        apdu.ActionResponseWithList(
            HIGH,
            (
                ActionOutcome(0),
                ActionOutcome(0, b"\x09\x01\xaa"),
                ActionOutcome(3),
                ActionOutcome(1, error=250),
            ),
        ),
        "C7 03 C1 04 00 00 00 01 00 0901AA 03 00 01 01 01 FA",
    ),
    (apdu.ActionResponseNextBlock(HIGH, 1), "C7 04 C1 00000001"),
    (apdu.CipheredApdu(0xC8, None, 0x30, 7, b"body"), "C8 09 30 00000007 626F6479"),
    (
        apdu.CipheredApdu(0xDB, TITLE, 0x10, 0xFFFFFFFF, b""),
        "DB 08 4D4D4D0000BC614E 05 10 FFFFFFFF",
    ),
    (apdu.CipheredApdu(0xDB, b"", 0x20, 1, bytes(130)), "DB 00 8187 20 00000001" + "00" * 130),
    # Block-control, most significant bit first: last, streaming, six bits of window.
    (apdu.GeneralBlockTransfer(False, True, 5, 2, 1, b"\xc4\x01"), "E0 45 0002 0001 02 C401"),
    (apdu.GeneralBlockTransfer(True, False, 63, 0xFFFF, 0, b""), "E0 BF FFFF 0000 00"),
    (
        apdu.GeneralBlockTransfer(False, False, 0, 1, 0xFFFF, bytes(200)),
        "E0 00 0001 FFFF 81C8" + "00" * 200,
    ),
    (apdu.CipheredApdu(0xD0, None, 0x30, 7, b"body"), "D0 09 30 00000007 626F6479"),
    (
        apdu.CipheredApdu(0xDC, TITLE, 0x30, 1, b"x"),
        "DC 08 4D4D4D0000BC614E 06 30 00000001 78",
    ),
]
"""Each APDU with its octets: both directions are tested from this one table."""


def decode_whole(octets: bytes) -> tuple[Any, list[Data]]:
    """An APDU and the values in it, as a user of the codec reads them."""
    found = apdu.decode_apdu(octets, tagged_date_time=True)
    values: list[Data] = []
    information = getattr(found, "user_information", None)
    if information:
        apdu.decode_apdu(information)
    block = isinstance(found, (apdu.GetResponseWithDatablock, apdu.GeneralBlockTransfer))
    if not block and (data := getattr(found, "data", None)) is not None:
        values.append(axdr.decode(data))
    return found, values
