"""Whether the meter that answers is the one that is meant: nothing of another one is believed."""

from __future__ import annotations

from gateway.dlms.classes import SERIAL_NUMBER, VALUE, ClassId
from gateway.dlms.reading import read_data
from gateway.errors import MeterChanged, PeerRefused
from gateway.model import MeterId
from gateway.session import Session


class AnotherMeter(MeterChanged):
    """Another meter answers than the one that is meant: nothing it says is stored."""


async def check_serial(session: Session, meter: MeterId, *, where: str = "") -> bool:
    """Read the serial number within a session; raise AnotherMeter where it is not ``meter``'s.

    False where the meter does not show it to this association. ``where`` says what the meter is
    wanted for, in place of that it is configured. Raises as ``Session.run``.
    """
    try:
        serial = await session.run(read_data(ClassId.DATA, SERIAL_NUMBER, VALUE))
    except PeerRefused as refusal:
        if refusal.service != "GET":
            raise
        return False
    shown = serial.value.decode("latin-1") if isinstance(serial.value, bytes) else serial.value
    if shown != meter:
        raise AnotherMeter(f"meter {shown!s} answers where {where or f'{meter} is configured'}")
    return True
