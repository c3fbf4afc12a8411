"""What the page of a connection shows, put together before a template sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from consumer_app.connection_view import ConnectionView, DayLoad, RegisterNow
from consumer_app.consumption import DayUnits
from consumer_app.database.events import StoredEvent
from consumer_app.load import BlockGap, Quantity, Shown, shown_values, supply_connected
from consumer_app.pages.charts import BarChart, LineChart, bar_chart, line_chart
from consumer_app.site_time import day_after, local_day
from gateway.model import Account

DAYS_SHOWN = 35
EVENTS_SHOWN = 10
EVENT_NAMES = (
    "power_failure",
    "load_disconnected",
    "over_voltage",
    "low_voltage",
    "neutral_missing",
    "overload",
    "magnetic_influence",
    "meter_cover_open",
    "payment_mode_prepaid",
    "payment_mode_postpaid",
)
"""What a consumer is told of; ``texts`` has the words for each."""
_HIDDEN_VALUES = (Quantity.ENERGY_IMPORT, Quantity.ENERGY_EXPORT, Quantity.MAXIMUM_DEMAND)


@dataclass(frozen=True, slots=True)
class ConnectionPage:
    """Everything the template needs; energies in Wh, powers in W, ages in seconds."""

    account: Account
    now_s: int
    today: date
    register: RegisterNow
    register_age_s: int | None
    days: tuple[DayUnits, ...]
    yesterday: DayUnits
    known_days: int
    known_units_wh: Decimal
    days_chart: BarChart
    load: DayLoad
    load_read: int
    load_chart: LineChart
    previous_day: date
    next_day: date | None
    values: tuple[Shown, ...]
    values_at_s: int | None
    values_age_s: int | None
    supply_connected: bool | None
    events: tuple[StoredEvent, ...]


def connection_page(view: ConnectionView, chosen: date | None) -> ConnectionPage:
    """Read and arrange; ``chosen`` is the day whose load is shown, None for the newest."""
    today = local_day(view.now_s, view.zone)
    first = day_after(today, -DAYS_SHOWN)
    days = view.units(first, day_after(today, -1))
    load = _load(view, chosen, today)
    powers = [block.mean_w for block in load.blocks]
    register = view.register()
    reading = register.reading
    snapshot = view.snapshot()
    known = [day.units_wh for day in days if day.units_wh is not None]
    return ConnectionPage(
        account=view.account,
        now_s=view.now_s,
        today=today,
        register=register,
        register_age_s=None if reading is None else _age(view, reading.row.captured_at_s),
        days=tuple(days),
        yesterday=days[-1],
        known_days=len(known),
        known_units_wh=sum(known, Decimal(0)),
        days_chart=bar_chart([None if d.units_wh is None else d.units_wh / 1000 for d in days]),
        load=load,
        load_read=sum(power is not None for power in powers),
        load_chart=line_chart(
            [None if power is None else power / 1000 for power in powers],
            expected=sum(block.gap is not BlockGap.NOT_OVER for block in load.blocks),
        ),
        previous_day=day_after(load.day, -1),
        next_day=day_after(load.day) if load.day < today else None,
        values=()
        if snapshot is None
        else tuple(one for one in shown_values(snapshot) if one.quantity not in _HIDDEN_VALUES),
        values_at_s=None if snapshot is None else snapshot.captured_at_s,
        values_age_s=None if snapshot is None else _age(view, snapshot.captured_at_s),
        supply_connected=None if snapshot is None else supply_connected(snapshot),
        events=tuple(
            # What a clock that ran ahead stamped would stand above all others for years.
            view.events(EVENTS_SHOWN, before=(view.now_s + 1, 0), names=EVENT_NAMES)
        ),
    )


def _age(view: ConnectionView, captured_at_s: int) -> int:
    return max(0, view.now_s - captured_at_s)


def _load(view: ConnectionView, chosen: date | None, today: date) -> DayLoad:
    """The chosen day, or the newest of today and yesterday that has a block."""
    if chosen is not None:
        return view.load(min(chosen, today))
    load = view.load(today)
    if any(block.wh is not None for block in load.blocks):
        return load
    return view.load(day_after(today, -1))
