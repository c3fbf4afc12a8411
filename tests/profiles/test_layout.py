"""The one layout of profile files: the same words, the same comments, and one text for both."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.main import main
from gateway.errors import ConfigError
from gateway.profile import profile_names, shipped_profiles
from gateway.profile.canonical import canonical, laid_out

UNTIDY = """
# who wrote it

# why
[time]  # India
deviation_sign=-1
# one zone
zone_minutes   =   330 # no daylight saving


[[profile_generic]]
kind = "daily_load"
[[profile_generic.columns]]
obis = "0-0:1.0.0*255"
name = "clock"
class_id = 8
[events.power]
101 = 'power failure'
[[capture]]
values = [ {expect = "1", of = "clock"},
  {of="x", expect="2"} ]
octets = '''
11 01
11 02
'''
what = "w"
# --- meters that it is for ---

[match]
meter_type = [
  6, 7 ]
# the end
"""

TIDY = '''\
# --- meters that it is for ---

[match]
meter_type = [6, 7]

# who wrote it

# why
[time]  # India
# one zone
zone_minutes = 330  # no daylight saving
deviation_sign = -1

[[profile_generic]]
kind = "daily_load"
columns = [{ name = "clock", class_id = 8, obis = "0-0:1.0.0*255" }]

[events.power]
101 = "power failure"

[[capture]]
what = "w"
octets = """
11 01
11 02
"""
values = [
  { of = "clock", expect = "1" },
  { of = "x", expect = "2" },
]

# the end
'''


def comments(text: str) -> list[str]:
    return sorted(re.findall(r"#.*", text))


def test_sections_keys_and_lists_have_one_order_and_comments_go_with_them() -> None:
    assert canonical(UNTIDY, "x.toml") == TIDY
    assert comments(UNTIDY) == comments(TIDY)


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_file_that_was_shuffled_comes_back_as_it_was(name: str) -> None:
    text = shipped_profiles().joinpath(f"{name}.toml").read_text("utf-8")
    messy = re.sub(r"^(\w+) = ", r"\1  =", text, flags=re.M).replace("\n\n", "\n\n\n")
    assert canonical(messy, name) == text


@pytest.mark.parametrize("name", profile_names())
def test_a_comment_above_or_behind_every_statement_stays_with_it(name: str) -> None:
    text = shipped_profiles().joinpath(f"{name}.toml").read_text("utf-8")
    bare = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
    bare = re.sub(r"  #.*", "", bare)
    statement = re.compile(r"^(?=\[\[?\w|\w+ = )", re.M)
    number = iter(range(10_000))
    marked = statement.sub(lambda _: f"# above {next(number)}\n", bare)
    marked = re.sub(
        r'^(?!.*""")((\[\[?[\w.]+\]\]?|\w+ = [^\[\n]*[\w\"]))$',
        lambda found: f"{found[1]}  # behind {next(number)}",
        marked,
        flags=re.M,
    )
    text = canonical(marked, name)
    assert comments(text) == comments(marked)
    assert len(comments(marked)) > 2 * bare.count("[[")
    assert canonical(text, name) == text
    laid = text.splitlines()
    for line, below in pairwise(marked.splitlines()):
        if line.startswith("# above"):
            assert laid[laid.index(line) + 1] == below


def test_a_comment_inside_a_list_is_refused_and_not_lost() -> None:
    text = 'columns = [\n  "a",  # lost?\n]\n'
    with pytest.raises(ConfigError, match=r"x\.toml: columns .*no comment inside a list"):
        canonical(text, "x.toml")
    text = "[[object]]\n[[object.x]]\na = 1\n# lost?\n"
    with pytest.raises(ConfigError, match="no comment inside a list"):
        canonical(text, "x.toml")
    assert canonical('what = "no # comment"\n', "x.toml") == 'what = "no # comment"\n'


@pytest.mark.parametrize("text", ["a = ", "[a\n", "a = 1\na = 2\n", "a=" + "[" * 5000])
def test_what_is_no_toml_is_a_typed_error(text: str) -> None:
    with pytest.raises(ConfigError, match="valid TOML"):
        canonical(text, "x.toml")


TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("a\n#\"'\\ \t\r", max_size=8),
)
SCALAR = st.one_of(TEXT, st.integers(-1000, 1000), st.booleans())
KEY = st.sampled_from(["what", "kind", "name", "of", "expect", "a b", "x#y", "obis"])
ENTRY = st.dictionaries(KEY, SCALAR, max_size=4)
TABLE = st.dictionaries(KEY, st.one_of(SCALAR, st.lists(SCALAR, max_size=3), st.lists(ENTRY)))
DOCUMENT = st.dictionaries(
    st.sampled_from(["inherit", "match", "time", "capture", "object", "events", "colour"]),
    st.one_of(SCALAR, TABLE, st.lists(TABLE, max_size=3)),
)


@given(DOCUMENT, st.lists(TEXT, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_layout_says_what_was_said_and_is_its_own_layout(
    document: dict[str, object], head: list[str]
) -> None:
    text = laid_out(document, head)
    assert tomllib.loads(text) == document
    assert canonical(text, "x.toml") == text


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["profile", *map(str, words)])


WHOLE = """
description="d"
[association.public]
client=16
[time]
zone_minutes=330
deviation_sign=-1
"""


def test_the_command_lays_out_checks_and_names_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(WHOLE)
    result = run("check", tmp_path)
    assert result.exit_code == 2
    assert "gateway profile fmt" in result.stderr
    assert run("fmt", tmp_path).exit_code == 0
    assert file.read_text().startswith('description = "d"\n\n[association.public]\nclient = 16\n')
    assert run("check", file).output == "profiles: 1, all in order\n"
    (tmp_path / "other.toml").write_text('colour = "red"\n')
    result = run("check", tmp_path)
    assert "other.toml: colour = '(not shown)': unknown key" in result.stderr
    assert run("check", tmp_path / "none.toml").exit_code == 2


def test_the_command_says_when_two_of_a_folder_claim_one_meter(tmp_path: Path) -> None:
    for name in ("one", "two"):
        text = f'inherit = "is15959_part2"\ndescription = "{name}"\n[match]\nmeter_type = [9]\n'
        (tmp_path / f"{name}.toml").write_text(text)
    run("fmt", tmp_path)
    result = run("check", tmp_path)
    assert result.exit_code == 2
    assert "overlaps" in result.stderr


def test_the_shipped_profiles_pass_the_command_and_its_table_is_the_page() -> None:
    root = Path(__file__).parents[2]
    assert run("check", root / "firmware_profiles").exit_code == 0
    assert run("index").output == (root / "docs" / "profiles.md").read_text("utf-8")
