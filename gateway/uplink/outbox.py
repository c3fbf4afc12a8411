"""Which message of the outbox goes out next: pure rules, no I/O, no clock.

The store keeps the messages; the pump only decides. Its owner asks in a loop::

    fetch = pump.next_fetch()           read these from the store, then pump.fetched(fetch, entries)
    entry = pump.next_publish(now_us)   publish it; pump.failed(...) if the broker would not have it
    pump.wakeup_us()                    when to ask again if nothing else happens

and tells it what happens: ``link_up``, ``link_down``, ``stored``, ``committed``. A message is
forgotten when the backend committed or refused it, and on nothing else; without an answer it is
sent again, later and later.

Three sources, in this order: *fresh* (live messages stored since the link came up), *aged* (live
ones from before that: after an outage there may be weeks of them) and *backlog*. The last two
share a rate limit and at most half of the window, so fresh ones are never stuck behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import Generic, NamedTuple, TypeVar

from gateway.errors import LocalProtocolError, UsageError

T = TypeVar("T")

_SECOND_US = 1_000_000


class Lane(StrEnum):
    """Where the store puts a message."""

    LIVE = "live"
    BACKLOG = "backlog"


class EntryState(Enum):
    """What the pump knows of a message it holds."""

    READY = "ready"
    """To be sent."""
    SENT = "sent"
    """In flight: sent over this connection, no answer of the backend yet."""
    WAITING = "waiting"
    """Sent, not answered in time; rests before it is sent again."""
    GONE = "gone"
    """Answered: forgotten."""


class EntryEvent(Enum):
    """What can happen to a message."""

    SEND = "send"
    UNANSWERED = "unanswered"
    REST_OVER = "rest over"
    LINK_LOST = "link lost"
    ANSWERED = "answered"


TRANSITIONS: Mapping[tuple[EntryState, EntryEvent], EntryState] = {
    (EntryState.READY, EntryEvent.SEND): EntryState.SENT,
    (EntryState.READY, EntryEvent.LINK_LOST): EntryState.READY,
    (EntryState.READY, EntryEvent.ANSWERED): EntryState.GONE,
    (EntryState.SENT, EntryEvent.UNANSWERED): EntryState.WAITING,
    (EntryState.SENT, EntryEvent.LINK_LOST): EntryState.READY,
    (EntryState.SENT, EntryEvent.ANSWERED): EntryState.GONE,
    (EntryState.WAITING, EntryEvent.REST_OVER): EntryState.READY,
    (EntryState.WAITING, EntryEvent.LINK_LOST): EntryState.WAITING,
    (EntryState.WAITING, EntryEvent.ANSWERED): EntryState.GONE,
}
"""Every way a message moves; what is not here cannot happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpSettings:
    """Limits. ``window`` is in flight at most, ``held`` what the pump keeps in memory at most.

    ``held`` is larger, so that a few messages the backend never answers do not stop the rest.
    """

    window: int = 20
    held: int = 200
    fetch_entries: int = 50
    backlog_per_s: int = 50
    answer_timeout_s: int = 30
    rest_first_s: int = 5
    rest_max_s: int = 600
    stuck_after_attempts: int = 5

    def __post_init__(self) -> None:
        if not 2 <= self.window <= self.held or self.fetch_entries < 1:
            raise UsageError("a pump has 2 <= window <= held and fetches at least 1")
        if not 1 <= self.backlog_per_s <= _SECOND_US or self.answer_timeout_s < 1:
            raise UsageError("a pump has a backlog rate and an answer time-out of at least 1")
        if not 1 <= self.rest_first_s <= self.rest_max_s:
            raise UsageError("a pump has 1 <= rest_first_s <= rest_max_s")


class Pending(NamedTuple, Generic[T]):
    """A message of the outbox; ``item`` is whatever its owner needs to publish it."""

    sequence: int
    item: T


class Fetch(NamedTuple):
    """Read up to ``limit`` messages of ``lane`` above ``after_sequence``, rising."""

    lane: Lane
    after_sequence: int
    limit: int


class _Source(IntEnum):
    FRESH = 0
    AGED = 1
    BACKLOG = 2


@dataclass(slots=True)
class _Cursor:
    after: int = 0
    more: bool = True


@dataclass(slots=True)
class _Entry(Generic[T]):
    pending: Pending[T]
    source: _Source
    state: EntryState = EntryState.READY
    attempts: int = 0
    due_us: int = 0

    def move(self, event: EntryEvent) -> None:
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            raise LocalProtocolError(f"outbox message: {event.value} while {self.state.value}")
        self.state = after


class OutboxPump(Generic[T]):
    """The rules for one stream and epoch; a new epoch gets a new pump.

    ``jitter`` returns numbers in [0, 1). All times are microseconds of any clock that does not
    go back.
    """

    def __init__(self, settings: PumpSettings, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._jitter = jitter
        self._up = False
        self._cursors = {source: _Cursor() for source in _Source}
        self._held: dict[int, _Entry[T]] = {}
        self._fetching: tuple[_Source, Fetch] | None = None
        self._answered_while_fetching: list[tuple[int, int]] = []
        self._send_cost_us = _SECOND_US // settings.backlog_per_s
        self._credit_us = 0
        self._credited_us: int | None = None

    @property
    def in_flight(self) -> int:
        """Messages sent over this connection that have no answer yet."""
        return sum(entry.state is EntryState.SENT for entry in self._held.values())

    @property
    def held(self) -> int:
        """Messages in memory."""
        return len(self._held)

    @property
    def stuck(self) -> tuple[int, ...]:
        """Sequences sent many times without any answer: somebody should look."""
        limit = self._settings.stuck_after_attempts
        return tuple(sorted(s for s, entry in self._held.items() if entry.attempts >= limit))

    def link_up(self, newest_sequence: int) -> None:
        """The broker is reached; ``newest_sequence`` is the last one the store has given out.

        Said again while up, it means another connection: the end of the one before was missed.
        """
        if self._up:
            self.link_down()
        self._up = True
        self._cursors[_Source.FRESH] = _Cursor(after=newest_sequence)
        self._cursors[_Source.AGED].more = True
        self._cursors[_Source.BACKLOG].more = True

    def link_down(self) -> None:
        """The connection is gone; what was in flight is sent again over the next one."""
        self._up = False
        for entry in self._held.values():
            entry.move(EntryEvent.LINK_LOST)

    def stored(self, lane: Lane) -> None:
        """The store has a new message in ``lane``."""
        source = _Source.FRESH if lane is Lane.LIVE else _Source.BACKLOG
        self._cursors[source].more = True

    def next_fetch(self) -> Fetch | None:
        """What to read from the store now; None while a fetch is open or nothing is wanted."""
        if not self._up or self._fetching is not None:
            return None
        for source in _Source:
            cursor = self._cursors[source]
            room = self._room(source)
            if cursor.more and room > 0:
                lane = Lane.BACKLOG if source is _Source.BACKLOG else Lane.LIVE
                fetch = Fetch(lane, cursor.after, min(room, self._settings.fetch_entries))
                # a message stored from now on may be missing in the answer: stored() says so again
                cursor.more = False
                self._fetching = (source, fetch)
                self._answered_while_fetching = []
                return fetch
        return None

    def fetched(self, fetch: Fetch, entries: Sequence[Pending[T]]) -> None:
        """The answer to ``fetch``: at most its limit, rising, nothing at or below its start.

        Fewer than the limit is no end (a store also bounds octets): only an empty answer is.
        """
        source = self._close_fetch(fetch)
        sequences = [entry.sequence for entry in entries]
        if len(entries) > fetch.limit or sequences != sorted(set(sequences)):
            raise LocalProtocolError("fetched messages are more than asked for, or do not rise")
        if sequences and sequences[0] <= fetch.after_sequence:
            raise LocalProtocolError("fetched messages begin before what was asked for")
        answered = self._answered_while_fetching
        for entry in entries:
            if any(first <= entry.sequence <= last for first, last in answered):
                continue
            # after a reconnect the aged messages hold some that are in memory already
            self._held.setdefault(entry.sequence, _Entry(entry, source))
        cursor = self._cursors[source]
        if sequences:
            cursor.after = max(cursor.after, sequences[-1])
            cursor.more = True

    def fetch_failed(self, fetch: Fetch) -> None:
        """The store could not answer ``fetch``; it will be asked again."""
        self._cursors[self._close_fetch(fetch)].more = True

    def next_publish(self, now_us: int) -> Pending[T] | None:
        """The message to publish now, already counted as sent; None when there is none."""
        self._pass_time(now_us)
        if not self._up:
            return None
        sent = [e.source for e in self._held.values() if e.state is EntryState.SENT]
        if len(sent) >= self._settings.window:
            return None
        limited = sum(source is not _Source.FRESH for source in sent)
        may_send_limited = (
            limited < self._settings.window // 2 and self._credit_us >= self._send_cost_us
        )
        ready = (
            (entry.source, sequence)
            for sequence, entry in self._held.items()
            if entry.state is EntryState.READY
            and (entry.source is _Source.FRESH or may_send_limited)
        )
        chosen = min(ready, default=None)
        if chosen is None:
            return None
        source, sequence = chosen
        if source is not _Source.FRESH:
            self._credit_us -= self._send_cost_us
        entry = self._held[sequence]
        entry.move(EntryEvent.SEND)
        entry.attempts += 1
        entry.due_us = now_us + self._settings.answer_timeout_s * _SECOND_US
        return entry.pending

    def failed(self, sequence: int, now_us: int) -> None:
        """The broker refused a published message, or never acknowledged it."""
        entry = self._held.get(sequence)
        if entry is not None and entry.state is EntryState.SENT:
            self._rest(entry, now_us)

    def committed(self, ranges: Iterable[tuple[int, int]]) -> None:
        """The store has applied the backend's answer (committed or refused) for these ranges."""
        for first, last in ranges:
            if self._fetching is not None:
                self._answered_while_fetching.append((first, last))
            for sequence in [s for s in self._held if first <= s <= last]:
                self._held.pop(sequence).move(EntryEvent.ANSWERED)

    def wakeup_us(self) -> int | None:
        """When time alone will change something; None when it will not. May be in the past."""
        times = [
            entry.due_us
            for entry in self._held.values()
            if entry.state in (EntryState.SENT, EntryState.WAITING)
        ]
        waits_for_credit = self._up and any(
            entry.state is EntryState.READY and entry.source is not _Source.FRESH
            for entry in self._held.values()
        )
        if waits_for_credit and self._credit_us < self._send_cost_us:
            times.append((self._credited_us or 0) + self._send_cost_us - self._credit_us)
        return min(times, default=None)

    def _room(self, source: _Source) -> int:
        room = self._settings.held - len(self._held)
        if source is _Source.FRESH:
            return room
        limited = sum(entry.source is not _Source.FRESH for entry in self._held.values())
        return min(room, self._settings.held // 2 - limited)

    def _close_fetch(self, fetch: Fetch) -> _Source:
        if self._fetching is None or self._fetching[1] != fetch:
            raise LocalProtocolError("no such fetch is open")
        source = self._fetching[0]
        self._fetching = None
        return source

    def _pass_time(self, now_us: int) -> None:
        if self._credited_us is None:
            self._credit_us = self._send_cost_us
        else:
            most_us = self._send_cost_us * self._settings.window
            self._credit_us = min(most_us, self._credit_us + now_us - self._credited_us)
        self._credited_us = now_us
        for entry in self._held.values():
            if entry.state is EntryState.SENT and entry.due_us <= now_us:
                self._rest(entry, now_us)
            elif entry.state is EntryState.WAITING and entry.due_us <= now_us:
                entry.move(EntryEvent.REST_OVER)

    def _rest(self, entry: _Entry[T], now_us: int) -> None:
        entry.move(EntryEvent.UNANSWERED)
        doubled = self._settings.rest_first_s * 2 ** min(entry.attempts - 1, 20)
        longest_us = min(doubled, self._settings.rest_max_s) * _SECOND_US
        # between half and the whole: a fleet that lost its backend at one instant comes back spread
        entry.due_us = now_us + longest_us // 2 + int(self._jitter() * (longest_us // 2))
