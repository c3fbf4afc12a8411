"""One canonical layout of a profile file, so that two of them differ only where their meters do.

Sections stand in the order of the words (``gateway.profile.words``), keys in the order of theirs,
entries of lists and tables with free names as their author wrote them; one column or value to a
line; two spaces before a comment that stands behind something. Comments stay with what they stand
above or behind. What a file says is never changed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import tomlkit
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Comment, Item, Null, Table, Whitespace

from gateway.errors import ConfigError
from gateway.profile.loader import profile_schema
from gateway.profile.strict_toml import BARE_KEY, NOT_SHOWN, resolved

_FIRST: Final = ("inherit", "without")
"""Words of the loader; they are in no schema."""
_WIDTH: Final = 100
Path = tuple[str, ...]
Schema = dict[str, Any]


@dataclass(slots=True)
class _Entry:
    key: str
    value: Any
    above: list[str]
    behind: str


@dataclass(slots=True)
class _Section:
    path: Path
    is_list: bool = False
    above: list[str] = field(default_factory=list)
    behind: str = ""
    entries: list[_Entry] = field(default_factory=list)


def canonical(text: str, file: str) -> str:
    """The same file in the canonical layout.

    Raises ConfigError for what is no TOML, and for a comment inside a list: it has no place there
    that would stay its own.
    """
    try:
        said = tomllib.loads(text)
        document = tomlkit.parse(text)
    except (tomllib.TOMLDecodeError, TOMLKitError, RecursionError) as error:
        raise ConfigError(file, "(file)", NOT_SHOWN, f"valid TOML: {error}") from None
    sections = [_Section(())]
    left = _walk(document, sections, [], file)
    schema = profile_schema()
    order = [*_FIRST, *schema["properties"]]
    for section in sections:
        keys = [*_FIRST, *_node(schema, section.path).get("properties", {})]
        section.entries.sort(key=lambda entry: _rank(keys, entry.key))
    sections.sort(key=lambda section: _rank(order, section.path[0]) if section.path else -1)
    lines = [line for section in sections for line in _section_lines(section, schema)]
    result = "\n".join(_single_blanks([*lines, "", *left])).strip("\n") + "\n"
    if tomllib.loads(result) != said:
        raise ConfigError(file, "(file)", NOT_SHOWN, "a layout that can be kept: it would change")
    return result


def laid_out(document: Mapping[str, Any], head: Iterable[str]) -> str:
    """A file that says ``document``, under comments of one line each."""
    comments = "".join(f"# {_printable(' '.join(line.split()))}\n" for line in head)
    return canonical(f"{comments}\n{tomlkit.dumps(document)}", "(new profile)")


def _printable(text: str) -> str:
    """What a meter said may hold anything; a comment may not."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _value(key: str, value: Any, node: Schema) -> str:
    """A value, continued on further lines where it is long."""
    if not isinstance(value, list):
        return _scalar(value, node)
    items = [_scalar(item, resolved(node.get("items", {}), profile_schema())) for item in value]
    line = f"[{', '.join(items)}]"
    is_table_list = len(items) > 1 and isinstance(value[0], dict)
    if not is_table_list and len(f"{key} = {line}") <= _WIDTH:
        return line
    return "\n".join(["[", *(f"  {item}," for item in items), "]"])


def _walk(container: Container, sections: list[_Section], above: list[str], file: str) -> list[str]:
    """Sections and entries of a container in its order; comments that nothing came behind."""
    section = sections[-1]
    for key, item in container.body:
        match item:
            case Null():
                continue
            case Whitespace():
                above.append("")
            case Comment():
                above.append(item.trivia.comment)
            case AoT() if not section.path:
                for table in item.body:
                    path = (*section.path, _name(key))
                    above = _enter(table, path, sections, above, file, is_list=True)
            case Table() if not section.is_list:
                path = (*section.path, _name(key))
                above = _enter(table=item, path=path, sections=sections, above=above, file=file)
            case _:
                _refuse_comments(item, file, ".".join((*section.path, _name(key))))
                # Tables within an entry of a list stand in its lines, however they were written.
                entry = _Entry(_name(key), item.unwrap(), above, item.trivia.comment)
                section.entries.append(entry)
                above = []
    return above


def _enter(
    table: Table,
    path: Path,
    sections: list[_Section],
    above: list[str],
    file: str,
    *,
    is_list: bool = False,
) -> list[str]:
    if table.is_super_table():
        # A name that only tables below it carry: it has no header unless lists are its entries.
        section = _Section(path)
        sections.append(section)
        above = _walk(table.value, sections, above, file)
        if not section.entries:
            sections.remove(section)
        return above
    sections.append(_Section(path, is_list, above, table.trivia.comment))
    return _walk(table.value, sections, [], file)


def _name(key: tomlkit.items.Key | None) -> str:
    return key.key if key is not None else ""


def _refuse_comments(item: Item, file: str, key: str) -> None:
    # A sign in no text of the value begins a comment.
    if item.as_string().count("#") > sum(text.count("#") for text in _texts(item.unwrap())):
        raise ConfigError(file, key, NOT_SHOWN, "no comment inside a list: put it above")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)


def _rank(order: list[str], name: str) -> int:
    """Where a name stands; what has no place comes last, in its own order."""
    return order.index(name) if name in order else len(order)


def _node(schema: Schema, path: Path) -> Schema:
    """The schema of the table at a path."""
    node = resolved(schema, schema)
    for step in path:
        node = node.get("properties", {}).get(step) or node.get("additionalProperties") or {}
        node = resolved(node, schema)
        node = resolved(node.get("items", node), schema)
    return node


def _section_lines(section: _Section, schema: Schema) -> Iterator[str]:
    yield from ("", *_trimmed(section.above))
    if section.above and section.above[-1] == "" and any(section.above):
        yield ""
    if section.path:
        name = ".".join(map(_key_text, section.path))
        yield _with(f"[[{name}]]" if section.is_list else f"[{name}]", section.behind)
    node = _node(schema, section.path)
    for number, entry in enumerate(section.entries):
        yield from _trimmed(entry.above)
        if not section.path and not number and any(entry.above) and entry.above[-1] == "":
            yield ""  # the head of the file stands by itself
        below = resolved(node.get("properties", {}).get(entry.key, {}), schema)
        # In one piece: blank lines within a text are its own.
        yield _with(
            f"{_key_text(entry.key)} = {_value(entry.key, entry.value, below)}", entry.behind
        )


def _with(text: str, behind: str) -> str:
    return f"{text}  {behind}" if behind else text


def _trimmed(lines: list[str]) -> list[str]:
    kept = list(lines)
    while kept and kept[0] == "":
        del kept[0]
    while kept and kept[-1] == "":
        del kept[-1]
    return kept


def _single_blanks(lines: Iterable[str]) -> Iterator[str]:
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line


def _key_text(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _scalar(value: Any, node: Schema) -> str:
    if isinstance(value, Mapping):
        order = list(node.get("properties", ()))
        keys = sorted(value, key=lambda key: _rank(order, key))
        return f"{{ {', '.join(f'{_key_text(key)} = {_scalar(value[key], {})}' for key in keys)} }}"
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item, {}) for item in value)}]"
    if isinstance(value, str) and "\n" in value:
        return f'"""\n{_escaped(value)}"""'
    return f'"{_escaped(value)}"' if isinstance(value, str) else _plain(value)


def _escaped(text: str) -> str:
    lines = (json.dumps(line, ensure_ascii=False)[1:-1] for line in text.split("\n"))
    # TOML allows no DEL in a text; JSON does.
    return "\n".join(lines).replace("\x7f", "\\u007f")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text: str = tomlkit.item(value).as_string()
    return text
