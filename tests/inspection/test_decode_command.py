"""gateway decode on the command line: inputs, keys, shapes of output, exit codes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from proofs.captures import FOLDER, CaptureFile, capture_files
from proofs.comparison import Comparison
from proofs.decode import compare_file
from proofs.octet_checks import with_flipped_tag_bits

FILES = {file.name: file for file in capture_files()}
WITH_QUIRK = {
    "kaifa_ma304h3e_hdlc": ["tagged-date-time"],
    "kaifa_no_lists": ["tagged-date-time"],
    "egd_spec_example_raw": ["untagged-descriptors"],
}
TAGGED = ["greenbook_ciphered_suite0", "fio_gas_udp_push", "kamstrup_omnipower_hdlc"]
AIDON = FILES["aidon_no_1phase_hdlc"]
OMNIPOWER = FILES["kamstrup_omnipower_hdlc"]


def decode(*arguments: str | Path, octets: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["decode", *map(str, arguments)], input=octets)


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_float=Decimal)


def keys_file(folder: Path, **keys: str) -> Path:
    path = folder / "keys.toml"
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in keys.items()))
    path.chmod(0o600)
    return path


def omnipower_keys(folder: Path, **other: str) -> Path:
    stated = OMNIPOWER.document["keys"]
    keys = {"guek": stated["encryption"], "gak": stated["authentication"]}
    return keys_file(folder, **{**keys, **other})


# --- capture files -------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: file.name)
def test_a_capture_decodes_to_exactly_what_its_source_states(file: CaptureFile) -> None:
    found = document(decode("--json", file.path))
    comparison = Comparison()
    compare_file(file, found, comparison)
    assert comparison.differences == []
    assert comparison.values > 0
    assert found["id"] == file.document["id"]
    assert found["layout"] == file.document["layout"]
    assert found["quirks_used"] == WITH_QUIRK.get(file.name, [])


def test_a_deviation_is_borne_only_where_it_is_named(tmp_path) -> None:
    path = tmp_path / "octets"
    path.write_bytes(FILES["egd_spec_example_raw"].frames[0])
    strict = decode("--json", path)
    assert strict.exit_code == 1
    assert "no DLMS data type" in strict.stderr
    (message,) = document(decode("--json", "--quirk", "untagged-descriptors", path))
    assert message["obis"]["0.0.96.14.0.255"]["value"] == "T3"


def test_numbers_keep_the_digits_that_the_meter_sent() -> None:
    printed = decode("--json", AIDON.path).stdout
    assert '"value": 9.3,' in printed  # never 9.300000000000001
    assert '"value": 250.0,' in printed  # 2500 with scaler -1


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: file.name)
def test_people_get_a_readable_form_of_the_same(file: CaptureFile) -> None:
    result = decode(file.path)
    assert result.exit_code == 0
    assert file.name in result.stdout
    assert "Decimal(" not in result.stdout
    assert "None" not in result.stdout


def test_the_readable_form_shows_link_security_and_values_with_units() -> None:
    shown = decode(AIDON.path).stdout
    assert "framing HDLC, frame UI" in shown
    line = next(line for line in shown.splitlines() if "1.0.31.7.0.255" in line)
    assert "9.3" in line
    assert "A" in line.split()
    shown = decode(OMNIPOWER.path).stdout
    assert "security control 30, invocation counter 17784996" in shown
    assert "tag verified yes" in shown
    assert "general-glo-ciphering holding DataNotification" in shown


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('layout = "message"', 'layout = "heap"', "layout"),
        ('layout = "message"', "layout = 5", "layout"),
        ('"7EA1', '"7EAG', "frames_hex[0]"),
        ("frames_hex", "frames", "frames_hex"),
        ('encryption = "00', 'encryption = "', "keys.encryption"),
        ('system_title = "4B', 'system_title = "', "keys.system_title"),
    ],
)
def test_a_capture_that_is_wrong_says_which_key(tmp_path, old: str, new: str, key: str) -> None:
    path = tmp_path / "wrong.toml"
    text = OMNIPOWER.path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = decode("--json", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"ConfigError: {path}: {key} = ")
    assert "112233445566778899" not in result.stderr


def test_a_file_called_toml_that_is_none_is_a_configuration_error(tmp_path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('encryption = "00112233')
    result = decode(path)
    assert result.exit_code == 2
    assert "00112233" not in result.stderr


# --- hexadecimal digits and binary ---------------------------------------------------------


def spaced(octets: bytes) -> bytes:
    digits = octets.hex(" ")
    return "\r\n".join(digits[at : at + 60] for at in range(0, len(digits), 60)).encode()


@pytest.mark.parametrize("form", [bytes, spaced, lambda octets: octets.hex().upper().encode()])
@pytest.mark.parametrize("through", ["file", "-"])
def test_octets_come_as_binary_or_digits_from_a_file_or_standard_input(
    tmp_path, form, through: str
) -> None:
    content = form(AIDON.frames[0])
    if through == "file":
        path = tmp_path / "octets"
        path.write_bytes(content)
        messages = document(decode("--json", path))
    else:
        messages = document(decode("--json", "-", octets=content))
    assert len(messages) == 1
    comparison = Comparison()
    comparison.compare(AIDON.document["expected"], messages[0]["obis"], "obis")
    assert comparison.differences == []
    assert messages[0]["frame"] == "UI"


def test_a_capture_may_come_on_standard_input() -> None:
    found = document(decode("--json", "-", octets=AIDON.path.read_bytes()))
    assert found["id"] == "aidon_no_1phase_hdlc"


def test_each_frame_of_a_stream_is_a_message() -> None:
    stream = b"".join(FILES["hdlc_association_public_client"].frames[:4])
    messages = document(decode("--json", "-", octets=stream))
    assert [message["frame"] for message in messages] == ["SNRM", "UA", "I", "I"]
    assert [message.get("apdu") for message in messages] == [None, None, "AARQ", "AARE"]


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 2, "nothing to decode"),
        (b" \n", 2, "nothing to decode"),
        (b"0F0", 2, "two make an octet"),
        (b"FE", 1, "no APDU tag"),
        (b"7EA0", 1, "no HDLC frame"),
        (b"0001000100010046DB08", 1, "the wrapper announces 70 octets, 2 follow"),
        (b"68FAFA6853FF", 1, "end was not recorded"),
        (b"no hex digits", 1, "no APDU tag"),
    ],
)
def test_what_cannot_be_decoded_ends_with_a_reason_and_its_code(
    content: bytes, code: int, said: str
) -> None:
    result = decode("--json", "-", octets=content)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path) -> None:
    result = decode(tmp_path / "nothing")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr


def test_a_quirk_is_borne_where_it_is_named_and_only_there() -> None:
    octets = FILES["kaifa_no_lists"].frames[0]
    strict = decode("--json", "-", octets=octets)
    assert strict.exit_code == 1
    assert "tagged octet-string" in strict.stderr
    borne = document(decode("--json", "--quirk", "tagged-date-time", "-", octets=octets))
    assert borne[0]["position"] == {"0": 5852}
    assert borne[0]["quirk"] == "tagged-date-time"


def test_text_of_a_meter_cannot_act_on_the_terminal() -> None:
    evil = b"\x1b[2J[bold]\x07[/]"
    notification = b"\x0f\0\0\0\0\0\x02\x01\x0a" + bytes([len(evil)]) + evil
    bare = notification[8:]
    for octets in (notification, bare):
        result = CliRunner().invoke(main, ["decode", "-"], input=octets, color=True)
        assert result.exit_code == 0
        assert "\x1b[2J" not in result.stdout
        assert "\\x1b[2J[bold]\\x07[/]" in result.stdout


# --- keys ----------------------------------------------------------------------------------


def test_keys_come_from_a_file(tmp_path) -> None:
    octets = OMNIPOWER.frames[0]
    keys = omnipower_keys(tmp_path)
    message = document(decode("--json", "--keys", keys, "-", octets=octets))[0]
    assert message["tag_verified"] is True
    assert message["obis"]["1.1.1.8.0.255"] == {"value": 6307498}


def test_without_keys_nothing_is_deciphered_and_that_is_said() -> None:
    message = document(decode("--json", "-", octets=OMNIPOWER.frames[0]))[0]
    assert message["not_deciphered"] == "not known: encryption key"
    assert message["system_title"] == "4B414D4501349083"
    assert "obis" not in message


def test_without_the_authentication_key_nothing_is_shown_of_a_tagged_message(tmp_path) -> None:
    keys = keys_file(tmp_path, guek=OMNIPOWER.document["keys"]["encryption"])
    message = document(decode("--json", "--keys", keys, "-", octets=OMNIPOWER.frames[0]))[0]
    assert "authentication key" in message["not_deciphered"]
    assert "obis" not in message


@pytest.mark.parametrize("wrong", [{"gak": "11" * 16}, {"guek": "11" * 16}])
@pytest.mark.parametrize("of", ["capture", "octets"])
def test_a_wrong_key_is_a_security_error(tmp_path, wrong: dict[str, str], of: str) -> None:
    keys = omnipower_keys(tmp_path, **wrong)
    if of == "capture":
        result = decode("--json", "--keys", keys, OMNIPOWER.path)
    else:
        result = decode("--json", "--keys", keys, "-", octets=OMNIPOWER.frames[0])
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "1111" not in result.stderr


@pytest.mark.parametrize("name", TAGGED)
def test_a_changed_tag_is_a_security_error(tmp_path, name: str) -> None:
    text = FILES[name].path.read_text()
    for number, octets in enumerate(FILES[name].frames):
        changed = next(iter(with_flipped_tag_bits(octets)))
        path = tmp_path / f"{number}.toml"
        path.write_text(text.replace(octets.hex().upper(), changed.hex().upper()))
        result = decode("--json", path)
        assert result.exit_code == 4, number
        assert result.stdout == ""


def test_a_keys_file_that_others_may_read_is_refused(tmp_path) -> None:
    keys = omnipower_keys(tmp_path)
    keys.chmod(0o644)
    result = decode("--keys", keys, OMNIPOWER.path)
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr


def test_the_folder_of_captures_is_the_tests_own() -> None:
    assert Path(__file__).resolve().parents[1] / "captures" == FOLDER
