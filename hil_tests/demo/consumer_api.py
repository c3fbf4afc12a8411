"""A consumer's app as far as a comparison needs one: sign in, then ask for the own figures."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from gateway.errors import LinkLost, PeerRefused
from hil_tests.demo.consumers import Consumer
from hil_tests.demo.line import LOOPBACK
from hil_tests.demo.truth import DAY_S, MeterTruth

_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Page:
    """What the consumer API answered for one connection: JSON documents, nothing computed."""

    daily: dict[str, Any]
    loads: tuple[dict[str, Any], ...]
    latest: dict[str, Any]
    register: dict[str, Any]


class ConsumerApi:
    """The API at a port of the loopback; context manager."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def page(self, consumer: Consumer, truth: MeterTruth) -> Page:
        """Everything that is compared. Raises PeerRefused, LinkLost."""
        get = self._signed_in(consumer)
        days = local_days(truth.daily.first_s, truth.checked_s, truth.zone_s)
        block_days = local_days(truth.blocks.first_s - 1, truth.checked_s, truth.zone_s)
        return Page(
            daily=get(f"daily?from={days[0]}&to={days[-1]}"),
            loads=tuple(get(f"load?date={day}") for day in block_days),
            latest=get("latest"),
            register=get("register"),
        )

    def events(self, consumer: Consumer) -> list[dict[str, Any]]:
        """Every event of a connection, newest first, page by page."""
        get = self._signed_in(consumer)
        found: list[dict[str, Any]] = []
        page = get("events?limit=50")
        while page["next"] is not None:
            found += page["events"]
            page = get(f"events?limit=50&before={page['next']}")
        return found + list(page["events"])

    def _signed_in(self, consumer: Consumer) -> Callable[[str], dict[str, Any]]:
        credentials = {"connection": consumer.number, "code": consumer.code.reveal().decode()}
        token = self._ask("POST", "sign-in", body=credentials)["token"]
        headers = {"Authorization": f"Bearer {token}"}

        def get(path: str) -> dict[str, Any]:
            return self._ask("GET", f"connections/{consumer.number}/{path}", headers=headers)

        return get

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            self._connection.request(
                method, f"/api/v1/{path}", None if body is None else json.dumps(body), sent
            )
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise LinkLost(f"the consumer API does not answer: {error}") from error
        if answer.status != http.client.OK:
            raise PeerRefused(f"{method} {path}", content.decode(errors="replace")[:500])
        document: dict[str, Any] = json.loads(content)
        return document


def local_days(first_s: int, last_s: int, zone_s: int) -> Sequence[date]:
    """The local dates from one instant to another, both included."""
    days = ((at_s + zone_s) // DAY_S for at_s in (first_s, last_s))
    first, last = days
    epoch = datetime(1970, 1, 1, tzinfo=UTC).date()
    return [epoch + timedelta(days=day) for day in range(first, last + 1)]
