"""Push setup objects (class 40): what is sent and where; utility settings may write them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import partial
from typing import Final

from gateway.dlms.apdu.results import DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data
from gateway.model import Obis
from hil_tests.emulator import octets
from hil_tests.emulator.objects import CosemObject

PUSH_SETUP: Final = 40
"""Interface class of push setup objects."""

Address = tuple[str, int]
"""Host and TCP port."""


class PushSetup(Enum):
    """Push setup objects by what they send, and the profile that it comes from."""

    INSTANTANEOUS = ("0.0.25.9.0.255", "1.0.94.91.0.255")
    ALERT = ("0.4.25.9.0.255", None)
    BLOCK_LOAD = ("0.5.25.9.0.255", "1.0.99.1.0.255")
    DAILY_LOAD = ("0.6.25.9.0.255", "1.0.99.2.0.255")
    BILLING = ("0.132.25.9.0.255", "1.0.98.1.0.255")

    @property
    def obis(self) -> Obis:
        """Its logical name."""
        return Obis.parse(self.value[0])

    @property
    def profile(self) -> Obis | None:
        """The buffer whose newest row is sent; None for the event status word."""
        return None if self.value[1] is None else Obis.parse(self.value[1])


class SetupObjects:
    """The class 40 objects of one meter, as they were last written."""

    def __init__(self) -> None:
        nowhere = octets.structure(octets.enum(0), octets.octet_string(b""), octets.enum(0))
        self._held: dict[PushSetup, dict[int, Data]] = {
            setup: {
                2: octets.array(()),
                3: nowhere,
                4: octets.array(()),
                5: octets.long_unsigned(0),
                6: octets.unsigned(0),
                7: octets.long_unsigned(0),
            }
            for setup in PushSetup
        }

    def objects(self) -> Iterator[CosemObject]:
        """One object for each setup."""
        for setup, held in self._held.items():
            yield CosemObject(
                class_id=PUSH_SETUP,
                obis=setup.obis,
                attributes={number: partial(held.__getitem__, number) for number in held},
                setters={number: partial(self._set, setup, number) for number in held},
            )

    def _set(self, setup: PushSetup, number: int, data: Data) -> None:
        if data.tag != self._held[setup][number].tag:
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
        self._held[setup][number] = data

    def send_to(self, address: Address) -> None:
        """Let all setups send to one place."""
        text = f"{address[0]}:{address[1]}".encode()
        there = octets.structure(octets.enum(0), octets.octet_string(text), octets.enum(0))
        for held in self._held.values():
            held[3] = there

    def destination(self, setup: PushSetup) -> Address | None:
        """Where a setup sends: ``[host]:port`` as its destination says; None before one was set."""
        fields = self._held[setup][3].value
        assert isinstance(fields, tuple)
        text = fields[1].value
        assert isinstance(text, bytes)
        host, _, port = text.decode("latin-1").rpartition(":")
        return (host.strip("[]"), int(port)) if port.isdigit() else None
