"""The house rules as functions: a module's source in, findings out.

A finding is ``(place, message)``; ``place`` is the file, or ``file:function`` where the rule is
about one, and is what the exception table names.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("gateway", "consumer_app", "hil_tests", "proofs")

FUNCTION_LINES = 70
MODULE_LINES = 400
LINE_WIDTH = 100

PRAGMA = re.compile(r"  # (?:noqa|type: ignore)\b.*$", re.M)

#: Where a number may be energy or money.
EXACT_ROOMS = (
    "gateway/model.py",
    "gateway/profile",
    "gateway/dlms/",
    "gateway/store/",
    "gateway/uplink/",
    "consumer_app/",
    "hil_tests/emulator/household.py",
    "hil_tests/emulator/meter.py",
    "hil_tests/emulator/objects.py",
)

Finding = tuple[str, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: ``path`` relative to the checkout, text and syntax tree."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_command_line(self) -> bool:
        parts = Path(self.path).parts
        return "cli" in parts or parts[-1] in ("cli.py", "__main__.py")

    @property
    def is_program(self) -> bool:
        """A standalone program of the rig that prints its one JSON document."""
        return self.path.startswith("hil_tests/peers/")


def modules() -> list[Module]:
    """Every Python file of the product and its rig."""
    return [
        Module(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))
        for room in ROOMS
        for file in sorted((ROOT / room).rglob("*.py"))
    ]


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its dotted name, methods and nested ones included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def function_length(module: Module) -> Iterator[Finding]:
    """Functions longer than 70 lines, docstring and signature included."""
    for name, node in functions(module.tree):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{module.path}:{name}", f"{lines} lines, at most {FUNCTION_LINES}"


def module_length(module: Module) -> Iterator[Finding]:
    """Modules longer than 400 lines."""
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES:
        yield module.path, f"{lines} lines, at most {MODULE_LINES}"


def line_width(module: Module) -> Iterator[Finding]:
    """Lines wider than 100 characters, a word to a checker at their end not counted."""
    for number, line in enumerate(PRAGMA.sub("", module.text).splitlines(), 1):
        if len(line) > LINE_WIDTH:
            yield module.path, f"line {number} has {len(line)} characters, at most {LINE_WIDTH}"


def broad_except(module: Module) -> Iterator[Finding]:
    """``except Exception`` and wider, outside the service that must go on."""
    if module.path.startswith("gateway/service/"):
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler) or _raises_again(node):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {"everything" if kind is None else ast.unparse(kind) for kind in caught}
        for name in names & {"everything", "Exception", "BaseException"}:
            yield module.path, f"line {node.lineno} catches {name}"


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether the handler only cleans up and lets the exception go on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def prints(module: Module) -> Iterator[Finding]:
    """``print`` outside command lines: everything else has a log or a return value."""
    if module.is_command_line or module.is_program:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "pprint"):
            yield module.path, f"line {node.lineno} prints"


def binary_float(module: Module) -> Iterator[Finding]:
    """Float literals and conversions where a number may be energy or money.

    Durations in seconds are neither: a literal bound to a name in ``_s`` may be a float.
    """
    if not module.path.startswith(EXACT_ROOMS):
        return
    tree = module.tree
    durations = {node for name, node in _bindings(tree) if name.endswith(("_s", "_S", "timeout"))}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, float)
            and node not in durations
        ):
            yield module.path, f"line {node.lineno} has the float {node.value!r}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "float":
            yield module.path, f"line {node.lineno} converts to float"


def _bindings(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names with the expression bound to them: assignments, keywords, defaults of parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield ast.unparse(target), node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield ast.unparse(node.target), node.value
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.arg, node.value
        elif isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            for argument, value in zip(reversed(positional), reversed(node.defaults), strict=False):
                yield argument.arg, value
            for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                if default is not None:
                    yield argument.arg, default


def docstring(module: Module) -> Iterator[Finding]:
    """Modules without docstring; in gateway/ public classes and functions without one too."""
    if module.text.strip() and not ast.get_docstring(module.tree):
        yield module.path, "the module has no docstring"
    if not module.path.startswith("gateway/"):
        return
    for node in module.tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"{module.path}:{node.name}", "no docstring"
            if isinstance(node, ast.ClassDef):
                yield from _methods_without_docstring(module.path, node)


def _methods_without_docstring(path: str, owner: ast.ClassDef) -> Iterator[Finding]:
    for node in owner.body:
        if not isinstance(node, Function) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(d).split("(")[0] for d in node.decorator_list}
        # An override inherits its promise, and an overload's stands at the implementation.
        if decorators & {"override", "typing.override", "overload", "typing.overload"}:
            continue
        if not ast.get_docstring(node):
            yield f"{path}:{owner.name}.{node.name}", "no docstring"


#: Words no committed file may hold: where this checkout or its packages come from, how the work
#: was parcelled out, and keys.
FORBIDDEN_WORDS = {
    "a path of one machine": re.compile(r"(?<![\w.$}/])/(?:work|root|home)/[\w.]"),
    "a package index": re.compile(r"pypi\.org|pythonhosted|artifactory", re.I),
    "a package mirror": re.compile(r"(?:--(?:extra-)?index-url|find-links)\s*[= ]\s*\S", re.I),
    "a ticket": re.compile(r"\bissues? #?\d|\bcloses #\d", re.I),
    "a tool's signature": re.compile(r"Co-Authored-By|Generated with", re.I),
    "a private key": re.compile(r"-----BEGIN (?:\w+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}"),
    "a merge left open": re.compile(r"^(?:<{7}|>{7}) ", re.M),
}


def words(path: str, text: str) -> Iterator[Finding]:
    """Words that must not be in any committed file, whatever its kind."""
    for what, pattern in FORBIDDEN_WORDS.items():
        for found in pattern.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield path, f"line {line} holds {what}: {found.group()!r}"


RULES = {
    "function length": function_length,
    "module length": module_length,
    "line width": line_width,
    "broad except": broad_except,
    "print": prints,
    "binary float": binary_float,
    "docstring": docstring,
}
