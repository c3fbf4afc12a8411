"""jobs.db: what was asked of meters, every step that was taken, and how it ended.

A file of its own: readings.db is trimmed and has one owner, and this one is neither; command lines
put jobs in while the service runs, so it has a rollback journal as counters.db has. Nothing in it
is changed or deleted: a job's state is what its last step says. No secret is ever in it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gateway.dlms.management.steps import Mark, Outcome, PutOff, Result, StepKind, is_open
from gateway.errors import UsageError
from gateway.files import locked
from gateway.model import MeterId
from gateway.store.database import Database, Journal
from gateway.store.migrations import Schema
from gateway.store.opening import OpenReport, open_database


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    """Begun: now, or when the gateway ended."""
    WAITING = "waiting"
    CLOSED = "closed"


_BEGUN: Final = "begun"
_PUT_OFF: Final = "put_off"
_FAULT: Final = "fault"
_CLOSED: Final = "closed"
_STATES: Final[Mapping[str | None, JobState]] = {
    None: JobState.QUEUED,
    _BEGUN: JobState.RUNNING,
    **dict.fromkeys((kind.value for kind in StepKind), JobState.RUNNING),
    _PUT_OFF: JobState.WAITING,
    _FAULT: JobState.WAITING,
    _CLOSED: JobState.CLOSED,
}
"""A job's state by its last step; None before any."""
_WORDS: Final = ", ".join(f"'{word}'" for word in _STATES if word)
_OUTCOMES: Final = ", ".join(f"'{outcome.value}'" for outcome in Outcome)


def _never(table: str, what: str) -> str:
    return (
        f"CREATE TRIGGER {table}_are_not_{what.lower()}d BEFORE {what} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, 'the audit of jobs is only added to'); END"
    )


_LAST: Final = (
    "FROM jobs j LEFT JOIN steps s ON s.job = j.id AND s.number ="
    " (SELECT max(number) FROM steps WHERE job = j.id)"
)
SCHEMA: Final = Schema(
    "jobs",
    (
        (
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
            """CREATE TABLE jobs (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                meter TEXT NOT NULL,
                kind TEXT NOT NULL,
                parameters TEXT NOT NULL,
                asked_by TEXT NOT NULL,
                asked_at_us INTEGER NOT NULL,
                not_before_us INTEGER NOT NULL,
                not_after_us INTEGER NOT NULL CHECK (not_after_us > not_before_us)
            ) STRICT""",
            "CREATE INDEX jobs_by_meter ON jobs (meter, id)",
            f"""CREATE TABLE steps (
                job INTEGER NOT NULL REFERENCES jobs (id),
                number INTEGER NOT NULL,
                at_us INTEGER NOT NULL,
                step TEXT NOT NULL CHECK (step IN ({_WORDS})),
                what TEXT NOT NULL,
                detail TEXT NOT NULL,
                octets BLOB NOT NULL,
                rests_until_us INTEGER CHECK ((step IN ('put_off', 'fault'))
                    = (rests_until_us IS NOT NULL)),
                outcome TEXT CHECK ((step = 'closed') = (outcome IS NOT NULL)
                    AND outcome IN ({_OUTCOMES})),
                PRIMARY KEY (job, number)
            ) STRICT, WITHOUT ROWID""",
            # which jobs are open, without a look at all that ever were; follows from the others
            "CREATE TABLE open_jobs (job INTEGER PRIMARY KEY REFERENCES jobs (id)) STRICT",
            """CREATE TRIGGER a_new_job_is_open AFTER INSERT ON jobs
                BEGIN INSERT INTO open_jobs VALUES (new.id); END""",
            """CREATE TRIGGER closed_jobs_take_no_step BEFORE INSERT ON steps
                WHEN new.job NOT IN (SELECT job FROM open_jobs)
                BEGIN SELECT RAISE(ABORT, 'the job is closed'); END""",
            """CREATE TRIGGER a_closing_step_closes AFTER INSERT ON steps
                WHEN new.step = 'closed' BEGIN DELETE FROM open_jobs WHERE job = new.job; END""",
            *(_never(table, what) for table in ("jobs", "steps") for what in ("UPDATE", "DELETE")),
        ),
    ),
    {
        "v_jobs": (
            "SELECT j.id, j.meter, j.kind, j.parameters, j.asked_by,"
            " datetime(j.asked_at_us / 1000000, 'unixepoch') AS asked_utc,"
            " coalesce(s.step, 'queued') AS last_step, s.outcome, s.detail AS reason,"
            f" datetime(s.at_us / 1000000, 'unixepoch') AS last_step_utc {_LAST}"
        ),
        "v_job_steps": (
            "SELECT job, number, datetime(at_us / 1000000, 'unixepoch') AS at_utc, step, what,"
            " detail, hex(octets) AS octets, outcome FROM steps"
        ),
    },
)
_COLUMNS: Final = (
    "j.id, j.meter, j.kind, j.parameters, j.asked_by, j.asked_at_us, j.not_before_us,"
    " j.not_after_us, s.step, s.at_us, s.detail, s.rests_until_us, s.outcome"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What is asked: ``parameters`` are JSON values without any secret; times in UTC."""

    meter: MeterId
    kind: str
    parameters: Mapping[str, Any]
    asked_by: str
    not_before_us: int
    not_after_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as its last step left it."""

    id: int
    meter: MeterId
    kind: str
    parameters: Mapping[str, Any]
    asked_by: str
    asked_at_us: int
    not_before_us: int
    not_after_us: int
    state: JobState
    changed_at_us: int | None
    reason: str
    rests_until_us: int | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStep:
    """One row of the audit."""

    number: int
    at_us: int
    step: str
    what: str
    detail: str
    octets: bytes = field(repr=False)
    outcome: str | None


class JobStore:
    """One jobs.db. Safe between threads and processes; every step is durable when it returns."""

    def __init__(self, database: Database, report: OpenReport) -> None:
        self._database = database
        self._lock = threading.RLock()
        self.report = report

    @classmethod
    def open(cls, path: Path) -> JobStore:
        """Open or make the file; raises StoreError."""
        with locked(path):
            opened = open_database(path, Journal.DELETE, SCHEMA)
        report = OpenReport(opened.created, False, opened.quarantined, opened.damage)
        return cls(opened.database, report)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def add(self, job: NewJob, now_us: int) -> int:
        """Put a job in; its number."""
        with self._lock, self._database.transaction():
            self._database.rows(
                "INSERT INTO jobs (meter, kind, parameters, asked_by, asked_at_us,"
                " not_before_us, not_after_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    job.meter,
                    job.kind,
                    json.dumps(job.parameters, sort_keys=True),
                    job.asked_by,
                    now_us,
                    job.not_before_us,
                    job.not_after_us,
                ],
            )
            number: int = self._database.value("SELECT last_insert_rowid()")
        return number

    def get(self, job: int) -> JobRecord:
        """One job; UsageError if there is none of this number."""
        found = self._records("WHERE j.id = ?", [job])
        if not found:
            raise UsageError(f"there is no job {job}")
        return found[0]

    def listed(self, *, meter: str | None = None, all_jobs: bool = False) -> list[JobRecord]:
        """Open jobs (or all), the oldest first."""
        where, values = [], []
        if meter is not None:
            where.append("j.meter = ?")
            values.append(meter)
        if not all_jobs:
            where.append("j.id IN (SELECT job FROM open_jobs)")
        return self._records("WHERE " + " AND ".join(where) if where else "", values)

    def due(self, meters: Iterable[str], now_us: int) -> list[JobRecord]:
        """What may be begun or gone on with now, at most one for a meter: its oldest open job.

        A later job of a meter waits for the earlier, so the order in which they were asked holds.
        """
        first: dict[str, JobRecord] = {}
        for record in self.listed():
            first.setdefault(record.meter, record)
        wanted = set(meters)
        return [
            record
            for record in first.values()
            if record.meter in wanted
            and max(record.not_before_us, record.rests_until_us or 0) <= now_us
        ]

    def steps(self, job: int) -> list[JobStep]:
        """The whole audit of a job."""
        with self._lock:
            rows = self._database.rows(
                "SELECT number, at_us, step, what, detail, octets, outcome FROM steps"
                " WHERE job = ? ORDER BY number",
                [job],
            )
        names = ("number", "at_us", "step", "what", "detail", "octets", "outcome")
        return [JobStep(**dict(zip(names, row, strict=True))) for row in rows]

    def marks(self, job: int) -> tuple[Mark, ...]:
        """What the job itself noted, for its next attempt."""
        return tuple(
            Mark(StepKind(one.step), one.what, one.detail, one.octets)
            for one in self.steps(job)
            if one.step in set(StepKind)
        )

    def faults(self, job: int) -> int:
        """How many attempts in a row, up to now, ended in a fault."""
        ends = [one.step for one in self.steps(job) if one.step in (_PUT_OFF, _FAULT)]
        return next((at for at, step in enumerate(reversed(ends)) if step != _FAULT), len(ends))

    def begin(self, job: int, now_us: int) -> None:
        """An attempt begins."""
        self._add_step(job, now_us, _BEGUN)

    def mark(self, job: int, mark: Mark, now_us: int) -> None:
        """What the job notes before it goes on."""
        self._add_step(job, now_us, mark.kind.value, mark.what, mark.detail, mark.octets)

    def put_off(self, job: int, rest: PutOff, now_us: int) -> None:
        """The attempt ended and another one follows."""
        until_us = now_us + rest.seconds * 1_000_000
        step = _FAULT if rest.fault else _PUT_OFF
        self._add_step(job, now_us, step, detail=rest.reason, rests_until_us=until_us)

    def end(self, job: int, result: Result, now_us: int) -> None:
        """The job is closed."""
        self._add_step(job, now_us, _CLOSED, detail=result.reason, outcome=result.outcome.value)

    def cancel(self, job: int, by: str, now_us: int) -> None:
        """Close a job before anything was sent, or once it is known what became of it.

        Raises UsageError for one that is closed, under way, or in doubt.
        """
        with self._lock, self._database.transaction():
            record = self.get(job)
            if record.state not in (JobState.QUEUED, JobState.WAITING):
                raise UsageError(f"job {job} is {record.state.value}: it cannot be cancelled")
            if is_open(self.marks(job)):
                raise UsageError(
                    f"job {job} has sent something and does not know yet whether it was taken:"
                    " it first finds out"
                )
            self._insert(job, now_us, _CLOSED, "", f"by {by}", b"", None, Outcome.CANCELLED.value)

    def _add_step(
        self,
        job: int,
        now_us: int,
        step: str,
        what: str = "",
        detail: str = "",
        octets: bytes = b"",
        rests_until_us: int | None = None,
        outcome: str | None = None,
    ) -> None:
        with self._lock, self._database.transaction():
            self._insert(job, now_us, step, what, detail, octets, rests_until_us, outcome)

    def _insert(self, job: int, *values: object) -> None:
        self._database.rows(
            "INSERT INTO steps (job, number, at_us, step, what, detail, octets, rests_until_us,"
            " outcome) SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8"
            " FROM steps WHERE job = ?1",
            [job, *values],
        )

    def _records(self, where: str, values: Sequence[object]) -> list[JobRecord]:
        with self._lock:
            # the text is put together from this file's own words
            rows = self._database.rows(
                f"SELECT {_COLUMNS} {_LAST} {where} ORDER BY j.id",
                values,
            )
        return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> JobRecord:
    return JobRecord(
        id=row[0],
        meter=MeterId(row[1]),
        kind=row[2],
        parameters=json.loads(row[3]),
        asked_by=row[4],
        asked_at_us=row[5],
        not_before_us=row[6],
        not_after_us=row[7],
        state=_STATES[row[8]],
        changed_at_us=row[9],
        reason=row[10] or "",
        rests_until_us=row[11],
        outcome=None if row[12] is None else Outcome(row[12]),
    )
