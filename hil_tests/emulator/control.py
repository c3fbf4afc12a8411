"""The load switch and its limiter: disconnect control (class 70) and limiter (class 71)."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from gateway.dlms.apdu.results import ActionResult, DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import DISCONNECT_CONTROL, ClassId, DisconnectMethod
from gateway.model import Obis
from hil_tests.emulator import octets
from hil_tests.emulator.catalogue import Model
from hil_tests.emulator.encodings import Encoding, float32_octets
from hil_tests.emulator.objects import CosemObject, constant

_DISCONNECTED, _CONNECTED = 0, 1
_LIMITER = Obis.parse("0.0.17.0.0.255")
_ACTIVE_POWER = Obis.parse("1.0.1.7.0.255")
_DISCONNECT_SCRIPTS = Obis.parse("0.0.10.0.106.255")

LOAD_LIMIT_W = {1: 15_120, 3: 75_600}
"""By phases: 105 % of the highest current at 240 V, as real 10-60 A and 10-100 A meters are set."""


class LoadSwitch:
    """State of the switch; ``control_mode`` 0 is what real meters report.

    ``moved`` is told whether it is connected now, whenever that changed.
    """

    def __init__(
        self, model: Model, encoding: Encoding, *, moved: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._moved = moved
        self.control_state = _CONNECTED
        self._mode = 0
        self._limit_w = LOAD_LIMIT_W[model.phases]
        self._encoding = encoding
        self._over_s = self._under_s = 60

    @property
    def connected(self) -> bool:
        """Whether current can flow."""
        return self.control_state == _CONNECTED

    def objects(self) -> list[CosemObject]:
        """Disconnect control and limiter."""
        switch = CosemObject(
            class_id=ClassId.DISCONNECT_CONTROL,
            obis=DISCONNECT_CONTROL,
            attributes={
                2: lambda: octets.boolean(self.connected),
                3: lambda: octets.enum(self.control_state),
                4: lambda: octets.enum(self._mode),
            },
            setters={4: self._set_mode},
            methods={
                DisconnectMethod.REMOTE_DISCONNECT: lambda data: self._move(_DISCONNECTED, data),
                DisconnectMethod.REMOTE_RECONNECT: lambda data: self._move(_CONNECTED, data),
            },
        )
        limiter = CosemObject(
            class_id=ClassId.LIMITER,
            obis=_LIMITER,
            attributes={
                2: constant(
                    octets.structure(
                        octets.long_unsigned(ClassId.REGISTER),
                        octets.logical_name(_ACTIVE_POWER),
                        octets.integer(2),
                    )
                ),
                3: self._threshold,
                4: self._threshold,
                5: self._threshold,
                6: lambda: octets.double_long_unsigned(self._over_s),
                7: lambda: octets.double_long_unsigned(self._under_s),
                8: constant(_no_emergency()),
                9: constant(octets.array(())),
                10: constant(octets.boolean(False)),
                11: constant(_actions()),
            },
            setters={4: self._set_threshold, 6: self._set_over, 7: self._set_under},
        )
        return [switch, limiter]

    def _move(self, state: int, data: Data | None) -> None:
        if data is None or data.tag != Tag.INTEGER:
            raise AccessRefused(ActionResult.TYPE_UNMATCHED)
        if state != self.control_state:
            self.control_state = state
            self._moved(self.connected)

    def _set_mode(self, data: Data) -> None:
        mode = _number(data, Tag.ENUM)
        if mode > 6:
            raise AccessRefused(DataAccessResult.OTHER_REASON)
        self._mode = mode

    def _threshold(self) -> Data:
        if self._encoding is Encoding.FLOAT32:
            return Data(Tag.FLOAT32, float32_octets(Fraction(self._limit_w)))
        return octets.double_long_unsigned(self._limit_w)

    def _set_threshold(self, data: Data) -> None:
        self._limit_w = _number(data, Tag.DOUBLE_LONG_UNSIGNED)

    def _set_over(self, data: Data) -> None:
        self._over_s = _number(data, Tag.DOUBLE_LONG_UNSIGNED)

    def _set_under(self, data: Data) -> None:
        self._under_s = _number(data, Tag.DOUBLE_LONG_UNSIGNED)


def _number(data: Data, tag: int) -> int:
    if data.tag != tag or not isinstance(data.value, int):
        raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
    return data.value


def _no_emergency() -> Data:
    return octets.structure(
        octets.long_unsigned(0),
        octets.octet_string(octets.NOT_SPECIFIED),
        octets.double_long_unsigned(0),
    )


def _actions() -> Data:
    script = octets.logical_name(_DISCONNECT_SCRIPTS)
    return octets.structure(
        octets.structure(script, octets.long_unsigned(1)),
        octets.structure(script, octets.long_unsigned(2)),
    )
