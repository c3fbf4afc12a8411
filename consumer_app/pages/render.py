"""Templates with the parts every page shares: words, language, form token, headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from consumer_app.pages.texts import texts_in
from consumer_app.pages.wording import LANGUAGES, Wording, choose_language, load_translations
from consumer_app.services import Services

LANGUAGE_COOKIE = "smg_language"
FORM_COOKIE = "smg_form"
_LANGUAGE_KEPT_S = 365 * 86_400

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


@cache
def _version(name: str) -> str:
    content = resources.files("consumer_app.static").joinpath(name).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]


def static_path(name: str) -> str:
    """Path of a shipped file, with its content's digest so that it may be cached for long."""
    return f"/static/{name}?v={_version(name)}"


def _kwh_plain(wh: Decimal) -> str:
    """Energy in kWh, or power in kW, for the chart script: no grouping."""
    return format(round(wh / 1000, 6), "f")


class Pages:
    """One template environment a language, made once."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._words: dict[str, Wording] = {}
        self._environments: dict[str, Environment] = {}
        for language in LANGUAGES:
            translations = load_translations(language)
            words = Wording(language, zone, translations)
            environment = Environment(
                loader=PackageLoader("consumer_app.pages"),
                autoescape=True,
                undefined=StrictUndefined,
                trim_blocks=True,
                lstrip_blocks=True,
                extensions=["jinja2.ext.i18n"],
            )
            environment.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
            environment.filters["short_day"] = words.short_day
            environment.globals.update(
                words=words,
                texts=texts_in(words),
                languages=LANGUAGES,
                zone=zone.key,
                static=static_path,
                kwh_plain=_kwh_plain,
            )
            self._words[language] = words
            self._environments[language] = environment

    def language_of(self, request: Request) -> str:
        """The language this request is to be answered in."""
        return choose_language(
            request.query_params.get("lang"),
            request.cookies.get(LANGUAGE_COOKIE),
            request.headers.get("accept-language", ""),
        )

    def words_of(self, request: Request) -> Wording:
        """Words in that language."""
        return self._words[self.language_of(request)]

    def answer(
        self,
        request: Request,
        services: Services,
        template: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        signed_in: bool = False,
    ) -> HTMLResponse:
        """Render a page; sets the form cookie where there is none, and keeps the language."""
        language = self.language_of(request)
        nonce = request.cookies.get(FORM_COOKIE, "")
        fresh = "" if nonce else services.random_bytes(16).hex()
        body = (
            self._environments[language]
            .get_template(template)
            .render(
                utility=services.utility,
                signed_in=signed_in,
                form_token=services.tokens.form_token(nonce or fresh),
                asked_date=_asked_date(request),
                **context,
            )
        )
        response = HTMLResponse(
            body, status, {"Content-Language": language, "Vary": "Accept-Language, Cookie"}
        )
        if fresh:
            response.set_cookie(
                FORM_COOKIE,
                fresh,
                httponly=True,
                samesite="lax",
                secure=services.secure_cookie,
            )
        if request.query_params.get("lang") == language:
            response.set_cookie(
                LANGUAGE_COOKIE,
                language,
                max_age=_LANGUAGE_KEPT_S,
                httponly=True,
                samesite="lax",
                secure=services.secure_cookie,
            )
        return response


def _asked_date(request: Request) -> str:
    text = request.query_params.get("date", "")
    return text if len(text) == 10 and text.replace("-", "").isdecimal() else ""
