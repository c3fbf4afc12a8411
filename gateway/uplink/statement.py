"""Account statements that come in several parts: whole again, whatever order the parts come in.

A statement is all connections of one gateway; one with more than fit into a message comes in parts
under one sequence number. Parts are kept in memory only: the backend repeats them until the
gateway's result names the statement, so a restart in between loses nothing.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import RemoteProtocolError
from gateway.model import Account
from gateway.uplink.command import AccountData


class StatementParts:
    """Collects the parts of the newest statement of each issuer.

    What is held is bounded: one statement for each issuer whose key is trusted, and of it no more
    parts than it may have.
    """

    def __init__(self) -> None:
        self._held: dict[str, dict[int, AccountData]] = {}

    def take(self, part: AccountData) -> AccountData | None:
        """The whole statement once its last missing part came, else None.

        A part of an older statement than the one being collected is passed over; a newer one
        begins anew. Raises RemoteProtocolError for parts that make no statement.
        """
        held = self._held.get(part.issuer, {})
        newest = next(iter(held.values()), part)
        if part.sequence < newest.sequence:
            return None
        if part.sequence > newest.sequence:
            held, newest = {}, part
        if part.parts != newest.parts:
            raise RemoteProtocolError(
                f"statement {part.command}: of {newest.parts} parts, and of {part.parts}"
            )
        held = held | {part.part: part}
        self._held[part.issuer] = held
        if len(held) < part.parts:
            return None
        del self._held[part.issuer]
        return replace(part, part=1, parts=1, accounts=_joined(held))


def _joined(held: dict[int, AccountData]) -> tuple[Account, ...]:
    accounts = tuple(account for _, part in sorted(held.items()) for account in part.accounts)
    if len({account.connection for account in accounts}) != len(accounts):
        raise RemoteProtocolError("account: a connection stands in two parts of a statement")
    return accounts
