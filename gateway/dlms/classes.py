"""COSEM interface classes: the class, attribute and method numbers this product uses.

Source: Blue Book edition 12, interface class tables. Names follow the Blue Book.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from gateway.model import CaptureObject, Obis

LOGICAL_NAME: Final = 1
"""Attribute 1 of every interface class."""

VALUE: Final = 2
"""Attribute 2 of Data, Register, Extended register and Demand register."""

CAPTURE_TIMES: Final = {4: 5, 5: 6}
"""Class -> its capture_time attribute: Extended register 5, Demand register 6."""


class ClassId(IntEnum):
    """Interface classes by number."""

    DATA = 1
    REGISTER = 3
    EXTENDED_REGISTER = 4
    DEMAND_REGISTER = 5
    PROFILE_GENERIC = 7
    CLOCK = 8
    ASSOCIATION_LN = 15
    SAP_ASSIGNMENT = 17
    IMAGE_TRANSFER = 18
    ACTIVITY_CALENDAR = 20
    SINGLE_ACTION_SCHEDULE = 22
    PUSH_SETUP = 40
    SECURITY_SETUP = 64
    DISCONNECT_CONTROL = 70
    LIMITER = 71


class ProfileAttribute(IntEnum):
    """Profile generic (class 7)."""

    BUFFER = 2
    CAPTURE_OBJECTS = 3
    CAPTURE_PERIOD = 4
    SORT_METHOD = 5
    SORT_OBJECT = 6
    ENTRIES_IN_USE = 7
    PROFILE_ENTRIES = 8


class ClockAttribute(IntEnum):
    """Clock (class 8)."""

    TIME = 2
    TIME_ZONE = 3
    STATUS = 4


class ClockMethod(IntEnum):
    """Clock (class 8) methods."""

    SHIFT_TIME = 6
    """Takes the seconds to add, long, -900 .. 900."""


class AssociationAttribute(IntEnum):
    """Association LN (class 15)."""

    SECRET = 7


class AssociationMethod(IntEnum):
    """Association LN (class 15) methods."""

    REPLY_TO_HLS = 1
    CHANGE_HLS_SECRET = 2


class SecuritySetupMethod(IntEnum):
    """Security setup (class 64) methods."""

    KEY_TRANSFER = 2


class ImageAttribute(IntEnum):
    """Image transfer (class 18)."""

    BLOCK_SIZE = 2
    BLOCKS_STATUS = 3
    FIRST_NOT_TRANSFERRED = 4
    ENABLED = 5
    STATUS = 6
    TO_ACTIVATE = 7


class ImageMethod(IntEnum):
    """Image transfer (class 18) methods."""

    INITIATE = 1
    BLOCK_TRANSFER = 2
    VERIFY = 3
    ACTIVATE = 4


class ImageStatus(IntEnum):
    """Values of image_transfer_status."""

    NOT_INITIATED = 0
    INITIATED = 1
    VERIFICATION_INITIATED = 2
    VERIFICATION_SUCCESSFUL = 3
    VERIFICATION_FAILED = 4
    ACTIVATION_INITIATED = 5
    ACTIVATION_SUCCESSFUL = 6
    ACTIVATION_FAILED = 7


class CalendarAttribute(IntEnum):
    """Activity calendar (class 20)."""

    NAME_ACTIVE = 2
    SEASONS_ACTIVE = 3
    WEEKS_ACTIVE = 4
    DAYS_ACTIVE = 5
    NAME_PASSIVE = 6
    SEASONS_PASSIVE = 7
    WEEKS_PASSIVE = 8
    DAYS_PASSIVE = 9
    ACTIVATE_TIME = 10


class CalendarMethod(IntEnum):
    """Activity calendar (class 20) methods."""

    ACTIVATE_PASSIVE = 1


class ScheduleAttribute(IntEnum):
    """Single action schedule (class 22)."""

    EXECUTION_TIME = 4


class DisconnectMethod(IntEnum):
    """Disconnect control (class 70) methods; each takes integer(0)."""

    REMOTE_DISCONNECT = 1
    REMOTE_RECONNECT = 2


_SCALER_ATTRIBUTE: Final = {
    ClassId.REGISTER: 3,
    ClassId.EXTENDED_REGISTER: 3,
    ClassId.DEMAND_REGISTER: 4,
}

_SCALED_ATTRIBUTES: Final = {
    ClassId.REGISTER: frozenset({2}),
    ClassId.EXTENDED_REGISTER: frozenset({2}),
    ClassId.DEMAND_REGISTER: frozenset({2, 3}),
}

CURRENT_ASSOCIATION: Final = Obis.parse("0-0:40.0.0*255")
CLOCK: Final = Obis.parse("0-0:1.0.0*255")
CLOCK_TIME: Final = CaptureObject(ClassId.CLOCK, CLOCK, ClockAttribute.TIME)
BILLING_DATE: Final = Obis.parse("0-0:0.1.2*255")
SERIAL_NUMBER: Final = Obis.parse("0-0:96.1.0*255")
DISCONNECT_CONTROL: Final = Obis.parse("0-0:96.3.10*255")


def scaler_source(source: CaptureObject) -> CaptureObject | None:
    """The attribute that holds the scaler_unit of a captured value; None where there is none.

    Clock, Data, strings and capture times have no scaler.
    """
    try:
        class_id = ClassId(source.class_id)
    except ValueError:
        return None
    if source.attribute not in _SCALED_ATTRIBUTES.get(class_id, ()):
        return None
    return CaptureObject(class_id, source.obis, _SCALER_ATTRIBUTE[class_id])
