"""Secrets of a meter changed in two phases, so that no crash loses the meter.

A new secret is stored as NEW before it is sent. Whatever then happens - an answer, silence, an
answer that cannot be read, the end of the process - the meter itself decides: if it answers under
the NEW one, that is ACTIVE; if it answers under the former one, the NEW one is WITHDRAWN; while it
answers under neither, both are kept and it is asked again later, ever more seldom.
"""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.dlms.association.requests import Request
from gateway.dlms.management.secrets import KeyId, change_hls_secret, transfer_key, write_secret
from gateway.dlms.management.steps import (
    SENDINGS,
    History,
    Mark,
    Outcome,
    PutOff,
    Result,
    StepKind,
    is_open,
)
from gateway.errors import (
    LinkLost,
    NoAnswer,
    PeerRefused,
    RemoteProtocolError,
    SecurityError,
    UsageError,
)
from gateway.keys import Keystore, MeterKeys, Role, State
from gateway.model import Obis, Secret
from gateway.profile import Association, Management, SecretName
from gateway.service.same_meter import AnotherMeter
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.session import Session
from gateway.transport.port import Transport

_ACTIVE: Final = "the meter answers under it"
_WITHDRAWN: Final = "the meter answers under the former one"
_KEY_OCTETS: Final = 16
_LETTERS: Final = (string.ascii_letters + string.digits).encode()


@dataclass(kw_only=True)
class Rotation:
    """Changes secrets of one meter over one transport, which nobody else uses meanwhile.

    ``check`` raises AnotherMeter unless the meter that answers in a session is this one: meters may
    share keys. ``note`` makes a mark durable. ``stored`` runs a change of the keystore where
    waiting for the disk holds nobody up. ``renewed`` is told of keys that hold from now on.
    """

    access: MeterAccess
    management: Management
    keystore: Keystore
    sessions: SessionMaker
    transport: Transport
    random_bytes: Callable[[int], bytes]
    check: Callable[[Session], Awaitable[None]]
    note: Callable[[Mark], Awaitable[None]]
    stored: Callable[[Callable[[], None]], Awaitable[None]]
    renewed: Callable[[MeterAccess], None]

    async def run(self, wanted: Sequence[SecretName], history: History) -> Result | PutOff:
        """Settle what an earlier attempt left, then change one secret that is not changed yet.

        The wire is let go before the next one. Raises what a session raises while nothing is in
        doubt.
        """
        marks = list(history)
        pending = self.keystore.proposed(self.access.meter)
        if pending is not None:
            settled = await self._settle(pending, marks)
            if settled is not None:
                return settled
        await self._note_settled(wanted, marks)
        roles = [Role(name.value) for name in wanted]
        held = self.keystore.get(self.access.meter)
        known = [role for role in roles if held.secret(role) is not None]
        for role in known:
            if _is_active(marks, role):
                continue
            if (tries := _withdrawals(marks, role)) >= SENDINGS:
                return Result(Outcome.REFUSED, f"{role}: not taken, in {tries} tries")
            ended = await self._change(role, marks)
            if ended is not None:
                return ended
            if role != known[-1] or not _is_active(marks, role):
                return PutOff(0, f"{role} is settled, the change goes on")
        changed = [role for role in roles if _is_active(marks, role)]
        if not changed:
            return Result(Outcome.REFUSED, "none of these secrets is known for this meter")
        return Result(Outcome.DONE, ", ".join(changed))

    async def settle(self) -> Result | PutOff:
        """Only find out what became of a NEW secret."""
        role = self.keystore.proposed(self.access.meter)
        if role is None:
            return Result(Outcome.ALREADY_SO)
        return await self._settle(role, []) or Result(Outcome.DONE, role)

    # -- one secret ------------------------------------------------------------------------------

    async def _change(self, role: Role, marks: list[Mark]) -> Result | PutOff | None:
        """Send a new secret and let the meter decide; None when it has."""
        meter, held = self.access.meter, self.keystore.get(self.access.meter)
        secret = self._draw(role, held)
        request = self._request(role, held, secret)
        proof = self.management.secrets[SecretName(role.value)].proven_by
        refusal: PeerRefused | None = None
        # What cannot be proved is not changed; a meter that does not answer is proposed nothing.
        if not await self._answers(held, proof):
            return PutOff(0, f"{role}: {proof} does not open under the present secret", fault=True)
        opened = await self.sessions.associate(
            self._with(held), self.management.association, self.transport
        )
        try:
            await self.stored(lambda: self.keystore.propose(meter, role, secret))
            await self._mark(marks, Mark(StepKind.SENDING, role))
            await opened.request(request)
        except PeerRefused as said:
            refusal = said
        except (NoAnswer, SecurityError, RemoteProtocolError):
            # Perhaps the request, perhaps the answer got lost, or it came under the new key.
            pass
        finally:
            await self.sessions.leave(self._with(held), self.management.association, opened)
        ended = await self._settle(role, marks)
        if ended is None and refusal is not None and not _is_active(marks, role):
            return Result(Outcome.REFUSED, f"{role}: {refusal}")
        return ended

    async def _settle(self, role: Role, marks: list[Mark]) -> PutOff | None:
        """NEW becomes ACTIVE or WITHDRAWN as the meter answers; PutOff while it does not."""
        meter = self.access.meter
        proof = self.management.secrets[SecretName(role.value)].proven_by
        new, former = self.keystore.get_proposed(meter), self.keystore.get(meter)
        if await self._answers(new, proof):
            await self.stored(lambda: self.keystore.promote(meter))
            await self._mark(marks, Mark(StepKind.AFTER, role, _ACTIVE))
            self.access = self._with(self.keystore.get(meter))
            self.renewed(self.access)
            return None
        # The association that carried the secret is used once more before it is given up: by the
        # higher counter a request that is still under way somewhere comes too late.
        for association in dict.fromkeys((proof, self.management.association)):
            if not await self._answers(former, association):
                return PutOff(0, f"{role}: the meter answers under neither secret", fault=True)
        await self.stored(lambda: self.keystore.withdraw(meter))
        await self._mark(marks, Mark(StepKind.AFTER, role, _WITHDRAWN))
        return None

    async def _note_settled(self, wanted: Sequence[SecretName], marks: list[Mark]) -> None:
        """The keystore knew more than the audit when the process ended: bring it up to date."""
        for name in wanted:
            role = Role(name.value)
            if not is_open([mark for mark in marks if mark.what == role]):
                continue
            is_active = self.keystore.newest_state(self.access.meter, role) is State.ACTIVE
            detail = _ACTIVE if is_active else _WITHDRAWN
            await self._mark(marks, Mark(StepKind.AFTER, role, detail))

    async def _mark(self, marks: list[Mark], mark: Mark) -> None:
        await self.note(mark)
        marks.append(mark)

    async def _answers(self, keys: MeterKeys, association: str) -> bool:
        """Whether the meter opens this association under these keys and answers in it."""
        access = self._with(keys)
        try:
            await self.transport.flush()
            opened = await self.sessions.associate(access, association, self.transport)
            try:
                await self.check(opened)
            finally:
                await self.sessions.leave(access, association, opened)
        except AnotherMeter:
            raise
        except LinkLost:
            # Some meters close the connection on a key they do not know.
            await self._reconnect()
            return False
        except (NoAnswer, PeerRefused, SecurityError, RemoteProtocolError):
            return False
        return True

    async def _reconnect(self) -> None:
        await self.transport.close()
        await self.transport.connect()

    def _with(self, keys: MeterKeys) -> MeterAccess:
        titles = self.access.keys
        return replace(
            self.access,
            keys=replace(
                keys,
                client_system_title=titles.client_system_title,
                server_system_title=titles.server_system_title,
            ),
        )

    # -- what is sent ----------------------------------------------------------------------------

    def _draw(self, role: Role, held: MeterKeys) -> Secret:
        if role is not Role.LLS_PASSWORD:
            return Secret(self.random_bytes(_KEY_OCTETS))
        size = len(held.require(role))
        # Rejecting what is beyond a whole multiple keeps every letter as likely.
        whole = 256 - 256 % len(_LETTERS)
        text = b""
        while len(text) < size:
            text += bytes(_LETTERS[o % len(_LETTERS)] for o in self.random_bytes(size) if o < whole)
        return Secret(text[:size])

    def _request(self, role: Role, held: MeterKeys, secret: Secret) -> Request:
        change = self.management.secrets[SecretName(role.value)]
        if change.how == "key_transfer":
            us = self._association(self.management.association)
            master = held.require(Role.MASTER)
            setup = _named(us.security_setup, "security_setup", self.management.association)
            return transfer_key(setup, KeyId(change.key_id or 0), master, secret)
        owner = self._association(change.proven_by)
        target = _named(owner.association_object, "association_object", change.proven_by)
        make = write_secret if change.how == "attribute" else change_hls_secret
        return make(target, secret)

    def _association(self, name: str) -> Association:
        return self.access.profile.association(name)


def _named(found: Obis | None, what: str, association: str) -> Obis:
    if found is None:
        raise UsageError(f"the profile's association {association} has no {what}")
    return found


def _is_active(marks: History, role: Role) -> bool:
    return any(m.what == role and m.detail == _ACTIVE for m in marks)


def _withdrawals(marks: History, role: Role) -> int:
    return sum(m.what == role and m.detail == _WITHDRAWN for m in marks)
