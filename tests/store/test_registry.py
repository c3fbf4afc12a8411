import json

import pytest

from gateway.errors import RemoteProtocolError, SecurityError, StoreError
from gateway.model import Account, ConnectionNo, Installation, MeterId
from gateway.store.outbox import NewMessage
from gateway.uplink.outbox import Lane


def account(number: str, *places: tuple[str, int, int | None], name: str = "A. Devi") -> Account:
    connection = ConnectionNo(number)
    installations = tuple(
        Installation(connection, MeterId(meter), from_s, to_s) for meter, from_s, to_s in places
    )
    return Account(connection, name, 2000, 1, "domestic", installations)


def test_a_meter_is_found_at_the_connection_of_its_time(site):
    registry = site.readings().registry
    first = account("C1", ("M1", 100, 200), ("M2", 200, None))
    second = account("C2", ("M1", 200, None), ("M9", 0, None))
    registry.apply_accounts("cis", 1, [first, second], 5)
    assert registry.accounts() == [first, second]
    assert [registry.connection_of(MeterId("M1"), at) for at in (99, 100, 199, 200, 999)] == [
        None,
        "C1",
        "C1",
        "C2",
        "C2",
    ]
    assert registry.meters_of(ConnectionNo("C1"), 150) == ["M1"]
    assert registry.meters_of(ConnectionNo("C2"), 300) == ["M1", "M9"]


@pytest.mark.parametrize("sequence", [4, 5, 0, -1])
def test_a_sequence_that_does_not_rise_is_a_replay(site, sequence):
    registry = site.readings().registry
    registry.apply_accounts("cis", 5, [account("C1")], 5)
    with pytest.raises(SecurityError, match=f"sequence {sequence} of issuer 'cis'"):
        registry.apply_accounts("cis", sequence, [account("C1", name="someone else")], 6)
    assert registry.accounts() == [account("C1")]
    site.close()
    registry = site.readings().registry
    assert registry.last_sequence("cis") == 5
    registry.apply_accounts("another", 1, [account("C2")], 7)
    assert registry.last_sequence("another") == 1


@pytest.mark.parametrize(
    "places",
    [
        [("C1", ("M1", 100, None)), ("C2", ("M1", 200, None))],
        [("C1", ("M1", 100, 300)), ("C2", ("M1", 299, None))],
        [("C1", ("M1", 100, 300)), ("C2", ("M1", 100, 200))],
        [("C1", ("M1", 100, 100))],
    ],
)
def test_a_meter_at_two_places_at_one_time_is_refused_as_a_whole(site, places):
    registry = site.readings().registry
    before = account("C1", ("M1", 100, None))
    registry.apply_accounts("cis", 1, [before], 5)
    accounts = [account(number, place) for number, place in places]
    with pytest.raises(RemoteProtocolError, match="M1"):
        registry.apply_accounts("cis", 2, accounts, 6)
    assert registry.accounts() == [before]
    assert registry.last_sequence("cis") == 1


def test_a_meter_moves_between_two_accounts_of_one_message(site):
    registry = site.readings().registry
    registry.apply_accounts("cis", 1, [account("C1", ("M1", 0, None))], 5)
    moved = [account("C2", ("M1", 500, None)), account("C1", ("M1", 0, 500))]
    registry.apply_accounts("cis", 2, moved, 6)
    assert registry.connection_of(MeterId("M1"), 500) == "C2"


def test_a_connection_that_is_stated_no_more_frees_its_meters_and_keeps_its_history(site):
    store = site.readings()
    registry = store.registry
    registry.apply_accounts("desk", 1, [account("D1", ("M9", 0, None))], 5)
    registry.apply_accounts("cis", 1, [account("C1", ("M1", 0, None)), account("C3")], 6)
    now_there = [account("C2", ("M1", 500, None))]
    registry.apply_accounts("cis", 2, now_there, 7)
    assert registry.accounts() == [*now_there, account("D1", ("M9", 0, None))]
    said = store._database.rows(
        "SELECT connection, sequence, account_json <> 'null' FROM account_history"
        " WHERE issuer = 'cis' ORDER BY id"
    )
    assert said == [("C1", 1, 1), ("C3", 1, 1), ("C1", 2, 0), ("C3", 2, 0), ("C2", 2, 1)]


def test_a_meter_that_another_issuer_placed_is_not_taken_from_it(site):
    registry = site.readings().registry
    registry.apply_accounts("desk", 1, [account("D1", ("M1", 0, None))], 5)
    with pytest.raises(RemoteProtocolError, match="M1 would stand at D1 and C1"):
        registry.apply_accounts("cis", 1, [account("C1", ("M1", 50, None))], 6)


def test_an_installation_of_another_account_is_refused(site):
    registry = site.readings().registry
    wrong = account("C1", ("M1", 0, None))
    wrong = Account("C2", wrong.name, 1, 1, "domestic", wrong.installations)  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError, match="C2 holds an installation of C1"):
        registry.apply_accounts("cis", 1, [wrong], 5)


def test_history_says_who_changed_what_and_cannot_be_rewritten(site):
    store = site.readings()
    store.registry.apply_accounts("cis", 1, [account("C1")], 50)
    store.registry.apply_accounts("desk", 1, [account("C1", name="B. Singh")], 60)
    rows = store._database.rows(
        "SELECT connection, issuer, sequence, applied_at_us, account_json FROM account_history"
    )
    assert [row[:4] for row in rows] == [("C1", "cis", 1, 50), ("C1", "desk", 1, 60)]
    assert [json.loads(row[4])["name"] for row in rows] == ["A. Devi", "B. Singh"]
    for statement in ("DELETE FROM account_history", "UPDATE account_history SET issuer = 'x'"):
        with pytest.raises(StoreError, match="history is not"):
            store._database.rows(statement)


def test_the_result_goes_out_with_the_effect_or_not_at_all(site):
    store = site.readings()
    result = NewMessage("result", "cis-1", Lane.LIVE, b"{}")
    store.registry.apply_accounts("cis", 1, [account("C1")], 5, result=result)
    with pytest.raises(SecurityError):
        store.registry.apply_accounts("cis", 1, [account("C1")], 5, result=result)
    assert [e.subject for e in store.outbox.pending(Lane.LIVE, 0, 9)] == ["cis-1"]
