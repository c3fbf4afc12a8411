"""Made-up consumers, one for each meter: nobody of that number or at that load exists."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

from gateway.model import Secret
from hil_tests.demo.toml import text

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters and digits that are taken for one another on paper."""
_CODE_GROUPS: Final = 3
_FIRST_NUMBER: Final = 4_501_230_001


class _Person(NamedTuple):
    name: str
    sanctioned_load_w: int
    category: str


_SINGLE_PHASE: Final = (
    _Person("Sushila Devi", 2000, "LMV-1"),
    _Person("Ramesh Kumar Yadav", 1000, "LMV-1"),
    _Person("Farzana Begum", 3000, "LMV-1"),
    _Person("Anil Kumar Gupta", 4000, "LMV-2"),
    _Person("Kamla Prajapati", 1000, "LMV-1"),
    _Person("Harpreet Singh", 5000, "LMV-1"),
    _Person("Meena Kumari", 2000, "LMV-1"),
    _Person("Suresh Chandra Mishra", 3000, "LMV-1"),
    _Person("Shabana Khatoon", 2000, "LMV-2"),
    _Person("Vijay Nishad", 4000, "LMV-1"),
)
_THREE_PHASE: Final = (
    _Person("Rajesh Flour Mill", 15_000, "LMV-6"),
    _Person("Saraswati Public School", 12_000, "LMV-4"),
)


@dataclass(frozen=True, slots=True)
class Consumer:
    """One connection with its meter and the access code that its consumer signs in with."""

    number: str
    meter: str
    phases: int
    name: str
    sanctioned_load_w: int
    category: str
    code: Secret


def make_consumers(meters: Sequence[tuple[str, int]]) -> tuple[Consumer, ...]:
    """One consumer for each (serial number, phases), with fresh access codes."""
    left = {1: list(_SINGLE_PHASE), 3: list(_THREE_PHASE)}
    consumers = []
    for place, (meter, phases) in enumerate(meters):
        person = left[phases].pop(0)
        left[phases].append(person)
        number = str(_FIRST_NUMBER + place)
        consumers.append(Consumer(number, meter, phases, *person, access_code()))
    return tuple(consumers)


def access_code() -> Secret:
    """A fresh code of 12 letters and digits in groups, 59 bits."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(_CODE_GROUPS))
    return Secret("-".join(groups).encode())


def account_file(
    consumers: Sequence[Consumer], *, gateway: str, installed_s: int, zone_minutes: int
) -> str:
    """The file that ``consumer-app account import`` takes; it holds the access codes."""
    zone = timezone(timedelta(minutes=zone_minutes))
    installed = datetime.fromtimestamp(installed_s, UTC).astimezone(zone).isoformat()
    return "\n".join(_connection(one, gateway, installed) for one in consumers)


def _connection(consumer: Consumer, gateway: str, installed: str) -> str:
    return f"""[[connection]]
number = {text(consumer.number)}
name = {text(consumer.name)}
sanctioned_load_w = {consumer.sanctioned_load_w}
phases = {consumer.phases}
category = {text(consumer.category)}
gateway = {text(gateway)}
access_code = {text(consumer.code.reveal().decode())}

[[connection.installation]]
meter = {text(consumer.meter)}
from = {installed}
"""
