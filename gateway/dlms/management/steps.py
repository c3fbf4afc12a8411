"""What a job may ask of whoever runs it, and how it may end.

A job yields requests, and between them marks: facts that are durable before the next request
leaves. After a crash it is begun anew with the marks that were kept, asks the meter what is so,
and goes on from there; nothing that may have been taken is sent again unseen.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from gateway.dlms.association.requests import Answer, Request
from gateway.dlms.reading import Procedure
from gateway.errors import PeerRefused

T = TypeVar("T")


class Outcome(StrEnum):
    """How a job ended; closed: there is no other end."""

    DONE = "done"
    ALREADY_SO = "already_so"
    """The meter had it before: nothing was written."""
    REFUSED = "refused"
    """The meter, or the job's own precondition, said no; nothing was changed by it."""
    DIFFERS = "read_back_differs"
    """The meter took it and reads otherwise, or somebody else wrote meanwhile."""
    UNKNOWN = "unknown"
    """It was sent, and the meter could not be asked since whether it took it."""
    CANCELLED = "cancelled"
    """Ended by a person, or too late to begin, before anything was sent."""


class StepKind(StrEnum):
    """What a mark says. The words stand in the audit table."""

    PRESENT = "present"
    """Read before anything was sent; the job's precondition was held against it."""
    SENDING = "sending"
    """About to leave. If nothing follows, nobody knows yet whether the meter took it."""
    AFTER = "after"
    """Read back afterwards."""
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class Mark:
    """One durable step: ``what`` it is about, and the evidence as A-XDR. Never a secret."""

    kind: StepKind
    what: str
    detail: str = ""
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a job; ``reason`` says which attribute and why where it is not done."""

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PutOff:
    """The job rests so long and is begun anew, with its marks.

    ``fault`` is whether something went wrong: such rests grow, and are counted.
    """

    seconds: int
    reason: str
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait within the session, while the meter works."""

    seconds: int


Halt = Mark | Pause
"""What a job yields beside requests."""
Step = Request | Halt
Steps = Generator[Step, Answer, T]
"""Yields steps; is sent the answer of a request (or thrown PeerRefused), nothing for a halt."""
Job = Steps[Result | PutOff]
History = Sequence[Mark]
"""Marks of earlier attempts, in their order."""

SENDINGS: Final = 3
"""A meter that was seen not to have taken something is sent it so often at most."""


def until_halt(job: Job) -> Procedure[Halt | Result | PutOff]:
    """Run the requests of a job; its next halt, or its end."""
    try:
        step = next(job)
        while not isinstance(step, Halt):
            try:
                answer = yield step
            except PeerRefused as refusal:
                step = job.throw(refusal)
            else:
                step = job.send(answer)
    except StopIteration as done:
        ended: Result | PutOff = done.value
        return ended
    return step


def sendings(history: History, what: str) -> list[Mark]:
    """Marks of what was sent under this name."""
    return [mark for mark in history if (mark.kind, mark.what) == (StepKind.SENDING, what)]


def last_mark(history: History, kind: StepKind, what: str) -> Mark | None:
    """The newest mark of a kind about something."""
    found = [mark for mark in history if (mark.kind, mark.what) == (kind, what)]
    return found[-1] if found else None


def is_open(history: History) -> bool:
    """Whether something was sent of which nobody has read back what became of it."""
    open_: set[str] = set()
    for mark in history:
        if mark.kind is StepKind.SENDING:
            open_.add(mark.what)
        elif mark.kind is StepKind.AFTER:
            open_.discard(mark.what)
    return bool(open_)


def refused(what: str, refusal: PeerRefused) -> Result:
    """The end of a job by the meter's no."""
    return Result(Outcome.REFUSED, f"{what}: {refusal}")
