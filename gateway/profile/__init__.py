"""Firmware profiles: what is known of a meter's make and firmware, as data."""

from __future__ import annotations

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
    "FirmwareProfile",
    "KeyName",
    "Link",
    "Match",
    "ProfileGeneric",
    "Provenance",
    "Quirk",
    "Relay",
    "Stamp",
    "Time",
    "check_matches",
    "load_profile",
    "load_profiles",
    "matches_overlap",
    "named_attributes",
    "profile_names",
    "shipped_profiles",
]
