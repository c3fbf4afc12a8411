"""Firmware of an emulated meter, and the image transfer (class 18) that replaces it.

An image is ``EMU-IMAGE version newline ... digest``: whatever stands between, and the SHA-256 of
all before it, which is also its signature. Blocks, state and version outlive a power cut.
"""

from __future__ import annotations

from hashlib import sha256, shake_256
from typing import Final

from gateway.dlms.apdu.results import ActionResult, DataAccessResult
from gateway.dlms.association.port import AccessRefused
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import ClassId, ImageAttribute, ImageMethod, ImageStatus
from gateway.model import Obis
from hil_tests.emulator import octets
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.objects import FIRMWARE, CosemObject

FIRST_VERSION: Final = "EMU-1.0"
BLOCK_OCTETS: Final = 200
RESTART_S: Final = 20
_HEAD: Final = b"EMU-IMAGE "
_DIGEST_OCTETS: Final = 32


class PowerCut(Exception):
    """The supply goes away while the meter works: no answer, the association is lost."""


def make_image(version: str, size: int, seed: int = 1) -> bytes:
    """An image that an emulated meter verifies and runs as ``version``."""
    head = _HEAD + version.encode() + b"\n"
    filling = shake_256(f"{seed}/{version}".encode()).digest(max(0, size - len(head) - 32))
    return head + filling + sha256(head + filling).digest()


class ImageStore:
    """Implements the transfer; ``version`` is what runs."""

    def __init__(self, faults: Faults, version: str = FIRST_VERSION) -> None:
        self.version = version
        self.blocks_taken = 0
        self.initiations = 0
        self._cut_at = faults.power_cut_in_block
        self._slow_polls = faults.slow_verification
        self._status = ImageStatus.NOT_INITIATED
        self._enabled = True
        self._identifier = b""
        self._size = 0
        self._blocks: dict[int, bytes] = {}
        self._polls_left = 0
        self._restarts_until_s: int | None = None
        self._now_s = 0

    def object(self) -> CosemObject:
        """The image transfer object; its methods are the firmware association's."""
        return CosemObject(
            class_id=ClassId.IMAGE_TRANSFER,
            obis=Obis.parse("0.0.44.0.0.255"),
            attributes={
                ImageAttribute.BLOCK_SIZE: lambda: octets.double_long_unsigned(BLOCK_OCTETS),
                ImageAttribute.BLOCKS_STATUS: self._blocks_status,
                ImageAttribute.FIRST_NOT_TRANSFERRED: self._first_missing,
                ImageAttribute.ENABLED: lambda: octets.boolean(self._enabled),
                ImageAttribute.STATUS: self._show_status,
                ImageAttribute.TO_ACTIVATE: self._to_activate,
            },
            setters={ImageAttribute.ENABLED: self._set_enabled},
            methods={
                ImageMethod.INITIATE: self._initiate,
                ImageMethod.BLOCK_TRANSFER: self._take_block,
                ImageMethod.VERIFY: self._verify,
                ImageMethod.ACTIVATE: lambda _: self.activate(),
            },
            writers=frozenset({FIRMWARE}),
        )

    def tick(self, now_s: int) -> bool:
        """Note the time; whether the meter is restarting and does not answer."""
        self._now_s = now_s
        if self._restarts_until_s is None:
            return False
        if now_s < self._restarts_until_s:
            return True
        self._restarts_until_s = None
        self.version = self._image()[len(_HEAD) :].split(b"\n", 1)[0].decode()
        self._status = ImageStatus.ACTIVATION_SUCCESSFUL
        return False

    def activate(self) -> None:
        """Restart with the verified image; raise AccessRefused without one."""
        if self._status is not ImageStatus.VERIFICATION_SUCCESSFUL:
            raise AccessRefused(ActionResult.OTHER_REASON)
        self._status = ImageStatus.ACTIVATION_INITIATED
        self._restarts_until_s = self._now_s + RESTART_S

    @property
    def _count(self) -> int:
        return -(-self._size // BLOCK_OCTETS)

    def _image(self) -> bytes:
        return b"".join(self._blocks.get(number, b"") for number in range(self._count))

    def _blocks_status(self) -> Data:
        bits = "".join("1" if number in self._blocks else "0" for number in range(self._count))
        return Data(Tag.BIT_STRING, bits)

    def _first_missing(self) -> Data:
        missing = (number for number in range(self._count) if number not in self._blocks)
        return octets.double_long_unsigned(next(missing, self._count))

    def _show_status(self) -> Data:
        if self._status is ImageStatus.VERIFICATION_INITIATED:
            self._polls_left -= 1
            if self._polls_left < 0:
                self._judge()
        return octets.enum(self._status)

    def _judge(self) -> None:
        image = self._image()
        whole = len(image) == self._size and image.startswith(_HEAD)
        good = whole and sha256(image[:-_DIGEST_OCTETS]).digest() == image[-_DIGEST_OCTETS:]
        self._status = (
            ImageStatus.VERIFICATION_SUCCESSFUL if good else ImageStatus.VERIFICATION_FAILED
        )

    def _to_activate(self) -> Data:
        if self._status is not ImageStatus.VERIFICATION_SUCCESSFUL:
            return octets.array(())
        return octets.array(
            (
                octets.structure(
                    octets.double_long_unsigned(self._size),
                    octets.octet_string(self._identifier),
                    octets.octet_string(self._image()[-_DIGEST_OCTETS:]),
                ),
            )
        )

    def _set_enabled(self, data: Data) -> None:
        if not isinstance(data.value, bool):
            raise AccessRefused(DataAccessResult.TYPE_UNMATCHED)
        self._enabled = data.value

    def _initiate(self, data: Data | None) -> None:
        match data:
            case Data(value=(Data(value=bytes(identifier)), Data(value=int(size)))):
                if not self._enabled:
                    raise AccessRefused(ActionResult.OTHER_REASON)
                self._identifier, self._size, self._blocks = identifier, size, {}
                self._status = ImageStatus.INITIATED
                self.initiations += 1
            case _:
                raise AccessRefused(ActionResult.TYPE_UNMATCHED)

    def _take_block(self, data: Data | None) -> None:
        match data:
            case Data(value=(Data(value=int(number)), Data(value=bytes(block)))):
                if self._status is not ImageStatus.INITIATED or number >= self._count:
                    raise AccessRefused(ActionResult.OTHER_REASON)
                if number == self._cut_at:
                    self._cut_at = None
                    raise PowerCut
                self._blocks[number] = block
                self.blocks_taken += 1
            case _:
                raise AccessRefused(ActionResult.TYPE_UNMATCHED)

    def _verify(self, data: Data | None) -> None:
        if self._status is not ImageStatus.INITIATED:
            raise AccessRefused(ActionResult.OTHER_REASON)
        self._status = ImageStatus.VERIFICATION_INITIATED
        self._polls_left = self._slow_polls
        if self._slow_polls:
            raise AccessRefused(ActionResult.TEMPORARY_FAILURE)
        self._judge()
