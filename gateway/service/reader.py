"""Reading on demand: one meter, one session, a set of data or a single object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

import structlog

from gateway.dlms import axdr
from gateway.dlms.association.requests import Get
from gateway.dlms.classes import VALUE, ClassId, scaler_source
from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.limits import Limits
from gateway.dlms.plan import Span
from gateway.dlms.reading import (
    Procedure,
    range_of,
    read_buffer,
    read_capture_list,
    read_capture_period,
    read_data,
)
from gateway.dlms.values import read_scaler_unit, to_rows, to_value
from gateway.errors import PeerRefused, SecurityError, UsageError
from gateway.model import (
    DATA_TYPE_NAMES,
    CaptureList,
    CaptureObject,
    Column,
    Evidence,
    Obis,
    ProfileKind,
    Row,
    Value,
)
from gateway.profile import Access, FirmwareProfile, ProfileGeneric, Quirk, Stamp
from gateway.service.clock import Clock
from gateway.service.core_settings import stamped_before_s, time_rules
from gateway.service.sessions import MeterAccess, SessionMaker, unreadable
from gateway.session import Session
from gateway.transport.port import Transport

log = structlog.get_logger()

T = TypeVar("T")

Plain: TypeAlias = "Value | list[Plain]"
"""A value, or the members of a structure or array."""


@dataclass(frozen=True, slots=True)
class ReadSet:
    """Rows of one buffer as read, ready to be printed or stored."""

    generic: ProfileGeneric
    capture_list: CaptureList
    rows: tuple[Row, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ReadObject:
    """One attribute: its exact value, and scaler and unit where it has them."""

    column: Column
    value: Value | list[Plain]
    raw: bytes
    evidence: Evidence


_CLASSES_TRIED: Final = (
    ClassId.REGISTER,
    ClassId.DATA,
    ClassId.EXTENDED_REGISTER,
    ClassId.DEMAND_REGISTER,
    ClassId.CLOCK,
    ClassId.PROFILE_GENERIC,
    ClassId.DISCONNECT_CONTROL,
    ClassId.LIMITER,
    ClassId.ASSOCIATION_LN,
    ClassId.SAP_ASSIGNMENT,
    ClassId.SECURITY_SETUP,
)
"""Tried in this order for an object that the profile does not name."""
_WRONG_CLASS: Final = ("object-class-inconsistent", "object-undefined", "read-write-denied")
"""Refusals after which another class may be right; the later ones tell more of the object."""


class OnDemandReader:
    """Opens one session with a meter and reads what is asked."""

    def __init__(
        self, access: MeterAccess, association: str, sessions: SessionMaker, clock: Clock
    ) -> None:
        self._access = access
        self._association = association
        self._sessions = sessions
        self._clock = clock
        self._session: Session | None = None

    async def open(self, transport: Transport) -> None:
        """Associate; raises what a session's opening raises.

        A meter that cannot read what our keys protected has other keys, or has seen our counters:
        that is a SecurityError here, as the person who gave the keys can mend it.
        """
        await transport.flush()
        try:
            self._session = await self._sessions.associate(
                self._access, self._association, transport
            )
        except PeerRefused as refusal:
            if not unreadable(refusal):
                raise
            raise SecurityError(
                f"{refusal}: the meter has other keys (guek, gak), another security policy,"
                " or has seen higher counters from this client"
            ) from None

    async def close(self) -> None:
        """Leave, and remember the meter's counter."""
        if self._session is not None:
            await self._sessions.leave(self._access, self._association, self._session)

    async def run(self, procedure: Procedure[T]) -> T:
        """Run a procedure within the session; raises as it does."""
        if self._session is None:
            raise UsageError("the session is not open")
        return await self._session.run(procedure)

    async def read_set(self, kind: ProfileKind, span: Span | None) -> list[ReadSet]:
        """Every buffer of the set (events: each log), restricted to ``span`` where given."""
        generics = [g for g in self._profile.profile_generics if g.kind is kind]
        if not generics:
            self._profile.profile_generic(kind)
        found: list[ReadSet] = []
        refusals: list[PeerRefused] = []
        for generic in generics:
            try:
                with _refused_as(f"{generic.label} ({generic.obis})"):
                    found.append(await self._read_generic(generic, span))
            except PeerRefused as refusal:
                refusals.append(refusal)
        if refusals and not found:
            raise refusals[0]
        for one in refusals:
            # One event log that a meter has not costs the others nothing.
            log.warning("buffer not read", reason=str(one))
        return found

    async def read_object(self, obis: Obis, attribute: int | None) -> ReadObject:
        """One attribute of one object; its class is looked up in the profile, else tried."""
        known = [
            entry
            for entry in (
                *self._profile.objects,
                *(c for g in self._profile.profile_generics for c in g.columns),
            )
            if entry.obis == obis
        ]
        classes: Sequence[int] = [known[0].class_id] if known else _CLASSES_TRIED
        wanted = attribute if attribute is not None else VALUE
        refusals: list[str] = []
        with _refused_as(f"{obis} attribute {wanted}"):
            for class_id in classes:
                try:
                    return await self._read_attribute(CaptureObject(class_id, obis, wanted))
                except PeerRefused as error:
                    if error.reason not in _WRONG_CLASS:
                        raise
                    refusals.append(error.reason)
            raise PeerRefused("GET", max(refusals, key=_WRONG_CLASS.index))

    @property
    def _profile(self) -> FirmwareProfile:
        return self._access.profile

    def _evidence(self, title: bytes | None, counter: int | None) -> Evidence:
        return Evidence(self._clock.now_us(), title, counter)

    async def _read_generic(self, generic: ProfileGeneric, span: Span | None) -> ReadSet:
        if self._session is None:
            raise UsageError("the session is not open")
        rules = time_rules(self._profile)
        captures = await self._session.run(read_capture_list(generic.obis, generic.scaler_profile))
        period_s = generic.cadence_s or 0
        if generic.stamp is Stamp.START:
            period_s = await self._session.run(read_capture_period(generic.obis, period_s))
        before_s = stamped_before_s(generic, period_s)
        selected = None
        if span is not None and generic.access is Access.RANGE:
            bare = Quirk.RANGE_WITHOUT_DEVIATION in self._profile.quirks
            selected = range_of(span.earlier(before_s), rules, without_deviation=bare)
        buffer = await self._session.run(
            read_buffer(
                generic.obis,
                selected,
                Limits(),
                ignore_trailing=Quirk.TRAILING_OCTETS in self._profile.quirks,
            )
        )
        evidence = self._evidence(buffer.server_system_title, buffer.invocation_counter)
        rows, typed = to_rows(
            buffer.rows,
            captures,
            rules,
            period_s=period_s,
            received_at_s=evidence.received_at_us // 1_000_000,
            stamped_before_s=before_s,
            unscaled=generic.unlisted,
        )
        if span is not None and selected is None:
            rows = tuple(r for r in rows if span.from_s <= r.captured_at_s <= span.to_s)
        return ReadSet(generic, typed, rows, evidence)

    async def _read_attribute(self, source: CaptureObject) -> ReadObject:
        if self._session is None:
            raise UsageError("the session is not open")
        answer = await self._session.request(Get(source.class_id, source.obis, source.attribute))
        data = axdr.decode(answer.data)
        scaler_of = scaler_source(source)
        column = Column(source)
        if scaler_of is not None:
            found = await self._session.run(
                read_data(scaler_of.class_id, scaler_of.obis, scaler_of.attribute)
            )
            column = Column(source, *read_scaler_unit(found))
        column = replace(column, type_name=DATA_TYPE_NAMES.get(data.tag, str(data.tag)))
        evidence = self._evidence(answer.server_system_title, answer.invocation_counter)
        value = _plain(data, column, time_rules(self._profile))
        return ReadObject(column, value, answer.data, evidence)


def _plain(data: axdr.Data, column: Column, rules: TimeRules) -> Plain:
    """A value; of a structure or array the values of its members, which no scaler belongs to."""
    if not isinstance(data.value, tuple):
        return to_value(data.value, data.tag, column, rules)
    member = Column(CaptureObject(ClassId.DATA, column.source.obis, VALUE))
    return [_plain(one, member, rules) for one in data.value]


@contextmanager
def _refused_as(what: str) -> Iterator[None]:
    """A refusal inside says what was asked for."""
    try:
        yield
    except PeerRefused as error:
        raise PeerRefused(f"{error.service} of {what}", error.reason) from None


def parse_time(text: str, zone_s: int) -> int:
    """ISO 8601 to UTC seconds; without an offset it is the meter's local time.

    Raises UsageError.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"not a time: {text!r} (write 2026-11-23T00:00 or +05:30)") from None
    if when.tzinfo is None:
        return int(when.replace(tzinfo=UTC).timestamp()) - zone_s
    return int(when.timestamp())
