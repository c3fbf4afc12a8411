"""One session: an association with one meter over one transport, every wait bounded.

Nothing in here knows a meter model or a byte of DLMS: what is asked is a procedure that yields
requests and is given answers (``gateway.dlms.reading``), so the same one runs on a test bench
without a wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import (
    Answer,
    AssociationClosed,
    AssociationOpened,
    Event,
    Refused,
    Request,
    Unsolicited,
)
from gateway.dlms.association.states import State
from gateway.dlms.link import NEED_DATA, NeedData
from gateway.dlms.reading import Procedure, one_by_one
from gateway.errors import (
    GatewayError,
    LinkLost,
    NoAnswer,
    PeerRefused,
    Preempted,
    RemoteProtocolError,
)
from gateway.transport.port import Transport

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long one exchange may take.

    ``answer_s`` is the silence after which a frame is repeated (where the link can) up to
    ``repeats`` times; ``request_s`` bounds a whole request however many blocks it takes, so that a
    meter that drips octets cannot hold its wire for ever. ``goodbye_s`` is the patience with a
    meter that is only asked to let go: a dead one must not cost its bus more. ``opening_repeats``
    are those of the first frame, to a meter that may not be there at all.
    """

    answer_s: float = 5.0
    repeats: int = 2
    opening_repeats: int = 2
    request_s: float = 120.0
    goodbye_s: float = 3.0


_UNANSWERED: Final = {
    State.LINKING: "nobody answers the opening of the link (address, speed, wiring?)",
    State.ASSOCIATING: "the AARQ is not answered (client or server address? or it is busy)",
    State.AUTHENTICATING: "the HLS proof is not answered",
}


def _not_associated(silence: NoAnswer, state: State) -> NoAnswer:
    """The silence, with what it was that nobody answered."""
    error = NoAnswer(f"{silence}; {_UNANSWERED.get(state, state.name.lower())}")
    error.is_linked = state is not State.LINKING
    return error


@dataclass(frozen=True, slots=True)
class _Finished:
    """A procedure came to its end."""

    result: Any


def _single(request: Request) -> Procedure[Answer]:
    return (yield request)


class Session:
    """One association with one meter over one transport.

    ``keep_up`` is asked before each turn whether something has to be awaited first. ``make_room``
    is asked each time before we speak: True ends what is under way with Preempted, at a moment
    when the wire is silent and no answer is awaited; only the goodbye follows.
    """

    def __init__(
        self,
        connection: ClientConnection,
        transport: Transport,
        timing: Timing,
        *,
        keep_up: Callable[[], Awaitable[None] | None] | None = None,
        on_notification: Callable[[Unsolicited], None] | None = None,
        make_room: Callable[[], bool] = bool,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._timing = timing
        self._answer_s = timing.answer_s
        self._keep_up = keep_up
        self._on_notification = on_notification
        self._make_room = make_room
        self._procedure: Procedure[Any] | None = None
        self._kept: Event | _Finished | GatewayError | NeedData = NEED_DATA
        """What a turn within the transport's callback came upon, for the task."""
        self._behind: Awaitable[None] | None = None
        self._repeats = 0
        self._deadline = 0.0
        self._react_until = 0.0

    @property
    def received(self) -> tuple[bytes | None, int]:
        """The meter's system title and the highest counter of it that was believed (-1: none)."""
        return self._connection.server_system_title, self._connection.last_received_counter

    @property
    def usable(self) -> bool:
        """Whether the association is open for another request."""
        return self._connection.state is State.READY

    async def open(self) -> AssociationOpened:
        """Connect the link and associate; raise PeerRefused, NoAnswer or SecurityError."""
        await self._transport.begin_link()
        self._connection.open()
        self._begin_waiting()
        try:
            event = await self._next_event()
        except NoAnswer as silence:
            raise _not_associated(silence, self._connection.state) from None
        if not isinstance(event, AssociationOpened):
            raise RemoteProtocolError(f"opening the association gave {type(event).__name__}")
        return event

    async def request(self, request: Request) -> Answer:
        """Send one request and return its whole answer; raise PeerRefused for a no."""
        return await self.run(_single(request))

    async def run(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end; its refusals are thrown into it, all else ends it.

        It is stepped where its answers arrive: what it asks next leaves at once.
        """
        if not self._connection.takes_lists:
            procedure = one_by_one(procedure)
        self._procedure = procedure
        try:
            self._ask(next(procedure))
            event = await self._next_event()
        except StopIteration as done:
            event = _Finished(done.value)
        finally:
            self._procedure = None
            procedure.close()
        if not isinstance(event, _Finished):
            raise LinkLost(f"the meter ended the session: {event}")
        result: T = event.result
        return result

    async def close(self) -> None:
        """Release and disconnect as far as the meter still answers; never raises for silence.

        An association left open blocks a meter until its own time-out, so goodbye is said even
        after an error.
        """
        self._make_room = bool
        self._connection.close()
        self._answer_s = min(self._answer_s, self._timing.goodbye_s)
        self._begin_waiting()
        with suppress(GatewayError):
            while not isinstance(await self._next_event(), AssociationClosed):
                pass

    def _ask(self, request: Request) -> None:
        self._connection.send(request)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """From now on the meter has ``request_s``, however many blocks it takes."""
        self._repeats = 0
        self._deadline = asyncio.get_running_loop().time() + self._timing.request_s
        # Near its end a request measures each wait anew.
        self._react_until = self._deadline - self._answer_s

    async def _next_event(self) -> Event | _Finished:
        while True:
            event = await self._pump()
            if not isinstance(event, Unsolicited):
                return event
            if self._on_notification is not None:
                self._on_notification(event)

    async def _pump(self) -> Event | _Finished:
        """Turn after turn until something happened, as the meter's answers come in."""
        connection, transport = self._connection, self._transport
        while True:
            if self._kept is NEED_DATA and self._is_behind():
                await self._catch_up()
            happened = self._kept_or_next()
            waiting = self._to_say()
            if waiting:
                await transport.send(waiting)
            if happened is not NEED_DATA:
                return happened
            if self._is_behind():
                continue
            try:
                await transport.converse(self._react, self._patience_s())
            except LinkLost:
                raise
            except NoAnswer:
                self._repeats += 1
                self._patience_s()
                if self._repeats > self._most_repeats or not connection.handle_timeout():
                    raise

    @property
    def _most_repeats(self) -> int:
        opening = self._connection.state is State.LINKING
        return self._timing.opening_repeats if opening else self._timing.repeats

    def _kept_or_next(self) -> Event | _Finished | NeedData:
        kept, self._kept = self._kept, NEED_DATA
        if isinstance(kept, GatewayError):
            raise kept
        return self._turn() if kept is NEED_DATA else kept

    def _turn(self) -> Event | _Finished | NeedData:
        """What happened next. An answer goes to the procedure, and what it asks then is sent."""
        event = self._connection.next_event()
        while self._procedure is not None and isinstance(event, (Answer, Refused)):
            try:
                if isinstance(event, Answer):
                    self._ask(self._procedure.send(event))
                else:
                    refusal = PeerRefused(event.service, event.reason)
                    self._ask(self._procedure.throw(refusal))
            except StopIteration as done:
                return _Finished(done.value)
            if self._is_behind():
                return NEED_DATA
            event = self._connection.next_event()
        return event

    def _react(self, data: bytes) -> bytes | None:
        """One turn within the transport's callback; None hands over to the session's task."""
        connection = self._connection
        connection.receive_data(data)
        if self._is_behind() or asyncio.get_running_loop().time() > self._react_until:
            return None
        try:
            self._kept = self._turn()
            if self._kept is NEED_DATA and self._behind is None:
                return self._to_say()
        except GatewayError as error:
            self._kept = error
        return None

    def _to_say(self) -> bytes:
        """What is to be sent now; raise Preempted where it is not said any more."""
        octets = self._connection.data_to_send()
        if octets and self._make_room():
            raise Preempted("something more urgent waits for the wire")
        return octets

    def _is_behind(self) -> bool:
        """Whether ``keep_up`` has something to await before the next turn.

        Counters for the next APDUs are made durable before any of them is used.
        """
        if self._behind is None and self._keep_up is not None:
            self._behind = self._keep_up()
        return self._behind is not None

    def _patience_s(self) -> float:
        """How long to wait for the next octets; raise NoAnswer when the request has no time left.

        No timer of its own guards a request: it only ever waits for octets, and asks here first.
        """
        left_s = self._deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise NoAnswer(f"no complete answer within {self._timing.request_s:g} s")
        return min(left_s, self._answer_s)

    async def _catch_up(self) -> None:
        behind, self._behind = self._behind, None
        assert behind is not None
        try:
            async with asyncio.timeout_at(self._deadline):
                await behind
        except TimeoutError:
            raise NoAnswer(f"not ready to ask within {self._timing.request_s:g} s") from None


@asynccontextmanager
async def session(
    connection: ClientConnection, transport: Transport, timing: Timing
) -> AsyncIterator[Session]:
    """Open an association, give the session, and say goodbye whatever happened inside."""
    opened = Session(connection, transport, timing)
    try:
        await opened.open()
        yield opened
    finally:
        await opened.close()
