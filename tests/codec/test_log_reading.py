"""Event logs are read from their newest row back, whatever the ring looks like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dlms.association.requests import Answer, Get, GetList
from gateway.dlms.log_reading import Fill, read_fill, read_new_entries
from gateway.dlms.rows import RawRow
from gateway.dlms.selective_access import EntryDescriptor
from gateway.errors import DecodeError, PeerRefused
from gateway.model import Obis

LOG = Obis.parse("0-0:99.98.2*255")


def row(time_s: int) -> bytes:
    return b"\x02\x01\x06" + time_s.to_bytes(4, "big")


def time_of(raw: RawRow) -> int:
    assert isinstance(raw.values[0], int)
    return raw.values[0]


class Ring:
    """A log of a meter; rows are their times."""

    def __init__(self, depth: int, *, from_front: bool, by_entry: bool = True) -> None:
        self.depth = depth
        self.from_front = from_front
        self.by_entry = by_entry
        self.written = 0
        self.asked = 0

    def write(self, count: int) -> None:
        self.written += count

    def entries(self) -> list[int]:
        held = range(max(0, self.written - self.depth), self.written)
        key = (lambda time: time % self.depth) if self.from_front else None
        return sorted(held, key=key)

    def answer(self, request: Get) -> bytes:
        if request.attribute == 7:
            return b"\x06" + len(self.entries()).to_bytes(4, "big")
        if request.attribute == 8:
            return b"\x06" + self.depth.to_bytes(4, "big")
        found = self.entries()
        if request.access is not None:
            if not self.by_entry:
                raise PeerRefused("GET", "scope-of-access-violated")
            assert isinstance(request.access, EntryDescriptor)
            last = request.access.to_entry or len(found)
            found = found[request.access.from_entry - 1 : last]
        self.asked += len(found)
        return bytes([1, len(found)]) + b"".join(map(row, found))


def run(procedure, ring: Ring):
    try:
        request = next(procedure)
        while True:
            try:
                if isinstance(request, GetList):
                    items = tuple(ring.answer(item) for item in request.items)
                    answer = Answer(b"", items=items)
                else:
                    answer = Answer(ring.answer(request), b"TITLE123", 5)
            except PeerRefused as refusal:
                request = procedure.throw(refusal)
            else:
                request = procedure.send(answer)
    except StopIteration as done:
        return done.value


def read(ring: Ring, known: set[int]) -> list[int]:
    fill = run(read_fill(LOG), ring)
    found = run(
        read_new_entries(LOG, fill, is_known=lambda raw: time_of(raw) in known, time_of=time_of),
        ring,
    )
    return [time_of(raw) for raw in found.rows]


@pytest.mark.parametrize("by_entry", [True, False])
@pytest.mark.parametrize("from_front", [True, False])
@given(depth=st.integers(1, 20), writes=st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_whatever_was_written_since_is_read_unless_the_ring_lost_it(
    from_front: bool, by_entry: bool, depth: int, writes: list[int]
) -> None:
    ring = Ring(depth, from_front=from_front, by_entry=by_entry)
    known: set[int] = set()
    for count in writes:
        ring.write(count)
        found = read(ring, known)
        assert set(ring.entries()) - known <= set(found)
        known.update(found)


def test_nothing_new_costs_two_rows_and_the_first_one_of_a_full_log() -> None:
    for depth, cost in ((100, 2), (50, 3)):
        ring = Ring(depth, from_front=False)
        ring.write(50)
        known = set(read(ring, set()))
        ring.asked = 0
        assert not set(read(ring, known)) - known
        assert ring.asked == cost


def test_one_new_row_does_not_have_the_log_read_again() -> None:
    ring = Ring(100, from_front=False)
    ring.write(60)
    known = set(read(ring, set()))
    ring.write(1)
    ring.asked = 0
    assert 60 in read(ring, known)
    assert ring.asked == 2


def test_what_a_meter_does_not_say_of_its_size_is_taken_for_full() -> None:
    procedure = read_fill(LOG)
    next(procedure)
    procedure.send(Answer(b"\x12\x00\x07"))
    with pytest.raises(StopIteration) as done:
        procedure.throw(PeerRefused("GET", "read-write-denied"))
    assert done.value.value == Fill(7, 7)


def test_an_empty_log_is_asked_one_question() -> None:
    procedure = read_fill(LOG)
    next(procedure)
    with pytest.raises(StopIteration) as done:
        procedure.send(Answer(b"\x06\x00\x00\x00\x00"))
    assert done.value.value == Fill(0, 0)


def test_a_count_that_is_none_is_refused() -> None:
    procedure = read_fill(LOG)
    next(procedure)
    with pytest.raises(DecodeError):
        procedure.send(Answer(b"\x03\x01"))
