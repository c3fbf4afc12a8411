"""The API: exact strings, own connection only, problems as RFC 9457 says."""

import base64
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from consumer_app.access import SESSION_LIFE_S, Session, Tokens, set_access_code
from consumer_app.cli import openapi_text
from consumer_app.database.connect import Database
from consumer_app.services import Services
from consumer_app.web import create_app
from gateway.errors import UsageError
from gateway.model import ConnectionNo, Secret, row_digest
from tests.consumer.seeds import ACCESS_CODE, CONNECTION, DAILY, MIDNIGHT_S, NOW_S

API = f"/api/v1/connections/{CONNECTION}"


@pytest.fixture
def bearer(client: TestClient) -> dict[str, str]:
    answer = client.post("/api/v1/sign-in", json={"connection": CONNECTION, "code": ACCESS_CODE})
    assert answer.status_code == 200
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_units_are_exact_strings_with_both_registers_and_their_octets(
    client: TestClient, bearer: dict[str, str]
) -> None:
    answer = client.get(f"{API}/daily?from=2026-09-16&to=2026-09-17", headers=bearer).json()
    yesterday, today = answer["days"]
    assert (yesterday["date"], yesterday["units_wh"], yesterday["gap"]) == (
        "2026-09-16",
        "7326",
        None,
    )
    assert yesterday["closing"]["wh"] == "46840000"
    assert yesterday["closing"]["at"] == "2026-09-17T00:00:00+05:30"
    octets = base64.b64decode(yesterday["closing"]["raw"])
    assert row_digest(DAILY.digest, octets).hex() == yesterday["closing"]["row_digest"]
    assert yesterday["closing"]["capture_list"] == DAILY.digest.hex()
    assert yesterday["closing"]["invocation_counter"] == 4711
    assert (today["units_wh"], today["gap"], today["closing"]) == (None, "day_not_over", None)


def test_a_day_without_a_reading_is_a_gap(client: TestClient, bearer: dict[str, str]) -> None:
    days = client.get(f"{API}/daily?from=2026-09-08&to=2026-09-10", headers=bearer).json()["days"]
    assert [day["gap"] for day in days] == [
        "closing_reading_missing",
        "opening_reading_missing",
        None,
    ]
    assert [day["units_wh"] for day in days] == [None, None, "7326"]


def test_the_load_of_a_day_names_each_block(client: TestClient, bearer: dict[str, str]) -> None:
    answer = client.get(f"{API}/load?date=2026-09-17", headers=bearer).json()
    assert (answer["period_s"], len(answer["blocks"])) == (1800, 48)
    assert answer["blocks"][0] == {
        "start": "2026-09-17T00:00:00+05:30",
        "end": "2026-09-17T00:30:00+05:30",
        "wh": "101",
        "v": ["231.07"],
        "a": ["1.32"],
        "gap": None,
    }
    assert [answer["blocks"][n]["gap"] for n in (11, 12, 13, 47)] == [
        None,
        "not_read",
        None,
        "not_over",
    ]


def test_a_day_nobody_read_has_no_blocks(client: TestClient, bearer: dict[str, str]) -> None:
    answer = client.get(f"{API}/load?date=2025-01-01", headers=bearer).json()
    assert (answer["period_s"], answer["blocks"]) == (None, [])


def test_latest_values_and_register_say_how_old_they_are(
    client: TestClient, bearer: dict[str, str]
) -> None:
    latest = client.get(f"{API}/latest", headers=bearer).json()
    assert (latest["age_s"], latest["supply_connected"]) == (720, True)
    assert {"quantity": "voltage", "obis": "1-0:12.7.0*255", "value": "229.99", "unit": "V"} in (
        latest["values"]
    )
    register = client.get(f"{API}/register", headers=bearer).json()
    assert (register["register"]["wh"], register["age_s"]) == ("46844310", 720)
    assert register["units_today_wh"] == "4310"


def test_no_answer_holds_a_binary_fraction(client: TestClient, bearer: dict[str, str]) -> None:
    def refuse(text: str) -> Decimal:
        raise AssertionError(f"a fraction as a number: {text}")

    for path in ("/daily?from=2026-08-01&to=2026-09-17", "/load?date=2026-09-17", "/latest", ""):
        json.loads(client.get(API + path, headers=bearer).text, parse_float=refuse)


@pytest.mark.parametrize("path", ["", "/daily?from=2026-09-16&to=2026-09-17", "/latest"])
def test_somebody_elses_number_and_no_number_look_the_same(
    client: TestClient, bearer: dict[str, str], path: str
) -> None:
    theirs = client.get(f"/api/v1/connections/4509999999{path}", headers=bearer)
    nobody = client.get(f"/api/v1/connections/0000000000{path}", headers=bearer)
    assert (theirs.status_code, theirs.json()) == (nobody.status_code, nobody.json())
    assert theirs.status_code == 404
    assert theirs.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer forged.token"}])
def test_nobody_reads_without_signing_in(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get(f"{API}/latest", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["title"] == "Unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("from=2026-09-17&to=2026-09-16", 400),
        ("from=2020-01-01&to=2026-09-16", 400),
        ("from=0001-01-01&to=0001-01-02", 400),
        ("from=9999-12-31&to=9999-12-31", 400),
        ("from=yesterday&to=2026-09-16", 422),
        ("", 422),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(
    client: TestClient, bearer: dict[str, str], query: str, status: int
) -> None:
    answer = client.get(f"{API}/daily?{query}", headers=bearer)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def test_unknown_number_and_wrong_code_get_one_answer(client: TestClient) -> None:
    answers = [
        client.post("/api/v1/sign-in", json={"connection": number, "code": "wrong code"})
        for number in (CONNECTION, "0000000000", "with\0nul", "")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_guessing_is_slowed_down_and_remembered_by_the_database(
    client: TestClient, services: Services
) -> None:
    def guess(number: str = CONNECTION, code: str = "wrong code", to: TestClient = client) -> int:
        body = {"connection": number, "code": code}
        return int(to.post("/api/v1/sign-in", json=body).status_code)

    assert [guess() for _ in range(6)] == [401] * 5 + [429]
    assert guess(code=ACCESS_CODE) == 429
    with TestClient(create_app(services)) as restarted:
        assert guess(code=ACCESS_CODE, to=restarted) == 429
    assert guess("4509999999", ACCESS_CODE) == 200


@pytest.mark.parametrize(
    ("trusted", "peer", "counted_apart"),
    [
        (("10.0.0.5",), "10.0.0.5", True),
        (("10.0.0.0/24",), "10.0.0.77", True),
        (("10.0.0.5",), "10.0.0.6", False),
        ((), "127.0.0.1", False),
    ],
)
def test_clients_behind_a_reverse_proxy_are_told_apart_where_it_is_trusted(
    services: Services,
    read_connection: None,
    trusted: tuple[str, ...],
    peer: str,
    counted_apart: bool,
) -> None:
    app = create_app(replace(services, trusted_proxies=trusted))
    with TestClient(app, base_url="https://meters.example", client=(peer, 4711)) as proxy:

        def guess(forwarded: str) -> int:
            body = {"connection": CONNECTION, "code": "wrong code"}
            headers = {"X-Forwarded-For": forwarded}
            return int(proxy.post("/api/v1/sign-in", json=body, headers=headers).status_code)

        # what stands before the proxy's own entry is the client's claim, and counts for nothing
        answers = [guess(f"198.51.100.{n}, 203.0.113.7") for n in range(6)]
        assert answers == [401] * 5 + [429]
        assert guess("203.0.113.8") == (401 if counted_apart else 429)


def test_a_new_access_code_ends_older_sessions(
    client: TestClient, bearer: dict[str, str], database: Database
) -> None:
    assert client.get(API, headers=bearer).status_code == 200
    with database.transaction() as connection:
        set_access_code(connection, CONNECTION, "another code", random_bytes=bytes)
    assert client.get(API, headers=bearer).status_code == 401


def test_a_token_ends_with_its_life_and_with_its_secret() -> None:
    session = Session(ConnectionNo("1"), 1, NOW_S)
    tokens = Tokens(Secret(b"a" * 16))
    token = tokens.session_token(session)
    assert tokens.session(token, now_s=NOW_S + SESSION_LIFE_S - 1) == session
    assert tokens.session(token, now_s=NOW_S + SESSION_LIFE_S) is None
    assert tokens.session(token, now_s=NOW_S - 1) is None
    assert Tokens(Secret(b"b" * 16)).session(token, now_s=NOW_S) is None
    assert tokens.session(tokens.form_token("1"), now_s=NOW_S) is None
    with pytest.raises(UsageError):
        Tokens(Secret(b"short"))


def test_a_database_that_is_away_is_503_and_says_nothing_of_itself(
    services: Services, client: TestClient, bearer: dict[str, str]
) -> None:
    services.database.close()
    answer = client.get(f"{API}/latest", headers=bearer)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert "readings cannot be reached" in answer.json()["detail"]


def test_the_committed_description_is_the_programs_own() -> None:
    committed = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert committed.read_text("utf-8") == openapi_text(), (
        "run: consumer-app openapi > docs/openapi.json"
    )
    assert MIDNIGHT_S < NOW_S
