"""Live values over the WebSocket: who may open it, what comes, what a write answers."""
import contextlib
import json

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from support.broker import Listener

DEVICE = {"id": "press", "protocol": "modbus-tcp", "uns_prefix": "acme/press",
          "connection": {"host": "127.0.0.1", "port": 1502},
          "tags": [{"id": "force", "address": "40001", "data_type": "uint16", "unit": "kN", "access_mode": "readwrite"}]}
TOPIC = "uns/acme/press/force"


@pytest.fixture
def core(platform):
    platform.start("core")
    platform.log_in()
    platform.api.post("/api/v1/devices", DEVICE, 201)
    return platform


@contextlib.contextmanager
def client(core):
    listener = Listener(core.broker.port, "$nexus/cmd/+/+/set")
    yield listener
    listener.close()


def login_cookie(core) -> str:
    reply = requests.post(f"{core.api.base}/api/v1/auth/login", timeout=10,
                          json={"username": "admin", "password": "correct horse battery"})
    return reply.headers["Set-Cookie"].split(";")[0]


def open_socket(core, origin: str | None = None, cookie: str | None = None):
    headers = {"Cookie": cookie} if cookie else {}
    return connect(core.api.base.replace("http", "ws") + "/api/v1/ws", subprotocols=["nexus.v1.json"],
                   origin=origin, additional_headers=headers)


def until(ws, op: str, timeout: float = 10) -> dict:
    while True:
        frame = json.loads(ws.recv(timeout=timeout))
        if frame["op"] == op:
            return frame


def test_values_and_states_are_pushed(core):
    with open_socket(core, core.api.base, login_cookie(core)) as ws, client(core) as mqtt:
        assert until(ws, "hello")["proto"] == "nexus.v1.json"
        ws.send(json.dumps({"op": "sub", "id": 1, "kind": "tag", "ids": ["press/force", "press/none"], "rate_ms": 50}))
        snap = until(ws, "snap")
        assert snap["rows"] == [[0, "press/force", TOPIC, "uint16", "kN"], [-1, "press/none", None, None, None]]
        assert snap["vals"] == []
        mqtt.publish(TOPIC, json.dumps({"value": 7, "quality": "good", "timestamp": 1700000000000}))
        update = until(ws, "upd")
        alias, dt_ms, value, quality = update["v"][0]
        assert (alias, update["t0"] + dt_ms, value, quality) == (0, 1700000000000, 7, 192)
        ws.send(json.dumps({"op": "sub", "id": 2, "kind": "device"}))
        assert until(ws, "evt")["status"]["state"] == "unknown"
        mqtt.publish("$nexus/status/devices/press", json.dumps({"status": "error", "last_error": "no answer"}))
        status = until(ws, "evt")["status"]
        assert (status["state"], status["last_error"]) == ("error", "no answer")


def test_another_origin_is_refused(core):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(core, "http://evil.example", login_cookie(core))
    assert refused.value.response.status_code == 403


def test_programs_log_in_with_their_token(core):
    token = core.api.session.headers["Authorization"].split()[1]
    with open_socket(core) as ws:
        ws.send(json.dumps({"op": "auth", "token": token}))
        ws.send(json.dumps({"op": "sub", "id": 1, "kind": "tag", "filter": ["uns/#"]}))
        assert [row[1] for row in until(ws, "snap")["rows"]] == ["press/force"]
    with open_socket(core) as ws:
        ws.send(json.dumps({"op": "auth", "token": token[:-20] + token[-10:]}))
        assert "token" in until(ws, "bye")["reason"]


def test_new_topics_join_a_filter(core):
    with open_socket(core, core.api.base, login_cookie(core)) as ws, client(core) as mqtt:
        ws.send(json.dumps({"op": "sub", "id": 1, "kind": "topic", "filter": ["uns/foreign/#"], "rate_ms": 50}))
        assert until(ws, "snap")["rows"] == []
        mqtt.publish("uns/foreign/level", "12.5")
        assert until(ws, "snap")["rows"][0][1] == "uns/foreign/level"


def test_a_write_answers_with_the_read_back_or_the_cause(core):
    url = "/api/v1/devices/press/tags/force:write"
    with client(core) as mqtt:
        def answer(broker, _userdata, message):
            command = json.loads(message.payload)
            broker.publish("$nexus/cmd/response/press/force", qos=1, payload=json.dumps(
                {"id": command["id"], "success": command["value"] < 100, "value": command["value"], "duration_ms": 3,
                 "code": "device_failure", "error": "exception 4 from the device"}))

        mqtt.client.on_message = answer
        written = core.api.post(url, {"value": 42}, 200).json()
        assert (written["success"], written["value"]) == (True, 42)
        problem = core.api.post(url, {"value": 1000}, 502).json()
        assert (problem["code"], problem["detail"]) == ("device_refused", "exception 4 from the device")
        assert problem["cause"]["layer"] == "device" and problem["fixes"]
    late = core.api.post(url, {"value": 1, "ttl_ms": 200}, 504).json()
    assert late["code"] == "write_timeout" and "gateway" in late["detail"]
    assert core.api.post(url, {"value": "much"}, 422).json()["errors"][0]["pointer"] == "/value"
