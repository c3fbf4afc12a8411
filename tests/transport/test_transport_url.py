"""Transport URLs: what they mean, and what is said about those that mean nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.transport import open_transport
from gateway.transport.optical import OpticalTransport
from gateway.transport.serial import SerialTransport
from gateway.transport.tcp import TcpTransport
from gateway.transport.udp import UdpTransport
from gateway.url import (
    BAUD_RATES,
    CharacterFormat,
    SignOnUse,
    TransportKind,
    TransportUrl,
    parse_url,
)

SERIAL, TCP, HDLC_TCP = TransportKind.SERIAL, TransportKind.TCP, TransportKind.HDLC_TCP
OPTICAL, UDP = TransportKind.OPTICAL, TransportKind.UDP

MEANINGS = [
    (
        "serial:///dev/ttyUSB0?baud=9600&server=17",
        TransportUrl(kind=SERIAL, device="/dev/ttyUSB0", baud=9600, server=17),
    ),
    (
        "serial:///dev/serial/by-id/usb-FTDI-if00?mode=7E1&baud=300",
        TransportUrl(
            kind=SERIAL,
            device="/dev/serial/by-id/usb-FTDI-if00",
            baud=300,
            characters=CharacterFormat.SEVEN_EVEN_ONE,
        ),
    ),
    ("serial:///dev/ttyS1", TransportUrl(kind=SERIAL, device="/dev/ttyS1")),
    ("tcp://10.0.0.7:4059", TransportUrl(kind=TCP, host="10.0.0.7", port=4059)),
    ("tcp://meter.local", TransportUrl(kind=TCP, host="meter.local", port=4059)),
    ("tcp://[fd00::1]:4060?server=1", TransportUrl(kind=TCP, host="fd00::1", port=4060, server=1)),
    ("hdlc+tcp://10.0.0.7:4001", TransportUrl(kind=HDLC_TCP, host="10.0.0.7", port=4001)),
    ("udp://10.0.0.7", TransportUrl(kind=UDP, host="10.0.0.7", port=4059)),
    ("udp://[fd00::1]:4060?server=1", TransportUrl(kind=UDP, host="fd00::1", port=4060, server=1)),
    ("optical:///dev/ttyUSB0", TransportUrl(kind=OPTICAL, device="/dev/ttyUSB0")),
    (
        "optical:///dev/ttyS1?baud=19200&sign_on=always&address=00012345&wake_up=yes&server=17",
        TransportUrl(
            kind=OPTICAL,
            device="/dev/ttyS1",
            baud=19200,
            sign_on=SignOnUse.ALWAYS,
            address="00012345",
            wake_up=True,
            server=17,
        ),
    ),
]


@pytest.mark.parametrize(("text", "url"), MEANINGS)
def test_a_url_means_one_wire(text: str, url: TransportUrl) -> None:
    assert parse_url(text) == url
    assert parse_url(str(url)) == url


REFUSED = [
    ("", "not a transport URL"),
    ("/dev/ttyUSB0", "not a transport URL"),
    ("dtls://10.0.0.7:4059", "not a transport URL"),
    ("udp://10.0.0.7/meter", "has no path"),
    ("udp://10.0.0.7?baud=9600", "unknown URL key"),
    ("optical://ttyUSB0", "names a device"),
    ("optical:///dev/ttyUSB0?mode=7E1", "unknown URL key"),
    ("optical:///dev/ttyUSB0?sign_on=maybe", "allowed are auto, always, never"),
    ("optical:///dev/ttyUSB0?wake_up=1", "allowed are yes, no"),
    ("optical:///dev/ttyUSB0?address=12/3", "letters, digits and spaces"),
    ("optical:///dev/ttyUSB0?address=" + "9" * 33, "up to 32"),
    ("serial:///dev/ttyUSB0?sign_on=auto", "unknown URL key"),
    ("modbus-tcp://host:502?unit=1", "not supported yet"),
    ("modbus-rtu:///dev/ttyUSB0?unit=1", "not supported yet"),
    ("serial://ttyUSB0", "names a device"),
    ("serial:///", "names a device"),
    ("serial:///dev/ttyUSB0?baud=9601", "allowed are 300, "),
    ("serial:///dev/ttyUSB0?baud=fast", "whole number"),
    ("serial:///dev/ttyUSB0?baud=" + "9" * 5000, "whole number"),
    ("serial:///dev/ttyUSB0?baud=\u0669\u0666", "whole number"),
    ("serial:///dev/ttyUSB0?boud=9600", "did you mean 'baud'"),
    ("serial:///dev/ttyUSB0?mode=8E1", "allowed are 8N1, 7E1"),
    ("serial:///dev/ttyUSB0?server=16384", "0 to 16383"),
    ("serial:///dev/ttyUSB0?server=1&server=2", "stands twice"),
    ("serial:///dev/ttyUSB0?server", "key=value"),
    ("tcp://", "names a host"),
    ("tcp://:4059", "names a host"),
    ("tcp://host:99999", "not a URL"),
    ("tcp://host:0", "from 1 to 65535"),
    ("tcp://[fd00::1:4060", "not a URL"),
    ("tcp://host/meter", "has no path"),
    ("tcp://host#a", "no #fragment"),
    ("tcp://host?baud=9600", "unknown URL key"),
    ("hdlc+tcp://10.0.0.7", "names a port"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_a_url_that_means_nothing_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(text)
    assert says in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_url("tcp://reader:hunter2@10.0.0.7:4059")
    assert "hunter2" not in str(caught.value)


@given(
    st.text(max_size=60)
    | st.sampled_from([text for text, _ in MEANINGS]).flatmap(
        lambda text: st.integers(0, len(text)).flatmap(
            lambda cut: st.text(max_size=3).map(lambda junk: text[:cut] + junk + text[cut:])
        )
    )
)
@settings(max_examples=200)
def test_no_text_escapes_as_another_error(text: str) -> None:
    try:
        url = parse_url(text)
    except UsageError:
        return
    assert url.baud in BAUD_RATES
    assert bool(url.device) != bool(url.host)


OPENED = {
    SERIAL: SerialTransport,
    OPTICAL: OpticalTransport,
    TCP: TcpTransport,
    HDLC_TCP: TcpTransport,
    UDP: UdpTransport,
}


@pytest.mark.parametrize(("text", "url"), MEANINGS)
def test_a_url_opens_the_transport_of_its_kind(text: str, url: TransportUrl) -> None:
    assert type(open_transport(url)) is OPENED[url.kind]


def test_two_urls_of_one_device_are_one_wire() -> None:
    assert parse_url("serial:///dev/ttyS1?server=1").wire == parse_url("serial:///dev/ttyS1").wire
    assert parse_url("hdlc+tcp://h:4059").wire == parse_url("tcp://h").wire
