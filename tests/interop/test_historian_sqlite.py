"""The files of the SQLite historian, read by a second reader that knows only docs/formats/historian-sqlite.md: what was
published, what the API tells and what lies in the files is the same, not sealed, sealed by ingestion, and merged."""
import csv
import datetime
import pathlib
import random
import sqlite3
import struct
import subprocess
import sys
import time

import msgpack
import pytest

from support.broker import Publisher
from support.history import fill, mark, read_ndjson
from support.lite_reader import DOUBLE, Damaged, Store
from support.process import wait_until

READER = pathlib.Path(__file__).resolve().parents[1] / "support" / "lite_reader.py"
DAY_US = 86_400_000_000
PER_MESSAGE = 4000  # an array holds 4,096 at most
TEXTS = ["", "on", "off", "two\nlines", 'a "b", c', "grün 日本", "x" * 300]
LAST = "uns/lite/last"


def any_double(rng: random.Random) -> float:
    """Every finite double, small and large, -0 among them."""
    while True:
        value = struct.unpack("<d", rng.randbytes(8))[0]
        if value - value == 0:
            return value


KINDS = {
    "decimal": lambda rng: rng.randrange(-10**6, 10**6) / 100,
    "float32": lambda rng: struct.unpack("f", struct.pack("f", rng.uniform(-9, 9)))[0],
    "double": any_double,
    "constant": lambda rng: 3.5,
    "zeros": lambda rng: rng.choice([0.0, -0.0]),
    "int": lambda rng: rng.choice([-1, 1]) * (2**53 + rng.randrange(2**62)),
    "uint": lambda rng: 2**64 - 1 - rng.randrange(2**rng.randrange(1, 63)),
    "bool": lambda rng: rng.random() < 0.5,
    "text": lambda rng: rng.choice(TEXTS),
    "mixed": lambda rng: KINDS[rng.choice(["decimal", "double", "int", "uint", "bool", "text"])](rng),
}


def exact(value):
    """0.0 and -0.0, True and 1, 1 and 1.0 are equal to Python."""
    return ("double", struct.pack("<d", value)) if isinstance(value, float) else mark(value)


class Plant:
    """Publishes readings and keeps what must be stored: of a (topic, time) the first one."""

    def __init__(self, platform, rng: random.Random, first_us: int):
        self.platform, self.rng, self.first_us = platform, rng, first_us
        self.publisher = Publisher(platform.broker.port)
        self.stored: dict[str, dict[int, tuple]] = {f"uns/lite/{kind}": {} for kind in KINDS}
        self.markers = 0

    def time_us(self, days: int) -> int:
        """Most in steps that chunks keep short; out of order, and now and then one that was there."""
        unit = self.rng.choice([1_000_000, 1_000_000, 1_000, 1])
        return self.first_us + self.rng.randrange(days * DAY_US // unit) * unit

    def reading(self, topic: str, days: int) -> dict:
        known = self.stored[topic]
        t = self.rng.choice(list(known)) if known and self.rng.random() < 0.02 else self.time_us(days)
        if self.rng.random() < 0.05:
            return {"v": None, "q": self.rng.choice([0, 8, 24]), "ts": t}
        return {"v": KINDS[topic.rpartition("/")[2]](self.rng), "q": self.rng.choice([192, 192, 192, 64]), "ts": t}

    def publish(self, topic: str, count: int, days: int) -> None:
        readings = []
        for _ in range(count):
            one = self.reading(topic, days)
            self.stored[topic].setdefault(one["ts"], (one["q"], exact(one["v"])))
            readings.append(one)
        for at in range(0, count, PER_MESSAGE):
            self.publisher.send(topic, msgpack.packb(readings[at:at + PER_MESSAGE]))

    def run(self, topic: str, count: int) -> None:
        """A second apart, as most points are."""
        start = self.first_us + self.rng.randrange(86_400 - count) * 1_000_000
        value = KINDS[topic.rpartition("/")[2]]
        readings = [{"v": value(self.rng), "q": 192, "ts": start + i * 1_000_000} for i in range(count)]
        for one in readings:
            self.stored[topic].setdefault(one["ts"], (192, exact(one["v"])))
        self.publisher.send(topic, msgpack.packb(readings))

    def wait(self) -> None:
        """A connection's messages are stored in their order."""
        self.markers += 1
        self.publisher.send(LAST, msgpack.packb({"v": self.markers, "ts": self.first_us + self.markers}))
        reached = lambda: max((p.value for p in read(self.platform.history, [LAST])), default=0)  # noqa: E731
        wait_until(lambda: (self.platform.history / "hist.db").exists() and reached() == self.markers, 60, "the last message")

    def expected(self) -> dict[str, list[tuple]]:
        return {topic: [(t, *known[t]) for t in sorted(known)] for topic, known in self.stored.items()}


def read(directory, topics) -> list:
    with Store(directory) as store:
        return list(store.points(set(topics)))


def in_files(directory, topics) -> dict[str, list[tuple]]:
    found = {topic: [] for topic in topics}
    for p in read(directory, topics):
        assert isinstance(p.value, float) == (p.type == DOUBLE)
        found[p.topic].append((p.time_us, p.quality, exact(p.value)))
    return found


def by_api(platform, topics) -> dict[str, list[tuple]]:
    found = {topic: [] for topic in topics}
    for topic, t, value, quality, _ in read_ndjson(platform.api.request("GET", "/api/v1/history:query", 200, params={
            "tags": ",".join(topics), "format": "ndjson", "fn": "raw", "from": "2020-01-01T00:00:00Z"}).content):
        found[topic].append((t, quality, value))
    return found


def plain(found: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    """As JSON tells it: a double without a fraction is a number like any other."""
    number = lambda v: struct.unpack("<d", v[1])[0] if isinstance(v, tuple) and v[0] == "double" else v  # noqa: E731
    return {topic: [(t, q, number(v)) for t, q, v in rows] for topic, rows in found.items()}


def check_same(platform, wanted: dict[str, list[tuple]]) -> None:
    found = in_files(platform.history, wanted)
    for topic, rows in wanted.items():
        assert found[topic] == rows, f"{topic}: {sorted(set(rows) ^ set(found[topic]))[:5]}"
    told, wanted = by_api(platform, wanted), plain(wanted)
    for topic, rows in wanted.items():
        assert told[topic] == rows, topic


def days_of(directory) -> int:
    return len(list(directory.glob("hist-????????.db")))


def hot_points(directory) -> int:
    with Store(directory) as store:
        return store.total["hot_points"]


def check_ledger(directory, topics: list[str]) -> None:
    """What the batches brought is stored, or was a double."""
    with Store(directory) as store:
        lanes = store.ledger()
        assert all(sum(b - a + 1 for a, b in lane.stored) == lane.batches for lane in lanes)
        assert {s.topic for s in store.series.values()} == set(topics)
        brought, kept = sum(lane.points for lane in lanes), sum(1 for _ in store.points())
        assert brought == kept + len(store.doubles) + store.total["duplicate_points"] > kept


def seal(build_dir, directory, other) -> None:
    """A migration into a store ends with its sealing."""
    fill(build_dir, other, "numbers", 1, 10)
    subprocess.run([build_dir / "nexus", "historian", "migrate", "--from", f"sqlite:{other}", "--to", f"sqlite:{directory}"],
                   check=True, timeout=100, capture_output=True)


@pytest.fixture
def plant(platform):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    platform.write_devices([])
    platform.start("ingest", "core")
    platform.log_in()
    wait_until(lambda: platform.status("ingest")["broker"]["tags"]["state"] == "online", what="ingestion online")
    plant = Plant(platform, random.Random(seed), (int(time.time()) // 86400 - 5) * DAY_US)
    yield plant
    plant.publisher.close()


def test_what_was_published_is_in_the_files_and_in_the_api(plant, build_dir, tmp_path):
    platform, topics = plant.platform, list(plant.stored)
    for topic in topics:
        plant.publish(topic, 300, days=2)
    plant.wait()
    assert days_of(platform.history) == 0, "nothing is sealed yet"
    check_same(platform, plant.expected())

    # Ingestion seals beyond 20,000 points; the reader looks while it does.
    for topic in topics:
        plant.publish(topic, 1200, days=2)
        plant.run(topic, 1300)
    plant.wait()
    check_same(platform, plant.expected())
    wait_until(lambda: days_of(platform.history) >= 2 and hot_points(platform.history) < 20_000, 60, "the sealing")
    check_same(platform, plant.expected())

    # Late values into sealed days, first not sealed themselves, then merged into the chunks that they fall into.
    for topic in topics:
        plant.publish(topic, 200, days=3)
    plant.wait()
    check_same(platform, plant.expected())
    assert hot_points(platform.history) > 1900
    check_ledger(platform.history, [*topics, LAST])
    platform.roles["ingest"].stop()
    seal(build_dir, platform.history, tmp_path / "other")
    assert hot_points(platform.history) == 0 and days_of(platform.history) >= 3
    check_same(platform, plant.expected())


def test_the_reader_is_a_command(build_dir, tmp_path):
    fill(build_dir, tmp_path / "store", "mixed", 1, 1000)
    command = [sys.executable, READER, tmp_path / "store"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    rows = list(csv.DictReader(done.stdout.decode().splitlines(keepends=True)))
    assert len(rows) == 1000 and rows[7]["value"] == str(2**64 - 1 - 7) and rows[5] == {
        "topic": "uns/fill/mixed-0", "time_us": str(1767225600000000 + 5 * 1_000_003), "quality": "192", "type": "bool", "value": "true"}
    ledger = subprocess.run([*command, "--ledger"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert ledger.splitlines()[1].endswith(",0,1,1,stored")
    assert subprocess.run([*command[:2], tmp_path], capture_output=True, timeout=60).returncode == 1


def test_the_reader_names_what_is_damaged(build_dir, tmp_path):
    """One bit in any byte of a chunk: the check sum finds it. A cut block is found, too."""
    fill(build_dir, tmp_path, "mixed", 1, 400, seal=True)
    path = tmp_path / f"hist-{datetime.date(2026, 1, 1):%Y%m%d}.db"
    with sqlite3.connect(path) as db:
        t0, data = db.execute("SELECT t0, data FROM chunk ORDER BY t0 LIMIT 1").fetchone()
    for at in range(0, len(data), 7):
        broken = data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]
        with sqlite3.connect(path) as db:
            db.execute("UPDATE chunk SET data = ? WHERE t0 = ?", (broken, t0))
        with pytest.raises(Damaged, match=f"{path.name}: chunk .1, {t0}"):
            read(tmp_path, ["uns/fill/mixed-0"])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE chunk SET data = ? WHERE t0 = ?", (data, t0))
    assert len(read(tmp_path, ["uns/fill/mixed-0"])) == 400
    fill(build_dir, tmp_path, "numbers", 1, 10)
    with sqlite3.connect(tmp_path / "hist.db") as db:
        db.execute("UPDATE hot SET data = substr(data, 1, length(data) - 1)")
    with pytest.raises(Damaged, match="hist.db: block"):
        Store(tmp_path)
