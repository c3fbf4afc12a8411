"""What a server needs from the meter it speaks for."""

from __future__ import annotations

from typing import Protocol

from gateway.dlms.selective_access import SelectiveAccess
from gateway.model import Obis


class AccessRefused(Exception):
    """The object model says no.

    ``result`` is the data-access-result (GET, SET) or action-result code of the Green Book.
    """

    def __init__(self, result: int) -> None:
        self.result = result
        super().__init__(f"access refused: {result}")


class MeterObjects(Protocol):
    """A meter's COSEM object model; ``association`` is the name of the open association."""

    def get(
        self,
        association: str,
        class_id: int,
        obis: Obis,
        attribute: int,
        access: SelectiveAccess | None,
    ) -> bytes:
        """A-XDR of one attribute; raise AccessRefused with a data-access-result."""

    def set(self, association: str, class_id: int, obis: Obis, attribute: int, data: bytes) -> None:
        """Write one attribute from A-XDR; raise AccessRefused with a data-access-result."""

    def action(
        self, association: str, class_id: int, obis: Obis, method: int, data: bytes | None
    ) -> bytes | None:
        """Invoke a method; its return parameters as A-XDR or None; raise AccessRefused."""
