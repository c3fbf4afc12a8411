"""What has arrived in the backend's database, counted from outside the product."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, LiteralString, Self

import psycopg

from gateway.errors import LinkLost
from hil_tests.demo.truth import MeterTruth

_ARRIVED: Final[LiteralString] = """
    select w.meter, sum(least(w.most, (
        select count(distinct r.captured_at_s) from readings r join meters m using (meter_no)
        where m.meter = w.meter and r.profile = w.profile::profile_kind
          and r.captured_at_s between w.first_s and w.last_s)))
    from unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
        as w (meter, profile, first_s, last_s, most)
    group by w.meter
"""

_ALWAYS_S: Final = 1 << 40
_Window = tuple[str, str, int, int, int]
"""Meter, profile, first and last capture time, and the most rows that count."""

Identity = tuple[str, str, int, bytes]
"""A row by what it is: meter, profile, capture time, digest."""


class Backend:
    """Asks the backend's database; context manager."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def arrived(self, truths: Iterable[MeterTruth]) -> dict[str, int]:
        """Rows of each meter that were expected and are there. Raises LinkLost.

        One set of present values of this run counts: how many there are is a matter of time.
        """
        windows: list[_Window] = []
        for truth in truths:
            for profile, window in (("daily_load", truth.daily), ("block_load", truth.blocks)):
                windows.append((truth.meter, profile, window.first_s, window.last_s, window.rows))
            windows.append((truth.meter, "instantaneous", truth.started_s, _ALWAYS_S, 1))
        return {meter: int(rows) for meter, rows in self._rows(_ARRIVED, windows)}

    def identities(self) -> list[Identity]:
        """Every row that was ever committed."""
        rows = self._rows(
            "select m.meter, r.profile::text, r.captured_at_s, r.digest"
            " from readings r join meters m using (meter_no)"
        )
        return [(meter, profile, at_s, bytes(digest)) for meter, profile, at_s, digest in rows]

    def conflicts(self) -> int:
        """Capture times at which rows differ."""
        ((count,),) = self._rows("select count(*) from conflicts")
        return int(count)

    def _rows(
        self, query: LiteralString, windows: Iterable[_Window] | None = None
    ) -> list[tuple[Any, ...]]:
        columns = (
            None if windows is None else [list(column) for column in zip(*windows, strict=True)]
        )
        try:
            return self._connection.execute(query, columns).fetchall()
        except psycopg.OperationalError as error:
            raise LinkLost(f"the backend's database does not answer: {error}") from error
