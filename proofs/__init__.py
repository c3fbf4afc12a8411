"""Every promise of the product has one command that shows it on this machine.

A proof is a module with ``prove(options) -> dict``: its figures and ``ok``. It is loaded when it is
asked for, so that one proof never needs what another one does.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import UsageError
from hil_tests import machine


def _tell_nobody(_: str) -> None:
    """What is going on, when nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to prove: ``seed`` of everything random, ``long`` for the thorough form.

    ``tell`` takes a short text on what is going on, for the person who waits.
    """

    seed: int = 1
    long: bool = False
    tell: Callable[[str], None] = _tell_nobody


@dataclass(frozen=True, slots=True)
class Proof:
    """One promise: the module that shows it, and what it promises."""

    module: str
    sentence: str


PROOFS: Final[Mapping[str, Proof]] = {
    "line": Proof(
        "proofs.line",
        "Every reading of the emulated meters reaches the consumer's page once and exactly, "
        "also when the gateway is killed in the middle.",
    ),
    "decode": Proof(
        "proofs.decode",
        "Frames recorded from real meters decode to exactly the values their sources state, and "
        "what was tampered with is refused.",
    ),
    "bench": Proof(
        "proofs.bench",
        "Sessions and decoding cost a small part of what other DLMS libraries take, and a slow "
        "line is used to the full.",
    ),
}


def run(name: str, options: Options) -> dict[str, Any]:
    """Show one promise: ``proof``, ``ok``, its figures, ``machine`` and ``seconds``.

    Raises UsageError for a name that is no proof or has no module here, and what the proof raises.
    """
    proof = PROOFS.get(name)
    if proof is None:
        raise UsageError(f"no proof is called {name!r}; there are: {', '.join(PROOFS)}")
    try:
        module = importlib.import_module(proof.module)
    except ModuleNotFoundError as error:
        if error.name != proof.module:
            raise
        raise UsageError(f"the proof {name!r} is not part of this checkout") from None
    started_s = time.monotonic()
    figures: dict[str, Any] = module.prove(options)
    return {
        "proof": name,
        "ok": bool(figures["ok"]),
        **{key: value for key, value in figures.items() if key not in ("proof", "ok")},
        "machine": figures.get("machine", machine.describe()),
        "seconds": figures.get("seconds", round(time.monotonic() - started_s, 1)),
    }
