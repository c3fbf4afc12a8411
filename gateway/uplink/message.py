"""Readings as JSON messages, both directions: ``model.Batch`` <-> octets.

One message is one meter and one profile under one capture list. The body is made when the rows
are stored; its header (who, which stream, epoch and sequence) is put in front when it is sent,
so a store that got a new epoch sends old bodies under new numbers.

Each number column carries two exponents. ``scaler`` is the one of the integers in this message
(the smallest of the column, so no digit is lost); ``object_scaler`` is what the meter's
scaler_unit said (Blue Book class 3), needed to read the raw octets and part of the capture
list's digest. The reader recomputes that digest, and each row's digest where raw octets travel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from gateway.errors import DecodeError, LimitExceeded, UsageError
from gateway.model import (
    Batch,
    CaptureList,
    CaptureObject,
    Column,
    Evidence,
    MeterId,
    Obis,
    ProfileKind,
    Row,
    TimeQuality,
    Value,
    row_digest,
)
from gateway.uplink import wire
from gateway.uplink.cells import Cell, Form, WireColumn, read_column, read_hex, write_column
from gateway.uplink.topics import MAX_METER_OCTETS, Kind, Topic, checked_name

MAX_ROWS = 1000
MAX_COLUMNS = 256
MAX_SEQUENCE = 2**63 - 1
DIGEST_OCTETS = 16
EPOCH_OCTETS = 8
READINGS_SCHEMA: Final = "smg.readings/1"


@dataclass(frozen=True, slots=True)
class Header:
    """Identity of a message that the backend commits.

    ``stream`` is a store's file, ``epoch`` 16 hex digits made when that file was created or
    restored, ``sequence`` rises from 1 within the epoch.
    """

    gateway: str
    stream: str
    epoch: str
    sequence: int

    def __post_init__(self) -> None:
        checked_name("gateway", self.gateway)
        checked_name("stream", self.stream)
        checked_epoch(self.epoch)
        if not 1 <= self.sequence <= MAX_SEQUENCE:
            raise UsageError(f"sequence {self.sequence}: from 1 to 2**63 - 1")


def checked_epoch(epoch: str) -> str:
    """``epoch`` if it is 16 lower-case hex digits; UsageError otherwise."""
    try:
        read_hex(epoch, "epoch", EPOCH_OCTETS)
    except DecodeError as wrong:
        raise UsageError(str(wrong)) from wrong
    return epoch


@dataclass(frozen=True, slots=True)
class ReadingsMessage:
    """A readings message as received.

    ``digests`` has one 16-octet row identity per row of ``batch``; ``Row.raw`` is empty where the
    profile's raw octets stay at the edge.
    """

    header: Header
    batch: Batch
    digests: tuple[bytes, ...]


_Int8 = Annotated[int, msgspec.Meta(ge=-128, le=127)]
_Unsigned8 = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Unsigned16 = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_Unsigned32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
EpochSeconds = Annotated[int, msgspec.Meta(ge=-(2**40), le=2**40)]
_EpochMicroseconds = Annotated[int, msgspec.Meta(ge=0, le=2**60)]
_TypeName = Annotated[str, msgspec.Meta(max_length=32)]


class _Header(wire.Shape, frozen=True, kw_only=True):
    gateway: str
    stream: str
    epoch: str
    sequence: int


class _Column(wire.Shape, frozen=True, kw_only=True):
    obis: str
    class_id: _Unsigned16 = msgspec.field(name="class")
    attribute: _Int8
    data_index: _Unsigned16
    unit: _Unsigned8 | None
    object_scaler: _Int8 | None
    type: _TypeName
    form: Form
    scaler: int | None


class _Row(wire.Shape, frozen=True, kw_only=True, omit_defaults=True):
    captured_at_s: EpochSeconds
    digest: str
    time_quality: TimeQuality
    values: list[Cell]
    raw: bytes | None = None


class EvidenceShape(wire.Shape, frozen=True, kw_only=True):
    """Where octets came from, on the wire."""

    received_at_us: _EpochMicroseconds
    server_system_title: str | None
    invocation_counter: _Unsigned32 | None


class _Body(wire.Shape, frozen=True, kw_only=True):
    schema: Literal["smg.readings/1"]
    meter: str
    profile: ProfileKind
    capture_list: str
    columns: list[_Column]
    rows: list[_Row]
    evidence: EvidenceShape


class _Readings(_Body, frozen=True, kw_only=True):
    gateway: str
    stream: str
    epoch: str
    sequence: int


def carries_raw(profile: ProfileKind) -> bool:
    """Whether rows of this profile travel with their raw octets: what money is traced to."""
    return profile.is_register_row or profile is ProfileKind.NAMEPLATE


def encode_readings(batch: Batch) -> bytes:
    """Body of a readings message: JSON octets of an object without the header's fields.

    Raises UsageError for no rows, more than MAX_ROWS rows or MAX_COLUMNS columns, for a row that
    is not as wide as its capture list, and for numbers that are none; MessageTooLarge for rows
    whose octets leave no room for the header on the wire.
    """
    columns = batch.capture_list.columns
    if not 1 <= len(batch.rows) <= MAX_ROWS or not 1 <= len(columns) <= MAX_COLUMNS:
        raise UsageError(f"a batch has 1 to {MAX_ROWS} rows of 1 to {MAX_COLUMNS} columns")
    if any(len(row.values) != len(columns) for row in batch.rows):
        raise UsageError(f"every row has a value for each of its {len(columns)} columns")
    checked_meter(batch.meter)
    digest = batch.capture_list.digest
    written = [
        write_column([row.values[index] for row in batch.rows]) for index in range(len(columns))
    ]
    body = _Body(
        schema=READINGS_SCHEMA,
        meter=batch.meter,
        profile=batch.profile,
        capture_list=digest.hex(),
        columns=[_column(column, cells) for column, cells in zip(columns, written, strict=True)],
        rows=[
            _Row(
                captured_at_s=row.captured_at_s,
                digest=row_digest(digest, row.raw).hex(),
                time_quality=row.time_quality,
                values=[column.cells[index] for column in written],
                raw=row.raw if carries_raw(batch.profile) else None,
            )
            for index, row in enumerate(batch.rows)
        ],
        evidence=evidence_shape(batch.evidence),
    )
    return wire.encode(body, wire.MAX_BODY_OCTETS)


def with_header(body: bytes, header: Header) -> bytes:
    """The message to publish: the header's fields in front of the body's; no parsing."""
    if body[:1] != b"{" or len(body) < 3:
        raise UsageError("a message body is a JSON object with fields")
    fields = wire.encode(
        _Header(
            gateway=header.gateway,
            stream=header.stream,
            epoch=header.epoch,
            sequence=header.sequence,
        )
    )
    return fields[:-1] + b"," + body[1:]


def decode_header(octets: bytes) -> Header:
    """Only the header of any message that has one; the rest may be anything in valid JSON.

    So that a message nobody can read is still refused by number and does not wait for ever.
    """
    return _header(wire.decode(octets, _Header, "message header"))


def decode_readings(octets: bytes, topic: Topic | None = None) -> ReadingsMessage:
    """Read a readings message; with ``topic``, refuse one that speaks for another sender.

    Raises DecodeError (missing field, wrong type, float, digest that does not fit),
    LimitExceeded (octets, rows, columns).
    """
    shape = wire.decode(octets, _Readings, "readings message")
    if len(shape.rows) > MAX_ROWS or len(shape.columns) > MAX_COLUMNS:
        raise LimitExceeded(f"readings message: more than {MAX_ROWS} rows, {MAX_COLUMNS} columns")
    if not shape.rows or not shape.columns:
        raise DecodeError("readings message: no rows or no columns")
    header = _header(shape)
    try:
        meter = checked_meter(shape.meter)
    except UsageError as wrong:
        raise DecodeError(f"readings message: {wrong}") from wrong
    said = Topic(header.gateway, Kind.READINGS, meter=meter, profile=shape.profile)
    if topic is not None and topic != said:
        raise DecodeError("readings message: gateway, meter or profile is not its topic's")
    captures = _read_captures(shape)
    values = _read_values(shape)
    rows = tuple(
        Row(row.captured_at_s, cells, row.raw or b"", row.time_quality)
        for row, cells in zip(shape.rows, values, strict=True)
    )
    batch = Batch(meter, shape.profile, captures, rows, read_evidence(shape.evidence))
    return ReadingsMessage(header, batch, _read_digests(shape, captures.digest))


def checked_meter(meter: str) -> MeterId:
    """``meter`` if it can stand in a topic; UsageError otherwise."""
    try:
        octets = len(meter.encode())
    except UnicodeEncodeError as wrong:
        raise UsageError("meter number is not UTF-8") from wrong
    if not 1 <= octets <= MAX_METER_OCTETS:
        raise UsageError(f"meter number has 1 to {MAX_METER_OCTETS} octets")
    return MeterId(meter)


def _column(column: Column, written: WireColumn) -> _Column:
    source = column.source
    return _Column(
        obis=str(source.obis),
        class_id=source.class_id,
        attribute=source.attribute,
        data_index=source.data_index,
        unit=column.unit,
        object_scaler=column.scaler,
        type=column.type_name,
        form=written.form,
        scaler=written.scaler,
    )


def evidence_shape(evidence: Evidence) -> EvidenceShape:
    """Evidence as it travels."""
    title = evidence.server_system_title
    return EvidenceShape(
        received_at_us=evidence.received_at_us,
        server_system_title=None if title is None else title.hex(),
        invocation_counter=evidence.invocation_counter,
    )


def _header(shape: _Header | _Readings) -> Header:
    try:
        return Header(shape.gateway, shape.stream, shape.epoch, shape.sequence)
    except UsageError as wrong:
        raise DecodeError(f"message header: {wrong}") from wrong


def _read_captures(shape: _Readings) -> CaptureList:
    columns = []
    for index, column in enumerate(shape.columns):
        try:
            obis = Obis.parse(column.obis)
        except UsageError as wrong:
            raise DecodeError(f"column {index}: {wrong}") from wrong
        source = CaptureObject(column.class_id, obis, column.attribute, column.data_index)
        columns.append(Column(source, column.object_scaler, column.unit, column.type))
    captures = CaptureList(tuple(columns))
    if captures.digest != read_hex(shape.capture_list, "capture_list", DIGEST_OCTETS):
        raise DecodeError("capture_list is not the digest of the columns")
    return captures


def _read_values(shape: _Readings) -> list[tuple[Value, ...]]:
    width = len(shape.columns)
    for index, row in enumerate(shape.rows):
        if len(row.values) != width:
            raise DecodeError(f"row {index} has {len(row.values)} values for {width} columns")
    columns = []
    for index, column in enumerate(shape.columns):
        cells = [row.values[index] for row in shape.rows]
        try:
            columns.append(read_column(column.form, column.scaler, cells))
        except DecodeError as wrong:
            raise DecodeError(f"column {index} ({column.obis[:40]}): {wrong}") from wrong
    return list(zip(*columns, strict=True))


def _read_digests(shape: _Readings, captures: bytes) -> tuple[bytes, ...]:
    digests = []
    for index, row in enumerate(shape.rows):
        digest = read_hex(row.digest, f"row {index}: digest", DIGEST_OCTETS)
        if row.raw is None and carries_raw(shape.profile):
            raise DecodeError(f"row {index}: {shape.profile.value} rows carry raw octets")
        if row.raw is not None and digest != row_digest(captures, row.raw):
            raise DecodeError(f"row {index}: digest is not that of its raw octets")
        digests.append(digest)
    return tuple(digests)


def read_evidence(shape: EvidenceShape) -> Evidence:
    """Evidence as it travelled; raise DecodeError for a title that is none."""
    title = shape.server_system_title
    octets = None if title is None else read_hex(title, "server_system_title", 8)
    return Evidence(shape.received_at_us, octets, shape.invocation_counter)
