"""Reads a meter with gurux-dlms and prints what it read as one JSON document.

A judge from outside: run it with ``.venv-peers/bin/python``, never import it (gurux-dlms is
GPL-2.0-only), and give it the secrets on standard input, so that no process list shows them::

    {
        "lls_password": "text",
        "hls_secret": "hex",
        "guek": "hex",
        "gak": "hex",
        "client_system_title": "hex",
        "invocation_counter": 1000,
        "dedicated_key": "hex",
    }

Operations, separated by commas; instants are UTC epoch seconds::

    clock   objects   relay   disconnect   reconnect
    get:CLASS:OBIS:ATTRIBUTE        register:OBIS
    block_range:FROM:TO             block_entry:FIRST:LAST

Values keep what the meter sent: integers as they are, octets as ``{"hex": ...}``, floats as their
shortest text. A register is its raw value beside scaler and unit, because gurux-dlms turns a
scaled value into a binary float. Exit code 0, or 1 with ``error`` in the document.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import io
import json
import os
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any

# A deviation that is not specified would otherwise be read in the zone of this machine.
os.environ["TZ"] = "UTC"
time.tzset()

from gurux_dlms import GXByteBuffer, GXReplyData  # noqa: E402 - TZ comes first
from gurux_dlms.enums import (  # noqa: E402
    Authentication,
    Conformance,
    InterfaceType,
    ObjectType,
    Security,
)
from gurux_dlms.GXDLMSException import GXDLMSException  # noqa: E402
from gurux_dlms.objects import (  # noqa: E402
    GXDLMSClock,
    GXDLMSDisconnectControl,
    GXDLMSProfileGeneric,
)
from gurux_dlms.secure import GXDLMSSecureClient  # noqa: E402

AUTHENTICATIONS = {
    "none": Authentication.NONE,
    "low": Authentication.LOW,
    "high": Authentication.HIGH,
    "gmac": Authentication.HIGH_GMAC,
}
SECURITIES = {
    "none": Security.NONE,
    "authentication": Security.AUTHENTICATION,
    "encryption": Security.ENCRYPTION,
    "both": Security.AUTHENTICATION_ENCRYPTION,
}
#: gurux-dlms writes a wrong frame length when it sends more than 256 octets in one frame.
LARGEST_SENT_INFO_FIELD = 240


class PeerError(Exception):
    """The meter refused, fell silent or closed the connection."""


class Session:
    """One connection to one meter: open, operations, close."""

    def __init__(self, options: argparse.Namespace, secrets: dict[str, Any]) -> None:
        self.options = options
        self.client = _client(options, secrets)
        self.socket = socket.create_connection((options.host, options.port), options.timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = GXByteBuffer()
        self.highest_block = 0
        """Number of the highest general block that came; 0 where none did."""

    def open(self) -> None:
        """SNRM on HDLC, AARQ, and the two passes of HLS where the association asks for them."""
        reply = GXReplyData()
        snrm = self.client.snrmRequest()
        if snrm:
            self._exchange(snrm, reply)
            self.client.parseUAResponse(reply.data)
        reply.clear()
        self._send_all(self.client.aarqRequest(), reply)
        self.client.parseAareResponse(reply.data)
        if self.client.isAuthenticationRequired:
            reply.clear()
            self._send_all(self.client.getApplicationAssociationRequest(), reply)
            self.client.parseApplicationAssociationResponse(reply.data)

    def close(self) -> None:
        """RLRQ, and DISC on HDLC."""
        if self.options.release:
            self._send_all(self.client.releaseRequest() or [], GXReplyData())
        if self.options.link == "hdlc":
            self._exchange(self.client.disconnectRequest(), GXReplyData())

    def perform(self, operation: str) -> Any:
        """Do one operation of the module's list and return its JSON value."""
        name, *arguments = operation.split(":")
        if name == "clock":
            return self._clock()
        if name == "objects":
            return self._objects()
        if name == "register":
            raw = self._get(ObjectType.REGISTER, arguments[0], 2)
            scaler, unit = self._get(ObjectType.REGISTER, arguments[0], 3)
            return {"value": plain(raw), "scaler": int(scaler), "unit": int(unit)}
        if name == "get":
            return plain(self._get(ObjectType(int(arguments[0])), arguments[1], int(arguments[2])))
        if name == "block_range":
            return self._rows_by_range(*map(int, arguments))
        if name == "block_entry":
            return self._rows_by_entry(*map(int, arguments))
        if name in ("relay", "disconnect", "reconnect"):
            return self._relay(name)
        raise PeerError(f"unknown operation: {operation}")

    def _clock(self) -> dict[str, Any]:
        clock = GXDLMSClock("0.0.1.0.0.255")
        reply = self._send_all(self.client.read(clock, 2), GXReplyData())
        self.client.updateValue(clock, 2, reply.value)
        return {"raw": plain(reply.value), "utc_s": int(clock.time.value.timestamp())}

    def _objects(self) -> list[dict[str, Any]]:
        # The one request that the library makes as a frame instead of a list of frames.
        reply = self._send_all([self.client.getObjectsRequest()], GXReplyData())
        objects = self.client.parseObjects(reply.data, onlyKnownObjects=False)
        return [
            {"class": int(o.objectType), "version": int(o.version), "obis": str(o.logicalName)}
            for o in objects
        ]

    def _rows_by_range(self, from_s: int, to_s: int) -> Any:
        zone = datetime.timezone(datetime.timedelta(minutes=self.options.zone_minutes))
        request = self.client.readRowsByRange(
            self._block_load(),
            datetime.datetime.fromtimestamp(from_s, zone),
            datetime.datetime.fromtimestamp(to_s, zone),
        )
        return plain(self._send_all(request, GXReplyData()).value)

    def _rows_by_entry(self, first: int, last: int) -> Any:
        request = self.client.readRowsByEntry(self._block_load(), first, last - first + 1)
        return plain(self._send_all(request, GXReplyData()).value)

    def _block_load(self) -> GXDLMSProfileGeneric:
        profile = GXDLMSProfileGeneric(self.options.block_load)
        # Both selections name the clock as restricting object when no sort object is known.
        profile.sortObject = None
        return profile

    def _relay(self, name: str) -> dict[str, Any]:
        relay = GXDLMSDisconnectControl(self.options.relay)
        if name == "disconnect":
            self._send_all(relay.remoteDisconnect(self.client), GXReplyData())
        elif name == "reconnect":
            self._send_all(relay.remoteReconnect(self.client), GXReplyData())
        kind = ObjectType.DISCONNECT_CONTROL
        attributes = [self._get(kind, self.options.relay, number) for number in (2, 3, 4)]
        output, control, mode = map(plain, attributes)
        return {"output_state": output, "control_state": control, "control_mode": mode}

    def _get(self, kind: ObjectType, obis: str, attribute: int) -> Any:
        target = self.client.createObject(kind)
        target.logicalName = obis
        return self._send_all(self.client.read(target, attribute), GXReplyData()).value

    def _send_all(self, requests: Iterable[Any], reply: GXReplyData) -> GXReplyData:
        """Send each frame of a request; collect the reply with all its segments and blocks."""
        for request in requests:
            reply.clear()
            self._exchange(request, reply)
            while reply.isMoreData():
                # While blocks stream there is nothing to send.
                ready = b"" if reply.isStreaming() else self.client.receiverReady(reply)
                self._exchange(ready, reply)
        return reply

    def _exchange(self, request: Any, reply: GXReplyData) -> None:
        reply.error = 0
        self.socket.sendall(bytes(request))
        received = self.received
        notification = GXReplyData()
        complete = received.size > 0 and self.client.getData(received, reply, notification)
        while not complete:
            try:
                octets = self.socket.recv(65536)
            except TimeoutError as error:
                raise PeerError("no answer") from error
            if not octets:
                raise PeerError("the meter closed the connection")
            received.set(octets)
            complete = self.client.getData(received, reply, notification)
        self.highest_block = max(self.highest_block, reply.blockNumber)
        if reply.error:
            raise GXDLMSException(reply.error)


def _client(options: argparse.Namespace, secrets: dict[str, Any]) -> GXDLMSSecureClient:
    link = InterfaceType.HDLC if options.link == "hdlc" else InterfaceType.WRAPPER
    authentication = AUTHENTICATIONS[options.auth]
    password: bytes | str | None = None
    if options.auth == "low":
        password = secrets["lls_password"]
    elif options.auth == "high":
        password = bytes.fromhex(secrets["hls_secret"])
    server = options.server
    if options.link == "hdlc" and options.physical is not None:
        length = options.address_length or 0
        server = GXDLMSSecureClient.getServerAddress(server, options.physical, length)
    client = GXDLMSSecureClient(True, options.client, server, authentication, password, link)
    if options.address_length:
        client.serverAddressSize = options.address_length
    client.useUtc2NormalTime = options.deviation_sign > 0
    client.hdlcSettings.maxInfoRX = options.info_field
    client.hdlcSettings.maxInfoTX = min(options.info_field, LARGEST_SENT_INFO_FIELD)
    client.settings.resetFrameSequence()
    cipher = client.ciphering
    if "guek" in secrets:
        cipher.blockCipherKey = bytearray.fromhex(secrets["guek"])
        cipher.authenticationKey = bytearray.fromhex(secrets["gak"])
    if "client_system_title" in secrets:
        cipher.systemTitle = bytearray.fromhex(secrets["client_system_title"])
    if "dedicated_key" in secrets:
        cipher.dedicatedKey = bytearray.fromhex(secrets["dedicated_key"])
    if options.block_window:
        # Its acknowledgements read an attribute that was never named so (1.0.203).
        type(client.settings).blockNumber = property(lambda self: self.blockIndex)
        client.proposedConformance |= Conformance.GENERAL_BLOCK_TRANSFER
        client.gbtWndowSize = options.block_window
    cipher.security = SECURITIES[options.security]
    cipher.invocationCounter = secrets.get("invocation_counter", 1)
    return client


def plain(value: Any) -> Any:
    """A value of gurux-dlms as JSON that loses nothing."""
    if isinstance(value, bytes | bytearray):
        return {"hex": bytes(value).hex()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return {"float": repr(float(value))}
    if isinstance(value, int):
        return int(value)
    number = getattr(value, "value", None)  # GXFloat32, GXEnum and the like
    return plain(number) if isinstance(number, int | float) else {"text": str(value)}


def run_sessions(options: argparse.Namespace, secrets: dict[str, Any]) -> dict[str, Any]:
    """``--repeat`` sessions in a row: CPU and wall seconds of each, results of the last."""
    document: dict[str, Any] = {
        "peer": "gurux-dlms",
        "version": importlib.metadata.version("gurux-dlms"),
        "cpu_s": [],
        "wall_s": [],
        "results": {},
    }
    operations = [operation for operation in options.ops.split(",") if operation]
    for _ in range(options.repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        session = Session(options, secrets)
        try:
            session.open()
            document["results"] = {name: session.perform(name) for name in operations}
            document["highest_block"] = session.highest_block
            session.close()
        finally:
            session.socket.close()
            secrets["invocation_counter"] = session.client.ciphering.invocationCounter + 1
        document["cpu_s"].append(time.process_time() - cpu)
        document["wall_s"].append(time.perf_counter() - wall)
    document["invocation_counter"] = secrets["invocation_counter"]
    return document


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--link", choices=["wrapper", "hdlc"], required=True)
    parser.add_argument("--client", type=int, default=16)
    parser.add_argument("--server", type=int, default=1, help="wPort, or logical HDLC address")
    parser.add_argument("--physical", type=int, help="physical (lower) HDLC address")
    parser.add_argument("--address-length", type=int, choices=[1, 2, 4])
    parser.add_argument("--info-field", type=int, default=128)
    parser.add_argument("--auth", choices=AUTHENTICATIONS, default="none")
    parser.add_argument("--security", choices=SECURITIES, default="none")
    parser.add_argument("--zone-minutes", type=int, default=330)
    parser.add_argument("--deviation-sign", type=int, choices=[-1, 1], default=-1)
    parser.add_argument("--block-load", default="1.0.99.1.0.255")
    parser.add_argument("--relay", default="0.0.96.3.10.255")
    parser.add_argument("--ops", default="clock")
    parser.add_argument("--block-window", type=int, help="propose general block transfer")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--timeout-s", type=float, default=10.0)
    parser.add_argument("--no-release", dest="release", action="store_false")
    return parser.parse_args()


def main() -> int:
    """Run; print one JSON document; return the exit code."""
    options = _options()
    secrets = json.loads(sys.stdin.read() or "{}")
    printed = io.StringIO()
    try:
        # gurux-dlms prints on its own; standard output carries the document alone.
        with contextlib.redirect_stdout(printed):
            document = run_sessions(options, secrets)
    except Exception as error:  # noqa: BLE001 - a foreign library raises anything; it is named
        document = {"peer": "gurux-dlms", "error": f"{type(error).__name__}: {error}"}
    document["printed_lines"] = printed.getvalue().count("\n")
    print(json.dumps(document))
    return 1 if "error" in document else 0


if __name__ == "__main__":
    sys.exit(main())
