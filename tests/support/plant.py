"""A plant of counting devices behind a rig (tests/faults), for what happens between gateway and historian."""
import time

from . import books
from .ledger import Ledger, check_books
from .process import wait_until
from .proxy import Proxy

TAGS = 5


class Plant:
    """Some counting devices, each a poll in a batch of its own; where the broker is can be told for each role."""

    def __init__(self, rig, devices: int = 4, interval: str = "50ms"):
        self.rig, self.platform = rig, rig.platform
        self.sim = rig.simulator(devices, TAGS).start()
        self.names = [f"d{i}" for i in range(devices)]
        for i, name in enumerate(self.names):
            rig.device(name, self.sim, i + 1, TAGS, interval=interval, retry_count=0)
        self.platform.extra["gateway"] += ["mqtt.reconnect_min=50ms", "mqtt.reconnect_max=500ms", "mqtt.keep_alive=2s"]
        self.platform.extra["ingest"] += ["mqtt.keep_alive=2s"]

    def through(self, role: str, proxy: Proxy) -> Proxy:
        self.platform.extra[role].append(f"mqtt.broker_url=mqtt://127.0.0.1:{proxy.port}")
        return proxy

    def start(self) -> None:
        self.rig.start()
        self.rig.wait_online()
        wait_until(lambda: self.stored("d0")[-1:], what="a first stored value")

    def status(self) -> dict:
        return self.platform.status("gateway")

    def stored(self, name: str) -> list[int]:
        topic = f"uns/test/{name}/t0"
        return books.numbers(self.platform, [topic])[topic]

    def newest_age(self) -> float:
        """How old the newest stored value of a device is, in seconds."""
        now = time.time()
        reply = self.platform.api.post("/api/v1/history:query", {
            "tags": ["uns/test/d0/t0"], "from": int((now - 60) * 1000), "to": int((now + 60) * 1000), "fn": "raw",
            "max_points": 100000}).json()
        times = reply["series"][0]["t"] if reply["series"] else []
        return now - times[-1] / 1000 if times else 60.0

    def poll_on(self, count: int = 10) -> None:
        self.rig.wait_polls("d0", count)

    def finish(self, lost: int = 0) -> Ledger:
        """The devices go, the spool empties, then the books are made up, and an independent reader looks for each value."""
        for sim in (self.sim, self.rig.good):
            sim.process.kill()
        wait_until(lambda: all(s["status"] != "online" for s in self.rig.states().values()), 30, "the devices being gone")
        wait_until(lambda: self.status()["spool"]["records"] == 0, 90, "the spool being empty")
        ledger = check_books(self.platform)
        self.rig.check_sanitizers()
        for name in self.names:
            for topic, values in self.rig.numbers([f"uns/test/{name}/t{i}" for i in range(TAGS)]).items():
                books.check_counter(topic, values)
                assert len(books.missing(values)) <= lost, f"{topic}: missing {books.missing(values)[:20]}"
        return ledger
