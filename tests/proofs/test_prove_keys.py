"""The proof of key rotation: it cuts where it says, and would see a secret or a lost meter."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.service.rotation import Rotation
from proofs import PROOFS, Options, keys
from proofs.key_bench import VARIANTS, Bench, Cut, Scissors, forms

SECRET = bytes(range(200, 216))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, VARIANTS[0], 3)
    made.prepare()
    return made


def test_a_gateway_that_is_cut_takes_no_step_any_more() -> None:
    scissors = Scissors(cut_at=3)
    scissors.step()
    scissors.step()
    for _ in range(2):
        with pytest.raises(Cut):
            scissors.step()
    assert scissors.steps == 3


def test_the_second_frame_gets_lost_and_no_other() -> None:
    scissors = Scissors(lose_at=2)
    assert [scissors.loses() for _ in range(3)] == [False, True, False]


@pytest.mark.parametrize("before", range(4))
def test_a_secret_is_found_in_every_form_at_any_place(before: int) -> None:
    text = bytes(before) + SECRET + b"rest"
    for whole in (text, text.hex().encode(), text.hex().upper().encode(), b64encode(text)):
        assert any(form in whole for form in forms(SECRET))
    other = b64encode(bytes(before) + bytes(range(100, 116)) + b"rest")
    assert not any(form in other for form in forms(SECRET))


def test_a_rotation_without_a_cut_changes_all_and_a_cut_one_is_finished_by_the_next(
    bench: Bench,
) -> None:
    scissors = Scissors(cut_at=100)
    bench.live(scissors)
    assert scissors.dead
    before = bench.judge("")
    assert before["not_done"] == 1
    bench.live(Scissors())
    after = bench.judge("")
    assert not any(after.values())
    assert set(after) | {"steps", "steps_known", "attempts_most"} == set(PROOFS["keys"].figures)
    assert len(bench.drawn) >= 5


def test_a_secret_in_a_log_or_a_file_is_a_leak(bench: Bench) -> None:
    bench.live(Scissors())
    assert bench.judge("")["leaks"] == 0
    assert bench.judge(f"drawn: {bench.drawn[0].hex()}")["leaks"] == 1
    (bench.folder / "note").write_bytes(b64encode(b"xy" + bench.drawn[1]))
    assert bench.judge("")["leaks"] == 1


def test_a_meter_that_was_given_up_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forgets(self: Rotation, role: Any, marks: Any) -> None:
        self.keystore.withdraw(self.access.meter)

    monkeypatch.setattr(Rotation, "_settle", forgets)
    bench.live(Scissors(cut_at=400))
    assert bench.judge("")["unreachable"] == 1


def test_the_proof_holds_in_its_shortest_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_SHORT_CUTS", 1)
    told: list[str] = []
    tell: Callable[[str], None] = told.append
    figures = keys.prove(Options(seed=11, tell=tell))
    assert figures["ok"], figures
    assert figures["steps"] == 3 * len(VARIANTS)
    assert len(told) == len(VARIANTS)
