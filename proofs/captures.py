"""The capture files: what their sources state, in the shape that ``gateway decode`` prints.

The fields are described in tests/captures/README.md.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from gateway.dlms.inspection import Capture, Quirks, read_capture

FOLDER: Final = Path(__file__).resolve().parents[1] / "tests" / "captures"

_LABELS: Final = ("case",)
"""Says what a frame is there for; no value."""
_GIVEN: Final = ("first_column", "columns_obis", "seconds_between_first_two_rows")
"""Follow from capture objects and period that the source hands its parser: see ``vectors``."""


@dataclass(frozen=True)
class CaptureFile:
    """One file of the folder, parsed; numbers with a point are Decimal."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @cached_property
    def document(self) -> dict[str, Any]:
        """Everything that stands in the file."""
        return tomllib.loads(self.path.read_text(encoding="utf-8"), parse_float=Decimal)

    @cached_property
    def capture(self) -> Capture:
        """Frames and keys."""
        return read_capture(self.document, str(self.path))

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The octets, one per link frame, APDU or stream."""
        return self.capture.frames

    @property
    def quirks(self) -> Quirks:
        """Deviations that the file names, as far as there are switches for them."""
        named = " ".join(self.document.get("quirks", ()))
        return Quirks(
            tagged_date_time="tagged octet-string" in named,
            untagged_descriptors="the descriptors have no tags" in named,
        )

    @property
    def has_tags(self) -> bool:
        """Whether authentication tags stand in its frames, with the keys to check them."""
        return bool(self.document.get("measured", {}).get("tags_verified"))

    @property
    def stated(self) -> dict[str, Any]:
        """What the source states, at the places where ``decoded`` has it."""
        expected: dict[str, Any] = self.document.get("expected", {})
        if self.capture.layout == "message":
            return expected | {"message": self._stated_message()}
        frames = {key: value for key, value in expected.items() if key.startswith("frame_")}
        without = (*_LABELS, *_GIVEN)
        stated: dict[str, Any] = {
            frame: {key: value for key, value in fields.items() if key not in without}
            for frame, fields in frames.items()
        }
        for field, values in self._measured().items():
            for number, value in enumerate(values):
                stated.setdefault(f"frame_{number}", {}).setdefault(field, value)
        return stated

    @property
    def vectors(self) -> dict[str, Any]:
        """What is stated beside the frames: cipher vectors, and columns of a buffer."""
        expected = self.document.get("expected", {})
        if self.capture.layout == "message":
            return {}
        beside = {key: value for key, value in expected.items() if not key.startswith("frame_")}
        for frame, fields in expected.items():
            given = {key: fields[key] for key in _GIVEN if key in fields}
            if given:
                beside[frame] = given
        return beside

    def _stated_message(self) -> dict[str, Any]:
        return {
            **{field: values[0] for field, values in self._measured().items()},
            **self.document.get("source_decode", {}),
            **self.document.get("expected_without_obis", {}),
        }

    def _measured(self) -> dict[str, list[Any]]:
        """Field of a message -> its value in each frame, as our own check with other tools found.

        Links are left out: their checks are the frames' own.
        """
        measured = self.document.get("measured", {})
        names = {
            "plaintext_hex": "plaintext_hex",
            "user_information_plaintext_hex": "plaintext_hex",
            "tags_verified": "tag_verified",
            "invocation_counters": "invocation_counter",
        }
        return {names[key]: values for key, values in measured.items() if key in names}


def capture_files() -> list[CaptureFile]:
    """Every capture of the folder, by name."""
    return [CaptureFile(path) for path in sorted(FOLDER.glob("*.toml"))]


def object_count(decoded: dict[str, Any]) -> int:
    """Objects in a decoded message, as sources count them: named values and loose ones.

    The message's own time, said once more in its body, is none.
    """
    message = decoded["message"]
    loose = [value for value in message["without_obis"] if value != message["date_time"]]
    return len(decoded) - 1 + len(loose)
