"""What is stated against what was found, value by value, exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

_SPACED_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)")


def normal_form(text: str) -> str:
    """Local date-times written with a space, as some sources do, in ISO 8601 (``T`` between).

    Nothing else of a time is changed: where a source states an offset, the same one is wanted,
    and where it states none, none is.
    """
    found = _SPACED_TIME.fullmatch(text)
    return f"{found[1]}T{found[2]}" if found else text


@dataclass(slots=True)
class Comparison:
    """Counts the values compared and names those that differ or are missing."""

    values: int = 0
    differences: list[str] = field(default_factory=list)

    def compare(self, stated: object, found: object, where: str) -> None:
        """Every value in ``stated`` against the one at its place in ``found``.

        ``found`` may hold more keys; lists must have the same length. Numbers are exact (int or
        Decimal), and true is not 1.
        """
        if isinstance(stated, dict):
            for key, value in stated.items():
                if not isinstance(found, dict) or key not in found:
                    self._differs(f"{where}.{key}", value, "nothing")
                else:
                    self.compare(value, found[key], f"{where}.{key}")
        elif isinstance(stated, list):
            if not isinstance(found, list) or len(found) != len(stated):
                self._differs(where, stated, found)
                return
            for index, (one, other) in enumerate(zip(stated, found, strict=True)):
                self.compare(one, other, f"{where}[{index}]")
        else:
            self.values += 1
            if not _same(stated, found):
                self.differences.append(f"{where}: stated {stated!r}, found {found!r}")

    def _differs(self, where: str, stated: object, found: object) -> None:
        self.values += 1
        self.differences.append(f"{where}: stated {stated!r}, found {found!r}")


def _same(stated: object, found: object) -> bool:
    match stated, found:
        case str(), str():
            return normal_form(stated) == normal_form(found)
        case (bool(), _) | (_, bool()):
            return stated is found
        case ((int() | Decimal()), (int() | Decimal())):
            return stated == found
        case _:
            return stated is None and found is None
