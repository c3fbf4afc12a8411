"""jobs.db: nothing is changed or deleted, a job's state is what its last step says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dlms.management.steps import Mark, Outcome, PutOff, Result, StepKind
from gateway.errors import StoreError, UsageError
from gateway.model import MeterId
from gateway.store.jobs import JobState, JobStore, NewJob

SECOND = 1_000_000
NOW = 1_777_617_062 * SECOND
SENDING = Mark(StepKind.SENDING, "load_limit", octets=b"\x06\x00\x00\x13\x88")
AFTER = Mark(StepKind.AFTER, "load_limit", octets=b"\x06\x00\x00\x13\x88")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    made = JobStore.open(tmp_path / "jobs.db")
    yield made
    made.close()


def job(meter: str = "M1", *, not_before_us: int = NOW, kind: str = "load_limit") -> NewJob:
    return NewJob(
        meter=MeterId(meter),
        kind=kind,
        parameters={"limit_w": 5000},
        asked_by="anita",
        not_before_us=not_before_us,
        not_after_us=NOW + 86_400 * SECOND,
    )


def test_a_job_goes_from_queued_to_closed_and_every_step_is_kept_with_its_evidence(store):
    number = store.add(job(), NOW)
    assert store.get(number).state is JobState.QUEUED
    store.begin(number, NOW + 1)
    store.mark(number, SENDING, NOW + 2)
    assert store.get(number).state is JobState.RUNNING
    store.mark(number, AFTER, NOW + 3)
    store.end(number, Result(Outcome.DONE, ""), NOW + 4)
    record = store.get(number)
    assert (record.state, record.outcome) == (JobState.CLOSED, Outcome.DONE)
    assert record.parameters == {"limit_w": 5000}
    assert (record.asked_by, record.asked_at_us, record.changed_at_us) == ("anita", NOW, NOW + 4)
    steps = store.steps(number)
    assert [(one.number, one.step) for one in steps] == [
        (1, "begun"),
        (2, "sending"),
        (3, "after"),
        (4, "closed"),
    ]
    assert steps[1].octets == SENDING.octets
    assert store.marks(number) == (SENDING, AFTER)


@pytest.mark.parametrize("table", ["jobs", "steps"])
@pytest.mark.parametrize("change", ["UPDATE {} SET rowid = 9", "DELETE FROM {}"])
def test_nobody_changes_or_deletes_a_row_whoever_opens_the_file(store, tmp_path, table, change):
    number = store.add(job(), NOW)
    store.end(number, Result(Outcome.REFUSED, "no"), NOW)
    sql = change.format(table)
    if table == "steps":
        sql = sql.replace("rowid", "number")
    with (
        sqlite3.connect(tmp_path / "jobs.db") as other,
        pytest.raises(sqlite3.Error, match="added"),
    ):
        other.execute(sql)
    assert store.get(number).reason == "no"


def test_a_closed_job_takes_no_step(store):
    number = store.add(job(), NOW)
    store.cancel(number, "ravi", NOW)
    for step in (
        lambda: store.begin(number, NOW),
        lambda: store.mark(number, SENDING, NOW),
        lambda: store.end(number, Result(Outcome.DONE), NOW),
    ):
        with pytest.raises(StoreError, match="the job is closed"):
            step()
    record = store.get(number)
    assert (record.outcome, record.reason) == (Outcome.CANCELLED, "by ravi")
    with pytest.raises(UsageError, match="cannot be cancelled"):
        store.cancel(number, "ravi", NOW)


def test_what_is_in_doubt_is_found_out_before_it_is_cancelled(store):
    number = store.add(job(), NOW)
    store.begin(number, NOW)
    with pytest.raises(UsageError, match="is running"):
        store.cancel(number, "ravi", NOW)
    store.mark(number, SENDING, NOW)
    store.put_off(number, PutOff(60, "no answer", fault=True), NOW)
    with pytest.raises(UsageError, match="finds out"):
        store.cancel(number, "ravi", NOW)
    store.begin(number, NOW)
    store.mark(number, AFTER, NOW)
    store.put_off(number, PutOff(60, "waits"), NOW)
    store.cancel(number, "ravi", NOW)
    assert store.get(number).state is JobState.CLOSED


def test_a_job_is_due_at_its_time_and_after_its_rest_and_not_before_an_earlier_one(store):
    first = store.add(job(), NOW)
    second = store.add(job(), NOW)
    later = store.add(job("M2", not_before_us=NOW + 10), NOW)
    store.add(job("OTHER"), NOW)

    def due(at_us: int) -> list[int]:
        return [one.id for one in store.due(["M1", "M2"], at_us)]

    assert due(NOW) == [first]
    assert due(NOW + 10) == [first, later]
    store.begin(first, NOW)
    store.put_off(first, PutOff(60, "no answer", fault=True), NOW)
    assert due(NOW + 10) == [later]
    assert due(NOW + 60 * SECOND) == [first, later]
    store.end(first, Result(Outcome.DONE), NOW)
    assert due(NOW + 10) == [second, later]


def test_faults_in_a_row_are_counted_and_a_good_rest_ends_the_row(store):
    number = store.add(job(), NOW)
    assert store.faults(number) == 0
    for rests, count in ((True, 1), (True, 2), (False, 0), (True, 1)):
        store.begin(number, NOW)
        store.put_off(number, PutOff(1, "", fault=rests), NOW)
        assert store.faults(number) == count


def test_two_owners_see_one_file_and_a_job_survives_both(store, tmp_path):
    other = JobStore.open(tmp_path / "jobs.db")
    number = other.add(job(), NOW)
    assert store.get(number).state is JobState.QUEUED
    store.begin(number, NOW)
    assert other.get(number).state is JobState.RUNNING
    other.close()
    assert [one.id for one in store.listed(meter="M1")] == [number]
    assert store.listed(meter="M2") == []


def test_an_unknown_job_is_told(store):
    with pytest.raises(UsageError, match="no job 7"):
        store.get(7)


def test_a_technician_finds_views_with_names(store, tmp_path):
    number = store.add(job(), NOW)
    store.mark(number, SENDING, NOW)
    with sqlite3.connect(tmp_path / "jobs.db") as other:
        (row,) = other.execute("SELECT meter, kind, asked_utc, last_step FROM v_jobs").fetchall()
        (step,) = other.execute("SELECT step, octets FROM v_job_steps").fetchall()
    assert row == ("M1", "load_limit", "2026-05-01 06:31:02", "sending")
    assert step == ("sending", "0600001388")
