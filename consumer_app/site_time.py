"""Local days of a site as UTC epoch seconds, in whole numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.errors import ConfigError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def site_zone(name: str) -> ZoneInfo:
    """The zone a utility bills its days in, such as Asia/Kolkata; ConfigError if unknown."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            "site", "zone", name, "a name of the IANA zone database, such as Asia/Kolkata"
        ) from error


def midnight_s(day: date, zone: ZoneInfo) -> int:
    """UTC epoch seconds of the start of ``day`` in ``zone``."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (start.astimezone(UTC) - _EPOCH) // timedelta(seconds=1)


def local_time(at_s: int, zone: ZoneInfo) -> datetime:
    """The instant as the site's clocks show it."""
    return (_EPOCH + timedelta(seconds=at_s)).astimezone(zone)


def local_day(at_s: int, zone: ZoneInfo) -> date:
    """The site's date at this instant."""
    return local_time(at_s, zone).date()


def day_after(day: date, days: int = 1) -> date:
    """The date ``days`` later."""
    return day + timedelta(days=days)
