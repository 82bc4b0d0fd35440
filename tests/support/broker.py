"""A Mosquitto of the test's own."""
import pathlib
import socket
import threading

import paho.mqtt.client as mqtt

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
