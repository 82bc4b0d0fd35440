"""A gateway with several I/O threads (polling.threads): every device on one of them, nothing lost or doubled between them.

All devices read the same counter over connections of their own: each read that the server answers gives the next number to
exactly one device, so the numbers of all devices together must be 1, 2, 3, ... without a hole and without a double.
"""
import json
import os
import signal
import subprocess

import pytest

from support.broker import Listener
from support.modbus import CountingServer
from support.process import wait_until

DEVICES = 24


def device(i: int, port: int) -> dict:
    return {"id": f"d{i}", "protocol": "modbus-tcp", "uns_prefix": f"test/threads/d{i}", "poll_interval": "100ms",
            "connection": {"host": f"127.0.0.{i + 2}", "port": port, "timeout": "2s"},
            "tags": [{"id": "n", "address": "holding:0", "data_type": "uint32", "access_mode": "readwrite"}]}


@pytest.fixture
def server():
    server = CountingServer(1, host="0.0.0.0")
    yield server
    server.close()


def numbers(platform) -> list[int]:
    found = []
    for i in range(DEVICES):
        series = platform.api.get("/api/v1/history:query", params={
            "tags": f"uns/test/threads/d{i}/n", "from": "2020-01-01T00:00:00Z", "fn": "raw", "max_points": 100000})["series"]
        for one in series:
            found += [int(v) for v, q in zip(one["v"], one["q"]) if q >= 192 and v is not None]
    return found


def start(platform, server, threads: int, *roles: str) -> None:
    platform.write_devices([device(i, server.port) for i in range(DEVICES)])
    platform.extra["gateway"] = [f"polling.threads={threads}"]
    platform.start(*roles)
    if not roles:
        platform.log_in()
    wait_until(lambda: platform.status("gateway")["devices_online"] == DEVICES, what="every device being online")


def check_complete(platform, server) -> None:
    assert platform.roles["gateway"].stop(30) == 0
    asked = server.counts[0]  # what comes later belongs to the next gateway, and is still on its way when we look
    platform.start_role("gateway")
    missing = lambda found: set(range(1, asked + 1)) - set(found)  # noqa: E731
    # Reads that were under way at the stop have no value.
    wait_until(lambda: len(missing(numbers(platform))) <= DEVICES, 60, "the backlog being stored", every=0.5)
    found = numbers(platform)
    assert len(found) == len(set(found)), "stored twice"


def test_nothing_is_lost_or_doubled_between_threads(platform, server):
    start(platform, server, 3)
    status = platform.status("gateway")
    assert status["threads"] == 3 and status["devices"] == DEVICES
    assert (platform.directory / "spool-gateway.1").is_dir() and (platform.directory / "spool-gateway.2").is_dir()
    wait_until(lambda: server.counts[0] > 30 * DEVICES, what="some polls")
    metrics = platform.metrics("gateway")
    assert metrics["gateway_devices_online"] == DEVICES == metrics["gateway_devices_registered"]
    polls = [v for k, v in metrics.items() if k.startswith("gateway_polling_polls_total") and "success" in k]
    assert len(polls) == DEVICES and sum(polls) > 30 * DEVICES * 0.8
    states = platform.api.get("/api/v1/devices", params={"limit": 100})["items"]
    assert [s["id"] for s in states if s["status"]["state"] != "online"] == []
    check_complete(platform, server)


def test_each_command_is_answered_once(platform, server):
    start(platform, server, 3)
    listener = Listener(platform.broker.port, "$nexus/cmd/response/#")
    for i in range(DEVICES):
        listener.publish(f"$nexus/cmd/d{i}/n/set", json.dumps({"value": 7, "id": f"c{i}"}), qos=2)
    listener.publish("$nexus/cmd/nobody/n/set", json.dumps({"value": 7, "id": "x"}), qos=2)
    wait_until(lambda: len(listener.messages) >= DEVICES, what="the answers")
    answers = [json.loads(payload) for _, payload, _ in listener.messages]
    assert sorted(a["id"] for a in answers) == sorted(f"c{i}" for i in range(DEVICES))
    assert all(not a["success"] and a["code"] for a in answers)  # this server takes no writes
    listener.close()


def test_devices_move_and_go_while_the_others_go_on(platform, server):
    start(platform, server, 3, "gateway", "ingest")  # without the core the file stays the truth
    listener = Listener(platform.broker.port, "$nexus/status/devices/+")
    wait_until(lambda: len(listener.latest) == DEVICES, what="the status of every device")
    devices = [device(i, server.port) for i in range(DEVICES)]
    for i in range(4):  # other connections: some of them on other threads
        devices[i]["connection"]["host"] = f"127.0.1.{i + 2}"
    bad = {**devices[5], "connection": {"hots": "x"}}
    platform.write_devices(devices[:5] + [bad] + devices[6:-1])
    before, asked = platform.metrics("gateway"), server.counts[0]
    os.kill(platform.roles["gateway"].pid, signal.SIGHUP)
    gone = f"$nexus/status/devices/d{DEVICES - 1}"
    wait_until(lambda: listener.latest[gone] == b"", what="the removed device's status being cleared")
    wait_until(lambda: b"hots" in listener.latest["$nexus/status/devices/d5"], what="the refused definition being told")
    wait_until(lambda: platform.status("gateway")["devices_online"] == DEVICES - 1, what="the moved ones being online")
    for i in range(4):
        wait_until(lambda i=i: json.loads(listener.latest[f"$nexus/status/devices/d{i}"])["status"] == "online")
    skipped = "gateway_polling_polls_skipped_total"  # a machine under load skips some at any time
    assert platform.metrics("gateway")[skipped] - before[skipped] <= 0.1 * (server.counts[0] - asked)
    plan = platform.api_gateway(f"/admin/v1/devices/d{DEVICES - 2}/plan")
    assert plan["cycle"]["requests"] == 1 and plan["tags"][0]["id"] == "n"
    recorder = platform.api_gateway("/admin/v1/devices/d0/recorder")
    assert recorder["exchanges"] and "n" in [t["id"] for x in recorder["exchanges"] for t in x["tags"]]
    listener.close()


def test_expressions_see_devices_of_other_threads(platform, server):
    """Devices that an expression connects are polled by one thread, also when they were placed before it named them."""
    devices = [device(i, server.port) for i in range(DEVICES)]
    names = " + ".join(f'tag("d{i}/n")' for i in range(0, DEVICES, 3))
    devices[-1]["tags"].append({"id": "sum", "data_type": "float64", "expression": names})
    platform.write_devices(devices)
    platform.extra["gateway"] = ["polling.threads=3"]
    platform.start("gateway", "ingest")
    wait_until(lambda: platform.status("gateway")["devices_online"] == DEVICES, what="every device being online")
    listener = Listener(platform.broker.port, f"uns/test/threads/d{DEVICES - 1}/sum")
    wait_until(lambda: len([m for m in listener.messages if json.loads(m[1])["quality"] == "good"]) > 5, what="sums")
    sums = [json.loads(m[1])["value"] for m in listener.messages if json.loads(m[1])["quality"] == "good"]
    assert sums == sorted(sums) and sums[-1] > sums[0]
    listener.close()


def test_wrong_settings_end_with_their_reason(platform, server):
    """Before any thread runs: a file that cannot be read, a port that is taken."""
    platform.write_devices([])
    platform.broker.start()
    for extra, reason in ((["devices.config_path=/nowhere/devices.yaml"], "/nowhere/devices.yaml"), ([f"http.port={server.port}"], str(server.port))):
        run = subprocess.run([platform.nexus, "gateway", *platform.sets("gateway"), "--set", "polling.threads=3", "--set", extra[0]],
                             capture_output=True, text=True, timeout=60)
        assert run.returncode in (1, 3, 5, 6) and reason in run.stderr and "Sanitizer" not in run.stderr, run.stderr[-2000:]


def test_spools_of_more_threads_are_emptied_by_fewer(platform, server):
    start(platform, server, 3)
    platform.roles["ingest"].kill()
    wait_until(lambda: server.counts[0] > 30 * DEVICES, what="a backlog")
    platform.roles["gateway"].kill()
    platform.extra["gateway"] = ["polling.threads=1"]
    platform.start_role("gateway")
    platform.start_role("ingest")
    wait_until(lambda: platform.status("gateway")["devices_online"] == DEVICES, what="every device being online")
    check_complete(platform, server)
