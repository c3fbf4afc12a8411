"""Processes of one run: started with a log each, ended by their own id, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from gateway.errors import NoAnswer

ROOT: Final = Path(__file__).resolve().parents[2]
"""Where ``python -m`` finds this checkout, installed or not."""
_STOP_S: Final = 15.0
_POLL_S: Final = 0.05
_TAIL_OCTETS: Final = 3000

Pause = Callable[[float], None]
"""Waits so many seconds; may raise KeyboardInterrupt when the run is to end."""


class StopSignals:
    """Ctrl-C, SIGTERM or a closed terminal: a wish that ``pause`` makes known, and nothing else.

    So a run is never torn apart while it starts or stops a process; context manager.
    """

    def __init__(self) -> None:
        self._wanted = False
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        # Python gives signals to its main thread only; elsewhere nobody sends us any.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._before[number] = signal.signal(number, self._want)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Wait; raise KeyboardInterrupt as soon as the run is to end."""
        end_s = time.monotonic() + seconds
        while not self._wanted and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))
        if self._wanted:
            raise KeyboardInterrupt

    def _want(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True


class Child:
    """One Python process with this checkout's modules, its output in a log file."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, or start it again; the log goes on."""
        environment = {k: v for k, v in os.environ.items() if k != "SMG_DATABASE_URL"}
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                # Ctrl-C on the terminal reaches the run alone: it ends the others in their order.
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask it to end, insist if it does not; may be called at any time."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it without a word (SIGKILL), as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing where it does not run."""
        if self._process is not None:
            self._process.send_signal(number)

    def check(self) -> None:
        """Raise NoAnswer with the end of its log if it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise NoAnswer(f"{self.name} ended with code {self._process.returncode}{self.tail()}")

    def wait_until(self, ready: Callable[[], bool], timeout_s: float, pause: Pause) -> None:
        """Wait for it to be ready; NoAnswer with the end of its log if it is not in time."""
        end_s = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > end_s:
                raise NoAnswer(f"{self.name} is not ready after {timeout_s:.0f} s{self.tail()}")
            pause(_POLL_S)

    def finish(self, timeout_s: float, pause: Pause) -> None:
        """Wait for its end; NoAnswer with the end of its log if that is not a good one."""
        process = self._process
        if process is None:
            return
        end_s = time.monotonic() + timeout_s
        while process.poll() is None and time.monotonic() < end_s:
            pause(_POLL_S)
        if process.poll() is None:
            raise NoAnswer(f"{self.name} has not ended after {timeout_s:.0f} s{self.tail()}")
        if process.returncode:
            self.check()
        self._process = None

    def tail(self) -> str:
        """The end of its log, for the message that says it failed."""
        text = self.log.read_bytes()[-_TAIL_OCTETS:].decode(errors="replace").strip()
        return f"; the end of its log:\n{text or '(nothing)'}"
