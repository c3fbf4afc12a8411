"""Image transfer (class 18): a firmware image brought to a meter, activated, and proved.

The meter itself remembers which blocks it has, so a job that was cut anywhere asks it for the first
one that is missing (Blue Book 4.4.6). An image is activated only after the meter verified it and
named exactly the image that was meant; it is proved by the firmware version that is read after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dlms import axdr
from gateway.dlms.association.requests import Action, Set
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.classes import (
    ClassId,
    ImageAttribute,
    ImageMethod,
    ImageStatus,
    ScheduleAttribute,
)
from gateway.dlms.cosem_time import CosemDateTime
from gateway.dlms.management.steps import (
    History,
    Job,
    Mark,
    Outcome,
    Pause,
    PutOff,
    Result,
    StepKind,
    Steps,
    last_mark,
    refused,
    sendings,
)
from gateway.dlms.management.writing import Write, is_so, write_all
from gateway.dlms.reading import Procedure, read_data
from gateway.errors import DecodeError, PeerRefused, UsageError
from gateway.model import CaptureObject, Obis

INITIATE: Final = "image initiate"
VERIFY: Final = "image verify"
ACTIVATION: Final = "image activation"
SCHEDULE: Final = "image activation schedule"

BLOCKS_PER_VISIT: Final = 64
"""Then the wire is let go: a relay or a reading waits for so many blocks at most."""
MAX_IMAGE_OCTETS: Final = 16 << 20
_MAX_IDENTIFIER_OCTETS: Final = 64
_BLOCK_OCTETS: Final = range(1, 0x4001)
_STUCK_ROUNDS: Final = 3
_VERIFY_POLLS: Final = 60
_VERIFY_POLL_S: Final = 5
_RESTART_S: Final = 60
"""A meter restarts with its new image and does not answer meanwhile."""
_ACTIVATION_LOOKS: Final = 30
_TEMPORARY: Final = "temporary-failure"
_INTEGER_0: Final = axdr.encode(Data(Tag.INTEGER, 0))
_TRUE: Final = axdr.encode(Data(Tag.BOOLEAN, value=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A firmware image.

    ``identifier`` names it to the meter; ``version`` is what the meter's firmware version object
    reads once it runs. ``signature`` as the meter states it in image_to_activate_info, where known.
    """

    identifier: bytes
    octets: bytes
    version: str
    signature: bytes | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.octets) <= MAX_IMAGE_OCTETS:
            raise UsageError(f"an image has 1 to {MAX_IMAGE_OCTETS} octets")
        if not 1 <= len(self.identifier) <= _MAX_IDENTIFIER_OCTETS:
            raise UsageError(f"an image's identifier has 1 to {_MAX_IDENTIFIER_OCTETS} octets")

    @property
    def initiation(self) -> bytes:
        """Parameters of image_transfer_initiate: identifier and size."""
        return axdr.encode(
            Data(
                Tag.STRUCTURE,
                (
                    Data(Tag.OCTET_STRING, self.identifier),
                    Data(Tag.DOUBLE_LONG_UNSIGNED, len(self.octets)),
                ),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """Which image goes where, and when it is activated.

    ``at``: None activates at once, else by the single action schedule ``schedule``. ``in_s``:
    seconds from now to ``at``.
    """

    image: Image
    transfer: Obis
    version: CaptureObject
    schedule: Obis | None = None
    at: CosemDateTime | None = None
    in_s: int = 0


def transfer_image(plan: ImagePlan, history: History = ()) -> Job:
    """Bring the image to the meter, activate it, prove it: whatever part of it is left to do."""
    try:
        version = yield from read_data(*_where(plan.version))
    except PeerRefused as refusal:
        return refused("firmware version", refusal)
    activated = sendings(history, ACTIVATION)
    if is_so(version, plan.image.version):
        kind = StepKind.AFTER if activated else StepKind.PRESENT
        yield Mark(kind, ACTIVATION, "runs this version", axdr.encode(version))
        return Result(Outcome.DONE if activated else Outcome.ALREADY_SO)
    if activated:
        return (yield from _look_again(plan, history))
    yield Mark(StepKind.PRESENT, ACTIVATION, octets=axdr.encode(version))
    try:
        put_off = yield from _bring(plan, history)
    except PeerRefused as refusal:
        return refused("image transfer", refusal)
    if put_off is not None:
        return put_off
    checked = yield from _verify(plan)
    if checked is not None:
        return checked
    return (yield from _activate(plan, history))


def _where(source: CaptureObject) -> tuple[int, Obis, int]:
    return source.class_id, source.obis, source.attribute


def _number(plan: ImagePlan, attribute: ImageAttribute) -> Procedure[int]:
    data = yield from read_data(ClassId.IMAGE_TRANSFER, plan.transfer, attribute)
    if not isinstance(data.value, int):
        raise DecodeError(f"{attribute.name.lower()} of the image transfer is not a number")
    return int(data.value)


def _bring(plan: ImagePlan, history: History) -> Steps[PutOff | Result | None]:
    """All blocks to the meter; None when it has them all."""
    status = yield from _number(plan, ImageAttribute.STATUS)
    begun = last_mark(history, StepKind.AFTER, INITIATE)
    is_ours = begun is not None and begun.octets == plan.image.initiation
    if is_ours and status == ImageStatus.VERIFICATION_SUCCESSFUL:
        return None
    if not is_ours or status not in (ImageStatus.INITIATED, ImageStatus.VERIFICATION_INITIATED):
        yield from _initiate(plan)
    return (yield from _send_blocks(plan))


def _initiate(plan: ImagePlan) -> Steps[None]:
    data = yield from read_data(ClassId.IMAGE_TRANSFER, plan.transfer, ImageAttribute.ENABLED)
    if data.value is not True:
        yield Set(ClassId.IMAGE_TRANSFER, plan.transfer, ImageAttribute.ENABLED, _TRUE)
    initiation = plan.image.initiation
    yield Mark(StepKind.SENDING, INITIATE, octets=initiation)
    yield _invoke(plan, ImageMethod.INITIATE, initiation)
    # Only what the meter has answered is a transfer of ours that may be gone on with.
    yield Mark(StepKind.AFTER, INITIATE, octets=initiation)


def _invoke(plan: ImagePlan, method: ImageMethod, data: bytes) -> Action:
    return Action(ClassId.IMAGE_TRANSFER, plan.transfer, method, data)


def _send_blocks(plan: ImagePlan) -> Steps[PutOff | Result | None]:
    """From the first block that the meter lacks; PutOff after a visit's share of them."""
    size = yield from _number(plan, ImageAttribute.BLOCK_SIZE)
    if size not in _BLOCK_OCTETS:
        return Result(Outcome.REFUSED, f"image blocks of {size} octets")
    octets = plan.image.octets
    total = -(-len(octets) // size)
    left, stuck, before = BLOCKS_PER_VISIT, 0, -1
    while (first := (yield from _number(plan, ImageAttribute.FIRST_NOT_TRANSFERRED))) < total:
        yield Mark(StepKind.PROGRESS, INITIATE, f"{first} of {total} blocks")
        stuck = stuck + 1 if first <= before else 0
        if stuck >= _STUCK_ROUNDS:
            return Result(Outcome.REFUSED, f"the meter does not keep block {first} of {total}")
        if left <= 0:
            return PutOff(0, f"{first} of {total} blocks are there")
        before = first
        for number in range(first, min(first + left, total)):
            yield _invoke(plan, ImageMethod.BLOCK_TRANSFER, _block(octets, number, size))
            left -= 1
    return None


def _block(octets: bytes, number: int, size: int) -> bytes:
    value = octets[number * size : (number + 1) * size]
    members = (Data(Tag.DOUBLE_LONG_UNSIGNED, number), Data(Tag.OCTET_STRING, value))
    return axdr.encode(Data(Tag.STRUCTURE, members))


def _verify(plan: ImagePlan) -> Steps[PutOff | Result | None]:
    """None when the meter found the image whole and names the one that is meant."""
    status = yield from _number(plan, ImageAttribute.STATUS)
    if status != ImageStatus.VERIFICATION_SUCCESSFUL:
        try:
            yield _invoke(plan, ImageMethod.VERIFY, _INTEGER_0)
        except PeerRefused as refusal:
            # The meter says so while it still computes: its status tells the end.
            if refusal.reason != _TEMPORARY:
                return refused(VERIFY, refusal)
        for _ in range(_VERIFY_POLLS):
            status = yield from _number(plan, ImageAttribute.STATUS)
            if status not in (ImageStatus.INITIATED, ImageStatus.VERIFICATION_INITIATED):
                break
            yield Pause(_VERIFY_POLL_S)
    if status != ImageStatus.VERIFICATION_SUCCESSFUL:
        yield Mark(StepKind.PROGRESS, VERIFY, f"status {status}")
        return Result(Outcome.REFUSED, f"{VERIFY}: the meter's status is {status}")
    shown = yield from read_data(ClassId.IMAGE_TRANSFER, plan.transfer, ImageAttribute.TO_ACTIVATE)
    is_meant = _is_meant(shown, plan.image)
    detail = "" if is_meant else "another image"
    yield Mark(StepKind.PROGRESS, VERIFY, detail, axdr.encode(shown))
    if is_meant:
        return None
    return Result(Outcome.REFUSED, f"{VERIFY}: the meter would activate another image than this")


def _is_meant(shown: Data, image: Image) -> bool:
    """Whether image_to_activate_info is one entry {size, identification, signature}: this image."""
    match shown.value:
        case (Data(value=(Data(value=int(size)), Data(value=bytes(name)), Data(value=sign))),):
            is_signed = image.signature is None or sign == image.signature
            return size == len(image.octets) and name == image.identifier and is_signed
        case _:
            return False


def _activate(plan: ImagePlan, history: History) -> Job:
    if plan.at is not None and plan.schedule is not None:
        timed = yield from write_all([_scheduled(plan.schedule, plan.at)], history)
        if timed.outcome not in (Outcome.DONE, Outcome.ALREADY_SO):
            return timed
        yield Mark(StepKind.SENDING, ACTIVATION, "by the schedule")
        return PutOff(max(0, plan.in_s) + _RESTART_S, "the image waits for its time")
    yield Mark(StepKind.SENDING, ACTIVATION)
    try:
        yield _invoke(plan, ImageMethod.ACTIVATE, _INTEGER_0)
    except PeerRefused as refusal:
        if refusal.reason != _TEMPORARY:
            yield Mark(StepKind.AFTER, ACTIVATION, str(refusal))
            return refused(ACTIVATION, refusal)
    return PutOff(_RESTART_S, "the meter starts its new image")


def _scheduled(schedule: Obis, at: CosemDateTime) -> Write:
    """execution_time of a single action schedule (class 22): one entry {time, date}."""
    entry = (
        Data(Tag.OCTET_STRING, at.time.to_octets()),
        Data(Tag.OCTET_STRING, at.date.to_octets()),
    )
    return Write(
        name=SCHEDULE,
        target=CaptureObject(
            ClassId.SINGLE_ACTION_SCHEDULE, schedule, ScheduleAttribute.EXECUTION_TIME
        ),
        wanted=Data(Tag.ARRAY, (Data(Tag.STRUCTURE, entry),)),
    )


def _look_again(plan: ImagePlan, history: History) -> Job:
    """The image was to be activated, and the meter still runs the former one."""
    if plan.at is not None and plan.in_s > 0:
        return PutOff(plan.in_s + _RESTART_S, "the image waits for its time")
    status = yield from _number(plan, ImageAttribute.STATUS)
    looks = sum(mark.what == ACTIVATION and mark.kind is StepKind.PROGRESS for mark in history)
    yield Mark(StepKind.PROGRESS, ACTIVATION, f"status {status}, the former version runs")
    if status == ImageStatus.ACTIVATION_FAILED or looks >= _ACTIVATION_LOOKS:
        yield Mark(StepKind.AFTER, ACTIVATION, "the former version runs")
        return Result(Outcome.DIFFERS, f"{ACTIVATION}: status {status}, the former version runs")
    return PutOff(_RESTART_S, "the new image does not run yet")
