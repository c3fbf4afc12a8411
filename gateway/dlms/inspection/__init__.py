"""Recorded octets explained layer by layer, for people and for proofs. Pure.

Nothing here belongs to a session: no state is kept, and what cannot be read is named, not guessed.
"""

from __future__ import annotations

from gateway.dlms.inspection.inspector import InspectionKeys, Inspector, Quirks

__all__ = ["InspectionKeys", "Inspector", "Quirks"]
