"""What the event loop alone costs: the octets of a recorded session, with no protocol at all.

A server that answers so many octets after so many, as slowly as the meter did, and a client on a
bare ``asyncio.Protocol`` that sends and counts. No reader on asyncio can be cheaper here.

    python -m benchmarks.bare <<< '{"exchanges": [[60, 400]], "think_s": 0.0005, "sessions": 20}'
"""

import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import time
from typing import Any


def serve(listener: socket.socket, exchanges: list[tuple[int, int]], think_s: float) -> None:
    """Answer every connection as recorded, until this process is ended."""
    while True:
        connection, _ = listener.accept()
        with connection:
            for heard, said in exchanges:
                if not _took(connection, heard):
                    break
                time.sleep(think_s)
                connection.sendall(bytes(said))


def _took(connection: socket.socket, octets: int) -> bool:
    while octets:
        taken = connection.recv(octets)
        if not taken:
            return False
        octets -= len(taken)
    return True


class BareClient(asyncio.Protocol):
    """Says what was said and waits for as much as was answered, exchange by exchange."""

    def __init__(self, exchanges: list[tuple[int, int]]) -> None:
        self._left = iter(exchanges)
        self._awaited = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Count; go on when all of an answer is there."""
        self._awaited -= len(data)
        if self._awaited <= 0:
            self._next()

    def _next(self) -> None:
        said, self._awaited = next(self._left, (0, 0))
        if said:
            self._transport.write(bytes(said))
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The session is over."""
        self.done.set_result(None)


async def run_client(port: int, exchanges: list[tuple[int, int]], sessions: int) -> list[float]:
    """CPU seconds of each session."""
    loop = asyncio.get_running_loop()
    cpu_s = []
    for _ in range(sessions):
        begun = time.process_time()
        _, client = await loop.create_connection(lambda: BareClient(exchanges), "127.0.0.1", port)
        await client.done
        cpu_s.append(time.process_time() - begun)
    return cpu_s


def measure(exchanges: list[tuple[int, int]], think_s: float, sessions: int) -> dict[str, Any]:
    """CPU seconds of bare sessions, in this process; the server runs in another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = multiprocessing.get_context("fork").Process(
            target=serve, args=(listener, exchanges, think_s), daemon=True
        )
        server.start()
        try:
            cpu_s = asyncio.run(run_client(listener.getsockname()[1], exchanges, sessions))
        finally:
            server.terminate()
            server.join()
    return {"peer": "bare asyncio", "cpu_s": cpu_s, "median_s": statistics.median(cpu_s)}


def main() -> int:
    """Read the recording, measure, print."""
    wanted = json.load(sys.stdin)
    exchanges = [(heard, said) for heard, said in wanted["exchanges"]]
    print(json.dumps(measure(exchanges, wanted["think_s"], wanted["sessions"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
