"""Proof "decode": recorded frames give exactly the values that their sources state.

Every capture goes through the real ``gateway decode --json`` in a process of its own. In this
process the same octets are fed one by one into the links, buried in junk, and tampered with.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateway.dlms.cosem_time import TimeRules
from gateway.dlms.inspection import Capture, Described, Inspector, explain_capture
from gateway.dlms.inspection.framing import without_llc
from gateway.dlms.rows import decode_rows
from gateway.dlms.security import Gcm, GlobalKeys
from gateway.dlms.values import to_rows
from gateway.errors import GatewayError, SecurityError
from gateway.model import CaptureList, CaptureObject, Column, Obis
from proofs import Options
from proofs.captures import CaptureFile, capture_files, object_count
from proofs.comparison import Comparison
from proofs.octet_checks import (
    WRAPPER_HEADER_OCTETS,
    apdus_fed_singly,
    frames_fed_singly,
    hdlc_frame,
    in_junk,
    with_flipped_tag_bits,
    with_wrong_authentication_keys,
)

_TIMEOUT_S: Final = 60
_SHOWN: Final = 10
_SECURITY: Final = 4
_JUNK_ROUNDS: Final = {False: 20, True: 2000}
_COMMAND: Final = (sys.executable, "-m", "gateway.cli.main", "decode", "--json")


@dataclass(slots=True)
class _Tally:
    """Figures as they grow; ``comparison`` holds what differs."""

    comparison: Comparison = field(default_factory=Comparison)
    files: int = 0
    files_decoded: int = 0
    messages: int = 0
    octets_fed_singly: int = 0
    junk_streams: int = 0
    tampers_refused: int = 0
    wrong_keys_refused: int = 0

    def require(self, holds: bool, what: str) -> None:
        if not holds:
            self.comparison.differences.append(what)


def prove(options: Options) -> dict[str, Any]:
    """Figures over all captures; ``ok`` only if nothing differs and all tampering is refused."""
    tally = _Tally()
    source = random.Random(options.seed)
    for file in capture_files():
        options.tell(file.name)
        tally.files += 1
        _check_command(file, tally)
        _check_vectors(file, tally)
        for number, octets in enumerate(file.frames):
            where = f"{file.name}, frame {number}"
            _check_fed_singly(file, octets, where, tally)
            if hdlc_frame(octets) is not None:
                for _ in range(_JUNK_ROUNDS[options.long]):
                    _check_in_junk(file, octets, source, where, tally)
        if file.has_tags and file.capture.keys.authentication is not None:
            _check_tampering(file, tally)
    return {
        "ok": not tally.comparison.differences,
        "files": tally.files,
        "files_decoded": tally.files_decoded,
        "messages": tally.messages,
        "values_compared": tally.comparison.values,
        "differences": len(tally.comparison.differences),
        "difference_examples": tally.comparison.differences[:_SHOWN],
        "octets_fed_singly": tally.octets_fed_singly,
        "junk_streams": tally.junk_streams,
        "tampers_refused": tally.tampers_refused,
        "wrong_keys_refused": tally.wrong_keys_refused,
        "seed": options.seed,
    }


def run_command(path: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the real ``gateway decode --json``."""
    done = subprocess.run(
        [*_COMMAND, *arguments, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    return done.returncode, done.stdout, done.stderr


def _check_command(file: CaptureFile, tally: _Tally) -> None:
    code, output, errors = run_command(file.path)
    if code != 0:
        tally.require(False, f"{file.name}: exit code {code}: {errors.strip()}")
        return
    tally.files_decoded += 1
    document = json.loads(output, parse_float=Decimal)
    compare_file(file, document, tally.comparison)
    decoded = document["decoded"]
    tally.messages += 1 if file.capture.layout == "message" else len(decoded)


def compare_file(file: CaptureFile, document: dict[str, Any], comparison: Comparison) -> None:
    """Everything a file states against a document of ``gateway decode --json``."""
    before = comparison.values
    comparison.compare(file.stated, document["decoded"], file.name)
    if comparison.values == before:
        comparison.differences.append(f"{file.name}: states nothing that was compared")
    count = file.document.get("source_object_count")
    if count is not None:
        comparison.compare(count, object_count(document["decoded"]), f"{file.name}: objects")


def _check_vectors(file: CaptureFile, tally: _Tally) -> None:
    """What a file states beside its frames, found by the product's own parts."""
    for name, stated in file.vectors.items():
        where = f"{file.name}.{name}"
        if "ciphertext_and_tag_hex" in stated:
            sealed = _seal(file.capture, stated, stated["system_title"], stated["plaintext_hex"])
            tally.comparison.compare(stated["ciphertext_and_tag_hex"], sealed, where)
        elif "tag_hex" in stated:
            challenge = stated["server_to_client_challenge"]
            sealed = _seal(file.capture, stated, stated["client_system_title"], challenge)
            tally.comparison.compare(challenge + stated["tag_hex"], sealed, where)
        elif "seconds_between_first_two_rows" in stated:
            octets = file.frames[int(name.removeprefix("frame_"))]
            found = _seconds_between_first_two_rows(octets, stated["columns_obis"])
            tally.comparison.compare(stated["seconds_between_first_two_rows"], found, where)
        else:
            tally.require(False, f"{where}: nothing was compared with it")


def _seal(capture: Capture, vector: dict[str, Any], title: str, plain_hex: str) -> str:
    keys = capture.keys
    if keys.encryption is None or keys.authentication is None:
        return "no keys"
    gcm = Gcm(GlobalKeys(encryption=keys.encryption, authentication=keys.authentication))
    sealed = gcm.seal(
        title=bytes.fromhex(title),
        counter=vector["invocation_counter"],
        security_control=int(vector["security_control"], 16),
        plain=bytes.fromhex(plain_hex),
    )
    return sealed.hex().upper()


def _seconds_between_first_two_rows(buffer: bytes, columns: Iterable[str]) -> int:
    """By the clock of the first row and the capture period of the source, an hour."""
    clock, *others = (Obis.parse(text) for text in columns)
    layout = (
        Column(CaptureObject(8, clock, 2)),
        *(Column(CaptureObject(3, obis, 2), scaler=0) for obis in others),
    )
    rows, _ = to_rows(
        decode_rows(buffer),
        CaptureList(layout),
        TimeRules(zone_minutes=60),
        period_s=3600,
        received_at_s=0,
    )
    return rows[1].captured_at_s - rows[0].captured_at_s


def _check_fed_singly(file: CaptureFile, octets: bytes, where: str, tally: _Tally) -> None:
    """The same frames, APDUs and fields as from the whole."""
    stream = Inspector().link_frames(octets)
    frames = frames_fed_singly(octets)
    apdus = apdus_fed_singly(octets)
    if frames or apdus or (file.capture.link_only and not stream["octet_stuffing"]):
        tally.octets_fed_singly += len(octets)
        found = [{"payload_hex": frame.information.hex().upper()} for frame in frames]
        tally.comparison.compare(found, stream["frames"], f"{where}, octet by octet")
    if apdus is None:
        return
    payloads = [frame.information for frame in frames] or [octets[WRAPPER_HEADER_OCTETS:]]
    tally.require(
        apdus == [without_llc(payload) for payload in payloads],
        f"{where}: another APDU when fed octet by octet",
    )
    if file.capture.link_only:
        return
    for apdu, message in zip(apdus, _look(file, octets), strict=True):
        fields = Inspector(file.capture.keys, file.quirks).apdu(apdu)
        tally.comparison.compare(fields, message, f"{where}, octet by octet")


def _check_in_junk(
    file: CaptureFile, octets: bytes, source: random.Random, where: str, tally: _Tally
) -> None:
    tally.junk_streams += 1
    buried = in_junk(octets, source)
    try:
        found = _look(file, buried)
    except GatewayError as error:
        tally.require(False, f"{where}, in junk {buried.hex()}: {error}")
        return
    tally.require(found == _look(file, octets), f"{where}: other messages in {buried.hex()}")


def _look(file: CaptureFile, octets: bytes) -> list[Described]:
    inspector = Inspector(file.capture.keys, file.quirks)
    if file.capture.link_only:
        return [inspector.link_frames(octets)]
    return inspector.inspect(octets)


def _check_tampering(file: CaptureFile, tally: _Tally) -> None:
    for number, octets in enumerate(file.frames):
        alone = replace(file.capture, frames=(octets,))
        for changed in with_flipped_tag_bits(octets):
            refused = _is_refused(replace(alone, frames=(changed,)))
            tally.tampers_refused += refused
            tally.require(refused, f"{file.name}, frame {number}: a changed tag was accepted")
        for wrong in with_wrong_authentication_keys(alone):
            refused = _is_refused(wrong)
            tally.wrong_keys_refused += refused
            tally.require(refused, f"{file.name}, frame {number}: a wrong key was accepted")
    code, output, _ = _under_wrong_key(file)
    tally.require(code == _SECURITY, f"{file.name}: exit code {code} under a wrong key")
    tally.require(not output, f"{file.name}: something was printed under a wrong key")


def _is_refused(capture: Capture) -> bool:
    try:
        explain_capture(capture)
    except SecurityError:
        return True
    return False


def _under_wrong_key(file: CaptureFile) -> tuple[int, str, str]:
    """The real command with a keys file whose authentication key is another one."""
    keys = file.document["keys"]
    lines = [
        f'guek = "{keys["encryption"]}"',
        f'gak = "{"5A" * 16}"',
        f'client_system_title = "{keys["system_title"]}"',
        f'server_system_title = "{keys["system_title"]}"',
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as keys_file:  # made with mode 0600
        keys_file.write("\n".join(lines))
        keys_file.flush()
        return run_command(file.path, "--keys", keys_file.name)
