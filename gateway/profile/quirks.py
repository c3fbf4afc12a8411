"""Deviations that the product can bear: a closed list, and each off by default.

A profile names each with the reason why its meters need it. There are three kinds. A *switch*
changes what the core does. A *stated* quirk is carried out by other words of the profile (columns,
``access``, ``stamp``, ``deviation_sign`` ...): the loader holds name and words together, so that no
such word stands without its reason and no reason without the word (``gateway.profile.agreement``).
A *borne* one needs no switch, as nothing in the core relies on the contrary: its name says what a
capture of the profile shows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Quirk(StrEnum):
    """Every deviation that a profile may name."""

    FROZEN_RECEIVE_SEQUENCE = "frozen_receive_sequence"
    """HDLC N(R) does not count what was received; such a meter is sent frames one by one."""
    TAGGED_NOTIFICATION_DATE_TIME = "tagged_notification_date_time"
    """DataNotification with its date-time as a tagged octet-string (09 0C ...)."""
    TRAILING_OCTETS = "trailing_octets"
    """Octets behind the complete value of a GET response."""
    MISSING_USER_INFORMATION = "missing_user_information"
    """An accepting AARE without InitiateResponse."""
    NO_RELEASE = "no_release"
    """RLRQ is refused or not answered: leave by closing the link."""
    RANGE_WITHOUT_DEVIATION = "range_without_deviation"
    """Selective access by range takes local time only, without deviation and status."""
    GLOBAL_KEY_BESIDE_DEDICATED = "global_key_beside_dedicated"
    """Events come under the global key within an association that has a dedicated one."""

    POSITIVE_DEVIATION = "positive_deviation"
    """The deviation is local time minus UTC (India +330), the Blue Book's with its sign turned."""
    DEVIATION_NOT_BELIEVED = "deviation_not_believed"
    """The deviation is wrong: the profile's zone holds always."""
    STAMP_AT_START = "stamp_at_start"
    """A load profile's clock stands at the start of the interval, not at its end."""
    RANGE_REFUSED = "range_refused"
    """A load profile is read by entry: the meter refuses selective access by range."""
    EXPORT_COLUMNS_FIRST = "export_columns_first"
    """The daily load captures exported energy before imported."""
    UNLISTED_CAPTURE_OBJECT = "unlisted_capture_object"
    """A captured object is missing in the association's view, and so is its scaler."""
    PREPAID_FAMILY_94_91 = "prepaid_family_94_91"
    """Prepaid figures for the display stand at 0-0:94.91.x, not at 0-0:94.96.x."""

    FLOAT32_REGISTERS = "float32_registers"
    """Measured values are float32."""
    SHORT_SCALER_PROFILE = "short_scaler_profile"
    """The scaler profile leaves out registers of the value profile: they are asked one by one."""


SWITCHES: Final = frozenset(
    {
        Quirk.FROZEN_RECEIVE_SEQUENCE,
        Quirk.TAGGED_NOTIFICATION_DATE_TIME,
        Quirk.TRAILING_OCTETS,
        Quirk.MISSING_USER_INFORMATION,
        Quirk.NO_RELEASE,
        Quirk.RANGE_WITHOUT_DEVIATION,
        Quirk.GLOBAL_KEY_BESIDE_DEDICATED,
    }
)
"""Quirks that the core asks for."""
