"""A platform, devices that misbehave, and a healthy one beside them that must not notice.

NEXUS_ROUNDS sets how many random rounds each test makes (few in `make test`, 20 and more in `make chaos`), NEXUS_SEED
repeats a run.
"""
import os
import random

import pytest

from support import books
from support.load import Load
from support.process import wait_until


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("NEXUS_SEED", random.randrange(1 << 32)))
    print(f"NEXUS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def rounds():
    """rounds(brief): that many, or NEXUS_ROUNDS."""
    return lambda brief: int(os.environ.get("NEXUS_ROUNDS", brief))


class Rig:
    """`bad` misbehaves; `good` is one device with one tag, which every test watches."""

    def __init__(self, platform, processes, build_dir):
        self.platform, self.processes, self.build_dir = platform, processes, build_dir
        self.devices: list[dict] = []
        self.good = Load(processes, build_dir, 1, 1)
        # Attempts follow each other closely, so that many faults fit into a short test.
        platform.extra["gateway"] = ["polling.reconnect_min=50ms", "polling.reconnect_max=500ms"]

    def simulator(self, devices: int, tags: int, *options) -> Load:
        return Load(self.processes, self.build_dir, devices, tags, *options)

    def device(self, name: str, sim: Load, unit: int, tags: int, step: int = 1, kind: str = "uint16", host: str | None = None,
               interval: str = "100ms", **connection) -> dict:
        """A device of a simulator; by default with a connection of its own. step: registers from tag to tag."""
        place = {"serial_port": str(sim.pty)} if sim.pty else {"host": host or f"127.0.0.{unit + 1}", "port": sim.port}
        one = {"id": name, "protocol": "modbus-rtu" if sim.pty else "modbus-tcp", "uns_prefix": f"test/{name}",
               "poll_interval": interval,
               "connection": {**place, "unit_id": unit, "timeout": "300ms", "breaker": {"requests": 0}, **connection},
               "tags": [{"id": f"t{i}", "address": f"holding:{i * step}", "data_type": kind} for i in range(tags)]}
        self.devices.append(one)
        return one

    def start(self, *roles: str) -> None:
        self.good.start()
        self.device("good", self.good, 1, 1, host="127.0.1.1")
        self.platform.write_devices(self.devices)
        self.platform.start(*roles)
        if not roles:
            self.platform.log_in()

    def state(self, name: str) -> dict:
        """What the gateway itself says of a device, now."""
        return next(d for d in self.platform.api_gateway("/admin/v1/devices")["items"] if d["device_id"] == name)

    def states(self) -> dict[str, dict]:
        return {d["device_id"]: d for d in self.platform.api_gateway("/admin/v1/devices")["items"]}

    def wait_online(self, *names: str, guard: float = 30) -> None:
        names = names or [d["id"] for d in self.devices]
        wait_until(lambda: all(s["status"] == "online" for n, s in self.states().items() if n in names), guard,
                   f"{names} being online")

    def wait_polls(self, name: str, n: int, guard: float = 30) -> None:
        """n more polls of it succeed."""
        target = self.state(name)["stats"]["polls_ok"] + n
        wait_until(lambda: self.state(name)["stats"]["polls_ok"] >= target, guard, f"{n} polls of {name}")

    def numbers(self, topics: list[str]) -> dict[str, list[int]]:
        """What is stored, by a second reader of the files and by the API alike."""
        return books.stored_numbers(self.platform, topics)

    def finish(self) -> None:
        """The gateway stops in order and starts again without devices, so that every value reaches the historian."""
        assert self.platform.roles["gateway"].stop(30) == 0
        self.check_sanitizers()
        self.platform.write_devices([])
        self.platform.extra["gateway"].append("devices.sync=false")
        self.platform.start_role("gateway")
        wait_until(lambda: self.platform.status("gateway")["spool"]["records"] == 0, 60, "the spool being empty")

    def check_sanitizers(self) -> None:
        for process in self.processes.all:
            text = process.text()
            assert "Sanitizer" not in text and "runtime error" not in text, f"{process.name}: {text[-4000:]}"

    def check_good(self, lost: int = 0) -> None:
        """The healthy neighbour has missed nothing, or at most so many."""
        values = self.numbers(["uns/test/good/t0"])["uns/test/good/t0"]
        books.check_counter("good", values)
        assert len(books.missing(values)) <= lost, books.missing(values)


@pytest.fixture
def rig(platform, processes, build_dir) -> Rig:
    return Rig(platform, processes, build_dir)
