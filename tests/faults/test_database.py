"""Fault rows 17, 18, 19 and 21 on the historian's side: its database is killed, slow, locked, full, read-only, or away for
long; ingestion is killed at random. Afterwards an independent reader finds every count of the devices exactly once.

NEXUS_ROUNDS and NEXUS_KILLS set how often (few in `make test`, 20 and 200 in `make chaos`).
"""
import os
import sqlite3
import subprocess
import time

import pytest

from support.modbus import CountingServer
from support.process import wait_until

TAGS = 10
INTERVAL_MS = 50


@pytest.fixture
def counting(platform):
    """A device whose registers count how often they were read."""
    server = CountingServer(TAGS)
    platform.write_devices([{
        "id": "counter", "protocol": "modbus-tcp", "uns_prefix": "test/db", "poll_interval": f"{INTERVAL_MS}ms",
        "connection": {"host": "127.0.0.1", "port": server.port},
        "tags": [{"id": f"n{i}", "address": f"holding:{2 * i}", "data_type": "uint32"} for i in range(TAGS)]}])
    yield server
    server.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB for the historian: (path, mount options)."""
    path = tmp_path / "history"
    path.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", path], capture_output=True).returncode:
        pytest.skip("no mount here")
    yield path
    subprocess.run(["umount", "-l", path])


class SqliteReader:
    """Reads what the API gives of the SQLite historian (its files are blocks of our own making)."""

    def __init__(self, platform):
        self.platform = platform

    def values(self, tag: int) -> list[int]:
        reply = self.platform.api.request("GET", "/api/v1/history:query", params={
            "tags": f"uns/test/db/n{tag}", "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 100000})
        if reply.status_code != 200:
            return []
        series = reply.json()["series"][0]
        return [int(v) for v, q in zip(series["v"], series["q"]) if q >= 192 and v is not None]


def writers(platform, role: str = "ingest") -> dict:
    return platform.status(role)["historian"]["writers"]


def start(platform, reader) -> None:
    platform.start()
    platform.log_in()
    wait_until(lambda: reader.values(0), 30, "a first stored value")


def check_exactly_once(platform, reader, counting, guard: float = 60) -> None:
    """The gateway is stopped in order and started again; then everything that was read is stored, once and in order."""
    assert platform.roles["gateway"].stop(30) == 0
    platform.start_role("gateway")
    target = counting.counts[0]

    def is_whole(tag: int) -> bool:
        values = reader.values(tag)
        return bool(values) and values[-1] > target and len(set(range(1, values[-1] + 1)) - set(values)) <= 1

    try:
        wait_until(lambda: all(is_whole(tag) for tag in range(TAGS)), guard, every=0.5)
    except AssertionError:
        pass  # the checks that follow say what is missing
    for tag in range(TAGS):
        values = reader.values(tag)
        assert values == sorted(values) and len(values) == len(set(values)), f"n{tag}: out of order, or stored twice"
        missing = sorted(set(range(1, values[-1] + 1)) - set(values))
        assert values[-1] > target and len(missing) <= 1, f"n{tag}: missing {missing[:40]} of {values[-1]}"  # the read under way at the stop
    ledger = platform.api.get("/api/v1/system/ledger")
    assert ledger["totals"]["missing"] == 0 and ledger["totals"]["gap_points"] == 0, ledger["items"]
    for process in platform.processes.all:
        text = process.text()
        assert "Sanitizer" not in text and "runtime error" not in text, f"{process.name}: {text[-4000:]}"


# --- 18, 19: the disk of the SQLite historian ---

def test_full_disk(platform, counting, small_disk):
    """Nothing is acknowledged while the disk is full; when there is room everything goes on by itself."""
    reader = SqliteReader(platform)
    start(platform, reader)
    with (small_disk / "filler").open("wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            pass
    wait_until(lambda: platform.status("ingest")["historian"]["trouble"], 60, "the full disk being noticed")
    trouble = platform.status("ingest")["historian"]["trouble"]
    assert trouble["error"] == "DISK_FULL" and str(small_disk) in trouble["reason"], trouble
    before = counting.counts[0]
    wait_until(lambda: not writers(platform)["is_listening"], 30, "ingestion leaving the subscription")
    wait_until(lambda: counting.counts[0] >= before + 20, what="polling going on")
    (small_disk / "filler").unlink()
    wait_until(lambda: writers(platform)["is_listening"], 30, "ingestion being back")
    check_exactly_once(platform, reader, counting)


def test_read_only_remount(platform, counting, small_disk):
    reader = SqliteReader(platform)
    start(platform, reader)
    if subprocess.run(["mount", "-o", "remount,ro", small_disk], capture_output=True).returncode:
        # Open files keep a file system from becoming read-only: pull it away below them instead.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", small_disk], check=True)
        platform.roles["ingest"].kill()
        platform.start_role("ingest")
        undo = ["umount", small_disk]
    else:
        undo = ["mount", "-o", "remount,rw", small_disk]
    wait_until(lambda: platform.status("ingest")["historian"]["trouble"], 60, "the trouble being noticed")
    before = counting.counts[0]
    wait_until(lambda: counting.counts[0] >= before + 20, what="polling going on")
    subprocess.run(undo, check=True)
    wait_until(lambda: not platform.status("ingest")["historian"]["trouble"], 30, "values being stored again")
    check_exactly_once(platform, reader, counting)


# --- 17: locked ---

def test_locked_by_another_program(platform, counting, rounds, rng):
    """Somebody opens the database by hand and holds it: commits wait and are made again."""
    reader = SqliteReader(platform)
    start(platform, reader)
    for _ in range(rounds(3)):
        time.sleep(rng.uniform(0.1, 0.5))
        with sqlite3.connect(platform.history / "hist.db", timeout=10, isolation_level=None) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(rng.uniform(0.2, 3))
            db.execute("ROLLBACK")
    check_exactly_once(platform, reader, counting)


# --- 21: ingestion itself ---

def test_kill_ingestion(platform, counting, rng):
    reader = SqliteReader(platform)
    start(platform, reader)
    for _ in range(int(os.environ.get("NEXUS_KILLS", "4"))):
        time.sleep(rng.uniform(0.05, 1.0))
        platform.roles["ingest"].kill()
        time.sleep(rng.uniform(0, 0.3))
        platform.start_role("ingest")
    check_exactly_once(platform, reader, counting)
