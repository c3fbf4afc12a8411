"""What tests run in another process, to be killed or to compete: one line for each thing done."""

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.errors import StoreFull
from gateway.store.counter_block import CounterBlock
from gateway.store.counters import CounterKey
from gateway.uplink.outbox import Lane
from tests.store.conftest import Site, encode, make_batch

KEY = CounterKey("M1", 32, "k1")


def add_for_ever(site: Site) -> None:
    store = site.readings()
    start = store.last_captured(make_batch().meter, make_batch().profile) or 0
    time_s = start
    while True:
        times = [(time_s + step, step) for step in (60, 120, 180)]
        time_s += 180
        store.add_batch(make_batch(*times), encode, Lane.LIVE)
        print(*(time for time, _ in times), flush=True)


def send_and_commit_for_ever(site: Site) -> None:
    store = site.readings()
    while True:
        entries = store.outbox.pending(Lane.LIVE, 0, 2)
        for entry in entries:
            print(entry.epoch, entry.sequence, entry.body.decode().split()[-1], flush=True)
        time_s = store.last_captured(make_batch().meter, make_batch().profile) or 0
        store.add_batch(make_batch((time_s + 60, 1), (time_s + 120, 2)), encode, Lane.LIVE)
        ranges = [(entry.sequence, entry.sequence) for entry in entries]
        store.outbox.commit(store.stream.epoch, ranges, [], 1)


def reserve(site: Site, count: str, size: str) -> None:
    store = site.counters()
    block = CounterBlock(store, KEY, int(size))
    for _ in range(int(count)):
        print(store.client_title(KEY.client_sap).hex(), block.reserve(), flush=True)


def compete(site: Site, count: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    reserve(site, count, "1")


def fill_until_refused(site: Site, spare_octets: str) -> None:
    store = site.readings()
    store.add_batch(make_batch((1, 1)), encode, Lane.LIVE)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    sizes = [f.stat().st_size for f in site.directory.iterdir()]
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) + int(spare_octets), hard))
    stored, refused = [1], ""
    for time_s in range(2, 100_000):
        try:
            store.add_batch(make_batch((time_s, time_s)), encode, Lane.LIVE)
        except StoreFull as error:
            refused = str(error)
            break
        stored.append(time_s)
    counted = store.rows_refused
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    batch = make_batch((time_s, time_s))
    stored.append(time_s)
    again = store.add_batch(batch, encode, Lane.LIVE)
    found = store.captured_times(batch.meter, batch.profile, 0, 100_000)
    print(
        json.dumps(
            {
                "refused": refused,
                "rows_refused": counted,
                "new_rows_after": again.new_rows,
                "as_acknowledged": found == stored,
                "messages": store.outbox.depth().live == len(stored),
            }
        )
    )


JOBS: dict[str, Callable[..., None]] = {
    "add": add_for_ever,
    "send": send_and_commit_for_ever,
    "reserve": reserve,
    "compete": compete,
    "fill": fill_until_refused,
}

if __name__ == "__main__":
    job, directory, *arguments = sys.argv[1:]
    os.chdir(directory)
    JOBS[job](Site(Path(directory)), *arguments)
