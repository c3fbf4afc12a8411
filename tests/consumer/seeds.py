"""Readings as a gateway sends them: rows of the columns that real meters have."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from gateway.model import (
    Account,
    Batch,
    CaptureList,
    CaptureObject,
    Column,
    ConnectionNo,
    Evidence,
    Installation,
    Instant,
    MeterId,
    Obis,
    ProfileKind,
    Row,
    TimeQuality,
    Value,
)
from gateway.uplink import topics
from gateway.uplink.message import Header, encode_readings, with_header
from gateway.uplink.port import Received

GATEWAY = "gw-kanpur-1"
EPOCH = "00112233445566aa"
METER = MeterId("SA1231166")
CONNECTION = ConnectionNo("4501234567")
DAY_S = 86_400
MIDNIGHT_S = 1_789_583_400
"""2026-09-17 00:00 at Asia/Kolkata, which is 18:30 UTC of the day before."""

NOW_S = MIDNIGHT_S + 19 * 3600 + 42 * 60
ACCESS_CODE = "a code of the office"


def column(
    text: str, class_id: int = 3, scaler: int | None = 0, unit: int | None = 30, attribute: int = 2
) -> Column:
    return Column(CaptureObject(class_id, Obis.parse(text), attribute), scaler, unit)


CLOCK = column("0-0:1.0.0*255", 8, None, None)
DAILY = CaptureList(
    (
        CLOCK,
        column("1-0:1.8.0*255", scaler=1),
        column("1-0:9.8.0*255", scaler=1, unit=31),
        column("1-0:2.8.0*255", scaler=1),
        column("1-0:10.8.0*255", scaler=1, unit=31),
    )
)
BLOCK = CaptureList(
    (
        CLOCK,
        column("1-0:12.27.0*255", scaler=-2, unit=35),
        column("1-0:1.29.0*255"),
        column("1-0:9.29.0*255", unit=31),
        column("1-0:2.29.0*255"),
        column("1-0:10.29.0*255", unit=31),
        column("1-0:11.27.0*255", scaler=-2, unit=33),
        column("1-0:91.27.0*255", scaler=-2, unit=33),
    )
)
BLOCK_THREE_PHASE = CaptureList(
    (
        CLOCK,
        *(column(f"1-0:{c}.27.0*255", scaler=-2, unit=33) for c in (31, 51, 71)),
        *(column(f"1-0:{c}.27.0*255", scaler=-1, unit=35) for c in (32, 52, 72)),
        column("1-0:1.29.0*255"),
    )
)
INSTANTANEOUS = CaptureList(
    (
        CLOCK,
        column("1-0:12.7.0*255", scaler=-2, unit=35),
        column("1-0:11.7.0*255", scaler=-2, unit=33),
        column("1-0:91.7.0*255", scaler=-2, unit=33),
        column("1-0:13.7.0*255", scaler=-3, unit=255),
        column("1-0:14.7.0*255", scaler=-1, unit=44),
        column("1-0:9.7.0*255", unit=28),
        column("1-0:1.7.0*255", unit=27),
        column("1-0:1.8.0*255", scaler=1),
        column("1-0:1.6.0*255", 4, 0, 27),
        column("1-0:1.6.0*255", 4, None, None, attribute=5),
        column("0-0:96.3.10*255", 70, None, None),
    )
)


def row(at_s: int, values: Sequence[Value], quality: TimeQuality = TimeQuality.OK) -> Row:
    clock = Instant(at_s, f"local {at_s}", quality)
    octets = repr((at_s, values)).encode()
    return Row(at_s, (clock, *values), octets, quality)


def daily_row(at_s: int, wh: str, quality: TimeQuality = TimeQuality.OK) -> Row:
    return row(at_s, (Decimal(wh), Decimal(wh) + 70, Decimal(0), Decimal(0)), quality)


def block_row(end_s: int, wh: str, volts: str = "231.07", amperes: str = "1.32") -> Row:
    values = (volts, wh, wh, "0", "0", amperes, amperes)
    return row(end_s, tuple(Decimal(value) for value in values))


def snapshot_row(at_s: int, wh: str, watts: str = "612", connected: bool = True) -> Row:
    numbers = ("229.99", "2.70", "2.71", "0.985", "50.0", "621", watts, wh, "2140")
    demand_time = Instant(at_s - DAY_S, "local", TimeQuality.OK)
    return row(at_s, (*(Decimal(number) for number in numbers), demand_time, connected))


def batch(
    profile: ProfileKind,
    columns: CaptureList,
    rows: Iterable[Row],
    meter: MeterId = METER,
) -> Batch:
    evidence = Evidence(MIDNIGHT_S * 1_000_000 + 123_456, bytes.fromhex("5341310000000001"), 4711)
    return Batch(meter, profile, columns, tuple(rows), evidence)


def delivery(sequence: int, of: Batch, *, gateway: str = GATEWAY, epoch: str = EPOCH) -> Received:
    header = Header(gateway, "readings", epoch, sequence)
    topic = topics.readings(gateway, of.meter, of.profile)
    return Received(topic, with_header(encode_readings(of), header))


def daily(sequence: int, *rows: Row, meter: MeterId = METER) -> Received:
    return delivery(sequence, batch(ProfileKind.DAILY_LOAD, DAILY, rows, meter))


def account(
    connection: str = CONNECTION,
    installations: Iterable[tuple[str, int, int | None]] = ((METER, 0, None),),
    name: str = "Sushila Devi",
) -> Account:
    number = ConnectionNo(connection)
    return Account(
        connection=number,
        name=name,
        sanctioned_load_w=2000,
        phases=1,
        category="LMV-1",
        installations=tuple(
            Installation(number, MeterId(meter), from_s, to_s)
            for meter, from_s, to_s in installations
        ),
    )
