"""Recorded octets explained layer by layer, for people and for proofs. Pure.

Nothing here belongs to a session, and what cannot be read is named, not guessed.
"""

from __future__ import annotations

from gateway.dlms.inspection.capture import Capture, explain_capture, read_capture
from gateway.dlms.inspection.describe import TAGGED_DATE_TIME
from gateway.dlms.inspection.descriptors import UNTAGGED_DESCRIPTORS
from gateway.dlms.inspection.framing import Described
from gateway.dlms.inspection.inspector import Inspector, Quirks
from gateway.dlms.inspection.lists import name_of
from gateway.dlms.inspection.opening import InspectionKeys

__all__ = [
    "TAGGED_DATE_TIME",
    "UNTAGGED_DESCRIPTORS",
    "Capture",
    "Described",
    "InspectionKeys",
    "Inspector",
    "Quirks",
    "explain_capture",
    "name_of",
    "read_capture",
]
