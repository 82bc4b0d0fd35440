"""Fault row 21 with two instances of ingestion on one shared subscription and one PostgreSQL: one is killed, nothing is lost, doubled or held up."""
import os
import random
import time

import pytest
import requests

from support.modbus import CountingServer
from support.postgres import Postgres
from support.process import wait_until
from support.database_proxy import DatabaseProxy

TAGS = 10
KILLS = int(os.environ.get("NEXUS_KILLS", "4"))
STALL_S = 8.0  # a batch that the dead one had comes again after at most 5 s


@pytest.fixture
def counting(platform):
    server = CountingServer(TAGS)
    platform.write_devices([{
        "id": "counter", "protocol": "modbus-tcp", "uns_prefix": "test/two", "poll_interval": "50ms",
        "connection": {"host": "127.0.0.1", "port": server.port},
        "tags": [{"id": f"n{i}", "address": f"holding:{2 * i}", "data_type": "uint32"} for i in range(TAGS)]}])
    yield server
    server.close()


@pytest.fixture
def postgres(processes, platform, tmp_path):
    server = Postgres(processes, tmp_path).start()
    for role in ("ingest", "core"):
        platform.extra[role] = [f"historian.url={server.url}"]
    return server


def status_of(port: int) -> dict:
    return requests.get(f"http://127.0.0.1:{port}/status", timeout=10).json()


def values(postgres, tag: int = 0) -> list[int]:
    if postgres.value("SELECT to_regclass('hist.raw') IS NOT NULL") != "t":
        return []
    return [int(row[0]) for row in postgres.sql(
        "SELECT value::int8 FROM hist.raw JOIN hist.series USING (series_id)"
        f" WHERE topic = 'uns/test/two/n{tag}' AND quality >= 192 ORDER BY time")]


def newest(postgres) -> int:
    return (values(postgres) or [0])[-1]


def revive(platform, name: str) -> None:
    platform.start_role("ingest") if name == "ingest" else platform.start_ingest(name)


def check_exactly_once(platform, counting, postgres) -> None:
    """The gateway is stopped in order and started again; then psql finds everything that was read, once and in order."""
    assert platform.roles["gateway"].stop(30) == 0
    platform.start_role("gateway")
    target = counting.counts[0]

    def is_whole(tag: int) -> bool:
        got = values(postgres, tag)
        return got[-1] > target and len(set(range(1, got[-1] + 1)) - set(got)) <= 1

    try:
        wait_until(lambda: all(is_whole(tag) for tag in range(TAGS)), 60, every=0.5)
    except AssertionError:
        pass  # the checks that follow say what is missing
    for tag in range(TAGS):
        got = values(postgres, tag)
        missing = sorted(set(range(1, got[-1] + 1)) - set(got))
        assert got == sorted(set(got)), f"n{tag}: stored twice or out of order"
        assert len(missing) <= 1, f"n{tag}: missing {missing[:40]} of {got[-1]}"  # the read under way at the stop
    wait_until(lambda: platform.api.get("/api/v1/system/ledger")["totals"]["missing"] == 0, what="no number missing")


def test_one_of_two_instances_is_killed(platform, counting, postgres):
    seed = int(os.environ.get("NEXUS_SEED", random.randrange(1 << 32)))
    print(f"NEXUS_SEED={seed}")
    rng = random.Random(seed)
    platform.start("gateway", "ingest")
    platform.start_ingest("second")
    platform.start_role("core")
    platform.log_in()
    wait_until(lambda: newest(postgres) > 40, 30, "values being stored")
    received = lambda: [status_of(port)["broker"]["batches"]["received"]  # noqa: E731
                        for port in (platform.ingest_port, platform.roles["second"].port)]
    wait_until(lambda: min(received()) > 5, 20, "both taking batches")
    assert all(status_of(p)["historian"]["writers"]["count"] == 4 for p in (platform.ingest_port, platform.roles["second"].port))

    worst = 0.0
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.1, 1.0))
        victim = rng.choice(["ingest", "second"])
        platform.roles[victim].kill()
        target, began = counting.counts[0] + 5, time.monotonic()
        wait_until(lambda: newest(postgres) >= target, 30, "the other one storing on")
        worst = max(worst, time.monotonic() - began)
        revive(platform, victim)
    assert worst < STALL_S, f"nothing was stored for {worst:.1f} s"

    check_exactly_once(platform, counting, postgres)


def test_an_instance_whose_database_stands_still_holds_up_nobody(platform, counting, postgres):
    """No error comes back, nothing at all: it leaves the batches to the other one, and returns when it can."""
    proxy = DatabaseProxy(postgres.port)
    platform.start("gateway", "ingest")
    second = platform.start_ingest("second", f"historian.url={postgres.url.replace(str(postgres.port), str(proxy.port))}")
    platform.start_role("core")
    platform.log_in()
    writers = lambda: status_of(second.port)["historian"]["writers"]  # noqa: E731
    wait_until(lambda: newest(postgres) > 40 and status_of(second.port)["totals"]["batches"] > 5, 30, "both storing")
    proxy.pause()
    worst, end = 0.0, time.monotonic() + 12
    while time.monotonic() < end or writers()["is_listening"]:
        target, began = counting.counts[0] + 5, time.monotonic()
        wait_until(lambda: newest(postgres) >= target, 30, "the other one storing on")
        worst = max(worst, time.monotonic() - began)
        assert time.monotonic() < end + 10, "it still takes batches"
    assert worst < STALL_S, f"nothing was stored for {worst:.1f} s"
    assert "does not answer" in requests.get(f"http://127.0.0.1:{second.port}/health", timeout=10).json()["reason"]
    proxy.resume()
    wait_until(lambda: writers()["is_listening"], 30, "the second one being back")
    check_exactly_once(platform, counting, postgres)
    proxy.close()


def test_the_password_is_shown_nowhere(platform, counting, postgres):
    platform.start("gateway", "ingest", "core")
    platform.log_in()
    wait_until(lambda: newest(postgres) > 0, 30, "values being stored")
    assert postgres.password in postgres.url

    # It may also stand apart, in a file of its own.
    secret = platform.directory / "database-password"
    secret.write_text(postgres.password + "\n")
    secret.chmod(0o600)
    bare = postgres.url.replace(f":{postgres.password}", "")
    for role in ("ingest", "core"):
        platform.extra[role] = [f"historian.url={bare}", f"database.password_file={secret}"]
        platform.roles[role].stop()
        platform.start_role(role)
    before = newest(postgres)
    wait_until(lambda: newest(postgres) > before, 30, "values being stored")
    platform.api.log_in()
    assert platform.api.get("/api/v1/system/ledger")["totals"]["points"] > 0
    shown = [requests.get(f"http://127.0.0.1:{platform.ingest_port}{path}", timeout=10).text
             for path in ("/status", "/health", "/metrics")]
    shown += [platform.api.request("GET", path).text for path in ("/api/v1/system/status", "/api/v1/system/ledger")]
    shown += [platform.roles[role].text() for role in ("ingest", "core")]
    assert not [text[:300] for text in shown if postgres.password in text]
