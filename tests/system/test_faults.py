"""What a person sees when something is wrong: place and remedy, in log, status and API; and nothing else suffers."""
import os
import subprocess

import pytest

from support.modbus import CountingServer
from support.process import free_port, wait_until


def device(name: str, port: int, tags: list[dict], **more) -> dict:
    return {"id": name, "protocol": "modbus-tcp", "uns_prefix": f"test/{name}", "poll_interval": "100ms",
            "connection": {"host": "127.0.0.1", "port": port, "timeout": "500ms"}, "tags": tags, **more}


@pytest.fixture
def server():
    server = CountingServer(50)
    yield server
    server.close()


def state_of(platform, name: str) -> dict:
    return platform.api.get(f"/api/v1/devices/{name}")["status"]


def tag_of(platform, name: str, tag: str) -> dict:
    return platform.api.get(f"/api/v1/devices/{name}/tags/{tag}")


def test_unreachable_device_is_named_and_harms_nobody(platform, server):
    dead = free_port()
    good = [{"id": "n0", "address": "holding:0", "data_type": "uint32"}]
    platform.write_devices([device("good", server.port, good), device("dead", dead, good)])
    platform.start()
    platform.log_in()
    status = wait_until(lambda: state_of(platform, "dead")["last_error"] and state_of(platform, "dead"), what="a reason")
    assert status["state"] in ("offline", "connecting", "error")
    assert str(dead) in status["last_error"] and "refused" in status["last_error"].lower()
    assert "check" in status["last_error"].lower(), "the remedy is missing"
    platform.roles["gateway"].log_contains(str(dead))
    wait_until(lambda: (tag_of(platform, "dead", "n0")["quality"] or 192) < 64, what="bad quality of its tag")
    wait_until(lambda: tag_of(platform, "good", "n0")["quality"] == 192, what="the good device's value")
    before = server.counts[0]
    wait_until(lambda: server.counts[0] >= before + 10, what="the good device being polled on")


def test_one_wrong_address_costs_one_tag(platform, server):
    tags = [{"id": f"n{i}", "address": f"holding:{2 * i}", "data_type": "uint32"} for i in range(40)]
    tags.append({"id": "wrong", "address": "holding:110", "data_type": "uint32"})
    platform.write_devices([device("line", server.port, tags)])
    platform.start()
    platform.log_in()
    wait_until(lambda: all(tag_of(platform, "line", f"n{i}")["quality"] == 192 for i in (0, 20, 39)), what="the good tags")
    wait_until(lambda: (tag_of(platform, "line", "wrong")["quality"] or 192) < 64, what="the bad tag")
    wait_until(lambda: state_of(platform, "line")["state"] == "online", what="the device being online")


def test_bad_files_name_line_key_and_near_miss(platform, server):
    platform.devices_path.write_text(
        "devices:\n"
        "  - id: good\n    protocol: modbus-tcp\n    connection: {host: 127.0.0.1, port: %d}\n"
        "    tags: [{id: n0, address: 'holding:0', data_type: uint32}]\n"
        "  - id: bad\n    protocol: modbus-tcp\n    connection: {hots: 127.0.0.1}\n" % server.port)
    check = subprocess.run([platform.nexus, "config", "check", platform.devices_path], capture_output=True, text=True)
    assert check.returncode == 1
    assert "devices.yaml:8" in check.stderr and "'hots'" in check.stderr and "Did you mean 'host'" in check.stderr
    platform.start()  # the good one runs all the same
    platform.log_in()
    wait_until(lambda: tag_of(platform, "good", "n0")["quality"] == 192, what="the good device's value")
    platform.roles["gateway"].log_contains("hots")

    settings = platform.directory / "nexus.yaml"
    settings.write_text("mqtt:\n  broker_ulr: mqtt://127.0.0.1\n")
    for role in ("gateway", "ingest", "core"):
        run = subprocess.run([platform.nexus, role, "--config", settings], capture_output=True, text=True, timeout=60)
        assert run.returncode == 1
        assert "nexus.yaml:2" in run.stderr and "mqtt.broker_url" in run.stderr


def test_api_names_the_pointer_and_the_near_miss(platform, server):
    platform.write_devices([])
    platform.start()
    platform.log_in()
    reply = platform.api.request("POST", "/api/v1/devices", 422, json={
        "id": "x", "protocol": "modbus-tcp", "connection": {"hots": "10.0.0.1"}})
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    problem = reply.json()
    assert "/connection/hots" in reply.text and "host" in reply.text
    assert problem["status"] == 422 and problem["code"]
    reply = platform.api.request("POST", "/api/v1/devices:test", json={
        "id": "x", "protocol": "modbus-tcp", "connection": {"host": "127.0.0.1", "port": free_port()}, "tags": []})
    steps = reply.json()["steps"]
    failed = next(s for s in steps if not s["ok"] and not s.get("skipped"))
    assert "refused" in failed["detail"].lower() and failed.get("fix", failed["detail"])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_full_disk_is_named_and_mends_itself(platform, server, tmp_path):
    """The gateway's spool directory runs full: a message that names it, polling goes on, and it recovers."""
    small = tmp_path / "spool-gateway"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no mount here")
    try:
        filler = small / "filler"
        filler.write_bytes(b"x" * (3 << 20))
        platform.extra["gateway"] = ["buffer.disk_reserve=64KB", "buffer.segment_size=64KB"]
        filler.unlink()
        platform.write_devices([device("line", server.port, [
            {"id": f"n{i}", "address": f"holding:{2 * i}", "data_type": "uint32"} for i in range(50)], poll_interval="50ms")])
        platform.start()
        platform.log_in()
        wait_until(lambda: tag_of(platform, "line", "n0")["quality"] == 192, what="a value")
        with filler.open("wb", buffering=0) as out:
            try:
                while True:
                    out.write(b"x" * 4096)
            except OSError:
                pass
        # Ingestion frees the spool as fast as it fills; only without it the segments must grow.
        platform.roles["ingest"].kill()
        platform.roles["gateway"].log_contains(str(small), 60)
        wait_until(lambda: str(small) in str(platform.api.get("/api/v1/system/gateways")), what="the directory named in the API")
        before = server.counts[0]
        wait_until(lambda: server.counts[0] >= before + 10, what="polling going on")
        filler.unlink()
        platform.start_role("ingest")
        history = lambda: platform.api.get("/api/v1/history:query", params={  # noqa: E731
            "tags": "uns/test/line/n0", "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 100000})["series"][0]["v"]
        target = server.counts[0]
        wait_until(lambda: (history() or [0])[-1] > target, 60, "values stored again")
    finally:
        platform.processes.stop_all()
        subprocess.run(["umount", small])


def test_a_broken_connection_leaves_a_capture(platform, server):
    platform.write_devices([device("line", server.port, [{"id": "n0", "address": "holding:0", "data_type": "uint32"}])])
    platform.start()
    platform.log_in()
    wait_until(lambda: server.counts[0] > 5, what="some polls")
    assert platform.api.get("/api/v1/recordings")["recordings"] == []
    server.drop()
    saved = wait_until(lambda: platform.api.get("/api/v1/recordings")["recordings"], what="a capture")
    assert saved[0]["device_id"] == "line" and "closed" in saved[0]["reason"]
    capture = platform.api.request("GET", f"/api/v1/recordings/{saved[0]['name']}", 200).content
    assert capture[:4] == b"\x0a\x0d\x0d\x0a" and len(capture) == saved[0]["bytes"]
    assert b"\x03\x00\x00\x00\x02" in capture  # the request: function 3, address 0, two registers
    wait_until(lambda: state_of(platform, "line")["state"] == "online", what="the device being back")
