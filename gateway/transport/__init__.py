"""Transports: octets in, octets out, over networks, serial lines and memory; one contract."""

from __future__ import annotations

from gateway.transport.opening_pace import OpeningPace
from gateway.transport.optical import OpticalTransport
from gateway.transport.port import Transport
from gateway.transport.serial import SerialTransport
from gateway.transport.tcp import TcpTransport
from gateway.transport.udp import UdpTransport
from gateway.url import TransportKind, TransportUrl

__all__ = ["OpeningPace", "Transport", "open_transport"]


def open_transport(url: TransportUrl, pace: OpeningPace | None = None) -> Transport:
    """The transport of a URL, not yet connected; TCP connections are opened at ``pace``."""
    if url.kind is TransportKind.SERIAL:
        return SerialTransport(url.device, baud=url.baud, characters=url.characters)
    if url.kind is TransportKind.OPTICAL:
        return OpticalTransport(
            url.device,
            baud=url.baud,
            sign_on=url.sign_on,
            address=url.address,
            wake_up=url.wake_up,
        )
    if url.kind is TransportKind.UDP:
        return UdpTransport(url.host, url.port)
    return TcpTransport(url.host, url.port, pace=pace)
