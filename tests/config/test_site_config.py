"""Site files: what they mean, and everything that is wrong with one told at once."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import CoverageTarget, example, load_site, schema
from gateway.errors import ConfigError, ConfigErrors
from gateway.profile import shipped_profiles
from gateway.url import TransportKind

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_KEY = "11" * 32

GATEWAY = '[gateway]\nid = "gw-1"\n'
STORES = """
[stores]
readings = "readings.db"
counters = "counters.db"
witness = "/elsewhere/witness.json"
keystore = "keystore.json"
kek_file = "kek"
"""
UPLINK = f"""
[uplink]
host = "broker.example.org"
[uplink.tls]
ca_file = "tls/ca.pem"
[[uplink.backend_key]]
id = "backend"
public_key = "{PUBLIC_KEY}"
"""
WIRES = """
[[wire]]
name = "bus1"
url = "serial:///dev/ttyUSB0"
[[wire.meter]]
serial = "A1"
profile = "is15959_part2_single_phase"
server = 17
[[wire]]
name = "shop"
url = "tcp://192.0.2.17"
[[wire.meter]]
serial = "A2"
profile = "is15959_part2_three_phase"
"""
WHOLE = GATEWAY + STORES + UPLINK + WIRES


def write(folder: Path, text: str, **meters: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    if meters:
        (folder / "site.d").mkdir()
    for name, meter in meters.items():
        (folder / "site.d" / f"{name}.toml").write_text(meter)
    return path


def faults(path: Path) -> list[str]:
    """Every fault, its file by its name alone."""
    with pytest.raises(ConfigErrors) as caught:
        load_site(path)
    return [str(error).replace(f"{path.parent}/", "") for error in caught.value.errors]


def test_a_site_file_says_who_and_where(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, WHOLE))
    assert (site.gateway.id, site.gateway.zone_minutes) == ("gw-1", 330)
    assert [(wire.name, wire.url.kind) for wire in site.wires] == [
        ("bus1", TransportKind.SERIAL),
        ("shop", TransportKind.TCP),
    ]
    assert [(wire.name, meter.serial) for wire, meter in site.meters] == [
        ("bus1", "A1"),
        ("shop", "A2"),
    ]
    assert site.uplink is not None
    assert site.uplink.backend_keys[0].public_key == b"\x11" * 32
    assert site.coverage[0] == CoverageTarget(within_hours=8, percent=95)


def test_a_slow_wire_may_carry_less_block_history_than_the_others(tmp_path: Path) -> None:
    text = WHOLE.replace(
        'url = "serial:///dev/ttyUSB0"', 'url = "serial:///dev/ttyUSB0"\nblock_days = 2'
    )
    assert [wire.block_days for wire in load_site(write(tmp_path, text)).wires] == [2, None]


def test_relative_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, WHOLE))
    assert site.stores.readings == tmp_path / "readings.db"
    assert site.stores.witness == Path("/elsewhere/witness.json")
    assert site.uplink is not None
    assert site.uplink.tls is not None
    assert site.uplink.tls.ca_file == tmp_path / "tls/ca.pem"
    assert site.uplink.tls.key_file is None


def test_a_gateway_needs_neither_uplink_nor_meters(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, GATEWAY + STORES))
    assert (site.uplink, site.wires) == (None, ())


def test_meters_may_lie_in_files_of_their_own(tmp_path: Path) -> None:
    profile = 'profile = "is15959_part2_single_phase"'
    path = write(
        tmp_path,
        WHOLE,
        b3=f'wire = "bus1"\nserial = "B3"\n{profile}\nserver = 19\nkeys = "batch-7"',
        b4=f'url = "hdlc+tcp://192.0.2.18:4001?server=20"\nserial = "B4"\n{profile}',
    )
    site = load_site(path)
    assert [meter.serial for meter in site.wires[0].meters] == ["A1", "B3"]
    assert [(wire.name, str(wire.url)) for wire in site.wires[2:]] == [
        ("B4", "hdlc+tcp://192.0.2.18:4001?server=20")
    ]
    wire, meter = list(site.meters)[-1]
    assert (meter.serial, wire.server_of(meter), meter.keys_of) == ("B4", 20, "B4")
    assert site.wires[0].meters[1].keys_of == "batch-7"
    assert site.wires[0].server_of(site.wires[0].meters[1]) == 19


def test_firmware_profiles_may_come_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    text = (shipped_profiles() / "is15959_part2.toml").read_text(encoding="utf-8")
    (folder / "mine.toml").write_text(text)
    wire = WIRES.replace("is15959_part2_single_phase", "mine").split('[[wire]]\nname = "shop"')[0]
    head = 'profiles = "profiles"\n'
    site = load_site(write(tmp_path, head + GATEWAY + STORES + wire))
    assert site.profiles == folder
    # Those that are shipped stay within reach, behind the site's own.
    load_site(write(tmp_path, head + WHOLE))
    [told] = faults(write(tmp_path, head + WHOLE.replace("part2_three_phase", "part9")))
    assert told.startswith(
        "site.toml: meter A2.profile = 'is15959_part9': must be one of mine, is15959, "
    )


WRONG = [
    ("[gatway]\nid = 'x'", "gatway = '(not shown)': unknown key", "did you mean 'gateway'?"),
    ("id='gw 1'", "gateway.id = 'gw 1': must be 1 to 64 letters"),
    ("id='gw/#'", "gateway.id = 'gw/#': must be 1 to 64 letters"),
    ("zone_minutes='IST'", "gateway.zone_minutes = 'IST': must be a valid integer"),
    ("zone_minutes=9000", "gateway.zone_minutes = 9000: must be less than or equal to 840"),
    ("[stores]\nreadings = 'counters.db'", "stores = '(a table)'", "are six files"),
    ("[stores]\nbulk_days = 9999", "stores = '(a table)'", "bulk_days must be at most"),
    ("[stores]\nkekfile = 'x'", "stores.kekfile = '(not shown)'", "did you mean 'kek_file'?"),
    ("[uplink]\nport = 88830", "uplink.port = 88830", "65535"),
    ("[uplink]\nmqtt_version = '3.1'", "uplink.mqtt_version = '3.1'", "did you mean '3.1.1'?"),
    ("[uplink]\npassword = 'hunter2'", "uplink.password = '(not shown)'", "'password_file'?"),
    ("[uplink]\nusername = 'u'", "uplink = '(a table)'", "belong together"),
    ("[uplink.tls]\nkey_file = 'k'", "uplink.tls = '(a table)'", "belong together"),
    ("[uplink.tls]\nverify = false", "uplink.tls.verify", "unknown key"),
    ("[reading]\ninstantaneous_s = 1", "reading.instantaneous_s = 1", "equal to 10"),
    ("[reading]\ndrift_limit_s = 1.5", "reading.drift_limit_s", "integer"),
    ("[[coverage]]\npercent = 95", "coverage[0].within_hours = '(missing)'"),
    ("[[coverage]]\npercent = 101\nwithin_hours = 8", "coverage[0].percent = 101"),
]


def changed(change: str) -> str:
    """The whole file with one table's keys replaced or added."""
    document = tomllib.loads(WHOLE)
    patch = tomllib.loads(change if change.startswith("[") else f"[gateway]\n{change}")
    for key, value in patch.items():
        if isinstance(value, dict) and key in document:
            inner = {
                k: {**document[key].get(k, {}), **v} for k, v in value.items() if type(v) is dict
            }
            document[key] = {**document[key], **value, **inner}
        else:
            document[key] = value
    return as_toml(document)


def as_toml(document: dict[str, object]) -> str:
    """JSON is close enough to inline TOML for these documents."""
    return "".join(f"{key} = {inline(value)}\n" for key, value in document.items())


def inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize(("change", "says"), [(wrong[0], wrong[1:]) for wrong in WRONG])
def test_a_fault_names_file_key_value_and_what_is_allowed(
    tmp_path: Path, change: str, says: tuple[str, ...]
) -> None:
    told = faults(write(tmp_path, changed(change)))
    assert len(told) == 1, told
    assert told[0].startswith("site.toml: ")
    assert all(part in told[0] for part in says), told


WRONG_METERS = [
    (
        "url = 'tcp://192.0.2.17'",
        "url = 'dtls://192.0.2.17'",
        "wire[1 shop].url",
        "not a transport",
    ),
    ("url = 'tcp://192.0.2.17'", "url = 'tcp://h?sever=1'", "wire[1 shop].url", "mean 'server'?"),
    ("url = 'tcp://192.0.2.17'", "url = 'modbus-tcp://h'", "wire[1 shop].url", "not supported"),
    (
        "url = 'tcp://192.0.2.17'",
        "url = 'serial:///dev/ttyUSB0?baud=300'",
        "wire shop.url = 'serial:///dev/ttyUSB0?baud=300&mode=8N1'",
        "is the wire of bus1 already",
    ),
    ("name = 'shop'", "name = 'bus1'", "wire[0 bus1].name = 'bus1'", "must stand once"),
    ("name = 'shop'", "name = 'shop'\nblock_days = 0", "wire[1 shop].block_days = 0", "equal to 1"),
    ("serial = 'A2'", "serial = 'A1'", "wire shop, meter A1.serial", "stands on wire bus1"),
    ("serial = 'A2'", "serial = 'A 2'", "wire[1 shop].meter[0].serial = 'A 2'", "nameplate"),
    ("serial = 'A2'", "", "wire[1 shop].meter[0].serial = '(missing)'"),
    ("serial = 'A2'", "serial = 'A2'\nsever = 1", "meter[0 A2].sever", "did you mean 'server'?"),
    ("serial = 'A2'", "serial = 'A2'\nserver = 99999", "meter[0 A2].server = 99999"),
    (
        "serial = 'A2'",
        "serial = 'A2'\nassociation = 'meter_reeder'",
        "meter A2.association = 'meter_reeder': must be one of firmware, meter_reader, public",
        "did you mean 'meter_reader'?",
    ),
    (
        "is15959_part2_three_phase",
        "is15959_part2_tree_phase",
        "site.toml: meter A2.profile = 'is15959_part2_tree_phase': must be one of is15959, ",
        "did you mean 'is15959_part2_three_phase'?",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "says"), [(wrong[0], wrong[1], wrong[2:]) for wrong in WRONG_METERS]
)
def test_a_fault_of_a_meter_or_wire_names_it(
    tmp_path: Path, old: str, new: str, says: tuple[str, ...]
) -> None:
    text = WHOLE.replace(old.replace("'", '"'), new.replace("'", '"'))
    assert text != WHOLE
    told = faults(write(tmp_path, text))
    assert len(told) == 1, told
    assert all(part in told[0] for part in says), told


def test_two_meters_at_one_address_of_a_wire_are_refused(tmp_path: Path) -> None:
    meter = 'serial = "A3"\nprofile = "is15959_part2_single_phase"\n'
    told = faults(write(tmp_path, WHOLE, a3=f'wire = "bus1"\nserver = 17\n{meter}'))
    assert told == [
        (
            "site.d/a3.toml: meter A3.server = 17: is the address of A1 on wire bus1;"
            " each meter has its own"
        )
    ]


def test_two_meters_without_an_address_on_one_wire_are_refused(tmp_path: Path) -> None:
    meter = 'serial = "A3"\nprofile = "is15959_part2_single_phase"\n'
    (told,) = faults(write(tmp_path, WHOLE, a3=f'wire = "shop"\n{meter}'))
    assert told.startswith("site.d/a3.toml: meter A3.server = None: is the address of A2")


def test_a_meter_file_names_its_own_faults(tmp_path: Path) -> None:
    profile = 'profile = "is15959_part2_single_phase"\n'
    path = write(
        tmp_path,
        WHOLE,
        both=f'wire = "bus1"\nurl = "tcp://h"\nserial = "B1"\n{profile}',
        lost=f'wire = "bus2"\nserial = "B2"\n{profile}',
        none=f'serial = "B3"\n{profile}',
        typo=f'wire = "bus1"\nserial = "B4"\n{profile}serverr = 1',
        taken=f'url = "tcp://h2"\nserial = "shop"\n{profile}',
        broken="serial = ",
    )
    told = {line.split(":")[0]: line for line in faults(path)}
    assert "not both" in told["site.d/both.toml"]
    assert "did you mean 'bus1'?" in told["site.d/lost.toml"]
    assert "either wire" in told["site.d/none.toml"]
    assert "did you mean 'server'?" in told["site.d/typo.toml"]
    assert "is the name of a wire already" in told["site.d/taken.toml"]
    assert "valid TOML" in told["site.d/broken.toml"]
    assert len(told) == 6


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace('id = "gw-1"', 'id = "gw 1"').replace("host =", "hoost =")
    path = write(tmp_path, text, meter='wire = "bus1"\nserial = "B1"\nprofil = "x"')
    told = "\n".join(faults(path))
    for part in ("gateway.id", "uplink.host", "uplink.hoost", "profil ", "profile = '(missing)'"):
        assert part in told
    with pytest.raises(ConfigErrors) as caught:
        load_site(path)
    assert str(caught.value).count("\n") == len(caught.value.errors) - 1 == 4


def test_a_fault_inside_a_firmware_profile_is_told_as_the_profiles(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "mine.toml").write_text("description = 1")
    text = 'profiles = "profiles"\n' + GATEWAY + STORES + WIRES
    text = text.replace("is15959_part2_single_phase", "mine")
    text = text.replace("is15959_part2_three_phase", "mine")
    told = faults(write(tmp_path, text))
    assert told.count("mine.toml: description = 1: must be a valid string") == 1


def test_an_uplink_in_the_clear_is_for_this_machine_only(tmp_path: Path) -> None:
    clear = WHOLE.replace('[uplink.tls]\nca_file = "tls/ca.pem"\n', "")
    (told,) = faults(write(tmp_path, clear))
    assert "not loopback needs the table tls" in told
    local = clear.replace("broker.example.org", "127.0.0.1")
    assert load_site(write(tmp_path, local)).uplink is not None


def test_a_secret_in_a_site_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    secret = "000102030405060708090A0B0C0D0E0F"
    text = WHOLE.replace("server = 17", f'server = "{secret}"\nguek = "{secret}"')
    text = text.replace("tcp://192.0.2.17", "tcp://reader:hunter2@192.0.2.17")
    with pytest.raises(ConfigErrors) as caught:
        load_site(write(tmp_path, text))
    assert len(caught.value.errors) == 3
    assert secret not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert secret not in repr([error.value for error in caught.value.errors])


def test_a_missing_site_file_is_one_plain_fault(tmp_path: Path) -> None:
    (told,) = faults(tmp_path / "site.toml")
    assert told == "site.toml: (file) = 'No such file or directory': a readable TOML file"


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_site_file_ends_in_a_typed_error_or_still_loads(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = WHOLE.encode()
    at = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.binary(max_size=4) | st.sampled_from([b"[", b"'", b"\n", b"= 1", b"."]))
    skip = data.draw(st.integers(0, 40))
    path = tmp_path_factory.mktemp("damaged") / "site.toml"
    path.write_bytes(text[:at] + junk + text[at + skip :])
    try:
        site = load_site(path)
    except ConfigError:
        return
    assert site.gateway.id


def test_the_example_loads_and_is_the_one_in_the_documentation(tmp_path: Path) -> None:
    text = example()
    assert text == (ROOT / "docs" / "site.example.toml").read_text(encoding="utf-8")
    site = load_site(write(tmp_path, text))
    assert len(list(site.meters)) == 7
    assert {wire.url.kind for wire in site.wires} == set(TransportKind)


def test_the_example_shows_every_key_there_is() -> None:
    text = example()
    definitions = schema()["$defs"]
    tables = [definitions[name] for name in ("Gateway", "Stores", "Uplink", "Tls", "BackendKey")]
    tables += [definitions[name] for name in ("Reading", "CoverageTarget", "Wire", "Meter")]
    tables += [definitions[name] for name in ("Listener", "ListenerTls", "CallingMeter")]
    for key in (key for table in tables for key in table["properties"]):
        assert any(mark in text for mark in (f"{key} =", f".{key}]", f".{key}]]")), key


def test_the_examples_defaults_are_the_real_defaults(tmp_path: Path) -> None:
    shown = load_site(write(tmp_path, example()))
    plain = load_site(write(tmp_path, WHOLE))
    assert shown.reading == plain.reading
    assert shown.coverage == plain.coverage
    assert (shown.stores.max_mib, shown.stores.bulk_days, shown.stores.record_days) == (
        plain.stores.max_mib,
        plain.stores.bulk_days,
        plain.stores.record_days,
    )


def test_the_schema_says_yes_and_no_as_the_loader_does() -> None:
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    site = jsonschema.Draft202012Validator(made)
    assert site.is_valid(tomllib.loads(example()))
    assert not site.is_valid(tomllib.loads(changed("[stores]\nkek = 'x'")))
    assert not site.is_valid(tomllib.loads(changed("[uplink]\nport = 88830")))
    meter = jsonschema.Draft202012Validator({**made, **made["$defs"]["MeterFile"]})
    assert meter.is_valid({"wire": "bus1", "serial": "A1", "profile": "p"})
    assert not meter.is_valid({"wire": "bus1", "serial": "A1", "profil": "p"})
    json.dumps(made)
