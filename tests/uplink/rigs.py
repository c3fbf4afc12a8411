"""What the contract suite runs against: brokers behind one face, and a wire that can be cut."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gateway.errors import UsageError
from gateway.model import Secret
from gateway.uplink.loopback import LoopbackBroker
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.port import LinkState, Presence, PresenceMaker, TlsFiles, Uplink
from gateway.uplink.settings import MqttSettings, MqttVersion
from hil_tests.broker import EmbeddedBroker, free_port
from hil_tests.certificates import Authority, make_certificates

T = TypeVar("T")

USER = "run"
PASSWORD = Secret(b"per-run-password")
BROKER_LIMIT_OCTETS = 64 * 1024


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run one scenario; a hang is a failure within 40 s."""

    async def bounded() -> T:
        async with asyncio.timeout(40):
            return await scenario

    return asyncio.run(bounded())


async def state_when(link: Uplink, wanted: Callable[[LinkState], bool]) -> LinkState:
    state = link.state
    while not wanted(state):
        state = await link.wait_change(state)
    return state


class Relay:
    """A TCP relay in front of a broker: cuts connections, swallows answers, refuses service."""

    def __init__(self, broker_port: Callable[[], int]) -> None:
        self._broker_port = broker_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = free_port()
        self.swallow_answers = False

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            # a reset, not an orderly end: what a pulled cable or a dead box looks like
            linger = b"\1\0\0\0\0\0\0\0"
            with contextlib.suppress(OSError):
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._broker_port())
        except OSError:
            writer.close()
            self._writers.discard(writer)
            return
        self._writers.add(there[1])
        await asyncio.gather(
            self._copy(reader, there[1], answers=False), self._copy(there[0], writer, answers=True)
        )
        self._writers -= {writer, there[1]}

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while octets := await source.read(65536):
                if not (answers and self.swallow_answers):
                    sink.write(octets)
                    await sink.drain()
        sink.close()


class BrokerProcess(Protocol):
    port: int

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Mosquitto:
    """The broker of the system on loopback with TLS, per-run credentials, nothing kept on disk."""

    def __init__(self, directory: Path, tls: TlsFiles) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise UsageError("mosquitto is not installed")
        self._program = program
        self._directory = directory
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def start(self) -> None:
        self._directory.mkdir(exist_ok=True)
        passwords = self._directory / "passwords"
        passwords.write_text(f"{USER}:{PASSWORD.reveal().decode()}\n")
        passwords.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"cafile {self._tls.ca_file}",
            f"certfile {self._tls.certificate_file}",
            f"keyfile {self._tls.key_file}",
            "require_certificate true",
            "allow_anonymous false",
            f"password_file {passwords}",
            f"max_packet_size {BROKER_LIMIT_OCTETS}",
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        configuration = self._directory / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n")
        with (self._directory / "mosquitto.log").open("wb") as sink:
            self._process = subprocess.Popen(
                [self._program, "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        deadline_s = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None, (self._directory / "mosquitto.log").read_text()
            assert time.monotonic() < deadline_s, "mosquitto does not listen"

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(10)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)


class Rig(Protocol):
    """One implementation of the uplink with its broker."""

    has_network: bool

    async def link(
        self,
        client_id: str,
        *subscriptions: str,
        presence: PresenceMaker = Presence,
        **overrides: Any,
    ) -> Uplink: ...
    def start_broker(self) -> None: ...
    def stop_broker(self) -> None: ...
    async def sever(self, client_id: str) -> None: ...
    async def close(self) -> None: ...


class LoopbackRig:
    has_network = False

    def __init__(self) -> None:
        self.broker = LoopbackBroker()
        self._links: list[Uplink] = []

    async def link(
        self,
        client_id: str,
        *subscriptions: str,
        presence: PresenceMaker = Presence,
        **overrides: Any,
    ) -> Uplink:
        link = self.broker.uplink(
            client_id, subscriptions=subscriptions, presence=presence, **overrides
        )
        self._links.append(link)
        return link

    def start_broker(self) -> None:
        self.broker.start()

    def stop_broker(self) -> None:
        self.broker.stop()

    async def sever(self, client_id: str) -> None:
        self.broker.sever(client_id)
        self.broker.heal(client_id)

    async def close(self) -> None:
        for link in self._links:
            await link.close()


class MqttRig:
    """MqttUplink through a relay of its own to a real broker."""

    has_network = True

    def __init__(
        self, broker: BrokerProcess, directory: Path, clients: TlsFiles, version: MqttVersion
    ) -> None:
        self.broker = broker
        self.relays: dict[str, Relay] = {}
        self._directory = directory
        self._client_files = clients
        self._version = version
        self._links: list[Uplink] = []
        broker.start()

    async def link(
        self,
        client_id: str,
        *subscriptions: str,
        presence: PresenceMaker = Presence,
        **overrides: Any,
    ) -> MqttUplink:
        relay = self.relays[client_id] = Relay(lambda: self.broker.port)
        await relay.open()
        fields: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": relay.port,
            "client_id": client_id,
            "tls": self._client_files,
            "username": USER,
            "password": PASSWORD,
            "version": self._version,
            "subscriptions": subscriptions,
            "connect_timeout_s": 5.0,
            "backoff_first_s": 0.05,
            "backoff_max_s": 0.2,
        }
        settings = MqttSettings(**(fields | overrides))
        link = MqttUplink(settings, jitter=random.random, presence=presence)
        self._links.append(link)
        return link

    def other_authority(self) -> TlsFiles:
        """A client that trusts an authority which never signed this broker."""
        stranger = Authority(self._directory / "stranger")
        files = self._client_files
        return TlsFiles(stranger.ca_file, files.certificate_file, files.key_file)

    def start_broker(self) -> None:
        self.broker.start()

    def stop_broker(self) -> None:
        self.broker.stop()

    async def sever(self, client_id: str) -> None:
        self.relays[client_id].cut()

    async def close(self) -> None:
        try:
            await asyncio.gather(*(link.close() for link in self._links))
            for relay in self.relays.values():
                await relay.close()
        finally:
            self.broker.stop()


def open_rig(name: str, directory: Path) -> Rig:
    """The rig of that name; its files under ``directory``."""
    if name == "loopback":
        return LoopbackRig()
    files = make_certificates(directory / "tls", ["client"])
    if name == "embedded":
        users = {USER: PASSWORD}
        broker: BrokerProcess = EmbeddedBroker(
            directory / "broker", files.server, users, max_payload_octets=BROKER_LIMIT_OCTETS
        )
    else:
        broker = Mosquitto(directory / "broker", files.server)
    version = MqttVersion.V5 if name == "mosquitto-5" else MqttVersion.V311
    return MqttRig(broker, directory, files.clients["client"], version)
