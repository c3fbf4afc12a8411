"""The bench proof judges by ratios and counts: an aim that holds anywhere fails it when missed."""

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UsageError
from proofs import Options, bench

SESSIONS: dict[str, Any] = {
    "name": "session",
    "machine": {},
    "ok": True,
    "links": [
        {
            "link": "wrapper",
            "times_cheaper": {"gurux-dlms": 25.0, "dlms-cosem": 3.0},
            "plain_times_cheaper": {"gurux-dlms": 27.0, "dlms-cosem": 2.7},
            "aim_times_cheaper": {"gurux-dlms": 25, "dlms-cosem": 3},
            "times_plain": 1.6,
        }
    ],
}
DECODING = {
    "ok": True,
    "ratio": {"dlms-cosem": {"plain": 4.0, "profile": 4.0}, "gurux-dlms": {"plain": 9.0}},
    "aim": {"dlms-cosem": {"plain": 4, "profile": 4}},
}
LINE = {"ok": True, "quotient": 1.03, "aim": 1.03}


def prove(
    monkeypatch: pytest.MonkeyPatch,
    sessions: dict[str, Any] = SESSIONS,
    decoding: dict[str, Any] = DECODING,
    line: dict[str, Any] = LINE,
) -> dict[str, Any]:
    monkeypatch.setattr("benchmarks.session.measure", lambda *_: sessions)
    monkeypatch.setattr("benchmarks.decode.measure", lambda *_: decoding)
    monkeypatch.setattr("benchmarks.line.measure", lambda *_: line)
    return bench.prove(Options())


@pytest.fixture(autouse=True)
def peers_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofs.bench.PYTHON", Path(__file__))


def test_aims_that_are_just_reached_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    document = prove(monkeypatch)
    assert document["ok"]
    assert len(document["aims"]) == 6
    assert all(aim["met"] for aim in document["aims"])


def with_link(**changed: Any) -> dict[str, Any]:
    return {**SESSIONS, "links": [{**SESSIONS["links"][0], **changed}]}


def test_what_a_machine_makes_of_other_libraries_is_told_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = with_link(times_cheaper={"gurux-dlms": 24.9, "dlms-cosem": 3.0})
    document = prove(monkeypatch, sessions=slow)
    missed = [aim for aim in document["aims"] if not aim["met"]]
    assert [aim["plain_reader"] for aim in missed] == [27.0]
    assert document["ok"]


@pytest.mark.parametrize(
    "missed",
    [
        {"line": {**LINE, "quotient": 1.04}},
        {"decoding": {**DECODING, "ratio": {"dlms-cosem": {"plain": 9.0, "profile": 3.9}}}},
        {"sessions": with_link(times_plain=1.61)},
    ],
    ids=lambda missed: next(iter(missed)),
)
def test_one_aim_that_is_missed_is_named_and_fails_the_proof(
    monkeypatch: pytest.MonkeyPatch, missed: dict[str, Any]
) -> None:
    document = prove(monkeypatch, **missed)
    assert not document["ok"]
    assert [aim["met"] for aim in document["aims"]].count(False) == 1


@pytest.mark.parametrize("part", ["sessions", "decoding", "line"])
def test_wrong_counts_fail_the_proof_whatever_the_ratios(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    whole = {"sessions": SESSIONS, "decoding": DECODING, "line": LINE}[part]
    document = prove(monkeypatch, **{part: {**whole, "ok": False}})
    assert not document["ok"]
    assert all(aim["met"] for aim in document["aims"])


def test_libraries_that_are_missing_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proofs.bench.PYTHON", Path(__file__) / "none")
    with pytest.raises(UsageError, match="scripts/setup peers"):
        prove(monkeypatch)
