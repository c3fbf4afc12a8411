"""``gateway jobs``: ask something of a meter, and see what became of it.

With ``--config`` a job goes into the site's jobs.db, and the running service carries it out. With
``--url`` it is carried out at once, from a laptop, and its audit is kept in the state folder.
"""

from __future__ import annotations

import asyncio
import getpass
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli.connect import (
    MeterOptions,
    Target,
    counters_of,
    default_state_directory,
    resolve,
)
from gateway.cli.output import exit_codes, log_to_stderr, print_json, print_table, say
from gateway.config import load_site
from gateway.dlms.management.steps import Outcome, Result
from gateway.errors import GatewayError, NoAnswer, PeerRefused, SecurityError, UsageError
from gateway.model import MeterId
from gateway.profile import load_profile
from gateway.service.clock import SystemClock
from gateway.service.job_kinds import JobKind, plan_job, read_kind, read_parameters, rotated_secrets
from gateway.service.jobs import MAY_BEGIN_WITHIN_S, US_PER_S, JobRunner
from gateway.service.sessions import SessionMaker, unreadable
from gateway.store.jobs import JobRecord, JobState, JobStep, JobStore, NewJob
from gateway.store.thread import StoreThread
from gateway.transport import open_transport

_ATTEMPTS: Final = 3
_REST_S: Final = 2
_LONGEST_WAIT_S: Final = 600
_EXIT_CODES: Final = {
    Outcome.DONE: 0,
    Outcome.ALREADY_SO: 0,
    Outcome.REFUSED: 1,
    Outcome.DIFFERS: 1,
    Outcome.UNKNOWN: 3,
    Outcome.CANCELLED: 3,
}
_config = click.option(
    "--config",
    "--site",
    "config_file",
    type=click.Path(path_type=Path),
    help="Site file: its jobs.db.",
)
_state = click.option(
    "--state", type=click.Path(path_type=Path), help="Folder of a laptop's stores."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group("jobs")
def jobs_group() -> None:
    """Management jobs: settings, calendar, firmware, secrets; each with its audit."""


@jobs_group.command("run")
@click.argument("kind", metavar="KIND")
@click.argument("parameters", metavar="NAME=VALUE ...", nargs=-1)
@click.option("--meter", help="Serial number; needed with --config, checked with --url.")
@_config
@click.option("--within", "within_s", type=int, default=MAY_BEGIN_WITHIN_S, help="Seconds.")
@click.option("--by", help="Who asks; the user's name unless given.")
@click.option("--url", help="Carry it out now at the meter there.")
@click.option("--profile", help="Firmware profile, with --url.")
@click.option("--server", type=int, help="Meter address on its wire, with --url.")
@click.option("--keys", type=click.Path(path_type=Path), help="Keys file, with --url.")
@_state
@click.option("--timeout", "timeout_s", type=float, default=20.0, show_default=True)
@_json
def run_command(
    kind: str,
    parameters: tuple[str, ...],
    meter: str | None,
    config_file: Path | None,
    within_s: int,
    by: str | None,
    url: str | None,
    profile: str | None,
    server: int | None,
    keys: Path | None,
    state: Path | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Ask KIND of a meter: load_limit limit_w=5000, payment_mode mode=prepaid, ...

    Amounts and times have their unit in the name. With --config it is queued for the service;
    with --url it is done at once (not secrets: they need the site's keystore).
    """
    log_to_stderr()
    with exit_codes():
        asked = Asked(read_kind(kind), _words(parameters), by or getpass.getuser(), within_s)
        if config_file is not None and url is None and meter is not None:
            code = queue(asked, config_file, meter, as_json=as_json)
        elif url is not None and config_file is None and profile is not None:
            options = MeterOptions(
                url=url,
                profile=profile,
                client="us",
                server=server,
                keys=keys,
                state=state,
                timeout_s=timeout_s,
            )
            code = asyncio.run(_at_once(asked, options, meter, as_json=as_json))
        else:
            raise UsageError("say --config with --meter, or --url with --profile")
    sys.exit(code)


@jobs_group.command("list")
@_config
@_state
@click.option("--meter", help="Only of this meter.")
@click.option("--all", "all_jobs", is_flag=True, help="Also those that are closed.")
@_json
def list_command(
    config_file: Path | None, state: Path | None, meter: str | None, all_jobs: bool, as_json: bool
) -> None:
    """Jobs that are open."""
    with exit_codes(), _store(config_file, state) as store:
        found = [_document(one) for one in store.listed(meter=meter, all_jobs=all_jobs)]
        if as_json:
            print_json({"jobs": found})
        else:
            head = ("id", "meter", "kind", "state", "outcome", "reason")
            print_table("jobs", head, [[one[name] for name in head] for one in found])


@jobs_group.command("show")
@click.argument("job", type=int)
@_config
@_state
@_json
def show_command(job: int, config_file: Path | None, state: Path | None, as_json: bool) -> None:
    """A job with every step and its evidence."""
    with exit_codes(), _store(config_file, state) as store:
        document = _whole(store, job)
        if as_json:
            print_json(document)
        else:
            steps = document.pop("steps")
            print_table(f"job {job}", list(document), [list(document.values())])
            head = ("number", "at", "step", "what", "detail", "octets")
            print_table("steps", head, [[one[name] for name in head] for one in steps])


@jobs_group.command("cancel")
@click.argument("job", type=int)
@_config
@_state
@click.option("--by", help="Who cancels; the user's name unless given.")
@_json
def cancel_command(
    job: int, config_file: Path | None, state: Path | None, by: str | None, as_json: bool
) -> None:
    """Close a job before anything was sent."""
    with exit_codes(), _store(config_file, state) as store:
        store.cancel(job, by or getpass.getuser(), SystemClock().now_us())
        if as_json:
            print_json(_document(store.get(job)))
        else:
            say(f"job {job} is cancelled")


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants of a meter."""

    kind: JobKind
    words: dict[str, str]
    by: str
    within_s: int

    def new_job(self, meter: str, parameters: dict[str, Any], now_us: int) -> NewJob:
        """The same for the store."""
        return NewJob(
            meter=MeterId(meter),
            kind=self.kind,
            parameters=parameters,
            asked_by=self.by,
            not_before_us=now_us,
            not_after_us=now_us + max(1, self.within_s) * US_PER_S,
        )


def _words(parameters: tuple[str, ...]) -> dict[str, str]:
    words: dict[str, str] = {}
    for one in parameters:
        name, equals, value = one.partition("=")
        if not equals or name in words:
            raise UsageError(f"{one!r}: NAME=VALUE is wanted, each name once")
        words[name] = value
    return words


def queue(asked: Asked, config_file: Path, meter: str, *, as_json: bool) -> int:
    """Put a job in for the service; raise UsageError for what cannot be."""
    site = load_site(config_file)
    known = [one for _, one in site.meters if one.serial == meter]
    if not known:
        raise UsageError(f"{config_file}: has no meter {meter}")
    now_us = SystemClock().now_us()
    parameters = read_parameters(asked.kind, asked.words)
    profile = load_profile(known[0].profile, site.profiles)
    # What the profile forbids is said now, to the one who asks.
    if asked.kind is JobKind.ROTATE_SECRETS:
        rotated_secrets(profile, parameters)
    else:
        plan_job(asked.kind, parameters, profile, now_us // US_PER_S)
    with _store(config_file, None) as store:
        number = store.add(asked.new_job(meter, parameters, now_us), now_us)
        if as_json:
            print_json(_document(store.get(number)))
        else:
            say(f"job {number} is queued")
    return 0


async def _at_once(asked: Asked, options: MeterOptions, meter: str | None, *, as_json: bool) -> int:
    profile = load_profile(options.profile)
    clock = SystemClock()
    parameters = read_parameters(asked.kind, asked.words)
    if "at" in parameters:
        raise UsageError("what happens later is queued for the service: --config")
    plan = plan_job(asked.kind, parameters, profile, clock.now_us() // US_PER_S)
    target = resolve(replace(options, client=plan.association))
    async with counters_of(target) as counters:
        beside = target.counters.counters.with_name("jobs.db")
        jobs = await StoreThread.open(lambda: JobStore.open(beside), name="jobs")
        try:
            new = asked.new_job(meter or str(target.url), parameters, clock.now_us())
            number = await jobs.run(JobStore.add, new, clock.now_us())
            faults: list[GatewayError] = []
            runner = JobRunner(
                sessions=SessionMaker(counters, clock),
                jobs=jobs,
                clock=clock,
                random_bytes=secrets.token_bytes,
                on_fault=faults.append,
                checks_serial=meter is not None,
            )
            record = await jobs.run(JobStore.get, number)
            ended = await _to_its_end(runner, record, target, faults)
            document = await jobs.run(_whole, number)
        finally:
            await jobs.close()
    if as_json:
        print_json(document)
    else:
        say(f"job {number}: {ended.outcome}{f' ({ended.reason})' if ended.reason else ''}")
    return _exit_code(ended, faults)


async def _to_its_end(
    runner: JobRunner, record: JobRecord, target: Target, faults: list[GatewayError]
) -> Result:
    """Attempt after attempt; what was sent and not heard of is found out in the next one."""
    waited_s = 0
    while True:
        transport = open_transport(target.url)
        try:
            await transport.connect()
            ended = await runner.attempt(record, target.access, transport)
        except NoAnswer as error:
            faults.append(error)
            await runner.missed(record, str(error))
            ended = None
        finally:
            await transport.close()
        if isinstance(ended, Result):
            return ended
        is_fault = ended is None or ended.fault
        hopeless = bool(faults) and not faults[-1].retryable
        if is_fault and (hopeless or len(faults) >= _ATTEMPTS):
            return await runner.give_up(record, str(faults[-1]))
        rest_s = _REST_S if ended is None or ended.fault else ended.seconds
        waited_s += rest_s
        if waited_s > _LONGEST_WAIT_S:
            return await runner.give_up(record, "it takes too long to wait for here")
        await asyncio.sleep(rest_s)


def _exit_code(ended: Result, faults: list[GatewayError]) -> int:
    if ended.outcome is Outcome.CANCELLED and faults:
        error = faults[-1]
        if isinstance(error, PeerRefused) and unreadable(error):
            return SecurityError.exit_code
        return error.exit_code
    return _EXIT_CODES[ended.outcome]


@contextmanager
def _store(config_file: Path | None, state: Path | None) -> Iterator[JobStore]:
    if config_file is not None and state is not None:
        raise UsageError("say one of --config and --state")
    if config_file is not None:
        path = load_site(config_file).stores.jobs_file
    else:
        path = (state or default_state_directory()) / "jobs.db"
        if not path.exists():
            raise UsageError(f"{path}: there are no jobs; say --config for those of a site")
    store = JobStore.open(path)
    try:
        yield store
    finally:
        store.close()


def _document(record: JobRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "meter": record.meter,
        "kind": record.kind,
        "parameters": dict(record.parameters),
        "asked_by": record.asked_by,
        "asked_at": _iso(record.asked_at_us),
        "state": record.state,
        "outcome": record.outcome,
        "reason": record.reason,
        "next_at": _iso(record.rests_until_us) if record.state is JobState.WAITING else None,
    }


def _whole(store: JobStore, job: int) -> dict[str, Any]:
    return _document(store.get(job)) | {"steps": [_step(one) for one in store.steps(job)]}


def _step(one: JobStep) -> dict[str, Any]:
    return {
        "number": one.number,
        "at": _iso(one.at_us),
        "step": one.step,
        "what": one.what,
        "detail": one.detail,
        "octets": one.octets.hex(),
    }


def _iso(time_us: int | None) -> str | None:
    if time_us is None:
        return None
    return datetime.fromtimestamp(time_us // US_PER_S, tz=UTC).isoformat()
