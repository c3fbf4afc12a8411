"""Reads a meter with this product's own client, for comparison; prints one JSON document.

A process of its own, like the peers, with the same options (and a serial device), operations,
secrets on standard input and document (``hil_tests/peers/gurux_client.py``). It reads as the
service does: one event loop, a transport, ``ClientConnection``, the procedures of
``gateway.dlms.reading``.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from typing import Any

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.requests import Get
from gateway.dlms.association.settings import Authentication, ClientSettings
from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.limits import Limits
from gateway.dlms.link import Link, Role
from gateway.dlms.plan import Span
from gateway.dlms.reading import Procedure, range_of, read_buffer, read_many
from gateway.dlms.security import (
    CipheringStyle,
    GlobalKeys,
    ProtectionSettings,
    SecurityPolicy,
)
from gateway.dlms.wrapper import WrapperLink
from gateway.model import Obis, Secret
from gateway.session import Timing, session
from gateway.transport.port import Transport
from gateway.transport.serial import SerialTransport
from gateway.transport.tcp import TcpTransport

AUTHENTICATIONS = {
    "none": Authentication.NONE,
    "low": Authentication.LLS,
    "high": Authentication.HLS_AES,
    "gmac": Authentication.HLS_GMAC,
}
POLICIES = {
    "none": SecurityPolicy.NONE,
    "authentication": SecurityPolicy.AUTHENTICATED,
    "encryption": SecurityPolicy.ENCRYPTED,
    "both": SecurityPolicy.BOTH,
}


def make_transport(options: argparse.Namespace) -> Transport:
    """The wire the options ask for."""
    if options.device is not None:
        return SerialTransport(options.device)
    return TcpTransport(options.host, options.port)


def make_link(options: argparse.Namespace) -> Link:
    """The link the options ask for."""
    if options.link == "wrapper":
        return WrapperLink(Role.CLIENT, client_wport=options.client, server_wport=options.server)
    length = 1 if options.physical is None else options.address_length
    server = HdlcAddress(options.server, options.physical, length)
    return HdlcLink(
        Role.CLIENT,
        client=HdlcAddress(options.client),
        server=server,
        parameters=HdlcParameters.both_ways(options.info_field, options.window),
    )


def make_settings(
    options: argparse.Namespace, secrets: dict[str, Any], counters: "itertools.count[int]"
) -> ClientSettings:
    """The association the options ask for."""
    protection = None
    if options.security != "none" or options.auth == "gmac":
        protection = ProtectionSettings(
            keys=GlobalKeys(
                encryption=Secret(bytes.fromhex(secrets["guek"])),
                authentication=Secret(bytes.fromhex(secrets["gak"])),
            ),
            own_title=bytes.fromhex(secrets["client_system_title"]),
            policy=POLICIES[options.security],
            style=CipheringStyle.GLO,
            reserve=lambda: next(counters),
        )
    return ClientSettings(
        authentication=AUTHENTICATIONS[options.auth],
        lls_password=Secret(secrets.get("lls_password", "").encode()),
        hls_secret=Secret(bytes.fromhex(secrets.get("hls_secret", ""))),
        protection=protection,
        release=options.release,
        random_bytes=os.urandom,
    )


def procedure(operation: str, options: argparse.Namespace) -> Procedure[Any]:
    """The product's own procedure for one operation."""
    name, *arguments = operation.split(":")
    if name == "register":
        return _register(Obis.parse(arguments[0]))
    if name == "block_range":
        span = Span(*map(int, arguments))
        rules = TimeRules(zone_minutes=options.zone_minutes, deviation_sign=options.deviation_sign)
        return read_buffer(Obis.parse(options.block_load), range_of(span, rules), Limits())
    raise SystemExit(f"unknown operation: {operation}")


def _register(obis: Obis) -> Procedure[tuple[Any, ...]]:
    return (yield from read_many([Get(3, obis, 2), Get(3, obis, 3)]))


async def run_sessions(options: argparse.Namespace, secrets: dict[str, Any]) -> dict[str, Any]:
    """``--repeat`` sessions in a row: CPU and wall seconds of each, rows of the last."""
    counters = itertools.count(secrets.get("invocation_counter", 1))
    cpu_s: list[float] = []
    wall_s: list[float] = []
    rows = 0
    for _ in range(options.repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        transport = make_transport(options)
        await transport.connect()
        settings = make_settings(options, secrets, counters)
        connection = ClientConnection(make_link(options), settings)
        async with session(connection, transport, Timing()) as opened:
            for operation in options.ops.split(","):
                result = await opened.run(procedure(operation, options))
                rows = len(getattr(result, "rows", ()))
        await transport.close()
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
    return {
        "peer": "ours",
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "rows": rows,
        "invocation_counter": next(counters),
    }


def parsed_options() -> argparse.Namespace:
    """What every client is asked, from the command line."""
    parser = argparse.ArgumentParser(description="sessions of this product's client")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--device", help="serial device at 9600 baud, instead of host and port")
    parser.add_argument("--link", choices=["wrapper", "hdlc"], required=True)
    parser.add_argument("--client", type=int, default=16)
    parser.add_argument("--server", type=int, default=1)
    parser.add_argument("--physical", type=int)
    parser.add_argument("--address-length", type=int, choices=[2, 4], default=4)
    parser.add_argument("--info-field", type=int, default=128)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--auth", choices=AUTHENTICATIONS, default="none")
    parser.add_argument("--security", choices=POLICIES, default="none")
    parser.add_argument("--zone-minutes", type=int, default=330)
    parser.add_argument("--deviation-sign", type=int, choices=[-1, 1], default=-1)
    parser.add_argument("--block-load", default="1.0.99.1.0.255")
    parser.add_argument("--ops", required=True)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--no-release", dest="release", action="store_false")
    return parser.parse_args()


def main() -> int:
    """Run and print."""
    options = parsed_options()
    secrets = json.loads(sys.stdin.read() or "{}")
    print(json.dumps(asyncio.run(run_sessions(options, secrets))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
