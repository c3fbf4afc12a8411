"""Client and server joined in memory: any APDU, any wire, exactly once."""

import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.hdlc.frame import Frame, FrameType
from gateway.dlms.hdlc.states import TABLE, State, Step, after
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, LinkClosed, LinkOpened, Role
from gateway.errors import LocalProtocolError, PeerRefused, RemoteProtocolError
from tests.links import line

ADDRESSES = [HdlcAddress(1), HdlcAddress(1, 17, 2), HdlcAddress(1, 12345, 4)]
# Retransmissions of a wire that spoils a third of all frames are no hostile meter.
PATIENT = Limits(garbage_octets=10**9, fruitless_frames=10**6)

sizes = st.one_of(st.integers(16, 2030), st.sampled_from([16, 128, 2030]))
windows = st.integers(1, 7)
parameters = st.builds(HdlcParameters, sizes, sizes, windows, windows)
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


class Sendings:
    """Watches a line on which nothing is lost: who sends how much before the turn is passed."""

    def __init__(self, client: HdlcParameters, server: HdlcParameters) -> None:
        self._proposed = {Role.CLIENT: client, Role.SERVER: server}
        self._in_a_row = 0
        self._numbers = {role: itertools.cycle(range(8)) for role in Role}
        self.repeated = 0

    def take(self, octets: bytes) -> bytes:
        """Check one frame."""
        (frame,) = line.frames_of([octets])
        client = line.CLIENT.encode()
        sender = Role.CLIENT if frame.source == client else Role.SERVER
        if frame.type is FrameType.I:
            self._check(frame, sender)
        self._in_a_row = 0 if frame.poll_final else self._in_a_row + 1
        return octets

    def _check(self, frame: Frame, sender: Role) -> None:
        receiver = Role.SERVER if sender is Role.CLIENT else Role.CLIENT
        own, other = self._proposed[sender], self._proposed[receiver]
        size = min(own.max_information_transmit, other.max_information_receive)
        window = min(own.window_transmit, other.window_receive)
        assert len(frame.information) <= size
        assert self._in_a_row < window
        # The last of a window passes the turn, and one that has room for more does not.
        assert frame.poll_final == (not frame.segmented or self._in_a_row + 1 == window)
        self.repeated += frame.send_sequence != next(self._numbers[sender])


@given(
    address=st.sampled_from(ADDRESSES),
    ours=parameters,
    theirs=parameters,
    exchanges=st.lists(st.tuples(apdus, apdus), min_size=1, max_size=10),
)
def test_any_apdu_passes_both_ways(
    address: HdlcAddress,
    ours: HdlcParameters,
    theirs: HdlcParameters,
    exchanges: list[tuple[bytes, bytes]],
) -> None:
    answers = iter([answer for _, answer in exchanges])
    sent = Sendings(ours, theirs)
    wire = joined(address, ours, theirs, lambda _: next(answers), sent.take)
    wire.client.connect()
    wire.run()
    for request, _ in exchanges:
        wire.client.send_apdu(request)
        wire.run(timeouts=0)
    assert list(zip(wire.requests, wire.answers, strict=True)) == exchanges
    assert sent.repeated == 0
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


def carried(wire: line.Line, exchanges: list[tuple[bytes, bytes]]) -> None:
    """Connect, and ask for each answer; asserts that all of it arrives exactly once, in order."""
    wire.client.connect()
    wire.run()
    assert wire.openings == 1
    for request, _ in exchanges:
        wire.client.send_apdu(request)
        wire.run()
    assert list(zip(wire.requests, wire.answers, strict=True)) == exchanges


@given(
    seed=st.integers(0, 2**32),
    address=st.sampled_from(ADDRESSES),
    ours=parameters,
    theirs=parameters,
    exchanges=st.lists(st.tuples(apdus, apdus), min_size=1, max_size=6),
)
def test_over_a_bad_wire_everything_arrives_exactly_once(
    seed: int,
    address: HdlcAddress,
    ours: HdlcParameters,
    theirs: HdlcParameters,
    exchanges: list[tuple[bytes, bytes]],
) -> None:
    answers = iter([answer for _, answer in exchanges])
    carried(joined(address, ours, theirs, lambda _: next(answers), bad_wire(seed)), exchanges)


@pytest.mark.parametrize("size", [32, 300])
@pytest.mark.parametrize("upwards", range(1, 8))
@pytest.mark.parametrize("downwards", range(1, 8))
def test_over_a_bad_wire_every_pair_of_windows_delivers(
    upwards: int, downwards: int, size: int
) -> None:
    ours = HdlcParameters(size, size, upwards, downwards)
    theirs = HdlcParameters(size, size, downwards, upwards)
    # Requests and answers each longer than two windows, so that numbers come round.
    exchanges = [(bytes([n]) * 17 * size, bytes([n]) * 18 * size) for n in range(3)]
    for seed in range(3):
        answers = iter([answer for _, answer in exchanges])
        answer = partial(lambda left, _: next(left), answers)
        carried(joined(ADDRESSES[1], ours, theirs, answer, bad_wire(seed)), exchanges)


def counted(spoil: Callable[[bytes], bytes], most: int) -> Callable[[bytes], bytes]:
    """The same wire, and a failure when more frames than ``most`` are sent over it."""
    frames = iter(range(most))

    def take(octets: bytes) -> bytes:
        assert next(frames, None) is not None, f"more than {most} frames"
        return spoil(octets)

    return take


@given(ours=parameters, theirs=parameters, octets=st.integers(0, 5000))
def test_a_wire_that_doubles_every_frame_makes_traffic_a_few_times_as_much(
    ours: HdlcParameters, theirs: HdlcParameters, octets: int
) -> None:
    """Each copy of a poll is answered; answers to copies must not breed further polls."""
    exchanges = [(bytes(octets), bytes(octets))]
    agreed = ours.agreed_with(theirs)
    smallest = min(agreed.max_information_transmit, agreed.max_information_receive)
    frames = 2 * (octets // smallest + 4)  # segments and acknowledgements
    spoil = counted(lambda sent: sent + sent, 8 * frames)
    carried(joined(ADDRESSES[1], ours, theirs, lambda _: bytes(octets), spoil), exchanges)


@given(
    seed=st.integers(0, 2**32),
    ours=parameters,
    theirs=parameters,
    lost=st.integers(0, 100),
    exchanges=st.lists(st.tuples(apdus, apdus), min_size=1, max_size=3),
)
def test_however_bad_the_wire_an_exchange_ends_whole_or_with_a_typed_error(
    seed: int,
    ours: HdlcParameters,
    theirs: HdlcParameters,
    lost: int,
    exchanges: list[tuple[bytes, bytes]],
) -> None:
    chance, worn = random.Random(seed), bad_wire(seed)

    def spoil(octets: bytes) -> bytes:
        return b"" if chance.randrange(100) < lost else worn(octets)

    answers = iter([answer for _, answer in exchanges])
    # What a driver allows: three time-outs in a row, and the limits of a real session.
    strict = Limits(fruitless_frames=64, garbage_octets=16_384)
    wire = line.Line(
        HdlcLink(
            Role.CLIENT, client=line.CLIENT, server=line.SERVER, parameters=ours, limits=strict
        ),
        HdlcLink(Role.SERVER, client=None, server=line.SERVER, parameters=theirs, limits=strict),
        lambda _: next(answers),
        counted(spoil, 100_000),
    )
    with suppress(RemoteProtocolError, PeerRefused):
        wire.client.connect()
        wire.run(timeouts=3)
        for done, (request, _) in enumerate(exchanges):
            if wire.openings + len(wire.answers) <= done:
                break  # silence: the driver gives up
            wire.client.send_apdu(request)
            wire.run(timeouts=3)
    assert wire.requests == [request for request, _ in exchanges[: len(wire.requests)]]
    assert wire.answers == [answer for _, answer in exchanges[: len(wire.answers)]]


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


WINDOWS = HdlcParameters.both_ways(32, 7)
windowed_client = partial(line.opened, Role.CLIENT, WINDOWS)
windowed_server = partial(line.opened, Role.SERVER, WINDOWS)


@pytest.mark.parametrize(
    "begin",
    [
        line.client_link,
        line.connected_client,
        line.server_link,
        line.connected_server,
        windowed_client,
        windowed_server,
    ],
)
@given(data=st.data())
def test_whatever_arrives_ends_in_an_event_a_typed_error_or_need_data(
    begin: Callable[..., HdlcLink], data: st.DataObject
) -> None:
    octets = hostile(data)
    cuts = data.draw(st.lists(st.integers(0, len(octets)), max_size=6).map(sorted))
    asks = begin in (line.connected_client, windowed_client) and data.draw(st.booleans())

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
