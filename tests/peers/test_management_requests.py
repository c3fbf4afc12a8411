"""Keys, secrets and images leave as an independent library would send them, octet by octet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.dlms.association.requests import Action, Set
from gateway.dlms.management.image import Image, ImagePlan, transfer_image
from gateway.dlms.management.secrets import KeyId, change_hls_secret, transfer_key, write_secret
from gateway.model import CaptureObject, Obis, Secret
from hil_tests.emulator.image import BLOCK_OCTETS
from hil_tests.peers.runner import run_peer
from tests.emulator.rig import Rig, meter_scenario
from tests.management.driver import Driver

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

KEK, GUEK, GAK = bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48))
SECRET = bytes(range(48, 64))
IMAGE = bytes(range(256)) * 3


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    given = {
        "kek": KEK.hex(),
        "guek": GUEK.hex(),
        "gak": GAK.hex(),
        "secret": SECRET.hex(),
        "image": IMAGE.hex(),
        "identifier": "EMU2",
        "block_octets": BLOCK_OCTETS,
    }
    return run_peer("gurux_management", [], json.dumps(given).encode())


def asked(request: Action) -> list[Any]:
    return [request.method, (request.data or b"").hex()]


def test_a_global_key_is_transferred_as_the_other_library_does(theirs):
    setup = Obis.parse("0-0:43.0.3*255")
    ours = [
        transfer_key(setup, KeyId.GLOBAL_UNICAST, Secret(KEK), Secret(GUEK)),
        transfer_key(setup, KeyId.AUTHENTICATION, Secret(KEK), Secret(GAK)),
    ]
    assert [asked(one) for one in ours] == theirs["keys"]
    head = "01010202160009" + "18"
    assert (ours[0].data or b"").hex().startswith(head)


def test_secrets_of_associations_go_to_the_same_attribute_and_method(theirs):
    association = Obis.parse("0-0:40.0.3*255")
    low = write_secret(association, Secret(SECRET))
    assert isinstance(low, Set)
    assert [low.attribute] == [index for index, _ in theirs["low"]]
    high = change_hls_secret(association, Secret(SECRET))
    # The library gives the secret bare and lets its client encode it as an octet-string.
    assert [[high.method, (high.data or b"")[2:].hex()]] == theirs["high"]
    assert (high.data or b"")[:2] == b"\x09\x10"


def test_an_image_is_initiated_and_cut_into_the_same_blocks(theirs):
    driver = Driver(Rig(meter_scenario()), association="firmware")
    plan = ImagePlan(
        image=Image(identifier=b"EMU2", octets=IMAGE, version="2"),
        transfer=Obis.parse("0-0:44.0.0*255"),
        version=CaptureObject(1, Obis.parse("1-0:0.2.0*255"), 2),
    )
    driver.attempt(lambda history: transfer_image(plan, history))
    actions = [one for one in driver.asked if isinstance(one, Action) and one.method in (1, 2)]
    assert [asked(one) for one in actions] == theirs["image"]
