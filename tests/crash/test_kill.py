"""kill -9 of one process after the other under load: afterwards the historian holds every value exactly once.

The device counts how often each register was read and answers the count, so a stored series must be 1, 2, 3, ... without a
hole and without a double. Three things are known from outside the product: what the device has answered, what an own
MQTT client has seen published, and what a second reader of the historian's files finds, and the API alike.
"""
import json
import os
import random
import struct
import time

import pytest

from support import books
from support.broker import Listener, RabbitMq
from support.ledger import Ledger
from support.lite_reader import crc32c
from support.modbus import CountingServer
from support.process import wait_until

TAGS = 20
ROUNDS = int(os.environ.get("NEXUS_KILLS", "4"))
OUTAGE_S = float(os.environ.get("NEXUS_OUTAGE_S", "20" if ROUNDS >= 20 else "6"))
INTERVAL_MS = 50


def device(port: int) -> dict:
    return {
        "id": "counter", "protocol": "modbus-tcp", "uns_prefix": "test/kill/counter", "poll_interval": f"{INTERVAL_MS}ms",
        "connection": {"host": "127.0.0.1", "port": port, "timeout": "2s"},
        "tags": [{"id": f"n{i}", "address": f"holding:{2 * i}", "data_type": "uint32"} for i in range(TAGS)],
    }


@pytest.fixture
def counting(platform):
    server = CountingServer(TAGS)
    platform.write_devices([device(server.port)])
    yield server
    server.close()


def stored(platform, tag: int) -> list[int]:
    """Every good value of a tag that the API tells, in the order of time."""
    reply = platform.api.get("/api/v1/history:query", params={
        "tags": f"uns/test/kill/counter/n{tag}", "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 100000})
    series = reply["series"][0]
    return [int(value) for value, quality in zip(series["v"], series["q"]) if quality >= 192 and value is not None]


def seen_published(listener: Listener, tag: int) -> set[int]:
    values = (json.loads(p)["value"] for p in listener.on(f"uns/test/kill/counter/n{tag}"))
    return {int(v) for v in values if v is not None}


def missing_of(values: list[int]) -> list[int]:
    return sorted(set(range(1, max(values) + 1)) - set(values))


def settle(platform, counting, is_complete) -> None:
    """A gateway that is stopped in order and started again; then the backlog drains: live values go first, so the
    newest value says nothing about the older ones."""
    assert platform.roles["gateway"].stop(30) == 0
    platform.start_role("gateway")
    target = counting.counts[0]
    wait_until(lambda: stored(platform, 0)[-1] > target, 60, "new values being stored")
    try:
        wait_until(lambda: all(is_complete(tag, stored(platform, tag)) for tag in range(TAGS)), 40, every=0.5)
    except AssertionError:
        pass  # the checks that follow say what is missing


def check_exactly_once(platform, lost_reads_allowed: int) -> None:
    found = books.stored_numbers(platform, [f"uns/test/kill/counter/n{tag}" for tag in range(TAGS)])
    for tag, values in enumerate(found.values()):
        assert values, f"n{tag}: nothing is stored"
        assert len(values) == len(set(values)), f"n{tag}: stored twice: {sorted(v for v in set(values) if values.count(v) > 1)}"
        assert values == sorted(values), f"n{tag}: out of order"
        missing = missing_of(values)
        assert len(missing) <= lost_reads_allowed, \
            f"n{tag}: {len(missing)} of {values[-1]} are missing: {missing[:60]} {platform.status('gateway')}"


def kill(platform, victim: str) -> None:
    platform.broker.kill() if victim == "broker" else platform.roles[victim].kill()


def revive(platform, victim: str) -> None:
    platform.broker.start() if victim == "broker" else platform.start_role(victim)


def kill_rounds(platform, victims: list[str], at_once: int = 1, rounds: int = ROUNDS, first: str = "") -> list[str]:
    """Kills up to at_once of the victims in each round, brings them back in any order; returns who was killed."""
    killed = []
    for i in range(rounds):
        time.sleep(random.uniform(0.3, 1.2))  # a random phase of the flow is the point of the test
        dead = [first] if first and i == 0 else random.sample(victims, random.randint(1, at_once))
        for victim in dead:
            kill(platform, victim)
            time.sleep(random.uniform(0.0, 0.6) / len(dead))
        for victim in random.sample(dead, len(dead)):
            revive(platform, victim)
            time.sleep(random.uniform(0.0, 0.2) if len(dead) > 1 else 0)
        killed += dead
    return killed


def test_kill_ingest_and_broker(platform, counting):
    """Neither the broker (memory-only queues) nor ingestion may lose or double anything."""
    platform.start()
    platform.log_in()
    wait_until(lambda: stored(platform, 0), what="a first stored value")
    kill_rounds(platform, ["ingest", "broker"])
    settle(platform, counting, lambda tag, values: len(missing_of(values)) <= 1)
    check_exactly_once(platform, lost_reads_allowed=1)  # the read under way when the gateway was stopped at the end


def test_kill_ingest_and_rabbitmq(platform, counting, processes, tmp_path):
    """The same with RabbitMQ, which forgets everything at each kill: another broker, MQTT 3.1.1, no shared subscription."""
    platform.broker = RabbitMq(processes, tmp_path)
    for role in ("gateway", "ingest", "core"):
        platform.extra[role] += RabbitMq.SETTINGS
    platform.extra["ingest"] += RabbitMq.INGEST_SETTINGS
    platform.start()
    platform.log_in()
    wait_until(lambda: stored(platform, 0), 60, "a first stored value")
    kill_rounds(platform, ["broker", "ingest"], rounds=max(2, ROUNDS // 4), first="broker")
    settle(platform, counting, lambda tag, values: len(missing_of(values)) <= 1)
    check_exactly_once(platform, lost_reads_allowed=1)


def test_kill_gateway(platform, counting):
    """What the gateway has published was in its spool before: all of it is stored, once."""
    platform.start()
    platform.log_in()
    listener = Listener(platform.broker.port, "uns/#")
    wait_until(lambda: stored(platform, 0), what="a first stored value")
    kill_rounds(platform, ["gateway"])
    published = {tag: seen_published(listener, tag) for tag in range(TAGS)}
    listener.close()
    allowed = ROUNDS + 1  # each kill may catch one read that the device has answered and the gateway has not yet seen
    settle(platform, counting, lambda tag, values: published[tag] <= set(values) and len(missing_of(values)) <= allowed)
    check_exactly_once(platform, lost_reads_allowed=allowed)
    for tag in range(TAGS):
        lost = published[tag] - set(stored(platform, tag))
        assert not lost, f"n{tag}: published but not stored: {sorted(lost)[:20]}"


def test_kill_several_at_once(platform, counting):
    """Any of broker, ingestion and gateway together, in any order: what was published is stored, once."""
    platform.start()
    platform.log_in()
    listener = Listener(platform.broker.port, "uns/#")
    wait_until(lambda: stored(platform, 0), what="a first stored value")
    killed = kill_rounds(platform, ["gateway", "ingest", "broker"], at_once=3)
    published = {tag: seen_published(listener, tag) for tag in range(TAGS)}
    listener.close()
    allowed = killed.count("gateway") + 1
    settle(platform, counting, lambda tag, values: published[tag] <= set(values) and len(missing_of(values)) <= allowed)
    check_exactly_once(platform, lost_reads_allowed=allowed)
    for tag in range(TAGS):
        lost = published[tag] - set(stored(platform, tag))
        assert not lost, f"n{tag}: published but not stored: {sorted(lost)[:20]} after {killed}"


def test_broker_away(platform, counting):
    """Polling goes on without a broker; when it is back, the backlog and the live values are stored side by side."""
    platform.start()
    platform.log_in()
    wait_until(lambda: stored(platform, 0), what="a first stored value")
    polled_before = counting.counts[0]
    platform.broker.kill()
    time.sleep(OUTAGE_S)
    polled = counting.counts[0] - polled_before
    assert polled > 0.5 * OUTAGE_S * 1000 / INTERVAL_MS, f"only {polled} reads while the broker was away"
    waiting = platform.status("gateway")["spool"]["records"]
    assert waiting > 0.5 * polled, f"{waiting} records wait after {polled} reads"
    platform.broker.start()
    wait_until(lambda: platform.status("gateway")["broker"]["is_online"], 30, "the gateway online again")
    now = counting.counts[0]
    wait_until(lambda: stored(platform, 0)[-1] > now, 25, "live values, behind the backlog or not")
    wait_until(lambda: all(not missing_of(stored(platform, tag)) for tag in range(TAGS)), 30, "no hole", every=0.5)
    settle(platform, counting, lambda tag, values: len(missing_of(values)) <= 1)
    check_exactly_once(platform, lost_reads_allowed=1)


def undeclared(platform) -> list[tuple[int, int]]:
    """Stretches of batch numbers that neither arrived nor stand in a gap record."""
    return [hole[1:] for hole in Ledger(platform).undeclared()]


def test_power_cut_is_declared(platform, counting):
    """After another boot the numbers go on behind those reserved: the jump is declared and does not look like a loss."""
    platform.start()
    platform.log_in()
    wait_until(lambda: len(stored(platform, 0)) > 20, what="stored values")
    kill(platform, "gateway")
    state = platform.directory / "spool-gateway" / "state"
    body = state.read_bytes()[:36] + b"another boot".ljust(36, b"-")
    state.write_bytes(body + struct.pack("<I", crc32c(body)))
    revive(platform, "gateway")
    target = counting.counts[0] + 20
    wait_until(lambda: stored(platform, 0)[-1] > target, what="values after the power cut")
    wait_until(lambda: not undeclared(platform), 10, "every number accounted for")
    gaps = [gap for lane in Ledger(platform).lanes for gap in lane.gaps]
    assert [gap[1:] for gap in gaps] == [(65536, 0, "CANCELED")]
    check_exactly_once(platform, lost_reads_allowed=2)
