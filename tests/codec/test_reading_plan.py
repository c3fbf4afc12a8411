"""What is missing of a buffer: each capture time asked for once, in spans, by the period it had."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.plan import DAY_S, Cadence, EarlierPeriod, Span, missing, spans

ZONE_S = 19_800
MIDNIGHT_S = 1_772_303_400
NOW_S = MIDNIGHT_S + 5 * DAY_S + 3_700
HALF_HOURS = Cadence(period_s=1800, zone_s=ZONE_S)

picked = st.sets(st.integers(0, 5 * 48), max_size=120).map(
    lambda slots: {MIDNIGHT_S + 1800 * slot for slot in slots}
)


def ask(**given_: object) -> list[int]:
    settings = {"cadence": HALF_HOURS, "horizon_s": 5 * DAY_S, "now_s": NOW_S, "captured": ()}
    return missing(**(settings | given_))  # type: ignore[arg-type]


def test_a_meter_of_which_nothing_is_stored_is_asked_for_the_whole_horizon() -> None:
    times = ask()
    assert times[-1] == MIDNIGHT_S + 5 * DAY_S + 3600
    assert times == list(range(times[0], times[-1] + 1, 1800))
    assert len(times) == 5 * 48 + 1


@given(captured=picked, asked=picked, gaps=picked)
def test_what_is_stored_or_asked_or_known_as_a_gap_is_not_asked_for(
    captured: set[int], asked: set[int], gaps: set[int]
) -> None:
    known = [Span(time, time) for time in gaps]
    times = ask(captured=captured, asked=asked, gaps=known)
    assert set(times) == set(ask()) - captured - asked - gaps


@given(captured=picked, slice_rows=st.integers(1, 60))
def test_spans_cover_just_the_missing_times_newest_first(
    captured: set[int], slice_rows: int
) -> None:
    times = ask(captured=captured)
    found = spans(times, HALF_HOURS, slice_rows=slice_rows)
    covered = [t for span in found for t in HALF_HOURS.times(span.from_s, span.to_s)]
    assert sorted(covered) == times
    assert found == sorted(found, reverse=True)
    assert all(len(HALF_HOURS.times(s.from_s, s.to_s)) <= slice_rows for s in found)


@given(until=st.integers(0, 5 * 48), captured=picked)
def test_before_a_period_was_changed_captures_are_expected_by_the_old_one(
    until: int, captured: set[int]
) -> None:
    until_s = MIDNIGHT_S + 1800 * until
    changed = Cadence(period_s=900, zone_s=ZONE_S, earlier=(EarlierPeriod(until_s, 1800),))
    times = ask(cadence=changed, captured=captured)
    assert all(t % 1800 == MIDNIGHT_S % 1800 for t in times if t <= until_s)
    after = [t for t in times if t > until_s]
    first_s = max(until_s + 900, changed.last_at(NOW_S) - 5 * DAY_S)
    assert set(after) == set(range(first_s, NOW_S - 60, 900)) - captured
    covered = [t for s in spans(times, changed) for t in changed.times(s.from_s, s.to_s)]
    assert sorted(covered) == times


def test_a_span_over_a_gap_is_one_request_and_not_two() -> None:
    times = ask(gaps=[Span(MIDNIGHT_S, MIDNIGHT_S + 5 * DAY_S)])
    assert spans(times, HALF_HOURS) == [
        Span(MIDNIGHT_S + 5 * DAY_S + 1800, MIDNIGHT_S + 5 * DAY_S + 3600)
    ]
