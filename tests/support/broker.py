"""A Mosquitto of the test's own."""
import contextlib
import os
import pathlib
import signal
import socket
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .process import Process, Processes, free_port, port_is_open, wait_until


class Mosquitto:
    """Memory-only queues: what it holds is gone with kill -9, which is what the durability tests want."""

    def __init__(self, processes: Processes, directory: pathlib.Path, port: int | None = None):
        self.processes, self.port = processes, port or free_port()
        self.config = directory / f"mosquitto-{self.port}.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 100000\nmax_inflight_messages 0\nset_tcp_nodelay true\n")
        self.process: Process | None = None

    def start(self) -> "Mosquitto":
        self.process = self.processes.start("mosquitto", "mosquitto", "-c", self.config)
        wait_until(lambda: port_is_open(self.port), what="mosquitto listening")
        return self

    def kill(self) -> None:
        self.process.kill()


class RabbitMq:
    """RabbitMQ with its MQTT plug-in, which is 3.1.1 without shared subscriptions. What it has is gone with kill -9: it
    starts in a folder of its own each time."""
    LAUNCHER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    #: What roles have to be told: gateway, ingest, core.
    SETTINGS = ["mqtt.version=3.1.1"]
    INGEST_SETTINGS = ["ingestion.batch_filter=nexus/v1/batch/#"]

    def __init__(self, processes: Processes, directory: pathlib.Path, port: int | None = None):
        assert self.LAUNCHER.exists(), "rabbitmq-server is not installed: tools/deps test"
        self.processes, self.directory, self.port = processes, directory, port or free_port()
        self.names, self.lives, self.process = free_port(), 0, None

    def start(self) -> "RabbitMq":
        self.lives += 1
        home = self.directory / f"rabbitmq-{self.lives}"
        home.mkdir()
        (home / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{free_port()}\nmqtt.listeners.tcp.local = 127.0.0.1:{self.port}\n"
            "mqtt.allow_anonymous = true\nmqtt.prefetch = 10000\nlog.console = true\n")
        env = {"HOME": str(home), "RABBITMQ_NODENAME": f"life{self.lives}x{self.port}@localhost", "ERL_EPMD_PORT": str(self.names),
               "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
               "RABBITMQ_LOG_BASE": str(home / "log"), "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
               "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"), "RABBITMQ_LOGS": "-",
               "RABBITMQ_CONF_ENV_FILE": str(home / "none")}
        if not port_is_open(self.names):  # its name server in the foreground, so that no daemon stays behind
            self.processes.start("epmd", "epmd", "-port", self.names, "-address", "127.0.0.1", env={"HOME": str(home)})
            wait_until(lambda: port_is_open(self.names), what="epmd listening")
        self.process = self.processes.start("rabbitmq", self.LAUNCHER, env=env)
        wait_until(lambda: port_is_open(self.port), 90, "RabbitMQ's MQTT listener")
        return self

    def kill(self) -> None:
        """The launcher is a shell: its child is the broker."""
        def below(pid: int) -> list[int]:
            children = [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            return [pid] + [d for c in children for d in below(c)]

        pids = below(self.process.pid)
        self.process.popen.send_signal(signal.SIGSTOP)  # it must not tidy up behind its child
        for pid in reversed(pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.popen.wait()
        wait_until(lambda: not port_is_open(self.port), what="the end of RabbitMQ")


class Listener:
    """Collects the messages of some filters."""

    def __init__(self, port: int, *filters: str, username: str | None = None, password: str | None = None):
        self.messages: list[tuple[str, bytes, bool]] = []
        self.latest: dict[str, bytes] = {}
        self.ready = threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        if username:
            self.client.username_pw_set(username, password)
        self.client.on_connect = lambda c, *_: c.subscribe([(f, 1) for f in filters])
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = self._on_message
        self.client.on_socket_open = lambda _c, _u, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self.ready.wait(10), "the test's own client could not subscribe"

    def _on_message(self, _client, _user, message) -> None:
        self.messages.append((message.topic, message.payload, message.retain))
        self.latest[message.topic] = message.payload

    def publish(self, topic: str, payload, qos: int = 1, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)

    def on(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.messages) if name == topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Publisher:
    """Messages in the order of sending, each acknowledged by the broker before the next."""

    def __init__(self, port: int):
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, topic: str, payload, content_type: str | None = None, retain: bool = False) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        if content_type:
            properties.ContentType = content_type
        self.client.publish(topic, payload, qos=1, retain=retain, properties=properties).wait_for_publish(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
