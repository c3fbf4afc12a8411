"""The proofs command: what proofs there are, one document each, and exit codes that tell."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.errors import UsageError
from proofs import PROOFS, Options, Proof, run
from proofs import decode as decode_proof
from proofs.__main__ import main
from proofs.captures import CaptureFile, capture_files

MADE_UP = Proof(
    module="proof_of_a_test", sentence="It is made up.", not_proven="Whatever is not made up."
)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Options], Any]], str]:
    """Registers a proof of the test's own and gives its name."""

    def register(prove: Callable[[Options], Any]) -> str:
        module = ModuleType("proof_of_a_test")
        module.prove = prove  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "proof_of_a_test", module)
        proofs = {**PROOFS, "madeup": MADE_UP}
        monkeypatch.setattr("proofs.PROOFS", proofs)
        return "madeup"

    return register


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_without_a_name_every_proof_is_listed_with_its_sentence() -> None:
    listed = invoke()
    assert listed.exit_code == 0
    for name, proof in PROOFS.items():
        assert f"{name} " in listed.stdout
        assert proof.sentence in listed.stdout
    assert set(json.loads(invoke("--json").stdout)) == set(PROOFS)


def test_a_proof_that_holds_is_one_document_with_machine_and_seconds(made_up) -> None:
    seen: list[Options] = []

    def prove(options: Options) -> dict[str, Any]:
        seen.append(options)
        options.tell("half way")
        return {"ok": True, "rows": 7}

    done = invoke(made_up(prove), "--json", "--seed", "5", "--long")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["proof"] == "madeup"
    assert document["ok"] is True
    assert document["rows"] == 7
    assert document["machine"]["cores"]
    assert document["seconds"] >= 0
    assert (seen[0].seed, seen[0].long) == (5, True)
    assert "half way" in done.stderr


def test_a_proof_that_does_not_hold_ends_with_1_and_still_tells_its_figures(made_up) -> None:
    name = made_up(lambda _: {"ok": False, "lost": 1})
    done = invoke(name, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["lost"] == 1
    shown = invoke(name)
    assert shown.exit_code == 1
    assert "lost" in shown.stdout


def test_a_name_that_is_no_proof_is_a_usage_error_that_names_the_proofs() -> None:
    done = invoke("nonsense", "--json")
    assert done.exit_code == 2
    assert "decode" in done.stderr
    assert not done.stdout


def test_a_proof_whose_module_is_missing_is_a_usage_error(monkeypatch) -> None:
    proofs = {"later": replace(MADE_UP, module="proofs.no_such_module")}
    monkeypatch.setattr("proofs.PROOFS", proofs)
    with pytest.raises(UsageError, match="not part of this checkout"):
        run("later", Options())


def only(monkeypatch: pytest.MonkeyPatch, *files: CaptureFile) -> dict[str, Any]:
    monkeypatch.setattr(decode_proof, "capture_files", lambda: list(files))
    monkeypatch.setattr(decode_proof, "_JUNK_ROUNDS", {False: 2})
    return decode_proof.prove(Options())


def by_name(name: str) -> CaptureFile:
    return next(file for file in capture_files() if file.name == name)


def test_the_decode_proof_compares_feeds_and_tampers(monkeypatch) -> None:
    figures = only(monkeypatch, by_name("kamstrup_omnipower_hdlc"), by_name("egd_spec_example_raw"))
    assert figures["ok"] is True
    assert (figures["files"], figures["files_decoded"], figures["messages"]) == (2, 2, 2)
    assert figures["values_compared"] > 33
    assert figures["octets_fed_singly"] == 491
    assert figures["tampers_refused"] == 96
    assert figures["wrong_keys_refused"] == 128


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value = 9.3,", "value = 9.4,"),
        ('unit = "var"', 'unit = "W"'),
        ("source_object_count = 9", "source_object_count = 8"),
        ('"1.0.1.7.0.255" = {', '"1.0.9.7.0.255" = {'),
    ],
)
def test_the_decode_proof_fails_when_a_source_states_another_value(
    monkeypatch, tmp_path, old: str, new: str
) -> None:
    text = by_name("aidon_no_1phase_hdlc").path.read_text(encoding="utf-8")
    changed = tmp_path / "aidon_no_1phase_hdlc.toml"
    assert old in text
    changed.write_text(text.replace(old, new), encoding="utf-8")
    figures = only(monkeypatch, CaptureFile(changed))
    assert figures["ok"] is False
    assert figures["differences"] >= 1
    assert figures["difference_examples"]


def test_the_decode_proof_fails_when_a_changed_tag_is_accepted(monkeypatch) -> None:
    # A frame whose "tampered" form is the frame itself is accepted, and that must be seen.
    monkeypatch.setattr(decode_proof, "with_flipped_tag_bits", lambda octets: [octets])
    figures = only(monkeypatch, by_name("fio_gas_udp_push"))
    assert figures["ok"] is False
    assert figures["tampers_refused"] == 0


def test_the_decode_proof_fails_when_a_wrong_key_is_accepted(monkeypatch) -> None:
    monkeypatch.setattr(decode_proof, "with_wrong_authentication_keys", lambda capture: [capture])
    figures = only(monkeypatch, by_name("fio_gas_udp_push"))
    assert figures["ok"] is False
    assert figures["wrong_keys_refused"] == 0
