"""Firmware profiles: what is known of a meter's make and firmware, as data."""

from __future__ import annotations

from gateway.profile.loader import (
    load_profile,
    load_profile_file,
    load_profiles,
    named_attributes,
    profile_names,
    shipped_profiles,
)
from gateway.profile.matching import check_matches, matches_overlap
from gateway.profile.quirks import SWITCHES, Quirk
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
    Relay,
    Stamp,
    Time,
    Transformer,
)

__all__ = [
    "SWITCHES",
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
    "Transformer",
    "check_matches",
    "load_profile",
    "load_profile_file",
    "load_profiles",
    "matches_overlap",
    "named_attributes",
    "profile_names",
    "shipped_profiles",
]
