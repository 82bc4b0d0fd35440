"""Fault rows 12 to 16 and 25: the broker or the historian is away, slow, refuses, forgets, hangs, or the network between is
parted. Every value is stored once, and what is in is stored, waits, or is declared as lost."""
import os
import statistics
import time

import pytest

from support import books
from support.certificates import Authority
from support.ledger import Ledger
from support.plant import Plant
from support.process import free_port, wait_until
from support.proxy import DOWN, UP, BadBroker, Proxy

# --- 16 ---

@pytest.mark.parametrize("away", ["broker", "ingest"])
def test_backlog_of_an_outage_drains_beside_live_values(rig, rng, rounds, away):
    """A day, compressed: the backlog leaves at five times the rate at which live values come, and they come in time."""
    plant = Plant(rig, devices=8)
    plant.start()
    usual = max(statistics.median(plant.newest_age() for _ in range(20)), 0.05)
    span = 12 if rounds(1) == 1 else 120
    before = plant.status()["spool"]["appended"]
    plant.platform.broker.kill() if away == "broker" else plant.platform.roles["ingest"].kill()
    time.sleep(span)
    live = (plant.status()["spool"]["appended"] - before) / span
    plant.platform.broker.start() if away == "broker" else plant.platform.start_role("ingest")
    wait_until(lambda: plant.status()["broker"]["is_online"], 30, "the gateway being online")
    backlog = plant.status()["spool"]["records"]
    assert backlog > 0.7 * live * span, f"{backlog} records wait after {span} s at {live:.0f}/s"
    # The historian is there when the first of the backlog is acknowledged; from then on the clock runs.
    wait_until(lambda: plant.status()["spool"]["records"] < backlog or plant.newest_age() < 1, 60, "the historian being back")
    began, lags, first, drained = time.monotonic(), [], plant.status()["spool"]["records"], None
    start, most = 0.0, first
    while drained is None or time.monotonic() - began < 3:
        status, passed = plant.status(), time.monotonic() - began
        lags.append(min(plant.newest_age(), passed))  # what came while nobody was there is not late
        left = status["spool"]["records"]
        if left > 0.9 * first:
            start, most = passed, left  # ingestion may still be on its way back to the broker
        if drained is None and status["link"]["backlog"] == 0:
            drained = (most - left) / max(passed - start, 0.02)
        assert passed < 120, status
        time.sleep(0.02)
    late = max(lags)
    print(f"{away} away for {span} s: {backlog} records, live {live:.0f}/s, drained at {drained / live:.1f} x live, "
          f"newest value {late * 1000:.0f} ms old (usually {usual * 1000:.0f} ms)")
    assert drained > 5 * live, f"only {drained / live:.1f} x live"
    assert late < max(1.0, 3 * usual), f"live values are {late:.2f} s late"
    plant.finish()


# --- 13 ---

def test_broker_is_slow(rig, rng, rounds):
    """It takes less than the plant makes: tag messages are conflated, batches wait, and all of it is stored later."""
    plant = Plant(rig)
    proxy = plant.through("gateway", Proxy(rig.platform.broker.port))
    plant.start()
    for _ in range(rounds(1)):
        proxy.bytes_per_s = rng.randint(3000, 6000)
        began, polls = time.monotonic(), rig.state("d0")["stats"]["polls_ok"]
        time.sleep(rng.uniform(3, 5))
        pace = (rig.state("d0")["stats"]["polls_ok"] - polls) / (time.monotonic() - began)
        assert pace > 10, f"a slow broker slows down polls: {pace:.1f}/s"
        assert plant.status()["spool"]["records"] > 20, "the broker was fast enough"
        proxy.bytes_per_s = 0
        plant.poll_on()
    plant.finish()


# --- 14 ---

@pytest.mark.parametrize("reasons", [[0x97], [0x00], [0x97, 0x83, 0x00]], ids=["quota", "forgets", "mixed"])
def test_broker_refuses_or_throws_away(rig, rng, rounds, reasons):
    """Half of the batches are refused with a reason code, or acknowledged and never delivered."""
    plant = Plant(rig)
    broker = plant.through("gateway", BadBroker(rig.platform.broker.port, b"nexus/v1/batch/", rng))
    plant.start()
    broker.reasons = reasons
    for _ in range(rounds(1)):
        broker.share = rng.uniform(0.3, 0.7)
        plant.poll_on(30)
        broker.share = 0
        plant.poll_on()
    assert broker.eaten > 10
    assert plant.status()["link"]["resent"] > 0
    plant.finish()


def test_queue_of_the_broker_is_full(rig, rng, rounds):
    """A broker that keeps one message for a slow subscriber, and throws the others away behind its PUBACK."""
    config = rig.platform.broker.config
    config.write_text(config.read_text().replace("max_queued_messages 100000", "max_queued_messages 1")
                      .replace("max_inflight_messages 0", "max_inflight_messages 1"))
    plant = Plant(rig)
    ingest = plant.through("ingest", Proxy(rig.platform.broker.port))
    plant.start()
    for _ in range(rounds(1)):
        ingest.freeze()
        time.sleep(rng.uniform(0.5, 1.5))
        ingest.thaw()
        plant.poll_on(20)
    plant.finish()


# --- 15 ---

def test_broker_is_half_open(rig, rng, rounds):
    """The connection stands and nothing comes back: noticed by the keep-alive, and begun anew."""
    plant = Plant(rig)
    proxy = plant.through("gateway", Proxy(rig.platform.broker.port))
    plant.start()
    for _ in range(rounds(1)):
        reconnects = plant.platform.metrics("gateway")["gateway_mqtt_reconnects"]
        proxy.freeze(*rng.choice([(UP,), (DOWN,), (UP, DOWN)]))
        wait_until(lambda: not plant.status()["broker"]["is_online"], 20, "the dead connection being noticed")
        plant.poll_on(20)
        proxy.thaw()
        wait_until(lambda: plant.platform.metrics("gateway")["gateway_mqtt_reconnects"] > reconnects, 20, "a new connection")
        plant.poll_on()
    plant.finish()


def test_certificate_of_the_broker_expires(rig, rng, rounds, tmp_path):
    """It is said what is wrong; polling goes on; a renewed certificate is enough."""
    authority = Authority(tmp_path)
    authority.issue("old", "broker", "IP:127.0.0.1", days=-1)
    authority.issue("new", "broker", "IP:127.0.0.1")
    plant = Plant(rig)
    tls, broker = free_port(), rig.platform.broker
    plain = ("user root\n" if os.geteuid() == 0 else "") + broker.config.read_text()  # it must read the test's files

    def use(name: str) -> None:
        broker.config.write_text(f"{plain}listener {tls} 127.0.0.1\nallow_anonymous true\n"
                                 f"certfile {tmp_path}/{name}.pem\nkeyfile {tmp_path}/{name}.key\n")

    use("new")
    rig.platform.extra["gateway"] += [f"mqtt.broker_url=mqtts://127.0.0.1:{tls}", f"mqtt.ca_file={tmp_path}/ca.pem"]
    plant.start()
    for _ in range(rounds(1)):
        use("old")
        broker.kill()
        broker.start()
        why = wait_until(lambda: plant.status()["broker"]["error"], 20, "a reason")
        why = wait_until(lambda: "expired" in (plant.status()["broker"]["error"] or "") and plant.status()["broker"]["error"],
                         20, f"the certificate being named instead of {why!r}")
        plant.poll_on(20)
        use("new")
        broker.kill()
        broker.start()
        wait_until(lambda: plant.status()["broker"]["is_online"], 30, "the gateway being online")
    plant.finish()


def test_name_of_the_broker_cannot_be_resolved(rig, rng, rounds):
    """A gateway that starts while there is no DNS: it says so, polls, and keeps everything for later."""
    plant = Plant(rig)
    rig.platform.extra["gateway"].append("mqtt.broker_url=mqtt://no-such-broker.invalid:1883")
    rig.start()
    rig.wait_online()
    wait_until(lambda: "no-such-broker.invalid" in (plant.status()["last_error"] or ""), 30, "the name being told")
    plant.poll_on(20)
    assert plant.status()["spool"]["points"] > 0
    assert plant.platform.roles["gateway"].stop(30) == 0
    rig.platform.extra["gateway"].pop()
    plant.platform.start_role("gateway")
    plant.poll_on()
    rig.finish()
    assert not Ledger(plant.platform).undeclared()
    for topic, values in rig.numbers([f"uns/test/{name}/t0" for name in plant.names]).items():
        books.check_counter(topic, values)
        assert len(books.missing(values)) <= 2, f"{topic}: {books.missing(values)}"  # a read under way at each stop


# --- 25 ---

def test_partitions(rig, rng, rounds):
    """Between gateway and broker, and between broker and ingestion: directions freeze and connections break at random."""
    plant = Plant(rig)
    sides = [plant.through(role, Proxy(rig.platform.broker.port)) for role in ("gateway", "ingest")]
    plant.start()
    for _ in range(rounds(4)):
        for side in rng.sample(sides, rng.randint(1, 2)):
            side.freeze(*rng.choice([(UP,), (DOWN,), (UP, DOWN)]))
        time.sleep(rng.uniform(0.1, 2.5))
        for side in sides:
            if rng.random() < 0.5:
                side.cut()
            side.thaw()
        time.sleep(rng.uniform(0, 0.5))
    plant.poll_on()
    plant.finish()
