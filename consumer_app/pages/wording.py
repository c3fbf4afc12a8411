"""Words, numbers, dates in a consumer's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from importlib import resources
from io import BytesIO
from typing import Literal
from zoneinfo import ZoneInfo

from babel import Locale, negotiate_locale
from babel.dates import format_date, format_skeleton, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

from consumer_app.site_time import local_time

LANGUAGES: Mapping[str, str] = {"en": "English", "hi": "हिन्दी"}
"""Languages of the page, each by its own name."""

_WH_PER_KWH = 1000
_NEVER = 10**9
"""Threshold at which Babel would take a larger, rounded unit by itself."""
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def load_translations(language: str) -> NullTranslations:
    """The catalogue of a language; English is the language of the templates themselves."""
    if language == "en":
        return NullTranslations()
    source = resources.files("consumer_app.translations").joinpath(
        language, "LC_MESSAGES", "messages.po"
    )
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(source.read_bytes()), locale=language))
    compiled.seek(0)
    return Translations(compiled)


def choose_language(asked: str | None, kept: str | None, accept_language: str) -> str:
    """The language asked for, else the one kept in a cookie, else the browser's, else English."""
    for choice in (asked, kept):
        if choice is not None and choice in LANGUAGES:
            return choice
    preferred = []
    for part in accept_language.split(",")[:20]:
        tag, _, quality = part.strip().partition(";q=")
        if quality != "0":
            preferred.append(tag.split("-")[0].lower())
    return negotiate_locale(preferred, list(LANGUAGES)) or "en"


class Wording:
    """Formats for one language and one site's zone.

    Numbers are grouped the Indian way (1,23,456.78) in both languages.
    """

    def __init__(self, language: str, zone: ZoneInfo, translations: NullTranslations) -> None:
        self.language = language
        self._locale = Locale(language, "IN")
        self._zone = zone
        self.gettext = translations.ugettext
        self.ngettext = translations.ungettext

    def number(self, value: Decimal | int, most: int = 2, least: int = 0) -> str:
        """A number with ``least`` to ``most`` decimals."""
        decimals = "0" * least + "#" * (most - least)
        pattern = f"#,##,##0.{decimals}" if decimals else "#,##,##0"
        return format_decimal(value, pattern, self._locale)

    def measured(self, value: Decimal) -> str:
        """A number with the decimals that the meter sent, three at most."""
        exponent = value.as_tuple().exponent
        decimals = min(3, max(0, -exponent)) if isinstance(exponent, int) else 0
        return self.number(value, decimals, decimals)

    def kwh(self, wh: Decimal, most: int = 3) -> str:
        """Energy given in Wh, as kWh with two decimals or as many as are known."""
        return self.number(wh / _WH_PER_KWH, most, 2)

    def day(self, day: date) -> str:
        """Thu, 17 Sep 2026."""
        return format_skeleton("yMMMEd", day, locale=self._locale)

    def weekday(self, day: date) -> str:
        """Thu, 17 Sep."""
        return format_skeleton("MMMEd", day, locale=self._locale)

    def short_day(self, day: date) -> str:
        """17 Sep."""
        return format_skeleton("MMMd", day, locale=self._locale)

    def clock(self, at_s: int) -> str:
        """Time of day, 24 hours: 18:30."""
        return local_time(at_s, self._zone).strftime("%H:%M")

    def moment(self, at_s: int) -> str:
        """Date and time of day at the site."""
        local = local_time(at_s, self._zone)
        return f"{format_date(local.date(), 'medium', self._locale)}, {local:%H:%M}"

    def ago(self, age_s: int) -> str:
        """How long ago, in whole minutes, hours or days that have passed."""
        if age_s < _MINUTE_S:
            return self.gettext("just now")
        unit: Literal["minute", "hour", "day"]
        if age_s < _HOUR_S:
            unit, passed = "minute", timedelta(minutes=age_s // _MINUTE_S)
        elif age_s < 2 * _DAY_S:
            unit, passed = "hour", timedelta(hours=age_s // _HOUR_S)
        else:
            unit, passed = "day", timedelta(days=age_s // _DAY_S)
        return format_timedelta(
            -passed, unit, threshold=_NEVER, add_direction=True, locale=self._locale
        )
