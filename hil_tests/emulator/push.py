"""What an emulated meter sends unasked: bodies, their protection, and how they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.apdu import DataNotification, LongInvokeId
from gateway.dlms.axdr import Data
from gateway.dlms.classes import ClassId, ProfileAttribute
from gateway.dlms.rows import decode_rows
from gateway.dlms.security import (
    CipheringStyle,
    GlobalKeys,
    Protection,
    ProtectionSettings,
    SecurityPolicy,
)
from gateway.dlms.selective_access import EntryDescriptor
from gateway.model import Obis
from hil_tests.emulator import octets
from hil_tests.emulator.keys import MeterKeys
from hil_tests.emulator.meter import Meter
from hil_tests.emulator.nameplate import MANUFACTURER
from hil_tests.emulator.objects import METER_READER
from hil_tests.emulator.push_setups import Address, PushSetup

PUSH_CLIENT: Final = 64
FIRST_COUNTER: Final = 1 << 30
"""The push counter is apart from the meter's other one and shares its key and title: from here on
no nonce is used twice."""
_WRAPPER_VERSION: Final = 1
_LOGICAL_DEVICE: Final = 1
_SEND_S: Final = 10


@dataclass(kw_only=True)
class PushSource:
    """Makes a meter's messages.

    ``read`` gives the newest row of a buffer as A-XDR, ``word`` the event status word, ``clock``
    the meter's date-time. With ``nested`` a row stands whole in one element, else its columns
    follow flat behind the clock of the row.
    """

    device_id: str
    keys: MeterKeys
    policy: SecurityPolicy
    read: Callable[[Obis], bytes]
    word: Callable[[], Data]
    clock: Callable[[], Data]
    nested: bool = False
    counters: Iterator[int] = field(default_factory=lambda: count(FIRST_COUNTER))

    def __post_init__(self) -> None:
        self._invoke = count(1)

    def body(self, setup: PushSetup) -> bytes:
        """The body of a message, A-XDR."""
        head = [octets.visible_string(self.device_id), octets.logical_name(setup.obis)]
        if setup.profile is None:
            return axdr.encode(octets.structure(*head, self.clock(), self.word()))
        row = axdr.decode(self.read(setup.profile))
        assert isinstance(row.value, tuple)
        clock, *columns = row.value
        if self.nested:
            return axdr.encode(octets.structure(*head, self.clock(), octets.array((row,))))
        return axdr.encode(octets.structure(*head, clock, *columns))

    def frame(self, setup: PushSetup) -> bytes:
        """A whole message in its wrapper, under the next counter."""
        return self.framed(self.body(setup))

    def framed(self, body: bytes) -> bytes:
        """A body as a message in its wrapper."""
        notification = DataNotification(LongInvokeId(next(self._invoke)), b"", body)
        return wrapped(self._protected(notification.encode()))

    def _protected(self, apdu: bytes) -> bytes:
        if self.policy is SecurityPolicy.NONE:
            return apdu
        settings = ProtectionSettings(
            keys=GlobalKeys(encryption=self.keys.guek, authentication=self.keys.gak),
            own_title=self.keys.server_title,
            policy=self.policy,
            reserve=partial(next, self.counters),
            style=CipheringStyle.GENERAL_GLO,
        )
        return Protection(settings).protect(apdu)


def push_source(
    meter: Meter, keys: MeterKeys, policy: SecurityPolicy, *, nested: bool = False
) -> PushSource:
    """The messages of a meter, with its newest rows, status word and clock."""

    def read(profile: Obis) -> bytes:
        def get(attribute: int, access: EntryDescriptor | None) -> bytes:
            return meter.get(METER_READER, ClassId.PROFILE_GENERIC, profile, attribute, access)

        last = axdr.decode(get(ProfileAttribute.ENTRIES_IN_USE, None)).value
        assert isinstance(last, int)
        (row,) = decode_rows(get(ProfileAttribute.BUFFER, EntryDescriptor(last, last)))
        return row.raw

    return PushSource(
        device_id=MANUFACTURER + meter.settings.serial,
        keys=keys,
        policy=policy,
        read=read,
        word=meter.incidents.status_word,
        clock=meter.clock,
        nested=nested,
    )


def wrapped(apdu: bytes) -> bytes:
    """An APDU in the wrapper, from the meter to its push client."""
    head = (_WRAPPER_VERSION, _LOGICAL_DEVICE, PUSH_CLIENT, len(apdu))
    return b"".join(number.to_bytes(2, "big") for number in head) + apdu


async def send(frame: bytes, address: Address) -> bool:
    """Send a message over a connection of its own; whether somebody was there to take it."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_SEND_S):
            _, writer = await asyncio.open_connection(*address)
            try:
                writer.write(frame)
                await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()
        return True
    return False


class Pusher:
    """Sends a meter's messages: an alert for each incident, and whatever it is told to.

    A message is made at once, so a last gasp leaves before the supply is gone.
    """

    def __init__(self, meter: Meter, source: PushSource) -> None:
        self.meter = meter
        self.source = source
        self.sent = 0
        """Messages that somebody took."""
        self.lost = 0
        self._loop = asyncio.get_running_loop()
        self._sending: set[asyncio.Task[None]] = set()
        meter.incidents.listeners.append(lambda *_: self.push(PushSetup.ALERT))

    def push(self, setup: PushSetup) -> None:
        """Make a message now and send it where its setup says; nothing where that is nowhere."""
        address = self.meter.push_setups.destination(setup)
        if address is None:
            return
        # The message is of this instant, whichever thread something happens in.
        frame = self.source.frame(setup)
        self._loop.call_soon_threadsafe(self._begin, frame, address)

    def _begin(self, frame: bytes, address: Address) -> None:
        task = self._loop.create_task(self._send(frame, address))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, frame: bytes, address: Address) -> None:
        if await send(frame, address):
            self.sent += 1
        else:
            self.lost += 1

    async def stop(self) -> None:
        """Give up what is on its way."""
        for task in self._sending:
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending)
