"""Topics, notices, signatures and what comes down signed."""

import base64
import hashlib
import hmac
import json
import pickle
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DecodeError, LimitExceeded, SecurityError, UsageError
from gateway.model import Account, ConnectionNo, Installation, MeterId, ProfileKind, Secret
from gateway.uplink import topics
from gateway.uplink.command import (
    AccountData,
    Command,
    Commit,
    ranges_of,
    read_command,
    sign_command,
)
from gateway.uplink.loopback import topic_matches
from gateway.uplink.message import Header, with_header
from gateway.uplink.notices import (
    Birth,
    Health,
    Notice,
    Result,
    State,
    StreamPosition,
    decode_notice,
    decode_result,
    encode_notice,
    presence,
)
from gateway.uplink.signature import MAX_TOKEN_OCTETS, SigningKey, TrustedKey, VerifyingKeys
from gateway.uplink.topics import Kind, Topic

EPOCH = "00112233aabbccdd"
# the key pair and signature of RFC 8037, appendix A
RFC_SEED = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
RFC_PUBLIC = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
KEY = SigningKey("backend-1", Secret(RFC_SEED))
KEYS = VerifyingKeys({"backend-1": TrustedKey("backend", RFC_PUBLIC)})
TYP = "smg.commit+jws"

ACCOUNT = Account(
    ConnectionNo("1234567890"),
    "आशा देवी",
    2000,
    1,
    "domestic",
    (
        Installation(ConnectionNo("1234567890"), MeterId("SE/01"), 0, 1_700_000_000),
        Installation(ConnectionNo("1234567890"), MeterId("SE02"), 1_700_000_000),
    ),
)
COMMIT = Commit(
    "backend", "gw1", 1_795_000_000, "readings", EPOCH, ((1, 4), (7, 7)), ((5, "unknown meter"),)
)
DATA = AccountData("backend", "gw1", 1_795_000_000, 3, 1_795_086_400, (ACCOUNT,))
COMMANDS: list[tuple[Kind, Command]] = [
    (Kind.COMMIT, COMMIT),
    (Kind.COMMIT, replace(COMMIT, committed=(), refused=())),
    (Kind.COMMIT, replace(COMMIT, newest=9)),
    (Kind.ACCOUNT, DATA),
    (Kind.ACCOUNT, replace(DATA, accounts=())),
]


def read(octets: bytes, kind: Kind = Kind.COMMIT, now_s: int = 1_795_000_000) -> Command:
    return read_command(octets, kind, keys=KEYS, gateway="gw1", now_s=now_s)


TOPICS = [
    ("smg/1/gw1/birth", Topic("gw1", Kind.BIRTH)),
    ("smg/1/gw1/state", Topic("gw1", Kind.STATE)),
    ("smg/1/gw1/health", Topic("gw1", Kind.HEALTH)),
    ("smg/1/gw1/commit", Topic("gw1", Kind.COMMIT)),
    ("smg/1/gw1/account", Topic("gw1", Kind.ACCOUNT)),
    ("smg/1/gw1/result/backend-7", Topic("gw1", Kind.RESULT, command="backend-7")),
    (
        "smg/1/gw1/readings/A%2F1%2B%23%20x/block_load",
        Topic("gw1", Kind.READINGS, meter=MeterId("A/1+# x"), profile=ProfileKind.BLOCK_LOAD),
    ),
]


def build(topic: Topic) -> str:
    if topic.meter is not None and topic.profile is not None:
        return topics.readings(topic.gateway, topic.meter, topic.profile)
    if topic.command is not None:
        return topics.result(topic.gateway, topic.command)
    return topics.plain(topic.gateway, topic.kind)


@pytest.mark.parametrize(("text", "topic"), TOPICS)
def test_a_topic_is_built_and_read_as_the_table_says(text: str, topic: Topic) -> None:
    assert build(topic) == text
    assert topics.parse(text) == topic


@given(meter=st.text(min_size=1, max_size=16), profile=st.sampled_from(ProfileKind))
def test_any_meter_number_makes_a_topic_without_wild_cards_and_comes_back(
    meter: str, profile: ProfileKind
) -> None:
    text = topics.readings("gw1", MeterId(meter), profile)
    assert text.count("/") == 5
    assert not set("+# \0") & set(text)
    assert topics.parse(text).meter == meter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "smg/1/gw1",
        "smg/2/gw1/birth",
        "smg/1//birth",
        "smg/1/+/birth",
        "smg/1/gw1/ledger",
        "smg/1/gw1/birth/x",
        "smg/1/gw1/readings/m",
        "smg/1/gw1/readings/m/weekly",
        "smg/1/gw1/readings//daily_load",
        "smg/1/gw1/readings/%41/daily_load",
        "smg/1/gw1/readings/%2f/daily_load",
        "smg/1/gw1/readings/%FF/daily_load",
        "smg/1/gw1/readings/+/daily_load",
        "smg/1/gw1/result/a b",
        "smg/1/gw1/result",
        "smg/1/gw1/readings/m/daily_load/x",
        "smg/1/gw1\n/birth",
    ],
)
def test_a_topic_that_nobody_here_builds_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        topics.parse(text)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a b", "-a", "x" * 65, "é", "a\n"])
def test_a_name_that_could_break_a_topic_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="gateway"):
        topics.plain(name, Kind.BIRTH)
    with pytest.raises(UsageError, match="command"):
        topics.result("gw1", name)


@pytest.mark.parametrize("meter", ["", "x" * 65, "\ud800"])
def test_a_meter_number_that_cannot_be_a_level_is_refused(meter: str) -> None:
    with pytest.raises(UsageError, match="meter number"):
        topics.readings("gw1", MeterId(meter), ProfileKind.BILLING)


def test_each_topic_is_subscribed_to_by_exactly_one_side() -> None:
    for text, topic in TOPICS:
        down = any(topic_matches(pattern, text) for pattern in topics.downlink("gw1"))
        up = any(topic_matches(pattern, text) for pattern in topics.from_all_gateways())
        assert (down, up) == (topic.kind.is_down, not topic.kind.is_down)


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("+/+", "a", False),
        ("a/b", "a/b", True),
        ("a/b", "a", False),
        ("a/+/c", "a//c", True),
    ],
)
def test_filters_match_as_mqtt_says(pattern: str, topic: str, matches: bool) -> None:
    assert topic_matches(pattern, topic) is matches


BIRTH = Birth(
    gateway="gw1",
    generation=4,
    at_s=1_795_000_000,
    software="1.0",
    streams=[StreamPosition(stream="readings", epoch=EPOCH, sequence=0)],
)
NOTICES: list[tuple[Notice, str]] = [
    (BIRTH, "smg/1/gw1/birth"),
    (State(gateway="gw1", generation=4, state="offline", at_s=None), "smg/1/gw1/state"),
    (Health(gateway="gw1", at_s=5, figures={"outbox_live_messages": 3}), "smg/1/gw1/health"),
    (Result(command="b-3", at_s=5, outcome="done", reason=""), "smg/1/gw1/result/b-3"),
]


@pytest.mark.parametrize(("notice", "topic"), NOTICES)
def test_a_notice_comes_back_as_it_went(notice: Notice, topic: str) -> None:
    octets = encode_notice(notice)
    assert decode_notice(octets, topics.parse(topic)) == notice
    document = json.loads(octets)
    for field in document:
        rest = {name: value for name, value in document.items() if name != field}
        with pytest.raises(DecodeError, match=field):
            decode_notice(json.dumps(rest).encode(), topics.parse(topic))


@pytest.mark.parametrize(("notice", "topic"), NOTICES)
def test_a_notice_on_another_topic_is_refused(notice: Notice, topic: str) -> None:
    octets = encode_notice(notice)
    for other in (topic.replace("gw1", "gw2"), topic.replace("b-3", "b-4")):
        if other == topic or ("result" in topic and "gw2" in other):
            continue
        with pytest.raises(DecodeError, match="topic"):
            decode_notice(octets, topics.parse(other))
    with pytest.raises(UsageError, match="no notice"):
        decode_notice(octets, topics.parse("smg/1/gw1/commit"))


def test_a_result_travels_under_a_header_of_its_own_gateway() -> None:
    result = Result(command="b-3", at_s=5, outcome="refused", reason="expired")
    header = Header("gw1", "readings", EPOCH, 9)
    octets = with_header(encode_notice(result), header)
    assert decode_result(octets, topics.parse("smg/1/gw1/result/b-3")) == (header, result)
    with pytest.raises(DecodeError, match="topic"):
        decode_result(octets, topics.parse("smg/1/gw2/result/b-3"))
    with pytest.raises(DecodeError, match="header"):
        decode_result(encode_notice(result), topics.parse("smg/1/gw1/result/b-3"))


@pytest.mark.parametrize(
    "notice",
    [
        State(gateway="gw1", generation=-1, state="online", at_s=1),
        State(gateway="", generation=1, state="online", at_s=1),
        Health(gateway="gw1", at_s=1, figures={"x" * 65: 1}),
        Result(command="c", at_s=1, outcome="done", reason="x" * 501),
    ],
)
def test_a_notice_its_reader_would_refuse_is_not_made(notice: Notice) -> None:
    with pytest.raises(UsageError):
        encode_notice(notice)


def test_a_birth_with_an_impossible_position_is_refused() -> None:
    bad = json.loads(encode_notice(BIRTH))
    bad["streams"][0]["epoch"] = "xyz"
    with pytest.raises(DecodeError, match="epoch"):
        decode_notice(json.dumps(bad).encode(), topics.parse("smg/1/gw1/birth"))


def test_birth_will_and_farewell_are_of_one_generation_and_retained() -> None:
    made = presence(BIRTH)
    assert made.will is not None
    assert made.farewell is not None
    said = [made.will, *made.births, made.farewell]
    assert all(publication.retain for publication in said)
    notices = [decode_notice(each.payload, topics.parse(each.topic)) for each in said]
    assert {getattr(notice, "generation", None) for notice in notices} == {4}
    states = [notice.state for notice in notices if isinstance(notice, State)]
    assert states == ["offline", "online", "offline"]


def test_signatures_are_those_of_rfc_8037() -> None:
    assert KEY.public_octets == RFC_PUBLIC
    token = KEY.sign(b"Example of Ed25519 signing", TYP)
    header, payload, signature = token.split(b".")
    signed = header + b"." + payload
    expected = Ed25519PrivateKey.from_private_bytes(RFC_SEED).sign(signed)
    assert base64.urlsafe_b64decode(signature + b"==") == expected
    assert payload == b"RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"


def test_an_independent_library_reads_our_signature_and_we_read_its() -> None:
    private = Ed25519PrivateKey.from_private_bytes(RFC_SEED)
    token = sign_command(COMMIT, KEY)
    claims = jwt.decode(
        token, private.public_key(), algorithms=["EdDSA"], audience="gw1",
        options={"verify_iat": False},
    )  # fmt: skip
    assert claims["committed"] == [[1, 4], [7, 7]]
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": "backend-1", "typ": TYP}
    theirs = jwt.encode(claims, private, "EdDSA", headers={"kid": "backend-1", "typ": TYP})
    assert read(theirs.encode()) == COMMIT


@pytest.mark.parametrize(("kind", "command"), COMMANDS)
def test_a_command_comes_back_as_it_was_signed(kind: Kind, command: Command) -> None:
    assert read(sign_command(command, KEY), kind) == command


def segment(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def forged(header: bytes, payload: bytes | None = None, seed: bytes = RFC_SEED) -> bytes:
    signed = segment(header) + b"." + segment(payload or b"{}")
    return signed + b"." + segment(Ed25519PrivateKey.from_private_bytes(seed).sign(signed))


def no_signature() -> bytes:
    return segment(b'{"alg":"none","typ":"smg.commit+jws","kid":"backend-1"}') + b".e30."


def public_key_as_hmac_secret() -> bytes:
    header = b'{"alg":"HS256","kid":"backend-1","typ":"smg.commit+jws"}'
    signed = segment(header) + b".e30"
    return signed + b"." + segment(hmac.digest(RFC_PUBLIC, signed, hashlib.sha256))


def non_canonical() -> bytes:
    token = KEY.sign(b"{}", TYP)
    # 64 octets leave four unused bits in the last character
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1:]) + 1 :][:1]


GOOD = KEY.sign(b"{}", TYP)
KID = b'"kid":"backend-1"}'
REST = b'"kid":"backend-1","typ":"smg.commit+jws"}'
FORGERIES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "three segments"),
    ("two segments", b"e30.e30", "three segments"),
    ("four segments", GOOD + b".e30", "three segments|base64url"),
    ("alg none", no_signature(), "exactly EdDSA"),
    ("public key as HMAC secret", public_key_as_hmac_secret(), "exactly EdDSA"),
    ("other type", KEY.sign(b"{}", "smg.account+jws"), "exactly EdDSA"),
    ("unknown key", SigningKey("other", Secret(RFC_SEED)).sign(b"{}", TYP), "not trusted"),
    ("other key", SigningKey("backend-1", Secret(bytes(32))).sign(b"{}", TYP), "is wrong"),
    ("fields reordered", forged(b'{"typ":"smg.commit+jws","alg":"EdDSA",' + KID), "exactly"),
    ("a field more", forged(b'{"crit":[],"alg":"EdDSA",' + REST), "exactly"),
    ("a blank", forged(b'{"alg":"EdDSA", ' + REST), "exactly"),
    ("a field twice", forged(b'{"alg":"EdDSA","kid":"x",' + REST), "exactly"),
    ("no kid", forged(b'{"alg":"EdDSA"}'), "no key id"),
    ("kid is a number", forged(b'{"alg":"EdDSA","kid":5}'), "no key id"),
    ("kid with quotes", forged(b'{"alg":"EdDSA","kid":"a\\"b"}'), "no key id"),
    ("header is a list", forged(b"[]"), "no key id"),
    ("header is not JSON", forged(b"\xff"), "not JSON"),
    ("header too long", forged(b'{"kid":"' + b"a" * 300 + b'"}'), "header over"),
    ("header nested", forged(b"[" * 200), "not JSON"),
    ("signature cut", GOOD[:-4], "64 octets|second spelling"),
    ("signature empty", GOOD[: GOOD.rindex(b".") + 1], "64 octets"),
    ("padding", GOOD + b"==", "base64url|second spelling"),
    ("second spelling", non_canonical(), "second spelling"),
    ("not base64", GOOD[:-1] + b"!", "base64url"),
    ("ordinary base64", GOOD[:-2] + b"+/", "base64url|second spelling"),
    ("a line end", GOOD + b"\n", "base64url|second spelling"),
    ("too large", b"a" * (MAX_TOKEN_OCTETS + 1), "octets"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "says"), [forgery[1:] for forgery in FORGERIES], ids=[f[0] for f in FORGERIES]
)
def test_a_forgery_is_refused(token: bytes, says: str) -> None:
    with pytest.raises(SecurityError, match=says):
        KEYS.verify(token, TYP)


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused(position: int, bit: int) -> None:
    token = bytearray(sign_command(COMMIT, KEY))
    token[position % len(token)] ^= 1 << bit
    with pytest.raises(SecurityError):
        read(bytes(token))


@given(junk=st.binary(max_size=300) | st.text("abc.-_", max_size=100).map(str.encode))
def test_any_octets_are_refused_as_a_signature(junk: bytes) -> None:
    with pytest.raises(SecurityError):
        read(junk)


def test_a_command_for_another_gateway_is_refused() -> None:
    with pytest.raises(SecurityError, match="another gateway"):
        read(sign_command(replace(COMMIT, gateway="gw2"), KEY))


def test_a_commit_never_serves_as_account_data_nor_the_reverse() -> None:
    with pytest.raises(SecurityError):
        read(sign_command(COMMIT, KEY), Kind.ACCOUNT)
    with pytest.raises(SecurityError):
        read(sign_command(DATA, KEY), Kind.COMMIT)
    with pytest.raises(UsageError, match="nothing signed"):
        read(sign_command(COMMIT, KEY), Kind.BIRTH)


@pytest.mark.parametrize("command", [COMMIT, DATA], ids=["commit", "account"])
def test_a_key_signs_in_the_name_of_its_own_issuer_only(command: Commit | AccountData) -> None:
    kind = Kind.COMMIT if isinstance(command, Commit) else Kind.ACCOUNT
    octets = sign_command(replace(command, issuer="supervisor"), KEY)
    with pytest.raises(SecurityError, match="signed by a key of 'backend' in another's name"):
        read_command(octets, kind, keys=KEYS, gateway="gw1", now_s=1_795_000_000)


def test_account_data_expires_and_a_commit_does_not() -> None:
    token = sign_command(DATA, KEY)
    assert read(token, Kind.ACCOUNT, DATA.not_after_s) == DATA
    with pytest.raises(SecurityError, match="expired 1 s ago"):
        read(token, Kind.ACCOUNT, DATA.not_after_s + 1)
    assert read(sign_command(COMMIT, KEY), now_s=2**40) == COMMIT


def claims(command: Command) -> Any:
    payload = sign_command(command, KEY).split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))


def resigned(command: Command, **changes: object) -> bytes:
    kind = "commit" if isinstance(command, Commit) else "account"
    document = claims(command) | changes
    return KEY.sign(json.dumps(document).encode(), f"smg.{kind}+jws")


WRONG_COMMITS: list[dict[str, Any]] = [
    {"committed": [[4, 1]]},
    {"committed": [[0, 1]]},
    {"committed": [[1, 2], [2, 3]]},
    {"committed": [[1, 2], [3, 4]]},
    {"committed": [[5, 6], [1, 2]]},
    {"committed": [[1, 1.0]]},
    {"committed": [[1]]},
    {"committed": [[2 * n + 1, 2 * n + 1] for n in range(10_001)]},
    {"refused": [{"sequence": 4, "reason": "x"}]},
    {"refused": [{"sequence": 9, "reason": "x"}, {"sequence": 9, "reason": "y"}]},
    {"refused": [{"sequence": 9, "reason": ""}]},
    {"refused": [{"sequence": 9}]},
    {"stream": "a/b"},
    {"epoch": "1"},
    {"schema": "smg.commit/2"},
    {"iat": -1},
    {"newest": -1},
    {"newest": None},
]


@pytest.mark.parametrize("changes", WRONG_COMMITS, ids=lambda changes: next(iter(changes)))
def test_a_signed_commit_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        read(resigned(COMMIT, **changes))


def account_with(**changes: object) -> dict[str, Any]:
    return {"accounts": [claims(DATA)["accounts"][0] | changes]}


WRONG_ACCOUNTS: list[dict[str, Any]] = [
    account_with(phases=2),
    account_with(sanctioned_load_w=-1),
    account_with(sanctioned_load_w=1.5),
    account_with(connection=""),
    account_with(installations=[{"meter": "m", "valid_from_s": 5, "valid_to_s": 5}]),
    account_with(installations=[{"meter": "", "valid_from_s": 5, "valid_to_s": None}]),
    {"accounts": account_with()["accounts"] * 2},
    {"sequence": 0},
]


@pytest.mark.parametrize("changes", WRONG_ACCOUNTS)
def test_signed_account_data_that_makes_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        read(resigned(DATA, **changes), Kind.ACCOUNT)


@pytest.mark.parametrize(
    "command",
    [
        replace(COMMIT, committed=((3, 2),)),
        replace(COMMIT, gateway="a/b"),
        replace(COMMIT, refused=((5, ""),)),
        replace(COMMIT, refused=((8, "x" * 201),)),
        replace(DATA, accounts=(replace(ACCOUNT, phases=2),)),
        replace(DATA, accounts=(replace(ACCOUNT, name="\ud800"),)),
    ],
)
def test_a_command_its_reader_would_refuse_is_not_signed(command: Command) -> None:
    with pytest.raises(UsageError):
        sign_command(command, KEY)


@given(payload=st.binary(max_size=200))
def test_signed_junk_ends_in_a_typed_error(payload: bytes) -> None:
    for kind, typ in ((Kind.COMMIT, TYP), (Kind.ACCOUNT, "smg.account+jws")):
        with suppress(DecodeError, LimitExceeded):
            read(KEY.sign(payload, typ), kind)


@given(sequences=st.lists(st.integers(1, 60)))
def test_ranges_hold_exactly_the_sequences_and_do_not_touch(sequences: list[int]) -> None:
    ranges = ranges_of(sequences)
    assert [n for low, high in ranges for n in range(low, high + 1)] == sorted(set(sequences))
    assert all(after[0] > before[1] + 1 for before, after in pairwise(ranges))


def test_a_signing_key_never_shows() -> None:
    assert repr(KEY) == "<signing key backend-1>"
    assert repr(KEY.seed) == "<secret>"
    assert KEY.seed.reveal() == RFC_SEED
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    assert SigningKey.generate("k").public_octets != SigningKey.generate("k").public_octets


@pytest.mark.parametrize(
    ("kid", "octets"), [("", bytes(32)), ("a b", bytes(32)), ('"', bytes(32)), ("k", bytes(31))]
)
def test_a_key_that_is_none_is_refused(kid: str, octets: bytes) -> None:
    with pytest.raises(UsageError):
        SigningKey(kid, Secret(octets))
    with pytest.raises(UsageError):
        VerifyingKeys({kid: TrustedKey("backend", octets)})
