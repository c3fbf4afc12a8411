"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.errors import GatewayError, UsageError

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, title: str = ""
) -> JSONResponse:
    """A problem document; ``type`` is about:blank, so the title is the status's own phrase."""
    body = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def status_of(error: GatewayError) -> int:
    """HTTP status of one of our errors: the caller's fault, or ours to try again."""
    if isinstance(error, UsageError):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.SERVICE_UNAVAILABLE if error.retryable else HTTPStatus.INTERNAL_SERVER_ERROR


def http_problem(request: Request, error: Exception) -> Response:
    """Handler of HTTPException."""
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


def validation_problem(request: Request, error: Exception) -> Response:
    """Handler of RequestValidationError: names each wrong part, shows no value."""
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(parts))


def gateway_problem(request: Request, error: Exception) -> Response:
    """Handler of GatewayError: what the database said stays in the log."""
    assert isinstance(error, GatewayError)
    status = status_of(error)
    if isinstance(error, UsageError):
        return problem(status, str(error))
    headers = {"Retry-After": "10"} if error.retryable else None
    return problem(status, "the readings cannot be reached now", headers)
