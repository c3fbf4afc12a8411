"""What a firmware profile says, as frozen values. No code path anywhere knows a meter model.

Sources of the words: IS 15959-2 for sets of data and associations, Blue Book for classes and
attributes, Green Book for authentication and ciphering. Types of values are never part of a
profile: two real meters of one standard disagree on every one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from gateway.errors import UsageError
from gateway.model import CaptureObject, ProfileKind, buffer_label
from gateway.profile.capture_words import Capture
from gateway.profile.event_words import EventCode, EventName, Name, Push, Slug
from gateway.profile.management import Management
from gateway.profile.quirks import Quirk
from gateway.profile.strict_toml import ObisText, Table, suggestion, table, text_as

ClientSap = Annotated[int, Field(ge=1, le=127)]
"""HDLC client addresses have one octet, seven bits of it."""
ServerSap = Annotated[int, Field(ge=0, le=0x3FFF)]
Positive = Annotated[int, Field(ge=1)]


class Authentication(StrEnum):
    """Mechanisms of ACSE; ``hls2`` is AES-128 of the challenge, ``gmac`` mechanism 5."""

    NONE = "none"
    LLS = "lls"
    HLS2 = "hls2"
    GMAC = "gmac"


class Ciphering(StrEnum):
    """What security suite 0 applies to each APDU."""

    NONE = "none"
    AUTHENTICATED = "authenticated"
    ENCRYPTED = "encrypted"
    BOTH = "both"


class CipheringStyle(StrEnum):
    """Service-specific (tags 0xC8..0xCF) or general (0xDB) global ciphering."""

    GLO = "glo"
    GENERAL_GLO = "general-glo"


class KeyName(StrEnum):
    """Names under which the keystore and key files hold a meter's secrets."""

    LLS_PASSWORD = "lls_password"  # noqa: S105 a name, not a secret
    HLS_SECRET = "hls_secret"  # noqa: S105 a name, not a secret
    HLS_SECRET_FIRMWARE = "hls_secret_firmware"  # noqa: S105 a name, not a secret
    GUEK = "guek"
    GAK = "gak"
    DEDICATED = "dedicated"


@table
class Match:
    """Which meters a profile is for; a list that is empty matches every meter.

    Texts are patterns where ``*`` stands for any characters and ``?`` for one. The objects are
    0-0:42.0.0*255 (logical device name) and of the nameplate 0-0:96.1.1*255 (manufacturer),
    1-0:0.2.0*255 (firmware), 0-0:94.91.9*255 (meter type) and 0-0:94.91.11*255 (category).
    """

    logical_device_name: tuple[str, ...] = ()
    manufacturer: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    meter_type: tuple[int, ...] = ()
    category: tuple[str, ...] = ()


@table
class Link:
    """How the meter is addressed and how patient one has to be with it."""

    server_upper: ServerSap = 1
    """Logical device: HDLC upper address, wPort of the wrapper."""
    server_address_octets: Literal[1, 2, 4] = 1
    server_lower: ServerSap | None = None
    """Physical device, where the site file or the URL does not say."""
    info_field_octets: Annotated[int, Field(ge=16, le=2030)] = 128
    """Largest HDLC information field to propose, each way; the meter may agree to less."""
    window: Annotated[int, Field(ge=1, le=7)] = 1
    """HDLC frames in a row to propose, each way; the meter may agree to less."""
    inter_octet_timeout_ms: Positive = 30
    response_timeout_ms: Positive = 20_000
    serial_timeout_ms: Positive = 2_000
    """The same on a serial line, where no radio or modem is in between."""
    turnaround_ms: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Silence that the meter needs after its answer before it hears the next frame."""
    inactivity_timeout_s: Positive = 120
    association_pause_s: Annotated[int, Field(ge=0, le=300)] = 0
    """Rest between the end of one association and the beginning of the next."""
    max_pdu_octets: Annotated[int, Field(ge=64, le=0xFFFF)] = 0xFFFF

    def __post_init__(self) -> None:
        if self.server_address_octets == 1 and self.server_lower is not None:
            raise ValueError("server_lower has no place in server_address_octets = 1")


@table
class Association:
    """One application association by its client SAP. Keys are named here, never held."""

    client: ClientSap
    authentication: Authentication = Authentication.NONE
    ciphering: Ciphering = Ciphering.NONE
    ciphering_style: CipheringStyle = CipheringStyle.GLO
    secret: KeyName | None = None
    """LLS password or HLS secret."""
    encryption_key: KeyName | None = None
    authentication_key: KeyName | None = None
    counter: ObisText | None = None
    """Invocation counter object (class 1, attribute 2) of this client."""
    association_object: ObisText | None = None
    """Association LN (class 15)."""
    security_setup: ObisText | None = None
    """Security setup (class 64)."""
    pre_established: bool = False
    dedicated_ciphering: bool = False
    """Propose a key for this association alone: ``dedicated`` of the keystore, else a fresh one."""
    general_block_window: Annotated[int, Field(ge=1, le=63)] | None = None
    """Propose general block transfer, taking so many blocks in a row; None: do not."""

    def __post_init__(self) -> None:
        needs_secret = self.authentication in (Authentication.LLS, Authentication.HLS2)
        if needs_secret and self.secret is None and not self.pre_established:
            raise ValueError(f"authentication = {self.authentication.value!r} needs secret")
        keyed = self.ciphering is not Ciphering.NONE or self.authentication is Authentication.GMAC
        if keyed and None in (self.encryption_key, self.authentication_key, self.counter):
            raise ValueError("ciphering needs encryption_key, authentication_key and counter")
        encrypts = self.ciphering in (Ciphering.ENCRYPTED, Ciphering.BOTH)
        if self.dedicated_ciphering and (self.pre_established or not encrypts):
            raise ValueError("dedicated_ciphering needs an AARQ, and a ciphering that encrypts it")

    @property
    def key_names(self) -> frozenset[KeyName]:
        """Every key that this association needs."""
        return frozenset(
            key for key in (self.secret, self.encryption_key, self.authentication_key) if key
        )


@table
class Time:
    """How the meter means its date-times; see ``gateway.dlms.cosem_time.TimeRules``."""

    zone_minutes: Annotated[int, Field(ge=-840, le=840)]
    """Local time minus UTC."""
    deviation_sign: Literal[-1, 1]
    """-1 as the Blue Book has it (India -330); +1 where the meter sends +330."""
    zero_date: Literal["as_sent", "not_specified"] = "as_sent"
    use_deviation: bool = True
    set_clock: Literal["never", "write", "shift"] = "never"
    """How the clock may be set (``gateway.dlms.meter_time.ClockSetting``), if the site wants it."""
    set_with: Name = "utility_settings"
    """Association with the right to set it."""


@table
class Attribute:
    """One attribute of one COSEM object, with the name that people and outputs use for it."""

    name: Name
    class_id: Positive
    obis: ObisText
    attribute: Annotated[int, Field(ge=-128, le=127)] = 2
    unlisted: bool = False
    """Captured, but not to be read by itself (no association shows it): a number in this column
    has no scaler anywhere, so it stays octets."""

    @property
    def source(self) -> CaptureObject:
        """The same as an entry of ``capture_objects``."""
        return CaptureObject(self.class_id, self.obis, self.attribute)


class Access(StrEnum):
    """Selective access by which rows of a buffer are asked for."""

    RANGE = "range"
    ENTRY = "entry"


class Stamp(StrEnum):
    """What the clock column of a row says."""

    START = "start"
    """Start of the interval that the row's values cover."""
    END = "end"
    INSTANT = "instant"
    """The row holds registers or momentary values at this time; it covers no interval."""


@table
class ProfileGeneric:
    """One buffer (class 7). ``columns`` are what is expected; capture_objects decide."""

    kind: ProfileKind
    log: str = ""
    """Which event log; "" for everything but events."""
    obis: ObisText
    scaler_profile: ObisText | None = None
    cadence_s: Positive | None = None
    """How often a row is captured; None where events or requests make rows."""
    access: Access
    stamp: Stamp
    depth_rows: Positive
    capture_period: ObisText | None = None
    """Object that holds the capture period in seconds (class 1, attribute 2)."""
    columns: Annotated[tuple[Attribute, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        if (self.kind is ProfileKind.EVENTS) != bool(self.log):
            raise ValueError("log names an event log: needed for events, for nothing else")
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column names stand twice: {', '.join(twice)}")

    @property
    def unlisted(self) -> frozenset[CaptureObject]:
        """The columns whose scaler nobody can read."""
        return frozenset(column.source for column in self.columns if column.unlisted)

    @property
    def label(self) -> str:
        """``block_load``, or ``events/voltage``."""
        return buffer_label(self.kind, self.log)


@table
class Relay:
    """The load switch and its limiter."""

    disconnect_control: ObisText
    """Class 70: output_state 2, control_state 3, control_mode 4."""
    association: Name
    """Association with the right to operate it."""
    limiter: ObisText | None = None
    """Class 71: threshold_active 3 is read, threshold_normal 4 is written."""


@table
class Transformer:
    """What a meter behind current (and voltage) transformers says of them (class 1, attribute 2).

    Their product is what secondary figures are multiplied by to be those of the connection.
    """

    current_ratio: ObisText
    voltage_ratio: ObisText | None = None
    """None: the meter hangs on the low-voltage line itself."""
    registers: Literal["primary", "secondary", "unknown"]
    """Which side the registers count; "unknown": nobody multiplies before it is found out."""


@table
class Display:
    """Objects that mirror prepaid figures on the meter's display (class 1, attribute 2)."""

    amount_unit: Literal["rupee", "paisa", "unknown"]
    objects: tuple[Attribute, ...]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("a date is written as a text: 2025-07-23") from None


@table
class FirmwareProfile:
    """Everything the product knows of one make and firmware; made by ``load_profile``."""

    name: Name
    description: Name
    standard: str = ""
    """Which standard's meters: ``IS 15959-2``."""
    phases: Literal[1, 3] | None = None
    """None where a base is for both."""
    inherits: tuple[str, ...] = ()
    """Names of the profiles beneath, nearest first."""
    match: Match | None = None
    """None: a base for others, never chosen by itself."""
    link: Link = Link()
    associations: Annotated[Table[Name, Association], Field(alias="association", min_length=1)]
    time: Time
    quirks: Table[Quirk, Name] = field(default_factory=dict)
    """Each with the reason why this firmware needs it."""
    objects: Annotated[tuple[Attribute, ...], Field(alias="object")] = ()
    profile_generics: Annotated[tuple[ProfileGeneric, ...], Field(alias="profile_generic")] = ()
    relay: Relay | None = None
    """None: a meter without a load switch, whatever a command asks for."""
    transformer: Transformer | None = None
    display: Display | None = None
    management: Management | None = None
    events: Table[Slug, Table[EventCode, Name]] = field(default_factory=dict)
    """Event log -> code -> meaning."""
    events_as_of: Annotated[date, text_as(_date)] | None = None
    """Of which day the list of codes, bits and names is."""
    event_names: Table[Slug, EventName] = field(default_factory=dict)
    """Stable name -> its codes and bits."""
    push: Push | None = None
    captures: Annotated[tuple[Capture, ...], Field(alias="capture")] = ()

    def association(self, name: str) -> Association:
        """One association; raise UsageError naming those that there are."""
        try:
            return self.associations[name]
        except KeyError:
            raise self._none("association", name, self.associations) from None

    def profile_generic(self, kind: ProfileKind, log: str = "") -> ProfileGeneric:
        """The buffer of a set of data (of one event log); raise UsageError if there is none."""
        for profile in self.profile_generics:
            if (profile.kind, profile.log) == (kind, log):
                return profile
        wanted = f"{kind}/{log}" if log else str(kind)
        raise self._none("profile", wanted, [profile.label for profile in self.profile_generics])

    def attribute(self, name: str) -> Attribute:
        """An object by its name; raise UsageError if there is none."""
        for entry in self.objects:
            if entry.name == name:
                return entry
        raise self._none("object", name, [entry.name for entry in self.objects])

    @property
    def writable_objects(self) -> tuple[Attribute, ...]:
        """Objects that ``[management]`` may name: those read by themselves, and the mirrors."""
        return (*self.objects, *(self.display.objects if self.display else ()))

    def name_of(self, source: CaptureObject, kind: ProfileKind | None = None) -> str | None:
        """What an attribute is called, in the columns of ``kind`` first; None if nowhere named."""
        wanted = (source.class_id, source.obis, source.attribute)
        ordered = sorted(self.profile_generics, key=lambda profile: profile.kind is not kind)
        for entry in (*(c for profile in ordered for c in profile.columns), *self.objects):
            if (entry.class_id, entry.obis, entry.attribute) == wanted:
                return entry.name
        return None

    def _none(self, what: str, name: str, known: Iterable[str]) -> UsageError:
        names = sorted(known)
        return UsageError(
            f"profile {self.name} has no {what} {name!r}: it has {', '.join(names) or 'none'}"
            f"{suggestion(name, names)}"
        )
