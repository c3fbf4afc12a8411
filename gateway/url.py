"""Where a meter's wire begins: the URLs of the command line and of site files.

Pure text to value, beneath transports and configuration so that both read a URL the same way.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

from gateway.errors import UsageError

WRAPPER_PORT: Final = 4059
"""Registered TCP and UDP port of DLMS/COSEM (IEC 62056-47)."""
BAUD_RATES: Final = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
"""Speeds of the HDLC setup class (Blue Book class 23, comm_speed)."""
SERVER_ADDRESSES: Final = range(0x4000)
"""HDLC addresses have 14 bits in the longest form (Green Book 8.4.2.2)."""

EXAMPLES: Final = (
    "serial:///dev/ttyUSB0?baud=9600&server=17, optical:///dev/ttyUSB0, "
    "tcp://10.0.0.7:4059 (wrapper), udp://10.0.0.7:4059, hdlc+tcp://10.0.0.7:4001"
)
DEVICE_ADDRESS_OCTETS: Final = 32
"""Longest device address of a sign-on (IEC 62056-21, 6.3.1)."""


class TransportKind(StrEnum):
    """What carries the octets; the value is the URL's scheme."""

    SERIAL = "serial"
    OPTICAL = "optical"
    """An optical head: HDLC after the sign-on of IEC 62056-21 mode E, or without it."""
    TCP = "tcp"
    """TCP with the wrapper of IEC 62056-47."""
    UDP = "udp"
    """UDP with the wrapper: one datagram holds one wrapper PDU."""
    HDLC_TCP = "hdlc+tcp"
    """HDLC frames on a plain TCP stream: serial servers and modems."""

    @property
    def is_hdlc(self) -> bool:
        """Whether the link above this transport is HDLC rather than the wrapper."""
        return self not in (TransportKind.TCP, TransportKind.UDP)

    @property
    def is_device(self) -> bool:
        """Whether it is a device of this machine rather than a host on the network."""
        return self in (TransportKind.SERIAL, TransportKind.OPTICAL)


class CharacterFormat(StrEnum):
    """Data bits, parity and stop bits of a serial line."""

    EIGHT_NONE_ONE = "8N1"
    SEVEN_EVEN_ONE = "7E1"


class SignOnUse(StrEnum):
    """Whether an optical head signs on before HDLC begins."""

    AUTO = "auto"
    """Sign on; where nobody answers, the meter may speak HDLC directly."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportUrl:
    """One parsed URL. ``host`` and ``port`` for TCP and UDP, ``device`` and the line for serial.

    ``server`` is the meter's address on its wire where the URL states one: the lower (physical)
    HDLC address, or the wPort of the wrapper. Of an optical head, ``baud`` is the speed of HDLC
    without sign-on and the highest one that a sign-on may agree to; ``address`` is the device
    address of the sign-on, "" for whoever is under the head.
    """

    kind: TransportKind
    host: str = ""
    port: int = 0
    device: str = ""
    baud: int = 9600
    characters: CharacterFormat = CharacterFormat.EIGHT_NONE_ONE
    server: int | None = None
    sign_on: SignOnUse = SignOnUse.AUTO
    address: str = ""
    wake_up: bool = False

    def __str__(self) -> str:
        words: dict[str, object] = {}
        if self.kind is TransportKind.SERIAL:
            words = {"baud": self.baud, "mode": self.characters}
        elif self.kind is TransportKind.OPTICAL:
            words = {"baud": self.baud, "sign_on": self.sign_on}
            words |= {"address": self.address} if self.address else {}
            words |= {"wake_up": "yes"} if self.wake_up else {}
        if self.server is not None:
            words["server"] = self.server
        query = "&".join(f"{key}={value}" for key, value in words.items())
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = self.device or f"{host}:{self.port}"
        return f"{self.kind}://{place}{'?' if query else ''}{query}"

    @property
    def wire(self) -> str:
        """What no two owners may hold: the device, or host and port."""
        return self.device or f"{self.host}:{self.port}"


_LATER: Final = {
    "modbus-rtu": "Modbus check meters",
    "modbus-tcp": "Modbus check meters",
}


def parse_url(text: str) -> TransportUrl:
    """Read a transport URL; raise UsageError saying which part is wrong and what is allowed."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not a URL: {text!r}: {error}") from None
    if parts.scheme in _LATER:
        raise UsageError(f"{parts.scheme}: {_LATER[parts.scheme]} are not supported yet")
    try:
        kind = TransportKind(parts.scheme)
    except ValueError:
        raise UsageError(f"not a transport URL: {text!r} (write {EXAMPLES})") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{kind} URLs hold no user name or password; keys have their own file")
    if parts.fragment:
        raise UsageError(f"a {kind} URL has no #fragment: {text!r}")
    if kind.is_device:
        return _device(kind, parts, text)
    return _network(kind, parts, port, text)


def _device(kind: TransportKind, parts: SplitResult, text: str) -> TransportUrl:
    if parts.netloc or len(parts.path) < 2:
        raise UsageError(f"a {kind} URL names a device: {kind}:///dev/ttyUSB0, not {text!r}")
    optical = kind is TransportKind.OPTICAL
    own = ("sign_on", "address", "wake_up") if optical else ("mode",)
    query = _query(parts.query, ("baud", "server", *own))
    baud = _number("baud", query.get("baud", "9600"))
    if baud not in BAUD_RATES:
        raise UsageError(f"baud={baud}: allowed are {', '.join(map(str, BAUD_RATES))}")
    return TransportUrl(
        kind=kind,
        device=parts.path,
        baud=baud,
        characters=_choice(CharacterFormat, "mode", query.get("mode", "8N1")),
        server=_server(query),
        sign_on=_choice(SignOnUse, "sign_on", query.get("sign_on", "auto")),
        address=_device_address(query.get("address", "")),
        wake_up=_choice(_YesNo, "wake_up", query.get("wake_up", "no")) is _YesNo.YES,
    )


def _network(kind: TransportKind, parts: SplitResult, port: int | None, text: str) -> TransportUrl:
    if not parts.hostname:
        raise UsageError(f"a {kind} URL names a host: {kind}://10.0.0.7:4059, not {text!r}")
    if parts.path not in ("", "/"):
        raise UsageError(f"a {kind} URL has no path: {text!r}")
    if port is None and not kind.is_hdlc:
        port = WRAPPER_PORT
    if not port:
        raise UsageError(f"a {kind} URL names a port from 1 to 65535: {text!r}")
    query = _query(parts.query, ("server",))
    return TransportUrl(kind=kind, host=parts.hostname, port=port, server=_server(query))


class _YesNo(StrEnum):
    YES = "yes"
    NO = "no"


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(words: type[_Choice], key: str, text: str) -> _Choice:
    try:
        return words(text)
    except ValueError:
        raise UsageError(f"{key}={text}: allowed are {', '.join(words)}") from None


def _device_address(text: str) -> str:
    """Digits, letters and spaces; a leading zero counts (IEC 62056-21, 6.3.1)."""
    plain = text.isascii() and text.replace(" ", "").isalnum()
    if text and (not plain or len(text) > DEVICE_ADDRESS_OCTETS):
        longest = DEVICE_ADDRESS_OCTETS
        raise UsageError(f"address={text}: up to {longest} letters, digits and spaces")
    return text


def _query(text: str, allowed: tuple[str, ...]) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    except ValueError:
        raise UsageError(f"not a list of key=value&...: {text!r}") from None
    for key, _ in pairs:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"unknown URL key {key!r}: allowed are {', '.join(allowed)}{hint}")
    query = dict(pairs)
    if len(query) != len(pairs):
        raise UsageError(f"a URL key stands twice: {text!r}")
    return query


def _server(query: dict[str, str]) -> int | None:
    if "server" not in query:
        return None
    server = _number("server", query["server"])
    if server not in SERVER_ADDRESSES:
        raise UsageError(f"server={server}: a meter's address is from 0 to 16383")
    return server


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UsageError(f"{key}={text}: a whole number is wanted")
    return int(text)
