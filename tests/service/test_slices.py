"""How many rows are asked for at once: what a meter and its wire can give."""

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Reading
from gateway.dlms.plan import SLICE_ROWS
from gateway.service.meter_state import FEWEST_ROWS, BufferState
from gateway.service.supervisor import Service
from hil_tests.emulator.scenario import parse_scenario
from hil_tests.simulated.substation import Substation

SLOW = """
seed = 1
start = 2026-05-03T10:20:00+05:30
installed = 2026-04-01

[[bus]]
name = "bus0"
baud = 9600

[[meter]]
serial = "SM1"
model = "three_phase"
encoding = "float32"
wire = "bus"
bus = "bus0"
address = 17
turnaround_ms = 700
capture_period_s = 900
faults.duplicate_rows = true
"""


@given(st.lists(st.tuples(st.sampled_from(["gave", "broke", "refused"]), st.integers(1, 400))))
def test_slices_stay_within_what_was_found_out(steps: list[tuple[str, int]]) -> None:
    state = BufferState()
    most = SLICE_ROWS
    for what, rows in steps:
        asked = min(rows, state.slice_rows)
        if what == "gave":
            state.gave(asked)
        else:
            state.broke_off(asked, refused=what == "refused")
            if what == "refused" and asked > FEWEST_ROWS:
                most = max(FEWEST_ROWS, asked // 2)
        assert FEWEST_ROWS <= state.slice_rows <= most


def test_few_rows_that_did_not_come_say_nothing_about_their_number() -> None:
    state = BufferState()
    state.broke_off(2)
    assert state.slice_rows == SLICE_ROWS


def test_after_trouble_slices_grow_again_but_not_to_what_was_refused() -> None:
    state = BufferState()
    for _ in range(3):
        state.broke_off(state.slice_rows)
    assert state.slice_rows == SLICE_ROWS // 8
    for _ in range(5):
        state.gave(state.slice_rows)
    assert state.slice_rows == SLICE_ROWS
    state.broke_off(100, refused=True)
    for _ in range(5):
        state.gave(state.slice_rows)
    assert state.slice_rows == 50


def test_a_slow_meter_on_a_slow_line_gives_its_backlog_in_parts_that_it_can(
    tmp_path: Path,
) -> None:
    station = Substation(
        tmp_path,
        parse_scenario(SLOW),
        {"SM1": "is15959_part2_three_phase"},
        reading=Reading(daily_days=8, block_days=8),
    )

    async def play(_: Substation, __: Service) -> None:
        await asyncio.sleep(3 * 3600)

    service = station.run(play)
    state = next(iter(service.wires[0]._states.values()))
    assert state.failures == 0
    assert 0 < service.wires[0].figures.failures < 10
    assert service.wires[0].figures.rows > 8 * 96
