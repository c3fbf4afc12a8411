"""General blocks and dedicated keys in recorded conversations, explained."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from gateway.dlms.apdu import GeneralBlockTransfer, decode_apdu
from gateway.dlms.association.requests import Action, AssociationOpened, Get, Set
from gateway.dlms.association.settings import Authentication, DedicatedKey
from gateway.dlms.inspection import InspectionKeys, Inspector, Quirks
from gateway.dlms.limits import Limits
from gateway.dlms.security import SecurityPolicy
from gateway.errors import DecodeError, LimitExceeded, SecurityError
from gateway.model import Secret
from tests.association.test_association_pair import (
    CLIENT_TITLE,
    KEYS,
    LONG,
    LONG_VALUE,
    REGISTER,
    RELAY,
    SERVER_TITLE,
    Pair,
    settings,
)
from tests.association.test_general_blocks import apdus
from tests.codec.material import APDUS

DEDICATED = Secret(bytes(range(64, 80)))
GENERAL = "general-block-transfer"
WHOLE = bytes.fromhex("C4 01 C1 00 09 06 010203040506")
PIECES = [WHOLE[:5], WHOLE[5:9], WHOLE[9:]]


class Recording(Pair):
    """Keeps what went over the wire, both directions in their order."""

    def __init__(self, *, link: str = "wrapper", dedicated: bool = False, plain: bool = False):
        policy = None if plain else SecurityPolicy.BOTH
        client, server = settings(Authentication.LLS, policy)
        client = replace(
            client,
            general_block_window=4,
            dedicated=DedicatedKey(DEDICATED) if dedicated else None,
        )
        super().__init__(link, client, replace(server, general_block_window=4))
        self.octets = b""
        assert isinstance(self.open(), AssociationOpened)

    def _feed(self, receiver: object, data: bytes) -> None:
        self.octets += data
        super()._feed(receiver, data)  # type: ignore[arg-type]


def inspection_keys(**known: Secret | None) -> InspectionKeys:
    keys = InspectionKeys(
        encryption=KEYS.encryption,
        authentication=KEYS.authentication,
        client_title=CLIENT_TITLE,
        server_title=SERVER_TITLE,
    )
    return replace(keys, **known)  # type: ignore[arg-type]


def blocks(*pieces: bytes, first: int = 1) -> list[bytes]:
    """Blocks of these pieces, as one side sends them."""
    last = first + len(pieces) - 1
    return [
        GeneralBlockTransfer(number == last, number != last, 1, number, 0, data).encode()
        for number, data in enumerate(pieces, first)
    ]


def framed(octets: bytes) -> bytes:
    return bytes.fromhex("0001 0001 0020") + len(octets).to_bytes(2, "big") + octets


@pytest.mark.parametrize("link", ["wrapper", "hdlc"])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "ciphered"])
def test_a_recorded_conversation_in_blocks_shows_what_was_asked_and_answered(
    link: str, plain: bool
) -> None:
    recording = Recording(link=link, plain=plain)
    recording.ask(Get(7, LONG, 2))
    recording.ask(Set(3, REGISTER, 2, LONG_VALUE))
    messages = Inspector(inspection_keys()).inspect(recording.octets)
    whole = [message for message in messages if "reassembled_apdu" in message]
    kind = "plaintext_apdu" if not plain else "reassembled_apdu"
    assert [message[kind] for message in whole] == [
        "GET-response-normal",
        "SET-request-normal",
        "SET-response-normal",
    ]
    assert whole[0]["data_hex"] != LONG_VALUE.hex().upper()  # of the block
    assert whole[0]["value"] == (bytes(range(256)) * 20).hex().upper()
    assert whole[1]["obis"] == REGISTER.dotted
    assert whole[2]["result"] == "success"
    if not plain:
        assert all(message["tag_verified"] for message in whole)
    acknowledgements = [m for m in messages if m.get("apdu") == GENERAL and not m["data_octets"]]
    assert acknowledgements
    assert all("reassembled_apdu" not in message for message in acknowledgements)


def test_fields_of_a_block_are_named_as_the_standard_does() -> None:
    (message,) = Inspector().inspect(bytes.fromhex("E0 45 0002 0001 02 C401"))
    assert message == {
        "framing": "none",
        "apdu": GENERAL,
        "last": False,
        "streaming": True,
        "window": 5,
        "block_number": 2,
        "block_number_ack": 1,
        "data_octets": 2,
        "data_hex": "C401",
    }


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_blocks_are_put_together_in_any_order_and_repeats_are_passed_over(
    order: tuple[int, ...],
) -> None:
    sent = blocks(*PIECES)
    recorded = b"".join(sent[at] for at in (*order, 2, 1, 2))
    messages = Inspector().inspect(recorded)
    assert len(messages) == 6
    (whole,) = [message for message in messages if "reassembled_apdu" in message]
    assert whole["reassembled_hex"] == WHOLE.hex().upper()
    assert whole["value"] == "010203040506"


def test_an_answer_behind_acknowledgements_begins_behind_their_numbers() -> None:
    messages = Inspector().inspect(b"".join(blocks(*PIECES, first=3)))
    assert messages[-1]["reassembled_apdu"] == "GET-response-normal"


def test_two_transfers_are_two_apdus() -> None:
    other = WHOLE[:-1] + b"\x07"
    recorded = b"".join(blocks(*PIECES) + blocks(other[:4], other[4:]))
    whole = [m for m in Inspector().inspect(recorded) if "reassembled_apdu" in m]
    assert [message["value"] for message in whole] == ["010203040506", "010203040507"]
    # The same octets asked for twice, or others that begin alike.
    for again in (WHOLE, other):
        recorded = b"".join(blocks(*PIECES) + blocks(again[:5], again[5:9], again[9:]))
        whole = [m for m in Inspector().inspect(recorded) if "reassembled_apdu" in m]
        assert [message["reassembled_hex"] for message in whole] == [
            WHOLE.hex().upper(),
            again.hex().upper(),
        ]
    # One that broke off is no part of the next.
    broken = [WHOLE[at : at + 2] for at in range(0, len(WHOLE), 2)]
    recorded = b"".join(blocks(*broken)[:-1] + blocks(other[:4], other[4:]))
    (message,) = [m for m in Inspector().inspect(recorded) if "reassembled_apdu" in m]
    assert message["value"] == "010203040507"


def test_what_was_not_recorded_from_its_beginning_is_named_and_not_guessed() -> None:
    messages = Inspector().inspect(b"".join(blocks(*PIECES)[1:]))
    assert all("reassembled_apdu" not in message for message in messages)
    assert "blocks from 2 on are no APDU" in str(messages[-1]["not_reassembled"])
    with pytest.raises(DecodeError, match="0x42 is no APDU tag"):
        Inspector().inspect(b"".join(blocks(b"\x42", b"\x00")))


def test_blocks_within_blocks_and_in_ciphered_apdus_are_refused() -> None:
    with pytest.raises(DecodeError, match="general block within general blocks"):
        Inspector().inspect(blocks(blocks(WHOLE)[0])[0])


def test_a_recording_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="beyond 10 octets"):
        Inspector(limits=Limits(transfer_octets=10)).inspect(b"".join(blocks(*PIECES)))


def test_a_changed_octet_in_a_block_shows_as_a_tag_that_does_not_verify() -> None:
    recording = Recording()
    recording.ask(Get(7, LONG, 2))
    found = apdus([recording.octets])
    at = next(number for number, octets in enumerate(found) if octets[0] == 0xE0 and octets[6:])
    found[at] = found[at][:-1] + bytes([found[at][-1] ^ 1])
    with pytest.raises(SecurityError, match="does not verify"):
        Inspector(inspection_keys()).inspect(b"".join(framed(octets) for octets in found))


@pytest.mark.parametrize("known", [DEDICATED, None], ids=["from the keys", "from the AARQ"])
def test_what_a_dedicated_key_protects_opens_with_it(known: Secret | None) -> None:
    recording = Recording(dedicated=True)
    recording.ask(Get(3, REGISTER, 2))
    recording.ask(Action(70, RELAY, 1, b"\x0f\x00"))
    octets = recording.octets
    messages = Inspector(inspection_keys(dedicated=known)).inspect(octets)
    assert [message["apdu"] for message in messages[2:]] == [
        "ded-get-request",
        "ded-get-response",
        "ded-action-request",
        "ded-action-response",
    ]
    assert [message["tag_verified"] for message in messages[2:]] == [True] * 4
    assert messages[3]["value"] == 950


def decode(path: Path, keys: Path) -> Result:
    return CliRunner().invoke(main, ["decode", "--json", "--keys", str(keys), str(path)])


@pytest.mark.parametrize("key", [DEDICATED, Secret(bytes(16))], ids=["right", "wrong"])
def test_the_command_takes_the_dedicated_key_of_a_keys_file(tmp_path: Path, key: Secret) -> None:
    recording = Recording(dedicated=True)
    recording.ask(Get(7, LONG, 2))
    path, keys = tmp_path / "octets", tmp_path / "keys.toml"
    # Without the association, which would tell the key.
    path.write_bytes(recording.octets[recording.octets.index(b"\xd0") - 8 :])
    keys.write_text(
        f'guek = "{KEYS.encryption.reveal().hex()}"\n'
        f'gak = "{KEYS.authentication.reveal().hex()}"\n'
        f'dedicated = "{key.reveal().hex()}"\n'
        f'client_system_title = "{CLIENT_TITLE.hex()}"\n'
        f'server_system_title = "{SERVER_TITLE.hex()}"\n'
    )
    keys.chmod(0o600)
    result = decode(path, keys)
    if key is not DEDICATED:
        assert result.exit_code == 4
        return
    assert result.exit_code == 0, result.output
    messages = json.loads(result.stdout)
    assert messages[0]["apdu"] == "ded-get-request"
    assert messages[-1]["reassembled_apdu"] == "ded-get-response"
    assert messages[-1]["plaintext_apdu"] == "GET-response-normal"
    printed = CliRunner().invoke(main, ["decode", "--keys", str(keys), str(path)]).stdout
    assert "general-block-transfer completing ded-get-response holding GET-" in printed


def test_a_capture_whose_frames_are_blocks_of_one_message_is_that_message(tmp_path: Path) -> None:
    frames = ", ".join(f'"{octets.hex()}"' for octets in blocks(*PIECES))
    path = tmp_path / "blocks.toml"
    path.write_text(f'id = "blocks"\nlayout = "message"\nframes_hex = [{frames}]\n')
    result = CliRunner().invoke(main, ["decode", "--json", str(path)])
    assert result.exit_code == 0, result.output
    message = json.loads(result.stdout)["decoded"]["message"]
    assert (message["reassembled_apdu"], message["value"]) == (
        "GET-response-normal",
        "010203040506",
    )


# What the table has as user information is none.
DESCRIBED = [bytes.fromhex(text) for _, text in APDUS if text[:2] not in ("60", "61", "62", "63")]


@pytest.mark.parametrize("octets", DESCRIBED, ids=lambda octets: octets[:3].hex())
def test_every_apdu_that_is_read_is_explained(octets: bytes) -> None:
    decode_apdu(octets, tagged_date_time=True)
    described = Inspector(quirks=Quirks(tagged_date_time=True)).apdu(octets)
    assert described["apdu"] not in (None, "none")
