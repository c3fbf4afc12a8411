"""The house rules hold, and each of them is able to find its fault."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.house.exceptions import EXCEPTIONS
from tests.house.rules import ROOMS, ROOT, RULES, Finding, Module, modules, words

MODULES = modules()
FIGURES_IN_TEXT = {
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".in",
    ".yaml",
    ".yml",
    ".sh",
    ".html",
    ".css",
    "",
}


def committed_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    names = [name for name in listing.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def unexcused(rule: str, findings: list[Finding]) -> list[str]:
    excused = EXCEPTIONS.get(rule, {})
    return [f"{place}: {text}" for place, text in findings if place not in excused]


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_the_rule_or_has_a_written_excuse(rule: str) -> None:
    findings = [finding for module in MODULES for finding in RULES[rule](module)]
    found = unexcused(rule, findings)
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("rule", EXCEPTIONS)
def test_every_excuse_has_a_reason_and_still_excuses_something(rule: str) -> None:
    if rule == "words":
        found = {place for place, _ in findings_in_words()}
    else:
        found = {place for module in MODULES for place, _ in RULES[rule](module)}
    for place, reason in EXCEPTIONS[rule].items():
        assert len(reason.split()) >= 4, f"{place}: say why"
        assert place in found, f"{place}: nothing to excuse any more, delete the line"


def findings_in_words() -> list[Finding]:
    found: list[Finding] = []
    for file in committed_files():
        if file.suffix not in FIGURES_IN_TEXT or file.name == "LICENSE":
            continue
        name = str(file.relative_to(ROOT))
        found += words(name, file.read_text(encoding="utf-8"))
    return found


def test_no_committed_file_holds_a_forbidden_word() -> None:
    found = unexcused("words", findings_in_words())
    assert not found, "\n".join(["", *found])


LONG = "def f():\n" + "    x = 1\n" * 70
FAULTS = [
    ("function length", "gateway/x.py", LONG, "gateway/x.py:f"),
    (
        "function length",
        "gateway/x.py",
        "class A:\n " + LONG.replace("\n", "\n "),
        "gateway/x.py:A.f",
    ),
    ("module length", "gateway/x.py", "x = 1\n" * 401, "gateway/x.py"),
    ("line width", "hil_tests/x.py", "x = '" + "a" * 100 + "'\n", "hil_tests/x.py"),
    ("broad except", "gateway/poller.py", "try:\n    f()\nexcept Exception:\n    g()\n", ""),
    ("broad except", "gateway/poller.py", "try:\n    f()\nexcept:\n    g()\n", ""),
    (
        "broad except",
        "gateway/x.py",
        "try:\n    f()\nexcept (OSError, BaseException):\n    g()\n",
        "",
    ),
    ("print", "gateway/store/x.py", "print(1)\n", ""),
    ("binary float", "gateway/dlms/x.py", "x = 0.1\n", ""),
    ("binary float", "consumer_app/x.py", "x = float('1')\n", ""),
    ("binary float", "gateway/uplink/x.py", "def f(age_s, price=0.5): ...\n", ""),
    ("docstring", "hil_tests/x.py", "x = 1\n", ""),
    ("docstring", "gateway/x.py", '"""M."""\ndef f(): ...\n', "gateway/x.py:f"),
    (
        "docstring",
        "gateway/x.py",
        '"""M."""\nclass A:\n    """A."""\n    def f(self): ...\n',
        "gateway/x.py:A.f",
    ),
]


@pytest.mark.parametrize(("rule", "path", "text", "place"), FAULTS)
def test_each_rule_finds_its_fault(rule: str, path: str, text: str, place: str) -> None:
    found = list(RULES[rule](Module(path, text)))
    assert [where for where, _ in found] == [place or path]


FINE = [
    ("line width", "gateway/x.py", "x = '" + "a" * 94 + "'  # noqa: E741 - the standard's name\n"),
    ("function length", "gateway/x.py", LONG.removesuffix("    x = 1\n")),
    ("broad except", "gateway/service/x.py", "try:\n    f()\nexcept Exception:\n    g()\n"),
    ("print", "gateway/cli/read.py", "print(1)\n"),
    ("broad except", "gateway/x.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n"),
    ("binary float", "gateway/transport/x.py", "jitter = 0.5\n"),
    (
        "binary float",
        "gateway/uplink/x.py",
        "def f(a, wait_s=0.5, *, b=1, age_s: float = 9.5): ...\n",
    ),
    ("binary float", "gateway/uplink/x.py", "wait_s: float = 2.0\nf(timeout=1.5)\n"),
    ("docstring", "gateway/x.py", '"""M."""\ndef _f(): ...\n'),
]


@pytest.mark.parametrize(("rule", "path", "text"), FINE)
def test_no_rule_finds_fault_where_there_is_none(rule: str, path: str, text: str) -> None:
    assert list(RULES[rule](Module(path, text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "see /work/main/x",
        "https://pypi.org/simple",
        "--index-url https://mirror/simple",
        "as issue 12 says",
        "co-authored-by: a tool",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA",
        "<<<<<<< ours",
    ],
)
def test_each_forbidden_word_is_found(text: str) -> None:
    assert len(list(words("x.md", text))) == 1


def test_decisions_are_numbered_once_and_have_their_three_parts() -> None:
    files = sorted((ROOT / "docs/decisions").glob("*"))
    assert files
    numbers = [file.name[:4] for file in files]
    assert sorted(set(numbers)) == numbers
    for file in files:
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", file.name), file.name
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"# {file.name[:4]} "), f"{file.name}: first line is '# NNNN title'"
        for part in ("Context", "Decision", "Consequences"):
            assert re.search(rf"^(\*\*{part}\.?\*\*|## {part})", text, re.M), f"{file.name}: {part}"


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text
    assert "Keep a Changelog" in text


LOCKS = [
    "requirements.txt",
    "requirements-demo.txt",
    "requirements-dev.txt",
    "requirements-peers.txt",
]


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9_.-]+)(?:\[[^\]]*\])?==([^ \\;]+)", text, re.M))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9_.\-\[\],]+==\S+", line), line
        assert "--hash=sha256:" in line, line


def test_the_locks_agree_on_versions_and_the_smaller_lie_in_the_larger() -> None:
    runtime, demo, dev = (pins(lock) for lock in LOCKS[:3])
    assert runtime.items() <= demo.items() <= dev.items()


def test_the_locks_hold_everything_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    asked = {
        "requirements.txt": project["project"]["dependencies"],
        "requirements-demo.txt": project["project"]["optional-dependencies"]["demo"],
        "requirements-dev.txt": [name for name in groups["dev"] if isinstance(name, str)],
    }
    for lock, requirements in asked.items():
        names = {re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in requirements}
        assert names <= pins(lock).keys(), f"run scripts/lock: {lock}"


def imported(rooms: tuple[str, ...]) -> set[str]:
    """Distributions that the rooms import; the peers' programs live elsewhere."""
    found: set[str] = set()
    for module in MODULES:
        if not module.path.startswith(rooms) or module.path.startswith("hil_tests/peers/"):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    own = {*ROOMS, "firmware_profiles", "benchmarks", *sys.stdlib_module_names}
    known = packages_distributions()
    return {known.get(name, [name])[0].lower().replace("_", "-") for name in found - own}


def test_every_library_that_is_imported_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = {re.split(r"[\[<>=!~; ]", asked)[0] for asked in project["dependencies"]}
    demo = {
        re.split(r"[\[<>=!~; ]", asked)[0] for asked in project["optional-dependencies"]["demo"]
    }
    # Named by their own distribution, asked for as an extra of another.
    extras = {"psycopg-pool"}
    assert imported(("gateway", "consumer_app")) <= runtime | extras
    assert imported(("hil_tests", "proofs")) <= runtime | demo | extras


def test_no_gpl_library_is_locked_for_the_product() -> None:
    assert not any("gurux" in name for name in pins("requirements-dev.txt"))
