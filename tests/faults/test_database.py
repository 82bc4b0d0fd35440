"""Fault rows 17, 18, 19 and 21 on the historian's side: its database is killed, slow, locked, full, read-only, or away for
long; ingestion is killed at random. Afterwards an independent reader finds every count of the devices exactly once.

NEXUS_ROUNDS and NEXUS_KILLS set how often (few in `make test`, 20 and 200 in `make chaos`).
"""
import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from support import books
from support.certificates import Authority
from support.modbus import CountingServer
from support.postgres import Postgres
from support.process import wait_until
from support.database_proxy import DatabaseProxy

TAGS = 10
KILLS = int(os.environ.get("NEXUS_KILLS", "4"))
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
    """Reads what the API gives of the SQLite historian; in the end a second reader of its files as well."""

    def __init__(self, platform):
        self.platform = platform

    def values(self, tag: int) -> list[int]:
        reply = self.platform.api.request("GET", "/api/v1/history:query", params={
            "tags": f"uns/test/db/n{tag}", "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 100000})
        if reply.status_code != 200:
            return []
        series = reply.json()["series"][0]
        return [int(v) for v, q in zip(series["v"], series["q"]) if q >= 192 and v is not None]

    def all_values(self) -> list[list[int]]:
        return list(books.stored_numbers(self.platform, [f"uns/test/db/n{tag}" for tag in range(TAGS)]).values())


class PostgresReader:
    """Plain SQL, by psql: nothing of ours is in between."""

    def __init__(self, postgres: Postgres):
        self.postgres = postgres

    def values(self, tag: int) -> list[int]:
        if self.postgres.value("SELECT to_regclass('hist.raw') IS NOT NULL") != "t":
            return []
        rows = self.postgres.sql("SELECT value::int8 FROM hist.raw JOIN hist.series USING (series_id)"
                                 f" WHERE topic = 'uns/test/db/n{tag}' AND quality >= 192 ORDER BY time")
        return [int(row[0]) for row in rows]

    def all_values(self) -> list[list[int]]:
        return [self.values(tag) for tag in range(TAGS)]


def use(platform, url: str) -> None:
    for role in ("ingest", "core"):
        platform.extra[role] = [f"historian.url={url}"]


@pytest.fixture
def postgres(processes, platform, tmp_path):
    server = Postgres(processes, tmp_path).start()
    use(platform, server.url)
    return server


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
    for tag, values in enumerate(reader.all_values()):
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
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.05, 1.0))
        platform.roles["ingest"].kill()
        time.sleep(rng.uniform(0, 0.3))
        platform.start_role("ingest")
    check_exactly_once(platform, reader, counting)


# --- 17, 21: PostgreSQL ---

def kill_rounds(platform, postgres, victims: list[str], rng: random.Random, at_once: int = 1) -> list[str]:
    """Kills up to at_once of the victims in each round, brings them back in any order; returns who was killed."""
    kill = {"postgres": postgres.kill, "broker": platform.broker.kill, "ingest": lambda: platform.roles["ingest"].kill()}
    revive = {"postgres": postgres.start, "broker": platform.broker.start, "ingest": lambda: platform.start_role("ingest")}
    killed = []
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.1, 1.0))  # a random phase of the flow is the point of the test
        dead = rng.sample(victims, rng.randint(1, at_once))
        for victim in dead:
            kill[victim]()
            time.sleep(rng.uniform(0.0, 0.5) / len(dead))
        for victim in rng.sample(dead, len(dead)):
            revive[victim]()
        killed += dead
    return killed


def test_kill_postgres(platform, counting, postgres, rng):
    """Ingestion is not restarted: it finds the database again by itself."""
    reader = PostgresReader(postgres)
    start(platform, reader)
    pid = platform.roles["ingest"].pid
    kill_rounds(platform, postgres, ["postgres"], rng)
    check_exactly_once(platform, reader, counting)
    assert platform.roles["ingest"].pid == pid and platform.roles["ingest"].is_running()


def test_kill_any_of_broker_ingestion_and_postgres(platform, counting, postgres, rng):
    reader = PostgresReader(postgres)
    start(platform, reader)
    killed = kill_rounds(platform, postgres, ["postgres", "broker", "ingest"], rng, at_once=3)
    print(killed)
    check_exactly_once(platform, reader, counting, 90)


def test_database_is_away_at_the_start(platform, counting, postgres):
    """Everything starts without it; when it comes, what was read meanwhile is stored."""
    postgres.stop()
    platform.start()
    assert platform.status("ingest")["historian"]["trouble"]["error"] in ("OFFLINE", "REFUSED")
    assert not writers(platform)["is_listening"]
    wait_until(lambda: counting.counts[0] >= 40, what="polling without a database")
    postgres.start()
    platform.log_in()
    reader = PostgresReader(postgres)
    wait_until(lambda: reader.values(0), 30, "a first stored value")
    check_exactly_once(platform, reader, counting)


def test_database_stands_still(platform, counting, postgres, rounds, rng):
    """Slow: its processes get no time for some seconds (SIGSTOP), again and again."""
    reader = PostgresReader(postgres)
    start(platform, reader)
    for _ in range(rounds(2)):
        time.sleep(rng.uniform(0.2, 1))
        pids = [postgres.process.pid, *postgres._backends()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(rng.uniform(1, 4))
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    check_exactly_once(platform, reader, counting)


def test_table_is_locked(platform, counting, postgres, rounds, rng):
    reader = PostgresReader(postgres)
    start(platform, reader)
    for _ in range(rounds(2)):
        seconds = rng.uniform(0.5, 3)
        postgres.sql(f"BEGIN; LOCK TABLE hist.raw, hist.ledger; SELECT pg_sleep({seconds:.2f}); ROLLBACK")
        time.sleep(rng.uniform(0.1, 0.5))
    check_exactly_once(platform, reader, counting)


def test_full_disk_of_postgres(platform, counting, processes, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no mount here")
    try:
        server = Postgres(processes, disk, max_wal_size="64MB", min_wal_size="32MB", shared_buffers="16MB").start()
        use(platform, server.url)
        reader = PostgresReader(server)
        start(platform, reader)
        with (disk / "filler").open("wb", buffering=0) as out:
            try:
                while True:
                    out.write(b"x" * 4096)
            except OSError:
                pass
        wait_until(lambda: platform.status("ingest")["historian"]["trouble"], 60, "the full disk being noticed")
        before = counting.counts[0]
        wait_until(lambda: counting.counts[0] >= before + 20, what="polling going on")
        (disk / "filler").unlink()
        if not server.process.is_running():  # it gives up when it cannot even write its log
            server.start()
        check_exactly_once(platform, reader, counting)
    finally:
        processes.stop_all()
        subprocess.run(["umount", "-l", disk])


def test_value_is_refused(platform, counting, postgres):
    """One batch that the database will not take is put aside, whole; all others are stored; it can be fed again."""
    reader = PostgresReader(postgres)
    start(platform, reader)
    wait_until(lambda: writers(platform)["is_listening"], what="ingestion listening")
    poison = counting.counts[3] + 40
    postgres.sql(f"ALTER TABLE hist.raw ADD CONSTRAINT no CHECK (value IS DISTINCT FROM {poison})")
    wait_until(lambda: (reader.values(0) or [0])[-1] > poison + 40, 30, "values behind the refused one")
    wait_until(lambda: writers(platform)["refused_batches"] >= 1, what="the refused batch being counted")
    files = list((platform.directory / "spool-ingest" / "refused").glob("*.batch"))
    assert len(files) == writers(platform)["refused_batches"]
    assert poison not in reader.values(3)
    books = platform.api.get("/api/v1/system/ledger")
    ledger, gaps = books["totals"], [gap for row in books["items"] for gap in row["gaps"]]
    assert [gap["cause"] for gap in gaps] == ["RANGE"] and gaps[0]["points"] == ledger["gap_points"] and gaps[0]["last_at"]
    assert ledger["gap_points"] == writers(platform)["refused_points"] >= TAGS and ledger["lost"] == 0
    assert postgres.value("SELECT sum(points) FROM hist.gap") == str(ledger["gap_points"])

    postgres.sql("ALTER TABLE hist.raw DROP CONSTRAINT no")
    for file in files:
        subprocess.run(["mosquitto_pub", "-p", str(platform.broker.port), "-q", "1", "-t", "nexus/v1/batch/gateway/0", "-f", file],
                       check=True)
    wait_until(lambda: poison in reader.values(3), what="the fed batch being stored")
    for tag in range(TAGS):
        wait_until(lambda: reader.values(tag)[:poison + 20] == list(range(1, poison + 21)), 20, f"every value of n{tag} once")


def test_outcome_of_a_commit_is_not_known(platform, counting, postgres, rounds, rng):
    """The same batches are brought once more; the ledger knows those that were stored."""
    cutter = DatabaseProxy(postgres.port, rng)
    platform.extra["ingest"] = [f"historian.url={postgres.url.replace(str(postgres.port), str(cutter.port))}"]
    reader = PostgresReader(postgres)
    start(platform, reader)
    cutter.is_cutting = True
    wait_until(lambda: cutter.cuts >= rounds(10), 120, "connections cut behind a COMMIT")
    cutter.is_cutting = False
    check_exactly_once(platform, reader, counting)
    known = int(postgres.value("SELECT sum(duplicate_batches) FROM hist.lane"))
    assert known >= 1, f"{cutter.cuts} cuts, and the ledger was never asked"
    cutter.close()


def test_database_that_cannot_prove_itself(platform, processes, counting, tmp_path):
    """Its certificate is suddenly of another authority: nothing more goes to it, it is said why, and nothing is lost."""
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        Authority(folder).issue("server", "db", "DNS:localhost")
    server = Postgres(processes, tmp_path)
    server.offer_tls(tmp_path / "server.pem")
    server.start()
    use(platform, server.url.replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem")
    reader = PostgresReader(server)
    start(platform, reader)
    server.offer_tls(tmp_path / "other" / "server.pem")
    wait_until(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nexus-historian'")
               == "0" or server.disconnect_all(), 30, "all of ingestion being sent away")
    said = wait_until(lambda: "database.ca_file" in str(platform.status("ingest")["historian"]) and
                      platform.status("ingest")["historian"], 30, "what is wrong")
    assert f"localhost:{server.port}/postgres" in str(said) and server.password not in str(said)
    before, waiting = len(reader.values(0)), platform.status("gateway")["spool"]["records"]
    wait_until(lambda: platform.status("gateway")["spool"]["records"] > waiting + 5, 30, "batches waiting in the gateway")
    assert len(reader.values(0)) == before
    assert platform.api.request("GET", "/api/v1/system/ledger").status_code == 503
    server.offer_tls(tmp_path / "server.pem")
    check_exactly_once(platform, reader, counting)
