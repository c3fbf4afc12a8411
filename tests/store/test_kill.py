"""kill -9: what was acknowledged is there, what was given out is never given again."""

import random
import signal

from gateway.store.counters import CounterKey
from gateway.uplink.outbox import Lane

KILLS = 10


def kill_after(process, lines: int) -> list[str]:
    """Lines the process acknowledged before it was killed, those on their way included.

    A last line that the kill cut short acknowledged nothing.
    """
    seen = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.wait()
    assert all(seen), "the worker ended by itself"
    whole: str = "".join(seen) + rest
    return whole[: whole.rfind("\n") + 1].splitlines()


def test_acknowledged_batches_survive_every_kill(site, batch, start_worker):
    dice = random.Random(7)
    acknowledged: list[int] = []
    for _ in range(KILLS):
        process = start_worker("add", site.directory)
        for line in kill_after(process, dice.randint(1, 30)):
            acknowledged += map(int, line.split())
    store = site.readings()
    assert not store.report.restored
    assert store.report.quarantined is None
    wanted = batch()
    times = store.captured_times(wanted.meter, wanted.profile, 0, 1 << 40)
    assert set(acknowledged) <= set(times)
    # the last batch of a life may be stored and not acknowledged, never more than that
    assert len(times) <= len(acknowledged) + 3 * KILLS
    sent = [entry.body for entry in store.outbox.pending(Lane.LIVE, 0, 1 << 30, max_octets=1 << 40)]
    carried = [row for one in sent for row in one[16:-2].decode().split(",")]
    assert sorted(int(row.split(":")[0]) for row in carried) == times
    store.check()


def test_a_number_that_left_is_never_given_out_again_and_no_kill_looks_like_a_restore(
    site, start_worker
):
    dice = random.Random(8)
    bodies: dict[int, str] = {}
    for _ in range(KILLS):
        process = start_worker("send", site.directory)
        for line in kill_after(process, dice.randint(1, 20)):
            _, sequence, rows = line.split()
            assert bodies.setdefault(int(sequence), rows) == rows
    assert len(set(bodies.values())) == len(bodies)
    assert not site.readings().report.restored


def test_reserved_counters_never_repeat_across_kills(site, start_worker):
    dice = random.Random(9)
    used: list[tuple[str, int]] = []
    for _ in range(KILLS):
        process = start_worker("reserve", site.directory, "1000000", "8")
        for line in kill_after(process, dice.randint(1, 40)):
            title, counter = line.split()
            used.append((title, int(counter)))
    assert len(set(used)) == len(used)
    counters = [counter for _, counter in used]
    assert counters == sorted(counters)
    assert len({title for title, _ in used}) == 1, "a kill is no restore"
    assert site.counters().reserve(CounterKey("M1", 32, "k1")) > max(counters)


def test_two_processes_never_reserve_the_same_counter(site, start_worker):
    processes = [start_worker("compete", site.directory, "200") for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    used = [line for one in processes for line in one.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    assert len({line.split()[0] for line in used}) == 1, "one title for both"
    # nothing twice, and nothing lost between them
    assert sorted(int(line.split()[1]) for line in used) == list(range(1, 401))
