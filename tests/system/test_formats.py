"""Payload formats over a real broker, with the MessagePack package of PyPI on the other end; what cannot be used."""
import base64
import datetime
import json
import pathlib
import re
import struct

import msgpack
import pytest
import requests
from websockets.sync.client import connect

from support import books
from support.broker import Listener, Publisher
from support.modbus import CountingServer
from support.process import wait_until

DOC = pathlib.Path(__file__).resolve().parents[2] / "docs" / "ingestion.md"
T0 = 1700000000000
MSGPACK = "application/msgpack"


@pytest.fixture
def stack(platform):
    platform.write_devices([])
    platform.start("ingest", "core")
    platform.log_in()
    wait_until(lambda: platform.status("ingest")["broker"]["tags"]["state"] == "online", what="ingestion online")
    wait_until(lambda: all(c["ok"] for c in platform.api.get("/api/v1/system/status")["components"] if c["name"] == "broker"),
               what="the core online")
    yield platform


@pytest.fixture
def publisher(stack):
    publisher = Publisher(stack.broker.port)
    yield publisher
    publisher.close()


def rows(platform, topic: str) -> list[tuple[int, object, int]]:
    return books.series(platform, [topic]).get(topic, [])


def test_messagepack_of_python_is_stored(stack, publisher):
    moment = datetime.datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=datetime.timezone.utc)
    sent = {
        "uns/m/long": ({"value": 84.25, "quality": "good", "timestamp": T0, "unit": "°C"}, (T0, 84.25, 192)),
        "uns/m/compact": ({"v": -7, "q": 64, "ts": T0}, (T0, -7, 64)),
        "uns/m/seconds": ({"v": True, "ts": T0 / 1000}, (T0, True, 192)),
        "uns/m/text": ({"v": "Störung 7", "ts": T0}, (T0, "Störung 7", 192)),
        "uns/m/bad": ({"v": None, "q": "timeout", "ts": T0, "error": "no answer"}, (T0, None, 24)),
        "uns/m/extension": ({"v": 1, "ts": msgpack.Timestamp.from_datetime(moment)}, (T0 + 123, 1, 192)),
        "uns/m/datetime": ({"v": 2, "ts": moment}, (T0 + 123, 2, 192)),
        "uns/m/nested": ({"x": {"a": [1, {"b": None}], 5: b"\0\1"}, "v": 2**40, "ts": T0}, (T0, 2**40, 192)),
        "uns/m/nan": ({"v": float("nan"), "ts": T0}, (T0, None, 0)),
    }
    for topic, (message, _) in sent.items():
        publisher.send(topic, msgpack.packb(message, datetime=True))
    publisher.send("uns/m/single", msgpack.packb({"v": 0.1, "ts": T0}, use_single_float=True))
    publisher.send("uns/m/many", msgpack.packb([{"v": i, "ts": T0 + i} for i in range(1000)]))
    publisher.send("uns/m/bare", msgpack.packb(5), MSGPACK)
    publisher.send("uns/m/bare", msgpack.packb(-5))
    publisher.send("uns/m/bare", msgpack.packb(5.5))
    wait_until(lambda: len(rows(stack, "uns/m/bare")) == 3, what="the last message stored")
    for topic, (_, want) in sent.items():
        assert rows(stack, topic) == [want], topic
    single = struct.unpack("f", struct.pack("f", 0.1))[0]
    assert rows(stack, "uns/m/single") == [(T0, single, 192)]
    assert [v for _, v, _ in rows(stack, "uns/m/many")] == list(range(1000))
    assert [v for _, v, _ in rows(stack, "uns/m/bare")] == [5, -5, 5.5]
    assert stack.status("ingest")["dead_letters"] == {"seen": 0, "kept": 0}


def test_browsers_see_every_format(stack, publisher):
    reply = requests.post(f"{stack.api.base}/api/v1/auth/login", timeout=10,
                          json={"username": "admin", "password": "correct horse battery"})
    cookie = reply.headers["Set-Cookie"].split(";")[0]
    payloads = {"uns/w/json": json.dumps({"value": 1.5, "timestamp": T0}), "uns/w/compact": json.dumps({"v": 1.5, "ts": T0}),
                "uns/w/msgpack": msgpack.packb({"v": 1.5, "ts": T0}),
                "uns/w/newest": json.dumps([{"v": 1.5, "ts": T0}, {"v": 9, "ts": T0 - 1}])}
    for topic, payload in payloads.items():
        publisher.send(topic, payload)
    values = lambda: {r["topic"]: r["value"] for r in stack.api.get("/api/v1/uns/values")["items"]}  # noqa: E731
    wait_until(lambda: set(payloads) <= set(values()), what="all topics in the live table")
    assert {t: values()[t] for t in payloads} == dict.fromkeys(payloads, 1.5)
    with connect(stack.api.base.replace("http", "ws") + "/api/v1/ws", subprotocols=["nexus.v1.json"],
                 origin=stack.api.base, additional_headers={"Cookie": cookie}) as ws:
        ws.send(json.dumps({"op": "sub", "id": 1, "kind": "topic", "filter": ["uns/w/#"], "rate_ms": 50}))
        while (frame := json.loads(ws.recv(timeout=10)))["op"] != "snap":
            pass
        assert len(frame["rows"]) == 4 and {v[2] for v in frame["vals"]} == {1.5}, frame


@pytest.mark.parametrize("payload", ["json", "compact", "msgpack"])
def test_gateway_publishes_the_chosen_format(platform, payload):
    server = CountingServer(2)
    platform.extra["gateway"] = [f"publish.payload={payload}"]
    platform.write_devices([{
        "id": "dev", "protocol": "modbus-tcp", "uns_prefix": "acme/dev", "poll_interval": "100ms",
        "connection": {"host": "127.0.0.1", "port": server.port},
        "tags": [{"id": "n", "address": "holding:0", "data_type": "uint32", "unit": "°C"},
                 {"id": "gone", "address": "holding:9999", "data_type": "uint16"}]}])
    platform.broker.start()
    listener = Listener(platform.broker.port, "uns/#")
    for role in ("gateway", "ingest", "core"):
        platform.start_role(role)
    platform.log_in()
    good, bad = "uns/acme/dev/n", "uns/acme/dev/gone"
    wait_until(lambda: len(listener.on(good)) > 5 and listener.on(bad), what="tag messages")
    decode = msgpack.unpackb if payload == "msgpack" else json.loads
    messages = [decode(p) for p in listener.on(good)]
    value, quality, unit, time = (("value", "quality", "unit", "timestamp") if payload == "json" else ("v", "q", "u", "ts"))
    assert all(m[unit] == "°C" and m[time] > T0 and m["seq"] > 0 for m in messages)
    assert {m[quality] for m in messages} == {"good" if payload == "json" else 192}
    counts = [m[value] for m in messages]
    assert counts == sorted(set(counts)) and all(isinstance(c, int) for c in counts)
    failed = decode(listener.on(bad)[-1])
    assert failed[value] is None and failed["error"]
    # The live view understands it; ingestion stores the point once, from its batch.
    wait_until(lambda: platform.api.get("/api/v1/devices/dev/tags/n")["value"] >= counts[-1], what="the live value")
    wait_until(lambda: set(counts) <= set(books.numbers(platform, [good])[good]), what="the values stored")
    books.check_counter(good, books.numbers(platform, [good])[good])
    status = platform.status("ingest")
    assert status["foreign"]["stored_messages"] == 0 and status["skipped_messages"]["seq"] >= len(counts)
    listener.close()
    server.close()


def test_dead_letters_are_counted_kept_and_shown(stack, publisher):
    faults = {
        "uns/d/text": (b"not JSON", "byte 0"), "uns/d/cut": (b'{"value":1', "ends at byte 10"),
        "uns/d/cut-msgpack": (msgpack.packb({"v": 1, "ts": T0})[:-1], "MessagePack"),
        "uns/d/object": (b'{"temperature":21,"humidity":40}', '"value"'),
        "uns/d/several": (b'[{"v":1,"tagname":"a","ts":1700000000},{"v":2,"tagname":"b","ts":1700000000}]', "names tags"),
        "uns/d/large": (b"1" + b" " * 70000, "at most 65536"),
    }
    for topic, (payload, _) in faults.items():
        publisher.send(topic, payload)
    publisher.send("uns/d/good", b'{"v":1,"ts":1700000000000}')
    wait_until(lambda: rows(stack, "uns/d/good"), what="the message behind the bad ones")
    letters = stack.api.get("/api/v1/system/dead-letters")["items"]
    assert [x["topic"] for x in letters] == list(reversed(faults))
    for letter in letters:
        payload, reason = faults[letter["topic"]]
        assert reason in letter["reason"] and letter["bytes"] == len(payload)
        assert base64.b64decode(letter["payload"]) == payload[:3072]
    assert len(stack.api.get("/api/v1/system/dead-letters?limit=2")["items"]) == 2
    stack.api.request("GET", "/api/v1/system/dead-letters?limit=0", 422)
    state = stack.api.get("/api/v1/system/ingest")
    assert state["errors"]["parse"] == 6 and state["dead_letters"] == {"seen": 6, "kept": 6}
    assert stack.metrics("ingest")['data_ingestion_errors_total{type="parse"}'] == 6
    # They outlive ingestion; without it the answer says who is missing.
    stack.roles["ingest"].kill()
    reply = stack.api.request("GET", "/api/v1/system/dead-letters", 502).json()
    assert reply["code"] == "ingest_unreachable" and reply["cause"]["layer"] == "ingestion"
    stack.start_role("ingest")
    assert len(stack.api.get("/api/v1/system/dead-letters")["items"]) == 6


def test_metrics_and_health_are_as_described(stack, publisher):
    base = f"http://127.0.0.1:{stack.ingest_port}"
    described = {name: label for name, label in re.findall(r"^\| `([a-z_]+)` \| (?:`([a-z]+)`)? *\|", DOC.read_text(), re.M)}
    assert len(described) >= 10
    text = requests.get(f"{base}/metrics", timeout=10).text
    served = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    ours = {name for name in served if name.startswith(("data_ingestion_", "nexus_ingest_"))}
    assert set(described) <= ours, f"described and not served: {set(described) - ours}"
    assert ours - set(described) == set(), "served and not described"
    for name, label in described.items():
        labels = set(re.findall(rf"^{name}(?:_bucket)?{{([a-z]+)=", text, re.M)) - {"le"}
        assert labels == ({label} if label else set()), name
    assert requests.get(f"{base}/health/live", timeout=10).status_code == 200
    wait_until(lambda: requests.get(f"{base}/health/ready", timeout=10).status_code == 200, what="ready")
    before = stack.metrics("ingest")
    publisher.send("uns/x", b'{"v":1,"ts":1700000000000}')
    wait_until(lambda: stack.metrics("ingest")["data_ingestion_points_total"] > before["data_ingestion_points_total"],
               what="the point counted")
    after = stack.metrics("ingest")
    assert after["data_ingestion_batch_duration_seconds_count"] > before["data_ingestion_batch_duration_seconds_count"]
    assert after["data_ingestion_lag_seconds"] > 1e7
    stack.broker.kill()
    wait_until(lambda: requests.get(f"{base}/health/ready", timeout=10).status_code == 503, what="not ready")
    assert requests.get(f"{base}/health/live", timeout=10).status_code == 200
    wait_until(lambda: stack.metrics("ingest")['data_ingestion_errors_total{type="connection"}'] > 0, what="the error counted")
