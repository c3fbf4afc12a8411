"""What the reading of one meter remembers between visits, and how its sets of data are counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.dlms.meter_time import ClockPolicy
from gateway.dlms.plan import DAY_S, SLICE_ROWS, Cadence, Span
from gateway.model import ProfileKind, buffer_label
from gateway.profile import Access, FirmwareProfile, ProfileGeneric
from gateway.store.notes import Periods

ASKED_AGAIN_S: Final = DAY_S
"""A meter that did not have a row is asked for it again a day later."""
FEWEST_ROWS: Final = 8
"""A meter that cannot give so many rows at once does not refuse because of their number."""
_GAP_AFTER: Final = 2
"""Asked so often, on different days, and each time it had no such row: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadences:
    """How often each set is read, and how far back rows are wanted."""

    instantaneous_s: int = 900
    nameplate_s: int = 30 * DAY_S
    daily_days: int = 35
    block_days: int = 35
    events_s: int = 3600
    drift_limit_s: int = 120
    verify_capture_list_s: int = DAY_S
    clocks: ClockPolicy | None = None
    """When meters' clocks are set; None: never."""


@dataclass(frozen=True, slots=True)
class Task:
    """One buffer to read: whole, or the part of it in ``span``, or its newest rows.

    Those are as many as it takes to come to ``times``, the capture times that are hoped for.
    """

    kind: ProfileKind
    span: Span | None = None
    times: tuple[int, ...] = ()
    log: str = ""
    """Of which event log what is new is read."""

    @property
    def label(self) -> str:
        """The buffer that is read."""
        return buffer_label(self.kind, self.log)


@dataclass(slots=True)
class ReadingFigures:
    """Counts by what happened, for health and metrics."""

    sessions: int = 0
    failures: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0
    capture_lists_changed: int = 0
    rows_never_captured: int = 0
    """Rows that meters turned out not to have, although they were there by then."""
    preempted: int = 0
    """Visits that made room for something more urgent on their wire."""
    clocks_set: int = 0
    clocks_too_far: int = 0


@dataclass(slots=True)
class Asked:
    """A capture time that a meter was asked for and did not have."""

    at_s: int
    times: int = 0
    """How often, with its clock in order."""


@dataclass(slots=True)
class BufferState:
    """What is known of one profile buffer; what is not in the store too is lost without harm."""

    asked: dict[int, Asked] = field(default_factory=dict)
    verified_s: int | None = None
    """When its columns were last read."""
    last_read_s: int | None = None
    resting_s: int | None = None
    """When it could not be read."""
    periods: Periods | None = None
    """As the meter itself states them."""
    gaps: list[Span] | None = None
    """None until the store was asked."""
    access: Access | None = None
    """How rows are asked for, where the meter refused what its profile says."""
    slice_rows: int = SLICE_ROWS
    """Asked for at once: half as many after an answer that did not come whole, twice after one
    that did."""
    most_rows: int = SLICE_ROWS
    """The meter has refused more than these."""

    def asked_lately(self, now_s: int) -> dict[int, Asked]:
        """Capture times that the meter need not be asked for again today; old ones are dropped."""
        for time_s in [t for t, one in self.asked.items() if now_s - one.at_s > 7 * DAY_S]:
            del self.asked[time_s]
        return {t: one for t, one in self.asked.items() if 0 <= now_s - one.at_s < ASKED_AGAIN_S}

    def gave(self, rows: int) -> None:
        """An answer with so many rows came whole."""
        if rows >= self.slice_rows:
            self.slice_rows = min(self.most_rows, 2 * self.slice_rows)

    def broke_off(self, rows: int, *, refused: bool = False) -> None:
        """An answer with so many rows did not come: too long for the meter, or for its wire."""
        if rows <= FEWEST_ROWS:
            return
        self.slice_rows = max(FEWEST_ROWS, min(self.slice_rows, rows) // 2)
        if refused:
            self.most_rows = self.slice_rows

    def note_asked(self, times: list[int], now_s: int, *, certain: bool) -> list[int]:
        """The meter was asked for these and did not have them; those that are gaps by now.

        ``certain``: its clock is right, so it meant the same rows as we did.
        """
        given_up = []
        for time_s in times:
            asked = self.asked.setdefault(time_s, Asked(now_s))
            again = asked.times == 0 or not 0 <= now_s - asked.at_s < ASKED_AGAIN_S
            asked.at_s = now_s
            asked.times += certain and again
            if asked.times >= _GAP_AFTER:
                given_up.append(time_s)
                del self.asked[time_s]
        return given_up


@dataclass(slots=True)
class MeterState:
    """What the loop knows of one meter."""

    failures: int = 0
    was_silent: bool = False
    """Whether the last failure was that it did not answer, or went away."""
    fruitless: int = 0
    """Visits in a row that brought no new row."""
    not_before: float = 0.0
    """By the event loop's clock."""
    known_title: bytes | None = None
    """System title under which this meter's serial number was read, since the start."""
    drift_s: int = 0
    """How far its clock is ahead of ours: rows come by the meter's time."""
    clock_due: bool = False
    """Its clock is to be set, now."""
    buffers: dict[str, BufferState] = field(default_factory=dict)

    def of(self, label: str) -> BufferState:
        """What is known of a buffer (``block_load``, ``events/voltage``)."""
        return self.buffers.setdefault(label, BufferState())


def cadence_of(profile: FirmwareProfile, generic: ProfileGeneric, state: MeterState) -> Cadence:
    """When a meter captures: as it said itself, else as its profile says."""
    periods = state.of(generic.label).periods
    if periods is None:
        periods = Periods(generic.cadence_s or DAY_S)
    return Cadence(
        period_s=periods.period_s,
        zone_s=profile.time.zone_minutes * 60,
        earlier=periods.earlier,
    )
