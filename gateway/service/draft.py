"""A firmware profile written from what a meter showed: the nearest shipped one, and differences.

Pure. For each profile that could be the base the words are written down that would still be
needed; the base that leaves the fewest is the nearest. What a meter cannot show, and what it lacks
or has besides, stands in the file as comments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.dlms import axdr
from gateway.dlms.classes import BILLING_DATE, VALUE, ClassId, scaler_source
from gateway.dlms.cosem_time import DEVIATION_NOT_SPECIFIED
from gateway.errors import UsageError
from gateway.model import CaptureObject, Obis, ProfileKind
from gateway.profile import (
    Access,
    Attribute,
    FirmwareProfile,
    Nameplate,
    ProfileGeneric,
    Quirk,
    Stamp,
)
from gateway.profile.agreement import at_94_91, exports_first
from gateway.profile.canonical import laid_out
from gateway.service.draft_rows import captures_of, columns_of, unlisted
from gateway.service.learning import Learnt, LearntBuffer

_NOT_LEARNT: Final = (
    "how it leaves an association (no_release), and whether an AARE can lack its content",
    "keys, passwords and control mode: they are no part of a profile",
    "what rupee and paisa mean on its display, and which sign of the power factor is lagging",
    "event codes of its own",
)
"""What reading alone cannot tell."""
_SEEN: Final = frozenset(
    {
        Quirk.POSITIVE_DEVIATION,
        Quirk.DEVIATION_NOT_BELIEVED,
        Quirk.STAMP_AT_START,
        Quirk.RANGE_REFUSED,
        Quirk.RANGE_WITHOUT_DEVIATION,
        Quirk.EXPORT_COLUMNS_FIRST,
        Quirk.UNLISTED_CAPTURE_OBJECT,
        Quirk.PREPAID_FAMILY_94_91,
        Quirk.FLOAT32_REGISTERS,
        Quirk.SHORT_SCALER_PROFILE,
        Quirk.TRAILING_OCTETS,
    }
)
"""Quirks that show when a meter is read: what is not seen does not hold."""
_FAMILIES: Final = {96: 91, 91: 96}
"""Value group D of the two families of prepaid objects."""


@dataclass(slots=True)
class Draft:
    """The words that a meter needs over a base, and what is said about them."""

    base: FirmwareProfile
    words: dict[str, Any] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    quirks: set[Quirk] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)

    @property
    def distance(self) -> tuple[int, bool, int, str]:
        """How far the base is from the meter; the smallest is the nearest."""
        words = sum(1 for _ in _leaves(self.words)) + len(self.without) + len(self.remarks)
        borrowed = len(set(self.base.quirks) - _SEEN)
        return words + borrowed, self.base.match is None, len(self.base.quirks), self.base.name


def draft_profile(
    learnt: Learnt,
    nameplate: Nameplate,
    bases: Iterable[FirmwareProfile],
    *,
    seen: str,
) -> str:
    """The text of a profile; ``seen`` says which meter was looked at, how and when.

    Raises UsageError where no profile could be its base.
    """
    drafts = [_draft(base, learnt, seen) for base in bases]
    if not drafts:
        raise UsageError("no profile has the associations that this meter was scanned with")
    nearest = min(drafts, key=lambda draft: draft.distance)
    base = nearest.base
    document: dict[str, Any] = {"inherit": base.name}
    if nearest.without:
        document["without"] = nearest.without
    who = nameplate.manufacturer or nameplate.logical_device_name or "unknown make"
    document["description"] = f"{who} {nameplate.firmware or ''}".strip() + f": {base.description}"
    document |= _match(nameplate)
    document |= nearest.words
    captures = list(captures_of(base, learnt, seen, nearest.remarks))
    if captures:
        document["capture"] = captures
    head = [
        f"Written by gateway scan: {seen}.",
        f"Only what differs from {base.name} stands here.",
        *(f"Note: {remark}." for remark in (*nearest.remarks, *learnt.remarks)),
        *(f"Not learnt: {what}." for what in _NOT_LEARNT),
    ]
    return laid_out(document, head)


def _draft(base: FirmwareProfile, learnt: Learnt, seen: str) -> Draft:
    draft = Draft(base)
    _note_time(draft, learnt)
    entries = [entry for g in base.profile_generics if (entry := _note_buffer(draft, g, learnt))]
    if entries:
        draft.words["profile_generic"] = entries
    absent = [g.label for g in base.profile_generics if g.obis not in learnt.buffers]
    if absent:
        draft.remarks.append(f"sets of data that the meter does not show: {', '.join(absent)}")
    known = {generic.obis for generic in base.profile_generics}
    draft.remarks += (
        f"{obis} has {len(buffer.captures.columns)} columns and is no set of data of the base"
        for obis, buffer in learnt.buffers.items()
        if obis not in known
    )
    _note_objects(draft, learnt)
    reasons = {
        quirk.value: f"seen at {seen}" for quirk in sorted(draft.quirks) if quirk not in base.quirks
    }
    if reasons:
        draft.words["quirks"] = reasons
    gone = sorted((set(base.quirks) & _SEEN) - draft.quirks)
    draft.without += (f"quirks.{quirk.value}" for quirk in gone)
    return draft


def _note_time(draft: Draft, learnt: Learnt) -> None:
    time, rules = draft.base.time, learnt.rules
    stated = DEVIATION_NOT_SPECIFIED if learnt.clock is None else learnt.clock.deviation_minutes
    # A deviation that is not specified says nothing against the base.
    sign = time.deviation_sign if stated == DEVIATION_NOT_SPECIFIED else rules.deviation_sign
    words: dict[str, Any] = {}
    if sign != time.deviation_sign:
        words["deviation_sign"] = sign
    if rules.use_deviation != time.use_deviation:
        words["use_deviation"] = rules.use_deviation
    if words:
        draft.words["time"] = words
    if sign == 1:
        draft.quirks.add(Quirk.POSITIVE_DEVIATION)
    if not rules.use_deviation:
        draft.quirks.add(Quirk.DEVIATION_NOT_BELIEVED)


def _note_buffer(draft: Draft, generic: ProfileGeneric, learnt: Learnt) -> dict[str, Any] | None:
    """What a buffer needs said, or nothing; its quirks and remarks go to the draft."""
    buffer = learnt.buffers.get(generic.obis)
    if buffer is None:
        return None
    words: dict[str, Any] = {}
    columns = columns_of(draft.base, generic, buffer)
    if [(c.source, c.unlisted) for c in columns] != [
        (c.source, c.unlisted) for c in generic.columns
    ]:
        words["columns"] = [_column_words(column) for column in columns]
    if generic.cadence_s is not None:
        if buffer.period_s and buffer.period_s != generic.cadence_s:
            words["cadence_s"] = buffer.period_s
        words |= _selection(draft, generic, buffer, learnt)
    if buffer.depth_rows and buffer.depth_rows != generic.depth_rows:
        words["depth_rows"] = buffer.depth_rows
    _note_quirks(draft, generic, buffer, learnt)
    if not words:
        return None
    name = {"kind": generic.kind.value} | ({"log": generic.log} if generic.log else {})
    return name | words


def _selection(
    draft: Draft, generic: ProfileGeneric, buffer: LearntBuffer, learnt: Learnt
) -> dict[str, Any]:
    """How rows of a load profile are asked for, and what their clock says."""
    words: dict[str, Any] = {}
    if buffer.access is not None and buffer.access is not generic.access:
        words["access"] = buffer.access.value
    if (buffer.access or generic.access) is Access.ENTRY:
        draft.quirks.add(Quirk.RANGE_REFUSED)
    if buffer.range_without_deviation:
        draft.quirks.add(Quirk.RANGE_WITHOUT_DEVIATION)
    stamp = generic.stamp
    if stamp is not Stamp.INSTANT:
        stamp = _stamp(learnt.clock_s, buffer.captured_at_s, buffer.period_s) or stamp
    if stamp is not generic.stamp:
        words["stamp"] = stamp.value
        draft.remarks.append(
            f"{generic.label} is stamped with the interval's {stamp.value}, as far as one row and"
            " the clock tell: compare a day's blocks with its registers before it is trusted"
        )
    if stamp is Stamp.START:
        draft.quirks.add(Quirk.STAMP_AT_START)
    return words


def _stamp(clock_s: int | None, captured_at_s: int | None, period_s: int | None) -> Stamp | None:
    """Which end of an interval the newest row is stamped with; None where that cannot be seen."""
    if clock_s is None or captured_at_s is None or period_s is None:
        return None
    age_s = clock_s - captured_at_s
    if 0 <= age_s < period_s:
        return Stamp.END
    return Stamp.START if period_s <= age_s < 2 * period_s else None


def _note_quirks(
    draft: Draft, generic: ProfileGeneric, buffer: LearntBuffer, learnt: Learnt
) -> None:
    sources = [column.source for column in buffer.captures.columns]
    order = [source.obis for source in sources]
    if generic.kind is ProfileKind.DAILY_LOAD and exports_first(order):
        draft.quirks.add(Quirk.EXPORT_COLUMNS_FIRST)
    if buffer.trailing_octets:
        draft.quirks.add(Quirk.TRAILING_OCTETS)
    if unlisted(buffer):
        draft.quirks.add(Quirk.UNLISTED_CAPTURE_OBJECT)
    if buffer.row is not None and any(
        tag == axdr.Tag.FLOAT32 and scaler_source(source)
        for tag, source in zip(buffer.row.tags, sources, strict=False)
    ):
        draft.quirks.add(Quirk.FLOAT32_REGISTERS)
    held = learnt.scaler_profiles.get(generic.scaler_profile) if generic.scaler_profile else None
    wanted = {scaler_source(c.source) for c in buffer.captures.columns if c.scaler is not None}
    dates = {CaptureObject(ClassId.REGISTER, BILLING_DATE, 3), None}
    if held is not None and wanted - dates - held:
        draft.quirks.add(Quirk.SHORT_SCALER_PROFILE)


def _column_words(column: Attribute) -> dict[str, Any]:
    words: dict[str, Any] = {
        "name": column.name,
        "class_id": column.class_id,
        "obis": str(column.obis),
    }
    if column.attribute != VALUE:
        words["attribute"] = column.attribute
    return words | ({"unlisted": True} if column.unlisted else {})


def _note_objects(draft: Draft, learnt: Learnt) -> None:
    """Relay, prepaid mirrors and single objects against the object list."""
    base = draft.base
    listed = {(one.class_id, one.obis) for one in learnt.objects}
    has_relay = any(class_id == ClassId.DISCONNECT_CONTROL for class_id, _ in listed)
    if base.relay and not has_relay:
        draft.without.append("relay")
        draft.remarks.append("no disconnect control is shown: this profile operates no relay")
    if has_relay and not base.relay:
        draft.remarks.append("it shows a disconnect control, which the base does not operate")
    if base.display is not None:
        shown = [_at_home(entry, listed) for entry in base.display.objects]
        if [entry.obis for entry in shown] != [entry.obis for entry in base.display.objects]:
            draft.words["display"] = {"objects": [_column_words(entry) for entry in shown]}
        if any(at_94_91(entry.obis) for entry in shown):
            draft.quirks.add(Quirk.PREPAID_FAMILY_94_91)
    moved = [(entry, _at_home(entry, listed)) for entry in base.objects]
    words = [_column_words(there) for entry, there in moved if entry.obis != there.obis]
    if words:
        draft.words["object"] = words
    absent = [entry.name for entry, there in moved if (there.class_id, there.obis) not in listed]
    if absent:
        draft.remarks.append(f"not in the object list: {', '.join(absent)}")


def _at_home(entry: Attribute, listed: Collection[tuple[int, Obis]]) -> Attribute:
    """The entry where the meter has it: at its own name, or in the other prepaid family."""
    a, b, c, d, e, f = entry.obis.octets
    if (entry.class_id, entry.obis) in listed or c != 94 or d not in _FAMILIES:
        return entry
    other = Obis(bytes((a, b, c, _FAMILIES[d], e, f)))
    if (entry.class_id, other) not in listed:
        return entry
    return Attribute(
        name=entry.name, class_id=entry.class_id, obis=other, attribute=entry.attribute
    )


def _match(nameplate: Nameplate) -> dict[str, Any]:
    """What the profile is chosen by: this make, this firmware."""
    words = {
        "manufacturer": nameplate.manufacturer,
        "firmware": nameplate.firmware,
        "meter_type": nameplate.meter_type,
        "category": nameplate.category,
    }
    said = {name: [value] for name, value in words.items() if value not in (None, "")}
    return {"match": said} if said else {}


def _leaves(words: Mapping[str, Any] | Sequence[Any]) -> Iterator[object]:
    for value in words.values() if isinstance(words, Mapping) else words:
        if isinstance(value, (Mapping, list)):
            yield from _leaves(value)
        else:
            yield value
