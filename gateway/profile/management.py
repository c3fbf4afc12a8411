"""What may be changed at a meter, as its firmware profile says it: the words of ``[management]``.

Nothing is written that a profile does not name. A value is written in the type that the meter
shows it in; ``write_as`` is for meters that take another one than they show.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from gateway.profile.strict_toml import ObisText, Table, table

Name = Annotated[str, Field(min_length=1)]


class SettingName(StrEnum):
    """Attributes that jobs write, each to one value; closed."""

    LOAD_LIMIT = "load_limit"
    DEMAND_PERIOD = "demand_period"
    CAPTURE_PERIOD = "capture_period"
    ESW_FILTER = "esw_filter"
    DISPLAY_MESSAGE = "display_message"
    METERING_MODE = "metering_mode"
    PAYMENT_MODE = "payment_mode"
    BALANCE = "balance"
    BALANCE_TIME = "balance_time"
    LAST_RECHARGE_AMOUNT = "last_recharge_amount"
    LAST_RECHARGE_TIME = "last_recharge_time"
    TOTAL_AT_LAST_RECHARGE = "total_at_last_recharge"


class NumberType(StrEnum):
    """Types that numbers are written in."""

    DOUBLE_LONG = "double-long"
    DOUBLE_LONG_UNSIGNED = "double-long-unsigned"
    INTEGER = "integer"
    LONG = "long"
    UNSIGNED = "unsigned"
    LONG_UNSIGNED = "long-unsigned"
    ENUM = "enum"
    FLOAT32 = "float32"


@table
class Setting:
    """One attribute that a job may write.

    ``object`` names an ``[[object]]`` or a ``[display]`` object. ``effective`` names the object
    that must then read the same: what is in force.
    """

    object: Name
    unit: Literal["", "W", "s"] = ""
    scaler: Annotated[int, Field(ge=-9, le=9)] = 0
    """Number in ``unit`` = what is written x 10^scaler."""
    write_as: NumberType | None = None
    at_least: int | None = None
    at_most: int | None = None
    allowed: tuple[int, ...] = ()
    values: Table[Name, int] = field(default_factory=dict)
    """Words of a mode, and the number that each is."""
    length: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Bits of a bit-string; the most octets of a text."""
    effective: Name | None = None
    lowering: Literal["allowed", "refused"] = "allowed"
    """Whether a number may be made smaller than what stands there."""


@table
class ActivityCalendar:
    """Class 20, and the script table that its switches name."""

    object: ObisText
    script: ObisText


@table
class ImageTransfer:
    """Class 18; ``version`` names the object that reads the firmware version that runs."""

    object: ObisText
    association: Name
    version: Name
    schedule: ObisText | None = None
    """Single action schedule (class 22) of the activation."""


@table
class SecretChange:
    """How a secret is changed, and which association shows that the meter took it."""

    how: Literal["attribute", "method", "key_transfer"]
    """Attribute 7 or method 2 of ``proven_by``'s association object; or a global key transfer."""
    proven_by: Name
    key_id: Literal[0, 2] | None = None
    """Of a key transfer: 0 global unicast encryption key, 2 authentication key."""

    def __post_init__(self) -> None:
        if (self.how == "key_transfer") != (self.key_id is not None):
            raise ValueError("key_id belongs to how = 'key_transfer', and to nothing else")


class SecretName(StrEnum):
    """Secrets that can be changed; the names are those of the keys file."""

    LLS_PASSWORD = "lls_password"  # noqa: S105 a name, not a secret
    HLS_SECRET = "hls_secret"  # noqa: S105 a name, not a secret
    HLS_SECRET_FIRMWARE = "hls_secret_firmware"  # noqa: S105 a name, not a secret
    GUEK = "guek"
    GAK = "gak"


@table
class Management:
    """What may be changed, under which association."""

    association: Name
    """The one with the right to write: utility settings."""
    settings: Annotated[Table[SettingName, Setting], Field(alias="setting")] = field(
        default_factory=dict
    )
    activity_calendar: ActivityCalendar | None = None
    image_transfer: ImageTransfer | None = None
    secrets: Annotated[Table[SecretName, SecretChange], Field(alias="secret")] = field(
        default_factory=dict
    )
