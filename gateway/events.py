"""What happened at a meter: values that profiles name, gateways send and the backend keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.model import Evidence, TimeQuality


class EventPhase(StrEnum):
    """Whether something began or ended; what has no end (a setting made) only occurs."""

    OCCURRED = "occurred"
    ENDED = "ended"


class EventSource(StrEnum):
    """How an event became known."""

    LOG = "log"
    """A row of the meter's event log."""
    PUSH = "push"
    """The meter told it unasked."""
    DERIVED = "derived"
    """Concluded here: a status bit that was set before is not set any more; or what the gateway
    itself saw or did, and then without octets of the meter."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What happened: a stable name with its phase, and the code of the meter's log.

    ``code`` is None where the list of codes has none for it; ``log`` "" where no log is known.
    """

    name: str
    phase: EventPhase
    log: str
    code: int | None


@dataclass(frozen=True, slots=True)
class MeterEvent:
    """One event of one meter, with the octets it is known from.

    ``at_s`` is UTC seconds by the meter's clock; of the reception where ``timed_by_meter`` is
    False.
    """

    kind: EventKind
    at_s: int
    time_quality: TimeQuality
    timed_by_meter: bool
    source: EventSource
    raw: bytes
    evidence: Evidence
