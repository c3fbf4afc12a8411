"""A connection that a meter opened: it dialled in, and this side cannot open it again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

from gateway.errors import ConfigError
from gateway.transport.inbox import Inbox, turn_loop
from gateway.transport.port import RECEIVE_HIGH_WATER, React, Transport


class CalledTransport(Transport, asyncio.Protocol):
    """Transport over one accepted connection, plain or TLS; see ``gateway.transport.port``.

    Made by an event loop as the protocol of an accepted socket. ``connect`` opens nothing: it
    raises LinkLost once the meter has gone. ``rest`` keeps the connection for the next job, as only
    the meter can make another. ``on_end`` is told once that it ended, by either side.
    """

    def __init__(self, name: str, on_end: Callable[[CalledTransport], None]) -> None:
        self._inbox = Inbox(name)
        self._on_end = on_end
        self._stream: asyncio.Transport | None = None
        self._is_reading = True
        self._written: asyncio.Future[None] | None = None
        self.was_open = False
        """Whether there ever was a connection (and TLS, where it is used)."""

    @property
    def is_open(self) -> bool:
        """Whether the meter is still there, as far as is known."""
        return self._inbox.lost is None

    # -- what the event loop tells -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands (and TLS, where it is used)."""
        stream = cast("asyncio.Transport", transport)
        # What the system has not taken keeps ``send`` waiting. (With 0 TLS would never go on.)
        stream.set_write_buffer_limits(high=1, low=0)
        self._stream = stream
        self.was_open = True
        self._inbox.open()

    def data_received(self, data: bytes) -> None:
        """Octets of the meter."""
        self._inbox.feed(data)
        if len(self._inbox) > RECEIVE_HIGH_WATER and self._stream is not None:
            self._stream.pause_reading()
            self._is_reading = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        reason = getattr(exc, "strerror", None) or exc
        self._lose(str(reason) if reason else "closed by the peer")

    def pause_writing(self) -> None:
        """The system takes no more for now."""
        self._written = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The system has taken all."""
        written, self._written = self._written, None
        if written is not None and not written.done():
            written.set_result(None)

    # -- Transport -----------------------------------------------------------------------------

    async def connect(self) -> None:
        """See ``Transport.connect``: LinkLost once the meter has gone."""
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()

    async def receive(self, timeout_s: float) -> bytes:
        """See ``Transport.receive``."""
        data = await self._inbox.take(timeout_s)
        self._resume()
        return data

    async def converse(self, react: React, timeout_s: float) -> None:
        """See ``Transport.converse``."""

        def hear(data: bytes) -> bool:
            answer = react(data)
            if answer and self._stream is not None:
                self._stream.write(answer)
            return answer is None

        await self._inbox.listen(hear, timeout_s)

    async def send(self, data: bytes) -> None:
        """See ``Transport.send``."""
        if self._stream is None:
            raise self._inbox.link_lost()
        self._stream.write(data)
        if self._written is not None:
            await self._inbox.until_written(self._written)
        if self._inbox.lost is not None:
            raise self._inbox.link_lost()

    async def flush(self) -> int:
        """See ``Transport.flush``."""
        self._resume()
        await turn_loop()
        return self._inbox.flush()

    async def rest(self) -> None:
        """See ``Transport.rest``: the connection is kept."""

    async def close(self) -> None:
        """See ``Transport.close``: hang up; the meter dials again."""
        self._lose("closed by this side")

    def _resume(self) -> None:
        if not self._is_reading and self._stream is not None:
            self._stream.resume_reading()
            self._is_reading = True

    def _lose(self, reason: str) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        self._inbox.lose(reason)
        self.resume_writing()
        # What the meter has not taken yet is not waited for.
        stream.abort()
        self._on_end(self)


def listener_context(
    certificate_file: Path, key_file: Path, client_ca_file: Path | None = None
) -> ssl.SSLContext:
    """TLS of a listener; with ``client_ca_file`` a caller needs a certificate that it signed.

    Raises ConfigError naming the files where they are no certificate and key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    files = f"{certificate_file}, {key_file}"
    try:
        context.load_cert_chain(certificate_file, key_file)
        if client_ca_file is not None:
            files = str(client_ca_file)
            context.load_verify_locations(client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(files, "(file)", str(error), "PEM files of this listener") from None
    return context
