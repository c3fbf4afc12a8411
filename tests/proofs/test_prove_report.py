"""The pages of figures are what the kept documents say, and nothing else."""

import json
from pathlib import Path

import pytest

from proofs import PROOFS, report

NAMES = sorted(path.stem for path in report.FIGURES.glob("*.json"))


@pytest.mark.parametrize(("name", "text"), report.pages().items())
def test_a_page_is_what_its_documents_make(name: str, text: str) -> None:
    kept = (report.DOCS / name).read_text("utf-8")
    assert kept == text, "run: scripts/prove NAME --save"


def test_every_proof_has_figures_and_a_place() -> None:
    assert set(NAMES) == set(PROOFS)
    text = "".join(report.pages().values())
    assert [name for name in PROOFS if f"\n## {name}\n" not in text] == []


def test_a_proof_that_does_not_hold_and_an_aim_that_is_missed_are_shown(tmp_path: Path) -> None:
    for name in ("bench", "line"):
        document = json.loads((report.FIGURES / f"{name}.json").read_text("utf-8"))
        document["ok"] = False
        if name == "bench":
            document["aims"][0].update(met=False, value=2.5)
        report.save(document, taken_on="2026-01-02", folder=tmp_path)
    made = report.pages(tmp_path)
    assert "**does not hold**; 2026-01-02" in made["reliability.md"]
    assert "| 2.5 | at least 25 | **no** |" in made["benchmarks.md"]
    assert "No figures were kept yet." in made["reliability.md"]
