"""``/api/v1``: what a consumer may know of the own connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from consumer_app.access import Session, SignInAnswer, session_still_valid, sign_in
from consumer_app.api import answers, schemas
from consumer_app.connection_view import ConnectionView
from consumer_app.database.accounts import account_of
from consumer_app.database.events import Place
from consumer_app.services import Services
from gateway.errors import UsageError
from gateway.model import ConnectionNo

SESSION_COOKIE = "smg_session"
MAX_DAYS = 366
MAX_EVENTS = 200
_PLACE = re.compile(r"(-?\d{1,12})\.(\d{1,18})", re.ASCII)
"""Where a page of events ends: time and number of its last one."""

_bearer = HTTPBearer(auto_error=False, description="A token from /api/v1/sign-in")
_cookie = APIKeyCookie(name=SESSION_COOKIE, auto_error=False, description="Set by the sign-in page")
_PROBLEM: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }
    for status in (400, 401, 404, 422, 429, 503)
}

router = APIRouter(prefix="/api/v1", responses=_PROBLEM)


def services_of(request: Request) -> Services:
    """The parts that the application was made with."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


def client_address(request: Request) -> str:
    """The peer's address, for limits on guessing."""
    return request.client.host if request.client else ""


def signed_in(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    cookie: Annotated[str | None, Security(_cookie)],
) -> Session:
    """The session of this request; 401 without one."""
    services = services_of(request)
    token = bearer.credentials if bearer else cookie or ""
    session = services.tokens.session(token, now_s=services.now_s())
    if session is not None:
        with services.database.transaction() as connection:
            if session_still_valid(connection, session):
                return session
    raise HTTPException(401, "sign in first", {"WWW-Authenticate": "Bearer"})


@contextmanager
def view_of(services: Services, session: Session, number: str) -> Iterator[ConnectionView]:
    """The figures of a connection for its own consumer; 404 for any other number."""
    if number != session.connection:
        raise HTTPException(404, "no such connection")
    with services.database.transaction() as connection:
        account = account_of(connection, ConnectionNo(number))
        if account is None:
            raise HTTPException(404, "no such connection")
        yield ConnectionView(connection, account, services.zone, services.now_s())


SignedIn = Annotated[Session, Depends(signed_in)]
Parts = Annotated[Services, Depends(services_of)]
Number = Annotated[str, Path(description="Connection number", max_length=64)]
Day = Annotated[date, Query(alias="date", description="Local date, YYYY-MM-DD")]


def checked_day(day: date) -> date:
    """A date that readings can have; UsageError for one at the ends of the calendar."""
    if not 1971 <= day.year < 9999:
        raise UsageError(f"date {day}: between 1971 and 9998")
    return day


@router.post("/sign-in")
def post_sign_in(request: Request, services: Parts, body: schemas.SignInRequest) -> schemas.Token:
    """Exchange connection number and access code for a bearer token."""
    with services.database.transaction() as connection:
        outcome = sign_in(
            connection,
            body.connection,
            body.code,
            address=client_address(request),
            now_s=services.now_s(),
        )
    if outcome is SignInAnswer.TOO_MANY:
        raise HTTPException(429, "too many attempts, try again later", {"Retry-After": "900"})
    if isinstance(outcome, SignInAnswer):
        raise HTTPException(401, "connection number or access code is wrong")
    return schemas.Token(services.tokens.session_token(outcome), outcome.connection)


@router.get("/connections/{number}")
def get_connection(services: Parts, session: SignedIn, number: Number) -> schemas.ConnectionOut:
    """The connection and the meters that stood there."""
    with view_of(services, session, number) as view:
        return answers.connection_out(view.account, view.zone)


@router.get("/connections/{number}/daily")
def get_daily(
    services: Parts,
    session: SignedIn,
    number: Number,
    first: Annotated[date, Query(alias="from", description="First local date")],
    last: Annotated[date, Query(alias="to", description="Last local date, included")],
) -> schemas.DailyOut:
    """Units of each day: the difference of its two midnight registers, or a gap."""
    if not 0 <= (checked_day(last) - checked_day(first)).days < MAX_DAYS:
        raise UsageError(f"from {first} to {last}: at most {MAX_DAYS} days, from before to")
    with view_of(services, session, number) as view:
        days = [answers.day_out(day, view.zone) for day in view.units(first, last)]
        return schemas.DailyOut(view.account.connection, view.zone.key, days)


@router.get("/connections/{number}/load")
def get_load(services: Parts, session: SignedIn, number: Number, day: Day) -> schemas.LoadOut:
    """Block load of one day, blocks that were not read included."""
    with view_of(services, session, number) as view:
        return answers.load_out(view.account.connection, view.load(checked_day(day)), view.zone)


@router.get("/connections/{number}/latest")
def get_latest(services: Parts, session: SignedIn, number: Number) -> schemas.LatestOut:
    """The newest voltage, current, power and the like."""
    with view_of(services, session, number) as view:
        return answers.latest_out(view.account.connection, view.snapshot(), view.zone, view.now_s)


@router.get("/connections/{number}/register")
def get_register(services: Parts, session: SignedIn, number: Number) -> schemas.RegisterNowOut:
    """The newest register reading with its time and freshness."""
    with view_of(services, session, number) as view:
        return answers.register_now_out(
            view.account.connection, view.register(), view.zone, view.now_s
        )


@router.get("/connections/{number}/events")
def get_events(
    services: Parts,
    session: SignedIn,
    number: Number,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS, description="Events on a page")] = 50,
    before: Annotated[
        str | None, Query(max_length=40, description="The next of the page before")
    ] = None,
) -> schemas.EventsOut:
    """What happened at the meter: supply, voltage, tampering, the load switch; newest first."""
    place = None if before is None else _place(before)
    with view_of(services, session, number) as view:
        events = view.events(limit + 1, before=place)
        return answers.events_out(view.account.connection, events, limit, view.zone)


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UsageError("before is the next of another page")
    return int(found[1]), int(found[2])
