"""`nexus up --demo`, as a newcomer runs it: the whole platform, its supervision, its messages."""
import os
import pathlib
import re
import signal

import pytest
import requests

from support.platform import Api
from support.process import free_port, port_is_open, wait_until


class Demo:
    def __init__(self, processes, build, directory):
        self.processes, self.nexus, self.data, self.port = processes, build / "nexus", directory / "data", free_port()
        self.api = Api(f"http://127.0.0.1:{self.port}")

    def start(self):
        self.up = self.processes.start("up", self.nexus, "up", "--demo", "--data", self.data, "--port", self.port)
        wait_until(lambda: port_is_open(self.port) or not self.up.is_running(), 60, "the core listening")
        assert self.up.is_running(), self.up.text()
        return self

    def children(self) -> dict[str, int]:
        """Pids of the supervised processes, by role."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                status, command = (entry / "status").read_text(), (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"PPid:\t{self.up.pid}\n" in status and len(command) > 1:
                name = "broker" if b"mosquitto" in command[0] else command[1].decode()
                found[name] = int(entry.name)
        return found


@pytest.fixture
def demo(processes, release_dir, tmp_path):
    return Demo(processes, release_dir, tmp_path)


def test_demo_comes_up_is_supervised_and_stops_in_order(demo):
    demo.start()
    code = (demo.data / "core" / "setup-code").read_text().strip()
    assert oct((demo.data / "core" / "setup-code").stat().st_mode & 0o777) == "0o600"
    demo.api.set_up(code)
    assert requests.post(f"{demo.api.base}/api/v1/auth/setup", timeout=10,
                         json={"code": code, "username": "eve", "password": "another password"}).status_code >= 400
    assert not (demo.data / "core" / "setup-code").exists()

    # The plant is there and alive.
    devices = wait_until(lambda: [d for d in demo.api.get("/api/v1/devices?limit=100")["items"]
                                  if d["status"]["state"] == "online"][7:] and demo.api.get("/api/v1/devices?limit=100")["items"],
                         30, "eight devices online")
    assert sum(d["tag_count"] for d in devices) >= 120
    assert demo.api.get("/api/v1/system/ingest")["broker"]["batches"]["state"] == "online"
    assert demo.api.get("/api/v1/system/dead-letters") == {"items": []}
    values = lambda: {v["topic"]: v["value"] for v in demo.api.get("/api/v1/uns/values?limit=1000")["items"]}  # noqa: E731
    first = wait_until(lambda: len(values()) >= 100 and values(), 30, "a hundred live values")
    wait_until(lambda: sum(values().get(t) != v for t, v in first.items()) >= 20, 30, "twenty values changing")

    # A killed child comes back by itself.
    before = demo.children()
    assert {"gateway", "ingest", "core", "sim", "broker"} <= set(before)
    os.kill(before["ingest"], signal.SIGKILL)
    wait_until(lambda: demo.children().get("ingest") not in (None, before["ingest"]), 30, "ingestion started again")

    # SIGINT stops everything, in the order of the flow, and leaves nothing behind.
    demo.up.popen.send_signal(signal.SIGINT)
    assert demo.up.popen.wait(40) == 0
    stopped = re.findall(r'"child":"(\w+)","msg":"child stopped"', demo.up.text())
    assert stopped == ["gateway", "ingest", "core", "sim", "broker"]
    for pid in before.values():
        assert not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2]

    # The second start knows the user and the history.
    demo.start()
    demo.api.log_in()
    topic = next(iter(first))
    series = demo.api.get("/api/v1/history:query", params={"tags": topic, "from": "2020-01-01T00:00:00Z"})["series"][0]
    assert series["raw_count"] >= 1


def test_children_end_with_the_supervisor(demo):
    """kill -9 of the supervisor must not leave a gateway that polls the plant a second time."""
    demo.start()
    wait_until(lambda: len(demo.children()) == 5, 30, "all children")
    children = demo.children()
    demo.up.kill()
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}/exe").exists() and
                               (pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z") for pid in children.values()),
               20, "the children gone")


def test_mistakes_on_the_command_line_name_the_remedy(demo, processes, release_dir, tmp_path):
    demo.start()
    same_data = processes.start("second", release_dir / "nexus", "up", "--data", demo.data, "--port", free_port())
    assert same_data.popen.wait(20) == 5 and "--data" in same_data.text()
    same_port = processes.start("third", release_dir / "nexus", "up", "--data", tmp_path / "other", "--port", demo.port)
    assert same_port.popen.wait(20) == 5
    assert f"port {demo.port} is in use" in same_port.text() and "--port" in same_port.text()
    typo = processes.start("fourth", release_dir / "nexus", "up", "--dmo")
    assert typo.popen.wait(20) == 2 and "Did you mean --demo?" in typo.text()
    command = processes.start("fifth", release_dir / "nexus", "gatway")
    assert command.popen.wait(20) == 2 and "Did you mean 'gateway'?" in command.text()
