"""Negotiation of information field and window."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.hdlc import HdlcParameters
from gateway.errors import DecodeError, UsageError

FIELDS = [
    (HdlcParameters(154, 154, 1, 1), "818012 05019a 06019a 070400000001 080400000001"),
    (HdlcParameters(), "818012 050180 060180 070400000001 080400000001"),
    (HdlcParameters(2030, 256, 7, 3), "818014 050207ee 06020100 070400000007 080400000003"),
]


@pytest.mark.parametrize(("parameters", "text"), FIELDS)
def test_parameters_are_written_and_read(parameters: HdlcParameters, text: str) -> None:
    assert parameters.encode() == bytes.fromhex(text)
    assert HdlcParameters.decode(bytes.fromhex(text)) == parameters


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", HdlcParameters()),
        ("818000", HdlcParameters()),
        ("818003 060140", HdlcParameters(max_information_receive=64)),
        ("818009 070101 080101 0501f8", HdlcParameters(max_information_transmit=248)),
        ("818006 0502ffff 0901", None),
        ("818007 0504ffffffff 7e", None),
        ("818006 05040000ffff", HdlcParameters(max_information_transmit=2030)),
        ("818003 0701ff", HdlcParameters(window_transmit=7)),
        ("818006 cc0100 060140", HdlcParameters(max_information_receive=64)),
        ("818003 060140 f00301020304", HdlcParameters(max_information_receive=64)),
    ],
)
def test_other_ways_to_write_parameters(text: str, parameters: HdlcParameters | None) -> None:
    if parameters is None:
        with pytest.raises(DecodeError, match="cut short"):
            HdlcParameters.decode(bytes.fromhex(text))
    else:
        assert HdlcParameters.decode(bytes.fromhex(text)) == parameters


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("828000", "81 80"),
        ("81", "81 80"),
        ("8180", "longer than its field"),
        ("818005 050180", "longer than its field"),
        ("818003 05010f", "transmit 0f: 16 to 2030"),
        ("818002 0600", "receive without value"),
        ("818007 05050000000080", "1 to 4 octets"),
        ("818003 080100", "window receive 00: 1 to 7"),
    ],
)
def test_broken_parameters_say_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        HdlcParameters.decode(bytes.fromhex(text))


def test_each_direction_gets_the_smaller_of_what_one_sends_and_the_other_takes() -> None:
    ours = HdlcParameters(2030, 200, 1, 1)
    theirs = HdlcParameters(128, 512, 7, 7)
    assert ours.agreed_with(theirs) == HdlcParameters(512, 128, 1, 1)
    assert theirs.agreed_with(ours) == HdlcParameters(128, 512, 1, 1)


@pytest.mark.parametrize("size", [0, 15, 2031])
def test_an_information_field_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="16 to 2030"):
        HdlcParameters(max_information_receive=size)


@pytest.mark.parametrize("window", [0, 8])
def test_a_window_out_of_range_is_refused(window: int) -> None:
    with pytest.raises(UsageError, match="1 to 7"):
        HdlcParameters(window_transmit=window)


sizes, windows = st.integers(16, 2030), st.integers(1, 7)


@given(st.builds(HdlcParameters, sizes, sizes, windows, windows))
def test_parameters_survive_the_way_there_and_back(parameters: HdlcParameters) -> None:
    assert HdlcParameters.decode(parameters.encode()) == parameters


@given(st.binary(max_size=40).map(lambda tail: b"\x81\x80" + tail))
def test_random_parameters_are_read_or_refused(octets: bytes) -> None:
    with suppress(DecodeError):
        assert isinstance(HdlcParameters.decode(octets), HdlcParameters)
