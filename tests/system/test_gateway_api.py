"""What the core asks the gateway for: answers passed on, and what happens without a right one."""
import pytest
import requests

from support.fake_gateway import FakeGateway

DEVICE = {"id": "press", "protocol": "modbus-tcp", "uns_prefix": "acme/press", "enabled": True,
          "connection": {"host": "127.0.0.1", "port": 1502},
          "tags": [{"id": "force", "address": "40001", "data_type": "uint16"}]}
PLAN = {"device_id": "press", "protocol": "modbus-tcp", "is_connected": True, "cycle": {}, "lists": [], "tags": []}


@pytest.fixture
def core(platform):
    platform.write_devices([])
    platform.start("core")
    platform.log_in()
    platform.api.post("/api/v1/devices", DEVICE, 201)
    return platform


@pytest.fixture
def gateway(core):
    fake = FakeGateway(core.gateway_port)
    yield fake
    fake.close()


def test_right_answers_are_passed_on(core, gateway):
    gateway.say("/admin/v1/devices/press/plan", PLAN)
    assert core.api.get("/api/v1/devices/press:plan") == PLAN
    gateway.say("/admin/v1/devices/press/recorder", {"device_id": "press", "exchanges": []})
    assert core.api.get("/api/v1/devices/press/recorder")["exchanges"] == []
    capture = bytes(range(256))
    gateway.say("/admin/v1/devices/press/recorder.pcapng", capture, kind="application/octet-stream")
    reply = core.api.request("GET", "/api/v1/devices/press/recorder.pcapng", 200)
    assert reply.content == capture and 'filename="press.pcapng"' in reply.headers["Content-Disposition"]
    gateway.say("/admin/v1/recordings", {"recordings": []})
    assert core.api.get("/api/v1/recordings") == {"recordings": []}
    gateway.say("/admin/v1/recordings/press-1.pcapng", capture)
    assert core.api.request("GET", "/api/v1/recordings/press-1.pcapng", 200).content == capture


def test_wrong_answers_are_not(core, gateway):
    gateway.say("/admin/v1/devices/press/plan", {"lists": 1})
    assert core.api.get("/api/v1/devices/press:plan", 502)["code"] == "gateway_answer_wrong"
    gateway.say("/admin/v1/devices/press/plan", b"{", 404)
    assert core.api.get("/api/v1/devices/press:plan", 502)["code"] == "gateway_answer_wrong"
    gateway.say("/admin/v1/devices/press/plan", {"code": "device_not_found", "status": 404, "title": "x", "type": "y"}, 404)
    assert core.api.get("/api/v1/devices/press:plan", 404)["code"] == "device_not_found"
    before = len(gateway.asked)
    for name in (".hidden", "a%2Fb", "%2e%2e%2fstatus", "a%3Fb", "a%20b", "x" * 201):
        assert core.api.request("GET", f"/api/v1/recordings/{name}").status_code in (400, 404), name
    with pytest.raises(requests.ConnectionError):  # libwebsockets hangs up on a zero byte
        core.api.request("GET", "/api/v1/recordings/a%00b")
    assert core.roles["core"].is_running()
    assert len(gateway.asked) == before, "a name reached the gateway"


def test_without_a_gateway_the_answer_says_so(core):
    reply = core.api.get("/api/v1/devices/press:plan", 502)
    assert reply["code"] == "gateway_unreachable" and reply["fixes"]
    assert core.api.get("/api/v1/devices/nope:plan", 404)["code"] == "device_not_found"
    assert core.api.post("/api/v1/devices/press:browse", {}, 422).json()["code"] == "browse_unsupported"
    etag = core.api.request("GET", "/api/v1/devices/press").headers["ETag"]
    core.api.request("PATCH", "/api/v1/devices/press", 200, json={"enabled": False},
                     headers={"If-Match": etag, "Content-Type": "application/merge-patch+json"})
    assert core.api.get("/api/v1/devices/press:plan", 409)["code"] == "device_disabled"


def test_drivers_tell_their_settings(core):
    drivers = {d["name"]: d for d in core.api.get("/api/v1/drivers")["items"]}
    modbus = drivers["modbus-tcp"]
    keys = {s["key"]: s for s in modbus["settings"]}
    assert keys["host"]["required"] and keys["port"]["default"] == "502" and keys["port"]["max"] == 65535
    assert keys["timeout"]["type"] == "duration"
    assert "ABCD" in {s["key"]: s for s in modbus["tag_settings"]}["byte_order"]["choices"]
