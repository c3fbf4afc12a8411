"""Recorded octets through the inspector and the links: whole, singly, in junk, changed, random."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.dlms import axdr
from gateway.dlms.apdu import (
    Aarq,
    CipheredApdu,
    Conformance,
    GetResponseWithDatablock,
    InitiateRequest,
    InvokeId,
)
from gateway.dlms.axdr import Data, Tag
from gateway.dlms.hdlc.address import HdlcAddress
from gateway.dlms.hdlc.frame import encode_frame
from gateway.dlms.hdlc.link import HdlcLink
from gateway.dlms.inspection import (
    InspectionKeys,
    Inspector,
    Quirks,
    explain_capture,
    read_capture,
)
from gateway.dlms.limits import Limits
from gateway.dlms.link import NEED_DATA, ApduReceived, LinkEvent, LinkOpened, Role
from gateway.dlms.security import GLO_TAGS, Gcm, GlobalKeys
from gateway.errors import ConfigError, DecodeError, GatewayError, SecurityError
from gateway.model import Secret
from proofs.captures import CaptureFile, capture_files
from proofs.octet_checks import (
    apdus_fed_singly,
    frames_fed_singly,
    hdlc_frame,
    in_junk,
    is_wrapper,
    with_flipped_tag_bits,
    with_wrong_authentication_keys,
)

FILES = {file.name: file for file in capture_files()}
LLC = b"\xe6\xe7\x00"
RECORDED = [
    (file, octets, f"{file.name}-{number}")
    for file in FILES.values()
    if not file.capture.link_only
    for number, octets in enumerate(file.frames)
]


def cases(fits: Callable[[CaptureFile, bytes], object]) -> list[Any]:
    """The recorded frames that fit, as parameters ``file`` and ``octets``."""
    return [
        pytest.param(file, octets, id=name) for file, octets, name in RECORDED if fits(file, octets)
    ]


HDLC = cases(lambda _, octets: hdlc_frame(octets))
WRAPPED = cases(lambda _, octets: is_wrapper(octets))
LINKED = cases(lambda _, octets: apdus_fed_singly(octets) is not None)
TAGGED = cases(lambda file, _: file.has_tags and file.capture.keys.authentication)
STREAMS = [
    pytest.param(octets, stated, id=stated["case"])
    for number, octets in enumerate(FILES["hdlc_stream_cases"].frames)
    for stated in [FILES["hdlc_stream_cases"].document["expected"][f"frame_{number}"]]
]
KEYS = InspectionKeys(
    encryption=Secret(bytes(range(16))),
    authentication=Secret(bytes(range(16, 32))),
    dedicated=Secret(bytes(range(32, 48))),
    client_title=b"CLIENT01",
    server_title=b"SERVER01",
)


def inspector_of(file: CaptureFile) -> Inspector:
    return Inspector(file.capture.keys, file.quirks)


def test_the_cases_are_all_there() -> None:
    counts = map(len, (HDLC, WRAPPED, LINKED, TAGGED, STREAMS))
    assert tuple(counts) == (9, 13, 16, 18, 11)


# --- octet by octet ------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "octets"), HDLC)
def test_a_frame_fed_octet_by_octet_is_the_same_frame(file: CaptureFile, octets: bytes) -> None:
    assert frames_fed_singly(octets) == [hdlc_frame(octets)]


@pytest.mark.parametrize(("file", "octets"), LINKED)
def test_an_apdu_fed_octet_by_octet_has_the_same_fields(file: CaptureFile, octets: bytes) -> None:
    (whole,) = inspector_of(file).inspect(octets)
    apdus = apdus_fed_singly(octets)
    assert apdus is not None
    (apdu,) = apdus
    fields = inspector_of(file).apdu(apdu)
    assert "apdu" in fields
    assert fields.items() <= whole.items()


@pytest.mark.parametrize(("octets", "stated"), STREAMS)
def test_a_stream_holds_the_stated_frames_whole_and_octet_by_octet(octets, stated) -> None:
    found = Inspector().link_frames(octets)
    assert found["frames_found"] == stated["frames_found"]
    assert found["frames"] == stated.get("frames", [])
    assert found["octet_stuffing"] is stated["octet_stuffing"]
    if not stated["octet_stuffing"]:
        payloads = [frame.information.hex().upper() for frame in frames_fed_singly(octets)]
        assert payloads == [frame["payload_hex"] for frame in stated.get("frames", [])]


def fed_singly(link: HdlcLink, octets: bytes) -> list[LinkEvent]:
    events: list[LinkEvent] = []
    for octet in octets:
        link.receive_data(bytes((octet,)))
        while (event := link.next_event()) is not NEED_DATA:
            events.append(event)
    return events


def test_a_recorded_association_plays_through_both_ends_octet_by_octet() -> None:
    """Our client asks with exactly the recorded octets, our server with what it is asked."""
    snrm, ua, aarq, aare, _ = FILES["hdlc_association_public_client"].frames
    ends = (HdlcAddress(16), HdlcAddress(1, 17, 2))
    client, server = (HdlcLink(role, client=ends[0], server=ends[1]) for role in Role)
    client.connect()
    assert client.data_to_send() == snrm
    assert fed_singly(server, snrm) == [LinkOpened()]
    assert fed_singly(client, ua) == [LinkOpened()]
    (asked,) = fed_singly(server, aarq)
    assert isinstance(asked, ApduReceived)
    assert Inspector().apdu(asked.apdu)["apdu"] == "AARQ"
    client.send_apdu(asked.apdu)
    assert client.data_to_send() == aarq
    (answered,) = fed_singly(client, aare)
    assert isinstance(answered, ApduReceived)
    server.data_to_send()
    server.send_apdu(answered.apdu)
    assert server.data_to_send() == aare
    assert Inspector().apdu(answered.apdu)["result"] == "accepted"


# --- junk ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "octets"), HDLC)
def test_junk_around_a_frame_changes_nothing(file: CaptureFile, octets: bytes) -> None:
    whole = inspector_of(file).inspect(octets)
    for seed in range(25):
        buried = in_junk(octets, random.Random(seed))
        assert inspector_of(file).inspect(buried) == whole, buried.hex()


@given(before=st.binary(max_size=60), behind=st.binary(max_size=60))
def test_any_junk_around_a_frame_leaves_its_message(before: bytes, behind: bytes) -> None:
    assume(before[:1] != b"\x68")
    file = FILES["aidon_no_1phase_hdlc"]
    whole = inspector_of(file).inspect(file.frames[0])
    assert whole[0] in inspector_of(file).inspect(before + file.frames[0] + behind)


def test_the_junk_is_not_empty_and_not_always_the_same() -> None:
    streams = {in_junk(b"", random.Random(seed)) for seed in range(25)}
    assert len(streams) > 20
    assert any(b"\x7e\xa0" in stream for stream in streams)


# --- tampering -----------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "octets"), TAGGED)
def test_every_changed_bit_of_a_tag_is_refused(file: CaptureFile, octets: bytes) -> None:
    assert inspector_of(file).inspect(octets)  # and the unchanged one is not
    changed = list(with_flipped_tag_bits(octets))
    assert len(set(changed)) == 96
    for tampered in changed:
        assert len(tampered) == len(octets)
        with pytest.raises(SecurityError, match="tag does not verify"):
            inspector_of(file).inspect(tampered)


@pytest.mark.parametrize(("file", "octets"), TAGGED)
def test_every_authentication_key_with_a_changed_bit_is_refused(
    file: CaptureFile, octets: bytes
) -> None:
    wrong = list(with_wrong_authentication_keys(file.capture))
    assert len(wrong) == 128
    for capture in wrong:
        with pytest.raises(SecurityError, match="tag does not verify"):
            Inspector(capture.keys).inspect(octets)


@pytest.mark.parametrize("octet", range(1, 6))
def test_a_changed_header_of_a_tagged_message_is_refused_or_no_message(octet: int) -> None:
    """Security control and counter are under the tag too."""
    sealed = bytearray(glo(b"\xc0\x02\xc1\0\0\0\1", counter=9))
    sealed[1 + octet] ^= 1
    with pytest.raises(SecurityError):
        Inspector(KEYS).inspect(bytes(sealed))


# --- ciphering -----------------------------------------------------------------------------


def sealed_body(plain: bytes, *, key: Secret | None, title: bytes, counter: int, control: int):
    assert key is not None
    assert KEYS.authentication is not None
    return Gcm(GlobalKeys(encryption=key, authentication=KEYS.authentication)).seal(
        title=title, counter=counter, security_control=control, plain=plain
    )


def glo(
    plain: bytes,
    *,
    counter: int = 1,
    control: int = 0x30,
    tag: int | None = None,
    key: Secret | None = KEYS.encryption,
    title: bytes = b"CLIENT01",
    stated_title: bytes | None = None,
) -> bytes:
    body = sealed_body(plain, key=key, title=title, counter=counter, control=control)
    return CipheredApdu(
        tag=tag or GLO_TAGS[plain[0]],
        system_title=stated_title,
        security_control=control,
        invocation_counter=counter,
        body=body,
    ).encode()


GET_NEXT = b"\xc0\x02\xc1\0\0\0\1"
GET_ANSWER = b"\xc4\x01\xc1\0\x11\x05"


@pytest.mark.parametrize("control", [0x10, 0x20, 0x30])
def test_requests_open_under_the_clients_title_and_answers_under_the_meters(control: int) -> None:
    inspector = Inspector(KEYS)
    (asked,) = inspector.inspect(glo(GET_NEXT, control=control))
    assert asked["plaintext_apdu"] == "GET-request-next"
    assert asked["tag_verified"] is (control != 0x20)
    (answer,) = inspector.inspect(glo(GET_ANSWER, control=control, title=b"SERVER01"))
    assert answer["value"] == 5


def test_a_dedicated_key_of_the_association_opens_what_follows() -> None:
    fresh = Secret(bytes(range(64, 80)))
    initiate = InitiateRequest(Conformance.GET, 1200, fresh).encode()
    inspector = Inspector(replace(KEYS, dedicated=None))
    before = inspector.inspect(glo(GET_NEXT, tag=0xD0, key=fresh))
    assert before[0]["not_deciphered"] == "not known: dedicated key"
    inspector.inspect(glo(initiate))
    (asked,) = inspector.inspect(glo(GET_NEXT, tag=0xD0, key=fresh))
    assert asked["apdu"] == "ded-get-request"
    assert asked["plaintext_apdu"] == "GET-request-next"


def test_titles_of_the_association_open_what_follows() -> None:
    frames = FILES["greenbook_ciphered_suite0"].frames
    keys = replace(FILES["greenbook_ciphered_suite0"].capture.keys, client_title=None)
    inspector = Inspector(keys)
    (before,) = inspector.inspect(frames[3])
    assert before["not_deciphered"] == "not known: system title of the sender"
    inspector.inspect(frames[0])
    assert inspector.inspect(frames[3])[0]["tag_verified"] is True


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (glo(GET_NEXT, tag=0xC9), "holds another service"),
        (glo(GET_NEXT, tag=0xDB, stated_title=b"CLIENT0"), "a system title has 8 octets, not 7"),
        (glo(GET_NEXT, control=0x31), "none of suite 0"),
        (glo(GET_NEXT, control=0x70), "none of suite 0"),
        (bytes.fromhex("C8050000000001"), "none of suite 0"),
        (bytes.fromhex("C8083000000001AABBCC"), "shorter than its tag"),
        (bytes.fromhex("C8052000000001"), "holds nothing"),
    ],
)
def test_protection_that_does_not_fit_is_refused(octets: bytes, said: str) -> None:
    with pytest.raises(SecurityError, match=said):
        Inspector(KEYS).inspect(octets)


def test_deciphered_noise_without_a_tag_is_called_a_wrong_key() -> None:
    octets = glo(GET_NEXT, control=0x20, tag=0xDB, stated_title=b"CLIENT01")
    wrong = replace(KEYS, encryption=Secret(bytes(16)))
    with pytest.raises(SecurityError, match="wrong key, or changed octets"):
        Inspector(wrong).inspect(octets)


def test_a_tagged_message_that_holds_no_apdu_is_the_senders_fault() -> None:
    with pytest.raises(DecodeError, match="no APDU tag"):
        Inspector(KEYS).inspect(glo(b"\xfe\1\2", tag=0xDB, stated_title=b"CLIENT01"))


def test_ciphered_within_ciphered_is_refused() -> None:
    inner = glo(GET_NEXT)
    with pytest.raises(DecodeError, match="within a ciphered APDU"):
        Inspector(KEYS).inspect(glo(inner, tag=0xDB, stated_title=b"CLIENT01"))


def test_an_association_within_an_association_is_refused() -> None:
    aarq = Aarq(1, Aarq(1, b"\x01").encode()).encode()
    with pytest.raises(DecodeError, match="within an association APDU"):
        Inspector().inspect(aarq)


def test_no_key_shows_in_a_repr() -> None:
    assert "00010203" not in repr(KEYS)
    assert "secret" in repr(KEYS)


# --- several frames ------------------------------------------------------------------------

CLIENT, METER = b"\x21", b"\x02\x23"
UI, RR = 0x13, 0x11


def segment(payload: bytes, number: int, *, more: bool) -> bytes:
    return encode_frame(CLIENT + METER, 0x10 | number << 1, payload, more)


def receive_ready(number: int) -> bytes:
    return encode_frame(METER + CLIENT, RR | number << 5)


def test_segments_are_joined_through_the_acknowledgements_between_them() -> None:
    payload = LLC + GET_ANSWER
    stream = (
        segment(payload[:4], 0, more=True)
        + receive_ready(1)
        + segment(payload[4:6], 1, more=True)
        + receive_ready(2)
        + segment(payload[4:6], 1, more=True)  # not heard: sent again
        + receive_ready(2)
        + segment(payload[6:], 2, more=False)
    )
    messages = Inspector().inspect(stream)
    assert [message["frame"] for message in messages] == ["RR", "RR", "RR", "I"]
    assert messages[-1]["value"] == 5
    assert messages[-1]["link_frames"] == 3


def test_segments_of_both_directions_do_not_mix() -> None:
    payload = LLC + GET_ANSWER
    stream = (
        segment(payload[:4], 0, more=True)
        + encode_frame(METER + CLIENT, UI, GET_NEXT)
        + segment(payload[4:], 1, more=False)
    )
    asked, answer = Inspector().inspect(stream)
    assert asked["apdu"] == "GET-request-next"
    assert answer["value"] == 5


def test_a_frame_is_found_behind_more_noise_than_a_session_would_bear() -> None:
    noise = b"\xff" * (Limits().garbage_octets + 1)
    (message,) = Inspector().inspect(noise + encode_frame(CLIENT + METER, UI, LLC + GET_ANSWER))
    assert message["value"] == 5


def stuffed(octets: bytes) -> bytes:
    inner = octets[1:-1].replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
    return b"\x7e" + inner + b"\x7e"


def test_a_stuffed_frame_ends_where_its_flag_stands() -> None:
    frame = encode_frame(CLIENT + METER, UI, b"\x7e\x7d")
    found = Inspector().link_frames(stuffed(frame))
    assert (found["octet_stuffing"], found["frames_found"]) == (True, 1)
    longer = stuffed(frame + b"\x01\x02\x7e")
    assert Inspector().link_frames(longer)["frames_found"] == 0


def test_segments_without_an_end_are_called_incomplete() -> None:
    (message,) = Inspector().inspect(segment(LLC + GET_ANSWER[:3], 0, more=True))
    assert message["incomplete"] is True
    assert message["information_octets"] == 3
    assert "apdu" not in message


def test_an_llc_header_written_twice_is_taken_off() -> None:
    (message,) = Inspector().inspect(encode_frame(CLIENT + METER, UI, LLC + LLC + GET_ANSWER))
    assert message["value"] == 5


def block(number: int, data: bytes, *, last: bool) -> bytes:
    return GetResponseWithDatablock(InvokeId(), last, number, data).encode()


def test_blocks_seen_from_the_first_to_the_last_give_the_joined_value() -> None:
    rows = Data(Tag.ARRAY, (Data(Tag.STRUCTURE, (Data(Tag.UNSIGNED, 5), Data(Tag.NULL, None))),))
    whole = axdr.encode(rows)
    frames = [
        encode_frame(CLIENT + METER, UI, LLC + block(1, whole[:3], last=False)),
        encode_frame(CLIENT + METER, UI, LLC + block(2, whole[3:], last=True)),
    ]
    first, last = Inspector().inspect(b"".join(frames))
    assert "value" not in first
    assert last["value"] == [[5, None]]
    assert (last["rows"], last["columns"]) == (1, 2)
    # Without the first one, the rest is shown as it is.
    (alone,) = Inspector().inspect(frames[1])
    assert "value" not in alone
    assert alone["data_hex"] == whole[3:].hex().upper()


# --- values --------------------------------------------------------------------------------


def value_of(hexadecimal: str) -> object:
    (message,) = Inspector().inspect(bytes.fromhex(hexadecimal))
    return message["value"]


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        ("0900", ""),
        ("09024142", "AB"),
        ("0902417F", "417F"),
        ("090C 07E7 01 0F 07 0A1E00FF 8000 00", "2023-01-15T10:30:00"),
        ("090C 07E7 01 0F 07 0A1E00FF FEB6 00", "2023-01-15T10:30:00+05:30"),
        ("090C 07E7 01 0F 07 0A1E00FF 7000 00", "2023-01-15T10:30:00"),
        ("090C FFFF FF FF FF FFFFFFFF 8000 FF", "FFFFFFFFFFFFFFFFFF8000FF"),
        ("090C 313831323230303030303039", "181220000009"),
        ("19 07E7 01 0F 07 0A1E00FF 8000 00", "2023-01-15T10:30:00"),
        ("17 7FC00000", None),  # not a number
        ("05 FFFFFFFB", -5),
        ("1B 0A1E0000", "0A1E0000"),
        ("0301", True),
    ],
)
def test_octets_become_what_people_read(octets: str, shown: object) -> None:
    assert value_of(octets) == shown


@pytest.mark.parametrize(
    ("scaler", "shown"), [("00", "5"), ("FF", "0.5"), ("02", "500"), ("7F", "5" + "0" * 127)]
)
def test_scaled_values_are_exact(scaler: str, shown: str) -> None:
    body = f"0F00000000 00 0203 0906 0100010800FF 1105 0202 0F{scaler} 161E"
    (message,) = Inspector().inspect(bytes.fromhex(body))
    named = message["obis"]
    assert isinstance(named, dict)
    assert str(named["1.0.1.8.0.255"]["value"]) == shown
    assert named["1.0.1.8.0.255"]["unit"] == "Wh"


# --- capture documents ---------------------------------------------------------------------


def made_capture(*frames: str, layout: str = "each", **other: object) -> dict[str, object]:
    return {"id": "made", "layout": layout, "frames_hex": list(frames), **other}


def test_a_frame_of_a_capture_that_cannot_be_read_is_named() -> None:
    capture = read_capture(made_capture("1105", "FE"), "made.toml")
    with pytest.raises(DecodeError, match=r"frame 1: .*no APDU tag"):
        explain_capture(capture)


def test_a_capture_that_states_one_message_and_holds_two_is_refused() -> None:
    frame = encode_frame(CLIENT + METER, UI, LLC + GET_ANSWER).hex()
    capture = read_capture(made_capture(frame, frame, layout="message"), "made.toml")
    with pytest.raises(DecodeError, match="2 messages where the capture states one"):
        explain_capture(capture)


def test_what_no_quirk_mends_is_told_as_strict_reading_found_it() -> None:
    frame = FILES["kaifa_no_lists"].frames[0]
    capture = read_capture(made_capture(frame[:-1].hex()), "made.toml")
    with pytest.raises(DecodeError, match="tagged octet-string"):
        explain_capture(capture)


def test_a_quirk_is_not_named_where_it_was_not_needed() -> None:
    capture = FILES["kamstrup_no_1phase"].capture
    assert explain_capture(capture, quirks=Quirks(tagged_date_time=True))["quirks_used"] == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"frames_hex": []}, "frames_hex"),
        ({"frames_hex": [5]}, "frames_hex[0]"),
        ({"keys": 5}, "keys"),
        ({"keys": {"authentication": 5}}, "keys.authentication"),
        ({"make": 5}, "make"),
        ({"layout": ""}, "layout"),
    ],
)
def test_a_capture_that_is_wrong_is_a_configuration_error(change, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_capture({**made_capture("1105"), **change}, "made.toml")
    assert caught.value.key == key


# --- hostile octets ------------------------------------------------------------------------

INSPECTORS = [
    Inspector,
    lambda: Inspector(KEYS, Quirks(tagged_date_time=True)),
    lambda: Inspector(FILES["greenbook_ciphered_suite0"].capture.keys),
]


def look(make: int, octets: bytes) -> None:
    """Ends in messages or in an error of the tree; anything else fails the test."""
    inspector = INSPECTORS[make]()
    inspector.link_frames(octets)
    with suppress(GatewayError):
        inspector.inspect(octets)


makes = st.integers(0, len(INSPECTORS) - 1)


@given(make=makes, octets=st.binary(max_size=300))
def test_random_octets_end_in_messages_or_a_typed_error(make: int, octets: bytes) -> None:
    look(make, octets)


@given(
    make=makes,
    octets=st.sampled_from([octets for _, octets, _ in RECORDED]),
    changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 1 << 20),
)
def test_changed_recordings_end_in_messages_or_a_typed_error(
    make: int, octets: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    changed = bytearray(octets)
    for place, value in changes:
        changed[place % len(changed)] = value
    look(make, bytes(changed))
    look(make, bytes(changed[: cut % (len(changed) + 1)]))


@given(make=makes, control=st.integers(0, 255), information=st.binary(max_size=120))
def test_any_information_in_a_good_frame_ends_in_messages_or_a_typed_error(
    make: int, control: int, information: bytes
) -> None:
    look(make, encode_frame(CLIENT + METER, control, information))


@given(make=makes, plain=st.binary(min_size=1, max_size=120), control=st.sampled_from([16, 32, 48]))
def test_any_content_under_a_good_tag_ends_in_messages_or_a_typed_error(
    make: int, plain: bytes, control: int
) -> None:
    look(make, glo(plain, tag=0xDB, control=control, stated_title=b"CLIENT01"))
