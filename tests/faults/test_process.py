"""Fault rows 20, 21 and 27: what happens to the gateway itself. Its clock jumps, it is killed, it has no files left."""
import os
import pathlib
import re
import shutil
import sqlite3
import struct
import subprocess
import time

import pytest

from support import books
from support.broker import Listener
from support.process import wait_until

YEAR_S = 365 * 86400


# --- 20 ---

@pytest.fixture
def clock(tmp_path, build_dir):
    """A wall clock for one process: clock.set(seconds), and the environment that makes it use it."""
    compiler = shutil.which("cc") or shutil.which("clang")
    assert compiler, "a C compiler is needed for the clock of the test"
    library, shift = tmp_path / "wall_clock.so", tmp_path / "shift"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, pathlib.Path(__file__).parent / "wall_clock.c"], check=True)
    shift.write_bytes(bytes(8))
    linked = subprocess.run(["ldd", build_dir / "nexus"], capture_output=True, text=True).stdout
    sanitizers = re.findall(r"=> (\S*lib(?:asan|tsan)\S*)", linked)  # they must come first

    class Clock:
        environment = {"LD_PRELOAD": ":".join([*sanitizers, str(library)]), "NEXUS_TEST_CLOCK": str(shift)}

        @staticmethod
        def set(seconds: int) -> None:
            with shift.open("r+b") as out:
                out.write(struct.pack("=q", seconds))

    return Clock


def set_aside(rig, topic: str) -> list[int]:
    """Values whose time the historian did not believe: kept for people, with the reason."""
    with sqlite3.connect(rig.platform.history / "hist.db") as db:
        return [int(float(v)) for v, in db.execute("SELECT value FROM quarantine WHERE topic = ? AND value IS NOT NULL"
                                                   " AND reason LIKE '%clock%'", (topic,))]


def test_wall_clock_jumps(rig, rng, rounds, clock):
    """Row 20. An hour or ten years, forth and back: polls keep their pace, no value is lost or doubled."""
    sim = rig.simulator(3, 5).start()
    for i in range(3):
        rig.device(f"d{i}", sim, i + 1, 5, retry_count=0)
    plain = rig.platform.start_role
    rig.platform.start_role = lambda role, env=None: plain(role, clock.environment if role == "gateway" else env)
    rig.start()
    rig.wait_online()

    def pace() -> float:
        before, began = sim.requests(), time.monotonic()
        rig.wait_polls("d0", 12)
        return (sim.requests() - before) / (time.monotonic() - began)

    normal = pace()
    for _ in range(rounds(1)):
        for jump in rng.sample([3600, -3600, 10 * YEAR_S, -10 * YEAR_S, 1, -1], 3):
            told = wait_until(lambda: rig.state("d0")["timestamp"], what="the time of the gateway")
            clock.set(jump)
            shifted = rig.state("d0")["timestamp"] - time.time() * 1000
            assert abs(shifted - jump * 1000) < 60_000, f"the gateway does not see the jump ({told})"
            assert 0.6 * normal < pace() < 1.7 * normal, f"another pace after a jump of {jump} s"
            assert rig.state("d0")["status"] == "online"
        clock.set(0)
    stats = [s["stats"] for s in rig.states().values()]
    assert sum(s["polls_failed"] for s in stats) == 0
    assert all(s["connects"] == 1 for s in stats), "a jump has cost a connection"
    rig.finish()
    for name in ("d0", "d1", "d2", "good"):
        for topic, values in rig.numbers([f"uns/test/{name}/t{i}" for i in range(1 if name == "good" else 5)]).items():
            assert values, f"{topic}: nothing is stored"
            values += set_aside(rig, topic)
            assert len(values) == len(set(values)), f"{topic}: stored twice"
            last = max(values)
            gone = set(range(1, last + 1)) - set(values)
            assert not gone, f"{topic}: {len(gone)} of {last} are lost: {sorted(gone)[:20]}"


# --- 21 ---

def test_gateway_is_killed_with_shared_links_and_threads(rig, rng, rounds):
    """Row 21. Several devices on each connection, two threads, kill -9 at any phase: exactly once."""
    rounds = int(os.environ.get("NEXUS_KILLS", rounds(4)))
    links, each, tags = 4, 5, 4
    sim = rig.simulator(links * each, tags).start()
    names = []
    for i in range(links * each):
        names.append(f"d{i}")
        rig.device(names[-1], sim, i + 1, tags, host=f"127.0.0.{i % links + 2}", interval="50ms", retry_count=0)
    rig.platform.extra["gateway"] += ["polling.threads=2"]
    rig.start()
    rig.wait_online()
    listener = Listener(rig.platform.broker.port, *(f"uns/test/{n}/t0" for n in names))
    for _ in range(rounds):
        time.sleep(rng.uniform(0.2, 1.0))  # the phase
        rig.platform.roles["gateway"].kill()
        time.sleep(rng.uniform(0, 0.3))
        rig.platform.start_role("gateway")
    rig.wait_online()
    published = {n: {int(v) for v in re.findall(rb'"value":(\d+)', b" ".join(listener.on(f"uns/test/{n}/t0")))} for n in names}
    listener.close()
    rig.finish()
    for name in names:
        found = rig.numbers([f"uns/test/{name}/t{i}" for i in range(tags)])
        for topic, values in found.items():
            books.check_counter(topic, values)
            gone = books.missing(values)
            assert len(gone) <= rounds + 1, f"{topic}: {len(gone)} are missing after {rounds} kills: {gone[:40]}"
        assert published[name], f"{name}: nothing was published"
        lost = published[name] - set(found[f"uns/test/{name}/t0"])
        assert not lost, f"{name}: published but not stored: {sorted(lost)[:20]}"


# --- 27 ---

def test_no_files_left(rig, rng, rounds):
    """Row 27. Too few descriptors for 200 devices: it is said with its remedy, those with a connection go on, the admin port
    answers, and the rest comes when the limit is raised."""
    count = 200
    sim = rig.simulator(count, 2).start()
    for i in range(count):
        rig.device(f"d{i}", sim, i + 1, 2, interval="200ms", host=f"127.0.{2 + i // 100}.{1 + i % 100}")
    rig.good.start()
    rig.platform.write_devices(rig.devices)
    rig.platform.broker.start()
    gateway = rig.platform.start_role("gateway")
    for _ in range(rounds(1)):
        fds = pathlib.Path(f"/proc/{gateway.pid}/fd")
        rig.wait_online(guard=60)
        few = len(list(fds.iterdir())) - rng.randint(20, 150)
        subprocess.run(["prlimit", "--pid", str(gateway.pid), f"--nofile={few}:4096"], check=True)
        sim.tell("drop")
        wait_until(lambda: sum(s["status"] == "online" for s in rig.states().values()) < count, 30, "connections being lost")
        wait_until(lambda: any(is_explained(s["last_error"]) for s in rig.states().values()), 30, "the remedy being told")
        online = [n for n, s in rig.states().items() if s["status"] == "online"]
        assert online, "nobody has a connection"
        name = rng.choice(online)
        rig.wait_polls(name, 5)
        assert is_explained(gateway.text()), "the log does not name the remedy"
        busy = gateway.cpu_seconds()
        began = time.monotonic()
        time.sleep(1.0)
        assert gateway.cpu_seconds() - busy < 0.8 * (time.monotonic() - began), "it spins"
        subprocess.run(["prlimit", "--pid", str(gateway.pid), "--nofile=4096:4096"], check=True)
        rig.wait_online(guard=60)
    rig.check_sanitizers()


def is_explained(text: str | None) -> bool:
    return bool(text) and "ulimit -n" in text
