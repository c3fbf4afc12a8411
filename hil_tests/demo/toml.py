"""Text as TOML writes it."""

from __future__ import annotations

import json


def text(value: object) -> str:
    """A basic string. JSON's escapes are TOML's for the names and paths that stand here."""
    return json.dumps(str(value))
