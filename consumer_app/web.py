"""The web application: API and pages over injected parts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from consumer_app.api import problems
from consumer_app.api.routes import router as api_router
from consumer_app.api.schemas import Problem
from consumer_app.pages.render import SECURITY_HEADERS, Pages
from consumer_app.pages.routes import (
    error_page,
    page_of_gateway_error,
    page_of_http_error,
)
from consumer_app.pages.routes import router as page_router
from consumer_app.services import Services
from gateway.errors import GatewayError

_LOG = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"
API_VERSION = "1"


def create_app(services: Services) -> FastAPI:
    """API under /api/v1, pages elsewhere; nothing is loaded from other hosts."""
    app = FastAPI(
        title="Smart meter consumer API",
        version=API_VERSION,
        description=(
            "Daily units, load, latest values and register readings of one connection."
            " Numbers are exact decimal strings; what is not known is a gap with its reason."
        ),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.services = services
    app.state.pages = Pages(services.zone)
    app.include_router(api_router)
    app.include_router(page_router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.middleware("http")(_with_headers)
    if services.trusted_proxies:
        # Limits on guessing count by the client's address. Of X-Forwarded-For the last one that is
        # no trusted proxy is taken: what stands before it is the client's own claim.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(services.trusted_proxies))
    return app


def openapi_document(app: FastAPI) -> dict[str, object]:
    """The API's description, with the shape of its errors."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    schemas["Problem"] = {
        "type": "object",
        "description": Problem.__doc__,
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }
    return document


def _for_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _on_http_error(request: Request, error: Exception) -> Response:
    if _for_api(request):
        return problems.http_problem(request, error)
    return page_of_http_error(request, error)


def _on_validation_error(request: Request, error: Exception) -> Response:
    if _for_api(request):
        return problems.validation_problem(request, error)
    return error_page(request, 404)


def _on_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    _LOG.error("%s %s: %s", request.method, request.url.path, error)
    if _for_api(request):
        return problems.gateway_problem(request, error)
    return page_of_gateway_error(request, error)


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(SECURITY_HEADERS)
    if not request.url.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-store"
    elif "v" in request.query_params:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
