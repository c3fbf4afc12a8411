"""Drives a job against an emulated meter, joined in memory, and keeps its marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.dlms.association.requests import Action, Get, Request, Set
from gateway.dlms.management.steps import Job, Mark, Pause, PutOff, Result, Step
from gateway.errors import NoAnswer, PeerRefused
from gateway.model import Obis
from tests.emulator.rig import Client, Rig


@dataclass
class Driver:
    """One meter; ``history`` outlives an attempt, as the audit table does."""

    rig: Rig
    association: str = "utility_settings"
    history: list[Mark] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    loses: Callable[[Request], bool] = lambda _: False
    """Whether the answer to a request gets lost, and the session with it."""

    def attempt(self, make: Callable[[tuple[Mark, ...]], Job]) -> Result | PutOff:
        """One attempt in a fresh session; raise NoAnswer where the session broke."""
        # A laptop's counters go on; here each session begins above the last.
        client = self.rig.client(self.association, counters=self._counters())
        client.open()
        job = make(tuple(self.history))
        try:
            step = next(job)
            while True:
                step = self._one(client, job, step)
        except StopIteration as ended:
            client.close()
            result: Result | PutOff = ended.value
            return result
        finally:
            job.close()

    def _counters(self) -> Iterator[int]:
        highest = max(self.rig.meter.last_received.values())
        return iter(range(highest + 1, 1 << 32))

    def _one(self, client: Client, job: Job, step: Step) -> Step:
        match step:
            case Mark():
                self.history.append(step)
                return next(job)
            case Pause(seconds):
                self.rig.now_s += seconds
                return next(job)
            case _:
                self.asked.append(step)
                lost = self.loses(step)
                try:
                    answer = client.ask(step)
                except PeerRefused as refusal:
                    return job.throw(refusal)
                if lost:
                    raise NoAnswer("the answer got lost")
                return job.send(answer)

    @property
    def changes(self) -> list[Request]:
        """What was asked beside reading."""
        return [one for one in self.asked if not isinstance(one, Get)]

    def kinds(self) -> list[str]:
        return [mark.kind.value for mark in self.history]


def is_change(request: Request) -> bool:
    return isinstance(request, (Set, Action))


def spoil(rig: Rig, class_id: int, obis: Obis, **parts: dict[int, Any]) -> None:
    """Let some attributes, setters or methods of an object do something else."""
    objects = rig.meter._objects
    assert isinstance(objects, dict)
    target = objects[class_id, obis]
    changed = {name: {**getattr(target, name), **part} for name, part in parts.items()}
    objects[class_id, obis] = replace(target, **changed)
