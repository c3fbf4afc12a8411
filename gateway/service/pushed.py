"""What becomes of a believed message: rows of a buffer, named events, or evidence that is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

import structlog

from gateway.dlms import axdr
from gateway.dlms.apdu import DataNotification, EventNotification
from gateway.dlms.cosem_time import CosemDateTime, resolve
from gateway.dlms.plan import DAY_S
from gateway.dlms.push import Part, PushBody, read_body, rows_of, status_word
from gateway.dlms.values import to_rows
from gateway.errors import DecodeError, MeterChanged
from gateway.events import EventKind, EventSource, MeterEvent
from gateway.model import Batch, Evidence, Obis, ProfileKind, Row, TimeQuality
from gateway.profile import FirmwareProfile, PushKind, event_of_code, status_changes
from gateway.service.clock import Clock
from gateway.service.core_settings import time_rules
from gateway.service.events import EVENT_CODE, messages_of
from gateway.service.sessions import MeterAccess
from gateway.store.outbox import NewMessage
from gateway.store.pushes import PushedMessage
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor
from gateway.uplink.message import encode_readings
from gateway.uplink.outbox import Lane

log = structlog.get_logger()

STATUS_WORD: Final = "event_status_word"
"""What firmware profiles call the object of the event status word."""


class Pushed(Enum):
    """What a message became."""

    ROWS = "rows"
    EVENTS = "events"
    EVIDENCE = "evidence"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class _When:
    """When something happened: by the meter's clock, or by the reception."""

    at_s: int
    quality: TimeQuality
    by_meter: bool


@dataclass(kw_only=True)
class PushKeeper:
    """Stores what is pushed, with its evidence, and tells what it means."""

    readings: StoreDoor[ReadingsStore]
    clock: Clock
    stored: Callable[[Lane, int], None]

    async def keep(
        self, access: MeterAccess, apdu: DataNotification | EventNotification, evidence: Evidence
    ) -> Pushed:
        """Store a message once. Raises DecodeError for one without a body, StoreError."""
        if isinstance(apdu, EventNotification):
            return await self._keep_event(access, apdu, evidence)
        body = read_body(apdu.data)
        kind = _kind(access.profile, body.setup)
        if kind is not None and kind.rows is not None:
            batch = await self._rows(access, kind.rows, body, evidence)
            if batch is not None:
                return await self._keep_rows(batch)
        word = status_word(body.payload) if kind is PushKind.ALERT else None
        when = self._when(access, body.clock_octets or apdu.date_time, evidence)
        message = PushedMessage(access.meter, str(body.setup or ""), apdu.data, evidence)
        return await self._keep_message(access, message, when, word)

    async def _keep_event(
        self, access: MeterAccess, apdu: EventNotification, evidence: Evidence
    ) -> Pushed:
        """One attribute: the status word, the newest code of a log, or anything else."""
        profile = access.profile
        value = axdr.decode(apdu.data)
        when = self._when(access, apdu.date_time, evidence)
        # The same octets at another time are another message.
        raw = apdu.encode()
        message = PushedMessage(access.meter, str(apdu.obis), raw, evidence)
        words = [entry.obis for entry in profile.objects if entry.name == STATUS_WORD]
        if apdu.obis in words:
            word = status_word((Part(value, apdu.data),))
            return await self._keep_message(access, message, when, word)
        log_name = _log_of(profile, apdu.obis)
        if log_name is not None and isinstance(value.value, int):
            kind = event_of_code(profile, log_name, value.value)
            event = _event(kind, EventSource.PUSH, when, message)
            return await self._add(message, lambda _: messages_of(access.meter, [event]), None)
        return await self._keep_message(access, message, when, None)

    async def _keep_message(
        self, access: MeterAccess, message: PushedMessage, when: _When, word: str | None
    ) -> Pushed:
        def notes(before: str) -> Sequence[NewMessage]:
            if word is None:
                return ()
            changes = status_changes(access.profile, before, word)
            events = [_event(kind, source, when, message) for kind, source in changes]
            return messages_of(access.meter, events)

        return await self._add(message, notes, word)

    async def _add(
        self,
        message: PushedMessage,
        notes: Callable[[str], Sequence[NewMessage]],
        word: str | None,
    ) -> Pushed:
        added = await self.readings.run(lambda store: store.pushes.add(message, notes, word=word))
        if added is None:
            return Pushed.REPEATED
        for sequence in added:
            self.stored(Lane.LIVE, sequence)
        return Pushed.EVENTS if added else Pushed.EVIDENCE

    async def _rows(
        self, access: MeterAccess, kind: ProfileKind, body: PushBody, evidence: Evidence
    ) -> Batch | None:
        """The rows that reading would give, None where they cannot be told to be the same.

        Then the reading loop fetches them: a row is never made of what only looks like one.
        """
        captures = await self.readings.run(ReadingsStore.capture_list, access.meter, kind.value)
        raw = None if captures is None else rows_of(body, captures)
        if captures is None or raw is None:
            return None
        generic = access.profile.profile_generic(kind)
        zone_s = access.profile.time.zone_minutes * 60
        try:
            rows, typed = to_rows(
                raw,
                captures,
                time_rules(access.profile),
                period_s=0,
                received_at_s=evidence.received_at_us // 1_000_000,
            )
        except (MeterChanged, DecodeError):
            return None
        step_s = _step_s(kind, generic.cadence_s or 1)
        if any(
            row.time_quality is not TimeQuality.OK or (row.captured_at_s + zone_s) % step_s
            for row in rows
        ):
            # Its clock is that of the sending, not of the capture.
            return None
        marked = tuple(self._marked(row) for row in rows)
        return Batch(access.meter, kind, typed, marked, evidence)

    async def _keep_rows(self, batch: Batch) -> Pushed:
        added = await self.readings.run(ReadingsStore.add_batch, batch, encode_readings, Lane.LIVE)
        if added.conflicts:
            log.error("rows differ at the same time", meter=batch.meter, rows=added.conflicts)
        for sequence in added.sequences:
            self.stored(Lane.LIVE, sequence)
        return Pushed.ROWS if added.new_rows else Pushed.REPEATED

    def _marked(self, row: Row) -> Row:
        """The meter's clock was not compared, as it is in a session."""
        quality = TimeQuality.UNVERIFIED
        if not self.clock.synchronised():
            quality = TimeQuality.UNSYNCHRONISED
        return replace(row, time_quality=quality)

    def _when(self, access: MeterAccess, date_time: bytes, evidence: Evidence) -> _When:
        synchronised = self.clock.synchronised()
        if len(date_time) == 12:
            instant = resolve(CosemDateTime.from_octets(date_time), time_rules(access.profile))
            if instant.utc_s is not None and instant.quality is TimeQuality.OK:
                quality = TimeQuality.OK if synchronised else TimeQuality.UNSYNCHRONISED
                return _When(instant.utc_s, quality, by_meter=True)
        quality = TimeQuality.UNVERIFIED if synchronised else TimeQuality.UNSYNCHRONISED
        return _When(evidence.received_at_us // 1_000_000, quality, by_meter=False)


def _event(kind: EventKind, source: EventSource, when: _When, message: PushedMessage) -> MeterEvent:
    return MeterEvent(
        kind=kind,
        at_s=when.at_s,
        time_quality=when.quality,
        timed_by_meter=when.by_meter,
        source=source,
        raw=message.raw,
        evidence=message.evidence,
    )


def _kind(profile: FirmwareProfile, setup: Obis | None) -> PushKind | None:
    """What a push setup sends; None for one that the profile does not list."""
    setups = {} if profile.push is None else profile.push.setups
    return next((kind for kind, name in setups.items() if name == setup), None)


def _log_of(profile: FirmwareProfile, obis: Obis) -> str | None:
    """The log whose newest code an object holds."""
    for generic in profile.profile_generics:
        for column in generic.columns:
            if generic.log and column.name == EVENT_CODE and column.obis == obis:
                return generic.log
    return None


def _step_s(kind: ProfileKind, cadence_s: int) -> int:
    """What capture times of a buffer are multiples of, in local time; 1 = any second."""
    if kind in (ProfileKind.DAILY_LOAD, ProfileKind.BILLING):
        return DAY_S
    return cadence_s if kind is ProfileKind.BLOCK_LOAD else 1
