"""The pages as a browser gets them: words, figures, safety; no script needed."""

import hashlib
import re
from datetime import date
from decimal import Decimal
from importlib import resources
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from consumer_app.database.accounts import put_account
from consumer_app.database.connect import Database
from consumer_app.ingest.core import ingest_messages
from consumer_app.pages.charts import COLUMN, HEIGHT, bar_chart, line_chart, scale_for
from consumer_app.pages.model import EVENT_NAMES
from consumer_app.pages.texts import texts_in
from consumer_app.pages.wording import Wording, choose_language, load_translations
from consumer_app.services import Services
from gateway.events import EventKind, EventPhase
from tests.consumer.seeds import ACCESS_CODE, CONNECTION, DAY_S, GATEWAY, NOW_S, account
from tests.consumer.test_events import event, told

PAGE = f"/connection/{CONNECTION}"
ROOT = Path(__file__).parents[2] / "consumer_app"
MAX_PAGE_OCTETS = 150_000


def form_token(page: str) -> str:
    found = re.search(r'name="form" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def sign_in(client: TestClient, number: str = CONNECTION, code: str = ACCESS_CODE) -> None:
    token = form_token(client.get("/sign-in").text)
    answer = client.post("/sign-in", data={"connection": number, "code": code, "form": token})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/connection/{number}"


def test_the_page_shows_figures_with_their_readings_and_freshness(client: TestClient) -> None:
    sign_in(client)
    page = client.get(f"{PAGE}?date=2026-09-17").text
    for words in (
        '<html lang="en">',
        "4.31</span>",
        "7.33</span>",
        "46,844.31",
        "Read 12 minutes ago",
        "Supply is on",
        "reading at the end is missing",
        "229.99",
        "07:00",
        "SA1231166",
    ):
        assert words in page, words
    assert page.count('class="bar') == 33
    assert page.count('<rect class="gap"') == 3


def test_hindi_is_chosen_by_the_browser_and_by_the_link(client: TestClient) -> None:
    hindi = client.get("/sign-in", headers={"Accept-Language": "hi-IN,hi;q=0.9,en;q=0.8"}).text
    assert '<html lang="hi">' in hindi
    assert "कनेक्शन नंबर" in hindi
    sign_in(client)
    page = client.get(f"{PAGE}?lang=hi").text
    assert "12 मिनट पहले पढ़ा गया" in page
    assert "यूनिट (kWh)" in page
    assert "46,844.31" in page
    kept = client.get(PAGE).text
    assert '<html lang="hi">' in kept


def test_a_page_without_readings_says_so(client: TestClient) -> None:
    sign_in(client, "4509999999")
    page = client.get("/connection/4509999999").text
    assert "Your meter has not been read yet." in page
    assert "No day can be shown yet." in page


def test_the_page_is_the_consumers_own(client: TestClient) -> None:
    assert client.get(PAGE).headers["location"] == "/sign-in"
    sign_in(client)
    assert client.get("/connection/4509999999").status_code == 404
    assert "A Neighbour" not in client.get("/connection/4509999999").text
    assert client.get("/").headers["location"] == PAGE


def test_signing_out_needs_our_own_form(client: TestClient) -> None:
    sign_in(client)
    assert client.post("/sign-out", data={"form": "forged"}).status_code == 403
    token = form_token(client.get(PAGE).text)
    assert client.post("/sign-out", data={"form": token}).status_code == 303
    assert client.get(PAGE).headers["location"] == "/sign-in"


def test_a_form_without_its_cookie_is_refused(client: TestClient) -> None:
    token = form_token(client.get("/sign-in").text)
    client.cookies.clear()
    body = {"connection": CONNECTION, "code": ACCESS_CODE, "form": token}
    assert client.post("/sign-in", data=body).status_code == 403


def test_wrong_code_and_unknown_number_look_the_same(client: TestClient) -> None:
    pages = []
    for number in (CONNECTION, "4500000000"):
        token = form_token(client.get("/sign-in").text)
        body = {"connection": number, "code": "guess", "form": token}
        answer = client.post("/sign-in", data=body)
        assert answer.status_code == 401
        pages.append(answer.text.replace(number, ""))
    assert pages[0] == pages[1]


def test_cookies_and_headers_are_strict(client: TestClient) -> None:
    sign_in(client)
    token = form_token(client.get("/sign-in").text)
    body = {"connection": CONNECTION, "code": ACCESS_CODE, "form": token}
    cookie = client.post("/sign-in", data=body).headers["set-cookie"].lower()
    for word in ("httponly", "secure", "samesite=lax", "path=/"):
        assert word in cookie
    headers = client.get(PAGE).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


def test_nothing_inline_and_nothing_from_elsewhere(client: TestClient) -> None:
    sign_in(client)
    page = client.get(PAGE).text
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", page)
    assert not re.search(r"<script(?![^>]*\ssrc=\"/static/)", page)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


def test_a_name_cannot_bring_markup_along(client: TestClient, database: Database) -> None:
    with database.transaction() as connection:
        put_account(connection, account(name="<b>Devi</b> & co"), GATEWAY, now_s=0)
    sign_in(client)
    assert "&lt;b&gt;Devi&lt;/b&gt; &amp; co" in client.get(PAGE).text


def test_the_page_is_light(client: TestClient) -> None:
    sign_in(client)
    page = client.get(PAGE).text
    total = len(page.encode())
    for path in {match[1] for match in re.finditer(r'(?:src|href)="(/static/[^"]+)"', page)}:
        answer = client.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        total += len(answer.content)
    assert total < MAX_PAGE_OCTETS


@pytest.mark.parametrize("query", ["date=tomorrow", "date=0001-01-01", "date=2026-02-30"])
def test_a_day_that_cannot_be_is_not_found(client: TestClient, query: str) -> None:
    sign_in(client)
    assert client.get(f"{PAGE}?{query}").status_code == 404


def test_while_the_database_is_away_the_page_says_so_kindly(
    client: TestClient, services: Services
) -> None:
    sign_in(client)
    services.database.close()
    answer = client.get(PAGE)
    assert answer.status_code == 503
    assert "Your readings are safe" in answer.text


def test_every_sentence_has_its_hindi_and_no_hindi_is_left_over() -> None:
    method_map = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
    found = {
        message
        for _, _, message, _, _ in extract_from_dir(
            ROOT, method_map, {"**/templates/**.html": {"extensions": "jinja2.ext.i18n"}}
        )
        if isinstance(message, str)
    }
    stored = (ROOT / "translations/hi/LC_MESSAGES/messages.po").read_bytes()
    catalogue = read_po(BytesIO(stored), locale="hi")
    translated = {str(entry.id): str(entry.string) for entry in catalogue if entry.id}
    assert found == translated.keys()
    assert all(translated.values())
    assert not any(entry.fuzzy for entry in catalogue if entry.id)
    placeholders = re.compile(r"%\(\w+\)s")
    for source, target in translated.items():
        assert sorted(placeholders.findall(source)) == sorted(placeholders.findall(target))


@pytest.mark.parametrize(
    ("asked", "kept", "header", "language"),
    [
        ("hi", "en", "en", "hi"),
        ("xx", "hi", "en", "hi"),
        (None, None, "hi-IN,en;q=0.8", "hi"),
        (None, None, "ta,hi;q=0.9", "hi"),
        (None, None, "hi;q=0,en", "en"),
        (None, None, "ta", "en"),
        (None, None, "", "en"),
        (None, None, ";;,,=q", "en"),
    ],
)
def test_the_language_follows_link_cookie_browser(
    asked: str | None, kept: str | None, header: str, language: str
) -> None:
    assert choose_language(asked, kept, header) == language


def words(language: str) -> Wording:
    return Wording(language, ZoneInfo("Asia/Kolkata"), load_translations(language))


@pytest.mark.parametrize("language", ["en", "hi"])
def test_numbers_are_grouped_the_indian_way(language: str) -> None:
    said = words(language)
    assert said.kwh(Decimal(1234567891)) == "12,34,567.891"
    assert said.kwh(Decimal(0)) == "0.00"
    assert said.measured(Decimal("50.0")) == "50.0"
    assert said.measured(Decimal("5E+2")) == "500"


@pytest.mark.parametrize(
    ("age_s", "english", "hindi"),
    [
        (0, "just now", "अभी-अभी"),
        (60, "1 minute ago", "1 मिनट पहले"),
        (3599, "59 minutes ago", "59 मिनट पहले"),
        (7199, "1 hour ago", "1 घंटे पहले"),
        (172_799, "47 hours ago", "47 घंटे पहले"),
        (40 * 86_400, "40 days ago", "40 दिन पहले"),
    ],
)
def test_ages_are_whole_units_that_have_passed(age_s: int, english: str, hindi: str) -> None:
    assert (words("en").ago(age_s), words("hi").ago(age_s)) == (english, hindi)


def test_dates_are_in_the_language() -> None:
    assert words("hi").short_day(date(2026, 9, 17)) == "17 सित॰"


@given(st.lists(st.none() | st.decimals(0, 10**6, places=3), min_size=1, max_size=60))
def test_no_figure_leaves_the_chart(values: list[Decimal | None]) -> None:
    chart = bar_chart(values)
    known = [value for value in values if value is not None]
    assert chart.scale.top >= max(known, default=Decimal(0))
    assert len(chart.scale.labels) <= 6
    assert chart.scale.labels[-1] == 0
    for bar, value in zip(chart.bars, values, strict=True):
        assert (bar.height is None) == (value is None)
        assert bar.height is None or 0 <= bar.height <= HEIGHT


@pytest.mark.parametrize(
    ("largest", "labels"),
    [("12.26", "15 10 5 0"), ("1.44", "1.5 1.0 0.5 0.0"), ("4", "4 3 2 1 0"), ("0", "1 0")],
)
def test_scales_are_round_numbers(largest: str, labels: str) -> None:
    assert " ".join(str(label) for label in scale_for([Decimal(largest)]).labels) == labels


def test_a_line_breaks_at_gaps_and_says_nothing_of_the_future() -> None:
    chart = line_chart([Decimal(1), None, Decimal(2), None, None], expected=4)
    assert chart.line == "M0 500V500H10M20 0V0H30"
    assert chart.gaps == ((COLUMN, COLUMN), (3 * COLUMN, COLUMN))


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (
            "vendor/uplot/uPlot-1.6.32.iife.min.js",
            "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        ),
        (
            "vendor/uplot/uPlot-1.6.32.min.css",
            "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        ),
        (
            "fonts/noto-sans-devanagari-devanagari-400-normal.woff2",
            "f86f14cbd1004f5795689ee9cc70d5d87d915f5135b30283525c1c7b8f0eb192",
        ),
        (
            "fonts/noto-sans-devanagari-devanagari-700-normal.woff2",
            "6a68069c959d7f3c02f4062dd9be85327448b5d753e95455b1c0320f37f68fc1",
        ),
    ],
)
def test_shipped_files_are_as_published(name: str, digest: str) -> None:
    content = resources.files("consumer_app.static").joinpath(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest


@pytest.mark.parametrize(
    ("language", "failed", "opened", "nothing"),
    [
        ("en", "Supply failed", "Meter cover opened", "The meter has told of nothing"),
        ("hi", "बिजली गई", "मीटर का ढक्कन खोला गया", "मीटर ने कुछ नहीं बताया है"),
    ],
)
def test_the_page_tells_what_happened_in_the_consumers_words(
    client: TestClient, database: Database, language: str, failed: str, opened: str, nothing: str
) -> None:
    sign_in(client)
    assert nothing in client.get(f"{PAGE}?lang={language}").text
    cover = EventKind("meter_cover_open", EventPhase.OCCURRED, "non_rollover", 251)
    inner = EventKind("status_word_filter_set", EventPhase.OCCURRED, "transaction", 165)
    future = event(NOW_S + 9 * DAY_S)
    told_events = told(99, event(), event(NOW_S, cover), event(NOW_S, inner), future)
    ingest_messages(database, [told_events], now_s=NOW_S)
    page = client.get(f"{PAGE}?lang={language}").text
    assert failed in page
    assert page.index(opened) < page.index(failed), "the newest first"
    assert "status_word" not in page
    assert page.count(failed) == 1, "a clock that ran ahead is not believed"


@pytest.mark.parametrize("language", ["en", "hi"])
def test_every_event_that_is_told_has_its_words(language: str) -> None:
    texts = texts_in(words(language)).events
    assert tuple(texts) == EVENT_NAMES
    assert all(one["occurred"] for one in texts.values())
