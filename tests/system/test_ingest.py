"""Ingestion among others: a second instance, members of the shared subscription that go away, the books in the API."""
import json
import time

import paho.mqtt.client as mqtt
import pytest
import requests

from support.modbus import CountingServer
from support.process import wait_until

TAGS = 10


@pytest.fixture
def counting(platform):
    server = CountingServer(TAGS)
    platform.write_devices([{
        "id": "counter", "protocol": "modbus-tcp", "uns_prefix": "test/ingest", "poll_interval": "50ms",
        "connection": {"host": "127.0.0.1", "port": server.port},
        "tags": [{"id": f"n{i}", "address": f"holding:{2 * i}", "data_type": "uint32"} for i in range(TAGS)]}])
    yield server
    server.close()


def ledger(platform) -> dict:
    return platform.api.get("/api/v1/system/ledger")


def row(platform) -> dict:
    return next(r for r in ledger(platform)["items"] if r["gateway"] != "" and not r["gateway"].startswith("foreign."))


def status_of(port: int, path: str = "/status") -> dict:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=10).json()


def values(platform) -> list[int]:
    series = platform.api.get("/api/v1/history:query", params={
        "tags": "uns/test/ingest/n0", "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 100000})["series"][0]
    return [int(v) for v, q in zip(series["v"], series["q"]) if q >= 192]


def is_stored(platform, count: int) -> bool:
    reply = platform.api.request("GET", "/api/v1/history:query", params={
        "tags": "uns/test/ingest/n0", "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 100000})
    return reply.status_code == 200 and (values(platform) or [0])[-1] >= count


def test_the_books_are_in_the_api_and_the_metrics(platform, counting):
    platform.start()
    platform.log_in()
    wait_until(lambda: is_stored(platform, 20), what="stored values")
    wait_until(lambda: ledger(platform)["totals"]["missing"] == 0, what="the first ones, sent before ingestion listened")
    before = row(platform)
    assert before["points"] >= 20 * TAGS and before["batches"] >= 1 and before["missing"] == 0 and before["lane"] == 0
    assert before["last_seq"] >= before["batches"] and before["updated_at"]

    # What waits in the gateway shows, and goes again.
    platform.roles["ingest"].kill()
    wait_until(lambda: platform.status("gateway")["spool"]["points"] > 6 * TAGS, what="points waiting")
    counting.drop()  # a change of a device makes the gateway report at once
    wait_until(lambda: ledger(platform)["totals"]["waiting_points"] > 5 * TAGS, 40, "waiting points in the ledger")
    gateway = ledger(platform)["gateways"][0]
    assert gateway["status"] == "online" and gateway["waiting_batches"] > 0 and gateway["oldest_s"] > 0
    lane = gateway["lanes"][0]
    assert lane["lane"] == 0 and lane["waiting_batches"] == gateway["waiting_batches"] and lane["oldest_s"] > 0
    wait_until(lambda: platform.metrics("core")["nexus_core_ledger_waiting_points"] > 0, 30, "the metric")
    platform.start_role("ingest")
    wait_until(lambda: row(platform)["points"] > before["points"] and row(platform)["missing"] == 0, 30, "the backlog stored")
    after = row(platform)
    assert after["epoch"] == before["epoch"]
    totals = ledger(platform)["totals"]
    assert totals["points"] >= after["points"] and totals["gap_points"] == 0 and totals["lost"] == 0


def test_a_second_instance_on_sqlite_waits_and_takes_nothing_away(platform, counting):
    platform.start()
    platform.log_in()
    wait_until(lambda: is_stored(platform, 10), what="stored values")
    second = platform.start_ingest("second")
    wait_until(lambda: status_of(second.port, "/health")["status"] == "degraded", what="the second one being degraded")
    assert "already being written by another process" in status_of(second.port, "/health")["reason"]
    wait_until(lambda: status_of(second.port)["broker"]["batches"]["state"] == "online", what="the second one's broker connection")
    wait_until(lambda: row(platform)["missing"] == 0, what="the first ones, sent before ingestion listened")
    resent = platform.status("gateway")["link"]["resent"]
    target = counting.counts[0] + 60
    wait_until(lambda: is_stored(platform, target), what="the first one storing on")
    assert status_of(second.port)["broker"]["batches"]["received"] == 0
    assert not status_of(second.port)["historian"]["writers"]["is_listening"]
    assert platform.status("gateway")["link"]["resent"] == resent, "batches went to the instance that cannot store them"

    # The first one goes: the second one has the historian within seconds, and nothing is lost.
    platform.roles["ingest"].kill()
    target = counting.counts[0] + 20
    wait_until(lambda: is_stored(platform, target), 30, "the second one storing")
    assert status_of(second.port)["historian"]["writers"]["is_listening"]
    wait_until(lambda: row(platform)["missing"] == 0, 20, "no number missing")
    stored = values(platform)
    assert stored == sorted(set(stored))
    wait_until(lambda: values(platform)[:target] == list(range(1, target + 1)), 20, "every value once")


class Member:
    """Another subscriber of the share that takes its part and acknowledges nothing end to end."""

    def __init__(self, port: int):
        self.taken = 0
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="member", protocol=mqtt.MQTTv5)
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port, clean_start=True)
        self.client.subscribe("$share/ingestion/nexus/v1/batch/#", 1)
        self.client.loop_start()

    def _on_message(self, *_args) -> None:
        self.taken += 1

    def vanish(self) -> None:
        """As after kill -9: the connection ends without a word."""
        self.client.socket().close()
        self.client.loop_stop()


def test_a_member_of_the_share_that_vanishes_takes_nothing_with_it(platform, counting):
    """Its session is clean, so it goes with the connection; what it had taken comes again."""
    platform.start()
    platform.log_in()
    wait_until(lambda: is_stored(platform, 10), what="stored values")
    member = Member(platform.broker.port)
    wait_until(lambda: member.taken >= 10, what="the other member taking batches")
    member.vanish()
    time.sleep(0.5)
    taken, resent = member.taken, platform.status("gateway")["link"]["resent"]
    target = counting.counts[0] + 100
    wait_until(lambda: is_stored(platform, target), 30, "values behind")
    wait_until(lambda: values(platform)[:target] == list(range(1, target + 1)), 20, "every value once")
    assert row(platform)["missing"] == 0
    # Once those that it had taken are through, nothing more goes astray.
    settled = platform.status("gateway")["link"]["resent"]
    target = counting.counts[0] + 60
    wait_until(lambda: is_stored(platform, target), 30, "more values")
    assert member.taken == taken and resent <= settled
    assert platform.status("gateway")["link"]["resent"] == settled, "batches still go to the member that is gone"


def test_bad_and_foreign_batches_do_not_stop_the_stream(platform, counting):
    platform.start()
    platform.log_in()
    wait_until(lambda: is_stored(platform, 5), what="stored values")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", platform.broker.port)
    client.loop_start()
    for payload in (b"", b"garbage", b"NXXB" + b"\xff" * 100, json.dumps({"value": 1}).encode()):
        client.publish("nexus/v1/batch/nobody/0", payload, qos=1).wait_for_publish(10)
    client.loop_stop()
    wait_until(lambda: platform.metrics("ingest")['data_ingestion_errors_total{type="parse"}'] >= 4, what="four bad messages")
    target = counting.counts[0] + 20
    wait_until(lambda: is_stored(platform, target), what="values behind")
