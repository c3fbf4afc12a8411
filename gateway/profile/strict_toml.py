"""TOML to frozen dataclasses, strictly: every fault named by file, key, value and what is allowed.

A dataclass made with ``table`` is a TOML table: an unknown key, a missing key and a value of
another type are faults, and all faults of a file are told together. Values of unknown keys are
never shown: a secret is most often found under a key that does not belong there.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, PlainValidator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import ConfigError, ConfigErrors, UsageError
from gateway.model import Obis

MAX_FILE_OCTETS: Final = 1 << 20
"""A hand-written file is far below this; more is a mistake or an attack."""
NOT_SHOWN: Final = "(not shown)"

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def table(cls: type[T]) -> type[T]:
    """Make a class a frozen, slotted dataclass that a TOML table is read into.

    Code may call it like any dataclass; only ``validate`` checks ranges and types. An ``alias``
    in an annotation is the file's word for a field.
    """
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


def text_as(read: Callable[[str], T]) -> PlainValidator:
    """Annotation metadata: the value is made from text by ``read``, which may raise UsageError."""

    def check(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError("must be a text")  # noqa: TRY004 pydantic reports ValueError only
        try:
            return read(value)
        except UsageError as error:
            raise ValueError(str(error)) from None

    return PlainValidator(check, json_schema_input_type=str)


def _frozen(mapping: Mapping[K, V]) -> Mapping[K, V]:
    return MappingProxyType(dict(mapping))


Table = Annotated[Mapping[K, V], AfterValidator(_frozen)]
"""A TOML table whose keys are names (or numbers) that the file chooses."""

ObisText = Annotated[Obis, text_as(Obis.parse)]
"""``1-0:1.8.0*255`` or ``1.0.1.8.0.255``."""


def read_text(path: Traversable) -> str:
    """A file's text; raise ConfigError for one that is missing, too large or not UTF-8."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_OCTETS + 1)
    except OSError as error:
        raise ConfigError(str(path), "(file)", error.strerror, "a readable TOML file") from None
    if len(octets) > MAX_FILE_OCTETS:
        raise ConfigError(str(path), "(file)", len(octets), f"at most {MAX_FILE_OCTETS} octets")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "(file)", NOT_SHOWN, f"valid TOML: {error}") from None


def read_toml(path: Traversable) -> dict[str, Any]:
    """Parse a file; raise ConfigError as ``read_text``, or for one that is no TOML."""
    try:
        return tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # The message of a decode error names line and column, never the text itself.
        raise ConfigError(str(path), "(file)", NOT_SHOWN, f"valid TOML: {error}") from None


def validate(adapter: TypeAdapter[T], document: Mapping[str, Any], file: str) -> T:
    """The typed value of a document; raise ConfigErrors with every fault in it."""
    try:
        return adapter.validate_json(json.dumps(document, default=_foreign))
    except RecursionError:
        raise ConfigError(file, "(file)", NOT_SHOWN, "tables nested less deeply") from None
    except ValidationError as error:
        schema = adapter.json_schema()
        raise ConfigErrors(
            [_fault(detail, schema, document, file) for detail in error.errors(include_url=False)]
        ) from None


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or nothing."""
    near = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> object:
    """A value as an error may repeat it: short, and nothing that looks like a secret."""
    if isinstance(value, str):
        return NOT_SHOWN if _SECRET_LIKE.search(value) else value[:80]
    if isinstance(value, (bool, int)) or value is None:
        return value
    return "(a table)" if isinstance(value, dict) else "(a list)"


_SECRET_LIKE: Final = re.compile(r"//[^/\s]*@|[0-9A-Fa-f]{32}|-----BEGIN")
_NAMING_KEYS: Final = ("name", "log", "kind", "serial")
BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
"""A key that TOML takes without quotation marks."""


def _foreign(value: object) -> object:
    # A TOML date or time: no key of ours takes one, and none takes a table in its place.
    return {"toml": str(value)}


def _fault(
    detail: ErrorDetails, schema: dict[str, Any], document: Mapping[str, Any], file: str
) -> ConfigError:
    place, message = detail["loc"], detail["msg"]
    if place and place[-1] == "[key]":
        place = place[:-1]  # pydantic's mark for the key itself
    key = _key(place, document)
    match detail["type"]:
        case "unexpected_keyword_argument":
            allowed = _keys_at(schema, place[:-1])
            hint = suggestion(str(place[-1]), allowed)
            text = f"unknown key; allowed are {', '.join(allowed)}{hint}"
            return ConfigError(file, key, NOT_SHOWN, text)
        case "missing":
            return ConfigError(file, key, "(missing)", "this key is required")
        case "enum" | "literal_error":
            value = detail["input"]
            expected = str(detail["ctx"]["expected"])
            hint = suggestion(str(value), re.findall(r"'([^']*)'", expected))
            return ConfigError(file, key, shown(value), f"must be {expected}{hint}")
        case _:
            text = message.removeprefix("Value error, ").replace("Input should be", "must be")
            return ConfigError(file, key, shown(detail["input"]), text)


def _key(place: Sequence[str | int], document: Any) -> str:
    """``wire[0 bus1].meter[3 SA1231166].server``: the way to a value, entries with their names."""
    text = ""
    for step in place:
        document = _child(document, step)
        if isinstance(step, int):
            text += f"[{' '.join([str(step), *_entry_name(document)])}]"
        else:
            name = step if BARE_KEY.fullmatch(step) else json.dumps(step)
            text += f".{name}" if text else name
    return text or "(file)"


def _child(document: Any, step: str | int) -> Any:
    try:
        return document[step]
    except (KeyError, IndexError, TypeError):
        return None


def _entry_name(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return []
    names = (entry.get(key) for key in _NAMING_KEYS)
    return [name for name in names if isinstance(name, str) and BARE_KEY.fullmatch(name)][:1]


def _keys_at(schema: dict[str, Any], place: Sequence[str | int]) -> list[str]:
    """The keys that the table at ``place`` may have, from its JSON Schema."""
    node = resolved(schema, schema)
    for step in place:
        if isinstance(step, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(step) or node.get("additionalProperties", {})
        node = resolved(node, schema)
    return sorted(node.get("properties", {}))


def resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A node of a JSON Schema without its references; of alternatives the one that is no null."""
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            node = option
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node
