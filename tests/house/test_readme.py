"""What the README says can be typed, and what it shows is what comes out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def is_part(shown: Any, whole: Any) -> bool:
    if isinstance(shown, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in shown.items())
    return bool(shown == whole)


def test_the_frame_shown_decodes_to_the_json_shown(tmp_path: Path) -> None:
    frame = next(text for kind, text in BLOCKS if kind == "" and text.startswith("7E"))
    shown = json.loads(next(text for kind, text in BLOCKS if kind == "json"))
    file = tmp_path / "frame.hex"
    file.write_text(frame)
    result = CliRunner().invoke(main, ["decode", "--json", str(file)])
    assert result.exit_code == 0, result.output
    (message,) = json.loads(result.stdout)
    assert is_part(shown, message)
    assert not is_part(shown | {"frame": "I"}, message)


@pytest.mark.parametrize("script", sorted(set(re.findall(r"scripts/\w+", README))))
def test_every_script_named_is_there_and_can_be_run(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`gateway (\w+)", README))))
def test_every_command_named_exists(command: str) -> None:
    assert command in main.commands


@pytest.mark.parametrize("name", re.findall(r"scripts/prove (\w+)", README))
def test_every_proof_named_exists(name: str) -> None:
    from proofs import PROOFS

    assert name in PROOFS
