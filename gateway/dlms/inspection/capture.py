"""Capture files: recorded frames with their keys, explained in the shape of their expected values.

The fields of a file are described in tests/captures/README.md; those that a file states as its
truth are not read here, so that they can be compared with what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, cast

from gateway.dlms.inspection.framing import Described
from gateway.dlms.inspection.inspector import Inspector, Quirks
from gateway.dlms.inspection.lists import named_fields
from gateway.dlms.inspection.opening import InspectionKeys
from gateway.errors import ConfigError, DecodeError
from gateway.model import Secret
from gateway.profile.push_lists import PushLists

_LAYOUTS: Final = ("message", "each")
_LINK_ONLY: Final = "link layer only"
_TITLE_OCTETS: Final = 8
_KEY_OCTETS: Final = 16


@dataclass(frozen=True, slots=True)
class Capture:
    """What a capture file holds.

    ``layout`` "message": all frames together carry one message; "each": every frame stands alone.
    ``link_only`` says that nothing but the link layer is to be looked at; ``make`` is the
    meter's maker, "" where none is stated.
    """

    name: str
    layout: str
    frames: tuple[bytes, ...]
    keys: InspectionKeys
    make: str = ""
    link_only: bool = False


def read_capture(document: Mapping[str, object], file: str) -> Capture:
    """Take what is needed from a parsed capture file; raise ConfigError, never showing a key."""
    texts: dict[str, str] = {}
    for key in ("id", "layout", "make", "service"):
        value = document.get(key, "")
        if not isinstance(value, str):
            raise ConfigError(file, key, value, "must be a text")
        texts[key] = value
    if texts["layout"] not in _LAYOUTS:
        raise ConfigError(file, "layout", texts["layout"], f"allowed: {', '.join(_LAYOUTS)}")
    frames = document.get("frames_hex")
    if not isinstance(frames, list) or not frames:
        raise ConfigError(file, "frames_hex", frames, "must be a list of hexadecimal texts")
    keys = document.get("keys", {})
    if not isinstance(keys, dict):
        raise ConfigError(file, "keys", "<secret>", "must be a table")
    title = _octets(keys, "system_title", _TITLE_OCTETS, file)
    return Capture(
        name=texts["id"],
        layout=texts["layout"],
        frames=tuple(_frame(file, number, frame) for number, frame in enumerate(frames)),
        keys=InspectionKeys(
            encryption=_secret(keys, "encryption", file),
            authentication=_secret(keys, "authentication", file),
            dedicated=_secret(keys, "dedicated", file),
            client_title=title,
            server_title=title,
        ),
        make=texts["make"],
        link_only=texts["service"] == _LINK_ONLY,
    )


def _frame(file: str, number: int, frame: object) -> bytes:
    try:
        return bytes.fromhex(cast("str", frame))
    except (TypeError, ValueError):
        raise ConfigError(
            file, f"frames_hex[{number}]", frame, "must be hexadecimal digits"
        ) from None


def _octets(keys: Mapping[str, object], name: str, length: int, file: str) -> bytes | None:
    if name not in keys:
        return None
    try:
        octets = bytes.fromhex(cast("str", keys[name]))
    except (TypeError, ValueError):
        octets = b""
    if len(octets) != length:
        allowed = f"must be {length} octets in hexadecimal digits"
        raise ConfigError(file, f"keys.{name}", "<secret>", allowed)
    return octets


def _secret(keys: Mapping[str, object], name: str, file: str) -> Secret | None:
    octets = _octets(keys, name, _KEY_OCTETS, file)
    return None if octets is None else Secret(octets)


def explain_capture(
    capture: Capture,
    *,
    keys: InspectionKeys | None = None,
    quirks: Quirks | None = None,
    maker: PushLists | None = None,
) -> dict[str, object]:
    """``{"id", "layout", "decoded", "quirks_used"}``; ``decoded`` has the shape of ``[expected]``.

    Strictly first; frames that only a quirk makes readable are read with it, and its name stands in
    ``quirks_used``. ``keys`` go before the capture's own. Values of a push list get the names and
    scalers of ``maker``; without it they stay as they were sent. Raises DecodeError naming the
    frame, LimitExceeded, SecurityError.
    """
    if keys is not None:
        capture = replace(capture, keys=keys)
    try:
        decoded = _explain(capture, quirks or Quirks(), maker)
    except DecodeError as strictly:
        decoded = _with_a_quirk(capture, maker, strictly)
    messages = (message for message in (decoded, *decoded.values()) if isinstance(message, dict))
    used = {str(message["quirk"]) for message in messages if "quirk" in message}
    return {
        "id": capture.name,
        "layout": capture.layout,
        "decoded": decoded,
        "quirks_used": sorted(used),
    }


def _with_a_quirk(capture: Capture, maker: PushLists | None, strictly: DecodeError) -> Described:
    """As one of the deviations that are known, if that reads it; else the strict reader's error."""
    for quirks in (Quirks(tagged_date_time=True), Quirks(untagged_descriptors=True)):
        with suppress(DecodeError):
            return _explain(capture, quirks, maker)
    raise strictly


def _explain(capture: Capture, quirks: Quirks, maker: PushLists | None) -> Described:
    def fresh() -> Inspector:
        return Inspector(capture.keys, quirks)

    if capture.link_only:
        look: Callable[[bytes], Described] = fresh().link_frames
    elif capture.layout == "message":
        return _as_message(_only(fresh().inspect(b"".join(capture.frames))), maker)
    else:

        def look(octets: bytes) -> Described:
            return _as_frame(_only(fresh().inspect(octets)), maker)

    decoded: Described = {}
    for number, octets in enumerate(capture.frames):
        try:
            decoded[f"frame_{number}"] = look(octets)
        except DecodeError as error:
            raise DecodeError(f"frame {number}: {error.what}", error.offset) from None
    return decoded


def _only(messages: Sequence[Described]) -> Described:
    """The one message; of general blocks, the block that completes it."""
    whole = [message for message in messages if "reassembled_apdu" in message]
    if len(whole) == 1 and all(message.get("apdu") == whole[0]["apdu"] for message in messages):
        return whole[0]
    if len(messages) != 1:
        raise DecodeError(f"{len(messages)} messages where the capture states one")
    return messages[0]


def _positions(message: Described) -> list[object]:
    position = message.get("position")
    return list(position.values()) if isinstance(position, dict) else []


def _fields(message: Described, maker: PushLists | None) -> Described:
    if maker is None or "body_elements" not in message:
        return {}
    fields = named_fields(
        maker,
        named=cast("dict[str, dict[str, object]]", message["obis"]),
        positions=_positions(message),
        unnamed=cast("list[object]", message["without_obis"]),
        apdu_date_time=message["apdu_date_time"],
    )
    return {"decoded_fields": fields}


def _as_frame(message: Described, maker: PushLists | None) -> Described:
    return message | _fields(message, maker)


def _as_message(message: Described, maker: PushLists | None) -> Described:
    """Values by logical name; everything else about the message under ``message``."""
    fields = _fields(message, maker)
    named = cast("dict[str, object]", message.pop("obis", {}))
    positions = _positions(message)
    message.pop("position", None)
    return {**named, "message": message | {"positions": positions} | fields}
