import json
import os
import pickle
import traceback
from pathlib import Path

import pytest

from gateway.errors import ConfigError, SecurityError, StoreFull, UsageError
from gateway.keys import Keystore, MeterKeys, Role, create_kek, load_keys_file
from gateway.model import MeterId, Secret

M1, M2 = MeterId("M1"), MeterId("M2")
GUEK = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
GAK = bytes.fromhex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf")
PASSWORD = b"an easy password"
KEYS = MeterKeys(lls_password=Secret(PASSWORD), guek=Secret(GUEK), gak=Secret(GAK))


@pytest.fixture
def kek(tmp_path: Path) -> Path:
    path = tmp_path / "kek"
    create_kek(path)
    return path


@pytest.fixture
def keystore(tmp_path: Path, kek: Path) -> Keystore:
    return Keystore.open(tmp_path / "keystore.json", kek)


def shows_a_secret(text: str) -> bool:
    return any(
        shown in text
        for secret in (GUEK, GAK, PASSWORD)
        for shown in (secret.hex(), repr(secret)[2:-1], secret.hex(" "), secret.hex().upper())
    )


def test_imported_secrets_come_back_and_never_stand_in_the_file(tmp_path, kek, keystore):
    assert keystore.import_keys(M1, KEYS) == 3
    keystore.import_keys(M2, MeterKeys(hls_secret=Secret(b"x" * 20), master=Secret(GAK)))
    opened = Keystore.open(tmp_path / "keystore.json", kek)
    assert opened.get(M1) == KEYS
    assert opened.get(M2).require(Role.HLS_SECRET).reveal() == b"x" * 20
    assert opened.meters() == [M1, M2]
    path = tmp_path / "keystore.json"
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert GUEK not in content
    assert PASSWORD not in content
    assert not shows_a_secret(content.decode())


def test_each_entry_names_its_key_encryption_key_and_version(tmp_path, keystore):
    keystore.import_keys(M1, KEYS)
    assert keystore.import_keys(M1, KEYS) == 0, "the same secret is no new version"
    assert keystore.import_keys(M1, MeterKeys(guek=Secret(GAK))) == 1
    entries = json.loads((tmp_path / "keystore.json").read_bytes())["entries"]
    guek = [(e["version"], e["state"]) for e in entries if e["role"] == "guek"]
    assert guek == [(1, "EXPIRED"), (2, "ACTIVE")]
    assert len({e["kek_id"] for e in entries}) == 1
    assert keystore.get(M1).guek == Secret(GAK)


def test_two_commands_that_import_at_once_lose_nothing(tmp_path, kek):
    path = tmp_path / "keystore.json"
    one, other = Keystore.open(path, kek), Keystore.open(path, kek)
    one.import_keys(M1, KEYS)
    other.import_keys(M2, KEYS)
    assert Keystore.open(path, kek).meters() == [M1, M2]


@pytest.mark.parametrize("field", ["sealed", "wrapped_key"])
def test_a_changed_entry_is_refused(tmp_path, kek, keystore, field):
    keystore.import_keys(M1, KEYS)
    path = tmp_path / "keystore.json"
    document = json.loads(path.read_bytes())
    sealed = document["entries"][0][field]
    document["entries"][0][field] = sealed[:20] + ("A" if sealed[20] != "A" else "B") + sealed[21:]
    path.write_text(json.dumps(document))
    with pytest.raises(SecurityError, match="tag does not verify"):
        Keystore.open(path, kek).get(M1)


@pytest.mark.parametrize("field", ["meter", "role", "version"])
def test_entries_cannot_be_exchanged(tmp_path, kek, keystore, field):
    keystore.import_keys(M1, MeterKeys(guek=Secret(GUEK)))
    path = tmp_path / "keystore.json"
    document = json.loads(path.read_bytes())
    document["entries"][0][field] = {"meter": "M2", "role": "gak", "version": 2}[field]
    path.write_text(json.dumps(document))
    with pytest.raises(SecurityError, match="tag does not verify"):
        Keystore.open(path, kek).get(M2 if field == "meter" else M1)


def test_another_key_encryption_key_is_named(tmp_path, keystore):
    keystore.import_keys(M1, KEYS)
    other = tmp_path / "other"
    other.write_bytes(os.urandom(32))
    other.chmod(0o400)
    with pytest.raises(SecurityError, match=r"of M1 is wrapped by key \w{16}, and \w{16}"):
        Keystore.open(tmp_path / "keystore.json", other).get(M1)


def test_a_meter_without_keys_says_how_to_give_it_some(keystore):
    with pytest.raises(ConfigError, match=r"keystore\.json.*M1.*gateway keys import"):
        keystore.get(M1)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
@pytest.mark.parametrize("name", ["kek", "keystore.json", "keys.toml"])
def test_files_that_others_may_open_are_refused(tmp_path, kek, keystore, mode, name):
    keystore.import_keys(M1, KEYS)
    (tmp_path / "keys.toml").write_text(f'guek = "{GUEK.hex()}"')
    (tmp_path / "keys.toml").chmod(0o600)
    load_keys_file(tmp_path / "keys.toml")
    (tmp_path / name).chmod(mode)
    with pytest.raises(ConfigError, match=f"{name}.*mode.*{mode:04o}.*chmod 600"):
        (load_keys_file(tmp_path / name), Keystore.open(tmp_path / "keystore.json", kek))


@pytest.mark.parametrize("content", [b"", b"short", b"zz" * 32, bytes(31), b"0" * 66])
def test_a_key_encryption_key_has_32_octets(tmp_path, content):
    path = tmp_path / "kek"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="32 octets"):
        Keystore.open(tmp_path / "keystore.json", path)


def test_a_key_encryption_key_is_raw_or_hex_and_never_replaced(tmp_path, kek, keystore):
    keystore.import_keys(M1, KEYS)
    raw = tmp_path / "raw"
    raw.write_bytes(bytes.fromhex(kek.read_text()))
    raw.chmod(0o600)
    assert Keystore.open(tmp_path / "keystore.json", raw).get(M1) == KEYS
    with pytest.raises(ConfigError, match="never replaced"):
        create_kek(kek)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"version": 2, "entries": []}', '{"version": 1, "entries": [{}]}', "\xff"],
)
def test_a_file_that_is_no_keystore_is_named(tmp_path, kek, content):
    path = tmp_path / "keystore.json"
    path.write_bytes(content.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"keystore\.json.*must be a keystore"):
        Keystore.open(path, kek)


def keys_file(directory: Path, text: str) -> Path:
    path = directory / "keys.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_keys_file_gives_what_it_states(tmp_path):
    path = keys_file(
        tmp_path,
        f'lls_password = "{PASSWORD.decode()}"\nguek = "{GUEK.hex(" ")}"\n'
        f'gak = "{GAK.hex()}"\nhls_secret = "{b"abc".hex()}"\n'
        'client_system_title = "534d470102030405"\n',
    )
    keys = load_keys_file(path)
    assert keys.lls_password == Secret(PASSWORD)
    assert keys.guek == Secret(GUEK)
    assert keys.hls_secret == Secret(b"abc")
    assert keys.client_system_title == b"SMG\1\2\3\4\5"
    assert keys.server_system_title is None
    assert load_keys_file(keys_file(tmp_path, "")) == MeterKeys()
    with pytest.raises(UsageError, match="no dedicated is known"):
        keys.require(Role.DEDICATED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'guek = "{GUEK.hex()}00"', "guek.*hex of 16 octets; 17 given"),
        (f'guek = "{PASSWORD.decode()}"', "guek.*must be hex digits"),
        (f'gak = ["{GAK.hex()}"]', "gak.*must be a string"),
        (f"gak = {int(GAK.hex(), 16)}", "gak.*must be a string"),
        ('lls_password = ""', "lls_password.*1 to 64 octets; 0 given"),
        ('client_system_title = "00"', "client_system_title.*8 octets; 1 given"),
        (
            f'gue = "{GUEK.hex()}"',
            "gue .*keys are lls_password, hls_secret, hls_secret_firmware, guek",
        ),
        (f'guek = "{GUEK.hex()}', "must be TOML; wrong at (line 1|end)"),
        (f'guek = "{GUEK.hex()}"\nguek = "{GAK.hex()}"', "must be TOML; wrong at"),
        (f"{PASSWORD.decode()}", "must be TOML; wrong at line 1"),
        (f'[guek]\n"{GUEK.hex()}" = 1', "guek.*must be a string"),
    ],
)
def test_errors_of_a_keys_file_name_file_key_and_what_is_allowed_but_no_value(tmp_path, text, said):
    path = keys_file(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"keys\.toml: .*{said}") as caught:
        load_keys_file(path)
    whole = "".join(traceback.format_exception(caught.value))
    assert not shows_a_secret(whole)
    assert caught.value.__cause__ is None


def test_a_keys_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"keys\.toml.*must exist"):
        load_keys_file(tmp_path / "keys.toml")
    (tmp_path / "keys.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "keys.toml").chmod(0o600)
    with pytest.raises(ConfigError, match="UTF-8"):
        load_keys_file(tmp_path / "keys.toml")
    with pytest.raises(ConfigError, match="regular file"):
        load_keys_file(tmp_path)


def test_meter_keys_show_nothing_and_cannot_be_pickled():
    for text in (repr(KEYS), str(KEYS), f"{KEYS}", f"{KEYS.guek:>20}"):
        assert not shows_a_secret(text)
        assert "<secret>" in text
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(KEYS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"guek": Secret(GUEK[:15])},
        {"master": Secret(GUEK + b"0")},
        {"lls_password": Secret(b"")},
        {"hls_secret": Secret(bytes(65))},
        {"client_system_title": b"SMG"},
    ],
)
def test_keys_of_the_wrong_length_are_refused(wrong):
    with pytest.raises(UsageError, match="octets"):
        MeterKeys(**wrong)


def test_a_key_identity_tells_keys_apart_without_saying_them():
    assert KEYS.key_id == MeterKeys(guek=Secret(GUEK)).key_id
    assert KEYS.key_id != MeterKeys(guek=Secret(GAK)).key_id
    assert len(KEYS.key_id) == 8
    assert KEYS.key_id not in GUEK.hex()
    assert MeterKeys().key_id == ""


NEW = Secret(bytes(range(100, 116)))


def states(directory: Path, role: str = "guek") -> list[str]:
    entries = json.loads((directory / "keystore.json").read_bytes())["entries"]
    return [entry["state"] for entry in entries if entry["role"] == role]


def test_a_new_secret_is_stored_beside_the_active_one_until_the_meter_decides(
    tmp_path, kek, keystore
):
    keystore.import_keys(M1, KEYS)
    assert keystore.proposed(M1) is None
    keystore.propose(M1, Role.GUEK, NEW)
    opened = Keystore.open(tmp_path / "keystore.json", kek)
    assert opened.proposed(M1) is Role.GUEK
    assert opened.pending() == [M1]
    assert opened.get(M1) == KEYS
    assert opened.get_proposed(M1).guek == NEW
    assert opened.get_proposed(M1).gak == KEYS.gak
    assert opened.get_proposed(M1).key_id != opened.get(M1).key_id
    opened.promote(M1)
    assert opened.get(M1).guek == NEW
    assert opened.pending() == []
    assert states(tmp_path) == ["EXPIRED", "ACTIVE"]


def test_a_withdrawn_secret_is_kept_and_never_active(tmp_path, keystore):
    keystore.import_keys(M1, KEYS)
    keystore.propose(M1, Role.GUEK, NEW)
    keystore.withdraw(M1)
    assert keystore.get(M1) == KEYS
    assert states(tmp_path) == ["ACTIVE", "WITHDRAWN"]
    keystore.propose(M1, Role.GUEK, Secret(bytes(16)))
    assert states(tmp_path) == ["ACTIVE", "WITHDRAWN", "NEW"]


def test_one_secret_of_a_meter_is_new_at_a_time_and_none_is_settled_that_is_not_there(
    tmp_path, keystore
):
    keystore.import_keys(M1, KEYS)
    keystore.import_keys(M2, KEYS)
    for settle in (keystore.promote, keystore.withdraw, keystore.get_proposed):
        with pytest.raises(UsageError, match="M1 has no new secret"):
            settle(M1)
    with pytest.raises(UsageError, match="is the one it has"):
        keystore.propose(M1, Role.GUEK, Secret(GUEK))
    with pytest.raises(UsageError, match="no hls_secret is known"):
        keystore.propose(M1, Role.HLS_SECRET, NEW)
    keystore.propose(M1, Role.GUEK, NEW)
    keystore.propose(M2, Role.GAK, NEW)
    with pytest.raises(UsageError, match="new guek that is not settled"):
        keystore.propose(M1, Role.GAK, NEW)
    content = (tmp_path / "keystore.json").read_text()
    assert NEW.reveal().hex() not in content


def test_another_process_import_is_seen_and_kept_when_a_secret_is_settled(tmp_path, kek, keystore):
    keystore.import_keys(M1, KEYS)
    keystore.propose(M1, Role.GUEK, NEW)
    Keystore.open(tmp_path / "keystore.json", kek).import_keys(M2, KEYS)
    keystore.promote(M1)
    assert keystore.meters() == [M1, M2]
    assert Keystore.open(tmp_path / "keystore.json", kek).get(M1).guek == NEW


def test_a_keystore_that_cannot_be_written_is_in_memory_what_it_is_on_disk(
    tmp_path, keystore, monkeypatch
):
    keystore.import_keys(M1, KEYS)

    def full(*_: object) -> None:
        raise StoreFull("no room")

    monkeypatch.setattr("gateway.keys.keystore.replace_file", full)
    with pytest.raises(StoreFull):
        keystore.propose(M1, Role.GUEK, NEW)
    assert keystore.proposed(M1) is None
    assert states(tmp_path) == ["ACTIVE"]
