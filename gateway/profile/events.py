"""Event codes and status words to stable names, as a firmware profile lists them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.events import EventKind, EventPhase, EventSource
from gateway.profile.event_words import EventName
from gateway.profile.words import FirmwareProfile

STATUS_WORD_LOG = "status_word"
"""Where bits stand that no name claims."""


def event_of_code(profile: FirmwareProfile, log: str, code: int) -> EventKind:
    """The event of a log's code; one that is not listed keeps its number: ``code_217``."""
    for name, known in profile.event_names.items():
        if code == known.occurs:
            return EventKind(name, EventPhase.OCCURRED, log, code)
        if code == known.ends:
            return EventKind(name, EventPhase.ENDED, log, code)
    return EventKind(f"code_{code}", EventPhase.OCCURRED, log, code)


def status_changes(
    profile: FirmwareProfile, before: str, after: str
) -> Iterator[tuple[EventKind, EventSource]]:
    """What became different between two event status words, bit 0 leftmost ("" = nothing set).

    A bit that is set is what the meter says; one that is set no longer ends what lasted, where
    the list knows an end: that is concluded, not said. A bit that nobody lists keeps its number.
    """
    names = {bit: (name, one) for name, one in profile.event_names.items() for bit in one.bits}
    for bit in range(max(len(before), len(after))):
        was_set, is_set = before[bit : bit + 1] == "1", after[bit : bit + 1] == "1"
        if was_set == is_set:
            continue
        if bit not in names:
            if is_set:
                kind = EventKind(f"bit_{bit}", EventPhase.OCCURRED, STATUS_WORD_LOG, None)
                yield kind, EventSource.PUSH
            continue
        name, known = names[bit]
        if is_set:
            ends = bit == known.bit_ends
            phase = EventPhase.ENDED if ends else EventPhase.OCCURRED
            yield _kind(profile, name, known, phase), EventSource.PUSH
        elif bit == known.bit and known.ends is not None:
            yield _kind(profile, name, known, EventPhase.ENDED), EventSource.DERIVED


def _kind(profile: FirmwareProfile, name: str, known: EventName, phase: EventPhase) -> EventKind:
    code = known.ends if phase is EventPhase.ENDED else known.occurs
    logs = [log for log, codes in profile.events.items() if code in codes]
    return EventKind(name, phase, logs[0] if logs else STATUS_WORD_LOG, code)
