"""Event logs as profile buffers: what happened, with the electrical state at that time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.dlms.classes import CLOCK_TIME, ClassId
from gateway.dlms.cosem_time import TimeRules
from gateway.model import CaptureObject
from hil_tests.emulator import octets
from hil_tests.emulator.buffers import Capture
from hil_tests.emulator.catalogue import EVENT_LOGS, LOG_NUMBERS, Log, Model
from hil_tests.emulator.incidents import Incidents, depth_of
from hil_tests.emulator.measuring import Measuring

_NATIONAL: Final = 94
"""Value group C of the codes that India defines, the tamper count among them."""


def log_captures(
    model: Model, incidents: Incidents, measuring: Measuring, rules: TimeRules
) -> Iterator[tuple[str, Capture]]:
    """The buffer of each log, by its logical name."""
    for log, columns in EVENT_LOGS[model].items():
        name = f"0.0.99.98.{LOG_NUMBERS[log]}.255"
        yield name, _log_capture(incidents, log, columns, measuring, rules)


def _log_capture(
    incidents: Incidents,
    log: Log,
    columns: tuple[CaptureObject, ...],
    measuring: Measuring,
    rules: TimeRules,
) -> Capture:
    """The buffer of one log; its entries are numbers of rows, as two may be of one second."""

    def cell(column: CaptureObject, number: int) -> bytes:
        row = incidents.row(log, number)
        if column == CLOCK_TIME:
            return octets.encode(octets.date_time(row.at_s, rules))
        if column.class_id == ClassId.DATA:
            is_count = column.obis.octets[2] == _NATIONAL
            return octets.encode(octets.long_unsigned(row.tampers if is_count else row.code))
        return octets.encode(measuring.register_data(column.obis.dotted, row.at_s))

    def cells(number: int) -> tuple[bytes, ...]:
        return tuple(cell(column, number) for column in columns)

    return Capture(
        columns,
        lambda: incidents.numbers(log),
        cells,
        0,
        depth_of(log),
        lambda number: incidents.row(log, number).at_s,
    )
