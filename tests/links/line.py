"""A line between two links in memory, and other tools of the link tests."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.hdlc.frame import FLAG, Frame, read_frame
from gateway.dlms.hdlc.stream import FrameStream
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, Link, LinkEvent, LinkOpened, Role

CAPTURES = Path(__file__).parent.parent / "captures"

CLIENT = HdlcAddress(16)
SERVER = HdlcAddress(1, 17, 2)
TO_SERVER = SERVER.encode() + CLIENT.encode()
TO_CLIENT = CLIENT.encode() + SERVER.encode()


def capture(name: str) -> dict[str, Any]:
    """One capture file."""
    return tomllib.loads((CAPTURES / f"{name}.toml").read_text("utf-8"))


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def chunkings(whole: bytes) -> Iterator[list[bytes]]:
    """The octets whole, one by one, and split in two at every place."""
    yield [whole]
    yield [whole[at : at + 1] for at in range(len(whole))]
    for at in range(1, len(whole)):
        yield [whole[:at], whole[at:]]


def frames_of(chunks: Iterable[bytes], limits: Limits | None = None) -> list[Frame]:
    stream = FrameStream(limits or Limits())
    found: list[Frame] = []
    for chunk in chunks:
        stream.receive(chunk)
        while (frame := stream.next_frame()) is not NEED_DATA:
            found.append(frame)
    return found


def client_link(**changes: Any) -> HdlcLink:
    return HdlcLink(Role.CLIENT, **({"client": CLIENT, "server": SERVER} | changes))


def server_link(**changes: Any) -> HdlcLink:
    return HdlcLink(Role.SERVER, **({"client": None, "server": SERVER} | changes))


def drain(link: Link) -> list[LinkEvent]:
    """All events that are ready."""
    events: list[LinkEvent] = []
    while (event := link.next_event()) is not NEED_DATA:
        events.append(event)
    return events


def feed(link: Link, *chunks: bytes) -> list[LinkEvent]:
    events: list[LinkEvent] = []
    for chunk in chunks:
        link.receive_data(chunk)
        events += drain(link)
    return events


def connected_client(**changes: Any) -> HdlcLink:
    """A client after a UA without parameters."""
    link = client_link(**changes)
    link.connect()
    link.data_to_send()
    assert feed(link, frame(TO_CLIENT, 0x73)) == [LinkOpened()]
    return link


def connected_server(**changes: Any) -> HdlcLink:
    """A server after a SNRM without parameters."""
    link = server_link(**changes)
    assert feed(link, frame(TO_SERVER, 0x93)) == [LinkOpened()]
    link.data_to_send()
    return link


def opened(role: Role, parameters: HdlcParameters, **changes: Any) -> HdlcLink:
    """A link whose other end proposed the same as this one."""
    if role is Role.CLIENT:
        link = client_link(parameters=parameters, **changes)
        link.connect()
        assert feed(link, frame(TO_CLIENT, 0x73, parameters.encode())) == [LinkOpened()]
    else:
        link = server_link(parameters=parameters, **changes)
        assert feed(link, frame(TO_SERVER, 0x93, parameters.encode())) == [LinkOpened()]
    assert link.parameters == parameters
    link.data_to_send()
    return link


def frame(
    addresses: bytes, control: int, information: bytes = b"", *, segmented: bool = False
) -> bytes:
    """A frame by its control octet, with the checks computed bit by bit."""
    length = 2 + len(addresses) + 3 + (len(information) + 2 if information else 0)
    head = ((0xA800 if segmented else 0xA000) | length).to_bytes(2) + addresses + bytes([control])
    if information:
        head += check(head) + information
    return b"\x7e" + head + check(head) + b"\x7e"


def check(covered: bytes) -> bytes:
    """CRC of ISO/IEC 13239 the slow way, so that the product's library has a witness."""
    crc = 0xFFFF
    for octet in covered:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return (crc ^ 0xFFFF).to_bytes(2, "little")


class Line:
    """A client and a server whose application answers; a hook may spoil what is sent."""

    def __init__(
        self,
        client: Link,
        server: Link,
        answer: Callable[[bytes], bytes],
        spoil: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.client = client
        self.server = server
        self.answer = answer
        self.spoil = spoil
        self.requests: list[bytes] = []
        self.answers: list[bytes] = []
        self.openings = 0

    def run(self, timeouts: int = 2000) -> None:
        """Carry octets until both sides are quiet; ``timeouts`` times in a row ask again."""
        left = timeouts
        while True:
            done = len(self.answers) + self.openings
            if not self._turn():
                if not left or not self.client.retransmit():
                    return
                left -= 1
            elif len(self.answers) + self.openings > done:
                left = timeouts

    def _frames(self, sent: bytes) -> Iterator[bytes]:
        """HDLC frames one by one: a wire does not change their order."""
        start = 0
        while start < len(sent):
            end = len(sent)
            if sent[start] == FLAG and (found := read_frame(sent, start)) is not NEED_DATA:
                end = found[1] + 1
            yield sent[start:end]
            start = end

    def _turn(self) -> bool:
        sent = self.client.data_to_send()
        if received := b"".join(map(self.spoil, self._frames(sent))):
            for event in feed(self.server, received):
                if isinstance(event, ApduReceived):
                    self.requests.append(event.apdu)
                    self.server.send_apdu(self.answer(event.apdu))
        said = self.server.data_to_send()
        if heard := b"".join(map(self.spoil, self._frames(said))):
            for event in feed(self.client, heard):
                self.openings += isinstance(event, LinkOpened)
                if isinstance(event, ApduReceived):
                    self.answers.append(event.apdu)
        return bool(sent or said)
