"""All secrets of an emulated meter are rotated, and the gateway is cut off at every step of it.

The next gateway finds what stood on the disk, settles what is in doubt, and finishes. At the end of
each run the meter must open every association under the keys that are held, and no secret may stand
in any file, log or frame.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from structlog.testing import capture_logs

from proofs import Options
from proofs.key_bench import VARIANTS, Bench, Scissors

_SHORT_CUTS: Final = 16
"""Of each variant, each kind of step."""
_SECOND_CUTS: Final = 400
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - only this user's folder in it
"""A process that ends leaves what it wrote in the page cache: no disk is needed to show it."""


def prove(options: Options) -> dict[str, Any]:
    """Figures and ``ok``; ``long`` tries every step of every variant, and pairs of cuts."""
    randomness = random.Random(options.seed)
    totals: dict[str, int] = {}
    steps = frames = tried = most = 0
    place = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="prove-keys-", dir=place) as folder:
        for number, variant in enumerate(VARIANTS):
            seed = options.seed * len(VARIANTS) + number
            whole = Scissors()
            template = Path(folder) / f"template-{number}"
            template.mkdir()
            Bench(template, variant, seed).prepare()
            _one(template, variant, seed, (whole,), totals)
            steps += whole.steps
            frames += whole.frames
            runs = list(_plans(options, whole, randomness))
            for done, scissors in enumerate(runs):
                if done % 50 == 0:
                    options.tell(f"{variant}: {done} of {len(runs)} runs")
                most = max(most, _one(template, variant, seed, scissors, totals))
            tried += len(runs)
    return {
        "ok": not any(totals.values()),
        "steps": tried,
        "steps_known": steps + frames,
        **totals,
        "attempts_most": most,
    }


def _plans(
    options: Options, whole: Scissors, randomness: random.Random
) -> Iterator[tuple[Scissors, ...]]:
    """Lives of gateways until one is left alone: cut once, losing a frame, or cut twice."""
    steps, frames = range(1, whole.steps + 1), range(1, whole.frames + 1)
    if not options.long:
        steps_tried: Iterable[int] = randomness.sample(steps, _SHORT_CUTS)
        frames_tried: Iterable[int] = randomness.sample(frames, _SHORT_CUTS)
    else:
        steps_tried, frames_tried = steps, frames
    for step in steps_tried:
        yield (Scissors(cut_at=step), Scissors())
    for frame in frames_tried:
        yield (Scissors(lose_at=frame),)
    for _ in range(_SECOND_CUTS if options.long else _SHORT_CUTS):
        first, second = randomness.choice(steps), randomness.choice(steps)
        yield (Scissors(cut_at=first), Scissors(cut_at=second), Scissors())


def _one(
    template: Path,
    variant: tuple[str, str],
    seed: int,
    lives: tuple[Scissors, ...],
    totals: dict[str, int],
) -> int:
    """One run; how often its job was begun."""
    with tempfile.TemporaryDirectory(dir=template.parent) as name:
        folder = Path(name)
        shutil.copytree(template, folder, dirs_exist_ok=True)
        bench = Bench(folder, variant, seed)
        with capture_logs() as logs:
            for scissors in lives:
                bench.live(scissors)
        for name, number in bench.judge(str(logs)).items():
            totals[name] = totals.get(name, 0) + number
    return bench.attempts
