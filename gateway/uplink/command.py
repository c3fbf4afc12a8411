"""What the backend sends down: signed JSON <-> typed commands.

Reading checks, in this order: size, signature and kind, issuer, audience, expiry, shape. The
sequence of an issuer is checked where it is kept, in the store, in the transaction of its effect. A
commit has no expiry and no sequence: within an epoch numbers are never used again, so repeating it
is harmless, and a gateway whose clock is wrong must still be able to empty its outbox.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from gateway.errors import DecodeError, SecurityError, UsageError
from gateway.model import Account, ConnectionNo, Installation, MeterId
from gateway.uplink import wire
from gateway.uplink.message import MAX_SEQUENCE, checked_epoch
from gateway.uplink.signature import SigningKey, VerifyingKeys
from gateway.uplink.topics import Kind, checked_name

MAX_RANGES: Final = 10_000
MAX_REFUSED: Final = 1_000
MAX_ACCOUNTS: Final = 1_000
MAX_PARTS: Final = 100
_TYP: Final = {Kind.COMMIT: "smg.commit+jws", Kind.ACCOUNT: "smg.account+jws"}

Range = tuple[int, int]
"""First and last sequence, both included."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Which messages of one stream and epoch the backend holds, and which it will never take.

    ``committed`` ranges rise and do not touch; ``refused`` has (sequence, reason). ``newest`` is
    the highest number of this stream and epoch that the backend has ever seen, 0 where it does not
    say: a gateway that has not given out so many is a restored copy.
    """

    issuer: str
    gateway: str
    issued_at_s: int
    stream: str
    epoch: str
    committed: tuple[Range, ...] = ()
    refused: tuple[tuple[int, str], ...] = ()
    newest: int = 0


@dataclass(frozen=True, slots=True)
class AccountData:
    """Connections with their dated meters, in one part or more (``gateway.uplink.statement``).

    All parts together are all connections of the gateway: they replace what the issuer said before.
    """

    issuer: str
    gateway: str
    issued_at_s: int
    sequence: int
    not_after_s: int
    accounts: tuple[Account, ...]
    part: int = 1
    parts: int = 1

    @property
    def command(self) -> str:
        """Name under which its result goes up."""
        return f"{self.issuer}-{self.sequence}"


Command = Commit | AccountData

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
_Sequence = Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQUENCE)]
_Part = Annotated[int, msgspec.Meta(ge=1, le=MAX_PARTS)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Envelope(wire.Shape, frozen=True, kw_only=True):
    iss: str
    aud: str
    iat: _Count


class _Refused(wire.Shape, frozen=True, kw_only=True):
    sequence: _Sequence
    reason: _Text


class _Commit(_Envelope, frozen=True, kw_only=True):
    schema: Literal["smg.commit/1"]
    stream: str
    epoch: str
    committed: Annotated[list[tuple[_Sequence, _Sequence]], msgspec.Meta(max_length=MAX_RANGES)]
    refused: Annotated[list[_Refused], msgspec.Meta(max_length=MAX_REFUSED)]
    newest: _Count


class _Installation(wire.Shape, frozen=True, kw_only=True):
    meter: _Text
    valid_from_s: _Count
    valid_to_s: _Count | None


class _Account(wire.Shape, frozen=True, kw_only=True):
    connection: _Text
    name: Annotated[str, msgspec.Meta(max_length=200)]
    sanctioned_load_w: _Count
    phases: Literal[1, 3]
    category: _Text
    installations: Annotated[list[_Installation], msgspec.Meta(max_length=100)]


class _AccountData(_Envelope, frozen=True, kw_only=True):
    schema: Literal["smg.account/1"]
    sequence: _Sequence
    not_after_s: _Count
    accounts: Annotated[list[_Account], msgspec.Meta(max_length=MAX_ACCOUNTS)]
    part: _Part
    parts: _Part


def ranges_of(sequences: Iterable[int]) -> tuple[Range, ...]:
    """Rising ranges that hold exactly ``sequences``, in any order and with repeats."""
    ranges: list[Range] = []
    for sequence in sorted(set(sequences)):
        if ranges and ranges[-1][1] == sequence - 1:
            ranges[-1] = (ranges[-1][0], sequence)
        else:
            ranges.append((sequence, sequence))
    return tuple(ranges)


def sign_command(command: Command, key: SigningKey) -> bytes:
    """The octets to publish; UsageError for a command that its reader would refuse."""
    shape = _shape(command)
    payload = wire.encode(shape)
    try:
        read = _typed(wire.decode(payload, type(shape), "own command"))
    except DecodeError as wrong:
        raise UsageError(str(wrong)) from wrong
    if read != command:
        raise UsageError("a command holds tuples of plain values")
    return key.sign(payload, _TYP[_kind(command)])


def read_command(
    octets: bytes, kind: Kind, *, keys: VerifyingKeys, gateway: str, now_s: int
) -> Command:
    """Verify and read what arrived on the topic ``kind``.

    Raises SecurityError (signature, issuer, audience, expired): nothing of the message was used;
    DecodeError (signed, and yet not of its schema); UsageError for a kind that is not signed.
    """
    if kind not in _TYP:
        raise UsageError(f"nothing signed comes on topic {kind.value}")
    issuer, payload = keys.verify(octets, _TYP[kind])
    envelope = wire.decode(payload, _Envelope, kind.value)
    if envelope.iss != issuer:
        raise SecurityError(f"{kind.value}: signed by a key of {issuer!r} in another's name")
    if envelope.aud != gateway:
        raise SecurityError(f"{kind.value}: signed for another gateway")
    if kind is Kind.COMMIT:
        return _typed(wire.decode(payload, _Commit, kind.value))
    data = wire.decode(payload, _AccountData, kind.value)
    if data.not_after_s < now_s:
        raise SecurityError(f"{kind.value}: expired {now_s - data.not_after_s} s ago")
    return _typed(data)


def _kind(command: Command) -> Kind:
    return Kind.COMMIT if isinstance(command, Commit) else Kind.ACCOUNT


def _shape(command: Command) -> _Commit | _AccountData:
    if isinstance(command, Commit):
        return _Commit(
            schema="smg.commit/1",
            iss=command.issuer,
            aud=command.gateway,
            iat=command.issued_at_s,
            stream=command.stream,
            epoch=command.epoch,
            committed=list(command.committed),
            refused=[_Refused(sequence=one, reason=why) for one, why in command.refused],
            newest=command.newest,
        )
    return _AccountData(
        schema="smg.account/1",
        iss=command.issuer,
        aud=command.gateway,
        iat=command.issued_at_s,
        sequence=command.sequence,
        not_after_s=command.not_after_s,
        accounts=[_account_shape(account) for account in command.accounts],
        part=command.part,
        parts=command.parts,
    )


def _account_shape(account: Account) -> _Account:
    if account.phases not in (1, 3):
        raise UsageError(f"account {account.connection}: 1 or 3 phases, not {account.phases}")
    return _Account(
        connection=account.connection,
        name=account.name,
        sanctioned_load_w=account.sanctioned_load_w,
        phases=1 if account.phases == 1 else 3,
        category=account.category,
        installations=[
            _Installation(meter=one.meter, valid_from_s=one.valid_from_s, valid_to_s=one.valid_to_s)
            for one in account.installations
        ],
    )


def _typed(shape: _Commit | _AccountData) -> Command:
    try:
        checked_name("issuer", shape.iss)
        checked_name("gateway", shape.aud)
        if isinstance(shape, _Commit):
            checked_name("stream", shape.stream)
            checked_epoch(shape.epoch)
    except UsageError as wrong:
        raise DecodeError(f"command: {wrong}") from wrong
    if isinstance(shape, _Commit):
        _check_commit(shape)
        refused = tuple((one.sequence, one.reason) for one in shape.refused)
        head = (shape.iss, shape.aud, shape.iat, shape.stream, shape.epoch)
        return Commit(*head, committed=tuple(shape.committed), refused=refused, newest=shape.newest)
    accounts = tuple(_typed_account(account) for account in shape.accounts)
    if len({account.connection for account in accounts}) != len(accounts):
        raise DecodeError("account: a connection stands twice")
    if shape.part > shape.parts:
        raise DecodeError(f"account: part {shape.part} of {shape.parts}")
    return AccountData(
        shape.iss,
        shape.aud,
        shape.iat,
        shape.sequence,
        shape.not_after_s,
        accounts,
        part=shape.part,
        parts=shape.parts,
    )


def _check_commit(shape: _Commit) -> None:
    before = -1
    for first, last in shape.committed:
        if first > last or first <= before + 1:
            raise DecodeError(f"commit: range {first}-{last} is empty, or touches its neighbour")
        before = last
    refused = [one.sequence for one in shape.refused]
    if refused != sorted(set(refused)):
        raise DecodeError("commit: refused sequences do not rise")
    held = iter(shape.committed)
    current = next(held, None)
    for sequence in refused:
        while current is not None and current[1] < sequence:
            current = next(held, None)
        if current is not None and current[0] <= sequence:
            raise DecodeError(f"commit: sequence {sequence} both committed and refused")


def _typed_account(shape: _Account) -> Account:
    connection = ConnectionNo(shape.connection)
    installations = []
    for one in shape.installations:
        if one.valid_to_s is not None and one.valid_to_s <= one.valid_from_s:
            raise DecodeError(f"account {connection}: an installation ends before it begins")
        meter = MeterId(one.meter)
        installations.append(Installation(connection, meter, one.valid_from_s, one.valid_to_s))
    return Account(
        connection=connection,
        name=shape.name,
        sanctioned_load_w=shape.sanctioned_load_w,
        phases=shape.phases,
        category=shape.category,
        installations=tuple(installations),
    )
