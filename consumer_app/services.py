"""What the web application is given: every part injected, so tests run it whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from consumer_app.access import Tokens
from consumer_app.database.connect import Database


@dataclass(frozen=True, slots=True)
class Services:
    """``now_s`` gives UTC epoch seconds, ``random_bytes`` unguessable octets."""

    database: Database
    tokens: Tokens
    zone: ZoneInfo
    utility: str
    now_s: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    secure_cookie: bool = True
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of reverse proxies, whose word on the client's address is taken."""
