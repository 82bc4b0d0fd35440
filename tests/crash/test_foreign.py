"""kill -9 of ingestion under foreign values without a time: nothing tells two deliveries of one apart but the broker's
packet ids. A publisher counts up on several topics; afterwards the historian holds 1, 2, 3, ... once each.

To hit the moment between the spool and the broker's hearing of it, most rounds keep the acknowledgements back before the
kill, so that all values of that stretch are stored and come again.
"""
import os
import random
import threading
import time

import paho.mqtt.client as mqtt
import pytest

from support import books
from support.process import wait_until
from support.rabbitmq import PASSWORD, USER, RabbitMq
from support.valve import Valve

TOPICS = [f"uns/foreign/counter{i}" for i in range(4)]
ROUNDS = int(os.environ.get("NEXUS_KILLS", "20"))
EVERY_S = 0.004


class Counter:
    """Publishes 1, 2, 3, ... on every topic with QoS 1, and waits for the broker's word at the end."""

    def __init__(self, port: int):
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self.client.username_pw_set(USER, PASSWORD)
        self.client.max_inflight_messages_set(1000)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.count, self.is_stopping = 0, False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.is_stopping:
            self.count += 1
            last = [self.client.publish(topic, str(self.count), qos=1) for topic in TOPICS]
            time.sleep(EVERY_S)
        for info in last:
            info.wait_for_publish(20)

    def stop(self) -> int:
        self.is_stopping = True
        self.thread.join(30)
        self.client.disconnect()
        self.client.loop_stop()
        return self.count


@pytest.fixture(params=["mosquitto", "rabbitmq"])
def valve(platform, processes, tmp_path, request):
    """In front of the broker that ingestion listens to."""
    broker = RabbitMq(processes, tmp_path).start() if request.param == "rabbitmq" else platform.broker
    valve = Valve(broker.port)
    platform.extra["ingest"] = [f"mqtt.broker_url=mqtt://127.0.0.1:{valve.port}"]
    if request.param == "rabbitmq":
        platform.extra["ingest"] += ["mqtt.version=3.1.1", f"mqtt.username={USER}", f"mqtt.password={PASSWORD}",
                                     "ingestion.batch_filter=nexus/v1/batch/#"]
    yield valve
    valve.close()


def tags_state(platform) -> str:
    return platform.status("ingest")["broker"]["tags"]["state"]


def test_values_without_a_time_are_stored_once(platform, valve):
    platform.write_devices([])
    platform.start("ingest", "core")
    platform.log_in()
    wait_until(lambda: tags_state(platform) == "online", what="ingestion online")
    counter = Counter(valve.target_port)
    redelivered = 0.0
    for turn in range(ROUNDS):
        time.sleep(random.uniform(0.1, 0.4))
        if turn % 4:
            valve.hold()
            time.sleep(random.uniform(0.01, 0.3))
        if turn % 5 == 4:
            valve.cut()  # only the connection is lost
        else:
            redelivered += platform.metrics("ingest")['nexus_ingest_skipped_messages_total{reason="redelivered"}']
            platform.roles["ingest"].kill()
            valve.cut()
            platform.start_role("ingest")
        wait_until(lambda: tags_state(platform) == "online", what="ingestion online again")
    count = counter.stop()
    wait_until(lambda: all(v and v[-1] == count for v in books.numbers(platform, TOPICS).values()), what="the last values")
    stored = books.stored_numbers(platform, TOPICS)
    redelivered += platform.metrics("ingest")['nexus_ingest_skipped_messages_total{reason="redelivered"}']
    for topic, values in stored.items():
        books.check_counter(topic, values)
        assert not books.missing(values), f"{topic}: missing {books.missing(values)[:20]} of {count}"
    assert redelivered > 0 and valve.swallowed > 0, "no acknowledgement was ever lost: the test shows nothing"
