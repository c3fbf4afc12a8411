"""docs/asyncapi.yaml says what the code does."""

import base64
import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.errors import DecodeError, UsageError
from gateway.events import EventKind, EventPhase, EventSource, MeterEvent
from gateway.model import (
    Account,
    Batch,
    CaptureList,
    CaptureObject,
    Column,
    ConnectionNo,
    Evidence,
    Installation,
    Instant,
    MeterId,
    Obis,
    ProfileKind,
    Row,
    Secret,
    TimeQuality,
)
from gateway.uplink import topics
from gateway.uplink.cells import MAX_EXPONENT, Form
from gateway.uplink.command import (
    MAX_ACCOUNTS,
    MAX_RANGES,
    MAX_REFUSED,
    AccountData,
    Command,
    Commit,
    sign_command,
)
from gateway.uplink.events import (
    MAX_EVENT_RAW_OCTETS,
    MAX_EVENTS,
    decode_events,
    encode_events,
    event_bodies,
)
from gateway.uplink.message import (
    MAX_COLUMNS,
    MAX_ROWS,
    MAX_SEQUENCE,
    Header,
    decode_readings,
    encode_readings,
    with_header,
)
from gateway.uplink.notices import (
    Birth,
    Health,
    Notice,
    Result,
    State,
    StreamPosition,
    encode_notice,
)
from gateway.uplink.signature import SigningKey
from gateway.uplink.topics import Kind
from gateway.uplink.wire import MAX_MESSAGE_OCTETS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
KEY = SigningKey("k1", Secret(bytes(32)))
EPOCH = "00112233aabbccdd"
HEADER = Header("gw1", "readings", EPOCH, 17)


def readings(profile: ProfileKind) -> bytes:
    columns = tuple(
        Column(CaptureObject(class_id, Obis.parse(obis), 2), scaler, unit, type_name)
        for class_id, obis, scaler, unit, type_name in (
            (8, "0-0:1.0.0*255", None, None, "octet-string"),
            (3, "1-0:1.8.0*255", -1, 30, "double-long-unsigned"),
            (1, "0-0:96.1.0*255", None, None, "visible-string"),
            (1, "0-0:96.1.1*255", None, None, "octet-string"),
            (1, "0-0:96.1.2*255", None, None, "boolean"),
            (1, "0-0:96.1.3*255", None, None, ""),
            (1, "0-0:96.1.4*255", None, None, "unsigned"),
        )
    )
    when = Instant(1795372200, "2026-11-23T00:00:00", TimeQuality.DERIVED)
    rows = (
        Row(1795372200, (when, Decimal("1.5"), "text", b"\1", True, None, Decimal(1)), b"\2\7"),
        Row(1795458600, (None, Decimal(7), None, None, False, None, "one"), b"\2\x07x"),
    )
    batch = Batch(
        MeterId("SE01"), profile, CaptureList(columns), rows, Evidence(1, b"MTR12345", 2**32 - 1)
    )
    return with_header(encode_readings(batch), HEADER)


def claims(command: Command) -> bytes:
    payload = sign_command(command, KEY).split(b".")[1]
    return base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))


HOME = ConnectionNo("100")
ACCOUNT = Account(
    HOME,
    "",
    0,
    3,
    "domestic",
    (Installation(HOME, MeterId("a"), 0, 5), Installation(HOME, MeterId("b"), 5)),
)
COMMIT = Commit("backend", "gw1", 5, "readings", EPOCH, ((1, 2), (4, 4)), ((6, "unreadable"),))
ACCOUNTS = AccountData("backend", "gw1", 5, 1, 9, (ACCOUNT,))
POSITION = StreamPosition(stream="readings", epoch=EPOCH, sequence=0)
NOTICES: list[Notice] = [
    Birth(gateway="gw1", generation=1, at_s=5, software="1", streams=[POSITION]),
    State(gateway="gw1", generation=1, state="online", at_s=5),
    State(gateway="gw1", generation=1, state="offline", at_s=None),
    Health(gateway="gw1", at_s=5, figures={"outbox_live_messages": 0}),
]
RESULT = Result(command="backend-1", at_s=5, outcome="refused", reason="expired")
EVENTS = [
    MeterEvent(
        EventKind("power_failure", EventPhase.OCCURRED, "power", 101),
        1795372200,
        TimeQuality.OK,
        True,
        EventSource.PUSH,
        b"\2\4",
        Evidence(1, b"MTR12345", 2**32 - 1),
    ),
    MeterEvent(
        EventKind("bit_119", EventPhase.ENDED, "", None),
        0,
        TimeQuality.INVALID,
        False,
        EventSource.DERIVED,
        b"",
        Evidence(1),
    ),
]
EXAMPLES: list[tuple[str, bytes]] = [
    *((type(notice).__name__, encode_notice(notice)) for notice in NOTICES),
    ("Result", with_header(encode_notice(RESULT), HEADER)),
    ("Events", with_header(encode_events(MeterId("SE01"), EVENTS), HEADER)),
    *(("Readings", readings(profile)) for profile in ProfileKind),
    ("Commit", claims(COMMIT)),
    ("AccountData", claims(ACCOUNTS)),
]


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {
            "$ref": f"#/components/schemas/{name}",
            "components": DOCUMENT["components"],
        }
    )


def accepts(name: str, document: object) -> bool:
    return bool(validator(name).is_valid(document))


@pytest.mark.parametrize(("name", "octets"), EXAMPLES)
def test_what_the_code_sends_is_what_the_document_says(name: str, octets: bytes) -> None:
    validator(name).validate(json.loads(octets))


@pytest.mark.parametrize(("name", "octets"), EXAMPLES)
def test_the_document_requires_every_field_the_code_sends(name: str, octets: bytes) -> None:
    document = json.loads(octets)
    for field in document:
        rest = {key: value for key, value in document.items() if key != field}
        assert not accepts(name, rest), f"{field} is not required"


@pytest.mark.parametrize(("name", "octets"), EXAMPLES)
def test_the_document_describes_every_field_the_code_sends(name: str, octets: bytes) -> None:
    def known(schema: dict[str, Any]) -> set[str]:
        if "$ref" in schema:
            return known(SCHEMAS[schema["$ref"].rpartition("/")[2]])
        parts = (known(part) for part in schema.get("allOf", ()))
        return set(schema.get("properties", {})).union(*parts)

    assert known(SCHEMAS[name]) == set(json.loads(octets))


@pytest.mark.parametrize("command", [COMMIT, ACCOUNTS])
def test_signed_messages_have_the_documented_spelling(command: Command) -> None:
    assert accepts("Signed", sign_command(command, KEY).decode())
    assert not accepts("Signed", sign_command(command, KEY).decode() + "=")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows", 0, "values", 1), 1.5),
        (("rows", 0, "values", 1), True),
        (("rows", 0, "time_quality"), "fine"),
        (("rows", 0, "digest"), "00"),
        (("columns", 1, "form"), "float"),
        (("columns", 1, "scaler"), 1001),
        (("columns", 1, "unit"), 256),
        (("epoch",), "0"),
        (("sequence",), 0),
        (("gateway",), "a/b"),
        (("evidence", "invocation_counter"), 2**32),
    ],
)
def test_document_and_code_refuse_the_same(path: tuple[str | int, ...], value: object) -> None:
    document = json.loads(readings(ProfileKind.DAILY_LOAD))
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert not accepts("Readings", document)
    with pytest.raises(DecodeError):
        decode_readings(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("events",), []),
        (("events", 0, "name"), "Power failure"),
        (("events", 0, "phase"), "maybe"),
        (("events", 0, "code"), 65536),
        (("events", 0, "code"), 1.5),
        (("events", 0, "at_s"), "now"),
        (("events", 0, "timed_by"), "somebody"),
        (("events", 0, "source"), "rumour"),
        (("events", 0, "evidence", "server_system_title"), "00"),
    ],
)
def test_document_and_code_refuse_the_same_events(
    path: tuple[str | int, ...], value: object
) -> None:
    document = json.loads(with_header(encode_events(MeterId("SE01"), EVENTS), HEADER))
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert not accepts("Events", document)
    with pytest.raises(DecodeError):
        decode_events(json.dumps(document).encode())


def test_events_come_back_as_they_were_sent_and_for_their_own_topic_only() -> None:
    octets = with_header(encode_events(MeterId("SE01"), EVENTS), HEADER)
    message = decode_events(octets, topics.parse(topics.events("gw1", MeterId("SE01"))))
    assert (message.header, message.meter, list(message.events)) == (HEADER, "SE01", EVENTS)
    for topic in (topics.events("gw2", MeterId("SE01")), topics.events("gw1", MeterId("SE02"))):
        with pytest.raises(DecodeError):
            decode_events(octets, topics.parse(topic))


def test_many_long_events_go_into_messages_that_a_broker_takes() -> None:
    long = replace(EVENTS[0], raw=bytes(70_000))
    bodies = list(event_bodies(MeterId("SE01"), [long] * (2 * MAX_EVENTS + 1)))
    assert len(bodies) == 3
    first = decode_events(with_header(bodies[0], HEADER))
    assert first.events[0].raw == bytes(MAX_EVENT_RAW_OCTETS)


def test_an_event_whose_words_cannot_travel_is_refused_before_it_is_stored() -> None:
    for kind in (
        EventKind("Two words", EventPhase.OCCURRED, "", 1),
        replace(EVENTS[0].kind, code=-1),
    ):
        with pytest.raises(UsageError):
            encode_events(MeterId("SE01"), [replace(EVENTS[0], kind=kind)])


def test_every_schema_name_in_the_code_is_in_the_document_and_the_reverse() -> None:
    source = "".join(path.read_text() for path in (ROOT / "gateway/uplink").glob("*.py"))
    in_code = set(re.findall(r'"(smg\.[a-z]+/\d+)"', source))
    in_document = set(
        re.findall(r"const: (smg\.[a-z]+/\d+)", (ROOT / "docs/asyncapi.yaml").read_text())
    )
    assert in_code == in_document
    types = set(re.findall(r'"(smg\.[a-z]+\+jws)"', source))
    assert types == set(re.findall(r"smg\.[a-z]+\+jws", json.dumps(DOCUMENT)))


def test_channels_are_the_topics_and_operations_their_direction() -> None:
    built = {kind: f"smg/1/{{gateway}}/{kind.value}" for kind in Kind}
    built[Kind.READINGS] += "/{meter}/{profile}"
    built[Kind.EVENTS] += "/{meter}"
    built[Kind.RESULT] += "/{command}"
    channels = DOCUMENT["channels"]
    assert {Kind(name): channel["address"] for name, channel in channels.items()} == built
    filled = {
        name: channel["address"].format(gateway="gw1", meter="m", profile="billing", command="c-1")
        for name, channel in channels.items()
    }
    assert {name: topics.parse(topic).kind for name, topic in filled.items()} == {
        kind.value: kind for kind in Kind
    }
    directions = {
        operation["channel"]["$ref"].rpartition("/")[2]: operation["action"]
        for operation in DOCUMENT["operations"].values()
    }
    assert directions == {kind.value: "receive" if kind.is_down else "send" for kind in Kind}


def test_limits_and_words_are_those_of_the_code() -> None:
    readings_part = SCHEMAS["Readings"]["allOf"][1]["properties"]
    assert readings_part["rows"]["maxItems"] == MAX_ROWS
    assert readings_part["columns"]["maxItems"] == MAX_COLUMNS
    profiles = [profile.value for profile in ProfileKind]
    assert readings_part["profile"]["enum"] == profiles
    assert DOCUMENT["components"]["parameters"]["profile"]["enum"] == profiles
    assert SCHEMAS["Column"]["properties"]["form"]["enum"] == [form.value for form in Form]
    assert SCHEMAS["Column"]["properties"]["scaler"]["maximum"] == MAX_EXPONENT
    qualities = [quality.value for quality in TimeQuality]
    assert SCHEMAS["Row"]["properties"]["time_quality"]["enum"] == qualities
    assert SCHEMAS["Sequence"]["maximum"] == MAX_SEQUENCE
    commit = SCHEMAS["Commit"]["allOf"][1]["properties"]
    assert commit["committed"]["maxItems"] == MAX_RANGES
    assert commit["refused"]["maxItems"] == MAX_REFUSED
    accounts = SCHEMAS["AccountData"]["allOf"][1]["properties"]["accounts"]
    assert accounts["maxItems"] == MAX_ACCOUNTS
    assert SCHEMAS["Event"]["properties"]["time_quality"]["enum"] == qualities
    assert SCHEMAS["Event"]["properties"]["phase"]["enum"] == [one.value for one in EventPhase]
    assert SCHEMAS["Event"]["properties"]["source"]["enum"] == [one.value for one in EventSource]
    raw = len(base64.b64encode(bytes(MAX_EVENT_RAW_OCTETS)))
    assert SCHEMAS["Event"]["properties"]["raw"]["maxLength"] == raw
    assert SCHEMAS["Events"]["allOf"][1]["properties"]["events"]["maxItems"] == MAX_EVENTS
    assert f"at most {MAX_MESSAGE_OCTETS} octets" in DOCUMENT["info"]["description"]


def test_every_reference_leads_somewhere() -> None:
    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [ref for value in node.values() for ref in references(value)]
        if isinstance(node, list):
            return [ref for value in node for ref in references(value)]
        return []

    found = references(DOCUMENT)
    assert len(found) > 50
    for reference in found:
        target: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
