"""Which profile a meter is read with where nobody named one: it is asked what it is.

The generic words of the bases of IS 15959 serve for that. A meter that has keys is asked under them
only; of another one, what the public client may not read the meter reader is asked for. The choice
is remembered for each meter and compared with what the meter says at the first session of every
run, so that new firmware, or a meter behind another's address, is told and never read with
yesterday's profile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

import structlog

from gateway.errors import NoAnswer, PeerRefused
from gateway.keys import MeterKeys
from gateway.profile import Association, Ciphering, FirmwareProfile, Nameplate, choose
from gateway.service.nameplate import nameplate_words, read_nameplate
from gateway.service.scanner import missing_keys
from gateway.service.sessions import PUBLIC, MeterAccess, SessionMaker
from gateway.store.readings import ReadingsStore
from gateway.store.thread import StoreDoor
from gateway.transport.port import Transport

log = structlog.get_logger()

METER_READER: Final = "meter_reader"
WAYS_IN: Final = (
    ("is15959_part2", PUBLIC),
    ("is15959_part2", METER_READER),
    ("is15959_part1", METER_READER),
)
"""Profiles whose associations are tried, one after the other, until all is told: the last opens
meters that do not cipher. Of a meter that has keys only what comes under them is believed."""

_OTHER_CONTEXT: Final = "application-context-name-not-supported"


async def ask_nameplate(
    access: MeterAccess,
    sessions: SessionMaker,
    transport: Transport,
    profiles: Mapping[str, FirmwareProfile],
) -> Nameplate:
    """What the meter says of itself, as far as it tells.

    Raises what the meter reader came upon where that kept the meter from telling all: a wrong
    password is no unknown make. Silence to the opening of the link and a failed check end it at
    once.
    """
    told = Nameplate()
    closed: list[PeerRefused | NoAnswer] = []
    for base, association in WAYS_IN:
        one = replace(access, profile=profiles[base], auto=False)
        way = one.profile.association(association)
        if told.is_whole or missing_keys(one, way) or not _believable(way, access.keys):
            continue
        try:
            told = await _tell(one, association, sessions, transport, told)
        except PeerRefused as refusal:
            closed.append(refusal)
        except NoAnswer as silence:
            if not silence.is_linked:
                raise
            closed.append(silence)
        else:
            closed.clear()
            if association == METER_READER:
                break
    if closed:
        # That it does not cipher, or only ciphers, is said by half of the ways into any meter.
        error = next((error for error in closed if _OTHER_CONTEXT not in str(error)), closed[0])
        if isinstance(error, PeerRefused) and access.keys.guek and _OTHER_CONTEXT in error.reason:
            hint = (
                "as it has keys nothing plain is believed; name its profile if it does not cipher"
            )
            raise PeerRefused(error.service, f"{error.reason}; {hint}")
        raise error
    return told


def choose_for(
    access: MeterAccess, profiles: Iterable[FirmwareProfile], nameplate: Nameplate
) -> FirmwareProfile:
    """The one profile that fits; raises NoProfileFits.

    For a meter that has keys, none that reads without them: whoever stands between could say that
    it does not cipher, and then write registers of its own.
    """
    return choose(
        (
            profile
            for profile in profiles
            if METER_READER in profile.associations
            and _believable(profile.association(METER_READER), access.keys)
        ),
        nameplate,
    )


def _believable(association: Association, keys: MeterKeys) -> bool:
    return keys.guek is None or association.ciphering is not Ciphering.NONE


async def _tell(
    access: MeterAccess,
    association: str,
    sessions: SessionMaker,
    transport: Transport,
    told: Nameplate,
) -> Nameplate:
    """``told``, and what this association adds."""
    await transport.flush()
    opened = await sessions.associate(access, association, transport)
    try:
        return await opened.run(read_nameplate(nameplate_words(access.profile), told))
    finally:
        await sessions.leave(access, association, opened)


@dataclass(frozen=True, kw_only=True)
class Identities:
    """Chooses profiles, and remembers in readings.db what each choice was made from."""

    profiles: Mapping[str, FirmwareProfile]
    sessions: SessionMaker
    readings: StoreDoor[ReadingsStore]

    async def identify(self, access: MeterAccess, transport: Transport) -> MeterAccess:
        """The same access with the profile that fits the meter at the other end.

        A nameplate that differs from the remembered one is told. Raises NoProfileFits, and as
        ``ask_nameplate``.
        """
        nameplate = await ask_nameplate(access, self.sessions, transport, self.profiles)
        profile = choose_for(access, self.profiles.values(), nameplate)
        await self._remember(access, profile, nameplate)
        return replace(access, profile=profile, auto=False)

    async def _remember(
        self, access: MeterAccess, profile: FirmwareProfile, nameplate: Nameplate
    ) -> None:
        text = json.dumps({"profile": profile.name, **asdict(nameplate)}, sort_keys=True)
        before = await self.readings.run(lambda store: store.identities.get(access.meter))
        if before == text:
            return
        await self.readings.run(lambda store: store.identities.put(access.meter, text))
        if before is None:
            log.info("profile chosen", meter=access.meter, profile=profile.name)
            return
        was = json.loads(before)
        tell = log.warning if was["profile"] == profile.name else log.error
        tell(
            "meter is not what it was: another meter, or new firmware",
            meter=access.meter,
            profile=profile.name,
            profile_before=was.pop("profile"),
            says=str(nameplate),
            said=str(Nameplate(**was)),
        )
