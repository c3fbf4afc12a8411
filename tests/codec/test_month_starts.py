"""When a meter closes its months: local midnights of the 1st, whatever the zone."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.plan import month_starts

INDIA_S = 19_800


@given(
    now_s=st.integers(0, 4_000_000_000),
    zone_s=st.sampled_from([INDIA_S, 0, -36_000, 50_400]),
    count=st.integers(1, 30),
)
def test_they_are_the_newest_firsts_of_months_that_are_over(
    now_s: int, zone_s: int, count: int
) -> None:
    zone = timezone(timedelta(seconds=zone_s))
    starts = month_starts(now_s=now_s, zone_s=zone_s, count=count, settle_s=0)
    local = [datetime.fromtimestamp(at_s, zone) for at_s in starts]
    assert {(at.day, at.hour, at.minute, at.second) for at in local} == {(1, 0, 0, 0)}
    months = [at.year * 12 + at.month for at in local]
    assert months == list(range(months[0], months[0] + count))
    assert starts[-1] <= now_s
    now = datetime.fromtimestamp(now_s, zone)
    assert (local[-1].year, local[-1].month) == (now.year, now.month)


def test_a_month_that_has_just_begun_is_given_time_to_be_written() -> None:
    first_of_april_s = int(datetime(2026, 3, 31, 18, 30, tzinfo=UTC).timestamp())
    ask = {"zone_s": INDIA_S, "count": 1}
    assert month_starts(now_s=first_of_april_s + 60, **ask) == [first_of_april_s]
    assert month_starts(now_s=first_of_april_s + 59, **ask) == [first_of_april_s - 31 * 86_400]
