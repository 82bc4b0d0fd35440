"""Fault rows 1 to 4 and 10: connections that end, hang, stop or crawl, and all of them at once."""
import collections
import socket
import threading
import time

import pytest

from support import books
from support.load import Load
from support.process import free_port, wait_until

TAGS = 5


def topics(name: str, tags: int = TAGS) -> list[str]:
    return [f"uns/test/{name}/t{i}" for i in range(tags)]


def start(rig, devices: int, **connection):
    sim = rig.simulator(devices, TAGS).start()
    for i in range(devices):
        rig.device(f"d{i}", sim, i + 1, TAGS, **connection)
    rig.start()
    rig.wait_online()
    return sim


def check_lost(rig, devices: int, lost: int) -> None:
    """Every tag is in order and without doubles; all devices together lack at most the answers that were spoiled."""
    gone = 0
    for i in range(devices):
        found = rig.numbers(topics(f"d{i}"))
        holes = {topic: books.missing(values) for topic, values in found.items()}
        for topic, values in found.items():
            books.check_counter(topic, values)
        assert len({tuple(h) for h in holes.values()}) == 1, f"d{i}: tags of one answer differ: {holes}"
        gone += len(holes[f"uns/test/d{i}/t0"])
    assert gone <= lost, f"{gone} values are missing, {lost} answers were spoiled"


def test_connections_that_end_in_the_middle_of_an_answer(rig, rng, rounds):
    """Row 1. An answer that was cut is lost, and only that one; the device comes back."""
    sim = start(rig, 4)
    cut = 0  # answers
    for _ in range(rounds(2)):
        sim.faults(rng.randint(50, 400), rng.choice(["fin", "rst"]))
        target = rng.randint(3, 12)
        wait_until(lambda: sim.spoiled() >= target, 30, "cut answers")
        cut += sim.heal()
        rig.wait_online()
        sim.tell("drop")  # all of them at once, at any phase
        cut += 4
        rig.wait_polls("d0", 2)
    rig.wait_online()
    rig.finish()
    check_lost(rig, 4, cut + 4)  # and the reads under way at the end
    bad = [q for _, _, q in books.series(rig.platform, topics("d0", 1))["uns/test/d0/t0"] if q < 64]
    assert bad, "the interruptions are not recorded"
    rig.check_good()


@pytest.mark.parametrize("fault", ["half-open", "stop-after"])
def test_connections_that_hang(rig, rng, rounds, fault):
    """Rows 2 and 3. Taken and never answered, or not read any more: found out, recorded, made anew, and over when the
    device is well."""
    sim = start(rig, 3)
    for _ in range(rounds(1)):
        time.sleep(rng.uniform(0, 0.3))
        sim.fault(fault, rng.randint(1, 5) if fault == "stop-after" else "on")
        before = {n: s["stats"]["connects"] for n, s in rig.states().items()}
        if fault == "half-open":
            sim.tell("drop")
            wait_until(lambda: all(rig.state(f"d{i}")["status"] != "online" for i in range(3)), 30, "all being found out")
            assert all(rig.state(f"d{i}")["last_error"] for i in range(3))
        wait_until(lambda: all(rig.state(f"d{i}")["stats"]["connects"] >= before[f"d{i}"] + 2 for i in range(3)), 40,
                   "new attempts")
        assert rig.state("good")["stats"]["connects"] == before["good"]
        sim.heal()
        sim.tell("drop")
        rig.wait_online()
    hung = sum(s["stats"]["polls_failed"] for s in rig.states().values())
    rig.finish()
    check_lost(rig, 3, hung + 3 * (rounds(1) + 1))
    rig.check_good()


def test_slow_devices(rig, rng, rounds):
    """Row 4. Slower than the interval: fewer polls, none queued. Slower than the timeout: no values, and none of the late
    ones on a later poll. The neighbours notice nothing."""
    sim = start(rig, 3, retry_count=0)
    for _ in range(rounds(1)):
        sim.fault("delay-ms", rng.randint(150, 220))  # interval 100 ms, timeout 300 ms
        before, asked, began = rig.states(), sim.requests(), time.monotonic()
        wait_until(lambda: rig.state("d0")["stats"]["polls_ok"] >= before["d0"]["stats"]["polls_ok"] + 8, 30, "slow polls")
        after, most = rig.states(), (time.monotonic() - began) / 0.15 + 2
        assert sim.requests() - asked <= 3 * most, "requests pile up"
        assert after["d0"]["stats"]["polls_skipped"] > before["d0"]["stats"]["polls_skipped"]
        assert after["good"]["stats"]["polls_skipped"] == before["good"]["stats"]["polls_skipped"]

        sim.fault("delay-ms", rng.randint(350, 800))
        wait_until(lambda: all(rig.state(f"d{i}")["status"] == "error" for i in range(3)), 30, "timeouts")
        before = rig.states()
        wait_until(lambda: rig.state("d0")["stats"]["polls_failed"] >= before["d0"]["stats"]["polls_failed"] + 4, 30)
        assert rig.state("d0")["stats"]["polls_ok"] == before["d0"]["stats"]["polls_ok"]
        sim.heal()
        rig.wait_online()
    asked = rig.states()
    assert sum(s["stats"]["stale_replies"] for s in asked.values()) > 0, "no late answer was dropped"
    failed = sum(s["stats"]["polls_failed"] for s in asked.values())
    rig.finish()
    check_lost(rig, 3, failed + 3)
    rig.check_good()


def test_answers_that_are_late_at_random(rig, rng, rounds):
    """Row 4. Some answers come behind the timeout, others before: never the one for the other."""
    sim = start(rig, 3, retry_count=1)
    sim.faults(300, "late")
    sim.fault("late-ms", 400)
    wait_until(lambda: sim.spoiled() >= 10 * rounds(1), 30 * rounds(1), "late answers")
    late = sim.heal()
    rig.wait_online()
    rig.finish()
    check_lost(rig, 3, late + 3)
    rig.check_good()


class Bouncer:
    """Takes connections to any address of this computer, notes who was called and when, and closes them at once."""

    def __init__(self, port: int):
        self.attempts: list[tuple[float, str]] = []
        self.listener = socket.create_server(("0.0.0.0", port), backlog=1024, reuse_port=True)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.attempts.append((time.monotonic(), connection.getsockname()[0]))
            finally:
                connection.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


def most_within(times: list[float], span: float) -> int:
    """The most attempts in any stretch of so many seconds."""
    queue, most = collections.deque(), 0
    for t in times:
        queue.append(t)
        while queue[0] < t - span:
            queue.popleft()
        most = max(most, len(queue))
    return most


def test_three_hundred_devices_refuse(rig, rng, rounds):
    """Row 10. At most an attempt a second and device, and the bucket of the whole gateway holds; all are back soon."""
    count, per_second = 300, 100
    port = free_port()
    sim = Load(rig.processes, rig.build_dir, 247, 1, port=port)
    rig.platform.extra["gateway"] = [f"polling.connects_per_second={per_second}", "polling.reconnect_max=4s"]
    for i in range(count):
        rig.device(f"d{i}", sim, i % 247 + 1, 1, host=f"127.0.{2 + i // 200}.{1 + i % 200}", interval="1s")
    bouncer = Bouncer(port)
    rig.start("gateway")
    rig.wait_online("good")
    for _ in range(rounds(1)):
        wait_until(lambda: len({host for _, host in bouncer.attempts}) == count, 30, "an attempt of each")
        time.sleep(4 + rng.uniform(0, 1))
        bouncer.close()
        attempts = list(bouncer.attempts)
        by_host = collections.defaultdict(list)
        for when, host in attempts:
            by_host[host].append(when)
        # The clock of the attempts is that of their arrival here: a tenth of a second of leeway.
        crowded = {h: len(times) for h, times in by_host.items() if most_within(times, 0.9) > 1}
        assert not crowded, f"more than an attempt a second: {crowded}"
        assert most_within([t for t, _ in attempts], 1.0) <= 2 * per_second * 1.1, "the bucket does not hold"
        sim.start()
        rig.wait_online(guard=40)
        skipped = rig.state("good")["stats"]["polls_skipped"]
        sim.process.kill()
        bouncer = Bouncer(port)
    assert skipped == 0, "the healthy device was neglected"
    bouncer.close()
    rig.check_sanitizers()
