"""The pages of figures are what the kept documents say, and nothing else."""

import json
from pathlib import Path

import pytest

from proofs import PROOFS, line, report

NAMES = sorted(path.stem for path in report.FIGURES.glob("*.json"))


@pytest.mark.parametrize(("name", "text"), report.pages().items())
def test_a_page_is_what_its_documents_make(name: str, text: str) -> None:
    kept = (report.DOCS / name).read_text("utf-8")
    assert kept == text, "run: scripts/prove NAME --save"


def test_every_proof_has_figures_and_a_place() -> None:
    assert set(NAMES) == set(PROOFS)
    text = "".join(report.pages().values())
    assert [name for name in PROOFS if f"\n## {name}\n" not in text] == []


@pytest.mark.parametrize("name", [name for name in NAMES if PROOFS[name].figures])
def test_every_figure_of_a_document_is_explained_and_none_besides(name: str) -> None:
    document = json.loads((report.FIGURES / f"{name}.json").read_text("utf-8"))
    numbers = {key for key, value in document.items() if type(value) in (int, float)}
    assert set(PROOFS[name].figures) == numbers - {"seconds", "seed"}


def test_what_decides_the_line_is_shown_as_what_must_be_zero() -> None:
    figures = PROOFS["line"].figures
    assert [name for name in line.MUST_BE_ZERO if figures[name].wanted != 0] == []


def changed(folder: Path, name: str, **figures: object) -> None:
    document = json.loads((report.FIGURES / f"{name}.json").read_text("utf-8"))
    report.save({**document, **figures}, taken_on="2026-01-02", folder=folder)


def test_a_proof_that_does_not_hold_is_shown_with_what_failed_it(tmp_path: Path) -> None:
    changed(tmp_path, "line", ok=False, lost=2, rows_at_backend=1, mismatch_examples=["a", "b"])
    made = report.pages(tmp_path)["reliability.md"]
    assert "**does not hold**; 2026-01-02" in made
    assert "| lost | 2 | 0 | **no** |" in made
    assert "| rows at backend | 1 | as many as rows read | **no** |" in made
    assert '- mismatch examples: "a"\n- mismatch examples: "b"\n' in made
    assert "No figures were kept yet." in made


@pytest.mark.parametrize(
    ("met", "verdict", "row"),
    [(False, "**holds**, **1 of 1 aims missed**;", "**no**"), (True, "**holds**;", "yes")],
)
def test_an_aim_that_is_missed_is_told_beside_the_verdict(
    tmp_path: Path, met: bool, verdict: str, row: str
) -> None:
    aim = {"what": "times cheaper", "value": 2.5, "at_least": 25, "met": met}
    changed(tmp_path, "bench", ok=True, aims=[aim])
    made = report.pages(tmp_path)["benchmarks.md"]
    assert f"`scripts/prove bench --json`: {verdict}" in made
    assert f"| times cheaper | 2.5 | at least 25 | {row} |" in made
