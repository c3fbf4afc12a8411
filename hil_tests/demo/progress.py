"""How far the reading has come: a bar for each meter on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

_TELL_EVERY_S: Final = 10.0


class ReadingProgress:
    """Context manager. ``meters`` has the name of each meter's wire by serial number."""

    def __init__(
        self, meters: Mapping[str, str], console: Console, tell: Callable[[str], None]
    ) -> None:
        self._tell = tell
        self._told_s = time.monotonic()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("rows"),
                console=console,
            )
            for meter, wire in meters.items():
                self._tasks[meter] = self._bars.add_task(f"{meter}  {wire}", total=None)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, arrived: Mapping[str, int], expected: Mapping[str, int]) -> None:
        """Rows that are on the page, and rows that are to be, by meter."""
        if self._bars is not None:
            for meter, task in self._tasks.items():
                self._bars.update(task, completed=arrived.get(meter, 0), total=expected[meter])
        elif time.monotonic() - self._told_s >= _TELL_EVERY_S:
            self._told_s = time.monotonic()
            self._tell(f"{sum(arrived.values())} of {sum(expected.values())} rows")
