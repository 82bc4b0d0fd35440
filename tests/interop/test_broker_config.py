"""The Mosquitto that `nexus up` prepares: users, access rules and bounds, tried with a client written by others."""
import json
import os
import pathlib
import stat
import subprocess
import threading

import paho.mqtt.client as paho
import pytest

from support.process import free_port, port_is_open, wait_until

USERS = ("gateway", "ingest", "core", "operator")


def prepare(build_dir, data: pathlib.Path, port: int) -> dict:
    done = subprocess.run([build_dir / "tests/interop/broker_probe", data, str(port)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Client:
    """A paho client of one user; remembers what the broker answered."""

    def __init__(self, info: dict, user: str, password: str | None = None):
        self.user, self.messages, self.ready = user, [], threading.Event()
        self.refused = None
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"test-{user}", protocol=paho.MQTTv5)
        if password is None:
            password = pathlib.Path(info["secrets"], f"mqtt-{user}").read_text()
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._on_connect
        self.client.on_message = lambda _c, _u, m: self.messages.append(m.topic)
        self.client.connect("127.0.0.1", info["port"])
        self.client.loop_start()
        assert self.ready.wait(10)

    def _on_connect(self, _client, _user, _flags, reason, _properties):
        self.refused = reason if reason.is_failure else None
        self.ready.set()

    def subscribe(self, *filters: str) -> None:
        """Returns when the broker has answered."""
        answered = threading.Event()
        self.client.on_subscribe = lambda *_: answered.set()
        self.client.subscribe([(f, 1) for f in filters])
        assert answered.wait(10)

    def publish(self, topic: str, **more) -> bool:
        """True when the broker took it: MQTT 5 says "not authorized" in PUBACK."""
        codes, answered = [], threading.Event()

        def on_publish(_client, _user, _mid, reason, _properties):
            codes.append(reason)
            answered.set()

        self.client.on_publish = on_publish
        self.client.publish(topic, b"x", 1, **more)
        assert answered.wait(10)
        return not codes[0].is_failure

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def info(processes, build_dir, tmp_path):
    prepared = prepare(build_dir, tmp_path / "data", free_port())
    processes.start("mosquitto", prepared["program"], "-c", prepared["config"])
    wait_until(lambda: port_is_open(prepared["port"]), what="mosquitto listening")
    return prepared


@pytest.fixture
def client(info):
    clients = []

    def make(user: str, password: str | None = None) -> Client:
        clients.append(Client(info, user, password))
        return clients[-1]

    yield make
    for c in clients:
        c.close()


def test_files_are_private_and_kept(build_dir, tmp_path):
    data = tmp_path / "data"
    first = prepare(build_dir, data, free_port())
    secrets = {u: pathlib.Path(first["secrets"], f"mqtt-{u}").read_text() for u in USERS}
    assert len(set(secrets.values())) == len(USERS) and all(len(s) == 32 for s in secrets.values())
    for path in [*pathlib.Path(first["secrets"]).iterdir(), *pathlib.Path(first["config"]).parent.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for directory in (data / "secrets", data / "broker"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    second = prepare(build_dir, data, first["port"])
    assert second == first
    assert secrets == {u: pathlib.Path(first["secrets"], f"mqtt-{u}").read_text() for u in USERS}
    passwords = pathlib.Path(first["config"]).with_name("passwd").read_text()
    assert passwords.count(":$7$") == len(USERS)
    assert not any(secret in passwords for secret in secrets.values())


def test_taken_port_is_avoided(info, build_dir, tmp_path):
    other = prepare(build_dir, tmp_path / "other", info["port"])
    assert other["port"] != info["port"] and not port_is_open(other["port"])


def test_readable_secret_is_refused(build_dir, tmp_path):
    data = tmp_path / "data"
    prepared = prepare(build_dir, data, free_port())
    os.chmod(pathlib.Path(prepared["secrets"], "mqtt-core"), 0o644)
    done = subprocess.run([build_dir / "tests/interop/broker_probe", data, "0"], capture_output=True, text=True)
    assert done.returncode == 1 and "mqtt-core" in done.stderr and "chmod 600" in done.stderr


def test_only_loopback_listens(info):
    config = pathlib.Path(info["config"]).read_text()
    assert f"listener {info['port']} 127.0.0.1\n" in config
    assert "allow_anonymous false" in config


def test_strangers_are_refused(client):
    assert client("operator", "wrong").refused
    assert client("admin", "admin").refused
    assert client("", "").refused


def test_every_user_can_log_in(client):
    for user in USERS:
        assert client(user).refused is None


# user, topic, may publish
PUBLISHING = [
    ("gateway", "uns/plant/line/temperature", True),
    ("gateway", "dev/plant/line/temperature", True),
    ("gateway", "spBv1.0/group/NDATA/edge", True),
    ("gateway", "nexus/v1/batch/gw/0", True),
    ("gateway", "nexus/v1/ack/gw", False),
    ("gateway", "$nexus/status/devices/d", True),
    ("gateway", "$nexus/cmd/d/t/set", False),
    ("gateway", "$nexus/cmd/response/d/t", True),
    ("gateway", "$nexus/config/devices/d/updated", False),
    ("gateway", "$nexus/config/sync/request", True),
    ("gateway", "elsewhere", False),
    ("ingest", "nexus/v1/ack/gw", True),
    ("ingest", "nexus/v1/batch/gw/0", False),
    ("ingest", "uns/plant/line/temperature", False),
    ("ingest", "$nexus/cmd/d/t/set", False),
    ("core", "$nexus/cmd/d/t/set", True),
    ("core", "$nexus/config/devices/d/updated", True),
    ("core", "nexus/v1/ack/gw", False),
    ("core", "uns/plant/line/temperature", False),
    ("operator", "$nexus/cmd/d/t/set", True),
    ("operator", "$nexus/config/devices/d/updated", False),
    ("operator", "nexus/v1/ack/gw", False),
    ("operator", "uns/plant/line/temperature", False),
]


def test_who_may_publish_what(client):
    clients = {user: client(user) for user in USERS}
    found = [(user, topic, clients[user].publish(topic)) for user, topic, _ in PUBLISHING]
    assert found == PUBLISHING


def test_who_hears_what(client):
    """Mosquitto answers a subscription without asking the rules and then withholds the messages."""
    everything = ("uns/#", "dev/#", "nexus/#", "$nexus/#", "$share/ingestion/nexus/v1/batch/#")
    clients = {user: client(user) for user in USERS}
    for c in clients.values():
        c.subscribe(*everything)
    sent = {"gateway": ["uns/a", "nexus/v1/batch/gw/0", "$nexus/status/devices/d", "$nexus/cmd/response/d/t"],
            "ingest": ["nexus/v1/ack/gw"],
            "core": ["$nexus/cmd/d/t/set", "$nexus/config/devices/d/updated"]}
    for user, topics in sent.items():
        for topic in topics:
            assert clients[user].publish(topic)
    heard = {
        "gateway": {"nexus/v1/ack/gw", "$nexus/cmd/response/d/t", "$nexus/cmd/d/t/set",
                    "$nexus/config/devices/d/updated"},
        "ingest": {"uns/a", "nexus/v1/batch/gw/0", "nexus/v1/ack/gw"},
        "core": {t for topics in sent.values() for t in topics},
        "operator": {t for topics in sent.values() for t in topics},
    }
    wait_until(lambda: all(heard[u] <= set(clients[u].messages) for u in USERS), what="the messages that are allowed")
    # What is withheld would have come by now: another allowed message, sent later, has.
    clients["core"].publish("$nexus/cmd/last/t/set")
    clients["gateway"].publish("uns/last")
    wait_until(lambda: "uns/last" in clients["ingest"].messages and "$nexus/cmd/last/t/set" in clients["gateway"].messages)
    for user in ("gateway", "ingest"):
        assert set(clients[user].messages) - {"uns/last", "$nexus/cmd/last/t/set"} == heard[user]


def test_retained_status_is_kept(client):
    gateway = client("gateway")
    assert gateway.publish("$nexus/status/gateways/gw", retain=True)
    core = client("core")
    core.subscribe("$nexus/status/#")
    wait_until(lambda: "$nexus/status/gateways/gw" in core.messages)
