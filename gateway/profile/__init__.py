"""Firmware profiles: what is known of a meter's make and firmware, as data."""

from __future__ import annotations

from gateway.profile.event_words import EventName, Push, PushKind
from gateway.profile.events import event_of_code, status_changes
from gateway.profile.loader import (
    load_profile,
    load_profiles,
    named_attributes,
    profile_names,
    shipped_profiles,
)
from gateway.profile.matching import check_matches, matches_overlap
from gateway.profile.words import (
    Access,
    Association,
    Attribute,
    Authentication,
    Capture,
    CapturedValue,
    Ciphering,
    CipheringStyle,
    Display,
    FirmwareProfile,
    KeyName,
    Link,
    Match,
    ProfileGeneric,
    Provenance,
    Quirk,
    Relay,
    Stamp,
    Time,
)

__all__ = [
    "Access",
    "Association",
    "Attribute",
    "Authentication",
    "Capture",
    "CapturedValue",
    "Ciphering",
    "CipheringStyle",
    "Display",
    "EventName",
    "FirmwareProfile",
    "KeyName",
    "Link",
    "Match",
    "ProfileGeneric",
    "Provenance",
    "Push",
    "PushKind",
    "Quirk",
    "Relay",
    "Stamp",
    "Time",
    "check_matches",
    "event_of_code",
    "load_profile",
    "load_profiles",
    "matches_overlap",
    "named_attributes",
    "profile_names",
    "shipped_profiles",
    "status_changes",
]
