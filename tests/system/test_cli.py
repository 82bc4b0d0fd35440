"""`nexus device|plan|tag|login` against a real platform: what they print, where, and their exit codes."""
import csv
import io
import json
import os
import subprocess

import pytest

from support.modbus_writable import WritableServer
from support.process import wait_until

PASSWORD = "correct horse battery"


class Cli:
    """Runs `nexus ...` with a home of its own."""

    def __init__(self, nexus, url, directory):
        self.nexus, self.home = nexus, directory / "home"
        self.home.mkdir(exist_ok=True)
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith("NEXUS_")},
                    "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"), "NEXUS_URL": url}

    def __call__(self, *arguments, code=0, stdin="", **env):
        done = subprocess.run([self.nexus, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60,
                              env={**self.env, **env}, cwd=self.home)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.error = done.stderr
        return done.stdout

    def json(self, *arguments, **more):
        return json.loads(self(*arguments, "-o", "json", **more))


@pytest.fixture
def plant(platform):
    server = WritableServer(64)
    device = {"id": "press", "protocol": "modbus-tcp", "uns_prefix": "acme/press", "poll_interval": "100ms",
              "connection": {"host": "127.0.0.1", "port": server.port},
              "tags": [{"id": "force", "address": "40001", "data_type": "uint16", "unit": "kN"},
                       {"id": "setpoint", "address": "40003", "data_type": "uint16", "access_mode": "readwrite",
                        "clamp_max": 1000}]}
    platform.write_devices([device])
    platform.start()
    platform.log_in()
    wait_until(lambda: platform.api.get("/api/v1/devices/press")["status"]["state"] == "online", what="the press online")
    yield platform
    server.close()


@pytest.fixture
def cli(plant, tmp_path):
    run = Cli(plant.nexus, plant.api.base, tmp_path)
    run("login", "--username", "admin", stdin=PASSWORD + "\n")
    return run


def test_login_keeps_a_secret_file_and_logout_removes_it(plant, cli):
    path = cli.home / "config" / "nexus" / "token.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["url"] == plant.api.base
    path.chmod(0o644)
    cli("device", "list", code=1)
    assert str(path) in cli.error
    path.chmod(0o600)
    cli("logout")
    assert not path.exists()
    cli("device", "list", code=4)
    assert "nexus login" in cli.error
    cli("login", "-u", "admin", stdin="wrong password\n", code=4)


def test_an_access_token_that_has_ended_is_renewed_once(plant, cli):
    path = cli.home / "config" / "nexus" / "token.json"
    pair = json.loads(path.read_text())
    path.write_text(json.dumps({**pair, "access_token": "stale"}))
    assert cli.json("device", "list")[0]["id"] == "press"
    renewed = json.loads(path.read_text())
    assert renewed["refresh_token"] != pair["refresh_token"] and renewed["access_token"] != "stale"


def test_a_token_is_not_shown_to_another_address(plant, cli, processes):
    cli("device", "list", "--url", f"http://localhost:{plant.http_port}", code=4)
    token = json.loads((cli.home / "config" / "nexus" / "token.json").read_text())["access_token"]
    assert "press" in cli("device", "list", "--url", f"http://localhost:{plant.http_port}", "--token", token)
    assert "press" in cli("device", "list", NEXUS_TOKEN=token, NEXUS_TOKEN_FILE="/nowhere")


def test_devices_in_every_form(plant, cli):
    table = cli("device", "list")
    assert table.splitlines()[0].split()[:3] == ["id", "name", "protocol"] and "press" in table and "\033" not in table
    rows = list(csv.DictReader(io.StringIO(cli("device", "list", "-o", "csv"))))
    assert rows[0]["id"] == "press" and rows[0]["state"] == "online" and rows[0]["tags"] == "2"
    assert cli.json("device", "show", "press")["connection"]["host"] == "127.0.0.1"
    assert "connection.host" in cli("device", "show", "press")
    assert cli.json("device", "test", "press")["ok"] is True
    cli("device", "browse", "press", code=1)
    assert "browse_unsupported" in cli.error and "hint:" in cli.error


def test_failures_have_their_codes_and_a_remedy(plant, cli):
    assert cli("device", "show", "nope", code=3) == "" and "device_not_found" in cli.error
    cli("device", "shwo", "press", code=2)
    assert "Did you mean 'show'?" in cli.error
    cli("device", "show", code=2)
    assert "usage: nexus device show DEVICE" in cli.error
    cli("device", "list", "-o", "xml", code=2)
    cli("device", "list", "--url", "127.0.0.1", code=2)
    cli("device", "list", NEXUS_URL="http://127.0.0.1:9", code=6)
    assert "--url" in cli.error
    assert "examples:" in cli("tag", "write", "--help")
    assert "watch" in cli("tag", "--help")


def test_tags_are_read_written_and_watched(plant, cli):
    values = {t["id"]: t for t in cli.json("tag", "read", "press")}
    assert set(values) == {"force", "setpoint"}
    assert "kN" in cli("tag", "read", "press/force")
    result = cli.json("tag", "write", "press/setpoint", 42, "--reason", "test", "--ttl", "3s")
    assert result["success"] is True and result["value"] == 42
    assert "42" in cli("tag", "write", "press/setpoint", 42, "--expected", 42)
    cli("tag", "write", "press/setpoint", 43, "--expected", 7, code=5)
    assert "value_changed" in cli.error
    cli("tag", "write", "press/setpoint", 5000, code=1)
    cli("tag", "write", "press/setpoint", -5, code=1)
    cli("tag", "write", "press/force", 1, code=5)
    cli("tag", "write", "press/nope", 1, code=3)
    cli("tag", "write", "press", 1, code=2)
    lines = cli("tag", "watch", "press/force", "--count", 3, "--interval", "100ms").splitlines()
    assert len(lines) == 3 and all("press/force = " in line for line in lines)
    for line in cli("tag", "watch", "press", "--count", 2, "-o", "json").splitlines():
        assert json.loads(line)["device_id"] == "press"


def test_an_export_imports_back_and_bad_rows_are_named(plant, cli):
    file = cli.home / "tags.csv"
    cli("tag", "export", "--file", file)
    cli("tag", "import", file)
    assert "2 as they were" in cli.error
    rows = list(csv.DictReader(file.open()))
    assert [r["id"] for r in rows] == ["force", "setpoint"] and rows[1]["clamp_max"] == "1000"
    assert rows[0]["address"] == "40001"

    file.write_text("id,address,data_type,unit\nspeed,40005,uint16,m/s\nodd,49999999,uint16,\n")
    report = cli("tag", "import", file, "--device", "press", code=1)
    assert "odd" in report and report.splitlines()[1].split()[0] == "3"
    assert cli.json("tag", "read", "press") and len(cli.json("tag", "read", "press")) == 2, "half an import was applied"
    cli("tag", "import", file, "--device", "press", "--best-effort", "--dry-run", code=1)
    assert len(cli.json("tag", "read", "press")) == 2
    cli("tag", "import", file, "--device", "press", "--best-effort", code=1)
    assert {t["id"] for t in cli.json("tag", "read", "press")} == {"force", "setpoint", "speed"}
    cli("tag", "import", file, code=1)
    assert "--device" in cli.error
    cli("tag", "import", cli.home / "none.csv", code=3)


def test_a_viewer_may_look_and_not_touch(plant, cli, tmp_path):
    plant.api.post("/api/v1/users", {"username": "vera", "password": PASSWORD, "role": "viewer"}, 201)
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    cli("login", "--username", "vera", "--password-file", secret)
    assert cli.json("device", "list")
    cli("tag", "write", "press/setpoint", 1, code=4)
    cli("device", "record", "press", code=4)


def test_a_plan_and_a_recording_are_explained(plant, cli):
    plan = cli.json("plan", "press")
    assert plan["device_id"] == "press" and {t["id"] for t in plan["tags"]} == {"force", "setpoint"}
    text = cli("device", "plan", "press")
    assert "requests" in text.splitlines()[0] and "holding" in text
    wait_until(lambda: cli.json("device", "record", "press")["exchanges"], what="something recorded")
    assert ">" in cli("device", "record", "press")
    capture = cli.home / "press.pcapng"
    cli("device", "record", "press", "--pcapng", capture)
    assert capture.read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    cli("device", "recordings")
