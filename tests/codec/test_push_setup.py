"""Push setup values: octets as the Blue Book has them, words as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.association.requests import Answer, Get, Set
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.push_setup import (
    PushAttribute,
    destination_value,
    objects_value,
    read_push_setup,
    retries_value,
    seconds_value,
    shown,
    windows_value,
    write_push_setup,
)
from gateway.errors import PeerRefused, RemoteProtocolError, UsageError
from gateway.model import Obis

SETUP = Obis.parse("0-4:25.9.0*255")
OCTETS = [
    (
        PushAttribute.OBJECTS,
        objects_value(["1/0-0:96.1.2*255/2", "8/0-0:1.0.0*255/2"]),
        "0102 020412000109060000600102FF0F02120000 020412000809060000010000FF0F02120000",
        ["1/0-0:96.1.2*255/2", "8/0-0:1.0.0*255/2"],
    ),
    (
        PushAttribute.DESTINATION,
        destination_value("[2001:db8::1]:4059"),
        "02 03 16 00 09 12 5B323030313A6462383A3A315D3A34303539 16 00",
        "[2001:db8::1]:4059",
    ),
    (
        PushAttribute.WINDOWS,
        windows_value(["18:00-20:30"]),
        "01 01 02 02 090C FFFFFFFFFF 12000000 8000FF 090C FFFFFFFFFF 141E0000 8000FF",
        ["18:00-20:30"],
    ),
    (PushAttribute.WINDOWS, windows_value([]), "01 00", []),
    (PushAttribute.RANDOMISATION_S, seconds_value(300), "12 012C", 300),
    (PushAttribute.RETRIES, retries_value(3), "11 03", 3),
]


@pytest.mark.parametrize(("attribute", "value", "octets", "words"), OCTETS)
def test_words_become_these_octets_and_octets_these_words(attribute, value, octets, words) -> None:
    assert axdr.encode(value) == bytes.fromhex(octets)
    assert shown(attribute, axdr.decode(bytes.fromhex(octets))) == words


@pytest.mark.parametrize(
    "make",
    [
        lambda: objects_value([]),
        lambda: objects_value(["1/0-0:96.1.2*255/2"] * 65),
        lambda: objects_value(["0-0:96.1.2*255"]),
        lambda: objects_value(["65536/0-0:96.1.2*255/2"]),
        lambda: objects_value(["1/0-0:96.1.2*255/200"]),
        lambda: destination_value("somewhere"),
        lambda: destination_value("host:0"),
        lambda: destination_value("host:65536"),
        lambda: destination_value("two words:4059"),
        lambda: windows_value(["24:00-25:00"]),
        lambda: windows_value(["18:00"]),
        lambda: windows_value(["18:00-20:00"] * 9),
        lambda: seconds_value(65536),
        lambda: retries_value(-1),
    ],
)
def test_what_no_push_setup_can_hold_is_refused_before_a_meter_is_asked(make) -> None:
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("attribute", PushAttribute)
@pytest.mark.parametrize("octets", ["00", "02 00", "01 01 12 0001", "09 02 0102"])
def test_another_shape_is_shown_as_its_octets(attribute: PushAttribute, octets: str) -> None:
    data = axdr.decode(bytes.fromhex(octets))
    assert shown(attribute, data) == bytes.fromhex(octets).hex()
    assert shown(attribute, None) is None


class Setup:
    """A push setup object; ``stubborn`` ones take a write and keep what they have."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.held = {attribute: axdr.encode(value) for attribute, value, _, _ in OCTETS}
        self.held[PushAttribute.REPETITION_DELAY_S] = b"\x02\x00"
        self.stubborn = stubborn
        self.hidden: set[int] = set()
        self.writes: list[int] = []

    def run(self, procedure):
        try:
            request = next(procedure)
            while True:
                assert (request.class_id, request.obis) == (40, SETUP)
                if request.attribute in self.hidden:
                    request = procedure.throw(PeerRefused("GET", "read-write-denied"))
                    continue
                octets = b""
                match request:
                    case Get():
                        octets = self.held[PushAttribute(request.attribute)]
                    case Set():
                        self.writes.append(request.attribute)
                        if not self.stubborn:
                            self.held[PushAttribute(request.attribute)] = request.data
                request = procedure.send(Answer(octets))
        except StopIteration as done:
            return done.value


def test_only_what_differs_is_written_the_destination_last() -> None:
    setup = Setup()
    wanted = {
        PushAttribute.DESTINATION: destination_value("192.0.2.1:4059"),
        PushAttribute.RETRIES: retries_value(3),
        PushAttribute.RANDOMISATION_S: seconds_value(60),
    }
    changes = setup.run(read_push_setup(SETUP, wanted))
    assert setup.writes == []
    after = setup.run(write_push_setup(SETUP, changes))
    assert setup.writes == [5, 3]
    assert not any(change.is_needed for change in after)
    assert setup.run(write_push_setup(SETUP, after)) == after
    assert setup.writes == [5, 3]


def test_a_write_that_changed_nothing_is_an_error() -> None:
    setup = Setup(stubborn=True)
    changes = setup.run(read_push_setup(SETUP, {PushAttribute.RETRIES: retries_value(9)}))
    with pytest.raises(RemoteProtocolError, match="retries"):
        setup.run(write_push_setup(SETUP, changes))


def test_an_attribute_that_is_hidden_is_unknown_and_a_setup_that_is_not_there_refused() -> None:
    setup = Setup()
    setup.hidden = {7}
    changes = setup.run(read_push_setup(SETUP, {}))
    assert [change.attribute for change in changes if change.before is None] == [7]
    setup.hidden = set(PushAttribute)
    with pytest.raises(PeerRefused):
        setup.run(read_push_setup(SETUP, {}))


@given(st.lists(st.tuples(*[st.integers(0, 23), st.integers(0, 59)] * 2), max_size=8))
def test_every_window_comes_back_as_it_was_written(windows) -> None:
    words = [f"{a:02}:{b:02}-{c:02}:{d:02}" for a, b, c, d in windows]
    held = axdr.decode(axdr.encode(windows_value(words)))
    assert shown(PushAttribute.WINDOWS, held) == words
    assert held.tag == Tag.ARRAY
    assert isinstance(held, Data)
