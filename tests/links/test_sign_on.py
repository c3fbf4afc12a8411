"""Sign-on of IEC 62056-21 mode E: one table, its times, and each way in which it does not work."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dlms.sign_on import (
    BAUD_OF,
    START,
    TABLE,
    Acknowledgement,
    Identification,
    Line,
    SignOn,
    SignOnTiming,
    State,
    Step,
)
from gateway.errors import (
    DecodeError,
    GatewayError,
    LocalProtocolError,
    NoAnswer,
    PeerRefused,
    RemoteProtocolError,
)
from gateway.url import CharacterFormat
from tests.links import line as cut

REQUEST = b"/?!\r\n"
# An identification that a real meter sent (a three-phase meter with a serial server, 2021).
NORAX = b"/APA5\\2NORAX30\r\n"
SELECTION = b"\x06252\r\n"
FAST = Line(9600, CharacterFormat.EIGHT_NONE_ONE)
T = SignOnTiming()


def begun(**changes: object) -> SignOn:
    made = SignOn(now_s=100.0, **changes)  # type: ignore[arg-type]
    assert made.line == START
    return made


def identified(octets: bytes = NORAX, **changes: object) -> SignOn:
    """A machine that has sent its acknowledgement."""
    machine = begun(**changes)
    assert machine.data_to_send() == REQUEST
    machine.receive_data(octets, 101.0)
    assert machine.data_to_send() == b"", "not before the reaction time"
    machine.pass_time(machine.due_s)
    return machine


def to_the_end(machine: SignOn) -> float:
    """Let time pass; when HDLC may begin."""
    while not machine.is_ready:
        machine.pass_time(machine.due_s)
    return machine.due_s


def test_a_meter_that_confirms_is_ready_at_its_speed() -> None:
    machine = identified()
    assert machine.data_to_send() == SELECTION
    assert machine.line == START, "the acknowledgement still goes at 300 baud"
    machine.receive_data(SELECTION, 102.0)
    assert machine.state is State.SETTLING
    assert machine.line == FAST
    machine.pass_time(102.0 + T.settle_s)
    assert machine.is_ready
    assert machine.identification == Identification("APA", "5", "\\2NORAX30")


def test_a_meter_that_does_not_confirm_is_ready_after_the_answer_time() -> None:
    machine = identified()
    sent_s = machine.due_s
    assert machine.data_to_send() == SELECTION
    through_s = sent_s - T.answer_s
    machine.pass_time(machine.due_s)
    assert machine.line == FAST
    assert to_the_end(machine) == pytest.approx(through_s + T.answer_s + T.settle_s, abs=1e-9)


def test_the_times_are_those_of_the_standard() -> None:
    machine = begun()
    request_s = 5 * 10 / 300
    assert machine.due_s == pytest.approx(100 + request_s + 1.5)
    machine.receive_data(NORAX, 101.0)
    assert 0.2 <= machine.due_s - 101.0 <= 1.5
    reacted_s = machine.due_s
    machine.pass_time(reacted_s)
    assert machine.due_s == pytest.approx(reacted_s + 6 * 10 / 300 + 1.5)
    assert 2.1 <= T.wake_up_s <= 2.3
    assert 1.5 <= T.wake_up_rest_s <= 1.7


def test_a_meter_that_sleeps_is_woken_first() -> None:
    machine = begun(wake_up=True)
    zeros = machine.data_to_send()
    assert set(zeros) == {0}
    assert 2.1 <= len(zeros) * 10 / 300 <= 2.3
    woken_s = machine.due_s
    assert woken_s == pytest.approx(100 + len(zeros) * 10 / 300)
    machine.pass_time(woken_s)
    assert machine.data_to_send() == b""
    assert machine.due_s == pytest.approx(woken_s + T.wake_up_rest_s)
    machine.receive_data(b"\x00\x00", woken_s + 1)
    machine.pass_time(machine.due_s)
    assert machine.data_to_send() == REQUEST


def test_a_device_address_is_asked_for() -> None:
    assert begun(address="00012345").data_to_send() == b"/?00012345!\r\n"


def test_silence_is_asked_twice_and_then_told() -> None:
    machine = begun()
    assert machine.data_to_send() == REQUEST
    machine.pass_time(machine.due_s)
    assert machine.data_to_send() == REQUEST
    with pytest.raises(NoAnswer, match="2 times asked"):
        machine.pass_time(machine.due_s)


@pytest.mark.parametrize("proposed", BAUD_OF)
@pytest.mark.parametrize("highest", [9600, 2400])
def test_the_meters_speed_is_taken_unless_the_line_is_slower(proposed: str, highest: int) -> None:
    machine = identified(b"/XYZ" + proposed.encode() + b"abc\r\n", max_baud=highest)
    agreed = BAUD_OF[proposed] if BAUD_OF[proposed] <= highest else 300
    chosen = Acknowledgement.decode(machine.data_to_send().removesuffix(b"\r\n"))
    assert chosen.is_mode_e
    assert BAUD_OF[chosen.baud_id] == agreed
    to_the_end(machine)
    assert machine.line == Line(agreed, CharacterFormat.EIGHT_NONE_ONE)


def after_selection(answer: bytes) -> None:
    identified().receive_data(answer, 102.0)


def after_request(answer: bytes) -> None:
    machine = begun()
    machine.receive_data(answer, 101.0)
    to_the_end(machine)


FAULTS: list[tuple[Callable[[bytes], None], bytes, type[GatewayError], str]] = [
    (after_request, b"ELECTRICITY METER\r\n", DecodeError, "19 characters came, but no ident"),
    (after_request, b"\x7e\xa0\x1e\x21\x93", DecodeError, "begin 7e a0 1e 21 93"),
    (after_request, b"/APA5\\2NO", DecodeError, "no identification"),
    (after_request, b"/AP", DecodeError, "no identification"),
    (after_request, b"/APA7x\r\n", RemoteProtocolError, "proposes speed '7'"),
    (after_request, b"/APAEx\r\n", PeerRefused, "mode A or B"),
    (after_request, b"/APA x\r\n", DecodeError, "no identification"),
    (after_selection, b"\x021-0:1.8.1(01.329*kWh)", PeerRefused, "answered by a readout"),
    (after_selection, b"\x01P0\x02()\x03`", PeerRefused, "answered by programming mode"),
    (after_selection, b"\x15", PeerRefused, "answered by a no"),
    (after_selection, b"\x06052\r\n", PeerRefused, "another choice: 06 30 35 32 0d 0a"),
]


@pytest.mark.parametrize(("when", "answer", "kind", "said"), FAULTS)
def test_each_way_to_fail_has_its_own_error(
    when: Callable[[bytes], None], answer: bytes, kind: type[GatewayError], said: str
) -> None:
    with pytest.raises(kind, match=said.replace("(", r"\(")) as caught:
        when(answer)
    assert type(caught.value) is kind


def test_a_confirmation_without_its_end_is_no_confirmation() -> None:
    machine = identified()
    machine.receive_data(SELECTION[:3], 102.0)
    with pytest.raises(DecodeError, match="without its end: 06 32 35"):
        machine.pass_time(machine.due_s)


def test_a_confirmation_at_the_new_speed_is_noise_that_harms_nothing() -> None:
    machine = identified()
    machine.receive_data(b"\xe0\x00\x98\xff", 102.0)
    to_the_end(machine)
    assert machine.line == FAST


def test_a_babbler_cannot_hold_the_line() -> None:
    machine = begun()
    for number in range(256):
        machine.receive_data(b"x", 101.0 + number)
    with pytest.raises(DecodeError):
        machine.receive_data(b"x", 400.0)


@pytest.mark.parametrize("before", [b"", b"\x00\x7f", REQUEST, b"/?", b"noise\r\n", b"/APA\r\n"])
def test_noise_and_an_echo_before_the_identification_do_no_harm(before: bytes) -> None:
    for chunks in cut.chunkings(before + NORAX):
        machine = begun()
        for chunk in chunks:
            machine.receive_data(chunk, 101.0)
        assert machine.state is State.REACTING


def test_every_chunking_of_a_whole_exchange_ends_ready() -> None:
    for answers in zip(cut.chunkings(NORAX), cut.chunkings(SELECTION), strict=False):
        machine = begun()
        for chunk in answers[0]:
            machine.receive_data(chunk, 101.0)
        machine.pass_time(machine.due_s)
        for chunk in answers[1]:
            machine.receive_data(chunk, 102.0)
        assert machine.state is State.SETTLING


@given(st.lists(st.one_of(st.binary(max_size=30), st.none()), max_size=60), st.booleans())
@settings(max_examples=200)
def test_whatever_comes_it_ends_ready_or_with_a_typed_error(
    happenings: list[bytes | None], asleep: bool
) -> None:
    machine = begun(wake_up=asleep)
    now_s = 100.0
    try:
        for data in happenings:
            if data is None:
                now_s = max(now_s, machine.due_s)
                machine.pass_time(now_s)
            else:
                now_s += 0.1
                machine.receive_data(data, now_s)
        assert machine.due_s <= now_s + 4
        to_the_end(machine)
    except (NoAnswer, PeerRefused, RemoteProtocolError):
        return
    except LocalProtocolError:
        assert machine.is_ready, "only time after the end is our own mistake"
        return
    assert machine.line.characters is CharacterFormat.EIGHT_NONE_ONE


def test_every_state_is_reached_and_every_step_taken() -> None:
    reached = {State.IDLE} | {to for steps in TABLE.values() for to in steps.values()}
    assert reached == set(State)
    assert {step for steps in TABLE.values() for step in steps} == set(Step)


@given(
    st.from_regex(r"[A-Za-z]{3}", fullmatch=True),
    st.sampled_from(list(BAUD_OF)),
    st.from_regex(r"[A-Za-z0-9.\\ -]{0,16}", fullmatch=True),
)
def test_messages_there_and_back(maker: str, baud_id: str, text: str) -> None:
    found = Identification(maker, baud_id, text)
    assert Identification.decode(found.encode().removesuffix(b"\r\n")) == found
    chosen = Acknowledgement("2", baud_id, "2")
    assert Acknowledgement.decode(chosen.encode().removesuffix(b"\r\n")) == chosen
