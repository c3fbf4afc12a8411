"""Listeners of a site file: what they say, and what is wrong with them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from gateway.config import load_site
from gateway.service.descriptors import OWN_DESCRIPTORS, descriptors_needed
from tests.config.test_site_config import WHOLE, faults, write

LISTENER = """
[[listener]]
name = "cellular"
url = "tcp://0.0.0.0:4060"
networks = ["10.20.0.0/16", "fd00::/8"]
max_connections = 20

[listener.tls]
certificate_file = "tls/listener.pem"
key_file = "/etc/listener.key"

[[listener.meter]]
serial = "C1"
profile = "is15959_part2_single_phase"
device_name = "KFMC1"

[[listener.meter]]
serial = "C2"
profile = "is15959_part2_single_phase"
address = "10.20.0.2"
"""


def test_a_listener_says_who_may_call(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, WHOLE + LISTENER))
    (listener,) = site.listeners
    assert listener.networks == (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))
    assert [(m.device_name, m.address) for m in listener.meters] == [
        ("KFMC1", None),
        ("", ip_address("10.20.0.2")),
    ]
    assert listener.tls is not None
    assert listener.tls.certificate_file == tmp_path / "tls/listener.pem"
    assert [meter.serial for _, meter in site.meters] == ["A1", "A2", "C1", "C2"]
    assert descriptors_needed(site) == OWN_DESCRIPTORS + 2 + 22


WRONG = [
    ('"10.20.0.0/16", "fd00::/8"', "", "listener[0 cellular].networks", "at least 1"),
    ("10.20.0.0/16", "10.20.0.1/16", "listener[0 cellular].networks[0]", "host bits set"),
    ("10.20.0.0/16", "office", "listener[0 cellular].networks[0]", "must be a network"),
    ("tcp://0.0.0.0:4060", "udp://0.0.0.0:4060", "listener[0 cellular]", "must be tcp://"),
    ("tcp://0.0.0.0:4060", "tcp://192.0.2.17", "listener cellular.url", "is the wire of shop"),
    ('"cellular"', '"shop"', "listener shop.name", "another wire's or listener's already"),
    ('device_name = "KFMC1"', "", "listener[0 cellular].meter[0 C1]", "device_name or address"),
    ('address = "10.20.0.2"', 'device_name = "KFMC1"', "listener[0 cellular]", "for two meters"),
    ("10.20.0.2", "ten", "listener[0 cellular].meter[1 C2].address", "an IP address"),
    ('"C2"', '"A1"', "listener cellular, meter A1.serial", "stands on wire bus1 already"),
    ("max_connections = 20", "max_connections = 0", "max_connections", "greater than or equal to"),
    ("max_connections = 20", "profile = 'x'", "listener cellular.profile", "must be one of"),
    ('key_file = "/etc/listener.key"', "", "listener[0 cellular].tls.key_file", "required"),
]


@pytest.mark.parametrize(("old", "new", "key", "said"), WRONG)
def test_a_mistake_is_named_with_its_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, key: str, said: str
) -> None:
    assert old in LISTENER
    told = faults(write(tmp_path, WHOLE + LISTENER.replace(old, new)))
    assert len(told) == 1, told
    assert key in told[0]
    assert said in told[0]


def test_a_file_of_the_folder_may_name_a_listener(tmp_path: Path) -> None:
    meter = "serial = 'C3'\nprofile = 'is15959_part2_single_phase'\nwire = 'cellular'\n"
    path = write(tmp_path, WHOLE + LISTENER, c3=meter + "device_name = 'KFMC3'\n")
    (listener,) = load_site(path).listeners
    assert [m.device_name for m in listener.meters] == ["KFMC1", "", "KFMC3"]


@pytest.mark.parametrize("place", ["wire = 'shop'\nserver = 9", "url = 'tcp://h'"])
def test_by_what_a_caller_is_known_belongs_to_a_listener(tmp_path: Path, place: str) -> None:
    meter = f"serial = 'C3'\nprofile = 'is15959_part2_single_phase'\n{place}\n"
    (told,) = faults(write(tmp_path, WHOLE, c3=meter + "device_name = 'KFMC3'\n"))
    assert told.startswith("site.d/c3.toml: device_name = 'KFMC3': belongs to a meter that dials")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "is known by device_name or address"),
        ("device_name = 'KFMC1'", "KFMC1 stands for two meters"),
    ],
)
def test_a_file_that_does_not_say_who_calls_is_told(tmp_path: Path, more: str, said: str) -> None:
    meter = "serial = 'C3'\nprofile = 'is15959_part2_single_phase'\nwire = 'cellular'\n"
    (told,) = faults(write(tmp_path, WHOLE + LISTENER, c3=meter + more))
    assert told.startswith("site.d/c3.toml: wire = 'cellular'")
    assert said in told
