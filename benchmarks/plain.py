"""The least that a reader can be: one session written out by hand, for comparison.

It knows one association (GMAC, authenticated and encrypted), two requests and this emulator's
answers, verifies each tag, and has none of what a product needs besides: no other framing or
security, no time-outs, repeats, limits, typed errors or evidence. What our client costs more than
this is the price of those. Same options, secrets and document as ``benchmarks/our_client.py``.
"""

import asyncio
import itertools
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastcrc.crc16 import ibm_sdlc

from benchmarks.our_client import parsed_options

BOTH, AUTHENTICATED = b"\x30", b"\x10"
ENERGY = bytes.fromhex("0003 0100010800ff")
BLOCK_LOAD_BY_CLOCK = bytes.fromhex(
    "0007 0100630100ff 02 01 01 0204 0204 120008 09060000010000ff 0f02 120000"
)
INITIATE = bytes.fromhex("01 00 00 00 06 5f1f 04 00 00 1e 1d ffff")


class Wire(asyncio.Protocol):
    """One frame out, one frame in."""

    def __init__(self, hdlc: bool) -> None:
        self._hdlc = hdlc
        self._buffer = b""
        self._frame: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand over a frame when it is whole."""
        self._buffer += data
        if self._hdlc:
            size = 2 + ((self._buffer[1] & 7) << 8 | self._buffer[2])
        else:
            size = 8 + int.from_bytes(self._buffer[6:8], "big")
        if len(self._buffer) >= size and self._frame is not None:
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            self._frame.set_result(frame)

    async def exchange(self, frame: bytes) -> bytes:
        """Send a frame, await the answer."""
        self._frame = asyncio.get_running_loop().create_future()
        self.transport.write(frame)
        return await self._frame


class WrapperWay:
    """APDUs in wrapper frames."""

    def __init__(self, wire: Wire, options: Namespace) -> None:
        self._wire = wire
        ends = options.client.to_bytes(2, "big") + options.server.to_bytes(2, "big")
        self._head = b"\x00\x01" + ends

    async def begin(self) -> None:
        """Nothing to say."""

    async def ask(self, apdu: bytes) -> bytes:
        """One APDU for another."""
        head = self._head + len(apdu).to_bytes(2, "big")
        return (await self._wire.exchange(head + apdu))[8:]

    async def end(self) -> None:
        """RLRQ."""
        await self.ask(bytes.fromhex("6203800100"))


class HdlcWay:
    """APDUs in HDLC frames, segments acknowledged one by one."""

    def __init__(self, wire: Wire, options: Namespace) -> None:
        self._wire = wire
        parts = (options.server, options.physical)
        if options.address_length == 4:
            parts = tuple(x for part in parts for x in (part >> 7, part & 0x7F))
        server = bytearray(part << 1 for part in parts)
        server[-1] |= 1
        self._to = bytes(server) + bytes([options.client << 1 | 1])
        self._sent = self._received = 0
        self._information = 4 + len(self._to) + 3

    async def _exchange(self, control: int, information: bytes = b"") -> bytes:
        length = len(self._to) + 5 + (len(information) + 2 if information else 0)
        body = (0xA000 | length).to_bytes(2, "big") + self._to + bytes([control | 0x10])
        if information:
            body += ibm_sdlc(body).to_bytes(2, "little") + information
        frame = b"\x7e" + body + ibm_sdlc(body).to_bytes(2, "little") + b"\x7e"
        answer = await self._wire.exchange(frame)
        if ibm_sdlc(answer[1:-1]) != 0x0F47:
            raise ValueError("frame check")
        return answer

    async def begin(self) -> None:
        """SNRM."""
        await self._exchange(0x83)

    async def ask(self, apdu: bytes) -> bytes:
        """One APDU for another, in as many segments as it takes."""
        control = self._received << 5 | self._sent << 1
        frame = await self._exchange(control, b"\xe6\xe6\x00" + apdu)
        self._sent = self._sent + 1 & 7
        parts = []
        while True:
            self._received = self._received + 1 & 7
            parts.append(frame[self._information - 1 : -3])
            if not frame[1] & 8:
                return b"".join(parts)[3:]
            frame = await self._exchange(self._received << 5 | 1)

    async def end(self) -> None:
        """DISC."""
        await self._exchange(0x43)


class Keys:
    """Suite 0, authenticated and encrypted."""

    def __init__(self, secrets: dict[str, Any], counters: Iterator[int]) -> None:
        key = bytes.fromhex(secrets["guek"])
        self._key, self._sealer = algorithms.AES(key), AESGCM(key)
        self._authentication = bytes.fromhex(secrets["gak"])
        self.title = bytes.fromhex(secrets["client_system_title"])
        self.server_title = b""
        self._counters = counters

    def protect(self, tag: int, apdu: bytes) -> bytes:
        """A glo-ciphered APDU."""
        counter = next(self._counters).to_bytes(4, "big")
        sealed = self._sealer.encrypt(self.title + counter, apdu, BOTH + self._authentication)
        body = BOTH + counter + sealed[:-4]
        return bytes((tag, len(body))) + body

    def unprotect(self, octets: bytes) -> bytes:
        """The plain APDU; the tag is verified."""
        start = 2 if octets[1] < 0x80 else 2 + (octets[1] & 0x7F)
        counter, text = octets[start + 1 : start + 5], octets[start + 5 : -12]
        mode = modes.GCM(self.server_title + counter, octets[-12:], min_tag_length=12)
        opener = Cipher(self._key, mode).decryptor()
        opener.authenticate_additional_data(BOTH + self._authentication)
        return opener.update(text) + opener.finalize()

    def proof(self, challenge: bytes) -> bytes:
        """f(challenge) of mechanism 5."""
        counter = next(self._counters).to_bytes(4, "big")
        return AUTHENTICATED + counter + self.gmac(self.title + counter, challenge)

    def gmac(self, iv: bytes, challenge: bytes) -> bytes:
        """The tag over a challenge."""
        head = AUTHENTICATED + self._authentication + challenge
        return self._sealer.encrypt(iv, b"", head)[:12]


async def associate(way: WrapperWay | HdlcWay, keys: Keys) -> None:
    """AARQ, and the HLS passes."""
    own = os.urandom(16)
    information = keys.protect(0x21, INITIATE)
    fields = bytes.fromhex("a109060760857405080103") + b"\xa6\x0a\x04\x08" + keys.title
    fields += bytes.fromhex("8a020780 8b0760857405080205 ac128010") + own
    fields += bytes((0xBE, len(information) + 2, 4, len(information))) + information
    aare = await way.ask(bytes((0x60, len(fields))) + fields)
    at, found = 2, {}
    while at < len(aare):
        found[aare[at]] = aare[at + 2 : at + 2 + aare[at + 1]]
        at += 2 + aare[at + 1]
    keys.server_title = found[0xA4][2:]
    keys.unprotect(found[0xBE][2:])
    method = bytes.fromhex("c301c1 000f 0000280000ff 01 01 0911") + keys.proof(found[0xAA][2:])
    answer = keys.unprotect(await way.ask(keys.protect(0xCB, method)))
    proof = answer[-17:]
    if proof[5:] != keys.gmac(keys.server_title + proof[1:5], own):
        raise ValueError("the meter did not prove itself")


async def get(way: WrapperWay | HdlcWay, keys: Keys, what: bytes) -> bytes:
    """GET, with its blocks."""
    answer = keys.unprotect(await way.ask(keys.protect(0xC8, b"\xc0\x01\xc1" + what)))
    if answer[1] == 1:
        return answer[4:]
    blocks: list[bytes] = []
    while True:
        start = 10 if answer[9] < 0x80 else 10 + (answer[9] & 0x7F)
        blocks.append(answer[start:])
        if answer[3]:
            return b"".join(blocks)
        following = b"\xc0\x02\xc1" + answer[4:8]
        answer = keys.unprotect(await way.ask(keys.protect(0xC8, following)))


def date_time(utc_s: int, options: Namespace) -> bytes:
    """A clock value as an A-XDR octet-string."""
    local = time.gmtime(utc_s + options.zone_minutes * 60)
    day = local.tm_year.to_bytes(2, "big") + bytes((local.tm_mon, local.tm_mday, 0xFF))
    hours = bytes((local.tm_hour, local.tm_min, local.tm_sec, 0))
    deviation: int = options.deviation_sign * options.zone_minutes
    return b"\x09\x0c" + day + hours + deviation.to_bytes(2, "big", signed=True) + b"\x00"


def decode(octets: bytes, at: int) -> tuple[Any, int]:
    """One A-XDR value of those that this meter sends."""
    tag = octets[at]
    if tag in (1, 2):
        values, count, at = [], octets[at + 1], at + 2
        for _ in range(count):
            value, at = decode(octets, at)
            values.append(value)
        return values, at
    if tag == 9:
        end = at + 2 + octets[at + 1]
        return octets[at + 2 : end], end
    size = {6: 4, 0x12: 2, 0x11: 1, 0x0F: 1, 0x16: 1}[tag]
    return int.from_bytes(octets[at + 1 : at + 1 + size], "big"), at + 1 + size


async def read(options: Namespace, keys: Keys) -> int:
    """One session; the number of rows."""
    loop = asyncio.get_running_loop()
    hdlc = options.link == "hdlc"
    transport, wire = await loop.create_connection(lambda: Wire(hdlc), options.host, options.port)
    way = HdlcWay(wire, options) if hdlc else WrapperWay(wire, options)
    await way.begin()
    await associate(way, keys)
    for attribute in (b"\x02", b"\x03"):
        decode(await get(way, keys, ENERGY + attribute + b"\x00"), 0)
    first, last = map(int, options.ops.rpartition("block_range:")[2].split(":"))
    span = date_time(first, options) + date_time(last, options)
    chosen = BLOCK_LOAD_BY_CLOCK + span + b"\x01\x00"
    rows, _ = decode(await get(way, keys, chosen), 0)
    await way.end()
    transport.close()
    return len(rows)


async def run_sessions(options: Namespace, secrets: dict[str, Any]) -> dict[str, Any]:
    """``--repeat`` sessions in a row: CPU seconds of each, rows of the last."""
    counters = itertools.count(secrets["invocation_counter"])
    cpu_s = []
    rows = 0
    for _ in range(options.repeat):
        begun = time.process_time()
        rows = await read(options, Keys(secrets, counters))
        cpu_s.append(time.process_time() - begun)
    return {"peer": "plain", "cpu_s": cpu_s, "rows": rows, "invocation_counter": next(counters)}


def main() -> int:
    """Run and print."""
    options = parsed_options()
    print(json.dumps(asyncio.run(run_sessions(options, json.loads(sys.stdin.read())))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
