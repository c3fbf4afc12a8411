"""Who answers at an address, as which clients, and what it shows: for a technician at a new meter.

A wrong address, a refused association and a wrong key all look like "it does not work" from
outside; here each has its own name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.dlms.classes import VALUE, ClassId
from gateway.dlms.reading import ListedObject, read_capture_list, read_data, read_object_list
from gateway.errors import (
    DecodeError,
    NoAnswer,
    PeerRefused,
    RemoteProtocolError,
    SecurityError,
)
from gateway.model import CaptureList, Obis
from gateway.profile import Association, KeyName, Nameplate
from gateway.service.learning import Learnt, learn
from gateway.service.nameplate import nameplate_words, read_nameplate
from gateway.service.sessions import PUBLIC, MeterAccess, SessionMaker, unreadable
from gateway.session import Session
from gateway.transport.port import Transport

DEVICE_NAME: Final = Obis.parse("0-0:42.0.0*255")


class Outcome(StrEnum):
    """What came of one association."""

    OPEN = "open"
    NO_ANSWER = "no answer"
    """Not even to the opening of the link."""
    NOT_ANSWERED = "linked, not associated"
    """The link is open, but whoever is there does not answer this client."""
    REJECTED = "rejected"
    NOT_UNDERSTOOD = "not understood"
    """It answers, and not as the protocol has it: a quirk of its make."""
    WRONG_KEY = "wrong key"
    """It answers, and one side cannot read or believe the other: key, policy or counter."""
    NO_KEYS = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One association: what came of it, and what it shows where it opened."""

    association: str
    client: int
    outcome: Outcome
    detail: str = ""
    device_name: str = ""
    objects: tuple[ListedObject, ...] = ()
    columns: tuple[tuple[Obis, CaptureList], ...] = ()


class Scanner:
    """Tries each association of a profile in turn, on a connection of its own."""

    def __init__(
        self, access: MeterAccess, sessions: SessionMaker, open_transport: Callable[[], Transport]
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._open_transport = open_transport

    async def scan(self, *, columns: bool = False) -> list[Found]:
        """Every association but those without a handshake, the public one first.

        ``columns`` also reads what each profile buffer captures. Raises LinkLost where not even
        the wire is there.
        """
        associations = self._access.profile.associations
        names = sorted(
            (name for name, one in associations.items() if not one.pre_established),
            key=lambda name: (name != PUBLIC, associations[name].client),
        )
        return [await self._try(name, associations[name], columns) for name in names]

    async def learn(self, name: str) -> tuple[Learnt, Nameplate]:
        """All that one association shows of the meter, and what the meter says of itself.

        Raises as a session does, and PeerRefused or DecodeError where it shows nothing at all.
        """
        time = self._access.profile.time
        transport = self._open_transport()
        await transport.connect()
        try:
            opened = await self._sessions.associate(self._access, name, transport)
            try:
                learnt = await opened.run(learn(time.zone_minutes, time.deviation_sign))
                words = nameplate_words(self._access.profile)
                return learnt, await opened.run(read_nameplate(words, Nameplate()))
            finally:
                await self._sessions.leave(self._access, name, opened)
        finally:
            await transport.close()

    async def _try(self, name: str, association: Association, columns: bool) -> Found:
        def found(outcome: Outcome, detail: object = "") -> Found:
            return Found(
                association=name, client=association.client, outcome=outcome, detail=str(detail)
            )

        missing = missing_keys(self._access, association)
        if missing:
            return found(Outcome.NO_KEYS, f"keys are missing: {', '.join(missing)}")
        transport = self._open_transport()
        await transport.connect()
        try:
            opened = await self._sessions.associate(self._access, name, transport)
        except NoAnswer as silence:
            linked = silence.is_linked
            return found(Outcome.NOT_ANSWERED if linked else Outcome.NO_ANSWER, silence)
        except PeerRefused as refusal:
            wrong_key = unreadable(refusal)
            return found(Outcome.WRONG_KEY if wrong_key else Outcome.REJECTED, refusal)
        except SecurityError as error:
            return found(Outcome.WRONG_KEY, error)
        except RemoteProtocolError as error:
            return found(Outcome.NOT_UNDERSTOOD, error)
        else:
            try:
                return await self._look(name, association, opened, columns)
            finally:
                await self._sessions.leave(self._access, name, opened)
        finally:
            await transport.close()

    async def _look(
        self, name: str, association: Association, opened: Session, columns: bool
    ) -> Found:
        remarks: list[str] = []
        device_name = ""
        objects: tuple[ListedObject, ...] = ()
        captured: list[tuple[Obis, CaptureList]] = []
        try:
            value = (await opened.run(read_data(ClassId.DATA, DEVICE_NAME, VALUE))).value
            device_name = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        except (PeerRefused, DecodeError) as error:
            remarks.append(f"logical device name: {error}")
        try:
            objects = await opened.run(read_object_list())
        except (PeerRefused, DecodeError) as error:
            remarks.append(f"object list: {error}")
        buffers = [one.obis for one in objects if one.class_id == ClassId.PROFILE_GENERIC]
        for obis in buffers if columns else ():
            try:
                captured.append((obis, await opened.run(read_capture_list(obis, None))))
            except (PeerRefused, DecodeError) as error:
                remarks.append(f"columns of {obis}: {error}")
        return Found(
            association=name,
            client=association.client,
            outcome=Outcome.OPEN,
            detail="; ".join(remarks),
            device_name=device_name,
            objects=objects,
            columns=tuple(captured),
        )


def missing_keys(access: MeterAccess, association: Association) -> list[KeyName]:
    """The secrets that an association needs and the meter's keys do not hold."""
    wanted = (association.secret, association.encryption_key, association.authentication_key)
    return [
        name for name in wanted if name is not None and getattr(access.keys, name.value) is None
    ]
