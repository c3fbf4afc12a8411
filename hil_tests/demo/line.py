"""Every part of the product between emulated meters and the page, started and stopped in order."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hil_tests.broker import EmbeddedBroker, free_port
from hil_tests.demo.consumers import make_consumers
from hil_tests.demo.folder import Plan, RunFolder
from hil_tests.demo.processes import Child, Pause
from hil_tests.emulator.scenario import load_scenario
from hil_tests.postgres import EmbeddedPostgres

_START_S: Final = 60.0
LOOPBACK: Final = "127.0.0.1"


class Line:
    """Context manager: emulated meters, broker, database, backend, gateway; all real parts.

    Processes have fresh certificates, keys and secrets in ``root``, and are ended in the reverse
    order of their start, also when one of them does not come up (NoAnswer, with its log's end).
    ``pause`` waits, and may raise KeyboardInterrupt; ``tell`` is told what happens.
    """

    def __init__(
        self,
        plan: Plan,
        root: Path,
        *,
        pause: Pause = time.sleep,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.plan = plan
        self.scenario = load_scenario(plan.scenario)
        self.consumers = make_consumers(
            [(meter.serial, meter.model.phases) for meter in self.scenario.meters]
        )
        self.folder = RunFolder(root)
        self.started_s = 0
        """UTC seconds at which the gateway was first started."""
        self.pause = pause
        self._tell = tell
        self._stack = ExitStack()
        self._children: list[Child] = []
        self._broker = EmbeddedBroker(
            self.folder.broker, self.folder.certificates.server, self.folder.broker_users
        )
        self._postgres = EmbeddedPostgres(self.folder.database)
        self.web_port = 0
        self.emulator = self._child("emulator", ["-m", "hil_tests.emulator.cli", *self._emulated()])
        self._ingest = self._child("ingest", self._app("ingest"))
        self._serve = self._child("serve", self._app("serve"))
        self.gateway = self._child(
            "gateway", ["-m", "gateway.cli.main", "run", "--config", str(self.folder.site_file)]
        )

    @property
    def address(self) -> str:
        """Where the consumer's page is."""
        return f"http://{LOOPBACK}:{self.web_port}/"

    @property
    def database_url(self) -> str:
        """The backend's database."""
        return self._postgres.url

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start(starting)
            self._stack = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._tell("stopping")
        finally:
            # Also where nobody can be told any more: the terminal may be closed.
            self._stack.close()

    def check(self) -> None:
        """Raise NoAnswer if a process ended by itself."""
        for child in self._children:
            child.check()

    def _start(self, stack: ExitStack) -> None:
        self._tell("starting the meters, the broker and the database")
        ready = self.folder.meters / "ready"
        ready.unlink(missing_ok=True)
        self._launch(stack, self.emulator)
        stack.enter_context(self._broker)
        stack.enter_context(self._postgres)
        self.emulator.wait_until(ready.exists, _START_S, self.pause)
        self._tell("starting the backend")
        self._start_backend(stack)
        self._tell("starting the gateway")
        self.folder.write_gateway(self.plan, broker_port=self._broker.port)
        self.folder.import_meter_keys()
        self.started_s = time.time_ns() // 1_000_000_000
        self._launch(stack, self.gateway)

    def _start_backend(self, stack: ExitStack) -> None:
        self.web_port = free_port()
        self.folder.write_backend(
            database_url=self.database_url,
            broker_port=self._broker.port,
            web_port=self.web_port,
        )
        self.folder.write_accounts(
            self.consumers,
            installed_s=self.scenario.installed_s,
            zone_minutes=self.scenario.zone_minutes,
        )
        for name, arguments in (
            ("migrate", self._app("migrate")),
            ("import", self._app("account", "import", str(self.folder.account_file))),
        ):
            child = self._child(name, arguments)
            self._launch(stack, child)
            child.finish(_START_S, self.pause)
        self._launch(stack, self._ingest)
        self._launch(stack, self._serve)
        self._serve.wait_until(self._page_answers, _START_S, self.pause)

    def _launch(self, stack: ExitStack, child: Child) -> None:
        stack.callback(child.stop)
        child.start()

    def _page_answers(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.web_port), timeout=1).close()
        except OSError:
            return False
        return True

    def _child(self, name: str, arguments: Sequence[str]) -> Child:
        child = Child(name, arguments, self.folder.log(name))
        self._children.append(child)
        return child

    def _emulated(self) -> list[str]:
        meters = self.folder.meters
        return [
            "run",
            str(self.plan.scenario.resolve()),
            *("--directory", str(meters)),
            *("--ready-file", str(meters / "ready")),
        ]

    def _app(self, *words: str) -> list[str]:
        # the option stands behind the command it belongs to, before that command's argument
        command, arguments = (words[:2], words[2:]) if words[0] == "account" else (words, ())
        config = ("--config", str(self.folder.app_file))
        return ["-m", "consumer_app", *command, *config, *arguments]
