"""What goes wrong between a meter and its reader now and then, at stated rates.

Faults are what a meter always does; trouble comes and goes: drawn for each answer from the meter's
name and the number of the answer, so a run can be repeated. Every kind was seen in the field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from hashlib import shake_256
from typing import Final, Protocol

_MILLE: Final = 1000
_DRAW_OCTETS: Final = 4
_NOISE_OCTETS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Rates in answers of a thousand, and how long some of it lasts."""

    octet_lost: int = 0
    """An octet of the answer is lost on the wire."""
    octet_changed: int = 0
    """An octet of it is changed: the checksum does not fit."""
    noise: int = 0
    """Octets that are no frame come before it."""
    answer_lost: int = 0
    answer_late: int = 0
    """It comes after ``late_ms``, when nobody waits for it any more."""
    power_cut: int = 0
    """The meter has no power for ``cut_s``: link, association and block transfer are gone."""
    reset: int = 0
    """The connection is reset in the middle of the answer (TCP)."""
    half_open: int = 0
    """The connection goes dead without a word; the meter serves nobody else for ``held_s``."""
    counter_jump: int = 0
    """Another reader was there: the meter has seen invocation counters above ours."""
    only_at: int = 0
    """Nothing happens but to the answer of this number; 0: to any."""
    late_ms: int = 4_000
    cut_s: int = 20
    held_s: int = 120
    silent_from_s: int = 0
    """UTC seconds from which the meter cannot be reached at all; it goes on metering."""
    silent_to_s: int = 0


RATES: Final = tuple(
    one.name
    for one in fields(Trouble)
    if not one.name.endswith(("_s", "_ms", "_at")) and one.default == 0
)
"""Kinds of trouble that are drawn."""
NONE: Final = Trouble()


class Speaker(Protocol):
    """A meter at its end of a wire."""

    @property
    def turnaround_ms(self) -> int:
        """Between the last octet heard and the first sent."""

    def receive(self, data: bytes) -> bytes:
        """Take octets; the answer, or nothing."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What an answer becomes on the wire."""

    octets: bytes = b""
    late_ms: int = 0
    resets: bool = False
    """The connection is reset behind these octets."""
    forgets: bool = False
    """Link, association and block transfer are gone at the meter."""


@dataclass(slots=True)
class Misfortunes:
    """What befalls one meter, however it is connected; ``happened`` counts it, by kind.

    ``see_other_reader`` lets the meter see higher invocation counters than ours.
    """

    trouble: Trouble
    name: str
    now_s: Callable[[], int]
    see_other_reader: Callable[[], None]
    happened: dict[str, int] = field(default_factory=dict)
    _answers: int = 0
    _mute_until_s: int = 0

    @property
    def mute(self) -> bool:
        """Whether the meter hears nothing now: no power, nobody it serves, out of reach."""
        trouble = self.trouble
        if not self._mute_until_s and not trouble.silent_to_s:
            return False
        now_s = self.now_s()
        return now_s < self._mute_until_s or trouble.silent_from_s <= now_s < trouble.silent_to_s

    def befall(self, answer: bytes) -> Sending:
        """What becomes of an answer."""
        self._answers += 1
        if self.trouble == NONE or self.trouble.only_at not in (0, self._answers):
            return Sending(answer)
        for number, kind in enumerate(RATES):
            if self._draw(number, _MILLE) < getattr(self.trouble, kind):
                self.happened[kind] = self.happened.get(kind, 0) + 1
                return self._become(kind, answer)
        return Sending(answer)

    def _become(self, kind: str, answer: bytes) -> Sending:
        at = self._draw(len(RATES), len(answer))
        match kind:
            case "octet_lost":
                return Sending(answer[:at] + answer[at + 1 :])
            case "octet_changed":
                return Sending(answer[:at] + bytes([answer[at] ^ 0x10]) + answer[at + 1 :])
            case "noise":
                return Sending(self._octets(_NOISE_OCTETS) + answer)
            case "answer_lost":
                return Sending()
            case "answer_late":
                return Sending(answer, late_ms=self.trouble.late_ms)
            case "power_cut":
                self._mute_until_s = self.now_s() + self.trouble.cut_s
                return Sending(forgets=True)
            case "reset":
                return Sending(answer[:at], resets=True, forgets=True)
            case "half_open":
                self._mute_until_s = self.now_s() + self.trouble.held_s
                return Sending(forgets=True)
            case _:
                self.see_other_reader()
                return Sending(answer)

    def _draw(self, number: int, below: int) -> int:
        """A number below ``below``; a hash and not ``random``, whose streams no standard fixes."""
        start = number * _DRAW_OCTETS
        octets = self._octets(start + _DRAW_OCTETS)[start:]
        return int.from_bytes(octets, "big") % below

    def _octets(self, count: int) -> bytes:
        return shake_256(f"{self.name}/{self._answers}".encode()).digest(count)


@dataclass(slots=True)
class TroubledStation:
    """A meter's end of a wire that trouble befalls; ``make_station`` makes it anew."""

    make_station: Callable[[], Speaker]
    misfortunes: Misfortunes
    _station: Speaker = field(init=False)

    def __post_init__(self) -> None:
        self._station = self.make_station()

    @property
    def turnaround_ms(self) -> int:
        """As the meter's own."""
        return self._station.turnaround_ms

    def connected(self) -> None:
        """A reader connects anew: the meter's end has no association, if it serves anybody."""
        self._station = self.make_station()

    def receive(self, data: bytes) -> Sending:
        """Take octets from the wire; what comes back."""
        answer = b"" if self.misfortunes.mute else self._station.receive(data)
        if not answer:
            return Sending()
        sending = self.misfortunes.befall(answer)
        if sending.forgets:
            self._station = self.make_station()
        return sending
