"""Units, load and registers from rows: exact differences, or gaps with their reason."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer_app.consumption import Gap, newest_register, units_of_days
from consumer_app.database.queries import StoredRow
from consumer_app.load import (
    BlockGap,
    block_period_s,
    load_of_day,
    shown_values,
    supply_connected,
)
from consumer_app.site_time import local_day, midnight_s
from gateway.model import CaptureList, Evidence, MeterId, Row, TimeQuality, row_digest
from tests.consumer.seeds import (
    BLOCK,
    BLOCK_THREE_PHASE,
    DAILY,
    DAY_S,
    INSTANTANEOUS,
    METER,
    MIDNIGHT_S,
    account,
    block_row,
    column,
    daily_row,
    row,
    snapshot_row,
)

INDIA = ZoneInfo("Asia/Kolkata")
DAY = date(2026, 9, 17)
LATER_S = MIDNIGHT_S + 50 * DAY_S
SECOND = MeterId("SB7654321")


def stored(
    one: Row, columns: CaptureList = DAILY, meter: MeterId = METER, order: int = 0
) -> StoredRow:
    digest = row_digest(columns.digest, one.raw + bytes([order]))
    evidence = Evidence(0)
    return StoredRow(
        meter, one.captured_at_s, digest, columns, one.values, one.raw, TimeQuality.OK, evidence
    )


def one_day(
    rows: Iterable[StoredRow],
    installations: Iterable[tuple[str, int, int | None]] = ((METER, 0, None),),
    now_s: int = LATER_S,
) -> tuple[Decimal | None, Gap | None]:
    (day,) = units_of_days(
        [DAY], account(installations=installations).installations, rows, zone=INDIA, now_s=now_s
    )
    return day.units_wh, day.gap


START, END = daily_row(MIDNIGHT_S, "4677489"), daily_row(MIDNIGHT_S + DAY_S, "4684814.1250")


def test_a_day_is_the_difference_of_its_two_midnight_registers() -> None:
    assert one_day([stored(END), stored(START)]) == (Decimal("7325.1250"), None)


def test_the_midnight_is_the_sites_and_not_utcs() -> None:
    assert midnight_s(DAY, INDIA) == MIDNIGHT_S
    assert local_day(MIDNIGHT_S, INDIA) == DAY
    assert local_day(MIDNIGHT_S - 1, INDIA) == date(2026, 9, 16)
    assert midnight_s(DAY, ZoneInfo("UTC")) == MIDNIGHT_S + 19_800


@pytest.mark.parametrize(
    ("rows", "gap"),
    [
        ([], Gap.BOTH_MISSING),
        ([stored(START)], Gap.CLOSING_MISSING),
        ([stored(END)], Gap.OPENING_MISSING),
        (
            [stored(START), stored(daily_row(MIDNIGHT_S + DAY_S - 60, "4684814"))],
            Gap.CLOSING_MISSING,
        ),
        ([stored(START), stored(daily_row(MIDNIGHT_S + DAY_S, "0"))], Gap.REGISTER_WENT_BACK),
        ([stored(START), stored(daily_row(MIDNIGHT_S, "1")), stored(END)], Gap.READINGS_DIFFER),
        ([stored(START, meter=SECOND), stored(END, meter=SECOND)], Gap.BOTH_MISSING),
    ],
)
def test_what_cannot_be_known_is_a_gap_with_its_reason(rows: list[StoredRow], gap: Gap) -> None:
    assert one_day(rows) == (None, gap)


def test_two_rows_that_agree_on_the_register_are_no_gap() -> None:
    assert one_day([stored(START), stored(START, order=1), stored(END)])[1] is None


def test_a_register_in_another_unit_is_not_taken_for_energy() -> None:
    wrong = CaptureList((DAILY.columns[0], column("1-0:1.8.0*255", unit=31), *DAILY.columns[2:]))
    assert one_day([stored(START, wrong), stored(END, wrong)]) == (None, Gap.BOTH_MISSING)


def test_exports_first_or_last_the_column_is_found_by_its_name() -> None:
    swapped = CaptureList((DAILY.columns[0], DAILY.columns[3], DAILY.columns[2], DAILY.columns[1]))
    rows = [
        stored(row(MIDNIGHT_S, (Decimal(5), Decimal(6), Decimal(100))), swapped),
        stored(row(MIDNIGHT_S + DAY_S, (Decimal(50), Decimal(60), Decimal(175))), swapped),
    ]
    assert one_day(rows) == (Decimal(75), None)


@pytest.mark.parametrize(
    ("installations", "gap"),
    [
        ([], Gap.NO_METER),
        ([(METER, MIDNIGHT_S + DAY_S, None)], Gap.NO_METER),
        ([(METER, 0, MIDNIGHT_S)], Gap.NO_METER),
        ([(METER, MIDNIGHT_S + 1, None)], Gap.METER_CHANGED),
        ([(METER, 0, MIDNIGHT_S + 7), (SECOND, MIDNIGHT_S + 7, None)], Gap.METER_CHANGED),
        ([(METER, MIDNIGHT_S, MIDNIGHT_S + DAY_S)], None),
    ],
)
def test_a_day_belongs_to_the_meter_that_stood_there_all_day(
    installations: list[tuple[str, int, int | None]], gap: Gap | None
) -> None:
    assert one_day([stored(START), stored(END)], installations)[1] is gap


def test_today_is_no_gap_but_not_over() -> None:
    day_end_s = MIDNIGHT_S + DAY_S
    assert one_day([stored(START)], now_s=day_end_s - 1)[1] is Gap.DAY_NOT_OVER
    assert one_day([stored(START), stored(END)], now_s=day_end_s)[1] is None


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 10**9), min_size=2, max_size=40),
    st.integers(-3, 3),
    st.data(),
)
def test_known_days_sum_to_the_difference_of_the_outer_registers(
    steps: list[int], exponent: int, data: st.DataObject
) -> None:
    registers = [Decimal(sum(steps[: n + 1])).scaleb(exponent) for n in range(len(steps))]
    rows = [stored(daily_row(MIDNIGHT_S + n * DAY_S, str(r))) for n, r in enumerate(registers)]
    days = [DAY + timedelta(days=n) for n in range(len(steps) - 1)]
    units = units_of_days(
        days, account().installations, data.draw(st.permutations(rows)), zone=INDIA, now_s=LATER_S
    )
    known = [day.units_wh for day in units if day.units_wh is not None]
    assert len(known) == len(days)
    assert sum(known) == registers[-1] - registers[0]


def test_the_newest_register_comes_from_the_newest_row_of_any_profile() -> None:
    newer = stored(snapshot_row(MIDNIGHT_S + 60, "4677500"), INSTANTANEOUS)
    found = newest_register([[newer], [stored(START)], []])
    assert found is not None
    assert (found.wh, found.row.captured_at_s) == (Decimal(4677500), MIDNIGHT_S + 60)
    differing = [newer, stored(snapshot_row(MIDNIGHT_S + 60, "1"), INSTANTANEOUS)]
    fallback = newest_register([differing, [stored(START)]])
    assert fallback is not None
    assert fallback.wh == Decimal(4677489)


def test_blocks_are_stamped_at_their_end_and_gaps_stay_open() -> None:
    rows = [
        stored(block_row(MIDNIGHT_S, "999"), BLOCK),
        stored(block_row(MIDNIGHT_S + 1800, "71.5"), BLOCK),
        stored(block_row(MIDNIGHT_S + 5400, "80"), BLOCK),
        stored(block_row(MIDNIGHT_S + 5400, "81"), BLOCK, order=1),
        stored(block_row(MIDNIGHT_S + DAY_S, "12"), BLOCK),
    ]
    blocks = load_of_day(DAY, rows, zone=INDIA, period_s=1800, now_s=MIDNIGHT_S + DAY_S - 1)
    assert len(blocks) == 48
    assert (blocks[0].start_s, blocks[0].end_s) == (MIDNIGHT_S, MIDNIGHT_S + 1800)
    assert (blocks[0].wh, blocks[0].mean_w) == (Decimal("71.5"), Decimal(143))
    assert (blocks[0].volts, blocks[0].amperes) == ((Decimal("231.07"),), (Decimal("1.32"),))
    assert blocks[1].gap is BlockGap.NOT_READ
    assert blocks[2].gap is BlockGap.READINGS_DIFFER
    assert (blocks[47].wh, blocks[47].gap) == (Decimal(12), None)
    unread = load_of_day(DAY, rows[:1], zone=INDIA, period_s=1800, now_s=MIDNIGHT_S + DAY_S - 1)
    assert unread[47].gap is BlockGap.NOT_OVER


def test_three_phases_give_three_voltages_and_currents() -> None:
    numbers = tuple(Decimal(n) for n in ("1.1", "2.2", "3.3", "231", "232", "233", "410"))
    rows = [stored(row(MIDNIGHT_S + 900, numbers), BLOCK_THREE_PHASE)]
    block = load_of_day(DAY, rows, zone=INDIA, period_s=900, now_s=LATER_S)[0]
    assert block.wh == Decimal(410)
    assert (block.volts, block.amperes) == (numbers[3:6], numbers[:3])


@pytest.mark.parametrize(
    ("stamps", "period_s"),
    [
        ([], None),
        ([5], None),
        ([0, 1800, 3600], 1800),
        ([0, 3600, 5400], 1800),
        ([0, 900, 9000], 900),
        ([0, 77], None),
    ],
)
def test_the_capture_period_is_the_shortest_known_step(
    stamps: list[int], period_s: int | None
) -> None:
    assert block_period_s(stamps) == period_s


def test_a_snapshot_shows_its_numbers_with_units_and_the_switch() -> None:
    snapshot = stored(snapshot_row(MIDNIGHT_S, "46848140", connected=False), INSTANTANEOUS)
    shown = {
        one.quantity.value: f"{one.value} {one.unit}".strip() for one in shown_values(snapshot)
    }
    assert shown == {
        "voltage": "229.99 V",
        "current": "2.70 A",
        "neutral_current": "2.71 A",
        "power": "612 W",
        "apparent_power": "621 VA",
        "power_factor": "0.985",
        "frequency": "50.0 Hz",
        "maximum_demand": "2140 W",
        "energy_import": "46848140 Wh",
    }
    assert supply_connected(snapshot) is False
    assert supply_connected(stored(START)) is None
