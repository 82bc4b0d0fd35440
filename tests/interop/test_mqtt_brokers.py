"""Our MQTT client (mqtt_probe) against brokers written by others: Mosquitto (3.1.1 and 5) and RabbitMQ (3.1.1)."""
import json
import os
import pathlib
import shutil
import subprocess

import paho.mqtt.client as paho
import pytest

from support.certificates import Authority
from support.process import Processes, free_port, port_is_open, wait_until
from support.rabbitmq import PASSWORD, USER, RabbitMq


class Probe:
    """One mqtt_probe: commands in, events out."""

    def __init__(self, processes, build_dir, port, host="127.0.0.1", **options):
        options = {"user": USER, "password": PASSWORD, **options}
        words = [f"{key}={value}" for key, value in options.items() if value is not None]
        self.process = processes.start("probe", build_dir / "tests/interop/mqtt_probe", host, port, *words,
                                       stdin=subprocess.PIPE)
        self.seen = 0

    def say(self, line: str) -> None:
        self.process.popen.stdin.write(line.encode() + b"\n")
        self.process.popen.stdin.flush()

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.process.text().splitlines()
                if line.startswith('{"event"') and line.endswith("}")]

    def all(self, event: str) -> list[dict]:
        return [e for e in self.events() if e["event"] == event]

    def wait(self, event: str, count: int = 1, timeout: float = 20) -> dict:
        """The count-th event of this name since the start."""
        wait_until(lambda: len(self.all(event)) >= count, timeout, f"{count} x {event!r} from the probe")
        return self.all(event)[count - 1]

    def texts(self) -> list[str]:
        return [e["text"] for e in self.all("message")]

    def stop(self, will: bool = False) -> None:
        self.say("stop-with-will" if will else "stop")
        self.process.popen.wait(10)
        assert self.process.popen.returncode == 0, self.process.text()


class Mosquitto:
    name = "mosquitto"

    def __init__(self, processes, directory: pathlib.Path, more: str = ""):
        self.processes, self.directory, self.port = processes, directory, free_port()
        passwords = directory / "passwd"
        passwords.touch(mode=0o600)
        subprocess.run(["mosquitto_passwd", "-b", passwords, USER, PASSWORD], check=True)
        self.config = directory / "mosquitto.conf"
        root = "user root\n" if os.geteuid() == 0 else ""
        self.config.write_text(
            f"{root}listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
            f"persistence false\nmax_inflight_messages 0\nmax_queued_messages 100000\n{more}")

    def start(self) -> "Mosquitto":
        self.process = self.processes.start("mosquitto", program("mosquitto"), "-c", self.config)
        wait_until(lambda: port_is_open(self.port), what="mosquitto listening")
        return self


def program(name: str) -> str:
    """Debian keeps servers in /usr/sbin, which is not in everybody's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed: tools/deps test"
    return found


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory):
    assert RabbitMq.LAUNCHER.exists(), "rabbitmq-server is not installed: tools/deps test"
    directory = tmp_path_factory.mktemp("rabbitmq")
    processes = Processes(directory)
    try:
        yield RabbitMq(processes, directory).start()
    finally:
        processes.stop_all()


@pytest.fixture
def mosquitto(processes, tmp_path):
    return Mosquitto(processes, tmp_path).start()


@pytest.fixture(params=["mosquitto-311", "mosquitto-5", "rabbitmq-311"])
def link(request, processes, build_dir):
    """Makes probes for a broker and version: link(id="a")."""
    broker, version = request.param.rsplit("-", 1)
    server = request.getfixturevalue(broker)

    def connect(online=True, **options) -> Probe:
        probe = Probe(processes, build_dir, server.port, version=5 if version == "5" else 3, **options)
        if online:
            probe.wait("online")
        return probe

    connect.broker, connect.version = server, version
    return connect


def test_wrong_password_is_explained(link):
    probe = link(online=False, id="intruder", password="wrong")
    event = probe.wait("waiting")
    assert event["error"] in ("AUTH", "DENIED")
    assert "mqtt.username" in event["why"] and "next attempt" in event["why"]
    assert not probe.all("online")


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_round_trip(link, qos):
    reader = link(id=f"reader{qos}", clean=1)
    writer = link(id=f"writer{qos}", clean=1)
    reader.say(f"sub round/{qos}/# 2")
    reader.say("sub ready 1")
    # The broker answers filters in order, so a message on the second one proves the first.
    wait_until(lambda: writer.say("pub 1 0 ready now") or reader.all("message"), every=0.1, what="the subscription")
    writer.say(f"pub {qos} 0 round/{qos}/topic hello")
    message = wait_until(lambda: [m for m in reader.all("message") if m["topic"] == f"round/{qos}/topic"])[0]
    granted = min(qos, 1) if link.broker.name == "rabbitmq" else qos  # RabbitMQ has no QoS 2
    assert message["text"] == "hello" and message["qos"] == granted
    assert {d["error"] for d in writer.all("done")} == {""}
    reader.stop()
    writer.stop()


def test_retained_message_and_foreign_client(link):
    received = []
    foreign = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="foreign")
    foreign.username_pw_set(USER, PASSWORD)
    foreign.on_connect = lambda c, *_: c.subscribe("kept/ours", 1)
    foreign.on_message = lambda _c, _u, m: received.append(m.payload)
    foreign.connect("127.0.0.1", link.broker.port)
    foreign.loop_start()
    foreign.publish("kept/theirs", b"from paho", 1, retain=True).wait_for_publish(10)
    probe = link(id="kept", clean=1)
    probe.say("sub kept/theirs 1")
    message = probe.wait("message")
    assert message["retain"] and message["text"] == "from paho"
    wait_until(lambda: probe.say("pub 1 0 kept/ours from us") or b"from us" in received, every=0.1)
    foreign.disconnect()
    foreign.loop_stop()
    probe.stop()


def test_session_survives_the_reader(link):
    reader = link(id="sleeper", expiry=600)
    reader.say("sub sleep/# 1")
    writer = link(id="waker", clean=1)
    wait_until(lambda: writer.say("pub 1 0 sleep/probe ready") or reader.all("message"), every=0.1)
    reader.process.kill()
    for i in range(10):
        writer.say(f"pub 1 0 sleep/{i} n{i}")
    wait_until(lambda: len(writer.all("done")) >= 11, what="all publications taken")
    again = link(id="sleeper", expiry=600)
    assert again.all("online")[0]["session_present"]
    wait_until(lambda: [t for t in again.texts() if t != "ready"] == [f"n{i}" for i in range(10)])
    again.stop()
    writer.stop()


def test_unacknowledged_messages_come_again(link):
    reader = link(id="slow", expiry=600, hold=1)
    reader.say("sub slow/# 1")
    writer = link(id="fast", clean=1)
    wait_until(lambda: writer.say("pub 1 0 slow/x ready") or reader.all("message"), every=0.1)
    for i in range(20):
        writer.say(f"pub 1 0 slow/x n{i}")
    wanted = [f"n{i}" for i in range(20)]
    wait_until(lambda: [t for t in reader.texts() if t != "ready"] == wanted)
    reader.process.kill()
    again = link(id="slow", expiry=600, hold=1)
    wait_until(lambda: [t for t in again.texts() if t != "ready"] == wanted)
    assert all(m["dup"] for m in again.all("message"))
    again.say("ack")
    again.stop()  # acknowledgements leave before the connection ends
    last = link(id="slow", expiry=600)
    writer.say("pub 1 0 slow/x end")
    wait_until(lambda: "end" in last.texts())
    assert last.texts() == ["end"]
    last.stop()
    writer.stop()


def test_will_speaks_when_the_client_is_killed(link):
    watcher = link(id="watcher", clean=1)
    watcher.say("sub fate/# 1")
    helper = link(id="helper", clean=1)
    wait_until(lambda: helper.say("pub 1 0 fate/ready ready") or watcher.all("message"), every=0.1)

    def fates():
        return [m["topic"] for m in watcher.all("message") if m["text"] == "gone"]

    killed = link(id="killed", clean=1, will_topic="fate/killed", will="gone")
    killed.process.kill()
    wait_until(lambda: fates() == ["fate/killed"])
    left = link(id="left", clean=1, will_topic="fate/left", will="gone")
    left.stop()
    willing = link(id="willing", clean=1, will_topic="fate/willing", will="gone")
    willing.stop(will=True)
    wait_until(lambda: "fate/willing" in fates())
    assert fates() == ["fate/killed", "fate/willing"]
    helper.stop()
    watcher.stop()


def test_large_payloads(link):
    reader = link(id="large-in", clean=1)
    reader.say("sub large/# 1")
    writer = link(id="large-out", clean=1)
    wait_until(lambda: writer.say("pub 1 0 large/x ready") or reader.all("message"), every=0.1)
    writer.say("flood 1 large/y 50 65536")
    wait_until(lambda: len([m for m in reader.all("message") if m["bytes"] == 65536]) == 50)
    assert writer.wait("flooded")["count"] == 50
    reader.stop()
    writer.stop()


def test_broker_killed_and_back(processes, build_dir, tmp_path):
    broker = Mosquitto(processes, tmp_path).start()
    reader = Probe(processes, build_dir, broker.port, id="r", expiry=600)
    writer = Probe(processes, build_dir, broker.port, id="w", expiry=600, window=500)
    reader.say("sub back/# 1")
    reader.wait("online")
    writer.wait("online")
    writer.say("flood 1 back/x 3000 100")
    broker.process.kill()
    assert writer.wait("waiting")["why"]
    broker.start()
    # Every publication ends well although the broker forgot all of it: sent again, or published anew.
    assert writer.wait("flooded")["count"] == 3000
    reader.wait("online", 2)
    wait_until(lambda: writer.say("pub 1 0 back/y again") or "again" in reader.texts(), every=0.2,
               what="the subscription made again")
    assert not reader.all("online")[1]["session_present"]


def test_shared_subscription(processes, build_dir, mosquitto):
    readers = [Probe(processes, build_dir, mosquitto.port, id=f"share{i}", clean=1) for i in range(2)]
    writer = Probe(processes, build_dir, mosquitto.port, id="sharer", clean=1, window=1000)
    for reader in readers:
        reader.say("sub $share/group/line/# 1")
        reader.say("sub ready 1")
    wait_until(lambda: writer.say("pub 1 0 ready now") or all(r.all("message") for r in readers), every=0.1)
    for i in range(100):
        writer.say(f"pub 1 0 line/{i} n{i}")

    def work():
        return [[t for t in r.texts() if t != "now"] for r in readers]

    wait_until(lambda: sum(map(len, work())) >= 100)
    assert sorted(work()[0] + work()[1]) == sorted(f"n{i}" for i in range(100))
    assert all(work())


def test_tls(processes, build_dir, tmp_path):
    Authority(tmp_path).issue("server", "localhost", "DNS:localhost")
    Authority(tmp_path, "other")
    broker = Mosquitto(processes, tmp_path, f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n").start()
    good = Probe(processes, build_dir, broker.port, host="localhost", ca=tmp_path / "ca.pem", id="tls", clean=1)
    good.say("sub tls 1")
    good.wait("online")
    wait_until(lambda: good.say("pub 1 0 tls sealed") or "sealed" in good.texts(), every=0.1)
    good.stop()
    wrong_ca = Probe(processes, build_dir, broker.port, host="localhost", ca=tmp_path / "other.pem")
    assert wrong_ca.wait("waiting")["error"] == "TLS"
    wrong_name = Probe(processes, build_dir, broker.port, host="127.0.0.1", ca=tmp_path / "ca.pem")
    assert wrong_name.wait("waiting")["error"] == "TLS"
    assert not wrong_ca.all("online") and not wrong_name.all("online")


def test_takeover_is_explained(processes, build_dir, mosquitto):
    first = Probe(processes, build_dir, mosquitto.port, id="twin", clean=1)
    first.wait("online")
    second = Probe(processes, build_dir, mosquitto.port, id="twin", clean=1)
    second.wait("online")
    event = first.wait("waiting")
    assert event["error"] in ("CONFLICT", "CLOSED") and "mqtt.client_id" in event["why"]


def test_throughput(processes, build_dir, mosquitto, capsys):
    count = 50000
    reader = Probe(processes, build_dir, mosquitto.port, id="sink", clean=1, receive_max=5000)
    writer = Probe(processes, build_dir, mosquitto.port, id="source", clean=1, window=5000)
    reader.say("sub ready 1")
    reader.say("sub speed/# 1")
    reader.wait("online")
    writer.wait("online")
    wait_until(lambda: writer.say("pub 1 0 speed/y now") or "now" in reader.texts(), every=0.1)
    quiet = len(reader.texts())
    wait_until(lambda: len(writer.all("done")) >= quiet and len(reader.texts()) == len(writer.all("done")))
    reader.say(f"expect {count}")
    writer.say(f"flood 1 speed/x {count} 100")
    sent, got = writer.wait("flooded", timeout=60), reader.wait("expected", timeout=60)
    assert got["count"] == count
    with capsys.disabled():
        print(f"\nmqtt: {count} QoS 1 messages of 100 B through Mosquitto: {count / got['seconds']:.0f} msg/s, "
              f"CPU per message: publish {sent['cpu_seconds'] / count * 1e6:.2f} us, "
              f"receive {got['cpu_seconds'] / count * 1e6:.2f} us")
