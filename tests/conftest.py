"""What every test shares: bounded property tests and a loud word about parts left out."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# No deadline: a loaded machine is not a defect. HYPOTHESIS_PROFILE=long digs deeper.
for name, examples in (("dev", 30), ("ci", 100), ("long", 3000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "dev")
)


def _missing(marker: str) -> str:
    """What the marker needs and this machine lacks; "" if nothing."""
    if marker == "peer" and not (ROOT / ".venv-peers/bin/python").exists():
        return "no .venv-peers: run scripts/setup peers"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    program = {"browser": "chromium", "mosquitto": "mosquitto"}.get(marker)
    if program and shutil.which(program, path=path) is None:
        return f"no {program}: run scripts/setup system"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run; where CI=true nothing is left out, so fail instead."""
    for marker in ("browser", "peer", "mosquitto"):
        if item.get_closest_marker(marker) is None or not (reason := _missing(marker)):
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
