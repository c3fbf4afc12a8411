"""What to ask, in which order, to read a set of data: generators without I/O.

A procedure yields requests and is sent their answers; a refusal is thrown in as PeerRefused, so
that a procedure can ask in another way where the meter cannot do the first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from gateway.dlms import axdr
from gateway.dlms.association.requests import (
    LISTS,
    Action,
    Answer,
    Get,
    GetList,
    Refused,
    Request,
    Set,
    SetList,
)
from gateway.dlms.classes import (
    CLOCK,
    CURRENT_ASSOCIATION,
    DISCONNECT_CONTROL,
    VALUE,
    ClassId,
    ClockAttribute,
    DisconnectMethod,
    ProfileAttribute,
)
from gateway.dlms.cosem_time import CosemDateTime, TimeRules, from_utc
from gateway.dlms.limits import Limits
from gateway.dlms.plan import Span, can_be_a_period
from gateway.dlms.rows import RawRow, decode_rows
from gateway.dlms.selective_access import (
    EntryDescriptor,
    RangeDescriptor,
    SelectiveAccess,
    clock_bound,
)
from gateway.dlms.values import (
    ScalerUnit,
    join_scalers,
    missing_scalers,
    read_capture_objects,
    read_scaler_unit,
)
from gateway.errors import DecodeError, PeerRefused
from gateway.model import CaptureList, CaptureObject, Obis

T = TypeVar("T")
_Item = TypeVar("_Item", Get, Set)
Procedure = Generator[Request, Answer, T]
"""Yields requests, is sent their answers (or thrown PeerRefused), returns its result."""


_OBJECT_LIST: Final = 2
_NAME_OCTETS: Final = 6
LIST_ITEMS: Final = 10
"""Attributes in one list: request and answer of ten scalers fit into any meter's PDU."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """Rows of a profile buffer as received, with the evidence of the answer that ended them."""

    rows: tuple[RawRow, ...]
    server_system_title: bytes | None
    invocation_counter: int | None


def one_by_one(procedure: Procedure[T]) -> Procedure[T]:
    """The same procedure for a meter that takes no lists: their items are asked for singly."""
    try:
        request = next(procedure)
        while True:
            try:
                answer = yield from _single_requests(request)
            except PeerRefused as refusal:
                request = procedure.throw(refusal)
            else:
                request = procedure.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        procedure.close()


def _single_requests(request: Request) -> Procedure[Answer]:
    if not isinstance(request, LISTS):
        return (yield request)
    items: list[bytes | Refused] = []
    answer = Answer(b"")
    for item in request.items:
        try:
            answer = yield item
            items.append(answer.data)
        except PeerRefused as refusal:
            items.append(Refused(refusal.service, refusal.reason))
    return replace(answer, data=b"", items=tuple(items))


def read_many(wanted: Sequence[Get]) -> Procedure[tuple[axdr.Data | PeerRefused, ...]]:
    """Several attributes, decoded, each or the meter's refusal of it.

    Raises DecodeError for octets that are no value. A meter that refuses lists as such, in spite of
    what was agreed, is asked one by one.
    """
    found = yield from _in_lists(wanted, GetList)
    return tuple(axdr.decode(one) if isinstance(one, bytes) else _refusal(one) for one in found)


def write_many(wanted: Sequence[Set]) -> Procedure[tuple[PeerRefused | None, ...]]:
    """Several attributes written in their order, each: None, or the meter's refusal of it.

    A meter that refuses lists as such is asked one by one: a write that was done and is done again
    changes nothing. Methods have no such procedure, because to invoke one again may.
    """
    found = yield from _in_lists(wanted, SetList)
    return tuple(_refusal(one) if isinstance(one, Refused) else None for one in found)


def _in_lists(
    wanted: Sequence[_Item], listed: Callable[[tuple[_Item, ...]], Request]
) -> Procedure[list[bytes | Refused]]:
    found: list[bytes | Refused] = []
    for start in range(0, len(wanted), LIST_ITEMS):
        request = listed(tuple(wanted[start : start + LIST_ITEMS]))
        try:
            answer = yield request
        except PeerRefused:
            answer = yield from _single_requests(request)
        found += answer.items
    return found


def _refusal(refused: Refused) -> PeerRefused:
    return PeerRefused(refused.service, refused.reason)


def read_data(class_id: int, obis: Obis, attribute: int) -> Procedure[axdr.Data]:
    """One attribute, decoded."""
    answer = yield Get(class_id, obis, attribute)
    return axdr.decode(answer.data)


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object that an association shows."""

    class_id: int
    version: int
    obis: Obis


def read_object_list() -> Procedure[tuple[ListedObject, ...]]:
    """What the current association shows (Blue Book class 15, attribute 2), in its order.

    Raises DecodeError for a list of any other shape.
    """
    data = yield from read_data(ClassId.ASSOCIATION_LN, CURRENT_ASSOCIATION, _OBJECT_LIST)
    return tuple(_listed(entry) for entry in _members(data, "the object list"))


def _listed(entry: axdr.Data) -> ListedObject:
    match [member.value for member in _members(entry, "an entry of the object list")]:
        case [int(class_id), int(version), bytes(name), *_] if len(name) == _NAME_OCTETS:
            return ListedObject(class_id, version, Obis(name))
        case _:
            raise DecodeError("an entry of the object list is not {class, version, name, ...}")


def _members(data: axdr.Data, what: str) -> tuple[axdr.Data, ...]:
    if not isinstance(data.value, tuple):
        raise DecodeError(f"{what} is not an array or structure")
    return data.value


def read_clock() -> Procedure[CosemDateTime]:
    """The meter's clock (0-0:1.0.0*255). Raises DecodeError for anything but a date-time."""
    data = yield from read_data(ClassId.CLOCK, CLOCK, ClockAttribute.TIME)
    if not isinstance(data.value, bytes):
        raise DecodeError("the clock is not an octet-string")
    return CosemDateTime.from_octets(data.value)


def read_counter(obis: Obis) -> Procedure[int]:
    """An invocation counter object (class 1). Raises DecodeError if it is no number."""
    data = yield from read_data(ClassId.DATA, obis, VALUE)
    if isinstance(data.value, bool) or not isinstance(data.value, int):
        raise DecodeError(f"invocation counter {obis} is not a number")
    return data.value


def read_capture_list(profile: Obis, scaler_profile: Obis | None) -> Procedure[CaptureList]:
    """The columns of a profile with their scalers.

    Scalers come from the scaler profile in two requests; what it leaves out, or all of it where the
    meter refuses it, is read from the registers themselves.
    """
    sources = yield from read_columns(profile)
    scalers: dict[CaptureObject, ScalerUnit] = {}
    if scaler_profile is not None:
        try:
            scalers = yield from _read_scaler_profile(scaler_profile)
        except (PeerRefused, DecodeError):
            scalers = {}
    wanted = list(missing_scalers(join_scalers(sources, scalers)))
    found = yield from read_many([Get(w.class_id, w.obis, w.attribute) for w in wanted])
    for source, data in zip(wanted, found, strict=True):
        # Some "registers" hold a date, or are not in the association's view. A number in such a
        # column is refused when a row is converted; anything else needs no scaler.
        if not isinstance(data, PeerRefused):
            with suppress(DecodeError):
                scalers[source] = read_scaler_unit(data)
    return join_scalers(sources, scalers)


def read_capture_period(profile: Obis, default_s: int) -> Procedure[int]:
    """Seconds between two rows as the meter states them, ``default_s`` where it states none.

    What divides no day is no period (IS 15959: 900, 1800, 3600 or 86400).
    """
    try:
        data = yield from read_data(
            ClassId.PROFILE_GENERIC, profile, ProfileAttribute.CAPTURE_PERIOD
        )
    except PeerRefused:
        return default_s
    stated_s = data.value
    return stated_s if isinstance(stated_s, int) and can_be_a_period(stated_s) else default_s


def read_columns(profile: Obis) -> Procedure[tuple[CaptureObject, ...]]:
    """What a profile captures (class 7 attribute 3), without scalers."""
    data = yield from read_data(ClassId.PROFILE_GENERIC, profile, ProfileAttribute.CAPTURE_OBJECTS)
    return read_capture_objects(data)


def _read_scaler_profile(profile: Obis) -> Procedure[dict[CaptureObject, ScalerUnit]]:
    sources = yield from read_columns(profile)
    data = yield from read_data(ClassId.PROFILE_GENERIC, profile, ProfileAttribute.BUFFER)
    if not isinstance(data.value, tuple) or len(data.value) != 1:
        raise DecodeError(f"scaler profile {profile} does not hold exactly one row")
    row = data.value[0].value
    if not isinstance(row, tuple) or len(row) != len(sources):
        raise DecodeError(f"scaler profile {profile}: row and columns differ in number")
    return {
        CaptureObject(s.class_id, s.obis, s.attribute): read_scaler_unit(cell)
        for s, cell in zip(sources, row, strict=True)
    }


def read_buffer(
    profile: Obis,
    access: SelectiveAccess | None,
    limits: Limits,
    *,
    ignore_trailing: bool = False,
) -> Procedure[Buffer]:
    """Rows of a profile buffer, all of them or as selected."""
    answer = yield Get(ClassId.PROFILE_GENERIC, profile, ProfileAttribute.BUFFER, access)
    rows = decode_rows(answer.data, limits=limits, ignore_trailing=ignore_trailing)
    return Buffer(tuple(rows), answer.server_system_title, answer.invocation_counter)


def range_of(span: Span, rules: TimeRules, *, without_deviation: bool = False) -> RangeDescriptor:
    """Selective access by range on the clock, bounds as the meter writes its times."""
    bounds = (from_utc(span.from_s, rules), from_utc(span.to_s, rules))
    if without_deviation:
        bounds = (bounds[0].without_deviation, bounds[1].without_deviation)
    low, high = (clock_bound(bound.to_octets()) for bound in bounds)
    return RangeDescriptor(from_value=low, to_value=high)


def newest_entries(entries_in_use: int, wanted: int) -> EntryDescriptor:
    """Selective access by entry for the ``wanted`` newest rows (entries count from 1)."""
    first = max(1, entries_in_use - wanted + 1)
    return EntryDescriptor(from_entry=first, to_entry=0)


def drive_relay(method: DisconnectMethod) -> Procedure[None]:
    """Invoke a disconnect control method. That it succeeded does not mean a contact moved."""
    yield Action(ClassId.DISCONNECT_CONTROL, DISCONNECT_CONTROL, method, b"\x0f\x00")
