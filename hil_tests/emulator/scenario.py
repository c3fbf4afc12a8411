"""Scenario files: which meters stand on which wires, and what is wrong with them. Strict TOML."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.dlms.apdu.block_transfer import WINDOW_LIMIT
from gateway.errors import ConfigError
from gateway.url import BAUD_RATES
from hil_tests.emulator.catalogue import Model
from hil_tests.emulator.encodings import Encoding
from hil_tests.emulator.faults import Faults
from hil_tests.emulator.image import FIRST_VERSION
from hil_tests.emulator.nameplate import MAKER
from hil_tests.emulator.trouble import Trouble

_Choice = TypeVar("_Choice", bound=StrEnum)

_REQUIRED: Final = object()
_SERIAL_OCTETS: Final = 13
"""Logical device names have 16 octets, three of them the manufacturer code."""
_NAMEPLATE_OCTETS: Final = 32
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DEFAULT_ADDRESS: Final = 17
"""First physical device address that the HDLC profile leaves to makers (16 and above)."""


class WireKind(StrEnum):
    """What a meter is reached over."""

    WRAPPER = "tcp"
    UDP = "udp"
    HDLC_TCP = "hdlc+tcp"
    OPTICAL = "optical"
    """An optical head on a pseudo terminal."""
    BUS = "bus"


class Ciphering(StrEnum):
    """How the keyed associations protect their APDUs."""

    NONE = "none"
    AUTHENTICATED = "authenticated"
    ENCRYPTED = "encrypted"
    BOTH = "both"


class SettingsAuthentication(StrEnum):
    """Mechanism of the utility settings association."""

    HLS2 = "hls2"
    GMAC = "gmac"


class BusEnd(StrEnum):
    """What a reader opens to reach a bus."""

    PTY = "pty"
    SERIAL_SERVER = "tcp"
    """A serial server: the line's octets on a TCP stream, for one client at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusScenario:
    """One RS-485 line."""

    name: str
    baud: int
    end: BusEnd = BusEnd.PTY


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterScenario:
    """One meter; ``address`` is its physical (lower) HDLC address, unless that has one octet.

    ``port`` 0 takes a free one. ``turnaround_ms`` passes between the last octet heard and the
    first sent. ``information_octets`` is the largest HDLC information field and ``window`` the most
    frames in a row, both each way; ``pdu_octets`` is the largest APDU that it takes and sends.
    ``general_block_window`` is how many blocks in a row it takes and sends with clients that
    propose general block transfer; 0: it does not know it.
    """

    serial: str
    model: Model
    encoding: Encoding
    maker: str
    firmware: str
    wire: WireKind
    bus: str
    port: int
    address: int
    address_octets: int
    information_octets: int
    window: int
    pdu_octets: int
    general_block_window: int
    capture_period_s: int
    exports: bool
    turnaround_ms: int
    ciphering: Ciphering
    settings_authentication: SettingsAuthentication
    faults: Faults
    trouble: Trouble
    calls: str = ""
    """Where it dials in, as host:port; "" where it waits to be called."""
    calls_again_ms: int = 5000
    """After a connection that ended or did not come about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fleet. ``start_s`` is the meters' time at start, None = the host's clock."""

    seed: int
    zone_minutes: int
    deviation_sign: int
    installed_s: int
    start_s: int | None
    buses: tuple[BusScenario, ...]
    meters: tuple[MeterScenario, ...]


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario file; raise ConfigError naming key, value and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "(file)", str(path), f"cannot be read: {error}") from None
    return parse_scenario(text, str(path))


def parse_scenario(text: str, file: str = "(scenario)") -> Scenario:
    """Check a scenario's text; raise ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, "(file)", file, f"not TOML: {error}") from None
    root = _Table(file, "", document)
    zone_minutes = root.number("zone_minutes", range(-840, 841), 330)
    buses = tuple(_bus(table) for table in root.tables("bus"))
    scenario = Scenario(
        seed=root.number("seed", range(1 << 63)),
        zone_minutes=zone_minutes,
        deviation_sign=root.number("deviation_sign", range(-1, 2, 2), 1),
        installed_s=_midnight(root, "installed", zone_minutes),
        start_s=_instant(root, "start"),
        buses=buses,
        meters=tuple(_meter(table, buses) for table in root.tables("meter")),
    )
    root.finish()
    _check(scenario, file)
    return scenario


def _check(scenario: Scenario, file: str) -> None:
    if not scenario.meters:
        raise ConfigError(file, "meter", [], "at least one [[meter]]")
    _unique(file, "bus.name", [bus.name for bus in scenario.buses])
    _unique(file, "meter.serial", [meter.serial for meter in scenario.meters])
    on_bus = [(m.bus, m.address) for m in scenario.meters if m.wire is WireKind.BUS]
    _unique(file, "meter.address", on_bus)
    if scenario.start_s is not None and scenario.start_s < scenario.installed_s + 86_400:
        allowed = "later than installed by a day or more"
        raise ConfigError(file, "start", scenario.start_s, allowed)


def _unique(file: str, key: str, values: list[Any]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(file, key, value, "each value once")


class _Table:
    """A TOML table that knows its place, and which of its keys were asked for."""

    def __init__(self, file: str, where: str, values: Mapping[str, Any]) -> None:
        self.file = file
        self._where = where
        self._values = values
        self._asked: set[str] = set()

    def fail(self, key: str, value: object, allowed: str) -> ConfigError:
        """The error to raise for a key."""
        return ConfigError(self.file, self._where + key, value, allowed)

    def take(self, key: str, default: object = _REQUIRED) -> Any:
        """Whatever stands at a key."""
        self._asked.add(key)
        value = self._values.get(key, default)
        if value is _REQUIRED:
            raise self.fail(key, None, "required")
        return value

    def number(self, key: str, allowed: range, default: object = _REQUIRED) -> int:
        """A whole number out of a range."""
        value = self.take(key, default)
        if type(value) is not int or value not in allowed:
            step = f" in steps of {allowed.step}" if allowed.step != 1 else ""
            raise self.fail(key, value, f"{allowed.start} to {allowed[-1]}{step}")
        return value

    def one_of(self, key: str, allowed: tuple[int, ...], default: int) -> int:
        """A whole number out of a few."""
        value = self.take(key, default)
        if type(value) is not int or value not in allowed:
            raise self.fail(key, value, " or ".join(map(str, allowed)))
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, value, "true or false")
        return value

    def word(self, key: str, longest: int, default: object = _REQUIRED) -> str:
        """A short word of letters, digits and hyphens."""
        value = self.take(key, default)
        if value == default:
            return str(value)
        plain = isinstance(value, str) and value.isascii() and value.replace("-", "").isalnum()
        if not plain or len(value) > longest:
            raise self.fail(key, value, f"1 to {longest} letters, digits and hyphens")
        return str(value)

    def text(self, key: str, longest: int, default: str) -> str:
        """A line of printable ASCII."""
        value = self.take(key, default)
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise self.fail(key, value, "printable ASCII")
        if not 0 < len(value) <= longest:
            raise self.fail(key, value, f"1 to {longest} characters")
        return value

    def choice(self, key: str, kind: type[_Choice], default: object = _REQUIRED) -> _Choice:
        """One of the words of an enum."""
        value = self.take(key, default)
        try:
            return kind(value)
        except ValueError:
            raise self.fail(key, value, " or ".join(kind)) from None

    def tables(self, key: str) -> list[_Table]:
        """An array of tables."""
        value = self.take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fail(key, value, f"[[{self._where}{key}]] tables")
        return [
            _Table(self.file, f"{self._where}{key}[{number}].", item)
            for number, item in enumerate(value)
        ]

    def table(self, key: str) -> _Table:
        """A table, empty when it is not there."""
        value = self.take(key, {})
        if not isinstance(value, dict):
            raise self.fail(key, value, f"a [{self._where}{key}] table")
        return _Table(self.file, f"{self._where}{key}.", value)

    def finish(self) -> None:
        """No key may be left that nobody asked for."""
        for key, value in self._values.items():
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise self.fail(key, value, f"unknown key{hint}")


def _bus(table: _Table) -> BusScenario:
    bus = BusScenario(
        name=table.word("name", 32),
        baud=table.one_of("baud", BAUD_RATES, 9600),
        end=table.choice("end", BusEnd, "pty"),
    )
    table.finish()
    return bus


def _meter(table: _Table, buses: tuple[BusScenario, ...]) -> MeterScenario:
    wire = table.choice("wire", WireKind)
    bus = table.word("bus", 32, "")
    names = [known.name for known in buses]
    if (wire is WireKind.BUS) != bool(bus) or (bus and bus not in names):
        allowed = f"one of {names} where wire = 'bus', and nowhere else"
        raise table.fail("bus", bus, allowed)
    # One octet has no room for a physical address: nobody else may be on that wire.
    lengths = (2, 4) if wire is WireKind.BUS else (1, 2, 4)
    octets = table.one_of("address_octets", lengths, 2)
    meter = MeterScenario(
        serial=table.word("serial", _SERIAL_OCTETS),
        model=table.choice("model", Model),
        encoding=table.choice("encoding", Encoding),
        maker=table.text("maker", _NAMEPLATE_OCTETS, MAKER),
        firmware=table.text("firmware", _NAMEPLATE_OCTETS, FIRST_VERSION),
        wire=wire,
        bus=bus,
        port=table.number("port", range(1 << 16), 0),
        address=table.number("address", _addresses(octets), _DEFAULT_ADDRESS),
        address_octets=octets,
        information_octets=table.number("information_octets", range(16, 2031), 128),
        window=table.number("window", range(1, 8), 1),
        pdu_octets=table.number("pdu_octets", range(64, 1 << 16), 1024),
        general_block_window=table.number("general_block_window", range(WINDOW_LIMIT + 1), 0),
        capture_period_s=table.one_of("capture_period_s", (900, 1800, 3600), 1800),
        exports=table.flag("exports", False),
        turnaround_ms=table.number("turnaround_ms", range(10_001), 0),
        ciphering=table.choice("ciphering", Ciphering, "both"),
        settings_authentication=table.choice(
            "settings_authentication", SettingsAuthentication, "hls2"
        ),
        faults=_faults(table.table("faults")),
        trouble=_trouble(table.table("trouble")),
        calls=_listener(table, wire),
        calls_again_ms=table.number("calls_again_ms", range(1, 3_600_001), 5000),
    )
    table.finish()
    return meter


def _listener(table: _Table, wire: WireKind) -> str:
    calls = table.take("calls", "")
    allowed = "host:port, where wire = 'tcp' or 'hdlc+tcp'"
    if not isinstance(calls, str):
        raise table.fail("calls", calls, allowed)
    on_tcp = wire in (WireKind.WRAPPER, WireKind.HDLC_TCP)
    host, _, port = calls.rpartition(":")
    if calls and not (on_tcp and host and port.isdigit() and int(port) < 1 << 16):
        raise table.fail("calls", calls, allowed)
    return calls


def _addresses(octets: int) -> range:
    """Physical addresses: 0 to 15 are reserved by the HDLC profile, the last is broadcast."""
    return range(16, 0x3FFF if octets == 4 else 0x7F)


def _faults(table: _Table) -> Faults:
    given: dict[str, Any] = {}
    for known in fields(Faults):
        assert known.default is not MISSING
        if isinstance(known.default, bool):
            given[known.name] = table.flag(known.name, known.default)
            continue
        value = table.take(known.name, known.default)
        if value != known.default and type(value) is not int:
            raise table.fail(known.name, value, "a whole number")
        given[known.name] = value
    table.finish()
    return Faults(**given)


def _trouble(table: _Table) -> Trouble:
    given = {
        known.name: table.number(known.name, range(1 << 40), known.default)
        for known in fields(Trouble)
    }
    table.finish()
    return Trouble(**given)


def _midnight(root: _Table, key: str, zone_minutes: int) -> int:
    value = root.take(key, date(2026, 1, 1))
    if not isinstance(value, date) or isinstance(value, datetime):
        raise root.fail(key, value, "a date: 2026-01-01")
    return (value.toordinal() - _EPOCH.toordinal()) * 86_400 - zone_minutes * 60


def _instant(root: _Table, key: str) -> int | None:
    value = root.take(key, None)
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise root.fail(key, value, "a date-time with offset: 2026-05-01T12:00:00Z")
    return int((value - _EPOCH).total_seconds())
