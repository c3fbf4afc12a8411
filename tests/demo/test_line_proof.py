"""The checks of ``prove line``: each of its figures can say no."""

from dataclasses import replace

import pytest

from proofs import Options
from proofs.line import MUST_BE_ZERO, Stored, check, kill_moments

ROW = ("M1", "daily_load", 1000, b"a")
OTHER = ("M1", "daily_load", 2000, b"b")
GOOD = Stored(
    read=frozenset({ROW, OTHER}),
    outbox=0,
    at_backend=(ROW, OTHER),
    conflicts=0,
    counters={"M1": {"highest": {"public": -1, "meter_reader": 70}, "refused": 0}},
)
UNREAD = {"M1": {"highest": {"public": -1, "meter_reader": -1}, "refused": 0}}
AGAIN = {"M1": {"highest": {"public": -1, "meter_reader": 70}, "refused": 2}}


def test_a_good_run_has_every_row_once_and_every_counter_new() -> None:
    figures = check(GOOD)
    assert figures["rows_read"] == figures["rows_at_backend"] == 2
    assert not any(figures[name] for name in MUST_BE_ZERO)


@pytest.mark.parametrize(
    ("bad", "figure"),
    [
        (replace(GOOD, at_backend=(ROW,)), "lost"),
        (replace(GOOD, at_backend=(ROW, ("M1", "daily_load", 2000, b"c"), OTHER)), "doubled"),
        (replace(GOOD, at_backend=(ROW, OTHER, OTHER)), "doubled"),
        (replace(GOOD, conflicts=1), "conflicts"),
        (replace(GOOD, outbox=1), "outbox_messages"),
        (replace(GOOD, counters=AGAIN), "counters_refused"),
        (replace(GOOD, counters=UNREAD), "meters_without_counter"),
    ],
)
def test_each_fault_has_its_figure(bad: Stored, figure: str) -> None:
    figures = check(bad)
    assert figures[figure]
    assert [name for name in MUST_BE_ZERO if figures[name]] == [figure]


def test_the_moments_follow_from_the_seed() -> None:
    assert kill_moments(Options(seed=5)) == kill_moments(Options(seed=5))
    assert kill_moments(Options(seed=5)) != kill_moments(Options(seed=6))
    assert len(kill_moments(Options(long=True))) > len(kill_moments(Options())) >= 1
    assert all(200 <= one <= 4000 for seed in range(50) for one in kill_moments(Options(seed=seed)))
