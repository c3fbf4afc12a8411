"""What makers of meters mean by the lists that their customer interfaces push, from files.

Some makers send values without scalers, or without logical names, or under logical names of their
own: then only the maker's description of the interface says what a value is. One strict TOML file
for each maker says it; whatever stands in it is proved by a recorded push that it names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from importlib.resources.abc import Traversable
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from gateway.errors import ConfigError, ConfigErrors
from gateway.profile.event_words import Name
from gateway.profile.loader import profile_names, shipped_profiles
from gateway.profile.strict_toml import ObisText, Table, read_toml, table, validate

Scaler = Annotated[int, Field(ge=-128, le=127)]
"""Decimal exponent, as in scaler_unit of class 3."""


@table
class PositionalList:
    """A list whose values have no logical names: what stands at each place.

    Told from the maker's other lists by how many values it has.
    """

    name: Name
    values: Annotated[tuple[Name, ...], Field(min_length=1)]


@table
class RecordedPush:
    """Proof: a frame among the recorded ones, and every value that is found in it.

    ``recorded`` is a file of tests/captures without its ending, ``frame`` the place of the frame in
    it. ``values``: name -> exact text, digits as the scaler leaves them, ISO 8601 for a time.
    """

    recorded: Name
    frame: Annotated[int, Field(ge=0)] = 0
    values: Annotated[Table[Name, str], Field(min_length=1)]


@table
class PushLists:
    """One maker's push lists; made by ``load_push_lists``."""

    make: Name
    """As capture files write it."""
    description: Name
    source: Name
    """Where the maker's convention is described."""
    names: Table[ObisText, Name] = field(default_factory=dict)
    """Logical names in the maker's own use; those of the standard need no entry."""
    first_element: Name | None = None
    """What a text in front of all logical names is."""
    scalers: Table[Name, Scaler] = field(default_factory=dict)
    """Of values that are sent without one, by name."""
    lists: Annotated[tuple[PositionalList, ...], Field(alias="list")] = ()
    captures: Annotated[tuple[RecordedPush, ...], Field(alias="capture", min_length=1)]

    def list_of(self, count: int) -> tuple[str, ...]:
        """Names by place in the list of so many values; () where the maker sends none such."""
        return next((entry.values for entry in self.lists if len(entry.values) == count), ())


_ADAPTER: Final = TypeAdapter(PushLists)


def shipped_push_lists() -> Traversable:
    """The folder of push lists that comes with the product."""
    return shipped_profiles() / "push_lists"


def load_push_lists(folder: Traversable | None = None) -> Mapping[str, PushLists]:
    """Make -> its push lists, for every file of a folder (None: those shipped with the product).

    Raises ConfigError or ConfigErrors naming file and key.
    """
    folder = folder or shipped_push_lists()
    found: dict[str, PushLists] = {}
    for name in profile_names(folder):
        file = f"{name}.toml"
        lists = validate(_ADAPTER, read_toml(folder / file), file)
        if faults := list(_faults(lists, file)):
            raise ConfigErrors(faults)
        if lists.make in found:
            raise ConfigError(file, "make", lists.make, "must have one file only")
        found[lists.make] = lists
    return found


def _faults(lists: PushLists, file: str) -> Iterator[ConfigError]:
    """What only the whole file can show: lists that are alike, and words that nothing proves."""
    lengths = Counter(len(entry.values) for entry in lists.lists)
    for index, entry in enumerate(lists.lists):
        key = f"list[{index} {entry.name}].values"
        for twice in _twice(entry.values):
            yield ConfigError(file, key, twice, "must stand once")
        if lengths[len(entry.values)] > 1:
            yield ConfigError(file, key, len(entry.values), "no other list may have as many values")
        if not any(set(entry.values) <= capture.values.keys() for capture in lists.captures):
            yield ConfigError(file, key, entry.name, "needs a capture with all these values")
    proved = {name for capture in lists.captures for name in capture.values}
    claimed = [("scalers", name) for name in lists.scalers]
    claimed += [("names", name) for name in lists.names.values()]
    claimed += [("first_element", lists.first_element)] if lists.first_element else []
    for key, name in claimed:
        if name not in proved:
            yield ConfigError(file, key, name, "needs a capture with this value")


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)
