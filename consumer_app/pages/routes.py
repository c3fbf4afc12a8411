"""The pages: sign in, one connection, sign out."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from consumer_app.access import (
    SESSION_LIFE_S,
    Session,
    SignInAnswer,
    session_still_valid,
    sign_in,
)
from consumer_app.api.routes import (
    SESSION_COOKIE,
    Parts,
    checked_day,
    client_address,
    services_of,
    view_of,
)
from consumer_app.pages.model import connection_page
from consumer_app.pages.render import FORM_COOKIE, Pages
from gateway.errors import GatewayError, UsageError

router = APIRouter(include_in_schema=False)
_SEE_OTHER = HTTPStatus.SEE_OTHER


def _pages(request: Request) -> Pages:
    pages = request.app.state.pages
    assert isinstance(pages, Pages)
    return pages


def _session(request: Request) -> Session | None:
    services = services_of(request)
    token = request.cookies.get(SESSION_COOKIE, "")
    session = services.tokens.session(token, now_s=services.now_s())
    if session is None:
        return None
    with services.database.transaction() as connection:
        return session if session_still_valid(connection, session) else None


def _check_form(request: Request, token: str) -> None:
    """Refuse a form that another site made this browser send."""
    nonce = request.cookies.get(FORM_COOKIE, "")
    if not services_of(request).tokens.form_is_ours(nonce, token):
        raise HTTPException(403, "this form is not ours, or too old: load the page again")


@router.get("/")
def first_page(request: Request) -> Response:
    """To the own connection, or to sign in."""
    session = _session(request)
    target = "/sign-in" if session is None else f"/connection/{session.connection}"
    return RedirectResponse(target, _SEE_OTHER)


@router.get("/sign-in")
def sign_in_page(request: Request, services: Parts) -> Response:
    """The form."""
    context = {"error": "", "connection": ""}
    return _pages(request).answer(request, services, "sign_in.html", context)


@router.post("/sign-in")
def post_sign_in(
    request: Request,
    services: Parts,
    connection: Annotated[str, Form(max_length=64)] = "",
    code: Annotated[str, Form(max_length=128)] = "",
    form: Annotated[str, Form(max_length=512)] = "",
) -> Response:
    """A session, or the form again with one and the same answer for whatever was wrong."""
    _check_form(request, form)
    number = connection.strip()
    with services.database.transaction() as opened:
        outcome = sign_in(
            opened, number, code, address=client_address(request), now_s=services.now_s()
        )
    if isinstance(outcome, Session):
        response = RedirectResponse(f"/connection/{outcome.connection}", _SEE_OTHER)
        response.set_cookie(
            SESSION_COOKIE,
            services.tokens.session_token(outcome),
            max_age=SESSION_LIFE_S,
            httponly=True,
            samesite="lax",
            secure=services.secure_cookie,
        )
        return response
    _ = _pages(request).words_of(request).gettext
    if outcome is SignInAnswer.TOO_MANY:
        error, status = _("Too many attempts. Please try again in 15 minutes."), 429
    else:
        error, status = _("The connection number or the access code is wrong."), 401
    return _pages(request).answer(
        request,
        services,
        "sign_in.html",
        {"error": error, "connection": number},
        status=status,
    )


@router.post("/sign-out")
def sign_out(request: Request, form: Annotated[str, Form(max_length=512)] = "") -> Response:
    """End the session in this browser."""
    _check_form(request, form)
    response = RedirectResponse("/sign-in", _SEE_OTHER)
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.get("/connection/{number}")
def show_connection(request: Request, services: Parts, number: str) -> Response:
    """The page of a connection, for its own consumer only."""
    session = _session(request)
    if session is None:
        return RedirectResponse("/sign-in", _SEE_OTHER)
    chosen = _chosen_day(request)
    with view_of(services, session, number) as view:
        page = connection_page(view, chosen)
    return _pages(request).answer(
        request, services, "connection.html", {"page": page}, signed_in=True
    )


def _chosen_day(request: Request) -> date | None:
    text = request.query_params.get("date")
    if text is None:
        return None
    try:
        return checked_day(date.fromisoformat(text))
    except (ValueError, UsageError):
        raise HTTPException(404, "no such day") from None


def error_page(request: Request, status: int) -> Response:
    """An error in the consumer's words; details stay in the log."""
    pages = _pages(request)
    _ = pages.words_of(request).gettext
    heading, text = {
        403: (_("Please load the page again"), _("This form was too old to be sent.")),
        404: (_("Not found"), _("There is nothing to show at this address.")),
        503: (
            _("One moment, please"),
            _("Your readings are safe, but they cannot be shown now. Please try again soon."),
        ),
    }.get(status, (_("Something went wrong"), _("Please try again.")))
    return pages.answer(
        request,
        services_of(request),
        "error.html",
        {"heading": heading, "text": text},
        status=status,
    )


def page_of_http_error(request: Request, error: Exception) -> Response:
    """Page for an HTTPException."""
    assert isinstance(error, HTTPException)
    return error_page(request, error.status_code)


def page_of_gateway_error(request: Request, error: GatewayError) -> Response:
    """Page for one of our errors."""
    return error_page(request, 503 if error.retryable else 500)
