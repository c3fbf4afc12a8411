"""Client and server joined in memory: any APDU, any wire, exactly once."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.hdlc.states import TABLE, State, Step, after
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, LinkClosed, LinkOpened, Role
from gateway.errors import LocalProtocolError, PeerRefused, RemoteProtocolError
from tests.links import line

ADDRESSES = [HdlcAddress(1), HdlcAddress(1, 17, 2), HdlcAddress(1, 12345, 4)]
# Retransmissions of a wire that spoils a third of all frames are no hostile meter.
PATIENT = Limits(garbage_octets=10**9, fruitless_frames=10**6)

sizes = st.one_of(st.integers(16, 2030), st.sampled_from([16, 128, 2030]))
# No APDU begins with the octets of an LLC header, which stations are known to write twice.
apdus = st.one_of(
    st.binary(max_size=600).filter(lambda apdu: not apdu.startswith(b"\xe6")),
    st.integers(0, 5000).map(lambda size: bytes(n % 251 for n in range(size))),
)


def joined(
    address: HdlcAddress,
    ours: HdlcParameters,
    theirs: HdlcParameters,
    answer: Callable[[bytes], bytes],
    spoil: Callable[[bytes], bytes] = bytes,
) -> line.Line:
    return line.Line(
        HdlcLink(Role.CLIENT, client=line.CLIENT, server=address, parameters=ours, limits=PATIENT),
        HdlcLink(Role.SERVER, client=None, server=address, parameters=theirs, limits=PATIENT),
        answer,
        spoil,
    )


@given(
    address=st.sampled_from(ADDRESSES),
    ours=st.builds(HdlcParameters, sizes, sizes),
    theirs=st.builds(HdlcParameters, sizes, sizes),
    exchanges=st.lists(st.tuples(apdus, apdus), min_size=1, max_size=10),
)
def test_any_apdu_passes_both_ways(
    address: HdlcAddress,
    ours: HdlcParameters,
    theirs: HdlcParameters,
    exchanges: list[tuple[bytes, bytes]],
) -> None:
    answers = iter([answer for _, answer in exchanges])
    wire = joined(address, ours, theirs, lambda _: next(answers))
    wire.client.connect()
    wire.run()
    for request, _ in exchanges:
        wire.client.send_apdu(request)
        wire.run(timeouts=0)
    assert list(zip(wire.requests, wire.answers, strict=True)) == exchanges
    wire.client.disconnect()
    wire.run()
    with pytest.raises(LocalProtocolError, match="while disconnected"):
        wire.client.send_apdu(b"")


def bad_wire(seed: int) -> Callable[[bytes], bytes]:
    """Loses, cuts, spoils, doubles what passes, and adds noise; a fifth of the time each."""
    chance = random.Random(seed)

    def spoil(octets: bytes) -> bytes:
        at = chance.randrange(len(octets))
        match chance.randrange(10):
            case 0:
                return b""
            case 1:
                return octets[:at]
            case 2:
                return (
                    octets[:at] + bytes([octets[at] ^ 1 << chance.randrange(8)]) + octets[at + 1 :]
                )
            case 3:
                return octets + octets
            case 4:
                return chance.randbytes(5) + b"\x7e\xa0\x7e" + octets + chance.randbytes(5)
        return octets

    return spoil


@given(
    seed=st.integers(0, 2**32),
    address=st.sampled_from(ADDRESSES),
    size=st.integers(16, 300),
    exchanges=st.lists(st.tuples(apdus, apdus), min_size=1, max_size=6),
)
def test_over_a_bad_wire_everything_arrives_exactly_once(
    seed: int, address: HdlcAddress, size: int, exchanges: list[tuple[bytes, bytes]]
) -> None:
    answers = iter([answer for _, answer in exchanges])
    both = HdlcParameters(size, size)
    wire = joined(address, both, both, lambda _: next(answers), bad_wire(seed))
    wire.client.connect()
    wire.run()
    assert wire.openings == 1
    for request, _ in exchanges:
        wire.client.send_apdu(request)
        wire.run()
    assert list(zip(wire.requests, wire.answers, strict=True)) == exchanges


def hostile(data: st.DataObject) -> bytes:
    """Random octets, good frames of any kind to the station, and mutated ones."""
    whole = b""
    for _ in range(data.draw(st.integers(0, 8))):
        to = data.draw(st.sampled_from([line.TO_CLIENT, line.TO_SERVER]))
        control = data.draw(st.integers(0, 255))
        body = data.draw(
            st.one_of(
                st.binary(max_size=20),
                st.binary(max_size=20).map(lambda tail: b"\xe6\xe7\x00" + tail),
                st.binary(max_size=20).map(lambda tail: b"\x81\x80" + tail),
            )
        )
        frame = line.frame(to, control, body, segmented=data.draw(st.booleans()))
        if data.draw(st.integers(0, 5)) == 0:
            at = data.draw(st.integers(0, len(frame) - 1))
            frame = frame[:at] + data.draw(st.binary(max_size=3)) + frame[at + 1 :]
        whole += frame
    return whole


@pytest.mark.parametrize(
    "begin",
    [
        line.client_link,
        line.connected_client,
        line.server_link,
        line.connected_server,
    ],
)
@given(data=st.data())
def test_whatever_arrives_ends_in_an_event_a_typed_error_or_need_data(
    begin: Callable[..., HdlcLink], data: st.DataObject
) -> None:
    octets = hostile(data)
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=6).map(sorted))
    asks = begin is line.connected_client and data.draw(st.booleans())

    def outcome(places: list[int]) -> list[object]:
        link = begin()
        if asks:
            link.send_apdu(b"?" * 200)
        told: list[object] = []
        for a, b in zip([0, *places], [*places, len(octets)], strict=True):
            if a == b:
                continue
            link.receive_data(octets[a:b])
            try:
                while (event := link.next_event()) is not NEED_DATA:
                    assert isinstance(event, LinkOpened | ApduReceived | LinkClosed)
                    told.append(event)
            except PeerRefused as refusal:
                told.append(str(refusal))
                return told  # chunks decide what is still unread now
            except RemoteProtocolError as error:
                told.append(str(error))
                return told
        return [*told, link.data_to_send()]

    assert outcome(cuts) == outcome([])


def test_the_table_names_every_state_of_a_role_and_leads_nowhere_else() -> None:
    for role, states in TABLE.items():
        reached = {State.DISCONNECTED}.union(*(steps.values() for steps in states.values()))
        assert reached == set(states), role
        for state in (State.ENDED, State.ERROR):
            assert states[state] == {}
    assert {s for states in TABLE.values() for s in states} == set(State)
    used = {step for states in TABLE.values() for steps in states.values() for step in steps}
    assert used == set(Step)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", Step)
def test_a_step_is_in_the_table_or_refused_by_name(role: Role, state: State, step: Step) -> None:
    if step in TABLE[role].get(state, {}):
        assert after(role, state, step) is TABLE[role][state][step]
    else:
        with pytest.raises(LocalProtocolError, match=f"{step.name.lower()} is not allowed while"):
            after(role, state, step)
