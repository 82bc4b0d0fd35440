"""The whole way of a value, from a Modbus server that others wrote (libmodbus), and the way of a write back to it."""
import json
import sqlite3
import subprocess
import threading

import pytest

from support.process import wait_until


class LibmodbusServer:
    """tests/interop/modbus_server: commands on its input, one line of answer each, `write ...` for what clients wrote."""

    def __init__(self, program):
        self.popen = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        self.port = int(wait_until(lambda: [x for x in self.lines if x.startswith("port ")], what="libmodbus")[0].split()[1])

    def _read(self) -> None:
        for line in self.popen.stdout:
            self.lines.append(line.strip())

    def command(self, text: str) -> None:
        self.popen.stdin.write(text + "\n")
        self.popen.stdin.flush()

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()


@pytest.fixture
def server(build_dir):
    server = LibmodbusServer(build_dir / "tests" / "interop" / "modbus_server")
    yield server
    server.close()


def test_a_value_of_libmodbus_arrives_everywhere_and_a_write_comes_back(platform, server):
    server.command("set hr 10 1234")
    platform.write_devices([{
        "id": "press", "protocol": "modbus-tcp", "uns_prefix": "acme/press", "poll_interval": "100ms",
        "connection": {"host": "127.0.0.1", "port": server.port},
        "tags": [{"id": "force", "address": "40011", "data_type": "uint16", "scale_factor": 0.1, "unit": "kN",
                  "access_mode": "readwrite"}]}])
    platform.start()
    platform.log_in()
    topic = "uns/acme/press/force"

    # mosquitto_sub, a program of others, sees it.
    seen = subprocess.run(["mosquitto_sub", "-p", str(platform.broker.port), "-t", topic, "-C", "1", "-W", "20"],
                          capture_output=True, text=True)
    message = json.loads(seen.stdout)
    assert message["value"] == 123.4 and message["quality"] == "good" and message["unit"] == "kN"

    # The API has it, live and stored; the historian's file holds its batch.
    wait_until(lambda: platform.api.get("/api/v1/devices/press/tags/force")["value"] == 123.4, what="the live value")
    history = lambda: platform.api.get("/api/v1/history:query", params={  # noqa: E731
        "tags": topic, "from": "2020-01-01T00:00:00Z", "fn": "raw"})["series"][0]["v"]
    wait_until(lambda: history() == [123.4], what="the stored value")
    with sqlite3.connect(f"file:{platform.history}/hist.db?mode=ro", uri=True) as db:
        assert db.execute("SELECT data_type, unit FROM series WHERE topic = ?", (topic,)).fetchone()[1] == "kN"
        assert db.execute("SELECT count(*) FROM ledger").fetchone()[0] >= 1

    # A change on the device follows the same way.
    server.command("set hr 10 2000")
    wait_until(lambda: history() == [123.4, 200.0], what="the changed value stored")

    # A write changes the register, is scaled back, and is answered with what was read back.
    answer = platform.api.post("/api/v1/devices/press/tags/force:write", {"value": 55.5}, 200).json()
    assert answer["success"] is True and answer["value"] == 55.5
    server.command("get hr 10")
    wait_until(lambda: any(line.split()[-1] == "555" for line in server.lines), what="the register at 555")
    wait_until(lambda: history()[-1] == 55.5, what="the written value stored")

    # Out of the register's range: refused with the reason, the register untouched.
    reply = platform.api.request("POST", "/api/v1/devices/press/tags/force:write", json={"value": 99999})
    assert reply.status_code == 422 and "range" in reply.text.lower()
    assert not any(line.startswith("write") for line in server.lines[-1:])
