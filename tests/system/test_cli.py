"""The commands for people, against a platform with a device that takes writes."""
import csv
import io
import json
import os
import subprocess

import pytest

from support.process import free_port, wait_until

TAGS = [{"id": f"t{i}", "address": f"holding:{i}", "data_type": "uint16", "unit": "°C", "access_mode": "readwrite"}
        for i in range(20)] + [{"id": "gone", "address": "holding:5000", "data_type": "uint16"}]


@pytest.fixture
def nexus(platform, processes, tmp_path):
    port = free_port()
    processes.start("sim", platform.nexus, "sim", "--port", port, "--load", 1, "--tags", 20, "--type", "uint16")
    platform.write_devices([{"id": "press", "protocol": "modbus-tcp", "uns_prefix": "acme/press", "poll_interval": "100ms",
                             "connection": {"host": "127.0.0.1", "port": port}, "tags": TAGS}])
    platform.start()
    platform.log_in()
    wait_until(lambda: platform.api.get("/api/v1/devices/press")["status"]["state"] == "online", what="the device being online")
    wait_until(lambda: platform.api.get("/api/v1/devices/press/tags/gone")["quality"] is not None, what="the bad tag's reason")
    token = platform.api.session.headers["Authorization"].split()[1]

    def run(*args, code=0, **more):
        env = {**os.environ, "NEXUS_URL": platform.api.base, "NEXUS_TOKEN": token, **more.pop("env", {})}
        done = subprocess.run([platform.nexus, *map(str, args)], capture_output=True, text=True, env=env, timeout=60, **more)
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done
    return run


def test_devices_are_listed_shown_and_tested(nexus):
    table = nexus("device", "list").stdout.splitlines()
    assert table[0].split()[:4] == ["DEVICE", "PROTOCOL", "STATE", "TAGS"] and table[1].split()[:4] == ["press", "modbus-tcp", "online", "21"]
    assert json.loads(nexus("device", "list", "-o", "json").stdout)[0]["id"] == "press"
    assert next(csv.DictReader(io.StringIO(nexus("device", "list", "--output=csv").stdout)))["DEVICE"] == "press"
    assert json.loads(nexus("device", "show", "press").stdout)["uns_prefix"] == "acme/press"
    steps = nexus("device", "test", "press", code=1).stdout  # one of its tags does not exist
    assert "session" in steps and "FAILED" in steps and "FIX" in steps


def test_a_plan_is_explained(nexus):
    text = nexus("plan", "press").stdout
    assert "read holding 0-19" in text and "1 holes" in text and "illegal data address" in text
    plan = json.loads(nexus("device", "plan", "press", "-o", "json").stdout)
    assert plan["cycle"]["requests"] == 1 and plan["cycle"]["holes"] == 1
    by_id = {t["id"]: t for t in plan["tags"]}
    assert by_id["gone"]["hole"] and by_id["t3"]["hole"] is None
    wait_until(lambda: {t["id"]: t for t in json.loads(nexus("plan", "press", "-o", "json").stdout)["tags"]}["t3"]["achieved_interval_ms"],
               what="an achieved rate")
    rows = list(csv.DictReader(io.StringIO(nexus("plan", "press", "-o", "csv").stdout)))
    assert len(rows) == 21 and {r["tag"]: r["address"] for r in rows}["t3"] == "holding:3"


def test_frames_are_shown_for_each_tag(nexus, tmp_path):
    text = nexus("device", "record", "press").stdout
    assert "read holding 0-19" in text and "t7: " in text
    file = tmp_path / "press.pcapng"
    assert "bytes in" in nexus("device", "record", "press", "--pcapng", file).stdout
    assert file.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


def test_values_are_read_written_and_watched(nexus, platform):
    table = nexus("tag", "read", "press/t1", "press/gone").stdout
    assert "press/t1" in table and "good" in table and "bad" in table and "°C" in table
    assert len(json.loads(nexus("tag", "read", "press", "-o", "json").stdout)) == 21
    assert "press/t2 is now" in nexus("tag", "write", "press/t2", 40000).stdout
    assert nexus("tag", "write", "press/t2", 70000, code=1).stderr
    assert nexus("tag", "write", "press/gone", 1, code=5).stderr
    assert nexus("tag", "write", "press/t2", 1, "--expected", 60001, code=5).stderr
    env = {**os.environ, "NEXUS_URL": platform.api.base, "NEXUS_TOKEN": platform.api.session.headers["Authorization"].split()[1]}
    watch = subprocess.Popen([platform.nexus, "tag", "watch", "press/t1", "--every", "100"], stdout=subprocess.PIPE, text=True, env=env)
    lines = [watch.stdout.readline() for _ in range(3)]
    watch.send_signal(2)
    assert watch.wait(20) == 0
    values = [int(line.split("press/t1 = ")[1].split()[0]) for line in lines]
    assert values == sorted(set(values)) and all("good" in line and "°C" in line for line in lines)


def test_tags_are_exported_changed_and_imported(nexus, tmp_path):
    rows = list(csv.DictReader(io.StringIO(nexus("tag", "export", "press").stdout)))
    by_id = {r["id"]: r for r in rows}
    assert len(rows) == 21 and by_id["t0"]["address"] == "holding:0"
    by_id["t0"]["unit"] = "bar"
    rows.append({**by_id["t1"], "id": "new-one", "address": "40012", "unit": "a, b"})
    rows.append({**by_id["t1"], "id": "wrong", "data_type": "uint61"})
    file = tmp_path / "tags.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    done = nexus("tag", "import", file, "--dry-run", code=1)
    assert "22 tags are right, 1 refused" in done.stdout and "press/wrong" in done.stderr and "'uint64'" in done.stderr
    assert len(json.loads(nexus("tag", "read", "press", "-o", "json").stdout)) == 21
    nexus("tag", "import", file, code=1)
    after = {r["id"]: r for r in csv.DictReader(io.StringIO(nexus("tag", "export", "press").stdout))}
    assert after["t0"]["unit"] == "bar" and after["new-one"]["unit"] == "a, b" and after["new-one"]["address"] == "40012"


def test_what_is_wrong_has_its_exit_code_and_remedy(nexus, platform):
    assert "Did you mean 'list'" in nexus("device", "lst", code=2).stderr
    assert "Did you mean --output" in nexus("device", "list", "--outptu", "csv", code=2).stderr
    assert "DEVICE/TAG" in nexus("tag", "write", "press", 1, code=2).stderr
    assert nexus("device", "show", "nobody", code=3).stderr
    assert nexus("tag", "read", "press/nobody", code=3).stderr
    assert "--user" in nexus("device", "list", code=4, env={"NEXUS_TOKEN": "wrong"}).stderr
    unreachable = nexus("device", "list", "--url", f"http://127.0.0.1:{free_port()}", code=6).stderr
    assert "no answer from" in unreachable and "NEXUS_URL" in unreachable
    password = {"NEXUS_PASSWORD": "correct horse battery", "NEXUS_TOKEN": ""}
    assert "press" in nexus("device", "list", "--user", "admin", env=password).stdout
    platform.roles["gateway"].kill()
    assert "gateway" in nexus("plan", "press", code=6).stderr
