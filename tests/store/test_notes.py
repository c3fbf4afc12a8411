"""What the reading plan must not forget: gaps with reasons, periods, doubts about clocks."""

import pytest

from gateway.dlms.plan import DAY_S, EarlierPeriod, Span
from gateway.model import MeterId, ProfileKind
from gateway.store.notes import GapReason, Periods
from gateway.uplink.outbox import Lane

M1, DAILY = MeterId("M1"), ProfileKind.DAILY_LOAD


@pytest.fixture
def store(site):
    return site.readings()


def put(store, batch, body, *times: int) -> None:
    store.add_batch(batch(*((time, 1) for time in times)), body, Lane.LIVE)


def test_gaps_are_kept_with_their_reason_and_over_a_restart(site, store, batch, body) -> None:
    put(store, batch, body, 5 * DAY_S, 9 * DAY_S)
    early, within = Span(0, 3 * DAY_S), Span(6 * DAY_S, 7 * DAY_S)
    counts = store.notes.declare_gaps(M1, DAILY, [early, within], 77)
    assert counts == {GapReason.BEFORE_FIRST_ROW: 1, GapReason.NOT_CAPTURED: 1}
    again = store.notes.declare_gaps(M1, DAILY, [within], 99)
    assert again == {GapReason.NOT_CAPTURED: 0}
    site.close()
    assert site.readings().notes.gaps(M1, DAILY) == [early, within]


def test_a_meter_that_never_gave_a_row_has_none_before_its_first(store) -> None:
    counts = store.notes.declare_gaps(M1, DAILY, [Span(0, DAY_S)], 1)
    assert counts == {GapReason.BEFORE_FIRST_ROW: 1}


def test_a_changed_period_holds_from_the_newest_row_on(store, batch, body) -> None:
    assert store.notes.periods(M1, DAILY) is None
    assert store.notes.note_period(M1, DAILY, 900) == Periods(900)
    put(store, batch, body, DAY_S, 2 * DAY_S)
    assert store.notes.note_period(M1, DAILY, 900) == Periods(900)
    changed = Periods(1800, (EarlierPeriod(2 * DAY_S, 900),))
    assert store.notes.note_period(M1, DAILY, 1800) == changed
    put(store, batch, body, 3 * DAY_S)
    store.notes.note_period(M1, DAILY, 3600)
    assert store.notes.periods(M1, DAILY) == Periods(
        3600, (EarlierPeriod(2 * DAY_S, 900), EarlierPeriod(3 * DAY_S, 1800))
    )


def test_a_period_that_is_changed_twice_between_two_rows_leaves_one_trace(
    store, batch, body
) -> None:
    put(store, batch, body, DAY_S)
    for period_s in (900, 1800, 3600):
        store.notes.note_period(M1, DAILY, period_s)
    assert store.notes.periods(M1, DAILY).period_s == 3600
    assert [one.until_s for one in store.notes.periods(M1, DAILY).earlier] == [DAY_S]


def test_a_clock_that_was_wrong_is_in_doubt_since_it_was_last_right(store) -> None:
    notes = store.notes
    notes.note_clock(M1, 1000, 3, right=True)
    notes.note_clock(M1, 2000, 400, right=False)
    (open_doubt,) = notes.doubts(M1, 0)
    assert open_doubt.from_s == 1000
    assert open_doubt.to_s > 10**12
    notes.note_clock(M1, 2100, 900, right=False)
    notes.note_clock(M1, 2500, 0, right=True)
    # ahead by 900 s at 2100: its stamps went up to 3000
    assert notes.doubts(M1, 0) == [Span(1000, 3000)]
    notes.note_clock(M1, 9000, -500, right=False)
    notes.note_clock(M1, 9900, 1, right=True)
    assert notes.doubts(M1, 0) == [Span(1000, 3000), Span(2500, 9900)]
    assert notes.doubts(M1, 5000) == [Span(2500, 9900)]


def test_drift_is_kept_by_day(store) -> None:
    for at_s, drift_s in ((100, 3), (200, -4), (300, 9), (DAY_S + 5, 1)):
        store.notes.note_clock(M1, at_s, drift_s, right=True)
    days = [(d.day_s, d.checks, d.least_s, d.most_s, d.last_s) for d in store.notes.clock_days(M1)]
    assert days == [(0, 3, -4, 9, 9), (DAY_S, 1, 1, 1, 1)]


def test_a_clock_that_was_set_is_remembered(site, store) -> None:
    assert store.notes.last_clock_set_s(M1) is None
    store.notes.note_clock_set(M1, 5_000_000, 300, None, "SET refused: read-write-denied")
    store.notes.note_clock_set(M1, 9_000_000, 300, 0, "set")
    site.close()
    assert site.readings().notes.last_clock_set_s(M1) == 9
