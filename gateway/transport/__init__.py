"""Transports: octets in, octets out, over TCP, serial lines and memory; one contract for all."""

from __future__ import annotations

from gateway.transport.port import Transport
from gateway.transport.serial import SerialTransport
from gateway.transport.tcp import TcpTransport
from gateway.url import TransportKind, TransportUrl

__all__ = ["Transport", "open_transport"]


def open_transport(url: TransportUrl) -> Transport:
    """The transport of a URL, not yet connected."""
    if url.kind is TransportKind.SERIAL:
        return SerialTransport(url.device, baud=url.baud, characters=url.characters)
    return TcpTransport(url.host, url.port)
