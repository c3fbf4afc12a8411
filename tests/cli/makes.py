"""An emulated meter for each shipped profile: who it is, how it deviates, what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.cli.bench import NOW_S, Bench, Laptop, block_value, dotted, register_now

SINGLE = "is15959_part2_single_phase"
THREE = "is15959_part2_three_phase"
CLOCK = "0.0.1.0.0.255"
IST = timezone(timedelta(minutes=330))
SPAN = ("--from", "2026-04-29T00:00", "--to", "2026-05-01T12:00")


@dataclass(frozen=True)
class Make:
    """A meter of the scenario and the profile that it is read with."""

    serial: str
    profile: str

    @property
    def is_ciphered(self) -> bool:
        return "part1" not in self.profile and "bare_aare" not in self.profile


MAKES = [
    Make("SINGLE", SINGLE),
    Make("THREE", THREE),
    Make("CT", "is15959_part3"),
    Make("OLD1", "is15959_part1_single_phase"),
    Make("OLD3", "is15959_part1_three_phase"),
    Make("FLOAT", f"{SINGLE}_float32"),
    Make("FLOAT3", f"{THREE}_float32"),
    Make("EXPORT", f"{SINGLE}_export_first"),
    Make("UNLISTED", f"{SINGLE}_unlisted_column"),
    Make("PREPAID", f"{SINGLE}_prepaid_94_91"),
    Make("START", f"{SINGLE}_start_stamp"),
    Make("LOCAL", f"{SINGLE}_local_range"),
    Make("ENTRY", f"{SINGLE}_by_entry"),
    Make("BLUE", f"{SINGLE}_blue_book_time"),
    Make("ZONE", f"{SINGLE}_zone_only"),
    Make("UNSAID", SINGLE),
    Make("BARE", f"{SINGLE}_bare_aare"),
    Make("SILENT", f"{SINGLE}_no_release"),
    Make("REFUSE", f"{SINGLE}_no_release"),
    Make("SHORT", f"{SINGLE}_short_scalers"),
    Make("TRAIL", f"{SINGLE}_trailing_octets"),
]
SCENARIO = (Path(__file__).parents[2] / "hil_tests/scenarios/makes.toml").read_text("utf-8")


def local(utc_s: int) -> str:
    return datetime.fromtimestamp(utc_s, IST).isoformat()


def buffer(laptop: Laptop, make: Make, profile_set: str, profile: str, *words: str) -> Any:
    """The one buffer of a set, read with a profile (a name or a file)."""
    document = laptop.document(make.serial, "--set", profile_set, *words, profile=profile)
    [found] = document["buffers"]
    return found


def named(found: Any) -> list[dict[str, Any]]:
    """Rows by dotted logical name; of several attributes of one object the first."""
    names = [dotted(column) for column in found["columns"]]
    return [dict(reversed(list(zip(names, row["values"], strict=True)))) for row in found["rows"]]


def check_reading(bench: Bench, laptop: Laptop, make: Make, profile: str) -> None:
    """The meter read with this profile shows what its household used, at the right times."""
    _check_daily(bench, laptop, make, profile)
    _check_blocks(bench, laptop, make, profile)
    _check_present(bench, laptop, make, profile)


def _check_daily(bench: Bench, laptop: Laptop, make: Make, profile: str) -> None:
    found = buffer(laptop, make, "daily", profile, *SPAN)
    wanted = list(bench.truth(make.serial).daily_rows(NOW_S))[-3:]
    assert [row["captured_at"] for row in found["rows"]] == [
        datetime.fromtimestamp(row.captured_at_s, UTC).isoformat() for row in wanted
    ]
    assert {row["time_quality"] for row in found["rows"]} == {"ok"}
    for row, truth in zip(named(found), wanted, strict=True):
        shown: dict[str, Decimal] = {
            "1.0.1.8.0.255": truth.shown.import_wh,
            "1.0.9.8.0.255": truth.shown.import_vah,
            "1.0.2.8.0.255": truth.shown.export_wh,
            "1.0.10.8.0.255": truth.shown.export_vah,
        }
        assert {name: row[name] for name in shown} == shown
        assert row["1.0.1.8.0.255"] > row["1.0.2.8.0.255"] > 0, "no test of their order otherwise"


def _check_blocks(bench: Bench, laptop: Laptop, make: Make, profile: str) -> None:
    entry = bench[make.serial].scenario
    found = buffer(laptop, make, "block", profile, *SPAN)
    from_s = NOW_S - 62 - 60 * 3600
    ends = range(from_s, NOW_S - 62 + 1, entry.capture_period_s)
    assert [row["captured_at"] for row in found["rows"]] == [
        datetime.fromtimestamp(end_s, UTC).isoformat() for end_s in ends
    ]
    for row, end_s in zip(named(found), ends, strict=True):
        for name in (name for name in row if name.endswith((".29.0.255", ".27.0.255"))):
            assert row[name] == block_value(bench, entry, name, end_s), name


def _check_present(bench: Bench, laptop: Laptop, make: Make, profile: str) -> None:
    found = buffer(laptop, make, "instantaneous", profile)
    [row] = named(found)
    assert row[CLOCK][:19] == local(NOW_S)[:19]
    registers = [
        dotted(column)
        for column in found["columns"]
        if column["class"] == 3 and dotted(column) != "0.0.0.1.2.255"
    ]
    assert len(registers) >= 12
    for name in registers:
        assert row[name] == register_now(bench, make.serial, name), name
