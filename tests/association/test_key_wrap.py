"""AES key wrap as RFC 3394 has it, and what the emulated meter does with other secrets."""

from __future__ import annotations

from itertools import count

import pytest

from gateway.dlms.association.requests import Action, Get, Set
from gateway.dlms.key_wrap import unwrap_key, wrap_key
from gateway.dlms.management.secrets import KeyId, change_hls_secret, transfer_key, write_secret
from gateway.errors import PeerRefused, SecurityError
from gateway.model import Obis, Secret
from tests.emulator.rig import Rig, meter_scenario

KEK = Secret(bytes(range(16)))
KEY = Secret(bytes.fromhex("00112233445566778899AABBCCDDEEFF"))
WRAPPED = bytes.fromhex("1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5")
SETUP = Obis.parse("0-0:43.0.3*255")
NEW = Secret(bytes(range(100, 116)))
CLOCK = Get(8, Obis.parse("0-0:1.0.0*255"), 2)


def test_a_key_is_wrapped_as_in_section_4_1_of_the_rfc():
    assert wrap_key(KEK, KEY) == WRAPPED
    assert unwrap_key(KEK, WRAPPED) == KEY


@pytest.mark.parametrize("wrapped", [WRAPPED[:-1], b"", WRAPPED[:-1] + b"\0", WRAPPED + WRAPPED])
def test_what_was_changed_does_not_open(wrapped):
    with pytest.raises(SecurityError, match="does not open"):
        unwrap_key(KEK, wrapped)
    with pytest.raises(SecurityError):
        unwrap_key(KEY, WRAPPED)


def test_no_request_shows_the_secret_that_it_carries():
    for request in (
        write_secret(Obis.parse("0-0:40.0.2*255"), NEW),
        change_hls_secret(Obis.parse("0-0:40.0.3*255"), NEW),
        transfer_key(SETUP, KeyId.GLOBAL_UNICAST, KEK, NEW),
    ):
        assert NEW.reveal().hex() not in repr(request)
        assert "data" not in repr(request)


@pytest.mark.parametrize("wire", ["tcp", "hdlc+tcp"])
def test_an_emulated_meter_takes_a_key_for_the_next_association(wire):
    rig = Rig(meter_scenario(wire=wire))
    client = rig.client("utility_settings")
    client.open()
    client.ask(transfer_key(SETUP, KeyId.GLOBAL_UNICAST, rig.keys.master, NEW))
    assert rig.keys.guek == NEW
    client.ask(CLOCK)  # the association goes on under the former key
    client.close()
    again = rig.client("utility_settings", counters=count(100))
    again.open()
    again.ask(CLOCK)


def test_an_emulated_meter_that_is_quick_answers_under_the_new_key_at_once():
    rig = Rig(meter_scenario("faults.new_keys_at_once = true"))
    client = rig.client("utility_settings")
    client.open()
    with pytest.raises(SecurityError):
        client.ask(transfer_key(SETUP, KeyId.GLOBAL_UNICAST, rig.keys.master, NEW))
    assert rig.keys.guek == NEW


@pytest.mark.parametrize(
    ("request_of", "reason"),
    [
        (lambda: transfer_key(SETUP, KeyId.GLOBAL_UNICAST, KEK, NEW), "other-reason"),
        (lambda: transfer_key(SETUP, KeyId.GLOBAL_BROADCAST, KEK, NEW), "other-reason"),
        (lambda: Action(64, SETUP, 2, b"\x01\x00"), "type-unmatched"),
        (lambda: Action(64, SETUP, 2, b"\x0f\x00"), "type-unmatched"),
        (lambda: change_hls_secret(Obis.parse("0-0:40.0.3*255"), Secret(b"short")), "other"),
        (lambda: Set(15, Obis.parse("0-0:40.0.3*255"), 7, b"\x09\x01x"), "read-write-denied"),
        (lambda: Get(15, Obis.parse("0-0:40.0.2*255"), 7), "read-write-denied"),
    ],
)
def test_an_emulated_meter_refuses_what_it_cannot_take_and_shows_no_secret(request_of, reason):
    rig = Rig(meter_scenario())
    client = rig.client("utility_settings")
    client.open()
    with pytest.raises(PeerRefused, match=reason):
        client.ask(request_of())
    assert rig.keys.changes == 0


def test_only_utility_settings_change_secrets():
    rig = Rig(meter_scenario())
    client = rig.client("meter_reader")
    client.open()
    with pytest.raises(PeerRefused, match="read-write-denied"):
        client.ask(write_secret(Obis.parse("0-0:40.0.2*255"), Secret(b"other")))
    with pytest.raises(PeerRefused, match="read-write-denied"):
        client.ask(transfer_key(SETUP, KeyId.GLOBAL_UNICAST, rig.keys.master, NEW))
    assert rig.keys.changes == 0


def test_a_changed_secret_outlives_the_emulator(tmp_path):
    from hil_tests.emulator.keys import keys_for

    keys, path = keys_for(tmp_path, "EM1", "EMU")
    keys.change("guek", NEW)
    keys.change("lls_password", Secret(b"another"))
    again, _ = keys_for(tmp_path, "EM1", "EMU")
    assert (again.guek, again.lls_password) == (NEW, Secret(b"another"))
    assert again.gak == keys.gak
    assert path.stat().st_mode & 0o777 == 0o600
