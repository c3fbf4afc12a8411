"""Connections, the meters that stood there, and who may sign in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from consumer_app.database.connect import Connection
from gateway.errors import UsageError
from gateway.model import Account, ConnectionNo, Installation, MeterId


@dataclass(frozen=True, slots=True)
class Credential:
    """An access code's scrypt hash; ``version`` rises when the code is changed."""

    salt: bytes
    hash: bytes
    cost: int
    version: int


def put_account(connection: Connection, account: Account, gateway: str, *, now_s: int) -> None:
    """Store a connection as ``account`` states it, its installations included.

    Installations are replaced as a whole: the statement is the truth. UsageError if a meter
    would stand at two connections, or two meters at this one, at the same time.
    """
    # two imports at once must not both find the place free
    connection.execute("lock table installations in share row exclusive mode")
    connection.execute(
        "insert into connections"
        " (connection, name, sanctioned_load_w, phases, category, gateway, changed_at_s, version)"
        " values (%(no)s, %(name)s, %(load)s, %(phases)s, %(category)s, %(gateway)s, %(now)s,"
        " nextval('connection_versions'))"
        " on conflict (connection) do update set name = excluded.name,"
        " sanctioned_load_w = excluded.sanctioned_load_w, phases = excluded.phases,"
        " category = excluded.category, gateway = excluded.gateway,"
        " changed_at_s = excluded.changed_at_s, version = excluded.version",
        {
            "no": account.connection,
            "name": account.name,
            "load": account.sanctioned_load_w,
            "phases": account.phases,
            "category": account.category,
            "gateway": gateway,
            "now": now_s,
        },
    )
    connection.execute("delete from installations where connection = %s", (account.connection,))
    for installation in account.installations:
        _put_installation(connection, installation, now_s)


def _put_installation(connection: Connection, one: Installation, now_s: int) -> None:
    connection.execute(
        "insert into meters (meter, first_seen_s) values (%s, %s) on conflict do nothing",
        (one.meter, now_s),
    )
    clash = connection.execute(
        "select i.connection, m.meter from installations i join meters m using (meter_no)"
        " where (m.meter = %s or i.connection = %s)"
        " and int8range(i.valid_from_s, i.valid_to_s) && int8range(%s, %s)",
        (one.meter, one.connection, one.valid_from_s, one.valid_to_s),
    ).fetchone()
    if clash is not None:
        raise UsageError(
            f"meter {one.meter} at connection {one.connection} from {one.valid_from_s}:"
            f" meter {clash[1]} stands at connection {clash[0]} at that time"
        )
    connection.execute(
        "insert into installations (connection, meter_no, valid_from_s, valid_to_s)"
        " select %s, meter_no, %s, %s from meters where meter = %s",
        (one.connection, one.valid_from_s, one.valid_to_s, one.meter),
    )


def account_of(connection: Connection, number: ConnectionNo) -> Account | None:
    """The connection with its installations by time, or None."""
    return next(iter(_accounts(connection, number=number)), None)


def accounts_of_gateway(connection: Connection, gateway: str) -> tuple[Account, ...]:
    """All connections that one gateway reads, by number."""
    return tuple(_accounts(connection, gateway=gateway))


def gateways(connection: Connection) -> dict[str, tuple[int, int]]:
    """Gateways that have connections, with a value that changes when those are changed."""
    return {
        gateway: (int(many), int(version))
        for gateway, many, version in connection.execute(
            "select gateway, count(*), max(version) from connections group by gateway"
        )
    }


_ACCOUNTS: LiteralString = """
    select c.connection, c.name, c.sanctioned_load_w, c.phases, c.category,
           m.meter, i.valid_from_s, i.valid_to_s
    from connections c
    left join installations i using (connection)
    left join meters m using (meter_no)
    where (%(connection)s::text is null or c.connection = %(connection)s)
      and (%(gateway)s::text is null or c.gateway = %(gateway)s)
    order by c.connection, i.valid_from_s
"""


def _accounts(
    connection: Connection, *, number: str | None = None, gateway: str | None = None
) -> list[Account]:
    found = connection.execute(_ACCOUNTS, {"connection": number, "gateway": gateway})
    accounts: dict[str, Account] = {}
    for text, name, load_w, phases, category, meter, from_s, to_s in found:
        no = ConnectionNo(text)
        known = accounts.get(no)
        before = known.installations if known else ()
        here = (Installation(no, MeterId(meter), from_s, to_s),) if meter else ()
        accounts[no] = Account(
            connection=no,
            name=name,
            sanctioned_load_w=load_w,
            phases=phases,
            category=category,
            installations=before + here,
        )
    return list(accounts.values())


def put_credential(
    connection: Connection, number: ConnectionNo, *, salt: bytes, hashed: bytes, cost: int
) -> None:
    """Set the access code's hash; sessions made with an older one end."""
    connection.execute(
        "insert into credentials (connection, salt, hash, cost, version)"
        " values (%s, %s, %s, %s, 1) on conflict (connection) do update set"
        " salt = excluded.salt, hash = excluded.hash, cost = excluded.cost,"
        " version = credentials.version + 1",
        (number, salt, hashed, cost),
    )


def credential_of(connection: Connection, number: ConnectionNo) -> Credential | None:
    """The access code's hash, or None for a connection without one."""
    row = connection.execute(
        "select salt, hash, cost, version from credentials where connection = %s", (number,)
    ).fetchone()
    return None if row is None else Credential(*row)


def failures_since(connection: Connection, subject: bytes, since_s: int) -> int:
    """How often signing in failed for this subject."""
    row = connection.execute(
        "select count(*) from sign_in_failures where subject = %s and failed_at_s >= %s",
        (subject, since_s),
    ).fetchone()
    return 0 if row is None else int(row[0])


def note_failures(
    connection: Connection, subjects: Sequence[bytes], *, now_s: int, forget_before_s: int
) -> None:
    """Count one failure for each subject and forget those that no longer matter."""
    connection.execute("delete from sign_in_failures where failed_at_s < %s", (forget_before_s,))
    for subject in subjects:
        connection.execute(
            "insert into sign_in_failures (subject, failed_at_s) values (%s, %s)",
            (subject, now_s),
        )


def next_downlink_sequence(connection: Connection, gateway: str, kind: str) -> int:
    """The next sequence number for a signed message of ``kind`` to ``gateway``, from 1."""
    row = connection.execute(
        "insert into downlink_sequences (gateway, kind, sequence) values (%s, %s, 1)"
        " on conflict (gateway, kind) do update set sequence = downlink_sequences.sequence + 1"
        " returning sequence",
        (gateway, kind),
    ).fetchone()
    assert row is not None
    return int(row[0])
