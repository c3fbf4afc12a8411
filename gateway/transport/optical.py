"""Optical heads: the sign-on of IEC 62056-21 mode E on a serial port, then HDLC."""

from __future__ import annotations

import asyncio

from gateway.dlms.sign_on import SignOn, SignOnTiming
from gateway.errors import LinkLost, NoAnswer
from gateway.transport.echo import EchoFilter
from gateway.transport.serial import SerialTransport
from gateway.url import CharacterFormat, SignOnUse


class OpticalTransport(SerialTransport):
    """Transport through an optical head; see ``gateway.transport.port``.

    ``begin_link`` signs on and comes back when HDLC may begin. An echoing head is found out.
    ``baud`` is the highest speed to agree on, and the speed of HDLC without a sign-on.
    """

    def __init__(
        self,
        device: str,
        *,
        baud: int = 9600,
        sign_on: SignOnUse = SignOnUse.AUTO,
        address: str = "",
        wake_up: bool = False,
        timing: SignOnTiming | None = None,
    ) -> None:
        super().__init__(device, baud=baud)
        self._sign_on = sign_on
        self._address = address
        self._wake_up = wake_up
        self._timing = timing
        self._echo = EchoFilter()
        self._hdlc_baud: int | None = None
        """The speed of the link before, which a meter may keep for a while."""

    async def connect(self) -> None:
        """Open the device; see ``Transport.connect``."""
        self._echo = EchoFilter()
        self._hdlc_baud = None
        await super().connect()

    async def begin_link(self) -> None:
        """Sign on, as most meters want it again after each disconnection.

        Raises as ``SignOn``. Where nobody answers, the meter may speak HDLC all the same: because
        it always does (``sign_on`` auto), or still does, since the link before.
        """
        if self._sign_on is SignOnUse.NEVER:
            return
        try:
            self._hdlc_baud = await self._signed_on()
        except LinkLost:
            raise
        except NoAnswer:
            if self._sign_on is SignOnUse.ALWAYS and self._hdlc_baud is None:
                raise
            self.set_line(self._hdlc_baud or self._baud, CharacterFormat.EIGHT_NONE_ONE)
        await self.flush()

    async def _signed_on(self) -> int:
        """Do what the sign-on says until HDLC may begin; the speed that was agreed on."""
        clock = asyncio.get_running_loop().time
        machine = SignOn(
            now_s=clock(),
            address=self._address,
            wake_up=self._wake_up,
            max_baud=self._baud,
            timing=self._timing,
        )
        line = None
        while not machine.is_ready:
            if machine.line != line:
                line = machine.line
                self.set_line(line.baud, line.characters)
            characters = machine.data_to_send()
            if characters:
                await self.send(characters)
            try:
                data = await self.receive(max(0.0, machine.due_s - clock()))
            except LinkLost:
                raise
            except NoAnswer:
                machine.pass_time(max(clock(), machine.due_s))
            else:
                machine.receive_data(data, clock())
        return machine.line.baud

    def _on_wire(self, data: bytes) -> bytes:
        octets = super()._on_wire(data)
        self._echo.sent(octets)
        return octets

    def _unechoed(self, data: bytes) -> bytes:
        return self._echo.received(data)
