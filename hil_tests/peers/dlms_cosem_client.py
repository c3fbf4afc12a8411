"""Reads a meter with dlms-cosem and prints what it read as one JSON document.

A second peer, for figures to compare with: run it with ``.venv-peers/bin/python`` and give it the
secrets on standard input, as for the gurux-dlms client. It knows no authentication, LLS and GMAC,
and ciphers with general-glo-ciphering only.

dlms-cosem 21.3.2 never returns from an HDLC frame whose checksum ends in 0x7E, nor from a UA
without information field, nor when the peer closes the connection. Each session therefore runs
under a watchdog; one that it ends is counted in ``hung`` and its CPU time left out.

Operations, separated by commas; instants are UTC epoch seconds::

    clock    register:OBIS    get:CLASS:OBIS:ATTRIBUTE    block_range:FROM:TO
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from dlms_cosem import cosem, enumerations
from dlms_cosem.clients.blocking_tcp_transport import BlockingTcpTransport
from dlms_cosem.clients.dlms_client import DlmsClient
from dlms_cosem.clients.hdlc_transport import SerialHdlcTransport
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.hdlc import frames
from dlms_cosem.utils import parse_as_dlms_data

AUTHENTICATIONS = {
    "none": enumerations.AuthenticationMechanism.NONE,
    "low": enumerations.AuthenticationMechanism.LLS,
    "gmac": enumerations.AuthenticationMechanism.HLS_GMAC,
}


class Hung(BaseException):
    """The watchdog rang. Not an Exception, so that no handler in the library swallows it."""


class SocketPort:
    """A TCP connection behind the three calls that the library makes on a serial port."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def write(self, octets: bytes) -> None:
        """Send all of it."""
        self._connection.sendall(octets)

    def read_until(self, mark: bytes) -> bytes:
        """Octets up to and including ``mark``."""
        while (end := self._buffer.find(mark)) < 0:
            octets = self._connection.recv(65536)
            if not octets:
                raise ConnectionError("the meter closed the connection")
            self._buffer += octets
        found = bytes(self._buffer[: end + len(mark)])
        del self._buffer[: end + len(mark)]
        return found

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Session:
    """One connection to one meter: open, operations, close."""

    def __init__(self, options: argparse.Namespace, secrets: dict[str, Any]) -> None:
        self.options = options
        self.transport, self.port = _transport(options)
        password = secrets.get("lls_password", "").encode() or None
        ciphered = options.security == "both"
        self.client = DlmsClient(
            client_logical_address=options.client,
            server_logical_address=options.server,
            io_interface=self.transport,
            authentication_method=AUTHENTICATIONS[options.auth],
            password=password if options.auth == "low" else None,
            encryption_key=bytes.fromhex(secrets["guek"]) if ciphered else None,
            authentication_key=bytes.fromhex(secrets["gak"]) if ciphered else None,
            client_system_title=bytes.fromhex(secrets.get("client_system_title", "")) or None,
            client_initial_invocation_counter=secrets.get("invocation_counter", 1),
        )

    def open(self) -> None:
        """SNRM on HDLC, AARQ, and the two passes of GMAC."""
        self.client.connect()
        self.client.associate()

    def close(self) -> None:
        """RLRQ and DISC."""
        if self.options.release:
            self.client.release_association()
        if self.port is None:
            self.client.disconnect()
        else:
            self._disconnect_hdlc(self.port)

    def _disconnect_hdlc(self, port: SocketPort) -> None:
        # The library takes every UA to have an information field, so it would wait for ever for
        # the plain one that answers DISC: any frame counts as that answer here.
        frame = frames.DisconnectFrame(
            destination_address=self.transport.server_hdlc_address,
            source_address=self.transport.client_hdlc_address,
        )
        port.write(self.transport.hdlc_connection.send(frame))
        for _ in ("opening flag", "closing flag"):
            port.read_until(frames.HDLC_FLAG)

    def drop(self) -> None:
        """Free the socket, whatever state the library is in."""
        if self.port is not None:
            self.port.close()
        elif self.transport.tcp_socket is not None:
            self.transport.tcp_socket.close()

    def perform(self, operation: str) -> Any:
        """Do one operation of the module's list and return its JSON value."""
        name, *arguments = operation.split(":")
        if name == "clock":
            return {"raw": plain(self._get(8, "0.0.1.0.0.255", 2))}
        if name == "register":
            raw = self._get(3, arguments[0], 2)
            scaler, unit = self._get(3, arguments[0], 3)
            return {"value": plain(raw), "scaler": scaler, "unit": unit}
        if name == "get":
            return plain(self._get(int(arguments[0]), arguments[1], int(arguments[2])))
        if name == "block_range":
            return plain(self._rows(*map(int, arguments)))
        raise ValueError(f"unknown operation: {operation}")

    def _get(self, class_id: int, obis: str, attribute: int) -> Any:
        return parse_as_dlms_data(self.client.get(_attribute(class_id, obis, attribute)))

    def _rows(self, from_s: int, to_s: int) -> Any:
        zone = datetime.timezone(datetime.timedelta(minutes=self.options.zone_minutes))
        access = RangeDescriptor(
            restricting_object=CaptureObject(_attribute(8, "0.0.1.0.0.255", 2), 0),
            from_value=datetime.datetime.fromtimestamp(from_s, zone),
            to_value=datetime.datetime.fromtimestamp(to_s, zone),
        )
        target = _attribute(7, self.options.block_load, 2)
        return parse_as_dlms_data(self.client.get(target, access))


def _attribute(class_id: int, obis: str, attribute: int) -> cosem.CosemAttribute:
    groups = [int(group) for group in obis.split(".")]
    return cosem.CosemAttribute(
        interface=enumerations.CosemInterface(class_id),
        instance=cosem.Obis(*groups),
        attribute=attribute,
    )


def _transport(options: argparse.Namespace) -> tuple[Any, SocketPort | None]:
    if options.link == "wrapper":
        transport = BlockingTcpTransport(
            options.host, options.port, options.client, options.server, options.timeout_s
        )
        return transport, None
    connection = socket.create_connection((options.host, options.port), options.timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = SocketPort(connection)
    transport = SerialHdlcTransport(
        client_logical_address=options.client,
        server_logical_address=options.server,
        server_physical_address=options.physical,
        serial_port="",
        serial=port,
    )
    return transport, port


def plain(value: Any) -> Any:
    """A value of dlms-cosem as JSON that loses nothing."""
    if isinstance(value, bytes | bytearray):
        return {"hex": bytes(value).hex()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return {"float": repr(value)}
    return value


@contextlib.contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Raise Hung inside the block after ``seconds``."""

    def ring(signal_number: int, frame: FrameType | None) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_sessions(options: argparse.Namespace, secrets: dict[str, Any]) -> dict[str, Any]:
    """``--repeat`` sessions in a row: CPU and wall seconds of each, results of the last."""
    document: dict[str, Any] = {
        "peer": "dlms-cosem",
        "version": importlib.metadata.version("dlms-cosem"),
        "cpu_s": [],
        "wall_s": [],
        "hung": 0,
        "results": {},
    }
    operations = [operation for operation in options.ops.split(",") if operation]
    for _ in range(options.repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        session = Session(options, secrets)
        try:
            with watchdog(options.watchdog_s):
                session.open()
                document["results"] = {name: session.perform(name) for name in operations}
                session.close()
        except Hung:
            document["hung"] += 1
        else:
            document["cpu_s"].append(time.process_time() - cpu)
            document["wall_s"].append(time.perf_counter() - wall)
        finally:
            session.drop()
            secrets["invocation_counter"] = session.client.client_invocation_counter + 1
    document["invocation_counter"] = secrets["invocation_counter"]
    return document


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--link", choices=["wrapper", "hdlc"], required=True)
    parser.add_argument("--client", type=int, default=16)
    parser.add_argument("--server", type=int, default=1, help="wPort, or logical HDLC address")
    parser.add_argument("--physical", type=int, help="lower HDLC address; 2 octets in all")
    parser.add_argument("--address-length", type=int, choices=[2], help="all that it can")
    parser.add_argument("--auth", choices=AUTHENTICATIONS, default="none")
    parser.add_argument("--security", choices=["none", "both"], default="none")
    parser.add_argument("--zone-minutes", type=int, default=330)
    parser.add_argument("--block-load", default="1.0.99.1.0.255")
    parser.add_argument("--ops", default="clock")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--timeout-s", type=float, default=10.0)
    parser.add_argument("--watchdog-s", type=float, default=3.0)
    parser.add_argument("--no-release", dest="release", action="store_false")
    return parser.parse_args()


def main() -> int:
    """Run; print one JSON document; return the exit code."""
    options = _options()
    secrets = json.loads(sys.stdin.read() or "{}")
    # The library logs decrypted octets as warnings; formatting them is its cost, showing them not.
    logging.disable(logging.CRITICAL)
    try:
        document = run_sessions(options, secrets)
    except Exception as error:  # noqa: BLE001 - a foreign library raises anything; it is named
        document = {
            "peer": "dlms-cosem",
            "error": f"{type(error).__name__}: {error}: {error.__cause__}",
        }
    print(json.dumps(document))
    return 1 if "error" in document else 0


if __name__ == "__main__":
    sys.exit(main())
