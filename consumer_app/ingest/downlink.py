"""What goes down to a gateway: commits of what was stored, and its accounts. All signed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from consumer_app.database.accounts import (
    accounts_of_gateway,
    gateways,
    next_downlink_sequence,
)
from consumer_app.database.connect import Database
from consumer_app.ingest.core import Answer
from gateway.model import Account
from gateway.uplink.command import (
    MAX_ACCOUNTS,
    MAX_REFUSED,
    AccountData,
    Commit,
    ranges_of,
    sign_command,
)
from gateway.uplink.notices import StreamPosition
from gateway.uplink.port import Publication
from gateway.uplink.signature import SigningKey
from gateway.uplink.topics import Kind, plain

ACCOUNT_LIFE_S = 7 * 86_400
"""How long account data may be taken; they are sent anew well before."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who speaks to the gateways: the issuer's name and its key."""

    issuer: str
    key: SigningKey

    def commits(self, answers: Iterable[Answer], *, now_s: int) -> list[Publication]:
        """One commit for each stream among the answers, more where refusals are very many."""
        by_stream: defaultdict[tuple[str, str, str], list[Answer]] = defaultdict(list)
        for answer in answers:
            header = answer.header
            by_stream[header.gateway, header.stream, header.epoch].append(answer)
        return [
            Publication(plain(commit.gateway, Kind.COMMIT), sign_command(commit, self.key))
            for stream, members in sorted(by_stream.items())
            for commit in self._commits_of(stream, members, now_s)
        ]

    def _commits_of(
        self, stream: tuple[str, str, str], answers: list[Answer], now_s: int
    ) -> Iterable[Commit]:
        committed = {one.header.sequence for one in answers if one.refused is None}
        # a number that was stored once is committed, whatever else came under it
        refused = sorted(
            {
                one.header.sequence: one.refused
                for one in answers
                if one.refused is not None and one.header.sequence not in committed
            }.items()
        )
        gateway, name, epoch = stream
        for start in range(0, max(len(refused), 1), MAX_REFUSED):
            yield Commit(
                issuer=self.issuer,
                gateway=gateway,
                issued_at_s=now_s,
                stream=name,
                epoch=epoch,
                committed=ranges_of(committed) if start == 0 else (),
                refused=tuple(refused[start : start + MAX_REFUSED]),
            )

    def positions(
        self, gateway: str, positions: Iterable[StreamPosition], *, now_s: int
    ) -> list[Publication]:
        """How far each epoch has been seen: a gateway that is behind knows it was restored."""
        return [
            Publication(
                plain(gateway, Kind.COMMIT),
                sign_command(
                    Commit(
                        issuer=self.issuer,
                        gateway=gateway,
                        issued_at_s=now_s,
                        stream=position.stream,
                        epoch=position.epoch,
                        newest=position.sequence,
                    ),
                    self.key,
                ),
            )
            for position in positions
        ]

    def account_parts(
        self, gateway: str, accounts: tuple[Account, ...], *, sequence: int, now_s: int
    ) -> list[AccountData]:
        """A statement's content, all connections of that gateway, in as many parts as it takes."""
        chunks = [
            accounts[start : start + MAX_ACCOUNTS]
            for start in range(0, len(accounts), MAX_ACCOUNTS)
        ]
        return [
            AccountData(
                issuer=self.issuer,
                gateway=gateway,
                issued_at_s=now_s,
                sequence=sequence,
                not_after_s=now_s + ACCOUNT_LIFE_S,
                accounts=chunk,
                part=number,
                parts=len(chunks),
            )
            for number, chunk in enumerate(chunks, 1)
        ]


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """Account data on their way: repeated until the gateway's result names ``command``."""

    gateway: str
    command: str
    publications: tuple[Publication, ...]


def account_statement(
    database: Database, signer: Signer, gateway: str, *, now_s: int
) -> AccountStatement | None:
    """A signed statement of all connections of a gateway, under a new sequence number.

    None for a gateway without any. A statement of one part is retained by the broker, so that a
    gateway finds it when it comes up.
    """
    with database.transaction() as connection:
        accounts = accounts_of_gateway(connection, gateway)
        if not accounts:
            return None
        sequence = next_downlink_sequence(connection, gateway, "account")
    parts = signer.account_parts(gateway, accounts, sequence=sequence, now_s=now_s)
    topic = plain(gateway, Kind.ACCOUNT)
    publications = tuple(
        Publication(topic, sign_command(part, signer.key), retain=len(parts) == 1) for part in parts
    )
    return AccountStatement(gateway, parts[0].command, publications)


def account_versions(database: Database) -> dict[str, tuple[int, int]]:
    """Per gateway a value that changes whenever its connections change."""
    with database.transaction() as connection:
        return gateways(connection)
