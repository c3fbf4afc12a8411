"""Words for closed lists: gaps and quantities, in the language of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass

from consumer_app.pages.wording import Wording


@dataclass(frozen=True, slots=True)
class Texts:
    """Words by the value of their enumeration, for templates."""

    gaps: dict[str, str]
    block_gaps: dict[str, str]
    quantities: dict[str, str]
    events: dict[str, dict[str, str]]
    """By name and phase, for each of ``model.EVENT_NAMES``."""
    unit: str
    label: str


def texts_in(words: Wording) -> Texts:
    """All closed lists in one language."""
    _ = words.gettext
    return Texts(
        gaps={
            "day_not_over": _("the day is not over"),
            "no_meter": _("no meter was installed"),
            "meter_changed": _("the meter was changed on this day"),
            "opening_reading_missing": _("reading at the start is missing"),
            "closing_reading_missing": _("reading at the end is missing"),
            "both_readings_missing": _("not read"),
            "readings_differ": _("two readings differ; the office is checking"),
            "register_went_back": _("the reading went back; the office is checking"),
        },
        block_gaps={
            "not_over": "",
            "not_read": _("not read"),
            "readings_differ": _("two readings differ; the office is checking"),
        },
        quantities={
            "voltage": _("Voltage"),
            "voltage_r": _("Voltage, phase R"),
            "voltage_y": _("Voltage, phase Y"),
            "voltage_b": _("Voltage, phase B"),
            "current": _("Current"),
            "current_r": _("Current, phase R"),
            "current_y": _("Current, phase Y"),
            "current_b": _("Current, phase B"),
            "neutral_current": _("Neutral current"),
            "power": _("Power"),
            "apparent_power": _("Apparent power"),
            "power_factor": _("Power factor"),
            "frequency": _("Frequency"),
        },
        events={
            name: {"occurred": occurred, "ended": ended}
            for name, occurred, ended in (
                ("power_failure", _("Supply failed"), _("Supply came back")),
                ("load_disconnected", _("Switched off at the meter"), _("Switched on again")),
                ("over_voltage", _("Voltage too high"), _("Voltage no longer too high")),
                ("low_voltage", _("Voltage too low"), _("Voltage no longer too low")),
                ("neutral_missing", _("Neutral missing"), _("Neutral is back")),
                ("overload", _("Load above the limit"), _("Load below the limit again")),
                ("magnetic_influence", _("Magnet near the meter"), _("Magnet gone")),
                ("meter_cover_open", _("Meter cover opened"), ""),
                ("payment_mode_prepaid", _("Changed to prepaid"), ""),
                ("payment_mode_postpaid", _("Changed to postpaid"), ""),
            )
        },
        unit=_("units"),
        label=_("Units of each day as bars; the table below has the figures"),
    )
