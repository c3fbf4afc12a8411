"""Parts of account statements: any order, repeats and losses end in the newest whole statement."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.model import Account, ConnectionNo
from gateway.uplink.command import AccountData
from gateway.uplink.statement import StatementParts


def account(number: str) -> Account:
    return Account(ConnectionNo(number), "name", 2000, 1, "LMV-1", ())


def parts_of(sequence: int, parts: int) -> list[AccountData]:
    return [
        AccountData(
            "backend", "gw1", 1, sequence, 9, (account(f"{sequence}-{n}"),), part=n, parts=parts
        )
        for n in range(1, parts + 1)
    ]


def whole(sequence: int, parts: int) -> AccountData:
    accounts = tuple(account(f"{sequence}-{n}") for n in range(1, parts + 1))
    return AccountData("backend", "gw1", 1, sequence, 9, accounts)


@given(st.data(), st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_whatever_arrives_in_whatever_order_the_repeated_newest_statement_is_whole_at_last(
    data: st.DataObject, counts: list[int]
) -> None:
    statements = [parts_of(number, count) for number, count in enumerate(counts, 1)]
    every = [part for parts in statements for part in parts]
    arrived = data.draw(st.lists(st.sampled_from(every), max_size=20))
    collector = StatementParts()
    came = [one for part in arrived if (one := collector.take(part)) is not None]
    for one in came:
        assert one == whole(one.sequence, counts[one.sequence - 1])
    repeated = data.draw(st.permutations(statements[-1]))
    came = [one for part in repeated if (one := collector.take(part)) is not None]
    assert came[-1:] == [whole(len(counts), counts[-1])]


def test_a_statement_is_not_whole_while_a_part_is_missing() -> None:
    collector = StatementParts()
    first, second, third = parts_of(1, 3)
    assert [collector.take(part) for part in (third, first, third, first)] == [None] * 4
    assert collector.take(second) == whole(1, 3)


def test_parts_of_a_newer_statement_end_the_wait_for_an_older_one() -> None:
    collector = StatementParts()
    old, new = parts_of(1, 2), parts_of(2, 2)
    assert [collector.take(part) for part in (old[0], new[0], old[1])] == [None] * 3
    assert collector.take(new[1]) == whole(2, 2)


def test_issuers_do_not_mix() -> None:
    collector = StatementParts()
    mine, theirs = parts_of(1, 2)[0], replace(parts_of(1, 2)[1], issuer="desk")
    assert [collector.take(part) for part in (mine, theirs)] == [None, None]


def test_parts_that_make_no_statement_are_refused() -> None:
    collector = StatementParts()
    first, second = parts_of(1, 2)
    collector.take(first)
    with pytest.raises(RemoteProtocolError, match="of 2 parts, and of 3"):
        collector.take(replace(second, parts=3))
    with pytest.raises(RemoteProtocolError, match="stands in two parts"):
        collector.take(replace(second, accounts=first.accounts))
