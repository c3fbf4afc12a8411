"""docs/reliability.md and docs/benchmarks.md, made from the figures that the proofs last gave.

``scripts/prove NAME --save`` keeps a proof's document under docs/figures and writes the pages anew;
a test holds the pages to the documents, so that no figure is written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from proofs import PROOFS

DOCS: Final = Path(__file__).parents[1] / "docs"
FIGURES: Final = DOCS / "figures"
Document = Mapping[str, Any]

_MADE: Final = "<!-- Made by scripts/prove NAME --save from docs/figures; do not edit. -->"


def save(document: Document, *, taken_on: str, folder: Path = FIGURES) -> None:
    """Keep a proof's document; ``taken_on`` is the day (ISO 8601)."""
    folder.mkdir(exist_ok=True)
    text = json.dumps({**document, "taken_on": taken_on}, indent=1, default=str)
    (folder / f"{document['proof']}.json").write_text(f"{text}\n", encoding="utf-8")


def pages(folder: Path = FIGURES) -> dict[str, str]:
    """File name under docs -> text, for the documents that are kept."""
    kept = {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
    }
    return {
        "reliability.md": _page("Reliability", _RELIABILITY, kept, _reliability()),
        "benchmarks.md": _page("Benchmarks", _BENCHMARKS, kept, {"bench": _bench}),
    }


def write_pages() -> None:
    """Write the pages into docs."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


_RELIABILITY: Final = """\
What the product promises, the command that shows it, and what it last showed. A proof that does
not hold is shown as such. The proofs start the product's own processes on emulated meters; frames
of real meters are recorded octets. No meter on a real wire was part of these runs."""

_BENCHMARKS: Final = """\
What sessions, decoding and a slow line cost beside what they must. Milliseconds and rows belong to
the machine they were taken on; ratios were taken within one run, in turns. Whether a session can be
a stated part of another library's depends on the machine: what the kernel takes for each exchange
is the same for everybody. So each aim stands beside what a reader reaches that was written out by
hand for this one session (`benchmarks/plain.py`), and the proof holds ours to that reader
([why](decisions/0051-sessions-are-measured-beside-a-plain-reader.md))."""


def _page(
    title: str,
    introduction: str,
    kept: Mapping[str, Document],
    sections: Mapping[str, Callable[[Document], Iterable[str]]],
) -> str:
    lines = [f"# {title}", "", _MADE, "", introduction]
    for name, section in sections.items():
        proof = PROOFS[name]
        lines += ["", f"## {name}", "", proof.sentence, ""]
        document = kept.get(name)
        if document is None:
            lines.append("No figures were kept yet.")
        else:
            lines += [f"`scripts/prove {name} --json`: {_verdict(document)}", ""]
            lines += section(document)
        lines += ["", f"Not proven: {proof.not_proven}"]
    return "\n".join(lines) + "\n"


def _verdict(document: Document) -> str:
    """Whether it holds, how many aims are missed all the same, when and where."""
    machine = document["machine"]
    holds = "**holds**" if document["ok"] else "**does not hold**"
    aims = document.get("aims", ())
    missed = sum(not aim["met"] for aim in aims)
    if missed:
        holds += f", **{missed} of {len(aims)} aims missed**"
    return (
        f"{holds}; {document['taken_on']}, {document['seconds']:g} s on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}."
    )


def _reliability() -> dict[str, Callable[[Document], Iterable[str]]]:
    """Every proof but those with a page of their own."""
    return {name: _plain_figures for name in PROOFS if name != "bench"}


def _plain_figures(document: Document) -> Iterable[str]:
    """Each figure as a row, with what it must be; examples of what is wrong below."""
    figures = PROOFS[document["proof"]].figures
    yield from _table(
        ("figure", "value", "wanted", "met", "what it is"),
        (
            (name.replace("_", " "), document[name], *_judged(document, name), figure.meaning)
            for name, figure in figures.items()
            if name in document
        ),
    )
    examples = [
        f"- {key.replace('_', ' ')}: {json.dumps(entry, ensure_ascii=False)}"
        for key in ("difference_examples", "mismatch_examples")
        for entry in document.get(key, ())
    ]
    if examples:
        yield from ("", *examples)


def _judged(document: Document, name: str) -> tuple[str, str]:
    """What a figure must be, and whether it is; nothing where any number will do."""
    wanted = PROOFS[document["proof"]].figures[name].wanted
    if wanted is None:
        return "", ""
    number = document[wanted] if isinstance(wanted, str) else wanted
    words = f"as many as {wanted.replace('_', ' ')}" if isinstance(wanted, str) else str(wanted)
    return words, _met(document[name] == number)


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


def _bench(document: Document) -> Iterable[str]:
    yield from _table(
        ("figure", "value", "aim", "met", "a plain reader"),
        (
            (
                aim["what"],
                aim["value"],
                _wanted(aim),
                _met(aim["met"]),
                aim.get("plain_reader", ""),
            )
            for aim in document["aims"]
        ),
    )
    links = document["sessions"]["links"]
    clients = tuple(links[0]["cpu_ms"])
    yield from ("", "Client CPU of one ciphered session, milliseconds (median):", "")
    yield from _table(
        ("link", *clients),
        ((link["link"], *(link["cpu_ms"][client] for client in clients)) for link in links),
    )
    for link in links:
        for peer, count in link["hung"].items():
            if count:
                yield ""
                yield f"{peer} hung in {count} of its sessions over {link['link']}: left out."
    yield from ("", "Rows of block load decoded in a second:", "")
    yield from _table(
        ("client", "plain", "with clock and scalers"),
        (
            (name, f"{rows['plain']:,}", f"{rows['profile']:,}")
            for name, rows in document["decode"]["rows_per_s"].items()
        ),
    )


def _wanted(aim: Document) -> str:
    if "at_least" in aim:
        return f"at least {aim['at_least']:g}"
    return f"at most {aim['at_most']:g}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"
