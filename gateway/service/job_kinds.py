"""What can be asked of a meter: each kind with its typed parameters, made into a job.

The one place where words of ``[management]`` become jobs of the DLMS core. Parameters are JSON
values with their unit in the name, and never a secret: they stand in the audit.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.dlms.cosem_time import CosemDateTime, from_utc
from gateway.dlms.management.calendar import (
    Calendar,
    CalendarPlan,
    Day,
    Season,
    Week,
    change_calendar,
)
from gateway.dlms.management.image import MAX_IMAGE_OCTETS, Image, ImagePlan, transfer_image
from gateway.dlms.management.steps import History, Job
from gateway.dlms.management.writing import Bits, Wanted, Write, write_all
from gateway.errors import UsageError
from gateway.model import DATA_TYPE_NAMES, CaptureObject
from gateway.poller import Priority
from gateway.profile import FirmwareProfile, Management, SecretName, Setting, SettingName
from gateway.service.core_settings import time_rules
from gateway.service.reader import parse_time


class JobKind(StrEnum):
    """What can be asked; closed. No kind operates a relay."""

    LOAD_LIMIT = "load_limit"
    DEMAND_PERIOD = "demand_period"
    CAPTURE_PERIOD = "capture_period"
    ESW_FILTER = "esw_filter"
    DISPLAY_MESSAGE = "display_message"
    METERING_MODE = "metering_mode"
    PAYMENT_MODE = "payment_mode"
    PREPAID_MIRRORS = "prepaid_mirrors"
    ACTIVITY_CALENDAR = "activity_calendar"
    FIRMWARE_IMAGE = "firmware_image"
    ROTATE_SECRETS = "rotate_secrets"


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A job ready to be attempted, and the association that it needs."""

    association: str
    make: Callable[[History], Job]


_TAGS: Final = {name: tag for tag, name in DATA_TYPE_NAMES.items()}
_MIRRORS: Final = {
    "balance_paise": SettingName.BALANCE,
    "balance_at": SettingName.BALANCE_TIME,
    "last_recharge_paise": SettingName.LAST_RECHARGE_AMOUNT,
    "last_recharge_at": SettingName.LAST_RECHARGE_TIME,
    "total_at_last_recharge_paise": SettingName.TOTAL_AT_LAST_RECHARGE,
}
_PARAMETERS: Final[Mapping[JobKind, tuple[frozenset[str], frozenset[str]]]] = {
    JobKind.LOAD_LIMIT: (frozenset({"limit_w"}), frozenset({"expect_w"})),
    JobKind.DEMAND_PERIOD: (frozenset({"period_s"}), frozenset({"expect_s"})),
    JobKind.CAPTURE_PERIOD: (frozenset({"period_s"}), frozenset({"expect_s"})),
    JobKind.ESW_FILTER: (frozenset({"bits"}), frozenset()),
    JobKind.DISPLAY_MESSAGE: (frozenset({"text"}), frozenset()),
    JobKind.METERING_MODE: (frozenset({"mode"}), frozenset({"expect_mode"})),
    JobKind.PAYMENT_MODE: (frozenset({"mode"}), frozenset({"expect_mode"})),
    JobKind.PREPAID_MIRRORS: (frozenset(), frozenset(_MIRRORS)),
    JobKind.ACTIVITY_CALENDAR: (frozenset({"calendar"}), frozenset({"at"})),
    JobKind.FIRMWARE_IMAGE: (
        frozenset({"file", "sha256", "identifier", "version"}),
        frozenset({"at"}),
    ),
    JobKind.ROTATE_SECRETS: (frozenset(), frozenset({"secrets"})),
}
"""Parameters that are needed, and those that may be given beside."""
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_BITS: Final = re.compile(r"[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?)*", re.ASCII)
_MAX_CALENDAR_OCTETS: Final = 1 << 16


def priority_of(kind: str) -> Priority:
    """An image takes hours and waits for readings; everything else is somebody's wish of now."""
    return Priority.ROUTINE if kind == JobKind.FIRMWARE_IMAGE else Priority.ON_DEMAND


def read_kind(text: str) -> JobKind:
    """The kind; raise UsageError naming those that there are."""
    try:
        return JobKind(text)
    except ValueError:
        raise UsageError(f"no kind of job is {text!r}: there are {', '.join(JobKind)}") from None


def read_parameters(kind: JobKind, words: Mapping[str, str]) -> dict[str, Any]:
    """``NAME=VALUE`` of a command line as JSON values; files are read, an image is named by digest.

    Raises UsageError for a name or value that cannot be.
    """
    found: dict[str, Any] = {}
    for name, text in words.items():
        if name.endswith(("_w", "_s", "_paise")):
            if not _WHOLE.fullmatch(text):
                raise UsageError(f"{name}={text}: a whole number is wanted")
            found[name] = int(text)
        elif name == "calendar":
            found[name] = _read_calendar_file(Path(text))
        else:
            found[name] = text
    if kind is JobKind.FIRMWARE_IMAGE and "file" in found and "sha256" not in found:
        path = Path(found["file"]).absolute()
        found |= {"file": str(path), "sha256": hashlib.sha256(_read_image_file(path)).hexdigest()}
    needed, more = _PARAMETERS[kind]
    unknown, missing = found.keys() - needed - more, needed - found.keys()
    if unknown or missing:
        wanted = ", ".join([*sorted(needed), *(f"[{name}]" for name in sorted(more))])
        raise UsageError(f"{kind} takes {wanted}; {', '.join(sorted(unknown | missing))} is wrong")
    return found


def _read_calendar_file(path: Path) -> dict[str, Any]:
    try:
        octets = path.read_bytes()
        if len(octets) > _MAX_CALENDAR_OCTETS:
            raise UsageError(f"{path}: at most {_MAX_CALENDAR_OCTETS} octets")
        return tomllib.loads(octets.decode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: is no TOML: {error}") from None


def _read_image_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_IMAGE_OCTETS + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    return octets


def plan_job(
    kind: JobKind, parameters: Mapping[str, Any], profile: FirmwareProfile, now_s: int
) -> JobPlan:
    """The job that the parameters ask for.

    Raises UsageError where the profile does not say how, or does not allow the value.
    """
    management = _management(profile)
    us = management.association
    match kind:
        case JobKind.ACTIVITY_CALENDAR:
            return JobPlan(us, _calendar_job(management, parameters, profile, now_s))
        case JobKind.FIRMWARE_IMAGE:
            return _image_job(management, parameters, profile, now_s)
        case JobKind.PREPAID_MIRRORS:
            writes = [
                _mirror(profile, setting, parameters[name])
                for name, setting in _MIRRORS.items()
                if name in parameters
            ]
            if not writes:
                raise UsageError(f"{kind} needs one of {', '.join(_MIRRORS)}")
            return JobPlan(us, partial(write_all, writes))
        case JobKind.ROTATE_SECRETS:
            raise UsageError(f"{kind} needs the site's keystore")
        case _:
            return JobPlan(us, partial(write_all, [_setting_write(kind, parameters, profile)]))


def rotated_secrets(profile: FirmwareProfile, parameters: Mapping[str, Any]) -> list[SecretName]:
    """The secrets that a rotation asks for; raise UsageError for one the profile cannot change."""
    known = _management(profile).secrets
    wanted = parameters.get("secrets")
    if wanted is None:
        return list(known)
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in set(known):
            raise UsageError(f"secrets that can be changed: {', '.join(known)}; not {name!r}")
    return [SecretName(name) for name in names]


def _management(profile: FirmwareProfile) -> Management:
    if profile.management is None:
        raise UsageError(f"profile {profile.name} says nothing of [management]")
    return profile.management


def _setting(profile: FirmwareProfile, name: SettingName) -> tuple[Setting, CaptureObject]:
    settings = _management(profile).settings
    if name not in settings:
        raise UsageError(
            f"profile {profile.name} does not say how {name} is set: {', '.join(settings)}"
        )
    return settings[name], _object(profile, settings[name].object)


def _object(profile: FirmwareProfile, name: str) -> CaptureObject:
    return next(entry.source for entry in profile.writable_objects if entry.name == name)


def _setting_write(kind: JobKind, parameters: Mapping[str, Any], profile: FirmwareProfile) -> Write:
    name = SettingName(kind.value)
    setting, target = _setting(profile, name)
    given = {key.split("_")[0]: value for key, value in parameters.items()}
    expected = given.pop("expect", None)
    (value,) = given.values()
    return Write(
        name=name,
        target=target,
        wanted=_wanted(setting, value, name),
        scaler=setting.scaler,
        tag=None if setting.write_as is None else _TAGS[setting.write_as],
        expected=None if expected is None else _wanted(setting, expected, name),
        effective=None if setting.effective is None else _object(profile, setting.effective),
        only_raised=setting.lowering == "refused",
    )


def _wanted(setting: Setting, value: object, name: str) -> Wanted:
    if setting.values:
        if value not in setting.values:
            raise UsageError(f"{name} is one of {', '.join(setting.values)}, not {value!r}")
        return Decimal(setting.values[str(value)])
    if name == SettingName.ESW_FILTER:
        return Bits(setting.length or 128, _bits(str(value)))
    if isinstance(value, str):
        if setting.length is not None and len(value.encode()) > setting.length:
            raise UsageError(f"{name}: at most {setting.length} octets")
        return value
    if not isinstance(value, int):
        raise UsageError(f"{name}: {value!r} is no number")
    allowed = setting.allowed
    low = value if setting.at_least is None else setting.at_least
    high = value if setting.at_most is None else setting.at_most
    if (allowed and value not in allowed) or not low <= value <= high:
        bounds = f"one of {', '.join(map(str, allowed))}" if allowed else f"{low} to {high}"
        raise UsageError(f"{name}: {value} {setting.unit} is not {bounds}")
    return Decimal(value)


def _bits(text: str) -> frozenset[int]:
    """``3,4,81-87``; nothing for no bit at all."""
    if text and not _BITS.fullmatch(text):
        raise UsageError(f"bits are written 3,4,81-87, not {text!r}")
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return frozenset(found)


def _mirror(profile: FirmwareProfile, name: SettingName, value: object) -> Write:
    setting, target = _setting(profile, name)
    if isinstance(value, str):
        return Write(name=name, target=target, wanted=_time(profile, value))
    if not isinstance(value, int):
        raise UsageError(f"{name}: {value!r} is no amount in paise")
    unit = profile.display.amount_unit if profile.display else "unknown"
    if unit == "unknown":
        raise UsageError(
            f"profile {profile.name} does not say whether amounts are shown in rupees or paise:"
            " display.amount_unit"
        )
    amount = Decimal(value) / (100 if unit == "rupee" else 1)
    if amount != int(amount):
        raise UsageError(f"{name}: {value} paise are no whole {unit}, which is what it shows")
    return Write(
        name=name,
        target=target,
        wanted=amount,
        tag=None if setting.write_as is None else _TAGS[setting.write_as],
    )


def _time(profile: FirmwareProfile, text: str) -> CosemDateTime:
    return from_utc(_time_s(profile, text), time_rules(profile))


def _time_s(profile: FirmwareProfile, text: str) -> int:
    return parse_time(text, profile.time.zone_minutes * 60)


def _calendar_job(
    management: Management, parameters: Mapping[str, Any], profile: FirmwareProfile, now_s: int
) -> Callable[[History], Job]:
    where = management.activity_calendar
    if where is None:
        raise UsageError(f"profile {profile.name} has no activity calendar")
    at = parameters.get("at")
    plan = CalendarPlan(
        object=where.object,
        script=where.script,
        calendar=read_calendar(parameters["calendar"]),
        at=None if at is None else _time(profile, at),
        in_s=0 if at is None else _time_s(profile, at) - now_s,
    )
    return partial(change_calendar, plan)


def read_calendar(document: Mapping[str, Any]) -> Calendar:
    """A calendar from its table; raise UsageError.

    ``name``; ``season``: name, from ("04-01"), week; ``week``: name, days (seven numbers, Monday
    first); ``day``: number, switches (["06:00", script]).
    """
    try:
        return Calendar(
            name=document["name"],
            seasons=tuple(_season(one) for one in document["season"]),
            weeks=tuple(Week(one["name"], tuple(one["days"])) for one in document["week"]),
            days=tuple(_day(one) for one in document["day"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"the calendar is not as it must be: {error!r}") from None


def _season(one: Mapping[str, Any]) -> Season:
    month, day = one["from"].split("-")
    return Season(one["name"], int(month), int(day), one["week"])


def _day(one: Mapping[str, Any]) -> Day:
    switches = []
    for clock, script in one["switches"]:
        hour, minute = clock.split(":")
        switches.append((int(hour) * 60 + int(minute), int(script)))
    return Day(int(one["number"]), tuple(switches))


def _image_job(
    management: Management, parameters: Mapping[str, Any], profile: FirmwareProfile, now_s: int
) -> JobPlan:
    where = management.image_transfer
    if where is None:
        raise UsageError(f"profile {profile.name} does not say how firmware is brought")
    at = parameters.get("at")
    if at is not None and where.schedule is None:
        raise UsageError(f"profile {profile.name} has no schedule for an image's activation")
    octets = _read_image_file(Path(parameters["file"]))
    if hashlib.sha256(octets).hexdigest() != parameters["sha256"]:
        raise UsageError(f"{parameters['file']}: is not the image that was asked for (SHA-256)")
    plan = ImagePlan(
        image=Image(
            identifier=str(parameters["identifier"]).encode(),
            octets=octets,
            version=parameters["version"],
        ),
        transfer=where.object,
        version=_object(profile, where.version),
        schedule=where.schedule,
        at=None if at is None else _time(profile, at),
        in_s=0 if at is None else _time_s(profile, at) - now_s,
    )
    return JobPlan(where.association, partial(transfer_image, plan))
